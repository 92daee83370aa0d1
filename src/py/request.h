/*
 * request.h: the requests that an interpreter runs now, for mod_wsgi.request_data() and
 * mod_wsgi.active_requests. A record is on the stack of the thread that serves; all of this is
 * guarded by the GIL of the interpreter.
 */
#ifndef MW_PY_REQUEST_H
#define MW_PY_REQUEST_H

#include <Python.h>

#include "req.h"

struct mw_py_call;
struct mw_py_errors;
struct mw_py_state;
struct mw_py_thread;

struct mw_py_request {
    struct mw_py_request *prev, *next; /* in the interpreter's list */
    struct mw_py_state *st;
    struct mw_py_thread *me;
    const struct mw_req *req;
    struct mw_py_call *call;     /* borrowed */
    struct mw_py_errors *errors; /* borrowed; wsgi.errors */
    PyObject *data;              /* strong; of request_data(); NULL: nobody asked for it */
    uint64_t begin_us;           /* when this process began with it; 0: embedded */
    uint64_t app_us;             /* when the application was called; 0: not yet */
    uint64_t due;                /* timeout.c: when its time is over */
    unsigned char open;          /* the application's code runs, and may be stopped */
    unsigned char over;          /* its time is over */
    unsigned char raised;        /* RequestTimeout was raised in its thread */
};

/* From begin to end the calling thread serves this request. call and errors are set by the caller in
 * between, when it has made them. */
void mw_py_request_begin(struct mw_py_request *r, struct mw_py_state *st, struct mw_py_thread *me,
                         const struct mw_req *req);
void mw_py_request_end(struct mw_py_request *r);

/* The request that the calling thread serves, or NULL. */
struct mw_py_request *mw_py_request_current(void);

/* A new reference to its dict, made when it is asked for the first time; NULL with an exception. */
PyObject *mw_py_request_data(struct mw_py_request *r);

/* A new str, httpd's %L; NULL with an exception, also if there is none (KeyError). */
PyObject *mw_py_request_id(const struct mw_py_request *r);

/* mod_wsgi.active_requests: a new reference to the dict of id to data, kept up to date from the first
 * time on that anybody asks for it. NULL with an exception. */
PyObject *mw_py_request_active(struct mw_py_state *st);

#endif
