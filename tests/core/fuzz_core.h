/* What both fuzzers of the core share: allocations that may fail, rules, and one decoding of an input, cut by chance. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Allocations that may fail: `allocations_left` counts down to the first refusal; negative: never. */
static long allocations_left = -1;

static int refused(void) {
    if (allocations_left < 0) return 0;
    if (allocations_left == 0) return 1;
    allocations_left--;
    return 0;
}

static void *fuzz_realloc(void *p, size_t n) { return refused() ? NULL : realloc(p, n); }
static void *fuzz_malloc(size_t n) { return refused() ? NULL : malloc(n); }
#define realloc fuzz_realloc
#define malloc fuzz_malloc
#include "array.h"
#include "body.h"
#include "chat.h"
#include "eventstream.h"
#include "scan.h"
#include "sse.h"
#include "tape.h"
#undef realloc
#undef malloc

/* Rules: a: text; b[].t: text unless b[].k is true; c(base64).a: text; u: usage. */
static const char *const key_text = "abcutk";
static lens_node_t nodes[9];
static lens_trie_key_t keys[7] = {{0, 1, 1}, {1, 1, 2}, {2, 1, 6}, {3, 1, 8}, {4, 1, 4}, {5, 1, 5}, {0, 1, 7}};
static lens_rule_t rules[4] = {{LENS_SIGNAL_TEXT, 0, LENS_NO_GUARD, 1},
                               {LENS_SIGNAL_TEXT, 0, LENS_NO_GUARD, 1},
                               {LENS_SIGNAL_USAGE, 1, LENS_NO_GUARD, 0},
                               {LENS_SIGNAL_TEXT, 0, 0, 1}};
static lens_guard_t guards[1] = {{0, 0, 1, 1, 3, 1}};
static uint16_t rule_refs[4] = {0, 3, 1, 2}, test_refs[1] = {0};
static uint16_t slot_masks[2] = {LENS_SIGNAL_TEXT, LENS_SIGNAL_USAGE};
static lens_rules_t all_rules = {nodes, keys, rules, guards, rule_refs, test_refs, slot_masks, NULL,
                                 (unsigned char *)"[DONE]", 9, 7, 4, 1, 2, 6};

static void make_rules(void) {
    int i;
    for (i = 0; i < 9; i++) nodes[i].each = nodes[i].inner = LENS_NO_NODE;
    nodes[0].n_keys = 4; /* a b c u */
    nodes[0].first_bytes = ~(uint64_t)0;
    nodes[1].n_rules = 1;
    nodes[2].each = 3;
    nodes[3].first_key = 4, nodes[3].n_keys = 2; /* t k */
    nodes[3].first_bytes = ~(uint64_t)0;
    nodes[3].n_guards = 1;
    nodes[4].first_rule = 1, nodes[4].n_rules = 1;
    nodes[5].n_tests = 1;
    nodes[6].inner = 6; /* the JSON in c is walked from c itself, whose only key is a */
    nodes[6].first_key = 6, nodes[6].n_keys = 1, nodes[6].first_bytes = ~(uint64_t)0;
    nodes[7].first_rule = 2, nodes[7].n_rules = 1;
    nodes[8].first_rule = 3, nodes[8].n_rules = 1;
    all_rules.text = (unsigned char *)key_text;
}

static uint64_t state;

static uint32_t any(uint32_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(state >> 33) % below;
}

/* What one way of cutting gave: a running hash of every event, and how it ended. */
typedef struct {
    uint64_t hash, events;
    int error, ended;
} answer_t;

static void mix(uint64_t *h, const void *data, size_t n) {
    const unsigned char *p = (const unsigned char *)data;
    while (n--) *h = (*h ^ *p++) * 1099511628211ULL;
}

/* An event as a chunk of a chat, in a block of exactly its size: its parts lie within it, and its text gets no longer. */
static void take_chat(const lens_event_t *event) {
    unsigned char *data = (unsigned char *)malloc(event->n ? event->n : 1), *text;
    lens_chat_chunk_t chunk;
    int i;
    if (event->n) memcpy(data, event->data, event->n);  /* one without data may have no address */
    if (lens_chat_read(data, event->n, &chunk)) {
        for (i = 0; i < LENS_CHAT_PARTS; i++) {
            const lens_chat_part_t *part = &chunk.parts[i];
            LENS_ASSERT(!part->p || (part->p > data && part->n < event->n - (size_t)(part->p - data)));
        }
        text = (unsigned char *)malloc(event->n);
        if (chunk.escaped) LENS_ASSERT(lens_chat_unescape(&chunk.parts[LENS_CHAT_TEXT], text) < (ptrdiff_t)event->n);
        free(text);
    }
    free(data);
}

static void take_event(answer_t *a, const lens_event_t *event, lens_template_t *learned, lens_tape_t *tape, int kind) {
    lens_found_t learnt, alone;
    const unsigned char *type = kind == LENS_EVENTS_AWS ? event->name + event->type_at : NULL;
    size_t type_n = kind == LENS_EVENTS_AWS ? event->name_n - event->type_at : 0;
    if (lens_rules_scan(&all_rules, event->data, event->n, type, type_n, learned, &learnt) < 0 ||
        lens_rules_scan(&all_rules, event->data, event->n, type, type_n, NULL, &alone) < 0 ||
        lens_tape_event(tape, event->at.arrived, event->at.seen, event->at.read, alone.signals, alone.chars,
                        alone.block) < 0 ||
        lens_tape_keep(tape, a->events, event->name, event->name_n, event->data, event->n) < 0) {
        a->error = LENS_ERROR_MEMORY;
        return;
    }
    if (learnt.signals != alone.signals || learnt.chars != alone.chars || learnt.block != alone.block) {
        fprintf(stderr, "the template changed an answer\n");
        abort();
    }
    take_chat(event);
    a->events++;
    mix(&a->hash, event->data, event->n);
    mix(&a->hash, event->name, event->name_n);
    mix(&a->hash, &alone.signals, sizeof alone.signals);
    mix(&a->hash, &alone.chars, sizeof alone.chars);
}

static int next_event(lens_event_splitter_t *c, lens_piece_t *piece, lens_event_t *event) {
    if (c->kind == LENS_EVENTS_SSE) return lens_sse_next(c, piece, event);
    if (c->kind == LENS_EVENTS_NDJSON) return lens_ndjson_next(c, piece, event);
    return c->kind == LENS_EVENTS_ARRAY ? lens_array_next(c, piece, event) : lens_aws_next(c, piece, event);
}

static void check_tape(const lens_tape_t *tape) {
    size_t n = tape->n ? (size_t)tape->n : 1;
    int64_t *times = (int64_t *)calloc(2 * n, sizeof *times);
    uint16_t *signals = (uint16_t *)calloc(n, sizeof *signals);
    uint32_t *counts = (uint32_t *)calloc(2 * n, sizeof *counts);
    lens_tape_columns(tape, tape->n, 0, times, times + n, signals, counts, counts + n);
    lens_tape_blocks(tape, tape->n, signals);
    free(times), free(signals), free(counts);
}

/* Events may have `most` bytes, pieces `longest`. */
static answer_t decode(const lens_buf_t *input, int kind, int body, size_t most, uint32_t longest) {
    answer_t a = {14695981039346656037ULL, 0, 0, 0};
    static lens_body_t b;
    static lens_event_splitter_t c;
    lens_template_t learned = {{0, 0, 0}, 0, 0, 0, 0, 0};
    lens_tape_t tape;
    lens_event_t event;
    size_t at = 0;
    lens_stamp_t stamp = {0, 0, 0};
    lens_tape_start(&tape);
    lens_body_start(&b, body, (int64_t)input->n / 2);
    lens_splitter_start(&c, kind, most);
    while (at < input->n && !b.ended && !a.error) {
        size_t used = 0, n = 1 + any(longest);
        unsigned char *piece;
        if (n > input->n - at) n = input->n - at;
        piece = (unsigned char *)malloc(n); /* exactly: no byte beyond it may be looked at */
        memcpy(piece, input->p + at, n);
        stamp.arrived = stamp.seen = (int64_t)stamp.read * 20000000;
        while (used < n && !b.ended && !a.error) {
            const unsigned char *payload;
            size_t payload_n;
            used += lens_body_take(&b, piece + used, n - used, &payload, &payload_n);
            if (payload_n) {
                lens_piece_t in;
                lens_piece_start(&in, payload, payload_n, stamp);
                while (!a.error && next_event(&c, &in, &event)) take_event(&a, &event, &learned, &tape, kind);
                if (c.error && !a.error) a.error = c.error;
            }
            if (b.error && !a.error) a.error = b.error;
        }
        free(piece);
        stamp.read++;
        at += n;
    }
    if (!a.error && ((kind == LENS_EVENTS_NDJSON && lens_ndjson_end(&c, &event)) ||
                     (kind == LENS_EVENTS_ARRAY && lens_array_end(&c, &event))))
        take_event(&a, &event, &learned, &tape, kind);
    if (kind == LENS_EVENTS_AWS) lens_aws_end(&c);
    if (c.error && !a.error) a.error = c.error;
    a.ended = !a.error && b.ended;
    check_tape(&tape);
    lens_tape_free(&tape);
    lens_splitter_free(&c);
    lens_buf_free(&learned.event);
    lens_buf_free(&b.trailers);
    return a;
}

/* However it is cut, an input means the same. */
static void must_agree(const answer_t *whole, const answer_t *cut) {
    if (whole->hash == cut->hash && whole->error == cut->error && whole->ended == cut->ended) return;
    fprintf(stderr, "whole: %d events, error %d, ended %d; cut: %d events, error %d, ended %d\n", (int)whole->events,
            whole->error, whole->ended, (int)cut->events, cut->error, cut->ended);
    abort();
}
