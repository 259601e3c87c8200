"""Clocks for C: inlined into whoever cimports them."""

from libc.stdint cimport int64_t

cdef extern from "sysclock.h" nogil:
    int64_t mono_ns "lens_mono_ns"() noexcept
    int64_t real_ns "lens_real_ns"() noexcept
    int64_t mono_resolution_ns "lens_mono_resolution_ns"() noexcept


cdef inline int64_t offset_ns(int triples, int64_t *width) noexcept nogil:
    """REALTIME - MONOTONIC by the tightest of `triples` brackets; *width is that bracket's.

    The wall clock is read between two readings of the monotonic one, so the truth lies in the
    bracket; the tightest was disturbed least.
    """
    cdef int64_t before, wall, after, best = 0
    cdef int i
    width[0] = -1
    for i in range(triples):
        before = mono_ns()
        wall = real_ns()
        after = mono_ns()
        if width[0] < 0 or after - before < width[0]:
            width[0] = after - before
            best = wall - (before + (after - before) // 2)
    return best


cdef struct Offset:
    int64_t value     # REALTIME - MONOTONIC, ns
    int64_t width     # of the bracket it was read in
    int64_t sampled   # when, on CLOCK_MONOTONIC
    int64_t steps     # how often it was set
    int64_t stepped   # until when stamps may be of the clock as it was before, on CLOCK_MONOTONIC


# How old an offset may get. NTP slews both clocks alike, so only a step can make it wrong.
cdef enum:
    OFFSET_AGE_NS = 10_000_000
    # Two samples of an unstepped clock differ by tens of ns; a bracket that was preempted is not tight.
    STEP_NS = 1000


cdef inline void offset_start(Offset *o) noexcept nogil:
    o.sampled = mono_ns()
    o.value = offset_ns(9, &o.width)
    o.steps = o.stepped = 0


cdef inline bint offset_renew(Offset *o, int64_t now) noexcept nogil:
    """Sample again when old; True when the wall clock was set since the last sample."""
    cdef int64_t width, value, moved
    if now - o.sampled < OFFSET_AGE_NS:
        return False
    value = offset_ns(5, &width)
    moved = value - o.value
    if moved < 0:
        moved = -moved
    if moved > STEP_NS + width + o.width:
        o.steps += 1
        o.stepped = mono_ns()
        o.value, o.width, o.sampled = value, width, now
        return True
    # The tighter bracket is the better estimate; an old one must still follow the slew.
    o.value, o.width, o.sampled = value, width, now
    return False


cdef enum:
    DOUBTFUL_LAG_NS = 2_000_000  # so late only under load, or when the wall clock was set back
    DOUBTFUL_AGE_NS = 100_000


cdef inline int64_t offset_to_mono(Offset *o, int64_t real, int64_t seen, bint *stepped) noexcept nogil:
    """A stamp of the wall clock, of something that was seen at `seen`, on the monotonic one.

    It is `seen` when the wall clock was set in between, which *stepped tells, or is known already.
    """
    cdef int64_t at = real - o.value
    if at > seen + STEP_NS or seen - at > DOUBTFUL_LAG_NS:
        # Either it is seen late, or the wall clock was set since the offset was read.
        if at > seen or seen - o.sampled > DOUBTFUL_AGE_NS:
            o.sampled = 0
            stepped[0] = offset_renew(o, seen) or stepped[0]
            at = real - o.value
    if at < o.stepped:
        stepped[0] = True
    return seen if stepped[0] or at > seen else at
