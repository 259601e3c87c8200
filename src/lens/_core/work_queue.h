/* What waits to be looked at, each thing once, in the order in which it was added. A thing knows its own place,
   so that it can be taken out again. Room is made beforehand: adding never asks for memory. */
#ifndef LENS_WORK_QUEUE_H
#define LENS_WORK_QUEUE_H

#include <stdlib.h>

typedef struct {
    void *what; /* NULL: it was taken out */
    int *place; /* of it, where it keeps the number; -1: it does not wait */
} lens_work_t;

typedef struct {
    lens_work_t *work; /* owned */
    int head, end, cap;
} lens_work_queue_t;

static inline void lens_work_free(lens_work_queue_t *q) { free(q->work); }

/* Room for `n` things: 0, or -1 when there is no memory. */
static inline int lens_work_room(lens_work_queue_t *q, int n) {
    lens_work_t *grown;
    if (n <= q->cap) return 0;
    n += n / 2 + 64;
    if (!(grown = (lens_work_t *)realloc(q->work, (size_t)n * sizeof *grown))) return -1;
    q->work = grown;
    q->cap = n;
    return 0;
}

static inline int lens_work_waiting(const lens_work_queue_t *q) { return q->end - q->head; }

static inline void lens_work_add(lens_work_queue_t *q, void *what, int *place) {
    int i, kept = 0;
    if (*place >= 0) return;
    if (q->end == q->cap) {
        for (i = q->head; i < q->end; i++) {
            if (!q->work[i].what) continue;
            q->work[kept] = q->work[i];
            *q->work[kept].place = kept;
            kept++;
        }
        q->head = 0;
        q->end = kept;
    }
    *place = q->end;
    q->work[q->end].what = what;
    q->work[q->end].place = place;
    q->end++;
}

static inline void lens_work_remove(lens_work_queue_t *q, int *place) {
    if (*place < 0) return;
    q->work[*place].what = NULL;
    *place = -1;
}

/* The first of them, which then waits no longer; NULL when there is none. */
static inline void *lens_work_take(lens_work_queue_t *q) {
    void *what = NULL;
    while (!what && q->head < q->end) {
        what = q->work[q->head].what;
        if (what) *q->work[q->head].place = -1;
        q->head++;
    }
    if (q->head == q->end) q->head = q->end = 0;
    return what;
}

#endif
