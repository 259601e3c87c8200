# cython: language_level=3
"""Reads every socket of a run through one epoll descriptor, without the GIL, with kernel stamps.

The rule: the stamp comes first. A read is stamped by the kernel, or right after recvmsg, before
anything looks at its bytes; Python is entered only to decrypt or decompress, and to tell which
streams have changed. A stream that nobody waits for is read all the same, so its stamps stay true.

The streams of one poll are held by references of their own from the moment the kernel names them:
decrypting runs foreign Python, which may detach and let go of any of them. A reactor and the
streams attached to it belong to one thread; poll() lets go of the GIL while it reads.
"""

from libc.errno cimport EAGAIN, errno as last_errno
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from lens._core.clock cimport mono_ns, offset_renew, offset_start
from lens._core.stream cimport Stream

import os

cimport cython


cdef extern from "sysio.h" nogil:
    bint LENS_HAS_REACTOR
    Py_ssize_t lens_receive(int fd, void *data, size_t n, int64_t *real) noexcept
    int lens_stamp_receives(int fd) noexcept
    int lens_keep_stamping() noexcept
    int lens_epoll_open() noexcept
    int lens_epoll_close(int fd) noexcept
    int lens_epoll_set(int epoll, int op, int fd, int wanted) noexcept
    int lens_epoll_ready(int epoll, int *fds, int most) noexcept
    int lens_tcp_info(int fd, int64_t *out) noexcept

cdef enum:
    ADD = 1
    REMOVE = 2
    READY_MOST = 256            # descriptors of one poll
    READ_BYTES = 262144         # one recvmsg; larger than a socket's usual receive buffer holds
    READS_AT_ONCE = 4           # of one socket before the others have their turn
    DOUBTFUL_LAG_NS = 2_000_000  # so late only under load, or when the wall clock was set back
    DOUBTFUL_AGE_NS = 100_000

native = bool(LENS_HAS_REACTOR)
globals()["Stream"] = Stream  # a cimported type is no name of this module by itself


cdef void drain_one(Stream stream, Reactor reactor, bint stepped) noexcept nogil:
    """Read one socket until it has no more, or others should have their turn."""
    cdef int64_t real, seen
    cdef Py_ssize_t got
    cdef int turn, error
    for turn in range(READS_AT_ONCE):
        got = lens_receive(stream.fd, reactor.buffer, READ_BYTES, &real)
        error = last_errno
        seen = mono_ns()
        reactor.reads += 1
        if got > 0:
            stream.c_read(reactor.buffer, got, reactor.c_arrival(stream, real, seen, stepped), seen)
            if got < READ_BYTES:
                return
        elif got < 0 and error == EAGAIN:
            return
        else:
            lens_epoll_set(stream.epoll, REMOVE, stream.fd, 0)
            stream.attached = False
            stream.c_eof(seen, 0 if got == 0 else error)
            return


# Its streams are told when it goes, which they could not be once a collector had cleared them away.
@cython.no_gc_clear
cdef class Reactor:
    def __cinit__(self, *, bint kernel_stamps=True):
        self.epoll = self.stamper = -1
        self.streams = {}
        self.kernel_stamps = kernel_stamps
        self.unstamped = not kernel_stamps
        self.buffer = <unsigned char *>malloc(READ_BYTES)
        if self.buffer == NULL:
            raise MemoryError()
        self.epoll = lens_epoll_open()
        if self.epoll < 0:
            raise OSError(last_errno, os.strerror(last_errno))
        if kernel_stamps:
            self.stamper = lens_keep_stamping()
        offset_start(&self.offset)

    def __dealloc__(self):
        self.close()
        free(self.buffer)

    def fileno(self):
        return self.epoll

    def attach(self, Stream stream):
        if self.kernel_stamps:
            lens_stamp_receives(stream.fd)  # where it is refused, reads carry no stamp and say so
        if stream.attached and self.streams.get(stream.fd) is not stream:
            raise ValueError(f"descriptor {stream.fd}: its stream is attached to another reactor")
        if lens_epoll_set(self.epoll, ADD, stream.fd, 1) < 0:
            raise OSError(last_errno, os.strerror(last_errno))
        former = self.streams.get(stream.fd)
        if former is not None:
            (<Stream>former).attached = False  # its socket was closed, else the kernel had refused this one
        stream.epoll = self.epoll
        stream.attached = True
        self.streams[stream.fd] = stream

    def detach(self, Stream stream):
        # By identity: the number may belong to another stream by now.
        if self.streams.get(stream.fd) is not stream:
            return
        del self.streams[stream.fd]
        if stream.attached:
            lens_epoll_set(self.epoll, REMOVE, stream.fd, 0)
        stream.attached = False

    def __len__(self):
        return len(self.streams)

    def poll(self):
        cdef void *borrowed[READY_MOST]
        cdef int i, n
        cdef list ready, changed = []
        cdef Stream stream
        if self.epoll < 0:
            raise ValueError("the reactor is closed")
        if self.draining:
            raise RuntimeError("another thread polls this reactor; one thread at a time may")
        ready = self._ready()
        n = <int>len(ready)
        for i in range(n):
            borrowed[i] = <void *>ready[i]
        if n:
            self.draining = True
            with nogil:
                self.c_drain(borrowed, n)
            self.draining = False
        self.polls += 1
        for stream in ready:
            if self.streams.get(stream.fd) is not stream:
                continue  # settling another one has detached it: nobody waits for it any more
            stream.settle()
            if stream.changed:
                stream.changed = False
                changed.append(stream)
        return changed

    cdef list _ready(self):
        """The streams that have something to read, held; with the GIL, so that none can go in between."""
        cdef int fds[READY_MOST]
        cdef int i, n
        n = lens_epoll_ready(self.epoll, fds, READY_MOST)
        if n < 0:
            raise OSError(last_errno, f"epoll_wait: {os.strerror(last_errno)}")
        found = [self.streams.get(fds[i]) for i in range(n)]
        # A descriptor that was duplicated elsewhere is told of even when ours is closed and forgotten.
        return [stream for stream in found if stream is not None]

    cdef void c_drain(self, void **ready, int n) noexcept nogil:
        """Read each of the streams, which the caller holds."""
        cdef int i
        cdef bint stepped = offset_renew(&self.offset, mono_ns())
        for i in range(n):
            drain_one(<Stream>ready[i], self, stepped)

    cdef int64_t c_arrival(self, Stream stream, int64_t real, int64_t seen, bint stepped) noexcept nogil:
        """The kernel's stamp on CLOCK_MONOTONIC; `seen` where there is none to trust."""
        cdef int64_t arrived = real - self.offset.value
        if real == 0:
            stream.kernel_stamped = False
            self.unstamped = True
            return seen
        if arrived > seen + 1000 or seen - arrived > DOUBTFUL_LAG_NS:
            # Either this reader is late, or the wall clock was set since the offset was read.
            if arrived > seen or seen - self.offset.sampled > DOUBTFUL_AGE_NS:
                self.offset.sampled = 0
                stepped = offset_renew(&self.offset, seen) or stepped
                arrived = real - self.offset.value
        if stepped:
            stream.clock_stepped = True
            return seen
        return arrived if arrived < seen else seen

    @property
    def clock_steps(self):
        return self.offset.steps

    def close(self):
        if self.epoll >= 0:
            lens_epoll_close(self.epoll)
            self.epoll = -1
        if self.stamper >= 0:
            lens_epoll_close(self.stamper)
            self.stamper = -1
        if self.streams is not None:
            for stream in self.streams.values():
                (<Stream>stream).attached = False
            self.streams.clear()


def read_tcp_info(int fd):
    cdef int64_t facts[4]
    memset(facts, 0, sizeof(facts))
    if lens_tcp_info(fd, facts) < 0:
        return None
    return facts[0], facts[1], facts[2], facts[3]
