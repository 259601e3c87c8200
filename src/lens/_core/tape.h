/* The tape's bytes: one entry an event, each as its difference from the one before.

   flags   1 byte: bits 0-1 the read, bit 2 the signals changed, bits 3-7 characters (31: a varint follows)
             read 0: the same read and the same stamps   1: the next read   2: + varint   3: same read, other stamps
   rise    varint, read 2 only: by how much the read number rose
   arrived zigzag varint of ns, unless read 0
   lag     zigzag varint of 128 ns units (not a difference: lags do not drift), unless read 0
   signals varint, when bit 2 is set; its bit 16 says that the block changed too
   block   varint, when that bit is set
   chars   varint, when bits 3-7 are 31

   At 20 ms gaps and 50 us of lag that is 1 + 4 + 2 bytes. Kept frames lie in a second block:
   varint index, varint name length, varint data length, name, data. */
#ifndef LENS_TAPE_H
#define LENS_TAPE_H

#include "buf.h"
#include "saturate.h"

enum {
    LENS_TAPE_SAME = 0,
    LENS_TAPE_NEXT = 1,
    LENS_TAPE_RISE = 2,
    LENS_TAPE_OTHER = 3,
    LENS_TAPE_SIGNALS = 4,
    LENS_TAPE_BLOCK = 1 << 16, /* in the varint of the signals */
    LENS_TAPE_CHARS_SHIFT = 3,
    LENS_TAPE_CHARS_MANY = 31,
    LENS_TAPE_ENTRY_MOST = 40, /* 1 + 5 + 10 + 10 + 3 + 3 + 5 and some */
    LENS_TAPE_LAG_SHIFT = 7,   /* 128 ns: far below what a wake-up costs */
};

typedef struct {
    lens_buf_t events, kept;
    uint64_t n, n_kept;
    int64_t arrived, lag; /* of the newest event; lag in units */
    uint32_t read;
    uint16_t signals;
    uint16_t all_signals; /* that any event had */
    uint16_t block;       /* of the newest event: 1 + its number, 0 where it named none */
    uint8_t has_blocks;   /* an event named one */
} lens_tape_t;

static inline void lens_tape_start(lens_tape_t *t) {
    memset(t, 0, sizeof *t);
}

static inline void lens_tape_free(lens_tape_t *t) {
    lens_buf_free(&t->events);
    lens_buf_free(&t->kept);
}

static inline unsigned char *lens_put_varint(unsigned char *at, uint64_t v) {
    while (v >= 128) {
        *at++ = (unsigned char)(v | 128);
        v >>= 7;
    }
    *at++ = (unsigned char)v;
    return at;
}

static inline const unsigned char *lens_get_varint(const unsigned char *at, const unsigned char *end, uint64_t *v) {
    unsigned shift = 0;
    *v = 0;
    for (;;) {
        LENS_ASSERT(at < end && shift < 64);
        *v |= (uint64_t)(*at & 127) << shift;
        if (*at++ < 128) return at;
        shift += 7;
    }
}

/* Small numbers of either sign become small unsigned ones: 0, -1, 1, -2, ... -> 0, 1, 2, 3, ... */
static inline uint64_t lens_zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (v < 0 ? ~(uint64_t)0 : 0); }
static inline int64_t lens_unzigzag(uint64_t v) { return (int64_t)((v >> 1) ^ (v & 1 ? ~(uint64_t)0 : 0)); }

/* Append one event: 0, or -1 when there is no memory. */
static inline int lens_tape_event(lens_tape_t *t, int64_t arrived, int64_t seen, uint32_t read, uint16_t signals,
                                  uint32_t chars, uint16_t block) {
    int64_t lag_ns = lens_difference(seen, arrived);
    int64_t lag = (lag_ns >> LENS_TAPE_LAG_SHIFT) + ((lag_ns >> (LENS_TAPE_LAG_SHIFT - 1)) & 1); /* nearest unit */
    uint32_t rise = t->n ? read - t->read : read + 1;
    unsigned char flags, *start, *at;
    if (lens_buf_room(&t->events, LENS_TAPE_ENTRY_MOST) < 0) return -1;
    start = t->events.p + t->events.n;
    at = start + 1;
    if (rise) flags = rise == 1 ? LENS_TAPE_NEXT : LENS_TAPE_RISE;
    else flags = arrived == t->arrived && lag == t->lag ? LENS_TAPE_SAME : LENS_TAPE_OTHER;
    if (flags == LENS_TAPE_RISE) at = lens_put_varint(at, rise);
    if (flags != LENS_TAPE_SAME) {
        at = lens_put_varint(at, lens_zigzag((int64_t)((uint64_t)arrived - (uint64_t)t->arrived)));
        at = lens_put_varint(at, lens_zigzag(lag));
    }
    if (block != t->block) {
        flags |= LENS_TAPE_SIGNALS;
        at = lens_put_varint(lens_put_varint(at, (uint32_t)signals | LENS_TAPE_BLOCK), block);
        t->block = block;
        t->has_blocks = 1;
    } else if (signals != t->signals) {
        flags |= LENS_TAPE_SIGNALS;
        at = lens_put_varint(at, signals);
    }
    if (chars < LENS_TAPE_CHARS_MANY) {
        flags |= (unsigned char)(chars << LENS_TAPE_CHARS_SHIFT);
    } else {
        flags |= LENS_TAPE_CHARS_MANY << LENS_TAPE_CHARS_SHIFT;
        at = lens_put_varint(at, chars);
    }
    *start = flags;
    LENS_ASSERT(at - start <= LENS_TAPE_ENTRY_MOST);
    t->events.n += (size_t)(at - start);
    t->arrived = arrived;
    t->lag = lag;
    t->read = read;
    t->signals = signals;
    t->all_signals |= signals;
    t->n++;
    return 0;
}

/* Keep event `index` whole: 0, or -1 when there is no memory. */
static inline int lens_tape_keep(lens_tape_t *t, uint64_t index, const unsigned char *name, size_t name_n,
                                 const unsigned char *data, size_t n) {
    unsigned char head[30], *at = lens_put_varint(lens_put_varint(lens_put_varint(head, index), name_n), n);
    size_t head_n = (size_t)(at - head);
    if (name_n > SIZE_MAX / 8 || n > SIZE_MAX / 8 || lens_buf_room(&t->kept, head_n + name_n + n) < 0) return -1;
    lens_buf_add(&t->kept, head, head_n);
    lens_buf_add(&t->kept, name, name_n);
    lens_buf_add(&t->kept, data, n);
    t->n_kept++;
    return 0;
}

/* An event as it is read back. */
typedef struct {
    const unsigned char *at, *end; /* what is not read yet */
    uint64_t arrived;
    int64_t lag_ns;
    uint32_t read, chars;
    uint16_t signals, block;
} lens_tape_reader_t;

static inline void lens_tape_read_start(lens_tape_reader_t *r, const lens_tape_t *t) {
    memset(r, 0, sizeof *r);
    r->at = r->end = t->events.p; /* NULL while there are no events */
    if (t->n) r->end += t->events.n;
    r->read = (uint32_t)-1; /* the first read is 0 */
}

/* Read the next event; there must be one. */
static inline void lens_tape_read_next(lens_tape_reader_t *r) {
    const unsigned char *at = r->at, *end = r->end;
    unsigned char flags;
    uint64_t v;
    int64_t lag;
    LENS_ASSERT(at < end);
    flags = *at++;
    v = (flags & 3) == LENS_TAPE_NEXT;
    if ((flags & 3) == LENS_TAPE_RISE) at = lens_get_varint(at, end, &v);
    r->read += (uint32_t)v;
    if ((flags & 3) != LENS_TAPE_SAME) {
        at = lens_get_varint(at, end, &v);
        r->arrived += (uint64_t)lens_unzigzag(v);
        at = lens_get_varint(at, end, &v);
        lag = lens_unzigzag(v);
        /* The largest lag was rounded up to one unit more than int64 holds. */
        r->lag_ns = lag > INT64_MAX >> LENS_TAPE_LAG_SHIFT ? INT64_MAX : lag * (1 << LENS_TAPE_LAG_SHIFT);
    }
    if (flags & LENS_TAPE_SIGNALS) {
        at = lens_get_varint(at, end, &v);
        r->signals = (uint16_t)(v & 0xFFFF);
        if (v & LENS_TAPE_BLOCK) {
            at = lens_get_varint(at, end, &v);
            r->block = (uint16_t)v;
        }
    }
    v = flags >> LENS_TAPE_CHARS_SHIFT;
    if (v == LENS_TAPE_CHARS_MANY) at = lens_get_varint(at, end, &v);
    r->chars = (uint32_t)v;
    r->at = at;
}

/* Write the first n events into columns of n places each; what int64 cannot hold becomes its largest or smallest. */
static inline void lens_tape_columns(const lens_tape_t *t, uint64_t n, int64_t start, int64_t *arrived,
                                     int64_t *lag, uint16_t *signals, uint32_t *chars, uint32_t *read) {
    lens_tape_reader_t r;
    uint64_t i;
    lens_tape_read_start(&r, t);
    for (i = 0; i < n; i++) {
        lens_tape_read_next(&r);
        arrived[i] = lens_difference((int64_t)r.arrived, start);
        lag[i] = r.lag_ns;
        signals[i] = r.signals;
        chars[i] = r.chars;
        read[i] = r.read;
    }
    LENS_ASSERT(n < t->n || r.at == r.end);
}

/* Write the block of each of the first n events: 1 + its number, 0 where it named none. */
static inline void lens_tape_blocks(const lens_tape_t *t, uint64_t n, uint16_t *blocks) {
    lens_tape_reader_t r;
    uint64_t i;
    lens_tape_read_start(&r, t);
    for (i = 0; i < n; i++) {
        lens_tape_read_next(&r);
        blocks[i] = r.block;
    }
}

#endif
