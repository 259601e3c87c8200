/* Whether it pays to wait a little, so that more sockets are ready when they are read.

   A wake-up costs as much as some reads, and kernel stamps do not mind when they are read. But two events of a
   stream that come closer than that are one read then, so no stream may be fast. */
#ifndef LENS_READ_RATE_H
#define LENS_READ_RATE_H

#include <stdint.h>

enum {
    LENS_BATCH_STREAMS = 256,        /* fewer leave the thread idle in between anyway */
    LENS_BATCH_NS = 300000,          /* so long it waits */
    LENS_FAST_READS_PER_S = 100,     /* of one stream; at more, waiting is over 3 % of its gaps */
    LENS_RATE_WINDOW_NS = 50000000,  /* the rate is that of the last window */
};

typedef struct {
    int64_t since, reads; /* where the window began: ns, and how many reads there had been */
    int64_t batching;     /* 1: it pays */
} lens_read_rate_t;

static inline void lens_rate_update(lens_read_rate_t *rate, int64_t now, int64_t all_reads, int64_t streams) {
    int64_t took = now - rate->since, reads = all_reads - rate->reads;
    if (took < LENS_RATE_WINDOW_NS) return;
    rate->batching = streams >= LENS_BATCH_STREAMS && reads * 1000000000LL > streams * took
        && reads * 1000000000LL < LENS_FAST_READS_PER_S * streams * took;
    rate->since = now;
    rate->reads = all_reads;
}

#endif
