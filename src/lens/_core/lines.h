/* NDJSON: one JSON value a line. Blank lines are skipped; the last line may lack its LF. */
#ifndef LENS_LINES_H
#define LENS_LINES_H

#include "cut.h"

static inline void whole_event(event_t *out, const unsigned char *data, size_t n, stamp_t at) {
    memset(out, 0, sizeof *out);
    out->data = data;
    out->n = n;
    out->at = at;
}

static inline int lines_next(cut_t *c, piece_t *in, event_t *out) {
    while (!c->error && in->p < in->end) {
        const unsigned char *line = in->p, *stop = find_byte(line, in->end, '\n');
        size_t n = (size_t)(stop - line);
        if (stop == in->end) {
            cut_carry(c, in, line, n);
            in->p = in->end;
            return 0;
        }
        in->p = stop + 1;
        if (cut_carries(c)) {
            cut_carry(c, in, line, n);
            line = c->carry.p;
            n = c->carry.n;
            c->carry_used = 1;
        }
        if (n > c->most) c->error = ERROR_EVENT_LONG;
        if (c->error || is_blank(line, n)) continue;
        whole_event(out, line, line[n - 1] == '\r' ? n - 1 : n, in->at);
        return 1;
    }
    return 0;
}

/* The payload is over: the last line, where it had no LF. */
static inline int lines_end(cut_t *c, event_t *out) {
    if (c->error || !cut_carries(c)) return 0;
    c->carry_used = 1;
    if (is_blank(c->carry.p, c->carry.n)) return 0;
    whole_event(out, c->carry.p, c->carry.n, c->carried);
    return 1;
}

#endif
