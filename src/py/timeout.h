/*
 * timeout.h: requests whose time is over get mod_wsgi.RequestTimeout raised in their thread, once.
 *
 * The exception is CPython's asynchronous one: a mark on the thread, taken up where Python code runs
 * next. So that it can hit neither the server's own code nor the thread's next request, it is set only
 * while the request is `open`, and a mark that was not taken up goes when the request is shut. All of
 * it under the GIL of the interpreter.
 */
#ifndef MW_PY_TIMEOUT_H
#define MW_PY_TIMEOUT_H

#include <stdint.h>

struct mw_py_request;

/* When the time of a request that begins now is over, ms of the monotonic clock. */
uint64_t mw_py_timeout_due(uint32_t timeout_ms);

/* The request has been listed; `due` as above. */
void mw_py_timeout_begin(struct mw_py_request *r, uint64_t due);

/* From open to shut code of the application runs, which the exception may stop. shut returns whether
 * it was open, for who wants to restore that. r may be NULL. */
void mw_py_timeout_open(struct mw_py_request *r);
int mw_py_timeout_shut(struct mw_py_request *r);

/* RequestTimeout was raised and ended something else than the request: it is raised once more, now or when
 * the request is opened. */
void mw_py_timeout_renew(struct mw_py_request *r);

/* As mw_py_runtime.expire and mw_py_runtime.probe. Without the GIL. */
uint64_t mw_py_expire(void);
void mw_py_probe(void);

#endif
