/* Sums and differences of stamps that stop at the ends of int64 instead of going round. */
#ifndef LENS_SATURATE_H
#define LENS_SATURATE_H

#include <stdint.h>

static inline int64_t lens_sum(int64_t a, int64_t b) {
    if (b < 0) return a < INT64_MIN - b ? INT64_MIN : a + b;
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static inline int64_t lens_difference(int64_t a, int64_t b) {
    if (b < 0) return a > INT64_MAX + b ? INT64_MAX : a - b;
    return a < INT64_MIN + b ? INT64_MIN : a - b;
}

#endif
