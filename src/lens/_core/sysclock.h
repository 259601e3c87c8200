/* The two clocks as int64 nanoseconds, on every system the package is built for. */
#ifndef LENS_SYSCLOCK_H
#define LENS_SYSCLOCK_H

#include <stdint.h>

#ifdef _WIN32
#include <windows.h>

static inline int64_t lens_mono_ns(void) {
    LARGE_INTEGER f, c;
    QueryPerformanceFrequency(&f);
    QueryPerformanceCounter(&c);
    int64_t s = c.QuadPart / f.QuadPart, rest = c.QuadPart % f.QuadPart;
    return s * 1000000000LL + rest * 1000000000LL / f.QuadPart;
}

static inline int64_t lens_real_ns(void) {
    FILETIME t;
    GetSystemTimePreciseAsFileTime(&t);
    int64_t ticks = ((int64_t)t.dwHighDateTime << 32) | t.dwLowDateTime; /* 100 ns since 1601 */
    return (ticks - 116444736000000000LL) * 100;
}

static inline int64_t lens_mono_resolution_ns(void) {
    LARGE_INTEGER f;
    QueryPerformanceFrequency(&f);
    return f.QuadPart >= 1000000000LL ? 1 : 1000000000LL / f.QuadPart;
}
#else
#include <time.h>

static inline int64_t lens_ns(struct timespec t) { return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec; }

static inline int64_t lens_mono_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return lens_ns(t);
}

static inline int64_t lens_real_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return lens_ns(t);
}

static inline int64_t lens_mono_resolution_ns(void) {
    struct timespec t;
    return clock_getres(CLOCK_MONOTONIC, &t) ? -1 : lens_ns(t);
}
#endif

#endif
