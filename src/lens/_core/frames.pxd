"""The decoder for C: every method here runs without the GIL and raises nothing."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cimport cython

from lens._core.signals cimport SignalSet, learned_t
from lens._core.tape cimport Tape, buf_t

cdef extern from "held.h" nogil:
    ctypedef struct held_read_t:
        size_t n
        int64_t arrived
        int64_t seen
    ctypedef struct held_t:
        unsigned char *data
        size_t n
        held_read_t *reads
        size_t n_reads
    void held_clear(held_t *h) noexcept
    int held_add(held_t *h, const unsigned char *data, size_t n, int64_t arrived, int64_t seen) noexcept
    held_t held_take(held_t *h) noexcept

cdef extern from "errors.h" nogil:
    enum:
        ERROR_NONE
        ERROR_INCOMPLETE_BODY
        ERROR_BODY_LONG
        ERROR_MEMORY
    const char *error_words(int error) noexcept

cdef extern from "body.h" nogil:
    enum:
        BODY_NONE
        BODY_LENGTH
        BODY_CHUNKED
        BODY_CLOSE
    ctypedef struct body_t:
        uint8_t error
        uint8_t ended
        buf_t trailers
    void body_start(body_t *b, int kind, int64_t length) noexcept
    size_t body_take(body_t *b, const unsigned char *data, size_t n, const unsigned char **piece, size_t *piece_n) noexcept
    void body_close(body_t *b) noexcept

cdef extern from "cut.h" nogil:
    enum:
        CUT_SSE
        CUT_NDJSON
        CUT_ARRAY
        CUT_AWS
        CUT_DOCUMENT
    ctypedef struct stamp_t:
        int64_t arrived
        int64_t seen
        uint32_t read
    ctypedef struct piece_t:
        stamp_t at
    ctypedef struct event_t:
        const unsigned char *data
        const unsigned char *name
        size_t n
        size_t name_n
        stamp_t at
        uint16_t signals
        size_t type_at
    ctypedef struct cut_t:
        uint8_t kind
        uint8_t error
        size_t most
        uint64_t comments
        buf_t field
    void cut_start(cut_t *c, int kind, size_t most) noexcept
    void cut_free(cut_t *c) noexcept
    void piece_start(piece_t *piece, const unsigned char *data, size_t n, stamp_t at) noexcept

cdef extern from "sse.h" nogil:
    int sse_next(cut_t *c, piece_t *piece, event_t *out) noexcept

cdef extern from "lines.h" nogil:
    int lines_next(cut_t *c, piece_t *piece, event_t *out) noexcept
    int lines_end(cut_t *c, event_t *out) noexcept

cdef extern from "array.h" nogil:
    int array_next(cut_t *c, piece_t *piece, event_t *out) noexcept
    int array_end(cut_t *c, event_t *out) noexcept

cdef extern from "eventstream.h" nogil:
    void crc32_start() noexcept
    int aws_next(cut_t *c, piece_t *piece, event_t *out) noexcept
    void aws_end(cut_t *c) noexcept


@cython.no_gc
cdef class Decoder:
    cdef Tape tape
    cdef SignalSet signals       # None: events are stamped and counted, and carry no signals
    cdef body_t body             # HTTP framing
    cdef cut_t cut               # event framing
    cdef learned_t learned       # the template of this stream's content events
    cdef buf_t first             # the document, or the beginning of a body that has given no event
    cdef held_t encoded          # payload that waits for take_encoded
    cdef bint is_encoded, keep_all
    cdef bint over               # the protocol's end marker was seen: nothing after it is cut
    cdef bint flushed            # the events were told that the payload is over
    cdef Py_ssize_t most
    cdef int64_t c_body_bytes
    cdef uint64_t events         # of this body
    cdef uint64_t silent         # of them, without signals or malformed
    cdef uint32_t reads          # that were fed
    cdef stamp_t payload         # of the newest feed_payload; its read is the number of the next
    # For whoever drives it.
    cdef bint c_ended            # the body ended as its framing promised
    cdef int c_error             # 0, or an ERROR_ of errors.h; nothing is taken after one
    cdef int64_t c_end_ns        # arrival of the byte that ended the body; -1 before, and for a body without bytes
    cdef int64_t c_last_content_ns
    cdef bint c_done
    cdef bint c_has_encoded      # take_encoded has something to give

    # Bytes that belong to this body; what is left came after its end.
    cdef Py_ssize_t c_feed(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    # Decompressed payload with the stamps of the read it came in.
    cdef void c_feed_payload(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    # No more will come: the peer closed, or all payload of an encoded body was given back.
    cdef void c_finish(self, int64_t arrived) noexcept nogil
    cdef void c_payload(self, const unsigned char *data, size_t n, stamp_t at) noexcept nogil
    cdef bint c_next(self, piece_t *piece, event_t *out) noexcept nogil
    cdef void c_event(self, const event_t *event) noexcept nogil
    cdef void c_flush(self) noexcept nogil
    cdef void c_keep_first(self, const unsigned char *data, size_t n) noexcept nogil
