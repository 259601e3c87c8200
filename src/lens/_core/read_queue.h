/* Bytes that cannot be used yet, each read with its stamps: one block, grown by doubling.
   An empty one owns no memory, because there are thousands of them. */
#ifndef LENS_READ_QUEUE_H
#define LENS_READ_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t n;             /* bytes of this read */
    int64_t arrived, seen; /* ns */
} lens_queued_read_t;

typedef struct {
    unsigned char *data; /* owned */
    size_t n, cap;
    lens_queued_read_t *reads; /* owned; one each read, in order */
    size_t n_reads, cap_reads;
} lens_read_queue_t;

static inline void lens_read_queue_clear(lens_read_queue_t *q) {
    free(q->data);
    free(q->reads);
    memset(q, 0, sizeof *q);
}

/* 0, or -1 when there is no memory. */
static inline int lens_read_queue_add(lens_read_queue_t *q, const unsigned char *data, size_t n, int64_t arrived,
                                      int64_t seen) {
    if (q->n + n > q->cap) {
        size_t cap = q->cap ? q->cap : 512;
        unsigned char *grown;
        while (cap < q->n + n) cap *= 2;
        if (!(grown = (unsigned char *)realloc(q->data, cap))) return -1;
        q->data = grown;
        q->cap = cap;
    }
    if (q->n_reads == q->cap_reads) {
        size_t cap = q->cap_reads ? q->cap_reads * 2 : 4;
        lens_queued_read_t *grown = (lens_queued_read_t *)realloc(q->reads, cap * sizeof *grown);
        if (!grown) return -1;
        q->reads = grown;
        q->cap_reads = cap;
    }
    if (n) memcpy(q->data + q->n, data, n);
    q->n += n;
    q->reads[q->n_reads].n = n;
    q->reads[q->n_reads].arrived = arrived;
    q->reads[q->n_reads].seen = seen;
    q->n_reads++;
    return 0;
}

/* Takes everything out of `from`; the caller clears what it got. */
static inline lens_read_queue_t lens_read_queue_take(lens_read_queue_t *from) {
    lens_read_queue_t all = *from;
    memset(from, 0, sizeof *from);
    return all;
}

/* Forgets the first `reads` reads and the first `bytes` bytes; what is left of the read they end in has its size set. */
static inline void lens_read_queue_skip(lens_read_queue_t *q, size_t reads, size_t bytes) {
    q->n -= bytes;
    q->n_reads -= reads;
    if (q->n) memmove(q->data, q->data + bytes, q->n);
    if (q->n_reads) memmove(q->reads, q->reads + reads, q->n_reads * sizeof *q->reads);
}

/* Adds everything of `newer` and empties it: 0, or -1 when there is no memory. */
static inline int lens_read_queue_join(lens_read_queue_t *q, lens_read_queue_t *newer) {
    size_t i, at = 0;
    int failed = 0;
    for (i = 0; i < newer->n_reads && !failed; at += newer->reads[i++].n)
        failed = lens_read_queue_add(q, newer->data + at, newer->reads[i].n, newer->reads[i].arrived,
                                     newer->reads[i].seen);
    lens_read_queue_clear(newer);
    return failed;
}

/* Where the head of an HTTP message ends within data: bytes up to and with the blank line, or -1.
   *line tells how far into "\n\r\n" or "\n\n" the bytes before were, and is kept between calls. */
static inline ptrdiff_t lens_head_end(const unsigned char *data, size_t n, int *line) {
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
