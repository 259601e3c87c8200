# cython: language_level=3
"""Reads every socket of a run through one epoll descriptor, without the GIL, with kernel stamps.

The rule: the stamp comes first. A read is stamped by the kernel, or right after recvmsg, before
anything looks at its bytes; Python is entered only to decrypt or decompress, and to tell which
streams have changed. A stream that nobody waits for is read all the same, so its stamps stay true.

After start() a thread of the core reads, whatever Python does meanwhile, and says so by an eventfd
when there is something to do in poll(); before it, poll() itself reads. One lock guards the state of
the reactor and of its streams. It is never held while Python code runs or an object of Python is made,
so whoever holds it needs no GIL, and waiting for it with the GIL is safe.
"""

from libc.errno cimport EAGAIN, errno as last_errno
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from lens._core.clock cimport mono_ns, offset_renew, offset_start, offset_to_mono
from lens._core.lock cimport lens_lock_close, lens_lock_give, lens_lock_open, lens_lock_take, lens_lock_take_last
from lens._core.stream cimport Stream

import os

cimport cython


cdef extern from "sysio.h" nogil:
    bint LENS_HAS_REACTOR
    enum:
        LENS_READY_MOST
    Py_ssize_t lens_receive(int fd, void *data, size_t n, int64_t *real) noexcept
    int lens_stamp(int fd) noexcept
    int lens_keep_stamping() noexcept
    int lens_epoll_open() noexcept
    int lens_epoll_close(int fd) noexcept
    int lens_epoll_set(int epoll, int op, int fd, int wanted) noexcept
    int lens_epoll_ready(int epoll, int *fds, int most, int wait_ms) noexcept
    int lens_event_open() noexcept
    void lens_event_set(int fd) noexcept
    void lens_event_clear(int fd) noexcept
    void lens_sleep(int64_t ns) noexcept
    int lens_pid() noexcept
    int lens_thread_start(lens_thread_t *thread, void *(*run)(void *) noexcept nogil, void *what) noexcept
    void lens_thread_join(lens_thread_t thread) noexcept

cdef enum:
    ADD = 1
    REMOVE = 2
    READ_BYTES = 262144         # one recvmsg; larger than a socket's usual receive buffer holds
    READS_AT_ONCE = 4           # of one socket before the others have their turn
    # Bytes that wait for Python to decode them move no stamp, so they are told of this seldom.
    DECODE_NS = 2_000_000
    OVER = -2                   # of the reading thread: there is no next read

native = bool(LENS_HAS_REACTOR)
globals()["Stream"] = Stream  # a cimported type is no name of this module by itself


cdef void *serve(void *reactor) noexcept nogil:
    (<Reactor>reactor).c_serve()
    return NULL


@cython.no_gc_clear
cdef class Reactor:
    def __cinit__(self, *, bint kernel_stamps=True):
        self.pid = lens_pid()
        self.epoll = self.told = self.ender = self.stamper = -1
        lens_lock_open(&self.lock)
        self.streams = {}
        self.kernel_stamps, self.n_unstamped = kernel_stamps, not kernel_stamps
        self.buffer = <unsigned char *>malloc(READ_BYTES)
        if self.buffer == NULL:
            raise MemoryError()
        self.epoll = lens_epoll_open()
        self.told = lens_event_open()
        self.ender = lens_event_open()
        if self.epoll < 0 or self.told < 0 or self.ender < 0:
            raise OSError(last_errno, os.strerror(last_errno))
        if kernel_stamps:
            self.stamper = lens_keep_stamping()
        offset_start(&self.offset)
        self.rate.since = mono_ns()

    def __del__(self):
        # Before a collector of garbage clears anything away: the thread reads into streams that only we hold.
        self.close()

    def __dealloc__(self):
        self.close()
        lens_lock_close(&self.lock)
        free(self.buffer)
        free(self.by_fd)
        lens_work_free(&self.work)

    def start(self):
        cdef int error
        if self.epoll < 0:
            raise ValueError("the reactor is closed")
        if self.threaded:
            raise RuntimeError("the reactor has been started already")
        if lens_epoll_set(self.epoll, ADD, self.ender, 1) < 0:
            raise OSError(last_errno, os.strerror(last_errno))
        self.threaded = True
        error = lens_thread_start(&self.thread, serve, <void *>self)
        if error:
            self.threaded = False
            raise OSError(error, f"no thread to read in: {os.strerror(error)}")

    def fileno(self):
        return self.told if self.threaded else self.epoll

    def attach(self, Stream stream):
        cdef Stream former
        cdef bint stamped
        if self.epoll < 0:
            raise ValueError("the reactor is closed")
        if stream.attached and self.streams.get(stream.fd) is not stream:
            raise ValueError(f"descriptor {stream.fd}: its stream is attached to another reactor")
        self._make_room(stream.fd)
        former = self.streams.get(stream.fd)
        # Where it is refused, reads and sends carry no stamp and say so.
        stamped = self.kernel_stamps and lens_stamp(stream.fd) == 0
        stream.bind(&self.lock)
        lens_lock_take(&self.lock)
        if lens_epoll_set(self.epoll, ADD, stream.fd, 1) < 0:
            error = last_errno
            lens_lock_give(&self.lock)
            if former is not stream:
                stream.bind(NULL)
            raise OSError(error, os.strerror(error))
        stream.offset = &self.offset if stamped else NULL
        stream.sent_bytes = 0
        stream.paused = False
        if former is not None and former is not stream:
            self.c_forget(former)  # its socket was closed, else the kernel had refused this one
        stream.epoll = self.epoll
        stream.attached = True
        if self.by_fd[stream.fd] == NULL:
            self.n_streams += 1
        self.by_fd[stream.fd] = <void *>stream
        lens_lock_give(&self.lock)
        if former is not None and former is not stream:
            former.bind(NULL)
        self.streams[stream.fd] = stream

    cdef int _make_room(self, int fd) except -1:
        """Places for one stream more, so that reading never has to ask for memory."""
        cdef int n_fds = max(fd + 1, 64)
        cdef void **grown
        lens_lock_take(&self.lock)
        try:
            if n_fds > self.n_fds:
                n_fds += n_fds // 2
                grown = <void **>realloc(self.by_fd, n_fds * sizeof(void *))
                if grown == NULL:
                    raise MemoryError()
                memset(grown + self.n_fds, 0, (n_fds - self.n_fds) * sizeof(void *))
                self.by_fd, self.n_fds = grown, n_fds
            if lens_work_room(&self.work, <int>len(self.streams) + 2) < 0:
                raise MemoryError()
        finally:
            lens_lock_give(&self.lock)
        return 0

    def detach(self, Stream stream):
        # By identity: the number may belong to another stream by now.
        if self.streams.get(stream.fd) is not stream:
            return
        lens_lock_take(&self.lock)
        if stream.attached and self.pid == lens_pid():  # a forked child has no epoll of its own
            lens_epoll_set(self.epoll, REMOVE, stream.fd, 0)
        self.c_forget(stream)
        lens_lock_give(&self.lock)
        stream.bind(NULL)
        del self.streams[stream.fd]

    cdef void c_forget(self, Stream stream) noexcept nogil:
        """No longer one of ours; under the lock."""
        stream.attached = False
        stream.offset = NULL
        self.by_fd[stream.fd] = NULL
        self.n_streams -= 1
        lens_work_remove(&self.work, &stream.work_at)

    def __len__(self):
        return len(self.streams)

    def poll(self):
        cdef int fds[LENS_READY_MOST]
        cdef int i, n, error
        cdef list changed = []
        cdef Stream stream
        if self.epoll < 0:
            raise ValueError("the reactor is closed")
        if self.threaded:
            lens_event_clear(self.told)
        else:
            n = lens_epoll_ready(self.epoll, fds, LENS_READY_MOST, 0)
            if n < 0:
                raise OSError(last_errno, f"epoll_wait: {os.strerror(last_errno)}")
            with nogil:
                self.c_drain(fds, n)
        lens_lock_take(&self.lock)
        self.n_polls += 1
        self.telling = self.urgent = False
        n = lens_work_waiting(&self.work)
        error = self.os_error
        lens_lock_give(&self.lock)
        if error:
            raise OSError(error, f"epoll_wait: {os.strerror(error)}")
        for i in range(n):
            stream = self._next_work()
            if stream is None:
                break
            stream.settle()
            # What settling another one has detached is nobody's to wait for any more.
            if self._has_changed(stream):
                changed.append(stream)
        return changed

    cdef Stream _next_work(self):
        """The next stream that Python should look at, held; None when there is none."""
        cdef void *found
        cdef Stream stream = None
        lens_lock_take(&self.lock)
        found = lens_work_take(&self.work)
        if found != NULL:
            stream = <Stream>found
        lens_lock_give(&self.lock)
        return stream

    cdef bint _has_changed(self, Stream stream):
        cdef bint changed
        if stream.lock != &self.lock:
            return False
        lens_lock_take(&self.lock)
        changed = stream.changed
        stream.changed = False
        lens_lock_give(&self.lock)
        return changed

    def read(self, Stream stream):
        cdef bint waits, stepped
        cdef int turn
        if self.streams.get(stream.fd) is not stream:
            return False
        lens_lock_take(&self.lock)
        if stream.attached and not stream.paused:
            stepped = offset_renew(&self.offset, mono_ns())
            for turn in range(READS_AT_ONCE):
                if not self.c_read(stream, stepped):
                    break
        waits = stream.work_at >= 0
        lens_lock_give(&self.lock)
        return waits

    cdef void c_drain(self, int *fds, int n) noexcept nogil:
        """Read each of these sockets until it has no more, or others should have their turn; they may have the lock."""
        cdef int i, fd, turn
        cdef bint more, stepped = False
        for i in range(n):
            fd = fds[i] if fds[i] >= 0 else ~fds[i]
            more, turn = True, 0
            while more and turn < READS_AT_ONCE:
                lens_lock_take_last(&self.lock)
                if i == turn == 0:
                    stepped = offset_renew(&self.offset, mono_ns())
                    self.n_turns += 1
                # A descriptor that was duplicated elsewhere is told of even when ours is closed and forgotten.
                more = fd < self.n_fds and self.by_fd[fd] != NULL
                if more:
                    if fds[i] < 0 and turn == 0:
                        (<Stream>self.by_fd[fd]).c_take_sent(True)
                    more = self.c_read(<Stream>self.by_fd[fd], stepped)
                lens_lock_give(&self.lock)
                turn += 1

    cdef bint c_read(self, Stream stream, bint stepped) noexcept nogil:
        """Read one socket once; whether it may have more that can be taken. Under the lock."""
        cdef int64_t real, seen
        cdef Py_ssize_t got = lens_receive(stream.fd, self.buffer, READ_BYTES, &real)
        cdef int error = last_errno
        seen = mono_ns()
        self.n_reads += 1
        if got > 0:
            lens_rate_count(&self.rate, &stream.rate_window, &stream.rate_reads)
            stream.c_read(self.buffer, got, self.c_arrival(stream, real, seen, stepped), seen)
        elif got == 0 or error != EAGAIN:
            if stream.attached:
                lens_epoll_set(self.epoll, REMOVE, stream.fd, 0)
            stream.attached = False
            stream.c_eof(seen, 0 if got == 0 else error)
        if stream.changed or stream.c_waits_for_python():
            self.urgent = self.urgent or stream.changed
            lens_work_add(&self.work, <void *>stream, &stream.work_at)
        return got == READ_BYTES and not stream.paused

    cdef void c_serve(self) noexcept nogil:
        """The reading thread."""
        cdef int fds[LENS_READY_MOST]
        cdef int n, wait_ms = -1
        cdef int64_t now, batch_ns = 0
        while wait_ms != OVER:
            if batch_ns:
                lens_sleep(batch_ns)
            n = lens_epoll_ready(self.epoll, fds, LENS_READY_MOST, wait_ms)
            if n < 0:
                lens_lock_take(&self.lock)
                self.os_error = last_errno
                lens_lock_give(&self.lock)
            else:
                self.c_drain(fds, n)
            lens_lock_take(&self.lock)
            now = mono_ns()
            lens_rate_update(&self.rate, now, self.n_reads, self.n_unstamped == 0)
            batch_ns = self.rate.wait_ns
            wait_ms = self.c_tell(now)
            lens_lock_give(&self.lock)

    cdef int c_tell(self, int64_t now) noexcept nogil:
        """Set the eventfd when there is something to do; how long the next read may wait. Under the lock."""
        cdef int64_t until
        if self.closing or self.os_error:
            lens_event_set(self.told)
            return OVER
        if self.telling or not lens_work_waiting(&self.work):
            return -1
        until = self.told_ns + DECODE_NS
        if not self.urgent and now < until:
            return <int>((until - now) // 1_000_000) + 1
        self.telling = True
        self.told_ns = now
        lens_event_set(self.told)
        return -1

    cdef int64_t c_arrival(self, Stream stream, int64_t real, int64_t seen, bint stepped) noexcept nogil:
        """The kernel's stamp on CLOCK_MONOTONIC; `seen` where there is none to trust."""
        cdef int64_t arrived
        if real == 0:
            stream.c_kernel_stamped = False
            self.n_unstamped += 1
            return seen
        arrived = offset_to_mono(&self.offset, real, seen, &stepped)
        if stepped:
            stream.c_clock_stepped = True
        return arrived

    @property
    def polls(self):
        return self._counted(&self.n_polls)

    @property
    def turns(self):
        return self._counted(&self.n_turns)

    @property
    def reads(self):
        return self._counted(&self.n_reads)

    @property
    def clock_steps(self):
        return self._counted(&self.offset.steps)

    cdef object _counted(self, int64_t *what):
        cdef int64_t value
        lens_lock_take(&self.lock)
        value = what[0]
        lens_lock_give(&self.lock)
        return value

    @property
    def unstamped(self):
        return bool(self._counted(&self.n_unstamped))

    @property
    def batches(self):
        return self._counted(&self.rate.wait_ns) > 0

    def close(self):
        cdef Stream stream
        if self.pid != lens_pid():  # a forked child: the thread is not here, nor whoever had the lock
            self.threaded = False
            lens_lock_open(&self.lock)
        if self.threaded:
            self.threaded = False
            lens_lock_take(&self.lock)
            self.closing = True
            lens_lock_give(&self.lock)
            lens_event_set(self.ender)
            with nogil:
                lens_thread_join(self.thread)
        for stream in list(self.streams.values() if self.streams is not None else ()):
            self.detach(stream)
        for fd in (self.epoll, self.told, self.ender, self.stamper):
            if fd >= 0:
                lens_epoll_close(fd)
        self.epoll = self.told = self.ender = self.stamper = -1
