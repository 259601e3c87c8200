# cython: language_level=3
"""Another harness's receive path, with the lens's clock, decoder and rules called from C.

Where a harness already has its own loop and sockets, it only has to hand in what it read and when.
"""

from libc.stdint cimport int64_t

from lens._core.clock cimport mono_ns
from lens._core.frames cimport Decoder
from lens._core.signals cimport SignalSet
from lens._core.tape cimport Tape


cdef class Stopwatch:
    """Times one stream of server-sent events; what HTTP frames it with the harness has taken off."""

    cdef readonly Tape tape
    cdef Decoder decoder
    cdef readonly int64_t begun_ns

    def __cinit__(self, SignalSet rules):
        self.tape = Tape()
        self.decoder = Decoder(self.tape)
        self.decoder.begin("close", -1, "sse", rules)
        self.begun_ns = mono_ns()

    def read(self, bytes data):
        """What the harness's loop read just now. No object is made and the GIL is not held while it is cut."""
        cdef const unsigned char *at = data
        cdef Py_ssize_t n = len(data)
        cdef int64_t now
        with nogil:
            now = mono_ns()
            self.decoder.c_feed(at, n, now, now)

    def end(self):
        with nogil:
            self.decoder.c_finish(mono_ns())

    @property
    def last_content_ns(self):
        """Since the beginning; None before the first content."""
        return self.decoder.c_last_content_ns - self.begun_ns if self.decoder.c_last_content_ns >= 0 else None
