from libc.stdint cimport int64_t

cdef extern from "systimer.h" nogil:
    bint LENS_HAS_TIMERFD
    int timer_open "lens_timer_open"() noexcept
    int timer_arm "lens_timer_arm"(int fd, int64_t at) noexcept
    int timer_clear "lens_timer_clear"(int fd) noexcept
    int timer_close "lens_timer_close"(int fd) noexcept
    int set_fine_timers "lens_fine_timers"() noexcept


cdef class Pacer:
    cdef int64_t *times      # ascending, absolute ns; owned
    cdef Py_ssize_t n, next  # how many there are, and the first that has not come
    cdef int64_t early_ns    # how long before a start time the timer fires
    cdef int timer           # the timerfd; -1 once closed
    cdef int _rearm(self) except -1


cdef class Alarm:
    cdef int timer           # the timerfd; -1 once closed
