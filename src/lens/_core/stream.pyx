# cython: language_level=3
"""One connection as the core reads it: from bytes with stamps to a head, a body and a tape.

The rule: a stream that nobody waits for takes its bytes all the same, each read with its own
stamps, so that what Python does between the head and the body moves no stamp. It opens no
socket and waits for nothing; the reactor, or the plain loop, brings it what came.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, ECONNRESET, EINTR, errno as last_errno
from libc.stdint cimport int64_t

from lens._core.clock cimport mono_ns
from lens._core.frames cimport LENS_BODY_CLOSE, Decoder, Inflater
from lens._core.frames cimport lens_read_queue_add, lens_read_queue_clear, lens_read_queue_t, lens_read_queue_take
from lens._core.tape cimport Tape

import os
import ssl
import zlib

cdef extern from "sysio.h" nogil:
    Py_ssize_t lens_send(int fd, const void *data, size_t n) noexcept
    int lens_epoll_set(int epoll, int op, int fd, int wanted) noexcept

cdef enum:
    EPOLL_SET = 3
    HELD_BYTES = 4194304        # a parked stream that holds more is not read further
    TLS_RECORD_BYTES = 65536

_STATES = ("idle", "head", "parked", "body", "ended", "failed")


cdef class Stream:
    def __cinit__(self, int fd):
        self.fd = fd
        self.epoll = self.ended_at = self.closed_at = -1
        self._forget()

    def __dealloc__(self):
        lens_read_queue_clear(&self.head_bytes)
        lens_read_queue_clear(&self.parked)
        lens_read_queue_clear(&self.cipher)

    def _forget(self):
        """Nothing of an exchange is left."""
        lens_read_queue_clear(&self.head_bytes)
        self.c_state = IDLE
        self.line = 0
        self.c_error = NULL
        self.first_byte_ns = self.head_end_ns = self.last_read_ns = self.ended_at = self.send_start_ns = self.send_end_ns = -1
        self.wire_bytes = self.reads = 0
        self.kernel_stamped, self.clock_stepped = True, False
        self.decoder = self.inflater = None

    def secure(self, tls, incoming):
        self.tls = tls
        self.incoming = incoming
        self.close_notify = False

    def begin(self, *, bint keep_all=False, Py_ssize_t max_event_bytes=16777216, Py_ssize_t max_head_bytes=65536):
        if self.c_state not in (IDLE, ENDED):
            raise RuntimeError(f"an exchange cannot begin in state {_STATES[self.c_state]!r}")
        self._forget()
        self.keep_all = keep_all
        self.most_event = max_event_bytes
        self.most_head = max_head_bytes
        self.tape = Tape()
        self.c_state = HEAD
        if self.closed:
            self.c_fail(b"closed before an answer", self.closed_at)
        return self.tape

    cdef int _require_head(self, str refused) except -1:
        """Raise RuntimeError, with the reason, where no head waits to be understood."""
        if self.c_state == FAILED:
            raise RuntimeError(f"{refused}: the exchange has failed: {self.error}")
        if self.c_state != PARKED:
            why = "no head has come yet" if self.c_state in (IDLE, HEAD) else "the body has begun already"
            raise RuntimeError(f"{refused}: {why}")
        return 0

    def informational(self):
        self._require_head("another head cannot be expected")
        lens_read_queue_clear(&self.head_bytes)
        self.c_state = HEAD
        self.first_byte_ns = self.head_end_ns = -1
        self.line = 0
        self._replay(lens_read_queue_take(&self.parked))

    def begin_body(self, str body, int64_t length, str events, signals, str encoding=""):
        self._require_head("the body cannot begin")
        if encoding not in ("", "gzip", "deflate"):
            raise ValueError(f"encoding {encoding!r} is not one of '', 'gzip', 'deflate'")
        self.decoder = Decoder(self.tape, keep_all=self.keep_all, max_event_bytes=self.most_event)
        self.decoder.begin(body, length, events, signals, encoded=bool(encoding))
        self.inflater = Inflater() if encoding else None
        self.c_state = BODY
        self._replay(lens_read_queue_take(&self.parked))
        if self.c_state == BODY and self.inflater is None:
            self.c_body_over()  # a body of no bytes is over at once
            if self.c_state == BODY and self.closed:
                self.c_eof(self.closed_at, self.os_error)
        self.settle()
        if self.paused:
            self.paused = False
            if self.attached and lens_epoll_set(self.epoll, EPOLL_SET, self.fd, 1) < 0:
                raise OSError(last_errno, os.strerror(last_errno))

    cdef int _replay(self, lens_read_queue_t queue) except -1:
        """What was held comes again, read by read, each with its own stamps."""
        cdef size_t i, at = 0
        cdef int64_t bytes_before = self.wire_bytes, reads_before = self.reads
        with nogil:
            for i in range(queue.n_reads):
                self.c_take(queue.data + at, queue.reads[i].n, queue.reads[i].arrived, queue.reads[i].seen)
                at += queue.reads[i].n
            lens_read_queue_clear(&queue)
        self.wire_bytes, self.reads = bytes_before, reads_before
        if self.c_state == HEAD and self.closed:
            self.c_eof(self.closed_at, self.os_error)
        return 0

    def send(self, data, Py_ssize_t offset=0):
        cdef Py_buffer view
        cdef Py_ssize_t sent
        cdef int64_t before, after
        cdef int error
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if not 0 <= offset <= view.len:
                raise ValueError(f"offset {offset} is outside the {view.len} bytes")
            with nogil:
                before = mono_ns()
                sent = lens_send(self.fd, <const char *>view.buf + offset, view.len - offset)
                error = last_errno
                after = mono_ns()
        finally:
            PyBuffer_Release(&view)
        if sent < 0:
            if error in (EAGAIN, EINTR):
                return 0
            raise OSError(error, os.strerror(error))
        if self.send_start_ns < 0:
            self.send_start_ns = before
        self.send_end_ns = after
        return sent

    def feed(self, data, int64_t arrived_ns, int64_t seen_ns):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        self.kernel_stamped = False
        try:
            with nogil:
                self.c_read(<const unsigned char *>view.buf, view.len, arrived_ns, seen_ns)
        finally:
            PyBuffer_Release(&view)
        self.settle()

    def eof(self, int64_t at_ns, int errno=0):
        self.c_eof(at_ns, errno)
        self.settle()

    def take_changed(self):
        cdef bint changed = self.changed
        self.changed = False
        return changed

    cdef void c_read(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        """One read of the socket: plain bytes go on, ciphertext waits for Python."""
        if self.tls is None:
            self.wire_bytes += n
            self.reads += 1
            self.c_take(data, n, arrived, seen)
        elif lens_read_queue_add(&self.cipher, data, n, arrived, seen) < 0:
            self.c_fail(b"out of memory", seen)
        if self.parked.n > HELD_BYTES:
            self.c_pause()

    cdef void c_take(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        """Plain bytes, by what the exchange waits for."""
        cdef Py_ssize_t used
        self.last_read_ns = arrived
        if self.c_state == HEAD:
            if self.first_byte_ns < 0:
                self.first_byte_ns = arrived
            used = lens_head_end(data, n, &self.line)
            if lens_read_queue_add(&self.head_bytes, data, n if used < 0 else used, arrived, seen) < 0:
                self.c_fail(b"out of memory", seen)
                return
            if <Py_ssize_t>self.head_bytes.n > self.most_head:
                self.c_fail(b"head too long", arrived)
                return
            if used < 0:
                return
            self.head_end_ns = arrived
            self.c_state = PARKED
            self.changed = True
            data += used
            n -= used
        if n == 0:
            return
        if self.c_state == PARKED:
            self.changed |= self.parked.n == 0  # the head may need the body's first bytes to be understood
            if lens_read_queue_add(&self.parked, data, n, arrived, seen) < 0:
                self.c_fail(b"out of memory", seen)
        elif self.c_state == BODY:
            self.c_body(data, n, arrived, seen)
        elif self.c_state != FAILED:
            self.surplus = True

    cdef void c_body(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        cdef bint done = self.decoder.c_done
        if self.decoder.c_feed(data, n, arrived, seen) < n:
            self.surplus = True
        self.changed |= self.decoder.c_done and not done  # the body may stay open for long
        if self.inflater is None:
            self.c_body_over()

    cdef void c_body_over(self) noexcept nogil:
        """The decoder may have come to an end, good or bad."""
        if self.decoder.c_error:
            self.c_fail(NULL, self.last_read_ns)
        elif self.decoder.c_ended:
            self.c_state = ENDED
            # A body of no bytes ended with its head.
            self.ended_at = self.decoder.c_end_ns if self.decoder.c_end_ns >= 0 else self.head_end_ns
            self.changed = True

    cdef void c_fail(self, const char *error, int64_t at) noexcept nogil:
        if self.c_state == FAILED:
            return
        self.c_state = FAILED
        self.c_error = error
        self.ended_at = at
        self.changed = True

    cdef void c_eof(self, int64_t at, int os_error) noexcept nogil:
        """No more bytes will come. What is held is still good, so a parked stream stays parked."""
        if not self.closed:
            self.closed = True
            self.closed_at = at
            self.os_error = os_error
        self.changed = True
        if self.tls is not None and self.cipher.n:
            return  # settle() decrypts first and comes back
        if self.c_state == HEAD:
            self.c_fail(b"closed before an answer" if self.first_byte_ns < 0 else b"closed inside the head", at)
        elif self.c_state == BODY and self.inflater is None:
            self.c_close_body()

    cdef void c_close_body(self) noexcept nogil:
        """The connection has ended inside the body: good where that is how the body ends, else a failure."""
        cdef bint secured = self.tls is not None and self.decoder.body.kind == LENS_BODY_CLOSE
        # Anybody on the way can close a connection; only close_notify is the peer's word (RFC 9112, 9.8).
        if self.close_notify if secured else self.os_error == 0:
            self.decoder.c_finish(self.closed_at)
            self.c_body_over()
        if self.c_state != BODY:
            return
        if secured and self.os_error == 0:
            self.c_fail(b"closed without close_notify", self.closed_at)
        else:
            self.c_fail(b"reset by the peer" if self.os_error == ECONNRESET else b"incomplete body", self.closed_at)

    cdef void c_pause(self) noexcept nogil:
        if self.attached and not self.paused:
            # Where the kernel refuses it, the next read asks again.
            self.paused = lens_epoll_set(self.epoll, EPOLL_SET, self.fd, 0) == 0

    cdef int settle(self) except -1:
        """The work that needs Python: decrypt, decompress."""
        if self.cipher.n_reads:
            self._decrypt()
        if self.inflater is not None and self.c_state == BODY:
            self._inflate()
        return 0

    cdef int _decrypt(self) except -1:
        cdef lens_read_queue_t queue = lens_read_queue_take(&self.cipher)
        cdef size_t i, at = 0
        cdef bint over = False
        cdef bytes plain
        try:
            for i in range(queue.n_reads):
                self.incoming.write((<char *>queue.data)[at:at + queue.reads[i].n])
                at += queue.reads[i].n
                pieces = []
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
                plain = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                if plain:
                    self.wire_bytes += len(plain)
                    self.reads += 1
                    self.c_take(plain, len(plain), queue.reads[i].arrived, queue.reads[i].seen)
                if self.tls_error is not None:  # records before the bad one are good
                    self.c_fail(b"tls", queue.reads[i].seen)
                if over:
                    self.close_notify = True
                    self.c_eof(queue.reads[i].arrived, 0)
                    break
        finally:
            lens_read_queue_clear(&queue)
        if self.closed:
            self.c_eof(self.closed_at, self.os_error)
        if self.parked.n > HELD_BYTES:
            self.c_pause()
        return 0

    cdef int _inflate(self) except -1:
        """Decompress what the body framing gave out; see whether the body is over."""
        cdef bint whole
        try:
            self.inflater.decode(self.decoder)
            self.changed |= self.decoder.c_done
        except zlib.error:
            self.c_fail(b"bad compressed data", self.inflater.seen)
            return 0
        whole = self.decoder.c_ended
        if not whole and self.closed and self.decoder.body.kind == LENS_BODY_CLOSE:
            whole = self.close_notify or self.os_error == 0
        if whole and self.inflater.inside_member and not self.decoder.c_error:
            # The end of the compressed data and its checksum are missing, whatever the framing says.
            self.c_fail(b"incomplete compressed data", self.last_read_ns)
        elif self.decoder.c_ended:
            self.decoder.c_finish(self.closed_at)  # the last line may lack its newline
            self.c_body_over()
        elif self.closed:
            self.c_close_body()
        else:
            self.c_body_over()
        return 0

    @property
    def errno(self):
        return self.os_error

    @property
    def state(self):
        return _STATES[self.c_state]

    @property
    def head(self):
        return self.partial_head if self.head_end_ns >= 0 else b""

    @property
    def held(self):
        return (<char *>self.parked.data)[:self.parked.n] if self.parked.n else b""

    @property
    def partial_head(self):
        return (<char *>self.head_bytes.data)[:self.head_bytes.n] if self.head_bytes.n else b""

    @property
    def error(self):
        if self.tls_error is not None:
            return f"TLS failed: {self.tls_error}"
        if self.c_error != NULL:
            return self.c_error.decode()
        return self.decoder.error if self.decoder is not None else None

    @property
    def end_ns(self):
        return self.ended_at

    @property
    def ended(self):
        return self.c_state == ENDED

    @property
    def last_content_ns(self):
        return self.decoder.c_last_content_ns if self.decoder is not None else -1

    @property
    def done(self):
        return self.decoder is not None and self.decoder.c_done

    @property
    def comments(self):
        return self.decoder.comments if self.decoder is not None else 0

    @property
    def document(self):
        return self.decoder.document if self.decoder is not None else b""

    @property
    def error_field(self):
        return self.decoder.error_field if self.decoder is not None else b""
