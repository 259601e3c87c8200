/* AWS event stream (application/vnd.amazon.eventstream): frames with two checksums.

   total u32 | headers length u32 | CRC-32 of those 8 | headers | payload | CRC-32 of all before; big-endian.
   The prelude is checked as soon as its 12 bytes are there, because a wrong length must not be waited for.
   An event's name is "event:TYPE", "exception:TYPE" or "error:CODE", its data is the payload, and for an
   error without payload its message. */
#ifndef LENS_EVENTSTREAM_H
#define LENS_EVENTSTREAM_H

#include "crc32.h"
#include "event_splitter.h"
#include "lines.h"
#include "signal_bits.h"

enum {
    LENS_AWS_PRELUDE = 12,
    LENS_AWS_LEAST = 16,            /* prelude and the checksum at the end */
    LENS_AWS_HEADERS_MOST = 131072, /* as botocore has it */
};

typedef struct {
    const unsigned char *p;
    size_t n;
} lens_span_t;

static inline uint32_t lens_big32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* The frame's length by its prelude, 0 and an error when that is wrong. */
static inline size_t lens_aws_total(lens_event_splitter_t *c, const unsigned char *p) {
    uint32_t total = lens_big32(p), headers = lens_big32(p + 4); /* the caller has 12 bytes */
    if (lens_crc32(p, 8) != lens_big32(p + 8)) c->error = LENS_ERROR_CHECKSUM;
    else if (total < LENS_AWS_LEAST || headers > total - LENS_AWS_LEAST) c->error = LENS_ERROR_EVENT_LENGTH;
    else if (headers > LENS_AWS_HEADERS_MOST) c->error = LENS_ERROR_EVENT_LENGTH;
    else if (total > c->most) c->error = LENS_ERROR_EVENT_LONG;
    return c->error ? 0 : total;
}

/* Bytes of a header's value including its length; 0 where the type is unknown or the bytes end. */
static inline size_t lens_aws_value(const unsigned char *p, const unsigned char *end, unsigned char type, int *bad) {
    static const unsigned char fixed[10] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};
    size_t n, left = (size_t)(end - p);
    *bad = 1;
    if (type > 9) return 0;
    n = fixed[type];
    if (type == 6 || type == 7) {
        if (left < 2) return 0;
        n = 2 + ((size_t)p[0] << 8 | p[1]);
    }
    *bad = n > left;
    return n;
}

static inline int lens_span_is(lens_span_t s, const char *text) {
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* The five string headers that say what a frame is: 0, or -1 when the headers are broken. */
static inline int lens_aws_headers(const unsigned char *p, const unsigned char *end, lens_span_t found[5]) {
    static const char *const wanted[5] = {":message-type", ":event-type", ":exception-type", ":error-code",
                                          ":error-message"};
    int i, bad;
    while (p < end) {
        lens_span_t name, value;
        unsigned char type;
        name.n = *p++;
        if ((size_t)(end - p) < name.n + 1) return -1;
        name.p = p;
        p += name.n;
        type = *p++;
        value.n = lens_aws_value(p, end, type, &bad);
        if (bad) return -1;
        value.p = p;
        p += value.n;
        LENS_ASSERT(p <= end);
        for (i = 0; type == 7 && i < 5; i++) {
            if (!lens_span_is(name, wanted[i])) continue;
            found[i].p = value.p + 2;
            found[i].n = value.n - 2;
        }
    }
    return 0;
}

/* A whole frame becomes an event: 1, or 0 and an error. */
static inline int lens_aws_event(lens_event_splitter_t *c, const lens_piece_t *in, const unsigned char *frame,
                                 size_t total, lens_event_t *out) {
    lens_span_t found[5], type;
    const unsigned char *headers = frame + LENS_AWS_PRELUDE, *payload = headers + lens_big32(frame + 4);
    const char *kind = "event:";
    memset(found, 0, sizeof found);
    LENS_ASSERT(payload <= frame + total - 4);
    if (lens_crc32(frame, total - 4) != lens_big32(frame + total - 4)) c->error = LENS_ERROR_CHECKSUM;
    else if (lens_aws_headers(headers, payload, found) < 0) c->error = LENS_ERROR_EVENT_HEADERS;
    if (c->error) return 0;
    lens_whole_event(out, payload, (size_t)(frame + total - 4 - payload), in->at);
    type = found[1];
    if (lens_span_is(found[0], "exception")) {
        kind = "exception:";
        type = found[2];
        out->signals = LENS_SIGNAL_ERROR;
    } else if (lens_span_is(found[0], "error")) {
        kind = "error:";
        type = found[3];
        out->signals = LENS_SIGNAL_ERROR;
        if (out->n == 0) {
            out->data = found[4].p;
            out->n = found[4].n;
        }
    }
    c->name.n = 0;
    if (lens_buf_add(&c->name, kind, strlen(kind)) < 0 || lens_buf_add(&c->name, type.p, type.n) < 0) {
        c->error = LENS_ERROR_MEMORY;
        return 0;
    }
    out->name = c->name.p;
    out->name_n = c->name.n;
    out->type_at = strlen(kind);
    return 1;
}

static inline int lens_aws_next(lens_event_splitter_t *c, lens_piece_t *in, lens_event_t *out) {
    size_t left = (size_t)(in->end - in->p), need;
    const unsigned char *frame = in->p;
    if (!lens_splitter_carries(c)) {
        c->total = left >= LENS_AWS_PRELUDE ? lens_aws_total(c, frame) : 0;
        if (c->error) return 0;
        if (c->total && left >= c->total) {
            in->p += c->total;
            return lens_aws_event(c, in, frame, c->total, out);
        }
        if (left) lens_splitter_carry(c, in, frame, left);
        in->p = in->end;
        return 0;
    }
    if (!c->total) {
        need = LENS_AWS_PRELUDE - c->carry.n < left ? LENS_AWS_PRELUDE - c->carry.n : left;
        lens_splitter_carry(c, in, in->p, need);
        in->p += need;
        if (c->error || c->carry.n < LENS_AWS_PRELUDE) return 0;
        c->total = lens_aws_total(c, c->carry.p);
        if (c->error) return 0;
        left = (size_t)(in->end - in->p);
    }
    need = c->total - c->carry.n < left ? c->total - c->carry.n : left;
    lens_splitter_carry(c, in, in->p, need);
    in->p += need;
    if (c->error || c->carry.n < c->total) return 0;
    c->carry_used = 1;
    return lens_aws_event(c, in, c->carry.p, c->total, out);
}

/* The payload is over: a frame that was begun is missing. */
static inline void lens_aws_end(lens_event_splitter_t *c) {
    if (!c->error && lens_splitter_carries(c)) c->error = LENS_ERROR_INCOMPLETE_EVENT;
}

#endif
