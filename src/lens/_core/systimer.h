/* timerfd on CLOCK_MONOTONIC and the timer slack of a thread; refused with ENOSYS elsewhere. */
#ifndef LENS_SYSTIMER_H
#define LENS_SYSTIMER_H

#include <errno.h>
#include <stdint.h>

#ifdef __linux__
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LENS_HAS_TIMERFD 1

static inline int lens_timer_open(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

/* Readable from `at` on (absolute ns); at <= 0 disarms. A time that has passed makes it readable at once. */
static inline int lens_timer_arm(int fd, int64_t at) {
    struct itimerspec spec = {{0, 0}, {0, 0}};
    if (at > 0) {
        spec.it_value.tv_sec = at / 1000000000LL;
        spec.it_value.tv_nsec = at % 1000000000LL;
    }
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, 0);
}

static inline int lens_timer_clear(int fd) {
    uint64_t expirations;
    return read(fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN ? -1 : 0;
}

static inline int lens_timer_close(int fd) { return close(fd); }

static inline int lens_fine_timers(void) { return prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); }
#else
#define LENS_HAS_TIMERFD 0

static inline int lens_timer_open(void) { errno = ENOSYS; return -1; }
static inline int lens_timer_arm(int fd, int64_t at) { (void)fd; (void)at; errno = ENOSYS; return -1; }
static inline int lens_timer_clear(int fd) { (void)fd; errno = ENOSYS; return -1; }
static inline int lens_timer_close(int fd) { (void)fd; return 0; }
static inline int lens_fine_timers(void) { errno = ENOSYS; return -1; }
#endif

#endif
