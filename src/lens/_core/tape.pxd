"""The tape for C: inlined into whoever cimports it."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from lens._core.lock cimport lens_lock_t

cdef extern from "buf.h" nogil:
    ctypedef struct lens_buf_t:
        unsigned char *p
        size_t n
    void lens_buf_free(lens_buf_t *b) noexcept
    int lens_buf_add(lens_buf_t *b, const void *data, size_t n) noexcept

cdef extern from "tape.h" nogil:
    ctypedef struct lens_tape_t:
        lens_buf_t events
        lens_buf_t kept
        uint64_t n
        uint64_t n_kept
        uint32_t read
        uint16_t all_signals
        uint8_t has_blocks
    void lens_tape_start(lens_tape_t *t) noexcept
    void lens_tape_free(lens_tape_t *t) noexcept
    int lens_tape_event(lens_tape_t *t, int64_t arrived, int64_t seen, uint32_t read, uint16_t signals,
                        uint32_t chars, uint16_t block) noexcept
    int lens_tape_keep(lens_tape_t *t, uint64_t index, const unsigned char *name, size_t name_n,
                       const unsigned char *data, size_t n) noexcept
    void lens_tape_columns(const lens_tape_t *t, uint64_t n, int64_t start, int64_t *arrived, int64_t *lag, uint16_t *signals,
                           uint32_t *chars, uint32_t *read) noexcept
    void lens_tape_blocks(const lens_tape_t *t, uint64_t n, uint16_t *blocks) noexcept
    const unsigned char *lens_get_varint(const unsigned char *at, const unsigned char *end, uint64_t *v) noexcept


cdef class Tape:
    cdef lens_tape_t t   # events and kept frames, delta coded
    # Of the reactor whose thread writes it; NULL: of none. Only whoever has the GIL touches it.
    cdef lens_lock_t *lock

    cdef uint64_t _number(self, const uint64_t *what)
