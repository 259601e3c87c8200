# cython: language_level=3
"""The tape: one request's events in one native block, delta coded.

The rule: what is written is not looked at again while events come; columns() and frames() decode
all of it at once. A reactor's thread may write it meanwhile, so whoever reads it takes the reactor's
lock, and what comes after is left out. The layout stands in tape.h.
"""

from cpython.array cimport array, clone
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from lens._core.lock cimport hold, let_go, lens_lock_t

cdef tuple EMPTY_COLUMNS = tuple([array(code) for code in "qqHII"])


cdef class Tape:
    def __cinit__(self):
        lens_tape_start(&self.t)

    def __dealloc__(self):
        lens_tape_free(&self.t)

    def event(self, int64_t arrived_ns, int64_t seen_ns, uint32_t read, uint16_t signals, uint32_t chars,
              uint16_t block=0):
        if self.t.n and read < self.t.read:
            raise ValueError(f"read {read} comes after read {self.t.read}; reads never fall")
        if lens_tape_event(&self.t, arrived_ns, seen_ns, read, signals, chars, block) < 0:
            raise MemoryError()

    def keep(self, uint64_t index, bytes name, bytes data):
        if lens_tape_keep(&self.t, index, name, len(name), data, len(data)) < 0:
            raise MemoryError()

    def columns(self, int64_t start_ns):
        cdef Py_buffer views[5]
        cdef int held = 0
        cdef uint64_t n = self._number(&self.t.n)
        cdef lens_lock_t *lock
        columns = tuple([clone(empty, n, False) for empty in EMPTY_COLUMNS])
        try:
            for column in columns:
                PyObject_GetBuffer(column, &views[held], PyBUF_WRITABLE)
                held += 1
            # The GIL is kept: another thread that appended meanwhile would move the entries being read.
            lock = hold(self.lock)
            lens_tape_columns(&self.t, n, start_ns, <int64_t *>views[0].buf, <int64_t *>views[1].buf,
                              <uint16_t *>views[2].buf, <uint32_t *>views[3].buf, <uint32_t *>views[4].buf)
            let_go(lock)
        finally:
            while held:
                held -= 1
                PyBuffer_Release(&views[held])
        return columns

    def blocks(self):
        cdef Py_buffer view
        cdef lens_lock_t *lock = hold(self.lock)
        cdef uint64_t n = self.t.n
        cdef bint some = self.t.has_blocks
        let_go(lock)
        if not some:
            return None
        column = clone(EMPTY_COLUMNS[2], n, False)
        PyObject_GetBuffer(column, &view, PyBUF_WRITABLE)
        lock = hold(self.lock)
        lens_tape_blocks(&self.t, n, <uint16_t *>view.buf)
        let_go(lock)
        PyBuffer_Release(&view)
        return column

    def frames(self):
        cdef lens_lock_t *lock = hold(self.lock)
        cdef size_t size = self.t.kept.n
        cdef uint64_t i, index, name_n, n, n_kept = self.t.n_kept
        cdef unsigned char *copy = <unsigned char *>malloc(size or 1)
        cdef const unsigned char *at = copy
        cdef const unsigned char *end
        cdef list kept = []
        if copy != NULL and size:
            memcpy(copy, self.t.kept.p, size)
        let_go(lock)
        if copy == NULL:
            raise MemoryError()
        try:
            end = copy + size
            for i in range(n_kept):
                at = lens_get_varint(lens_get_varint(lens_get_varint(at, end, &index), end, &name_n), end, &n)
                kept.append((index, (<const char *>at)[:name_n], (<const char *>at + name_n)[:n]))
                at += name_n + n
        finally:
            free(copy)
        return kept

    cdef uint64_t _number(self, const uint64_t *what):
        cdef lens_lock_t *lock = hold(self.lock)
        cdef uint64_t value = what[0]
        let_go(lock)
        return value

    @property
    def signals(self):
        cdef lens_lock_t *lock = hold(self.lock)
        cdef uint16_t value = self.t.all_signals
        let_go(lock)
        return value

    @property
    def tape_bytes(self):
        return self._number(<const uint64_t *>&self.t.events.n)

    @property
    def kept_bytes(self):
        return self._number(<const uint64_t *>&self.t.kept.n)

    def __len__(self):
        return self._number(&self.t.n)
