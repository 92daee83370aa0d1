/*
 * interp.h: the interpreters of this process, the threads that use them, and the way in and out.
 *
 * An application group is an interpreter, made on first use and kept. A thread has one
 * PyThreadState per interpreter it ever entered, found through thread-local storage and freed when
 * it ends.
 */
#ifndef MW_PY_INTERP_H
#define MW_PY_INTERP_H

#include <Python.h>
#include <pthread.h>

#include "gate.h"
#include "rsp.h"
#include "py.h"

struct mw_py_request;
struct mw_py_script;
struct mw_py_state;

#define MW_PY_SCRIPT_BUCKETS 64u

/* One interpreter. Never freed; what is not said to change is set before others can see it. */
struct mw_py_interp {
    const char *name; /* the application group; "": the main interpreter, which may also
                                   stand for another (mw_py_interp_name) */
    PyInterpreterState *is;
    PyObject *module;       /* strong: mod_wsgi */
    struct mw_py_state *st; /* of module; use with the GIL of this interpreter */
    struct mw_py_script *script[MW_PY_SCRIPT_BUCKETS]; /* load.c; lists, guarded by its lock */
    struct mw_py_interp *next; /* atomic: grows at the end while others read */
    struct mw_py_gate gate; /* of its GIL; the main interpreter's serves all that share its GIL */
};

struct mw_py_seat {
    struct mw_py_interp *in;
    PyThreadState *ts;
};

/* What we keep for one operating system thread. Only that thread touches it. */
struct mw_py_thread {
    struct mw_py_seat *seat; /* one per interpreter it entered */
    unsigned nseats;
    unsigned long ident;           /* as Python knows it */
    unsigned number;               /* from 1, in the order in which threads came */
    struct mw_buf head;            /* kept from request to request: response head, */
    struct mw_buf body;            /* and a small body that is sent after Python is done */
    struct mw_py_request *request; /* the one it serves, or NULL */
    struct mw_py_gate *gate;       /* the one it has to leave, or NULL; entered at entered_ns */
    uint64_t entered_ns;
};

/* Called once, by mw_py_runtime.start. The configuration is copied. */
int mw_py_proc_init(const struct mw_py_config *cfg);
const struct mw_py_config *mw_py_config(void);

/* Take over the interpreter that Py_InitializeFromConfig has just made; GIL held, and given up on
 * success. -1 with an exception. */
int mw_py_interp_adopt_main(void);

/* This thread's record, made on first use; NULL: no memory. */
struct mw_py_thread *mw_py_thread_self(void);

/* The record if there is one, else NULL. Never allocates. */
struct mw_py_thread *mw_py_thread_peek(void);

/* The interpreter of an application group, without the GIL. find: NULL if it was not made yet. get
 * makes it; NULL: that failed, and why says how. */
struct mw_py_interp *mw_py_interp_find(struct mw_str group);
struct mw_py_interp *mw_py_interp_get(struct mw_str group, int explicit_group, char *why,
                                      size_t why_cap);

/* The main interpreter is the first; NULL ends. Any thread, no lock. */
struct mw_py_interp *mw_py_interp_first(void);
struct mw_py_interp *mw_py_interp_next(const struct mw_py_interp *in);
const char *mw_py_interp_name(const struct mw_py_interp *in);

/* Take the GIL in that interpreter, with this thread's state for it. MW_ENOMEM. */
MW_MUST_CHECK int mw_py_enter(struct mw_py_interp *in);
void mw_py_leave(void);

/* 1 in a process that an application forked from this one: its requests are the parent's to
 * answer. */
int mw_py_is_forked(void);

/* From now on threads that end do not come back for their thread states. 1 if that was so before. */
int mw_py_proc_stopping(void);

/* Held, without the GIL, while applications are told of a signal: one after the other. */
pthread_mutex_t *mw_py_proc_signals(void);

#endif
