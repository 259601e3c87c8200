/* A growing block of bytes. An empty one owns no memory, because there are thousands of them. */
#ifndef LENS_BUF_H
#define LENS_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef struct {
    unsigned char *p; /* owned */
    size_t n, cap;    /* used and allocated */
} lens_buf_t;

static inline void lens_buf_free(lens_buf_t *b) {
    free(b->p);
    memset(b, 0, sizeof *b);
}

/* Room for `more` bytes after the used ones: 0, or -1 when there is no memory. It grows by half,
   so that adding byte by byte costs O(n) and little is wasted. */
static inline int lens_buf_room(lens_buf_t *b, size_t more) {
    size_t cap;
    unsigned char *grown;
    LENS_ASSERT(b->n <= b->cap);
    if (more <= b->cap - b->n) return 0;
    if (more > SIZE_MAX / 4 || b->n > SIZE_MAX / 4) return -1;
    cap = b->cap + b->cap / 2;
    if (cap < 256) cap = 256;
    if (cap < b->n + more) cap = b->n + more;
    if (!(grown = (unsigned char *)realloc(b->p, cap))) return -1;
    b->p = grown;
    b->cap = cap;
    return 0;
}

static inline int lens_buf_add(lens_buf_t *b, const void *data, size_t n) {
    if (n == 0) return 0;
    if (lens_buf_room(b, n) < 0) return -1;
    memcpy(b->p + b->n, data, n);
    b->n += n;
    return 0;
}

#endif
