/*
 * gil.h: giving up the GIL is a scope, and it is retaken on every way out of it.
 *
 * Order of locks: a mutex may be held while waiting for the GIL; nobody waits for a mutex while
 * holding the GIL. So whoever wants a mutex opens this scope first, or only tries it.
 */
#ifndef MW_PY_GIL_H
#define MW_PY_GIL_H

#include <Python.h>
#include <pthread.h>

static inline void mw_gil_retake(PyThreadState **ts)
{
    PyEval_RestoreThread(*ts);
}

/* From here to the end of the block this thread must not touch Python. */
#define MW_NOGIL_SCOPE \
    PyThreadState *mw_ts_ __attribute__((cleanup(mw_gil_retake), unused)) = PyEval_SaveThread()

/* Lock m with the GIL held before and after. Returns what pthread_mutex_lock does: EDEADLK from an
 * error-checking mutex that this thread has already. */
static inline int mw_gil_mutex_lock(pthread_mutex_t *m)
{
    if (pthread_mutex_trylock(m) == 0)
        return 0;
    MW_NOGIL_SCOPE;
    return pthread_mutex_lock(m);
}

#endif
