from libc.stdint cimport int64_t, uint32_t, uint64_t

from lens._core.clock cimport Offset
from lens._core.frames cimport Decoder, lens_read_queue_t
from lens._core.lock cimport lens_lock_t

cdef extern from "read_queue.h" nogil:
    Py_ssize_t lens_head_end(const unsigned char *data, size_t n, int *line) noexcept


cdef extern from "usual_head.h" nogil:
    ctypedef struct lens_usual_head_t:
        int64_t length
        int body
        int events
    ctypedef struct lens_field_t:
        const unsigned char *name
        const unsigned char *value
        size_t name_n
        size_t value_n
    const unsigned char *lens_field_next(
        const unsigned char *at, const unsigned char *end, lens_field_t *field) noexcept
    const unsigned char *lens_head_fields(const unsigned char *head, size_t n) noexcept
    bint lens_head_is_usual(const unsigned char *head, size_t n, int wanted, lens_usual_head_t *out) noexcept


cdef enum Phase:
    IDLE = 0
    HEAD = 1
    PARKED = 2
    BODY = 3
    ENDED = 4
    FAILED = 5


cdef class StreamState:
    cdef readonly int fd
    # Of the reactor it is attached to; NULL: of none, and whoever has the GIL may touch all of it. It guards
    # all that follows but the objects, which only whoever has the GIL touches.
    cdef lens_lock_t *lock
    cdef int c_state           # a Phase
    cdef int work_at           # its place among what Python should look at; -1: none
    cdef bint changed          # parked, first bytes held, done, ended, failed or closed since poll() last told
    cdef bint attached         # its socket is in the reactor's epoll
    cdef bint paused           # not read for now: too much is held
    cdef bint c_closed         # the peer has closed, or the socket failed
    cdef bint c_surplus
    cdef bint c_kernel_stamped
    cdef bint c_clock_stepped
    cdef bint secured          # what is read is ciphertext
    cdef int wanted_events     # of a body whose head is a usual one; -1: every head is for Python
    cdef bint c_usual          # the head was a usual one, and the body has begun
    cdef lens_usual_head_t usual
    cdef bint encoded          # the body is compressed
    cdef bint close_notify     # the peer has said by TLS that it ends
    cdef bint decrypting       # settle() has ciphertext in its hands; its plain bytes are to come
    cdef int os_error          # errno of the socket's failure; 0: none
    cdef const char *c_error   # what was against the protocol; NULL: nothing
    cdef int epoll             # of the reactor it is attached to
    cdef int line              # how far into a blank line the head is
    cdef Py_ssize_t most_head, most_event
    cdef uint64_t most_events, most_kept, most_inflated, most_ratio  # 0: no limit
    cdef bint c_backlog        # more has come than was decompressed at once
    cdef bint keep_all
    cdef lens_read_queue_t head_bytes     # of the head, as they came
    cdef lens_read_queue_t parked         # came after the head, before begin_body
    cdef lens_read_queue_t cipher         # TLS records not yet decrypted
    cdef int64_t c_first_byte_ns, c_head_end_ns, c_last_read_ns, c_send_start_ns, c_send_end_ns
    cdef int64_t c_wire_bytes, c_reads
    cdef int64_t rate_window, rate_reads  # the reactor's: how often it was read of late
    cdef Offset *offset        # of the reactor's clocks; NULL: the kernel does not stamp what is sent
    cdef uint32_t sent_bytes   # since stamping began, modulo 2^32
    cdef bint c_sent_stamped   # c_send_end_ns is the kernel's: when the last byte left
    cdef int64_t ended_at      # when a stream without a decoder's end was over; -1 before
    cdef int64_t closed_at
    cdef Decoder decoder       # its state is guarded, and so is the reference

    cdef lens_lock_t *c_hold(self) noexcept
    cdef void c_clear(self) noexcept nogil
    cdef void c_read(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    cdef void c_take(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    cdef void c_body(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    cdef void c_body_over(self) noexcept nogil
    cdef void c_replay(self) noexcept nogil
    cdef void c_inflated(self, bint inside_member) noexcept nogil
    cdef void c_take_sent(self, bint rest) noexcept nogil
    cdef bint c_sent_is_late(self) noexcept nogil
    cdef void c_eof(self, int64_t at, int os_error) noexcept nogil
    cdef void c_close(self) noexcept nogil
    cdef void c_close_body(self) noexcept nogil
    cdef void c_fail(self, const char *error, int64_t at) noexcept nogil
    cdef bint c_holds_much(self) noexcept nogil
    cdef bint c_waits_for_python(self) noexcept nogil
    cdef void c_pause(self) noexcept nogil
    cdef int c_resume(self) noexcept nogil
    cdef bytes _copy(self, const unsigned char **data, size_t *n)
    cdef object _flag(self, bint *what)
    cdef object _number(self, int64_t *what)
