# cython: language_level=3
"""Start times that are kept: a timerfd in the caller's loop.

Poll timeouts are rounded to a millisecond; a timerfd is not. It fires a little early and the rest
is spun away, because waking an idle processor takes tens of microseconds.
"""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_SetFromErrno
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from lens._core.clock cimport mono_ns

import sys

cdef extern from "saturate.h" nogil:
    int64_t lens_sum(int64_t a, int64_t b) noexcept
    int64_t lens_difference(int64_t a, int64_t b) noexcept

native = bool(LENS_HAS_TIMERFD)
# What the struct module calls a native signed integer; which of them has eight bytes the system decides.
_INTEGERS = ("q", "l", "@q", "@l", "=q", "<q" if sys.byteorder == "little" else ">q")


cdef int _require_int64(const Py_buffer *view) except -1:
    """Raise TypeError where a buffer holds anything else than int64: the bits of a float are a number too."""
    held = view.format.decode() if view.format != NULL else "B"
    if held not in _INTEGERS or view.itemsize != sizeof(int64_t):
        raise TypeError(f"times_ns holds items of format {held!r}; array('q') or numpy's int64 would work")
    return 0


cdef class Pacer:
    def __cinit__(self, times_ns, *, int64_t early_ns=0):
        cdef Py_buffer view
        cdef Py_ssize_t i
        self.timer = -1
        self.early_ns = early_ns
        PyObject_GetBuffer(times_ns, &view, PyBUF_FORMAT | PyBUF_ND)
        try:
            _require_int64(&view)
            self.n = view.len // <Py_ssize_t>sizeof(int64_t)
            self.times = <int64_t *>malloc(view.len or 1)
            if self.times == NULL:
                raise MemoryError()
            memcpy(self.times, view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        for i in range(1, self.n):
            if self.times[i] < self.times[i - 1]:
                raise ValueError(f"times_ns must ascend; number {i} is earlier than the one before it")
        self.timer = timer_open()
        if self.timer < 0:
            PyErr_SetFromErrno(OSError)
        self._rearm()

    def __dealloc__(self):
        if self.timer >= 0:
            timer_close(self.timer)
        free(self.times)

    cdef int _rearm(self) except -1:
        cdef int64_t at = 0
        if self.next < self.n:
            # 0 would disarm the timer; a time in the past fires at once.
            at = max(lens_difference(self.times[self.next], self.early_ns), 1)
        if timer_arm(self.timer, at) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    def fileno(self):
        return self.timer

    def due(self):
        cdef Py_ssize_t first = self.next
        if self.timer < 0:
            raise ValueError("the pacer is closed")
        if timer_clear(self.timer) < 0:
            PyErr_SetFromErrno(OSError)
        with nogil:
            if self.next < self.n and lens_difference(self.times[self.next], mono_ns()) <= self.early_ns:
                while mono_ns() < self.times[self.next]:
                    pass
            while self.next < self.n and self.times[self.next] <= mono_ns():
                self.next += 1
        self._rearm()
        return first, self.next

    @property
    def remaining(self):
        return self.n - self.next

    def close(self):
        if self.timer >= 0:
            timer_close(self.timer)
            self.timer = -1


cdef class Alarm:
    def __cinit__(self):
        self.timer = timer_open()
        if self.timer < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        self.close()

    def fileno(self):
        return self.timer

    def set(self, int64_t after_ns):
        # Arming forgets an earlier alarm that nobody has read.
        if timer_arm(self.timer, lens_sum(mono_ns(), max(after_ns, 1))) < 0:
            PyErr_SetFromErrno(OSError)

    def close(self):
        if self.timer >= 0:
            timer_close(self.timer)
            self.timer = -1


def fine_timers():
    return set_fine_timers() == 0
