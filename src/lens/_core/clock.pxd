from libc.stdint cimport int64_t

cdef int64_t mono_ns() noexcept nogil
cdef int64_t real_ns() noexcept nogil
# REALTIME - MONOTONIC by the tightest of `triples` brackets; its width goes to *width.
cdef int64_t offset_ns(int triples, int64_t *width) noexcept nogil
