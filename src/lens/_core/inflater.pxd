from libc.stdint cimport uint64_t

from lens._core.frames cimport Decoder, lens_read_queue_t
from lens._core.lock cimport lens_lock_t


cdef class Inflater:
    cdef object decompressor     # zlib's, of the member that is being read
    cdef bint inside_member      # some of it came, and its end did not
    cdef uint64_t most, ratio    # decompressed bytes, and how many of them a byte may become; 0: no limit
    cdef uint64_t taken, given   # bytes before and after decompression

    # Give the decoder what the reads are decompressed, a slice of it; what is left stays in the queue. Return an
    # LENS_ERROR_ of errors.h. The lock guards the decoder.
    cdef int inflate(self, Decoder decoder, lens_lock_t *lock, lens_read_queue_t *queue) except -1
    cdef tuple decompress(self, bytes payload)
    cdef int exceeded(self) noexcept
