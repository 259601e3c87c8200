"""The tape for C: inlined into whoever cimports it."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "buf.h" nogil:
    ctypedef struct buf_t:
        unsigned char *p
        size_t n
    void buf_free(buf_t *b) noexcept
    int buf_add(buf_t *b, const void *data, size_t n) noexcept

cdef extern from "tape.h" nogil:
    ctypedef struct tape_t:
        buf_t events
        buf_t kept
        uint64_t n
        uint64_t n_kept
        uint32_t read
    void tape_start(tape_t *t) noexcept
    void tape_free(tape_t *t) noexcept
    int tape_event(tape_t *t, int64_t arrived, int64_t seen, uint32_t read, uint16_t signals, uint32_t chars) noexcept
    int tape_keep(tape_t *t, uint64_t index, const unsigned char *name, size_t name_n,
                  const unsigned char *data, size_t n) noexcept
    void tape_columns(const tape_t *t, int64_t start, int64_t *arrived, int64_t *lag, uint16_t *signals,
                      uint32_t *chars, uint32_t *read) noexcept
    const unsigned char *get_varint(const unsigned char *at, const unsigned char *end, uint64_t *v) noexcept


cdef class Tape:
    cdef tape_t t   # events and kept frames, delta coded
