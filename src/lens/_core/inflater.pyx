# cython: language_level=3
"""Decompression of a body: payload from the body framing in, plain payload with the same stamps out.

The rule: one call decompresses a slice and no more, because a byte of gzip may become a thousand, and other
connections are waited for meanwhile.
"""

from libc.stdint cimport uint64_t

from lens._core.frames cimport (
    LENS_ERROR_COMPRESSED,
    LENS_ERROR_INFLATED_LONG,
    LENS_ERROR_INFLATED_RATIO,
    LENS_ERROR_NONE,
    Decoder,
    lens_read_queue_skip,
    lens_read_queue_t,
)
from lens._core.lock cimport hold, let_go, lens_lock_t

import zlib

cdef enum:
    # Decompressed at once.
    SLICE_BYTES = 1048576
    # So much may be of any density: the beginning of an answer may be all alike.
    RATIO_FROM = 16777216
    # What zlib calls a window for both headers; deflate means zlib's format (RFC 9110, 8.4.1.2).
    ZLIB_OR_GZIP = 47


cdef class Inflater:
    """Decompresses the payload of a gzip or deflate body, member after member (RFC 1952, 2.2)."""

    def __cinit__(self, uint64_t most=0, uint64_t ratio=0):
        self.decompressor = zlib.decompressobj(ZLIB_OR_GZIP)
        self.most, self.ratio = most, ratio

    cdef int inflate(self, Decoder decoder, lens_lock_t *lock, lens_read_queue_t *queue) except -1:
        cdef size_t i = 0, at = 0
        cdef uint64_t until = self.given + SLICE_BYTES
        cdef bytes payload, plain
        cdef int error = LENS_ERROR_NONE
        while i < queue.n_reads and self.given < until and not error:
            payload = (<char *>queue.data)[at:at + queue.reads[i].n]
            try:
                plain, payload = self.decompress(payload)
            except zlib.error:
                error = LENS_ERROR_COMPRESSED
                break
            hold(lock)
            decoder.c_feed_payload(plain, len(plain), queue.reads[i].arrived, queue.reads[i].seen)
            let_go(lock)
            self.taken += queue.reads[i].n - len(payload)
            self.given += len(plain)
            at += queue.reads[i].n - len(payload)
            queue.reads[i].n = len(payload)
            error = self.exceeded()
            if not payload:
                i += 1
        lens_read_queue_skip(queue, i, at)
        return error

    cdef tuple decompress(self, bytes payload):
        """(the next piece of plain payload, what of `payload` is left to decompress); raises zlib.error."""
        cdef bytes plain, left
        self.inside_member = True
        plain = self.decompressor.decompress(payload, SLICE_BYTES)
        left = self.decompressor.unconsumed_tail
        if self.decompressor.eof:
            left = self.decompressor.unused_data
            self.decompressor = zlib.decompressobj(ZLIB_OR_GZIP)
            self.inside_member = False
        return plain, left

    cdef int exceeded(self) noexcept:
        if self.most and self.given > self.most:
            return LENS_ERROR_INFLATED_LONG
        if self.ratio and self.given > RATIO_FROM and self.given > self.ratio * self.taken:
            return LENS_ERROR_INFLATED_RATIO
        return LENS_ERROR_NONE
