# cython: language_level=3
"""CLOCK_MONOTONIC in nanoseconds, and how far the wall clock is from it.

Every stamp of the instrument is on CLOCK_MONOTONIC. Kernel stamps come on CLOCK_REALTIME and
are moved over by an offset that is sampled here (clock.pxd), never assumed.
"""


def now_ns():
    return mono_ns()


def realtime_ns():
    return real_ns()


def resolution_ns():
    return mono_resolution_ns()


def cost_ns(int reads=1000):
    cdef int64_t start, end
    cdef int i, series
    cdef list costs = []
    if reads < 1:
        raise ValueError("reads must be 1 or more")
    for series in range(9):
        with nogil:
            start = mono_ns()
            for i in range(reads):
                mono_ns()
            end = mono_ns()
        costs.append((end - start) / <double>(reads + 1))
    return sorted(costs)[4]


def sample_offset(int triples=9):
    cdef int64_t width, offset
    if triples < 1:
        raise ValueError("triples must be 1 or more")
    with nogil:
        offset = offset_ns(triples, &width)
    return offset, width
