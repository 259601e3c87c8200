/* What one event signals: the protocol's end marker, the learned template, else the walk.

   The template: events of a stream mostly differ in one text alone. Where an event equals the newest content
   event before and after that text, and its own text holds no quote, backslash or control byte, a walk would
   find the same signals and only other characters; so they are counted and nothing is walked. */
#ifndef LENS_SCAN_H
#define LENS_SCAN_H

#include "buf.h"
#include "event_splitter.h"
#include "walk.h"

/* Longer events are not learned from: their copy would cost more memory than the walk costs time. */
enum { LENS_TEMPLATE_MOST = 4096 };

typedef struct {
    lens_buf_t event;          /* that was learned from; empty: none */
    uint16_t before, after; /* bytes of it that frame the text, its quotes included */
    uint16_t signals;
    uint16_t start; /* node the walk began at */
    uint16_t block; /* its number stands outside the text, and so is the same */
} lens_template_t;

typedef struct {
    uint16_t signals;
    uint16_t block; /* 1 + the number of the block it belongs to; 0: it names none */
    uint8_t over; /* the data was the protocol's end marker */
    uint32_t chars;
} lens_found_t;

static inline uint32_t lens_as_chars(uint64_t chars) { return chars < UINT32_MAX ? (uint32_t)chars : UINT32_MAX; }

/* Within a signal the largest group counts; slots of one signal lie together. */
static inline uint64_t lens_content_chars(const lens_walk_t *w) {
    uint64_t sum = 0, largest = 0;
    uint32_t s;
    for (s = 0; s < w->rules->n_slots; s++) {
        uint16_t mask = w->rules->slot_masks[s];
        if (w->chars[s] > largest) largest = w->chars[s];
        if (s + 1 < w->rules->n_slots && w->rules->slot_masks[s + 1] == mask) continue;
        if (mask & LENS_SIGNAL_CONTENT) sum += largest;
        largest = 0;
    }
    return sum;
}

static inline int lens_template_fits(const lens_template_t *l, const unsigned char *data, size_t n, uint16_t start,
                                     lens_found_t *out) {
    const unsigned char *text, *end;
    if (l->event.n == 0 || n <= (size_t)l->before + l->after || start != l->start) return 0;
    text = data + l->before;
    end = data + n - l->after;
    if (memcmp(end, l->event.p + l->event.n - l->after, l->after) || memcmp(data, l->event.p, l->before)) return 0;
    if (lens_plain_end(text, end) != end) return 0;
    out->signals = l->signals;
    out->block = l->block;
    out->chars = lens_as_chars(lens_count_chars(text, end));
    return 1;
}

/* A template is good where the one text is all that was counted: then the count is the text's own.
   It stays true for ever, so an event that cannot be learned from leaves the old one. */
static inline void lens_learn_template(lens_template_t *l, const lens_walk_t *w, const unsigned char *data, size_t n,
                                       uint16_t start, const lens_found_t *found) {
    if (w->texts != 1 || w->text_chars != found->chars || n > LENS_TEMPLATE_MOST) return;
    LENS_ASSERT(w->text > data && w->text + w->text_n < data + n);
    l->event.n = 0;
    if (lens_buf_add(&l->event, data, n) < 0) return;
    l->before = (uint16_t)(w->text - data);
    l->after = (uint16_t)(n - l->before - w->text_n);
    l->signals = found->signals;
    l->block = found->block;
    l->start = start;
}

/* Signals of one event: 0, or -1 when there is no memory. With a `type` the event is walked as if it were
   {type: data}. `learned` may be NULL. */
static inline int lens_rules_scan(const lens_rules_t *rules, const unsigned char *data, size_t n,
                                  const unsigned char *type, size_t type_n, lens_template_t *learned,
                                  lens_found_t *out) {
    lens_walk_t w;
    uint32_t s;
    uint16_t start = 0;
    int good;
    out->signals = out->block = 0;
    out->over = 0;
    out->chars = 0;
    if (n && n == rules->n_done && memcmp(data, rules->done, n) == 0) {
        out->signals = LENS_SIGNAL_DONE;
        out->over = 1;
        return 0;
    }
    if (type) start = lens_child_of(rules, &rules->nodes[0], type, type + type_n, 0);
    if (learned && lens_template_fits(learned, data, n, start, out)) return 0;
    if (lens_is_blank(data, n)) return 0;
    w.rules = rules;
    w.bits = w.block = 0;
    w.no_memory = w.texts = 0;
    for (s = 0; s < rules->n_slots; s++) w.chars[s] = 0;
    if (type) lens_scope_open(&w, &rules->nodes[0]);
    good = lens_walk_json(&w, data, data + n, start);
    if (type) lens_scope_close(&w, &rules->nodes[0]);
    if (w.no_memory) return -1;
    if (!good) {
        out->signals = LENS_SIGNAL_MALFORMED;
        return 0;
    }
    out->signals = w.bits;
    out->block = w.block;
    out->chars = lens_as_chars(lens_content_chars(&w));
    if (learned) lens_learn_template(learned, &w, data, n, start, out);
    return 0;
}

#endif
