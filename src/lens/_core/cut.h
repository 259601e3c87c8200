/* What the four ways of cutting a payload into events (SSE, NDJSON, JSON array, AWS event stream) share.

   Each is a resumable scanner with one entry, `int NAME_next(cut_t *, piece_t *, event_t *)`: 1 and an event,
   or 0 when the piece is used up or `error` is set. An event's bytes lie in the piece where it holds all of
   them, else in a buffer of the cut; they are good until the next call. Only what is incomplete at the end of
   a piece is copied, so the cost is O(n) however the bytes are cut. */
#ifndef LENS_CUT_H
#define LENS_CUT_H

#include "buf.h"
#include "errors.h"

enum { CUT_SSE, CUT_NDJSON, CUT_ARRAY, CUT_AWS, CUT_DOCUMENT };

typedef struct {
    int64_t arrived, seen; /* ns */
    uint32_t read;         /* number of the read */
} stamp_t;

typedef struct {
    const unsigned char *p, *end; /* what is left of it */
    const unsigned char *lf, *cr; /* SSE: the next of each at or after p, end when there is none; NULL: not looked for */
    stamp_t at;
} piece_t;

typedef struct {
    const unsigned char *data, *name;
    size_t n, name_n;
    stamp_t at;
    uint16_t signals; /* that the framing itself knows */
    size_t type_at;   /* AWS: where in name the event type begins */
} event_t;

typedef struct {
    uint8_t kind;   /* CUT_... */
    uint8_t error;  /* ERROR_... */
    uint8_t carry_used; /* what carry holds was handed out */
    /* SSE */
    uint8_t lines;  /* data lines so far: 0, 1 = view, 2 = in data (one or more) */
    uint8_t named;  /* name belongs to the event being gathered */
    uint8_t cr;     /* the last byte was CR: an LF that follows belongs to it */
    uint8_t bom;    /* bytes of the byte order mark that matched; 3: past it */
    /* JSON array */
    uint8_t open, inside, bare, quoted, escaped;
    uint32_t depth; /* inside the element */
    size_t most;    /* bytes an event may have */
    uint64_t comments;
    stamp_t at;     /* SSE: of the last data line */
    stamp_t carried; /* of the newest bytes in carry */
    buf_t carry;    /* an incomplete line, element or frame */
    buf_t data;     /* SSE: data lines whose piece is gone, or several joined */
    buf_t name;     /* SSE: the event field; AWS: the name that was made up */
    buf_t field;    /* SSE: the first field named "error", or the first line that begins with "{" */
    const unsigned char *view; /* SSE: the one data line, where its bytes are still there */
    size_t view_n;
    size_t total; /* AWS: of the frame in carry; 0 while its prelude is incomplete */
} cut_t;

static inline void cut_free(cut_t *c) {
    buf_free(&c->carry);
    buf_free(&c->data);
    buf_free(&c->name);
    buf_free(&c->field);
}

static inline void cut_start(cut_t *c, int kind, size_t most) {
    cut_free(c);
    memset(c, 0, sizeof *c);
    c->kind = (uint8_t)kind;
    c->most = most;
}

static inline const unsigned char *find_byte(const unsigned char *p, const unsigned char *end, int byte) {
    const unsigned char *found = p < end ? (const unsigned char *)memchr(p, byte, (size_t)(end - p)) : 0;
    return found ? found : end;
}

static inline void piece_start(piece_t *in, const unsigned char *data, size_t n, stamp_t at) {
    in->p = data;
    in->end = data + n;
    in->lf = in->cr = 0;
    in->at = at;
}

/* Put bytes of this piece behind what is carried; errors are set. */
static inline void cut_carry(cut_t *c, const piece_t *in, const unsigned char *p, size_t n) {
    if (c->carry_used) {
        c->carry.n = 0;
        c->carry_used = 0;
    }
    if (n > c->most - (c->carry.n < c->most ? c->carry.n : c->most)) {
        c->error = ERROR_EVENT_LONG;
    } else if (buf_add(&c->carry, p, n) < 0) {
        c->error = ERROR_MEMORY;
    }
    c->carried = in->at;
}

static inline int cut_carries(const cut_t *c) { return c->carry.n > 0 && !c->carry_used; }

static inline int is_space(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static inline int is_blank(const unsigned char *p, size_t n) {
    while (n && is_space(*p)) p++, n--;
    return n == 0;
}

#endif
