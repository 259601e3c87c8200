"""The decoder for C: every method here runs without the GIL and raises nothing."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cimport cython

from lens._core.signals cimport SignalSet, lens_template_t
from lens._core.tape cimport Tape, lens_buf_t

cdef extern from "read_queue.h" nogil:
    ctypedef struct lens_queued_read_t:
        size_t n
        int64_t arrived
        int64_t seen
    ctypedef struct lens_read_queue_t:
        unsigned char *data
        size_t n
        lens_queued_read_t *reads
        size_t n_reads
    void lens_read_queue_clear(lens_read_queue_t *q) noexcept
    int lens_read_queue_add(lens_read_queue_t *q, const unsigned char *data, size_t n, int64_t arrived,
                            int64_t seen) noexcept
    lens_read_queue_t lens_read_queue_take(lens_read_queue_t *q) noexcept
    void lens_read_queue_skip(lens_read_queue_t *q, size_t reads, size_t bytes) noexcept
    int lens_read_queue_join(lens_read_queue_t *q, lens_read_queue_t *newer) noexcept

cdef extern from "errors.h" nogil:
    enum:
        LENS_ERROR_NONE
        LENS_ERROR_INCOMPLETE_BODY
        LENS_ERROR_BODY_LONG
        LENS_ERROR_MEMORY
        LENS_ERROR_COMPRESSED
        LENS_ERROR_EVENTS_MANY
        LENS_ERROR_KEPT_LONG
        LENS_ERROR_INFLATED_LONG
        LENS_ERROR_INFLATED_RATIO
    const char *lens_error_message(int error) noexcept

cdef extern from "body.h" nogil:
    enum:
        LENS_BODY_NONE
        LENS_BODY_LENGTH
        LENS_BODY_CHUNKED
        LENS_BODY_CLOSE
    ctypedef struct lens_body_t:
        uint8_t kind
        uint8_t error
        uint8_t ended
        lens_buf_t trailers
    void lens_body_start(lens_body_t *b, int kind, int64_t length) noexcept
    size_t lens_body_take(lens_body_t *b, const unsigned char *data, size_t n, const unsigned char **piece,
                          size_t *piece_n) noexcept
    void lens_body_close(lens_body_t *b) noexcept

cdef extern from "event_splitter.h" nogil:
    enum:
        LENS_EVENTS_SSE
        LENS_EVENTS_NDJSON
        LENS_EVENTS_ARRAY
        LENS_EVENTS_AWS
        LENS_EVENTS_DOCUMENT
    ctypedef struct lens_stamp_t:
        int64_t arrived
        int64_t seen
        uint32_t read
    ctypedef struct lens_piece_t:
        lens_stamp_t at
    ctypedef struct lens_event_t:
        const unsigned char *data
        const unsigned char *name
        size_t n
        size_t name_n
        lens_stamp_t at
        uint16_t signals
        size_t type_at
    ctypedef struct lens_event_splitter_t:
        uint8_t kind
        uint8_t error
        size_t most
        uint64_t comments
        lens_buf_t field
    void lens_splitter_start(lens_event_splitter_t *c, int kind, size_t most) noexcept
    void lens_splitter_free(lens_event_splitter_t *c) noexcept
    void lens_piece_start(lens_piece_t *piece, const unsigned char *data, size_t n, lens_stamp_t at) noexcept


@cython.no_gc
cdef class Decoder:
    cdef Tape tape
    cdef SignalSet signals              # None: events are stamped and counted, and carry no signals
    cdef lens_body_t body               # HTTP framing
    cdef lens_event_splitter_t splitter # event framing
    cdef lens_template_t template       # of this stream's content events
    cdef lens_buf_t first               # the document, or the beginning of a body that has given no event
    cdef lens_read_queue_t encoded      # payload that waits for take_encoded
    cdef bint is_encoded, keep_all
    cdef bint over               # the protocol's end marker was seen: nothing after it is cut
    cdef bint flushed            # the events were told that the payload is over
    cdef Py_ssize_t most
    cdef uint64_t most_events, most_kept  # of this tape, and bytes of its frames; 0: no limit
    cdef int64_t c_body_bytes
    cdef uint64_t events      # of this body
    cdef uint64_t silent      # of them, without signals or malformed
    cdef uint32_t reads       # that were fed
    cdef lens_stamp_t payload # of the newest feed_payload; its read is the number of the next
    # For whoever drives it.
    cdef bint c_ended            # the body ended as its framing promised
    cdef int c_error             # 0, or an LENS_ERROR_ of errors.h; nothing is taken after one
    cdef int64_t c_end_ns        # arrival of the byte that ended the body; -1 before, and for a body without bytes
    cdef int64_t c_last_content_ns
    cdef bint c_done
    cdef bint c_has_encoded      # take_encoded has something to give

    cdef void c_begin(self, int body, int64_t length, int events, bint encoded) noexcept nogil
    # Bytes that belong to this body; what is left came after its end.
    cdef Py_ssize_t c_feed(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    # Decompressed payload with the stamps of the read it came in.
    cdef void c_feed_payload(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    # No more will come: the peer closed, or all payload of an encoded body was given back.
    cdef void c_finish(self, int64_t arrived) noexcept nogil
    cdef void c_payload(self, const unsigned char *data, size_t n, lens_stamp_t at) noexcept nogil
    cdef bint c_next(self, lens_piece_t *piece, lens_event_t *out) noexcept nogil
    cdef void c_event(self, const lens_event_t *event) noexcept nogil
    cdef void c_flush(self) noexcept nogil
    cdef void c_take_pending(self, const lens_event_t *event) noexcept nogil
    cdef void c_keep_first(self, const unsigned char *data, size_t n) noexcept nogil


cdef int event_framing(str events) except -1
cdef str event_framing_name(int events)
