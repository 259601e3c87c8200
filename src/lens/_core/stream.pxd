from libc.stdint cimport int64_t

from lens._core.frames cimport Decoder, lens_read_queue_t
from lens._core.inflater cimport Inflater
from lens._core.lock cimport lens_lock_t
from lens._core.stream_state cimport StreamState
from lens._core.tape cimport Tape


cdef class Stream(StreamState):
    # Only whoever has the GIL touches these.
    cdef bint settling         # settle() is at work
    cdef bint again            # somebody else wanted to meanwhile
    cdef str tls_error
    cdef Tape tape
    cdef Inflater inflater     # None: the body is not compressed
    cdef object tls, incoming

    cdef void bind(self, lens_lock_t *lock) noexcept
    cdef int settle(self) except -1
    cdef int _require_head(self, str refused) except -1
    cdef int _decrypt(self) except -1
    cdef int _decrypt_reads(self, lens_read_queue_t *queue) except -1
    cdef void _end_tls(self, int64_t at) noexcept
    cdef tuple _plain(self)
    cdef int _inflate(self) except -1
    cdef Decoder _make_decoder(self, Tape tape)
