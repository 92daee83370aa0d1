/*
 * errors.h: wsgi.errors, and what stands for sys.stderr and sys.stdout: text in, log records out.
 *
 * Safe from any thread at any time: a request's object writes to the process's log once its
 * request is over; a standard stream writes to the log of the request that the calling thread
 * serves, if any.
 */
#ifndef MW_PY_ERRORS_H
#define MW_PY_ERRORS_H

#include <Python.h>

struct mw_py_call;
struct mw_py_errors;
struct mw_py_state;

extern PyType_Spec mw_py_errors_spec;
extern PyType_Spec mw_py_bytelog_spec;

/* call NULL: a standard stream. name is static: "<wsgi.errors>", "<stderr>". NULL with an
 * exception. */
struct mw_py_errors *mw_py_errors_create(struct mw_py_state *st, struct mw_py_call *call,
                                         const char *name);

/* The call of the request that the calling thread serves, or NULL. Borrowed. */
struct mw_py_call *mw_py_errors_current_call(void);

/* Write out a line that has no newline yet; at the end of a request and of the process. */
void mw_py_errors_flush(struct mw_py_errors *e);

#endif
