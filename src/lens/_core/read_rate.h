/* Whether it pays to wait a little, so that more sockets are ready when they are read, and how long.

   A wake-up costs as much as some reads, and kernel stamps do not mind when they are read. But two events of a
   stream that come closer than the wait are one read then, so it is a small share of the gaps of the fastest one. */
#ifndef LENS_READ_RATE_H
#define LENS_READ_RATE_H

#include <stdint.h>

enum {
    LENS_BATCH_STREAMS = 100,       /* as fast as the fastest, about 250 of a usual server: fewer keep a read a token */
    LENS_BATCH_NS = 300000,         /* the longest wait */
    LENS_BATCH_SHARE = 32,          /* it is at most the 32nd part of a gap: 3 % */
    LENS_RATE_WINDOW_NS = 50000000, /* the rate is that of the last window */
};

typedef struct {
    int64_t since, reads; /* where the window began: ns, and how many reads there had been */
    int64_t most;         /* reads of one stream in the window so far, of the fastest */
    int64_t wait_ns;      /* before the next read; 0: waiting does not pay */
} lens_read_rate_t;

/* Note one read of a stream, which keeps its window and its reads in that. */
static inline void lens_rate_count(lens_read_rate_t *rate, int64_t *window, int64_t *reads) {
    if (*window != rate->since) {
        *window = rate->since;
        *reads = 0;
    }
    if (++*reads > rate->most) rate->most = *reads;
}

/* batches: whether reads may wait at all. */
static inline void lens_rate_update(lens_read_rate_t *rate, int64_t now, int64_t all_reads, int batches) {
    int64_t took = now - rate->since, reads = all_reads - rate->reads, wait;
    if (took < LENS_RATE_WINDOW_NS) return;
    wait = batches && rate->most && reads >= LENS_BATCH_STREAMS * rate->most ? took / rate->most / LENS_BATCH_SHARE : 0;
    if (wait > LENS_BATCH_NS) wait = LENS_BATCH_NS;
    /* A wait that gathers less than one event more saves no wake-up. */
    rate->wait_ns = wait * reads >= took ? wait : 0;
    rate->since = now;
    rate->reads = all_reads;
    rate->most = 0;
}

#endif
