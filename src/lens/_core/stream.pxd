from libc.stdint cimport int64_t

from lens._core.frames cimport Decoder, Inflater, lens_read_queue_t
from lens._core.tape cimport Tape

cdef extern from "read_queue.h" nogil:
    Py_ssize_t lens_head_end(const unsigned char *data, size_t n, int *line) noexcept


cdef enum StreamState:
    IDLE = 0
    HEAD = 1
    PARKED = 2
    BODY = 3
    ENDED = 4
    FAILED = 5


cdef class Stream:
    cdef readonly int fd
    cdef int c_state           # a StreamState
    cdef bint changed          # parked, first bytes held, done, ended, failed or closed since poll() last told
    cdef bint attached         # its socket is in the reactor's epoll
    cdef bint paused           # not read for now: too much is held
    cdef readonly bint closed  # the peer has closed, or the socket failed
    cdef readonly bint surplus
    cdef readonly bint kernel_stamped
    cdef readonly bint clock_stepped
    cdef int os_error        # errno of the socket's failure; 0: none
    cdef const char *c_error # what was against the protocol; NULL: nothing
    cdef str tls_error
    cdef bint close_notify     # the peer has said by TLS that it ends
    cdef int epoll             # of the reactor it is attached to
    cdef int line              # how far into a blank line the head is
    cdef Py_ssize_t most_head, most_event
    cdef bint keep_all
    cdef lens_read_queue_t head_bytes     # of the head, as they came
    cdef lens_read_queue_t parked         # came after the head, before begin_body
    cdef lens_read_queue_t cipher         # TLS records not yet decrypted
    cdef readonly int64_t first_byte_ns, head_end_ns, last_read_ns, send_start_ns, send_end_ns
    cdef readonly int64_t wire_bytes, reads
    cdef int64_t ended_at      # when a stream without a decoder's end was over; -1 before
    cdef int64_t closed_at
    cdef Tape tape
    cdef Decoder decoder
    cdef Inflater inflater     # None: the body is not compressed
    cdef object tls, incoming

    cdef void c_read(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    cdef void c_take(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    cdef void c_body(self, const unsigned char *data, Py_ssize_t n, int64_t arrived, int64_t seen) noexcept nogil
    cdef void c_body_over(self) noexcept nogil
    cdef void c_eof(self, int64_t at, int os_error) noexcept nogil
    cdef void c_fail(self, const char *error, int64_t at) noexcept nogil
    cdef void c_close_body(self) noexcept nogil
    cdef void c_pause(self) noexcept nogil
    cdef int settle(self) except -1
    cdef int _require_head(self, str refused) except -1
    cdef int _decrypt(self) except -1
    cdef int _inflate(self) except -1
    cdef int _replay(self, lens_read_queue_t queue) except -1
