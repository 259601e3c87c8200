/* What the four splitters of a payload into events (SSE, NDJSON, JSON array, AWS event stream) share.

   Each is a resumable scanner with one entry, `int lens_NAME_next(splitter, piece, event)`: 1 and an event, or 0
   when the piece is used up or `error` is set. An event's bytes lie in the piece where it holds all of them,
   else in a buffer of the splitter; they are good until the next call. Only what is incomplete at the end of a
   piece is copied, so the cost is O(n) however the bytes are cut. */
#ifndef LENS_EVENT_SPLITTER_H
#define LENS_EVENT_SPLITTER_H

#include "buf.h"
#include "errors.h"

enum { LENS_EVENTS_SSE, LENS_EVENTS_NDJSON, LENS_EVENTS_ARRAY, LENS_EVENTS_AWS, LENS_EVENTS_DOCUMENT };

typedef struct {
    int64_t arrived, seen; /* ns */
    uint32_t read;         /* number of the read */
} lens_stamp_t;

typedef struct {
    const unsigned char *p, *end; /* what is left of it */
    const unsigned char *lf, *cr; /* SSE: the next of each at or after p, end when there is none; NULL: unknown */
    lens_stamp_t at;
} lens_piece_t;

typedef struct {
    const unsigned char *data, *name;
    size_t n, name_n;
    lens_stamp_t at;
    uint16_t signals; /* that the framing itself knows */
    size_t type_at;   /* AWS: where in name the event type begins */
} lens_event_t;

typedef struct {
    uint8_t kind;       /* LENS_EVENTS_... */
    uint8_t error;      /* LENS_ERROR_... */
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
    lens_stamp_t at;           /* SSE: of the last data line */
    lens_stamp_t carried;      /* of the newest bytes in carry */
    lens_buf_t carry;          /* an incomplete line, element or frame */
    lens_buf_t data;           /* SSE: data lines whose piece is gone, or several joined */
    lens_buf_t name;           /* SSE: the event field; AWS: the name that was made up */
    lens_buf_t field;          /* SSE: the first field named "error", or line that begins with "{" */
    const unsigned char *view; /* SSE: the one data line, where its bytes are still there */
    size_t view_n;
    size_t total; /* AWS: of the frame in carry; 0 while its prelude is incomplete */
} lens_event_splitter_t;

static inline void lens_splitter_free(lens_event_splitter_t *c) {
    lens_buf_free(&c->carry);
    lens_buf_free(&c->data);
    lens_buf_free(&c->name);
    lens_buf_free(&c->field);
}

static inline void lens_splitter_start(lens_event_splitter_t *c, int kind, size_t most) {
    lens_splitter_free(c);
    memset(c, 0, sizeof *c);
    c->kind = (uint8_t)kind;
    c->most = most;
}

static inline const unsigned char *lens_find_byte(const unsigned char *p, const unsigned char *end, int byte) {
    const unsigned char *found = p < end ? (const unsigned char *)memchr(p, byte, (size_t)(end - p)) : 0;
    return found ? found : end;
}

static inline void lens_piece_start(lens_piece_t *in, const unsigned char *data, size_t n, lens_stamp_t at) {
    in->p = data;
    in->end = data + n;
    in->lf = in->cr = 0;
    in->at = at;
}

/* Put bytes of this piece behind what is carried; errors are set. */
static inline void lens_splitter_carry(lens_event_splitter_t *c, const lens_piece_t *in, const unsigned char *p,
                                       size_t n) {
    if (c->carry_used) {
        c->carry.n = 0;
        c->carry_used = 0;
    }
    if (n > c->most - (c->carry.n < c->most ? c->carry.n : c->most)) {
        c->error = LENS_ERROR_EVENT_LONG;
    } else if (lens_buf_add(&c->carry, p, n) < 0) {
        c->error = LENS_ERROR_MEMORY;
    }
    c->carried = in->at;
}

static inline int lens_splitter_carries(const lens_event_splitter_t *c) { return c->carry.n > 0 && !c->carry_used; }

static inline int lens_is_space(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static inline int lens_is_blank(const unsigned char *p, size_t n) {
    while (n && lens_is_space(*p)) p++, n--;
    return n == 0;
}

#endif
