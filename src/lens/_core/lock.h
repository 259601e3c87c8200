/* One lock between the thread that reads sockets and whoever works on what it reads.

   The reading thread takes it for each socket anew and would seldom let others have it: a plain mutex is not
   fair. So whoever has to wait is counted, and the reading thread lets those go first. The lock is never held
   while Python code runs or an object of Python is made: its holder must not need the GIL. */
#ifndef LENS_LOCK_H
#define LENS_LOCK_H

#ifndef _WIN32
#include <pthread.h>

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t calm; /* nobody waits any more */
    int waiting;         /* how many do; atomic */
} lens_lock_t;

static inline void lens_lock_open(lens_lock_t *lock) {
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->calm, NULL);
    lock->waiting = 0;
}

static inline void lens_lock_close(lens_lock_t *lock) {
    pthread_cond_destroy(&lock->calm);
    pthread_mutex_destroy(&lock->mutex);
}

static inline void lens_lock_take(lens_lock_t *lock) {
    if (!pthread_mutex_trylock(&lock->mutex)) return;
    __atomic_add_fetch(&lock->waiting, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&lock->mutex);
    if (!__atomic_sub_fetch(&lock->waiting, 1, __ATOMIC_SEQ_CST)) pthread_cond_broadcast(&lock->calm);
}

/* For the reading thread: after everybody else. */
static inline void lens_lock_take_last(lens_lock_t *lock) {
    pthread_mutex_lock(&lock->mutex);
    while (__atomic_load_n(&lock->waiting, __ATOMIC_SEQ_CST)) pthread_cond_wait(&lock->calm, &lock->mutex);
}

static inline void lens_lock_give(lens_lock_t *lock) { pthread_mutex_unlock(&lock->mutex); }
#else
/* No reactor, no thread that reads, nothing to lock. */
typedef struct {
    int none;
} lens_lock_t;
static inline void lens_lock_open(lens_lock_t *lock) { lock->none = 0; }
static inline void lens_lock_close(lens_lock_t *lock) { (void)lock; }
static inline void lens_lock_take(lens_lock_t *lock) { (void)lock; }
static inline void lens_lock_take_last(lens_lock_t *lock) { (void)lock; }
static inline void lens_lock_give(lens_lock_t *lock) { (void)lock; }
#endif

#endif
