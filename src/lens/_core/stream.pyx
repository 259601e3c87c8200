# cython: language_level=3
"""One connection as the core reads it: from bytes with stamps to a head, a body and a tape.

The rule: a stream that nobody waits for takes its bytes all the same, each read with its own
stamps, so that what Python does between the head and the body moves no stamp. It opens no
socket and waits for nothing; the reactor, or the plain loop, brings it what came.

A reactor may read in a thread of its own, so every method takes the reactor's lock where it
looks at what that thread writes. Under the lock no Python code runs and no object is made: what
methods called c_ do is C, and they want the lock to be held.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, EINTR, errno as last_errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from lens._core.clock cimport mono_ns
from lens._core.frames cimport Decoder, LENS_ERROR_MEMORY, event_framing, \
    lens_error_message, lens_read_queue_clear, lens_read_queue_join, lens_read_queue_t, lens_read_queue_take
from lens._core.inflater cimport Inflater
from lens._core.lock cimport let_go, lens_lock_t
from lens._core.signals cimport SignalSet
from lens._core.stream_state cimport BODY, ENDED, HEAD, IDLE, PARKED, StreamState
from lens._core.tape cimport Tape

import os
import ssl

cdef extern from "sysio.h" nogil:
    Py_ssize_t lens_send(int fd, const void *data, size_t n) noexcept

cdef enum:
    TLS_RECORD_BYTES = 65536


cdef class Stream(StreamState):
    cdef void bind(self, lens_lock_t *lock) noexcept:
        """The reactor's lock guards it and its tape from now on; NULL: nothing has to."""
        self.lock = lock
        if self.tape is not None:
            self.tape.lock = lock

    def secure(self, tls, incoming):
        cdef lens_lock_t *lock
        self.tls = tls
        self.incoming = incoming
        lock = self.c_hold()
        self.close_notify = False
        self.secured = True
        let_go(lock)

    def begin(
        self,
        *,
        bint keep_all=False,
        Py_ssize_t max_event_bytes=16777216,
        Py_ssize_t max_head_bytes=65536,
        uint64_t max_events=0,
        uint64_t max_kept_bytes=0,
        uint64_t max_inflated_bytes=0,
        uint64_t max_inflation=0,
        str usual_events="",
        SignalSet signals=None,
    ):
        cdef Tape tape = Tape()
        cdef Decoder former, decoder = None
        cdef int wanted = -1
        cdef lens_lock_t *lock
        self.keep_all = keep_all
        self.most_event, self.most_head = max_event_bytes, max_head_bytes
        self.most_events, self.most_kept = max_events, max_kept_bytes
        self.most_inflated, self.most_ratio = max_inflated_bytes, max_inflation
        if usual_events:
            wanted = event_framing(usual_events)
            decoder = self._make_decoder(tape)
            decoder.signals = signals
        lock = self.c_hold()
        if self.c_state not in (IDLE, ENDED):
            let_go(lock)
            raise RuntimeError(f"an exchange cannot begin in state {self.state!r}")
        self.c_clear()
        former = self.decoder  # goes when the lock is free again
        self.decoder = decoder
        self.wanted_events = wanted
        self.c_state = HEAD
        if self.tls_error is not None:
            self.c_fail(b"tls", self.closed_at)
        self.c_close()  # an end that came meanwhile; ciphertext before it is looked at first
        let_go(lock)
        self.inflater = None
        if self.tape is not None:
            self.tape.lock = NULL
        self.tape = tape
        tape.lock = self.lock
        return tape

    cdef Decoder _make_decoder(self, Tape tape):
        return Decoder(tape, keep_all=self.keep_all, max_event_bytes=self.most_event, max_events=self.most_events,
                       max_kept_bytes=self.most_kept)

    cdef int _require_head(self, str refused) except -1:
        """Raise RuntimeError, with the reason, where no head waits to be understood."""
        cdef str state = self.state
        if state == "parked":
            return 0
        if state == "failed":
            raise RuntimeError(f"{refused}: the exchange has failed: {self.error}")
        if state in ("idle", "head"):
            raise RuntimeError(f"{refused}: no head has come yet")
        raise RuntimeError(f"{refused}: the body has begun already")

    def informational(self):
        cdef lens_lock_t *lock
        self._require_head("another head cannot be expected")
        lock = self.c_hold()
        with nogil:
            lens_read_queue_clear(&self.head_bytes)
            self.c_state = HEAD
            self.c_first_byte_ns = self.c_head_end_ns = -1
            self.line = 0
            self.c_replay()
            let_go(lock)
        self.settle()

    def begin_body(self, str body, int64_t length, str events, signals, str encoding=""):
        cdef Decoder decoder, former = self.decoder
        cdef lens_lock_t *lock
        self._require_head("the body cannot begin")
        if encoding not in ("", "gzip", "deflate"):
            raise ValueError(f"encoding {encoding!r} is not one of '', 'gzip', 'deflate'")
        decoder = self._make_decoder(self.tape)
        decoder.begin(body, length, events, signals, encoded=bool(encoding))
        self.inflater = Inflater(self.most_inflated, self.most_ratio) if encoding else None
        lock = self.c_hold()
        self.decoder = decoder
        self.encoded = self.inflater is not None
        self.c_state = BODY
        with nogil:
            self.c_replay()
            if self.c_state == BODY and not self.encoded:
                self.c_body_over()  # a body of no bytes is over at once
                self.c_close()
            let_go(lock)
        self.settle()

    def send(self, data, Py_ssize_t offset=0):
        cdef Py_buffer view
        cdef Py_ssize_t sent
        cdef int64_t before
        cdef int error
        cdef lens_lock_t *lock
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if not 0 <= offset <= view.len:
                raise ValueError(f"offset {offset} is outside the {view.len} bytes")
            # The lock, so that nobody asks for the stamp of what was sent before it is known what was sent.
            lock = self.c_hold()
            with nogil:
                before = mono_ns()
                sent = lens_send(self.fd, <const char *>view.buf + offset, view.len - offset)
                error = last_errno
                if sent > 0:
                    self.c_send_end_ns = mono_ns()
                    self.c_sent_stamped = False
                    self.sent_bytes += <uint32_t>sent
                    if self.c_send_start_ns < 0:
                        self.c_send_start_ns = before
                    if self.offset != NULL:
                        self.c_take_sent(False)
                let_go(lock)
        finally:
            PyBuffer_Release(&view)
        if sent < 0 and error not in (EAGAIN, EINTR):
            raise OSError(error, os.strerror(error))
        return max(sent, 0)

    def feed(self, data, int64_t arrived_ns, int64_t seen_ns):
        cdef Py_buffer view
        cdef lens_lock_t *lock
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            lock = self.c_hold()
            with nogil:
                self.c_kernel_stamped = False
                self.c_read(<const unsigned char *>view.buf, view.len, arrived_ns, seen_ns)
                let_go(lock)
        finally:
            PyBuffer_Release(&view)
        self.settle()

    def eof(self, int64_t at_ns, int errno=0):
        cdef lens_lock_t *lock = self.c_hold()
        self.c_eof(at_ns, errno)
        let_go(lock)
        self.settle()

    def is_due(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef bint value = self.c_backlog or self.c_state == PARKED or self.c_state >= ENDED
        value = value or (self.decoder is not None and self.decoder.c_done)
        let_go(lock)
        return value

    def take_changed(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef bint changed = self.changed
        self.changed = False
        let_go(lock)
        return changed

    cdef int settle(self) except -1:
        """The work that needs Python: decrypt, decompress. What comes meanwhile is left for the next time."""
        cdef lens_lock_t *lock
        cdef int error
        cdef bint plain, paused
        lock = self.c_hold()
        plain = not self.c_waits_for_python()
        paused = self.paused
        let_go(lock)
        if plain and not paused:
            return 0
        # Decrypting lets go of the GIL; who comes then leaves it to whoever has begun.
        self.again = True
        if self.settling:
            return 0
        self.settling = True
        try:
            while self.again:
                self.again = False
                if self.secured:
                    self._decrypt()
                if self.inflater is not None:
                    self._inflate()
        except MemoryError:  # costs this exchange, not the reading of all
            lock = self.c_hold()
            self.c_fail(b"out of memory", self.c_last_read_ns)
            let_go(lock)
        finally:
            self.settling = False
        lock = self.c_hold()
        error = self.c_resume()
        let_go(lock)
        if error:
            raise OSError(error, os.strerror(error))
        return 0

    cdef int _decrypt(self) except -1:
        """The ciphertext that is there; then what waited for it, an end, is seen to."""
        cdef lens_lock_t *lock = self.c_hold()
        cdef lens_read_queue_t queue = lens_read_queue_take(&self.cipher)
        cdef bint over = self.close_notify or self.tls_error is not None  # what comes after is worth nothing
        self.decrypting = True
        let_go(lock)
        try:
            if not over:
                self._decrypt_reads(&queue)
        finally:
            lens_read_queue_clear(&queue)
            lock = self.c_hold()
            self.decrypting = False
            self.c_close()
            let_go(lock)

    cdef int _decrypt_reads(self, lens_read_queue_t *queue) except -1:
        cdef lens_lock_t *lock
        cdef size_t i, at = 0
        cdef bint over
        cdef bytes plain
        for i in range(queue.n_reads):
            self.incoming.write((<char *>queue.data)[at:at + queue.reads[i].n])
            at += queue.reads[i].n
            over, plain = self._plain()
            lock = self.c_hold()
            if plain:
                self.c_wire_bytes += len(plain)
                self.c_reads += 1
                self.c_take(plain, len(plain), queue.reads[i].arrived, queue.reads[i].seen)
            if self.tls_error is not None:  # records before the bad one are good
                self._end_tls(queue.reads[i].seen)
            if over:
                self.close_notify = self.c_closed = self.changed = True
                self.closed_at = queue.reads[i].arrived
                self.os_error = 0
                self.c_close()
            if self.c_holds_much():
                self.c_pause()
            let_go(lock)
            if over:
                break
        return 0

    cdef void _end_tls(self, int64_t at) noexcept:
        """TLS has failed: so has the exchange, or, between two, nothing more will come."""
        if self.c_state not in (IDLE, ENDED):
            self.c_fail(b"tls", at)
        elif not self.c_closed:
            self.c_closed = self.changed = True
            self.closed_at = at

    cdef tuple _plain(self):
        """(the peer has ended its side, the bytes of every whole record that is there)"""
        cdef list pieces = []
        cdef bint over = False
        try:
            while True:
                piece = self.tls.read(TLS_RECORD_BYTES)
                if not piece:
                    over = True
                    break
                pieces.append(piece)
                # Every whole record is read; asking for more would raise, which costs 2 us.
                if not self.incoming.pending and not self.tls.pending():
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.tls_error = str(error.reason or error.strerror or "protocol violation")
        return over, pieces[0] if len(pieces) == 1 else b"".join(pieces)

    cdef int _inflate(self) except -1:
        """Decompress a slice of what the body framing gave out, and give it back with its stamps."""
        cdef Decoder decoder = self.decoder
        cdef lens_lock_t *lock = self.c_hold()
        cdef lens_read_queue_t queue
        cdef bint done = decoder.c_done
        cdef int error
        memset(&queue, 0, sizeof(queue))
        self.c_backlog = False
        if self.c_state == BODY:
            queue = lens_read_queue_take(&decoder.encoded)
            decoder.c_has_encoded = False
        let_go(lock)
        try:
            error = self.inflater.inflate(decoder, self.lock, &queue)
            lock = self.c_hold()
            self.changed |= decoder.c_done and not done
            if self.c_state == BODY and not error and queue.n_reads and not decoder.c_error:
                self.c_backlog = self.changed = True
                if lens_read_queue_join(&queue, &decoder.encoded) < 0:
                    error = LENS_ERROR_MEMORY
                decoder.encoded = lens_read_queue_take(&queue)
            if self.c_state == BODY and error:
                decoder.c_error = error
                self.c_fail(NULL, self.c_last_read_ns)
            elif self.c_state == BODY and (decoder.c_error or decoder.encoded.n_reads == 0):
                self.c_inflated(self.inflater.inside_member)
            let_go(lock)
        finally:
            lens_read_queue_clear(&queue)
        return 0

    @property
    def backlog(self):
        return self._flag(&self.c_backlog)

    def inflate_more(self):
        self.settle()

    @property
    def held(self):
        return self._copy(<const unsigned char **>&self.parked.data, &self.parked.n)

    @property
    def document(self):
        cdef Decoder decoder = self.decoder
        if decoder is None:
            return b""
        return self._copy(<const unsigned char **>&decoder.first.p, &decoder.first.n)

    @property
    def error(self):
        cdef lens_lock_t *lock
        cdef const char *why
        if self.tls_error is not None:
            return f"TLS failed: {self.tls_error}"
        lock = self.c_hold()
        why = self.c_error
        if why == NULL and self.decoder is not None and self.decoder.c_error:
            why = lens_error_message(self.decoder.c_error)
        let_go(lock)
        return why.decode() if why != NULL else None
