# cython: language_level=3
"""What the kernel says of a TCP connection (TCP_INFO)."""

from libc.stdint cimport int64_t
from libc.string cimport memset

cdef extern from "sysio.h" nogil:
    int lens_tcp_info(int fd, int64_t *out) noexcept


cdef tuple read_facts(int fd):
    cdef int64_t facts[5]
    memset(facts, 0, sizeof(facts))
    if lens_tcp_info(fd, facts) < 0:
        return None
    return facts[0], facts[1], facts[2], facts[3], facts[4]


def read_tcp_info(int fd):
    return read_facts(fd)
