/* Bytes that cannot be used yet, each read with its stamps: one block, grown by doubling.
   An empty one owns no memory, because there are thousands of them. */
#ifndef LENS_HELD_H
#define LENS_HELD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t n;             /* bytes of this read */
    int64_t arrived, seen; /* ns */
} held_read_t;

typedef struct {
    unsigned char *data; /* owned */
    size_t n, cap;
    held_read_t *reads; /* owned; one each read, in order */
    size_t n_reads, cap_reads;
} held_t;

static inline void held_clear(held_t *h) {
    free(h->data);
    free(h->reads);
    memset(h, 0, sizeof *h);
}

/* 0, or -1 when there is no memory. */
static inline int held_add(held_t *h, const unsigned char *data, size_t n, int64_t arrived, int64_t seen) {
    if (h->n + n > h->cap) {
        size_t cap = h->cap ? h->cap : 512;
        unsigned char *grown;
        while (cap < h->n + n) cap *= 2;
        if (!(grown = (unsigned char *)realloc(h->data, cap))) return -1;
        h->data = grown;
        h->cap = cap;
    }
    if (h->n_reads == h->cap_reads) {
        size_t cap = h->cap_reads ? h->cap_reads * 2 : 4;
        held_read_t *grown = (held_read_t *)realloc(h->reads, cap * sizeof *grown);
        if (!grown) return -1;
        h->reads = grown;
        h->cap_reads = cap;
    }
    memcpy(h->data + h->n, data, n);
    h->n += n;
    h->reads[h->n_reads].n = n;
    h->reads[h->n_reads].arrived = arrived;
    h->reads[h->n_reads].seen = seen;
    h->n_reads++;
    return 0;
}

/* Takes everything out of `from`; the caller clears what it got. */
static inline held_t held_take(held_t *from) {
    held_t all = *from;
    memset(from, 0, sizeof *from);
    return all;
}

/* Where the head of an HTTP message ends within data: bytes up to and with the blank line, or -1.
   *line tells how far into "\n\r\n" or "\n\n" the bytes before were, and is kept between calls. */
static inline ptrdiff_t head_end_in(const unsigned char *data, size_t n, int *line) {
    size_t i = 0;
    while (i < n) {
        if (*line) {
            if (data[i] == '\n') return (ptrdiff_t)i + 1;
            *line = data[i] == '\r' && *line == 1 ? 2 : 0;
            i++;
        } else {
            const unsigned char *newline = (const unsigned char *)memchr(data + i, '\n', n - i);
            if (!newline) return -1;
            i = (size_t)(newline - data) + 1;
            *line = 1;
        }
    }
    return -1;
}

#endif
