/* AWS event stream (application/vnd.amazon.eventstream): frames with two checksums.

   total u32 | headers length u32 | CRC-32 of those 8 | headers | payload | CRC-32 of all before; big-endian.
   The prelude is checked as soon as its 12 bytes are there, because a wrong length must not be waited for.
   An event's name is "event:TYPE", "exception:TYPE" or "error:CODE", its data is the payload, and for an
   error without payload its message. */
#ifndef LENS_EVENTSTREAM_H
#define LENS_EVENTSTREAM_H

#include "crc32.h"
#include "cut.h"
#include "lines.h"

enum {
    AWS_PRELUDE = 12,
    AWS_LEAST = 16,            /* prelude and the checksum at the end */
    AWS_HEADERS_MOST = 131072, /* as botocore has it */
    AWS_SIGNAL_ERROR = 128,    /* model.Signal.ERROR */
};

typedef struct {
    const unsigned char *p;
    size_t n;
} span_t;

static inline uint32_t big32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* The frame's length by its prelude, 0 and an error when that is wrong. */
static inline size_t aws_total(cut_t *c, const unsigned char *p) {
    uint32_t total = big32(p), headers = big32(p + 4); /* the caller has 12 bytes */
    if (crc32_of(p, 8) != big32(p + 8)) c->error = ERROR_CHECKSUM;
    else if (headers > AWS_HEADERS_MOST || total < AWS_LEAST || headers > total - AWS_LEAST) c->error = ERROR_EVENT_LENGTH;
    else if (total > c->most) c->error = ERROR_EVENT_LONG;
    return c->error ? 0 : total;
}

/* Bytes of a header's value including its length; 0 where the type is unknown or the bytes end. */
static inline size_t aws_value(const unsigned char *p, const unsigned char *end, unsigned char type, int *bad) {
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

static inline int span_is(span_t s, const char *text) { return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0; }

/* The five string headers that say what a frame is: 0, or -1 when the headers are broken. */
static inline int aws_headers(const unsigned char *p, const unsigned char *end, span_t found[5]) {
    static const char *const wanted[5] = {":message-type", ":event-type", ":exception-type", ":error-code",
                                          ":error-message"};
    int i, bad;
    while (p < end) {
        span_t name, value;
        unsigned char type;
        name.n = *p++;
        if ((size_t)(end - p) < name.n + 1) return -1;
        name.p = p;
        p += name.n;
        type = *p++;
        value.n = aws_value(p, end, type, &bad);
        if (bad) return -1;
        value.p = p;
        p += value.n;
        LENS_ASSERT(p <= end);
        for (i = 0; type == 7 && i < 5; i++) {
            if (!span_is(name, wanted[i])) continue;
            found[i].p = value.p + 2;
            found[i].n = value.n - 2;
        }
    }
    return 0;
}

/* A whole frame becomes an event: 1, or 0 and an error. */
static inline int aws_event(cut_t *c, const piece_t *in, const unsigned char *frame, size_t total, event_t *out) {
    span_t found[5], type;
    const unsigned char *headers = frame + AWS_PRELUDE, *payload = headers + big32(frame + 4);
    const char *kind = "event:";
    memset(found, 0, sizeof found);
    LENS_ASSERT(payload <= frame + total - 4);
    if (crc32_of(frame, total - 4) != big32(frame + total - 4)) c->error = ERROR_CHECKSUM;
    else if (aws_headers(headers, payload, found) < 0) c->error = ERROR_EVENT_HEADERS;
    if (c->error) return 0;
    whole_event(out, payload, (size_t)(frame + total - 4 - payload), in->at);
    type = found[1];
    if (span_is(found[0], "exception")) {
        kind = "exception:";
        type = found[2];
        out->signals = AWS_SIGNAL_ERROR;
    } else if (span_is(found[0], "error")) {
        kind = "error:";
        type = found[3];
        out->signals = AWS_SIGNAL_ERROR;
        if (out->n == 0) {
            out->data = found[4].p;
            out->n = found[4].n;
        }
    }
    c->name.n = 0;
    if (buf_add(&c->name, kind, strlen(kind)) < 0 || buf_add(&c->name, type.p, type.n) < 0) {
        c->error = ERROR_MEMORY;
        return 0;
    }
    out->name = c->name.p;
    out->name_n = c->name.n;
    out->type_at = strlen(kind);
    return 1;
}

static inline int aws_next(cut_t *c, piece_t *in, event_t *out) {
    size_t left = (size_t)(in->end - in->p), need;
    const unsigned char *frame = in->p;
    if (!cut_carries(c)) {
        c->total = left >= AWS_PRELUDE ? aws_total(c, frame) : 0;
        if (c->error) return 0;
        if (c->total && left >= c->total) {
            in->p += c->total;
            return aws_event(c, in, frame, c->total, out);
        }
        if (left) cut_carry(c, in, frame, left);
        in->p = in->end;
        return 0;
    }
    if (!c->total) {
        need = AWS_PRELUDE - c->carry.n < left ? AWS_PRELUDE - c->carry.n : left;
        cut_carry(c, in, in->p, need);
        in->p += need;
        if (c->error || c->carry.n < AWS_PRELUDE) return 0;
        c->total = aws_total(c, c->carry.p);
        if (c->error) return 0;
        left = (size_t)(in->end - in->p);
    }
    need = c->total - c->carry.n < left ? c->total - c->carry.n : left;
    cut_carry(c, in, in->p, need);
    in->p += need;
    if (c->error || c->carry.n < c->total) return 0;
    c->carry_used = 1;
    return aws_event(c, in, c->carry.p, c->total, out);
}

/* The payload is over: a frame that was begun is missing. */
static inline void aws_end(cut_t *c) {
    if (!c->error && cut_carries(c)) c->error = ERROR_INCOMPLETE_EVENT;
}

#endif
