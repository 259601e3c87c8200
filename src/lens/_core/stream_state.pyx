# cython: language_level=3
"""The state of one connection: what whoever reads its socket writes, and others look at.

The rule: everything here that is called c_ is C and wants the lock to be held, if there is one;
every property takes it. Under the lock no Python code runs and no object of Python is made.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport ECONNRESET, errno as last_errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from lens._core.clock cimport mono_ns, offset_renew, offset_to_mono
from lens._core.frames cimport (
    LENS_BODY_CLOSE,
    LENS_EVENTS_DOCUMENT,
    Decoder,
    lens_read_queue_add,
    lens_read_queue_clear,
    lens_read_queue_t,
    lens_read_queue_take,
)
from lens._core.lock cimport hold, let_go, lens_lock_t

cdef extern from "sysio.h" nogil:
    int lens_epoll_set(int epoll, int op, int fd, int wanted) noexcept
    int lens_receive_sent(int fd, uint32_t *last, int64_t *real) noexcept

cdef enum:
    EPOLL_SET = 3
    HELD_BYTES = 4194304        # a stream of which more waits for a body to begin is not read further
    CODED_BYTES = 1048576       # nor one of which more is to be decrypted or decompressed: that is done at once

_STATES = ("idle", "head", "parked", "body", "ended", "failed")


cdef class StreamState:
    def __cinit__(self, int fd):
        self.fd = fd
        self.epoll = self.work_at = -1
        self.ended_at = self.closed_at = -1
        self.c_clear()

    def __dealloc__(self):
        lens_read_queue_clear(&self.head_bytes)
        lens_read_queue_clear(&self.parked)
        lens_read_queue_clear(&self.cipher)

    cdef inline lens_lock_t *c_hold(self) noexcept:
        """Take the lock, where there is one; for let_go()."""
        return hold(self.lock)

    cdef void c_clear(self) noexcept nogil:
        """Nothing of an exchange is left but its decoder."""
        lens_read_queue_clear(&self.head_bytes)
        self.c_state = IDLE
        self.line = 0
        self.c_error = NULL
        self.c_first_byte_ns = self.c_head_end_ns = self.c_last_read_ns = self.ended_at = -1
        self.c_send_start_ns = self.c_send_end_ns = -1
        self.c_wire_bytes = self.c_reads = 0
        self.c_kernel_stamped = True
        self.c_clock_stepped = self.c_sent_stamped = self.changed = self.encoded = self.c_usual = False
        self.c_backlog = False
        self.wanted_events = -1

    cdef void c_replay(self) noexcept nogil:
        """What was held comes again, read by read, each with its own stamps."""
        cdef lens_read_queue_t queue = lens_read_queue_take(&self.parked)
        cdef size_t i, at = 0
        for i in range(queue.n_reads):
            self.c_take(queue.data + at, queue.reads[i].n, queue.reads[i].arrived, queue.reads[i].seen)
            at += queue.reads[i].n
        lens_read_queue_clear(&queue)
        # A usual head may have been among it, with a body that nobody else ends.
        if self.c_state == HEAD or self.c_usual:
            self.c_close()

    cdef void c_read(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        """One read of the socket: plain bytes go on, ciphertext waits for Python."""
        if not self.secured:
            self.c_wire_bytes += n
            self.c_reads += 1
            self.c_take(data, n, arrived, seen)
        elif lens_read_queue_add(&self.cipher, data, n, arrived, seen) < 0:
            self.c_fail(b"out of memory", seen)
        if self.c_holds_much():
            self.c_pause()

    cdef bint c_holds_much(self) noexcept nogil:
        """So much waits for Python that the peer should wait too."""
        if self.parked.n > HELD_BYTES or self.cipher.n > CODED_BYTES:
            return True
        return self.encoded and self.c_state == BODY and self.decoder.encoded.n > CODED_BYTES

    cdef bint c_waits_for_python(self) noexcept nogil:
        return self.cipher.n_reads > 0 or (self.encoded and self.c_state == BODY)

    cdef void c_take(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        """Plain bytes, by what the exchange waits for."""
        cdef Py_ssize_t used
        self.c_last_read_ns = arrived
        if self.c_state == HEAD:
            if self.c_first_byte_ns < 0:
                self.c_first_byte_ns = arrived
            used = lens_head_end(data, n, &self.line)
            if lens_read_queue_add(&self.head_bytes, data, n if used < 0 else used, arrived, seen) < 0:
                self.c_fail(b"out of memory", seen)
                return
            if <Py_ssize_t>self.head_bytes.n > self.most_head:
                self.c_fail(b"head too long", arrived)
                return
            if used < 0:
                return
            self.c_head_end_ns = arrived
            if self.wanted_events >= 0 and lens_head_is_usual(
                self.head_bytes.data, self.head_bytes.n, self.wanted_events, &self.usual
            ):
                self.c_usual = True
                self.c_state = BODY
                self.decoder.c_begin(self.usual.body, self.usual.length, self.usual.events, False)
                self.c_body_over()  # a body of no bytes is over at once
            else:
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
            self.c_surplus = True

    cdef void c_body(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil:
        cdef bint done = self.decoder.c_done
        if self.decoder.c_feed(data, n, arrived, seen) < n:
            self.c_surplus = True
        self.changed |= self.decoder.c_done and not done  # the body may stay open for long
        if not self.encoded:
            self.c_body_over()

    cdef void c_body_over(self) noexcept nogil:
        """The decoder may have come to an end, good or bad."""
        if self.decoder.c_error:
            self.c_fail(NULL, self.c_last_read_ns)
        elif self.decoder.c_ended:
            self.c_state = ENDED
            # A body of no bytes ended with its head.
            self.ended_at = self.decoder.c_end_ns if self.decoder.c_end_ns >= 0 else self.c_head_end_ns
            self.changed = True

    cdef void c_fail(self, const char *error, int64_t at) noexcept nogil:
        if self.c_state == FAILED:
            return
        self.c_state = FAILED
        self.c_error = error
        self.ended_at = at
        self.changed = True

    cdef void c_take_sent(self, bint rest) noexcept nogil:
        """Read when what was sent has left; the stamp of the last byte is what counts. rest: also what follows it."""
        cdef uint32_t last = 0
        cdef int64_t real, now
        cdef bint stepped
        while self.offset != NULL and (rest or not self.c_sent_stamped) and lens_receive_sent(self.fd, &last, &real):
            if self.c_send_end_ns < 0 or real == 0 or last + 1 != self.sent_bytes:
                continue
            now = mono_ns()
            stepped = offset_renew(self.offset, now)
            real = offset_to_mono(self.offset, real, now, &stepped)
            if stepped:
                self.c_clock_stepped = True
            # It left after it was given to the kernel; a stamp before that is of a clock that was set.
            elif real >= self.c_send_start_ns:
                self.c_send_end_ns = real
                self.c_sent_stamped = True

    cdef void c_eof(self, int64_t at, int os_error) noexcept nogil:
        """No more bytes will come. What is held is still good, so a parked stream stays parked."""
        if not self.c_closed:
            self.c_closed = True
            self.closed_at = at
            self.os_error = os_error
        self.changed = True
        self.c_close()

    cdef void c_close(self) noexcept nogil:
        """If the peer has closed and all bytes that came have been taken: what is left of the exchange is over."""
        if not self.c_closed or ((self.decrypting or self.cipher.n_reads) and not self.close_notify):
            return  # else settle() decrypts first and comes back
        if self.c_state == HEAD:
            self.c_fail(
                b"closed before an answer" if self.c_first_byte_ns < 0 else b"closed inside the head", self.closed_at
            )
        elif self.c_state == BODY and not self.encoded:
            self.c_close_body()

    cdef void c_close_body(self) noexcept nogil:
        """The connection has ended inside the body: good where that is how the body ends, else a failure."""
        cdef bint secured = self.secured and self.decoder.body.kind == LENS_BODY_CLOSE
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

    cdef int c_resume(self) noexcept nogil:
        """Read again when there is room again; 0, or an errno."""
        if not self.paused or self.c_holds_much():
            return 0
        self.paused = False
        return last_errno if self.attached and lens_epoll_set(self.epoll, EPOLL_SET, self.fd, 1) < 0 else 0

    cdef void c_inflated(self, bint inside_member) noexcept nogil:
        """All that came was decompressed and given back: the body may be over."""
        cdef bint closed = self.c_closed and self.cipher.n_reads == 0  # else more is to be decrypted first
        cdef bint whole = self.decoder.c_ended
        if not whole and closed and self.decoder.body.kind == LENS_BODY_CLOSE:
            whole = self.close_notify or self.os_error == 0
        if whole and inside_member and not self.decoder.c_error:
            # The end of the compressed data and its checksum are missing, whatever the framing says.
            self.c_fail(b"incomplete compressed data", self.c_last_read_ns)
        elif self.decoder.c_ended:
            self.decoder.c_finish(self.closed_at)  # the last line may lack its newline
            self.c_body_over()
        elif closed:
            self.c_close_body()
        else:
            self.c_body_over()

    cdef bytes _copy(self, const unsigned char **data, size_t *n):
        """Bytes that the reading thread may write, as they are now."""
        cdef lens_lock_t *lock = self.c_hold()
        cdef size_t size = n[0]
        cdef void *copy = malloc(size or 1)
        if copy != NULL and size:
            memcpy(copy, data[0], size)
        let_go(lock)
        if copy == NULL:
            raise MemoryError()
        try:
            return PyBytes_FromStringAndSize(<char *>copy, size)
        finally:
            free(copy)

    @property
    def errno(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef int value = self.os_error
        let_go(lock)
        return value

    @property
    def state(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef int value = self.c_state
        let_go(lock)
        return _STATES[value]

    @property
    def head(self):
        return self.partial_head if self.head_end_ns >= 0 else b""

    @property
    def partial_head(self):
        return self._copy(<const unsigned char **>&self.head_bytes.data, &self.head_bytes.n)

    @property
    def last_content_ns(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef int64_t value = self.decoder.c_last_content_ns if self.decoder is not None else -1
        let_go(lock)
        return value

    @property
    def done(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef bint value = self.decoder is not None and self.decoder.c_done
        let_go(lock)
        return value

    @property
    def comments(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef uint64_t value = self.decoder.splitter.comments if self.decoder is not None else 0
        let_go(lock)
        return value

    @property
    def error_field(self):
        cdef Decoder decoder = self.decoder
        if decoder is None:
            return b""
        return self._copy(<const unsigned char **>&decoder.splitter.field.p, &decoder.splitter.field.n)

    @property
    def is_document(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef bint value = self.c_state >= BODY and self.decoder is not None
        value = value and self.decoder.splitter.kind == LENS_EVENTS_DOCUMENT
        let_go(lock)
        return value

    @property
    def ended(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef bint value = self.c_state == ENDED
        let_go(lock)
        return value

    cdef object _flag(self, bint *what):
        cdef lens_lock_t *lock = self.c_hold()
        cdef bint value = what[0]
        let_go(lock)
        return value

    cdef object _number(self, int64_t *what):
        cdef lens_lock_t *lock = self.c_hold()
        cdef int64_t value = what[0]
        let_go(lock)
        return value

    @property
    def closed(self):
        return self._flag(&self.c_closed)

    @property
    def surplus(self):
        return self._flag(&self.c_surplus)

    @property
    def kernel_stamped(self):
        return self._flag(&self.c_kernel_stamped)

    @property
    def clock_stepped(self):
        return self._flag(&self.c_clock_stepped)

    @property
    def first_byte_ns(self):
        return self._number(&self.c_first_byte_ns)

    @property
    def head_end_ns(self):
        return self._number(&self.c_head_end_ns)

    @property
    def last_read_ns(self):
        return self._number(&self.c_last_read_ns)

    @property
    def send_start_ns(self):
        return self._number(&self.c_send_start_ns)

    @property
    def send_end_ns(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef int64_t value = self.c_first_byte_ns if self.c_sent_is_late() else self.c_send_end_ns
        let_go(lock)
        return value

    cdef bint c_sent_is_late(self) noexcept nogil:
        """The answer had come when the sending call was seen to return: the request left before that."""
        return not self.c_sent_stamped and 0 <= self.c_first_byte_ns < self.c_send_end_ns

    @property
    def send_stamp(self):
        cdef lens_lock_t *lock = self.c_hold()
        cdef bint stamped = self.c_sent_stamped, late = self.c_sent_is_late()
        let_go(lock)
        return "kernel" if stamped else "bound" if late else "call"

    @property
    def wire_bytes(self):
        return self._number(&self.c_wire_bytes)

    @property
    def reads(self):
        return self._number(&self.c_reads)

    @property
    def end_ns(self):
        return self._number(&self.ended_at)
