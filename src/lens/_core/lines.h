/* NDJSON: one JSON value a line. Blank lines are skipped; the last line may lack its LF. */
#ifndef LENS_LINES_H
#define LENS_LINES_H

#include "event_splitter.h"

static inline void lens_whole_event(lens_event_t *out, const unsigned char *data, size_t n, lens_stamp_t at) {
    memset(out, 0, sizeof *out);
    out->data = data;
    out->n = n;
    out->at = at;
}

static inline int lens_ndjson_next(lens_event_splitter_t *c, lens_piece_t *in, lens_event_t *out) {
    while (!c->error && in->p < in->end) {
        const unsigned char *line = in->p, *stop = lens_find_byte(line, in->end, '\n');
        size_t n = (size_t)(stop - line);
        if (stop == in->end) {
            lens_splitter_carry(c, in, line, n);
            in->p = in->end;
            return 0;
        }
        in->p = stop + 1;
        if (lens_splitter_carries(c)) {
            lens_splitter_carry(c, in, line, n);
            line = c->carry.p;
            n = c->carry.n;
            c->carry_used = 1;
        }
        if (n > c->most) c->error = LENS_ERROR_EVENT_LONG;
        if (c->error || lens_is_blank(line, n)) continue;
        lens_whole_event(out, line, line[n - 1] == '\r' ? n - 1 : n, in->at);
        return 1;
    }
    return 0;
}

/* The payload is over: the last line, where it had no LF. */
static inline int lens_ndjson_end(lens_event_splitter_t *c, lens_event_t *out) {
    if (c->error || !lens_splitter_carries(c)) return 0;
    c->carry_used = 1;
    if (lens_is_blank(c->carry.p, c->carry.n)) return 0;
    lens_whole_event(out, c->carry.p, c->carry.n, c->carried);
    return 1;
}

#endif
