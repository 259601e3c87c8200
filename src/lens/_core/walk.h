/* One pass over an event's JSON, no object built: which rules it meets and how many characters they count.

   White space, key order, escapes, nesting and unknown keys make no difference. A guard is looked at when its
   scope closes, so its key may come after the value. A key that stands twice in one object counts twice.
   What json.loads refuses is refused (and NaN and Infinity, which Python servers write, are let pass as it
   does), and so is nesting deeper than LENS_DEPTH_MOST. */
#ifndef LENS_WALK_H
#define LENS_WALK_H

#include <stdlib.h>

#include "base64.h"
#include "check.h"
#include "rules.h"
#include "text.h"

enum { LENS_DEPTH_MOST = 512, LENS_SCRATCH_BYTES = 1024 };

typedef struct {
    const lens_rules_t *rules;
    uint16_t bits;
    uint16_t block; /* 1 + the number of the block that the event names; 0: none */
    int no_memory;
    uint64_t chars[LENS_SLOTS_MOST];
    /* Of guarded rules, since their scope opened. */
    uint64_t pending[LENS_RULES_MOST];
    uint8_t hit[LENS_RULES_MOST];
    uint8_t matched[LENS_GUARDS_MOST];
    /* For the learned template: the one text that was counted, where it has no escapes. */
    const unsigned char *text;
    size_t text_n;
    uint64_t text_chars;
    int texts; /* counted texts; 2 and more also stand for one that cannot be learned from */
} lens_walk_t;

static inline int lens_walk_json(lens_walk_t *w, const unsigned char *p, const unsigned char *end, uint16_t at);

static inline void lens_scope_open(lens_walk_t *w, const lens_node_t *node) {
    uint32_t g, r;
    for (g = node->first_guard; g < (uint32_t)node->first_guard + node->n_guards; g++) {
        const lens_guard_t *guard = &w->rules->guards[g];
        w->matched[g] = 0;
        for (r = guard->first_rule; r < (uint32_t)guard->first_rule + guard->n_rules; r++)
            w->hit[r] = 0, w->pending[r] = 0;
    }
}

static inline void lens_scope_close(lens_walk_t *w, const lens_node_t *node) {
    uint32_t g, r;
    for (g = node->first_guard; g < (uint32_t)node->first_guard + node->n_guards; g++) {
        const lens_guard_t *guard = &w->rules->guards[g];
        if (w->matched[g] == guard->negate) continue;
        for (r = guard->first_rule; r < (uint32_t)guard->first_rule + guard->n_rules; r++) {
            if (!w->hit[r]) continue;
            w->bits |= w->rules->rules[r].mask;
            w->chars[w->rules->rules[r].slot] += w->pending[r];
        }
    }
}

static inline void lens_apply_rule(lens_walk_t *w, uint16_t r, uint64_t chars) {
    const lens_rule_t *rule = &w->rules->rules[r];
    LENS_ASSERT(r < w->rules->n_rules && rule->slot < w->rules->n_slots);
    if (rule->guard == LENS_NO_GUARD) {
        w->bits |= rule->mask;
        w->chars[rule->slot] += chars;
    } else {
        w->hit[r] = 1;
        w->pending[r] += chars;
    }
}

/* A value that is not a string. kind: 1 true, 2 false, 0 anything else. */
static inline void lens_see_value(lens_walk_t *w, const lens_node_t *node, int kind, int counts) {
    uint32_t i;
    for (i = 0; i < node->n_tests; i++) {
        uint16_t g = w->rules->test_refs[node->first_test + i];
        w->matched[g] = kind && w->rules->guards[g].kind == kind;
    }
    for (i = 0; counts && i < node->n_rules; i++) {
        uint16_t r = w->rules->rule_refs[node->first_rule + i];
        if (!w->rules->rules[r].string) lens_apply_rule(w, r, 0);
    }
}

/* The JSON inside a base64 string; 0 where it is neither. */
static inline int lens_see_inner(lens_walk_t *w, const lens_node_t *node, const unsigned char *p,
                                 const unsigned char *end) {
    unsigned char scratch[LENS_SCRATCH_BYTES], *inner = scratch;
    size_t room = (size_t)(end - p) / 4 * 3 + 3;
    ptrdiff_t n;
    int good;
    w->texts += 2;
    if (room > sizeof scratch && !(inner = (unsigned char *)malloc(room))) {
        w->no_memory = 1;
        return 0;
    }
    n = lens_base64_decode(p, end, inner);
    LENS_ASSERT(n <= (ptrdiff_t)room);
    good = n == 0 || (n > 0 && lens_walk_json(w, inner, inner + n, node->inner));
    if (inner != scratch) free(inner);
    return good;
}

static inline int lens_see_string(lens_walk_t *w, const lens_node_t *node, const unsigned char *p,
                                  const unsigned char *end, int escaped) {
    const lens_rules_t *rules = w->rules;
    uint64_t chars = 0;
    uint32_t i;
    for (i = 0; i < node->n_tests; i++) {
        const lens_guard_t *guard = &rules->guards[rules->test_refs[node->first_test + i]];
        w->matched[rules->test_refs[node->first_test + i]] =
            guard->kind == 0 && lens_string_equals(p, end, escaped, rules->text + guard->at, guard->n);
    }
    if (p == end) return 1;
    for (i = 0; i < node->n_rules; i++) {
        uint16_t r = rules->rule_refs[node->first_rule + i];
        if (rules->rules[r].string && (rules->rules[r].mask & LENS_SIGNAL_CONTENT) && !chars) {
            chars = escaped ? lens_count_escaped(p, end) : lens_count_chars(p, end);
            w->texts += escaped || node->n_tests ? 2 : 1;
            w->text = p;
            w->text_n = (size_t)(end - p);
            w->text_chars = chars;
        }
        lens_apply_rule(w, r, rules->rules[r].string ? chars : 0);
    }
    return node->inner == LENS_NO_NODE || lens_see_inner(w, node, p, end);
}

/* The node under `node` for the key [p, end) of an object. */
static inline uint16_t lens_child_of(const lens_rules_t *rules, const lens_node_t *node, const unsigned char *p,
                                     const unsigned char *end, int escaped) {
    uint32_t k;
    if (p == end || (!escaped && !(node->first_bytes >> (*p & 63) & 1))) return LENS_NO_NODE;
    for (k = node->first_key; k < (uint32_t)node->first_key + node->n_keys; k++) {
        const lens_trie_key_t *key = &rules->keys[k];
        if (lens_string_equals(p, end, escaped, rules->text + key->at, key->n)) return key->node;
    }
    return LENS_NO_NODE;
}

static inline const unsigned char *lens_skip_space(const unsigned char *p, const unsigned char *end) {
    while (p < end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

static inline const unsigned char *lens_skip_digits(const unsigned char *p, const unsigned char *end) {
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p;
}

/* One past the number, true, false, null, NaN or Infinity at p; NULL where it is none of them. */
static inline const unsigned char *lens_bare_end(const unsigned char *p, const unsigned char *end) {
    static const char *const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
    const unsigned char *digits;
    size_t i, n;
    if (*p >= 'A' || (*p == '-' && end - p > 1 && p[1] == 'I')) {
        for (i = 0; i < 6; i++) {
            n = strlen(words[i]);
            if ((size_t)(end - p) >= n && memcmp(p, words[i], n) == 0) return p + n;
        }
        return 0;
    }
    if (*p == '-') p++;
    digits = p;
    p = lens_skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1)) return 0;
    if (p < end && *p == '.') {
        digits = ++p;
        if ((p = lens_skip_digits(p, end)) == digits) return 0;
    }
    if (p < end && (*p | 32) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        digits = p;
        if ((p = lens_skip_digits(p, end)) == digits) return 0;
    }
    return p;
}

/* The number of a block, [p, end): 1 + it; 0 where it is no whole number, or one that is too large. */
static inline uint16_t lens_block_of(const unsigned char *p, const unsigned char *end) {
    uint32_t v = 0;
    if (p == end || end - p > 5) return 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') return 0;
        v = v * 10 + (uint32_t)(*p - '0');
    }
    return v < UINT16_MAX ? (uint16_t)(v + 1) : 0;
}

/* Walk the one JSON value that [p, end) is, `at` being its node: 1, or 0 where it is not valid. */
static inline int lens_walk_json(lens_walk_t *w, const unsigned char *p, const unsigned char *end, uint16_t at) {
    const lens_rules_t *rules = w->rules;
    const lens_node_t *node;
    const unsigned char *start;
    uint16_t nodes[LENS_DEPTH_MOST]; /* of the containers that are open */
    uint8_t arrays[LENS_DEPTH_MOST];
    int depth = 0, escaped;

value:
    p = lens_skip_space(p, end);
    if (p == end) return 0;
    LENS_ASSERT(at == LENS_NO_NODE || at < rules->n_nodes);
    node = at == LENS_NO_NODE ? 0 : &rules->nodes[at];
    if (node && node->n_guards) lens_scope_open(w, node);
    start = p;
    if (*p == '"') {
        if (!(p = lens_string_end(p + 1, end, &escaped))) return 0;
        if (node && !lens_see_string(w, node, start + 1, p, escaped)) return 0;
        p++;
    } else if (*p == '{' || *p == '[') {
        if (depth == LENS_DEPTH_MOST) return 0;
        nodes[depth] = at;
        arrays[depth++] = *p == '[';
        p = lens_skip_space(p + 1, end);
        if (p == end) return 0;
        if (*p == *start + 2) { /* ']' is '[' + 2, '}' is '{' + 2 */
            if (node) lens_see_value(w, node, 0, 0);
            p++;
            goto close;
        }
        if (node) lens_see_value(w, node, 0, 1);
        if (*start == '{') goto key;
        at = node ? node->each : LENS_NO_NODE;
        goto value;
    } else {
        if (!(p = lens_bare_end(p, end))) return 0;
        if (node) lens_see_value(w, node, *start == 't' ? 1 : *start == 'f' ? 2 : 0, *start != 'f' && *start != 'n');
        if (node && node->block) w->block = lens_block_of(start, p);
    }
    if (node && node->n_guards) lens_scope_close(w, node);

after:
    p = lens_skip_space(p, end);
    if (depth == 0) return p == end;
    if (p == end) return 0;
    at = nodes[depth - 1];
    if (arrays[depth - 1]) {
        if (*p == ',') {
            p++;
            at = at == LENS_NO_NODE ? LENS_NO_NODE : rules->nodes[at].each;
            goto value;
        }
        if (*p++ != ']') return 0;
        goto close;
    }
    if (*p == '}') {
        p++;
        goto close;
    }
    if (*p != ',') return 0;
    p = lens_skip_space(p + 1, end);

key:
    if (p == end || *p != '"') return 0;
    start = p + 1;
    if (!(p = lens_string_end(start, end, &escaped))) return 0;
    at = nodes[depth - 1];
    at = at == LENS_NO_NODE ? LENS_NO_NODE : lens_child_of(rules, &rules->nodes[at], start, p, escaped);
    p = lens_skip_space(p + 1, end);
    if (p == end || *p++ != ':') return 0;
    goto value;

close:
    at = nodes[--depth];
    if (at != LENS_NO_NODE && rules->nodes[at].n_guards) lens_scope_close(w, &rules->nodes[at]);
    goto after;
}

#endif
