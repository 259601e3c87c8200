/* Server-sent events as the WHATWG defines them (HTML, 9.2.5 and 9.2.6), on bytes.

   A line ends at CR, LF or CR LF. A CR at the end of a read ends it at once and an LF that follows is
   swallowed: waiting for it would move the stamp. An event carries the stamp of its last data line. */
#ifndef LENS_SSE_H
#define LENS_SSE_H

#include "event_splitter.h"

/* The data line points into bytes that are about to go: keep a copy. */
static inline void lens_sse_put_away(lens_event_splitter_t *c) {
    if (c->lines != 1) return;
    c->data.n = 0;
    if (lens_buf_add(&c->data, c->view, c->view_n) < 0) c->error = LENS_ERROR_MEMORY;
    c->lines = 2;
}

/* The stream may begin with one byte order mark; what only looked like one is given back to the line. */
static inline void lens_sse_bom(lens_event_splitter_t *c, lens_piece_t *in) {
    static const unsigned char mark[3] = {0xEF, 0xBB, 0xBF};
    while (c->bom < 3 && in->p < in->end) {
        if (*in->p == mark[c->bom]) {
            c->bom++;
            in->p++;
        } else {
            lens_splitter_carry(c, in, mark, (size_t)c->bom);
            c->bom = 3;
        }
    }
}

/* The next whole line, without its end: 1, or 0 when the piece is used up. */
static inline int lens_sse_line(lens_event_splitter_t *c, lens_piece_t *in, const unsigned char **line, size_t *n) {
    const unsigned char *p = in->p, *stop;
    if (c->cr && p < in->end) {
        c->cr = 0;
        if (*p == '\n') p++;
    }
    if (!in->lf || in->lf < p) in->lf = lens_find_byte(p, in->end, '\n');
    if (!in->cr || in->cr < p) in->cr = lens_find_byte(p, in->end, '\r');
    stop = in->lf < in->cr ? in->lf : in->cr;
    if (stop == in->end) {
        lens_sse_put_away(c);
        if (p < in->end) lens_splitter_carry(c, in, p, (size_t)(in->end - p));
        in->p = in->end;
        return 0;
    }
    LENS_ASSERT(stop >= p && stop < in->end);
    c->cr = *stop == '\r';
    in->p = stop + 1;
    *line = p;
    *n = (size_t)(stop - p);
    if (lens_splitter_carries(c)) {
        lens_splitter_carry(c, in, p, *n);
        *line = c->carry.p;
        *n = c->carry.n;
        c->carry_used = 1;
    }
    if (*n > c->most) c->error = LENS_ERROR_EVENT_LONG;
    return !c->error;
}

static inline void lens_sse_data(lens_event_splitter_t *c, const lens_piece_t *in, const unsigned char *value,
                                 size_t n) {
    c->at = in->at;
    if (c->lines == 0) {
        c->view = value;
        c->view_n = n;
        c->lines = 1;
        return;
    }
    lens_sse_put_away(c);
    if (n + 1 > c->most - (c->data.n < c->most ? c->data.n : c->most)) c->error = LENS_ERROR_EVENT_LONG;
    else if (lens_buf_add(&c->data, "\n", 1) < 0 || lens_buf_add(&c->data, value, n) < 0) c->error = LENS_ERROR_MEMORY;
}

/* One line that is not blank. */
static inline void lens_sse_field(lens_event_splitter_t *c, const lens_piece_t *in, const unsigned char *line,
                                  size_t n) {
    const unsigned char *colon, *value, *end = line + n;
    size_t name_n;
    if (n >= 5 && memcmp(line, "data:", 5) == 0) {
        colon = line + 4; /* nearly every line */
    } else if (*line == ':') {
        c->comments++;
        return;
    } else {
        colon = lens_find_byte(line, end, ':');
    }
    name_n = (size_t)(colon - line);
    value = colon < end ? colon + 1 : end;
    if (value < end && *value == ' ') value++;
    if (name_n == 4 && memcmp(line, "data", 4) == 0) {
        lens_sse_data(c, in, value, (size_t)(end - value));
    } else if (name_n == 5 && memcmp(line, "event", 5) == 0) {
        c->name.n = 0;
        c->named = 1;
        if (lens_buf_add(&c->name, value, (size_t)(end - value)) < 0) c->error = LENS_ERROR_MEMORY;
    } else if (name_n == 5 && memcmp(line, "error", 5) == 0 && c->field.n == 0) {
        if (lens_buf_add(&c->field, value, (size_t)(end - value)) < 0) c->error = LENS_ERROR_MEMORY;
    } else if (*line == '{' && c->field.n == 0) {
        /* JSON without "data:", which the standard passes over: servers report errors so. */
        if (lens_buf_add(&c->field, line, n) < 0) c->error = LENS_ERROR_MEMORY;
    }
}

/* The event whose lines have come: 1, or 0 where they hold no data. */
static inline int lens_sse_close(lens_event_splitter_t *c, lens_event_t *out) {
    int lines = c->lines, named = c->named;
    c->lines = c->named = 0;
    if (!lines) return 0;
    out->data = lines == 1 ? c->view : c->data.p;
    out->n = lines == 1 ? c->view_n : c->data.n;
    out->name = c->name.p;
    out->name_n = named ? c->name.n : 0;
    out->at = c->at;
    out->signals = 0;
    return 1;
}

static inline int lens_sse_next(lens_event_splitter_t *c, lens_piece_t *in, lens_event_t *out) {
    const unsigned char *line;
    size_t n;
    if (c->bom < 3) lens_sse_bom(c, in);
    while (!c->error && lens_sse_line(c, in, &line, &n)) {
        if (n) lens_sse_field(c, in, line, n);
        else if (lens_sse_close(c, out)) return 1;
    }
    return 0;
}

/* The payload is over: the event that lacks its blank line or the end of its last line, which the standard drops. */
static inline int lens_sse_end(lens_event_splitter_t *c, lens_event_t *out) {
    lens_piece_t in;
    if (c->error) return 0;
    if (lens_splitter_carries(c) && *c->carry.p != ':') {
        lens_piece_start(&in, c->carry.p, 0, c->carried);
        c->carry_used = 1;
        lens_sse_field(c, &in, c->carry.p, c->carry.n);
    }
    return !c->error && lens_sse_close(c, out);
}

#endif
