/*
 * errors.h: wsgi.errors, and what stands for sys.stderr and sys.stdout: text in, log records out.
 *
 * Safe from any thread at any time: a request's object writes to the process's log once its
 * request is over; a standard stream writes to the log of the request that the calling thread
 * serves, if any. A line that has no newline yet is kept for each thread and stream apart.
 */
#ifndef MW_PY_ERRORS_H
#define MW_PY_ERRORS_H

#include <Python.h>

struct mw_py_call;
struct mw_py_errors;
struct mw_py_request;
struct mw_py_state;

extern PyType_Spec mw_py_errors_spec;
extern PyType_Spec mw_py_bytelog_spec;

/* call NULL: a standard stream. name is static: "<wsgi.errors>", "<stderr>". NULL with an
 * exception. */
struct mw_py_errors *mw_py_errors_create(struct mw_py_state *st, struct mw_py_call *call,
                                         const char *name);

/* The call of the request that the calling thread serves, or NULL. Borrowed. */
struct mw_py_call *mw_py_errors_current_call(void);

/* At the end of a request: write out the lines without a newline that are its thread's, and those of
 * any thread in its wsgi.errors. */
void mw_py_errors_flush_request(const struct mw_py_request *r);

/* At the end of the process: those of any thread in the standard streams. */
void mw_py_errors_flush_streams(struct mw_py_state *st);

#endif
