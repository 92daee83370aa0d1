/*
 * start.h: one request as Python objects see it: the start_response callable, and through it the
 * channel.
 *
 * An application may keep start_response, write, wsgi.input and wsgi.errors for ever and use them
 * from any thread. All of them hold a struct mw_py_call and reach the channel only through it; the
 * thread that serves cuts it off before it ends the channel. A call holds no other Python object,
 * so nothing here is ever part of a reference cycle.
 */
#ifndef MW_PY_START_H
#define MW_PY_START_H

#include <Python.h>
#include <pthread.h>

#include "chan.h"

struct mw_py_request;

struct mw_py_call {
    PyObject ob_base;
    vectorcallfunc vectorcall;
    pthread_mutex_t io;    /* error-checking; held around channel operations but log, and by
                              wsgi.input while it works on its buffer (order of locks: gil.h) */
    pthread_mutex_t log;   /* guards log_c */
    struct mw_chan *c;     /* changed with the GIL and io held, read with either; NULL: cut off */
    struct mw_chan *log_c; /* the same channel, for log only */
    struct mw_py_request *request; /* borrowed; NULL once cut off */
    struct mw_buf *head; /* borrowed from the serving thread until the call is cut off; the
                              response head so far; not touched once `headed` */
    size_t at;           /* where the block begins, for mw_rsp_end */
    uint32_t nfields;
    unsigned status;
    int64_t content_length; /* as the application gave it; -1: it did not */
    int err;                /* first failure to send, MW_E*, MW_EABORT also if the application was
                               told that its client has gone; sticky */
    unsigned char started;  /* start_response succeeded */
    unsigned char headed;   /* the head was given to the channel, or is being given */
    unsigned char wrote;    /* write() was used */
};

extern PyType_Spec mw_py_call_spec;

/* A call for c, which serves r, that builds its head in `head`. NULL with an exception. */
struct mw_py_call *mw_py_call_create(struct mw_py_request *r, struct mw_chan *c,
                                     struct mw_buf *head);

/* May `what` use the channel? 0 with an exception if the request has ended, or this is another
 * process. */
int mw_py_call_usable(const struct mw_py_call *call, const char *what);

/* Flush the state of the head into its block and mark it as gone: whoever calls this sends it. 0,
 * or -1 with an exception if start_response was not called or the head is too large. */
int mw_py_call_seal(struct mw_py_call *call);

/* Add a Content-Length that the application did not give; before mw_py_call_seal. */
void mw_py_call_set_length(struct mw_py_call *call, uint64_t n);

/* What may be sent in one go. */
struct mw_py_block {
    const char *p;
    size_t n;
};

/* Send the head, if it has not gone yet, and n blocks. The GIL is given up meanwhile. 0, or MW_E*
 * (call->err), or -1 below all of them with an exception: MW_PY_RAISED. */
#define MW_PY_RAISED (-100)
int mw_py_call_send(struct mw_py_call *call, const struct mw_py_block *block, size_t n,
                    unsigned flags);

/* Cut the call off from its channel but for logging: waits until no other thread is in a channel
 * operation of it. Then the same for logging. */
void mw_py_call_cut(struct mw_py_call *call);
void mw_py_call_mute(struct mw_py_call *call);

/* One line to the request's log, or to the process's once the call is cut off, or if call is NULL.
 * Without the GIL. */
void mw_py_call_log_nogil(struct mw_py_call *call, const struct mw_mark *mark, const char *line,
                          size_t n);

#endif
