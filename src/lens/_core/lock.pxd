"""The lock between the thread that reads sockets and whoever works on what it reads; see lock.h."""

cdef extern from "lock.h" nogil:
    ctypedef struct lens_lock_t:
        pass
    void lens_lock_open(lens_lock_t *lock) noexcept
    void lens_lock_close(lens_lock_t *lock) noexcept
    void lens_lock_take(lens_lock_t *lock) noexcept
    void lens_lock_take_last(lens_lock_t *lock) noexcept
    void lens_lock_give(lens_lock_t *lock) noexcept


cdef inline lens_lock_t *hold(lens_lock_t *lock) noexcept:
    """Take a lock, where there is one; for let_go(). Only with the GIL: a detach would take the lock away."""
    if lock != NULL:
        lens_lock_take(lock)
    return lock


cdef inline void let_go(lens_lock_t *lock) noexcept nogil:
    """Give up what hold() took."""
    if lock != NULL:
        lens_lock_give(lock)
