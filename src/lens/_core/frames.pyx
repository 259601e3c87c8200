# cython: language_level=3
"""Body framing and event framing: from the bytes of a read to stamped events on the tape.

The rule: the same bytes, cut anywhere, give the same events; an event's stamp is that of the
feed which completed its data. The state machines stand in C headers, one a format: body.h,
sse.h, lines.h, array.h, eventstream.h; here they are joined, and what is kept is decided.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from lens._core.signals cimport (
    LENS_SIGNAL_CONTENT,
    LENS_SIGNAL_DONE,
    LENS_SIGNAL_ERROR,
    LENS_SIGNAL_FINISH,
    LENS_SIGNAL_MALFORMED,
    LENS_SIGNAL_TOOL,
    LENS_SIGNAL_USAGE,
    SignalSet,
    lens_found_t,
    lens_rules_scan,
)
from lens._core.tape cimport Tape, lens_buf_add, lens_buf_free, lens_tape_event, lens_tape_keep

cdef extern from "sse.h" nogil:
    int lens_sse_next(lens_event_splitter_t *c, lens_piece_t *piece, lens_event_t *out) noexcept
    int lens_sse_end(lens_event_splitter_t *c, lens_event_t *out) noexcept

cdef extern from "lines.h" nogil:
    int lens_ndjson_next(lens_event_splitter_t *c, lens_piece_t *piece, lens_event_t *out) noexcept
    int lens_ndjson_end(lens_event_splitter_t *c, lens_event_t *out) noexcept

cdef extern from "array.h" nogil:
    int lens_array_next(lens_event_splitter_t *c, lens_piece_t *piece, lens_event_t *out) noexcept
    int lens_array_end(lens_event_splitter_t *c, lens_event_t *out) noexcept

cdef extern from "crc32.h" nogil:
    void lens_crc32_start() noexcept

cdef extern from "eventstream.h" nogil:
    int lens_aws_next(lens_event_splitter_t *c, lens_piece_t *piece, lens_event_t *out) noexcept
    void lens_aws_end(lens_event_splitter_t *c) noexcept

cdef enum:
    # An event with one of these is kept whole, content or not. Of tool calls, because only their whole arguments
    # say whether they are complete.
    KEPT_BITS = (
        LENS_SIGNAL_USAGE | LENS_SIGNAL_FINISH | LENS_SIGNAL_ERROR | LENS_SIGNAL_DONE | LENS_SIGNAL_MALFORMED
        | LENS_SIGNAL_TOOL
    )
    # A stream of nothing we know must not fill the memory; what comes after is counted only.
    SILENT_KEPT = 1024
    # Of a body without events; enough to read an error page.
    FIRST_BYTES = 65536

_BODIES = {"none": LENS_BODY_NONE, "length": LENS_BODY_LENGTH, "chunked": LENS_BODY_CHUNKED, "close": LENS_BODY_CLOSE}
_EVENTS = {
    "sse": LENS_EVENTS_SSE,
    "ndjson": LENS_EVENTS_NDJSON,
    "json_array": LENS_EVENTS_ARRAY,
    "aws": LENS_EVENTS_AWS,
    "document": LENS_EVENTS_DOCUMENT,
}

lens_crc32_start()


cdef int event_framing(str events) except -1:
    """The number of an event framing."""
    if events not in _EVENTS:
        raise ValueError(f"event framing {events!r} is not one of {', '.join(_EVENTS)}")
    return _EVENTS[events]


cdef str event_framing_name(int events):
    return next(name for name, number in _EVENTS.items() if number == events)


cdef bytes _bytes(const lens_buf_t *block):
    return (<const char *>block.p)[:block.n] if block.n else b""


@cython.no_gc  # a tape and rules: they lead back to nothing
cdef class Decoder:
    def __cinit__(self, Tape tape not None, *, bint keep_all=False, Py_ssize_t max_event_bytes=16777216,
                  uint64_t max_events=0, uint64_t max_kept_bytes=0):
        if max_event_bytes < 1:
            raise ValueError(f"max_event_bytes {max_event_bytes} leaves no room for an event; 1 and more work")
        self.tape = tape
        self.keep_all = keep_all
        self.most = max_event_bytes
        self.most_events, self.most_kept = max_events, max_kept_bytes
        self.c_end_ns = self.c_last_content_ns = -1

    def __dealloc__(self):
        lens_splitter_free(&self.splitter)
        lens_buf_free(&self.body.trailers)
        lens_buf_free(&self.template.event)
        lens_buf_free(&self.first)
        lens_read_queue_clear(&self.encoded)

    def begin(self, str body, int64_t length, str events, SignalSet signals, *, bint encoded=False):
        if body not in _BODIES:
            raise ValueError(f"body framing {body!r} is not one of {', '.join(_BODIES)}")
        cdef int framing = event_framing(events)
        if body == "length" and length < 0:
            raise ValueError(f"a body of {length} bytes cannot be; 0 and more work")
        self.signals = signals
        self.c_begin(_BODIES[body], length, framing, encoded)

    cdef void c_begin(self, int body, int64_t length, int events, bint encoded) noexcept nogil:
        lens_body_start(&self.body, body, length)
        lens_splitter_start(&self.splitter, events, self.most)
        lens_buf_free(&self.template.event)
        lens_buf_free(&self.first)
        lens_read_queue_clear(&self.encoded)
        self.is_encoded = encoded
        self.over = self.flushed = self.c_done = self.c_has_encoded = False
        self.c_body_bytes = self.events = self.silent = self.reads = 0
        self.payload.read = 0
        self.c_error = LENS_ERROR_NONE
        self.c_ended = self.body.ended
        self.c_end_ns = self.c_last_content_ns = -1

    def feed(self, data, int64_t arrived_ns, int64_t seen_ns):
        cdef Py_buffer view
        cdef Py_ssize_t taken
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        with nogil:
            taken = self.c_feed(<const unsigned char *>view.buf, view.len, arrived_ns, seen_ns)
        PyBuffer_Release(&view)
        return taken

    def feed_payload(self, data, int64_t arrived_ns, int64_t seen_ns):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        with nogil:
            self.c_feed_payload(<const unsigned char *>view.buf, view.len, arrived_ns, seen_ns)
        PyBuffer_Release(&view)

    def take_encoded(self):
        cdef lens_read_queue_t queue = lens_read_queue_take(&self.encoded)
        cdef lens_queued_read_t *read
        cdef size_t i, at = 0
        cdef list taken = []
        self.c_has_encoded = False
        try:
            for i in range(queue.n_reads):
                read = &queue.reads[i]
                taken.append(((<char *>queue.data)[at:at + read.n], read.arrived, read.seen))
                at += read.n
        finally:
            lens_read_queue_clear(&queue)
        return taken

    def finish(self, int64_t arrived_ns):
        self.c_finish(arrived_ns)

    cdef Py_ssize_t c_feed(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        cdef const unsigned char *piece
        cdef size_t piece_n
        cdef Py_ssize_t used = 0
        cdef lens_stamp_t at
        if self.c_error:
            return n
        at.arrived, at.seen, at.read = arrived, seen, self.reads
        if n and not self.body.ended:
            self.reads += 1
        while used < n and not self.body.ended and not self.c_error:
            used += lens_body_take(&self.body, data + used, n - used, &piece, &piece_n)
            if piece_n:
                self.c_body_bytes += piece_n
                if not self.is_encoded:
                    self.c_payload(piece, piece_n, at)
                elif lens_read_queue_add(&self.encoded, piece, piece_n, arrived, seen) < 0:
                    self.c_error = LENS_ERROR_MEMORY
                else:
                    self.c_has_encoded = True
            if self.body.error:
                self.c_error = self.body.error
        if self.c_error:
            return n
        if self.body.ended and not self.c_ended:
            self.c_ended = True
            self.c_end_ns = arrived
            if not self.is_encoded:
                self.c_flush()
        return used

    cdef void c_feed_payload(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        cdef lens_stamp_t at
        if self.c_error or n == 0:
            return
        # What came in one read has one pair of stamps, however many pieces it was decoded to.
        if self.payload.read == 0 or arrived != self.payload.arrived or seen != self.payload.seen:
            self.payload.arrived, self.payload.seen = arrived, seen
            self.payload.read += 1
        at.arrived, at.seen, at.read = arrived, seen, self.payload.read - 1
        self.c_payload(data, n, at)

    cdef void c_finish(self, int64_t arrived) noexcept nogil:
        if self.c_error:
            return
        if not self.c_ended:
            lens_body_close(&self.body)
            if self.body.error:
                self.c_error = self.body.error
                return
            self.c_ended = True
            self.c_end_ns = arrived
        self.c_flush()

    cdef void c_payload(self, const unsigned char *data, size_t n, lens_stamp_t at) noexcept nogil:
        """Cut a piece of payload into events."""
        cdef lens_piece_t piece
        cdef lens_event_t event
        if self.events == 0 or self.splitter.kind == LENS_EVENTS_DOCUMENT:
            self.c_keep_first(data, n)
        if self.over or self.splitter.kind == LENS_EVENTS_DOCUMENT:
            return
        lens_piece_start(&piece, data, n, at)
        while not self.over and not self.c_error and self.c_next(&piece, &event):
            self.c_event(&event)
        if self.splitter.error and not self.c_error:
            self.c_error = self.splitter.error

    cdef bint c_next(self, lens_piece_t *piece, lens_event_t *event) noexcept nogil:
        if self.splitter.kind == LENS_EVENTS_SSE:
            return lens_sse_next(&self.splitter, piece, event)
        if self.splitter.kind == LENS_EVENTS_NDJSON:
            return lens_ndjson_next(&self.splitter, piece, event)
        if self.splitter.kind == LENS_EVENTS_ARRAY:
            return lens_array_next(&self.splitter, piece, event)
        return lens_aws_next(&self.splitter, piece, event)

    cdef void c_event(self, const lens_event_t *event) noexcept nogil:
        """Ask the rules, write the tape, keep what a provider will want to read."""
        cdef lens_found_t found
        cdef uint16_t bits = event.signals
        cdef const unsigned char *type = NULL
        cdef size_t type_n = 0
        found.chars = found.over = found.block = 0
        if self.signals is not None:
            if self.splitter.kind == LENS_EVENTS_AWS:
                type, type_n = event.name + event.type_at, event.name_n - event.type_at
            if lens_rules_scan(&self.signals.rules, event.data, event.n, type, type_n, &self.template, &found) < 0:
                self.c_error = LENS_ERROR_MEMORY
                return
            # The message of an exception need not be JSON; that the frame is an error is known already.
            bits |= found.signals & ~LENS_SIGNAL_MALFORMED if bits & LENS_SIGNAL_ERROR else found.signals
        if self.events == 0:
            lens_buf_free(&self.first)
        self.events += 1
        if bits & LENS_SIGNAL_CONTENT:
            self.c_last_content_ns = event.at.arrived
        if bits & LENS_SIGNAL_DONE:
            self.c_done = True
            self.over = found.over
        if self.most_events and self.tape.t.n >= self.most_events:
            self.c_error = LENS_ERROR_EVENTS_MANY
            return
        if lens_tape_event(
            &self.tape.t, event.at.arrived, event.at.seen, event.at.read, bits, found.chars, found.block
        ) < 0:
            self.c_error = LENS_ERROR_MEMORY
            return
        if not self.keep_all:
            if bits & LENS_SIGNAL_CONTENT and not bits & KEPT_BITS:
                return
            if bits == 0 or bits == LENS_SIGNAL_MALFORMED:
                self.silent += 1
                if self.silent > SILENT_KEPT:
                    return
        if self.most_kept and self.tape.t.kept.n + event.name_n + event.n > self.most_kept:
            self.c_error = LENS_ERROR_KEPT_LONG
            return
        if lens_tape_keep(&self.tape.t, self.tape.t.n - 1, event.name, event.name_n, event.data, event.n) < 0:
            self.c_error = LENS_ERROR_MEMORY

    cdef void c_flush(self) noexcept nogil:
        """The payload is over."""
        cdef lens_event_t event
        cdef bint last = False
        if self.flushed or self.over:
            return
        self.flushed = True
        if self.splitter.kind == LENS_EVENTS_SSE:
            if lens_sse_end(&self.splitter, &event):
                self.c_take_pending(&event)
        elif self.splitter.kind == LENS_EVENTS_NDJSON:
            last = lens_ndjson_end(&self.splitter, &event)
        elif self.splitter.kind == LENS_EVENTS_ARRAY:
            last = lens_array_end(&self.splitter, &event)
        elif self.splitter.kind == LENS_EVENTS_AWS:
            lens_aws_end(&self.splitter)
        if last:
            self.c_event(&event)
        if self.splitter.error and not self.c_error:
            self.c_error = self.splitter.error

    cdef void c_take_pending(self, const lens_event_t *event) noexcept nogil:
        """Keep what an event without its end says of an error; the event itself is dropped, as the standard has it."""
        cdef lens_found_t found
        found.signals = found.chars = found.over = found.block = 0
        if self.signals is None or self.splitter.field.n:
            return
        if lens_rules_scan(&self.signals.rules, event.data, event.n, NULL, 0, &self.template, &found) < 0:
            self.c_error = LENS_ERROR_MEMORY
        elif event.name_n == 5 and memcmp(event.name, b"error", 5) == 0 or (
            found.signals & (LENS_SIGNAL_ERROR | LENS_SIGNAL_MALFORMED)
        ) == LENS_SIGNAL_ERROR:
            if lens_buf_add(&self.splitter.field, event.data, event.n) < 0:
                self.c_error = LENS_ERROR_MEMORY

    cdef void c_keep_first(self, const unsigned char *data, size_t n) noexcept nogil:
        cdef size_t room = FIRST_BYTES - self.first.n if self.first.n < FIRST_BYTES else 0
        if self.splitter.kind == LENS_EVENTS_DOCUMENT:
            if n > <size_t>self.most - self.first.n:
                self.c_error = LENS_ERROR_BODY_LONG
                return
            room = n
        if lens_buf_add(&self.first, data, n if n < room else room) < 0:
            self.c_error = LENS_ERROR_MEMORY

    @property
    def ended(self):
        return self.c_ended

    @property
    def error(self):
        return lens_error_message(self.c_error).decode() if self.c_error else None

    @property
    def end_ns(self):
        return self.c_end_ns

    @property
    def last_content_ns(self):
        return self.c_last_content_ns

    @property
    def done(self):
        return self.c_done

    @property
    def comments(self):
        return self.splitter.comments

    @property
    def unkept(self):
        return self.silent - SILENT_KEPT if self.silent > SILENT_KEPT and not self.keep_all else 0

    @property
    def body_bytes(self):
        return self.c_body_bytes

    @property
    def document(self):
        return _bytes(&self.first)

    @property
    def error_field(self):
        return _bytes(&self.splitter.field)

    @property
    def trailers(self):
        return _bytes(&self.body.trailers)
