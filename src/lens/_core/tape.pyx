# cython: language_level=3
"""The tape: one request's events in one native block, delta coded.

The rule: what is written is never looked at again before the body has ended; columns() and
frames() decode all of it at once. The layout stands in tape.h.
"""

from array import array

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t


cdef class Tape:
    def __cinit__(self):
        lens_tape_start(&self.t)

    def __dealloc__(self):
        lens_tape_free(&self.t)

    def event(self, int64_t arrived_ns, int64_t seen_ns, uint32_t read, uint16_t signals, uint32_t chars):
        if self.t.n and read < self.t.read:
            raise ValueError(f"read {read} comes after read {self.t.read}; reads never fall")
        if lens_tape_event(&self.t, arrived_ns, seen_ns, read, signals, chars) < 0:
            raise MemoryError()

    def keep(self, uint64_t index, bytes name, bytes data):
        if lens_tape_keep(&self.t, index, name, len(name), data, len(data)) < 0:
            raise MemoryError()

    def columns(self, int64_t start_ns):
        cdef Py_buffer views[5]
        cdef int held = 0
        columns = tuple(array(code, [0]) * self.t.n for code in "qqHII")
        try:
            for column in columns:
                PyObject_GetBuffer(column, &views[held], PyBUF_WRITABLE)
                held += 1
            # The GIL is kept: another thread that appended meanwhile would move the entries being read.
            lens_tape_columns(&self.t, start_ns, <int64_t *>views[0].buf, <int64_t *>views[1].buf,
                              <uint16_t *>views[2].buf, <uint32_t *>views[3].buf, <uint32_t *>views[4].buf)
        finally:
            while held:
                held -= 1
                PyBuffer_Release(&views[held])
        return columns

    def frames(self):
        cdef const unsigned char *at = self.t.kept.p
        cdef const unsigned char *end = at + self.t.kept.n
        cdef uint64_t i, index, name_n, n
        cdef list kept = []
        for i in range(self.t.n_kept):
            at = lens_get_varint(lens_get_varint(lens_get_varint(at, end, &index), end, &name_n), end, &n)
            kept.append((index, (<const char *>at)[:name_n], (<const char *>at + name_n)[:n]))
            at += name_n + n
        return kept

    @property
    def tape_bytes(self):
        return self.t.events.n

    @property
    def kept_bytes(self):
        return self.t.kept.n

    def __len__(self):
        return self.t.n
