# cython: language_level=3
"""Body framing and event framing: from the bytes of a read to stamped events on the tape.

The rule: the same bytes, cut anywhere, give the same events; an event's stamp is that of the
feed which completed its data. The state machines stand in C headers, one a format: body.h,
sse.h, lines.h, array.h, eventstream.h; here they are joined, and what is kept is decided.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint16_t, uint32_t

from lens._core.signals cimport CONTENT_BITS, DONE_BIT, ERROR_BIT, MALFORMED_BIT, SignalSet, found_t, rules_scan
from lens._core.tape cimport Tape, buf_add, buf_free, tape_event, tape_keep

cdef enum:
    USAGE_BIT = 32
    FINISH_BIT = 64
    # An event with one of these is kept whole, content or not.
    KEPT_BITS = USAGE_BIT | FINISH_BIT | ERROR_BIT | DONE_BIT | MALFORMED_BIT
    # A stream of nothing we know must not fill the memory; what comes after is counted only.
    SILENT_KEPT = 1024
    # Of a body without events; enough to read an error page.
    FIRST_BYTES = 65536

_BODIES = {"none": BODY_NONE, "length": BODY_LENGTH, "chunked": BODY_CHUNKED, "close": BODY_CLOSE}
_EVENTS = {"sse": CUT_SSE, "ndjson": CUT_NDJSON, "json_array": CUT_ARRAY, "aws": CUT_AWS, "document": CUT_DOCUMENT}

crc32_start()


cdef bytes _bytes(const buf_t *block):
    return (<const char *>block.p)[:block.n] if block.n else b""


@cython.no_gc  # a tape and rules: they lead back to nothing
cdef class Decoder:
    def __cinit__(self, Tape tape not None, *, bint keep_all=False, Py_ssize_t max_event_bytes=16777216):
        if max_event_bytes < 1:
            raise ValueError(f"max_event_bytes {max_event_bytes} leaves no room for an event; 1 and more work")
        self.tape = tape
        self.keep_all = keep_all
        self.most = max_event_bytes
        self.c_end_ns = self.c_last_content_ns = -1

    def __dealloc__(self):
        cut_free(&self.cut)
        buf_free(&self.body.trailers)
        buf_free(&self.learned.event)
        buf_free(&self.first)
        held_clear(&self.encoded)

    def begin(self, str body, int64_t length, str events, SignalSet signals, *, bint encoded=False):
        if body not in _BODIES:
            raise ValueError(f"body framing {body!r} is not one of {', '.join(_BODIES)}")
        if events not in _EVENTS:
            raise ValueError(f"event framing {events!r} is not one of {', '.join(_EVENTS)}")
        if body == "length" and length < 0:
            raise ValueError(f"a body of {length} bytes cannot be; 0 and more work")
        body_start(&self.body, _BODIES[body], length)
        cut_start(&self.cut, _EVENTS[events], self.most)
        buf_free(&self.learned.event)
        buf_free(&self.first)
        held_clear(&self.encoded)
        self.signals = signals
        self.is_encoded = encoded
        self.over = self.flushed = self.c_done = self.c_has_encoded = False
        self.c_body_bytes = self.events = self.silent = self.reads = 0
        self.payload.read = 0
        self.c_error = ERROR_NONE
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
        cdef held_t held = held_take(&self.encoded)
        cdef size_t i, at = 0
        cdef list taken = []
        self.c_has_encoded = False
        try:
            for i in range(held.n_reads):
                taken.append(((<char *>held.data)[at:at + held.reads[i].n], held.reads[i].arrived, held.reads[i].seen))
                at += held.reads[i].n
        finally:
            held_clear(&held)
        return taken

    def finish(self, int64_t arrived_ns):
        self.c_finish(arrived_ns)

    cdef Py_ssize_t c_feed(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        cdef const unsigned char *piece
        cdef size_t piece_n
        cdef Py_ssize_t used = 0
        cdef stamp_t at
        if self.c_error:
            return n
        at.arrived, at.seen, at.read = arrived, seen, self.reads
        if n and not self.body.ended:
            self.reads += 1
        while used < n and not self.body.ended and not self.c_error:
            used += body_take(&self.body, data + used, n - used, &piece, &piece_n)
            if piece_n:
                self.c_body_bytes += piece_n
                if not self.is_encoded:
                    self.c_payload(piece, piece_n, at)
                elif held_add(&self.encoded, piece, piece_n, arrived, seen) < 0:
                    self.c_error = ERROR_MEMORY
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
        cdef stamp_t at
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
            body_close(&self.body)
            if self.body.error:
                self.c_error = self.body.error
                return
            self.c_ended = True
            self.c_end_ns = arrived
        self.c_flush()

    cdef void c_payload(self, const unsigned char *data, size_t n, stamp_t at) noexcept nogil:
        """Cut a piece of payload into events."""
        cdef piece_t piece
        cdef event_t event
        if self.events == 0 or self.cut.kind == CUT_DOCUMENT:
            self.c_keep_first(data, n)
        if self.over or self.cut.kind == CUT_DOCUMENT:
            return
        piece_start(&piece, data, n, at)
        while not self.over and not self.c_error and self.c_next(&piece, &event):
            self.c_event(&event)
        if self.cut.error and not self.c_error:
            self.c_error = self.cut.error

    cdef bint c_next(self, piece_t *piece, event_t *event) noexcept nogil:
        if self.cut.kind == CUT_SSE:
            return sse_next(&self.cut, piece, event)
        if self.cut.kind == CUT_NDJSON:
            return lines_next(&self.cut, piece, event)
        if self.cut.kind == CUT_ARRAY:
            return array_next(&self.cut, piece, event)
        return aws_next(&self.cut, piece, event)

    cdef void c_event(self, const event_t *event) noexcept nogil:
        """Ask the rules, write the tape, keep what a provider will want to read."""
        cdef found_t found
        cdef uint16_t bits = event.signals
        cdef const unsigned char *type = NULL
        cdef size_t type_n = 0
        found.chars = found.over = 0
        if self.signals is not None:
            if self.cut.kind == CUT_AWS:
                type, type_n = event.name + event.type_at, event.name_n - event.type_at
            if rules_scan(&self.signals.rules, event.data, event.n, type, type_n, &self.learned, &found) < 0:
                self.c_error = ERROR_MEMORY
                return
            # The message of an exception need not be JSON; that the frame is an error is known already.
            bits |= found.signals & ~MALFORMED_BIT if bits & ERROR_BIT else found.signals
        if self.events == 0:
            buf_free(&self.first)
        self.events += 1
        if bits & CONTENT_BITS:
            self.c_last_content_ns = event.at.arrived
        if bits & DONE_BIT:
            self.c_done = True
            self.over = found.over
        if tape_event(&self.tape.t, event.at.arrived, event.at.seen, event.at.read, bits, found.chars) < 0:
            self.c_error = ERROR_MEMORY
            return
        if not self.keep_all:
            if bits & CONTENT_BITS and not bits & KEPT_BITS:
                return
            if bits == 0 or bits == MALFORMED_BIT:
                self.silent += 1
                if self.silent > SILENT_KEPT:
                    return
        if tape_keep(&self.tape.t, self.tape.t.n - 1, event.name, event.name_n, event.data, event.n) < 0:
            self.c_error = ERROR_MEMORY

    cdef void c_flush(self) noexcept nogil:
        """The payload is over."""
        cdef event_t event
        cdef bint last = False
        if self.flushed or self.over:
            return
        self.flushed = True
        if self.cut.kind == CUT_NDJSON:
            last = lines_end(&self.cut, &event)
        elif self.cut.kind == CUT_ARRAY:
            last = array_end(&self.cut, &event)
        elif self.cut.kind == CUT_AWS:
            aws_end(&self.cut)
        if last:
            self.c_event(&event)
        if self.cut.error and not self.c_error:
            self.c_error = self.cut.error

    cdef void c_keep_first(self, const unsigned char *data, size_t n) noexcept nogil:
        cdef size_t room = FIRST_BYTES - self.first.n if self.first.n < FIRST_BYTES else 0
        if self.cut.kind == CUT_DOCUMENT:
            if n > <size_t>self.most - self.first.n:
                self.c_error = ERROR_BODY_LONG
                return
            room = n
        if buf_add(&self.first, data, n if n < room else room) < 0:
            self.c_error = ERROR_MEMORY

    @property
    def ended(self):
        return self.c_ended

    @property
    def error(self):
        return error_words(self.c_error).decode() if self.c_error else None

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
        return self.cut.comments

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
        return _bytes(&self.cut.field)

    @property
    def trailers(self):
        return _bytes(&self.body.trailers)
