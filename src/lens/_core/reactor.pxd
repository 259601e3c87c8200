from libc.stdint cimport int64_t

from lens._core.clock cimport Offset
from lens._core.stream cimport Stream


cdef class Reactor:
    cdef int epoll             # -1 once closed
    cdef int stamper           # a socket that keeps the kernel's stamping on
    cdef bint kernel_stamps
    cdef Offset offset
    cdef unsigned char *buffer # one read; shared by all sockets
    cdef dict streams          # fd -> the Stream attached by it; the kernel names descriptors only
    cdef bint draining         # a poll() reads without the GIL
    cdef readonly int64_t polls, reads
    cdef readonly bint unstamped  # a read came without a kernel stamp: its time is that of the read
    cdef list _ready(self)
    cdef void c_drain(self, void **ready, int n) noexcept nogil
    cdef int64_t c_arrival(self, Stream stream, int64_t real, int64_t seen, bint stepped) noexcept nogil
