from libc.stdint cimport int64_t

from lens._core.clock cimport Offset
from lens._core.lock cimport lens_lock_t
from lens._core.stream cimport Stream

cdef extern from "sysio.h" nogil:
    ctypedef struct lens_thread_t:
        pass

cdef extern from "read_rate.h" nogil:
    ctypedef struct lens_read_rate_t:
        int64_t since
        int64_t wait_ns
    void lens_rate_count(lens_read_rate_t *rate, int64_t *window, int64_t *reads) noexcept
    void lens_rate_update(lens_read_rate_t *rate, int64_t now, int64_t all_reads, int batches) noexcept

cdef extern from "work_queue.h" nogil:
    ctypedef struct lens_work_queue_t:
        pass
    void lens_work_free(lens_work_queue_t *q) noexcept
    int lens_work_room(lens_work_queue_t *q, int n) noexcept
    int lens_work_waiting(const lens_work_queue_t *q) noexcept
    void lens_work_add(lens_work_queue_t *q, void *what, int *place) noexcept
    void lens_work_remove(lens_work_queue_t *q, int *place) noexcept
    void *lens_work_take(lens_work_queue_t *q) noexcept


cdef class Reactor:
    cdef int epoll             # -1 once closed
    cdef int told              # an eventfd: readable while the reading thread has something to tell
    cdef int ender             # an eventfd in the epoll, set to end the reading thread
    cdef int stamper           # a socket that keeps the kernel's stamping on
    cdef bint kernel_stamps
    cdef int pid               # of the process that made it
    cdef bint threaded         # a thread of the core reads; else poll() does
    cdef lens_thread_t thread
    cdef unsigned char *buffer # one read; shared by all sockets
    cdef dict streams          # fd -> the Stream attached by it; the kernel names descriptors only

    cdef lens_lock_t lock      # guards all that follows, and what Stream says that it guards
    cdef void **by_fd          # the attached streams again, for those without the GIL
    cdef int n_fds             # places in by_fd
    cdef int n_streams         # attached ones
    cdef lens_work_queue_t work  # streams that Python should look at
    cdef bint urgent           # one of them has changed its state; else they only have bytes to decode
    cdef bint telling          # `told` is set
    cdef bint closing
    cdef int os_error          # why the reading thread has ended; 0: it has not
    cdef Offset offset
    cdef int64_t told_ns       # when it was set last
    cdef lens_read_rate_t rate
    cdef int64_t n_polls, n_turns, n_reads, n_unstamped

    cdef void c_drain(self, int *fds, int n) noexcept nogil
    cdef bint c_read(self, Stream stream, bint stepped) noexcept nogil
    cdef void c_forget(self, Stream stream) noexcept nogil
    cdef void c_serve(self) noexcept nogil
    cdef int c_tell(self, int64_t now) noexcept nogil
    cdef int64_t c_arrival(self, Stream stream, int64_t real, int64_t seen, bint stepped) noexcept nogil
    cdef int _make_room(self, int fd) except -1
    cdef Stream _next_work(self)
    cdef bint _has_changed(self, Stream stream)
    cdef object _counted(self, int64_t *what)
