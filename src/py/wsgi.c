/*
 * wsgi.c: one WSGI request: call the application, send what it returns, close it (PEP 3333).
 *
 * Called by any serving thread. An answer that is complete when the application returns leaves
 * Python altogether before its first byte is sent, so it takes the GIL once; any other gives it up
 * around each block. Whatever happens, an iterable is closed exactly once and the channel is ended
 * exactly once.
 */
#include <Python.h>

#include <string.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "engine.h"
#include "environ.h"
#include "errors.h"
#include "event.h"
#include "filewrap.h"
#include "gil.h"
#include "input.h"
#include "interp.h"
#include "io.h"
#include "load.h"
#include "pyerr.h"
#include "request.h"
#include "start.h"
#include "state.h"
#include "timeout.h"

#define SMALL_MAX (64u << 10) /* a body up to this is copied: Python is done before it is sent */
#define BLOCKS_MAX 256        /* blocks of a list that are sent in one go */
#define KEEP (16u << 10)      /* bytes of its buffers that a thread keeps between requests */

struct run {
    struct mw_chan *c;
    const struct mw_req *req;
    struct mw_py_interp *in;
    struct mw_py_thread *me;
    struct mw_py_request request;
    struct mw_py_call *call; /* strong, as those below */
    struct mw_py_input *input;
    struct mw_py_errors *errors;
    PyObject *early_hints;
    PyObject *client_disconnected;
    PyObject *native; /* capsule of WSGIPassApacheRequest, or NULL */
    enum mw_end how;
    int pending;            /* the head, and me->body or the file, are still to be sent */
    struct mw_py_file file; /* the body, unless its fd is -1 */
};

/* -- what went wrong -- */

static void client_left(struct run *r)
{
    r->how = MW_END_ABORTED;
    mw_py_say(r->call, MW_LOG_DEBUG, "WSGI0532",
              "the client went away; the application '%s' was stopped", r->req->script.p);
}

static void publish_exception(struct run *r)
{
    if (mw_py_events_wanted(r->in->st))
        mw_py_event_request_exception(&r->request);
}

/* RequestTimeout is set. */
static void timed_out(struct run *r)
{
    r->how = MW_END_TIMEOUT;
    publish_exception(r);
    mw_py_log_exception(r->call, "WSGI0760",
                        "the server after the %u s that a request may take (request-timeout), in "
                        "script '%s' in interpreter '%s'; %s",
                        r->req->timeout_ms / 1000, r->req->script.p, mw_py_interp_name(r->in),
                        r->call->headed ? "the answer is cut" : "the request gets 504");
}

/* The exception that is set ends the request. */
static void app_raised(struct run *r, const char *what)
{
    (void)mw_py_timeout_shut(&r->request);
    int lost = r->call->err == MW_EABORT || mw_py_input_error(r->input) == MW_EABORT;

    if (lost && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        client_left(r);
        return;
    }
    if (PyErr_ExceptionMatches(r->in->st->request_timeout)) {
        timed_out(r);
        return;
    }
    r->how = MW_END_FAILED;
    publish_exception(r);
    mw_py_log_exception(r->call, PyErr_ExceptionMatches(PyExc_SystemExit) ? "WSGI0175" : "WSGI0174",
                        "%s of script '%s' in interpreter '%s'; %s", what, r->req->script.p,
                        mw_py_interp_name(r->in),
                        r->call->headed ? "the answer is cut" : "the request gets 500");
}

/* mw_py_call_send failed. */
static void send_failed(struct run *r, int rv)
{
    if (rv == MW_PY_RAISED) {
        app_raised(r, "the application");
    } else if (rv == MW_EABORT || rv == MW_ECLOSED) {
        client_left(r);
    } else {
        r->how = MW_END_TRUNCATED;
        mw_py_say(r->call, MW_LOG_ERR, "WSGI0533",
                  "the answer of script '%s' could not be sent: %s; it is cut", r->req->script.p,
                  mw_err_text(rv));
    }
}

/* -- the answer -- */

/* PEP 3333, "Handling the Content-Length Header": the body is all here, n bytes. */
static void complete_head(struct run *r, uint64_t n)
{
    struct mw_py_call *call = r->call;
    int is_head = (r->req->flags & MW_REQ_HEAD) != 0;

    if (!call->started || call->headed || call->wrote || call->content_length >= 0)
        return;
    /* An empty body of a HEAD request says nothing of the length that GET would have. */
    if (mw_rsp_status_has_body(call->status) && !(is_head && n == 0))
        mw_py_call_set_length(call, n);
}

/* Leave the head, if it has not gone, and the body in me->body to finish. */
static void hold(struct run *r)
{
    if (!r->call->headed && mw_py_call_seal(r->call))
        app_raised(r, "the application");
    else
        r->pending = 1;
}

/* Send the blocks of a tuple of bytes. */
static void send_blocks(struct run *r, PyObject *blocks)
{
    struct mw_py_block block[BLOCKS_MAX];
    Py_ssize_t total = PyTuple_GET_SIZE(blocks);
    int rv = 0;

    for (Py_ssize_t at = 0; at < total && !rv;) {
        size_t n = 0;
        for (; at < total && n < BLOCKS_MAX; at++) {
            PyObject *item = PyTuple_GET_ITEM(blocks, at);
            if (PyBytes_GET_SIZE(item) > 0)
                block[n++] = (struct mw_py_block){PyBytes_AS_STRING(item),
                                                  (size_t)PyBytes_GET_SIZE(item)};
        }
        rv = mw_py_call_send(r->call, block, n, MW_DATA_MORE);
    }
    if (rv)
        send_failed(r, rv);
}

static int is_bytes(PyObject *item)
{
    if (PyBytes_Check(item))
        return 1;
    PyErr_Format(PyExc_TypeError, "the application's response must yield bytes, not %.100s",
                 Py_TYPE(item)->tp_name);
    return 0;
}

/* Bytes in all blocks; -1 with an exception. */
static Py_ssize_t measure(PyObject *blocks)
{
    Py_ssize_t sum = 0;

    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(blocks); i++) {
        if (!is_bytes(PyTuple_GET_ITEM(blocks, i)))
            return -1;
        sum += PyBytes_GET_SIZE(PyTuple_GET_ITEM(blocks, i));
    }
    return sum;
}

/* A list or tuple: everything is there, nothing of the application runs any more. */
static void deliver_blocks(struct run *r, PyObject *blocks)
{
    Py_ssize_t sum = measure(blocks);

    if (sum < 0) {
        app_raised(r, "the application");
        return;
    }
    complete_head(r, (size_t)sum);
    if ((size_t)sum > SMALL_MAX) {
        send_blocks(r, blocks);
        return;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(blocks); i++) {
        PyObject *item = PyTuple_GET_ITEM(blocks, i);
        mw_buf_bytes(&r->me->body, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
    }
    if (r->me->body.err) {
        PyErr_NoMemory();
        app_raised(r, "the application");
        return;
    }
    hold(r);
}

/* 0 to go on, -1: r->how is set. Takes item. */
static int deliver_item(struct run *r, PyObject *item)
{
    int rv = 0;

    if (!is_bytes(item)) {
        rv = MW_PY_RAISED;
    } else if (PyBytes_GET_SIZE(item) > 0) {
        struct mw_py_block block = {PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item)};
        rv = mw_py_call_send(r->call, &block, 1, 0);
    }
    Py_DECREF(item);
    if (rv)
        send_failed(r, rv);
    return rv ? -1 : 0;
}

/* Anything else that can be iterated: each block is on its way before the next is asked for. */
static void deliver_iterable(struct run *r, PyObject *result)
{
    PyObject *it = PyObject_GetIter(result);
    PyObject *item;
    int rv = it ? 0 : -1;

    if (!it)
        app_raised(r, "the application (its response cannot be iterated)");
    while (!rv && (item = PyIter_Next(it)))
        rv = deliver_item(r, item);
    if (!rv && PyErr_Occurred())
        app_raised(r, "the response");
    else if (!rv && !r->call->headed)
        hold(r);
    Py_XDECREF(it);
}

/* A new reference to result.close, or NULL without an exception if there is none. */
static PyObject *find_close(struct run *r, PyObject *result)
{
    PyObject *name = r->in->st->name[MW_N_close];
    PyObject *close = NULL;

#if PY_VERSION_HEX >= 0x030d0000
    (void)PyObject_GetOptionalAttr(result, name, &close);
#else
    (void)_PyObject_LookupAttr(result, name, &close);
#endif
    return close;
}

/* What was sent stands, whatever close does. */
static void close_result(struct run *r, PyObject *result)
{
    mw_py_timeout_open(&r->request);
    PyObject *close = find_close(r, result);
    PyObject *rv = close ? PyObject_CallNoArgs(close) : NULL;

    (void)mw_py_timeout_shut(&r->request);
    if (PyErr_Occurred()) {
        publish_exception(r);
        mw_py_log_exception(r->call, "WSGI0194",
                            "close() of the response of script '%s' in interpreter '%s'",
                            r->req->script.p, mw_py_interp_name(r->in));
    }
    Py_XDECREF(rv);
    Py_XDECREF(close);
}

/* The body is the file in r->file: whoever takes it at the other end reads it, not this process. */
static void deliver_file(struct run *r)
{
    struct mw_py_file *f = &r->file;

    if (r->call->content_length >= 0 && f->n > r->call->content_length)
        f->n = r->call->content_length;
    complete_head(r, (uint64_t)f->n);
    hold(r);
}

static void deliver(struct run *r, PyObject *result)
{
    PyObject *blocks;

    if (!PyList_CheckExact(result) && !PyTuple_CheckExact(result)) {
        if (!r->call->headed && mw_py_filewrap_open(r->in->st, result, &r->file))
            deliver_file(r);
        else
            deliver_iterable(r, result);
        close_result(r, result);
        return;
    }
    /* Neither has a close method. A list may be changed by another thread meanwhile, a tuple not.
     */
    blocks = PyList_CheckExact(result) ? PyList_AsTuple(result) : Py_NewRef(result);
    if (blocks)
        deliver_blocks(r, blocks);
    else
        app_raised(r, "the application");
    Py_XDECREF(blocks);
}

/* -- without the GIL -- */

static void note(struct mw_chan *c, int level, const char *fmt, ...) MW_PRINTF(3, 4);

static void note(struct mw_chan *c, int level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    mw_chan_log(c, MW_MARK(level), line, strlen(line));
}

static int send_file(struct run *r)
{
    int fd = r->file.fd;

    r->file.fd = -1;
    return mw_chan_file(r->c, fd, r->file.offset, r->file.n, MW_DATA_MORE);
}

static int send_all(struct run *r)
{
    const struct mw_buf *head = &r->me->head;
    const struct mw_buf *body = &r->me->body;
    int rv = 0;

    if (r->c->state == MW_CHAN_OPEN)
        rv = mw_chan_head(r->c, mw_buf_data(head), mw_buf_size(head), NULL);
    if (!rv && mw_buf_size(body))
        rv = mw_chan_data(r->c, mw_buf_data(body), mw_buf_size(body), MW_DATA_MORE);
    if (!rv && r->file.fd >= 0)
        rv = send_file(r);
    return rv;
}

static void send_pending(struct run *r)
{
    int rv = r->pending ? send_all(r) : 0;

    r->pending = 0;
    if (rv == MW_EABORT || rv == MW_ECLOSED) {
        r->how = MW_END_ABORTED;
        note(r->c, MW_LOG_DEBUG,
             "WSGI0532: the client went away before the answer of script '%.400s'",
             r->req->script.p);
    } else if (rv) {
        r->how = MW_END_TRUNCATED;
        note(r->c, MW_LOG_ERR, "WSGI0533: the answer of script '%.400s' could not be sent: %s",
             r->req->script.p, mw_err_text(rv));
    }
}

/* -- the call -- */

static PyObject *build_environ(struct run *r)
{
    struct mw_py_environ_extra extra = {
        .input = (PyObject *)r->input,
        .errors = (PyObject *)r->errors,
        .early_hints = r->early_hints,
        .client_disconnected = r->client_disconnected,
        .thread = r->me->number,
        .begin_us = r->request.begin_us,
        .now_us = r->request.app_us,
    };

    return mw_py_environ_build(&r->in->st->environ, r->req, &extra);
}

/* WSGIPassApacheRequest: 0 or -1 with an exception. */
static int put_native(struct run *r, PyObject *dict)
{
    if (!r->c->native)
        return 0;
    r->native = PyCapsule_New(r->c->native, NULL, NULL);
    return r->native ? PyDict_SetItemString(dict, "apache.request_rec", r->native) : -1;
}

/* Whoever kept the capsule must not get at the request that is gone: its name is another now. */
static void end_native(struct run *r)
{
    if (r->native && PyCapsule_SetName(r->native, "apache.request_rec of a request that has ended"))
        PyErr_Clear();
    Py_CLEAR(r->native);
}

/* Takes app. */
static void call_app(struct run *r, PyObject *app)
{
    r->request.app_us = mw_clock_epoch_us();
    PyObject *dict = build_environ(r);

    if (dict && put_native(r, dict))
        Py_CLEAR(dict);
    PyObject *args[3] = {NULL, dict, (PyObject *)r->call};
    PyObject *result = NULL;

    if (dict && mw_py_events_wanted(r->in->st))
        mw_py_event_request_started(&r->request, dict, &app);
    if (dict)
        result = PyObject_Vectorcall(app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (result)
        deliver(r, result);
    else
        app_raised(r, "the application");
    Py_XDECREF(result);
    Py_XDECREF(dict);
    Py_DECREF(app);
}

static int make_objects(struct run *r)
{
    struct mw_py_state *st = r->in->st;

    r->call = mw_py_call_create(&r->request, r->c, &r->me->head);
    if (r->call)
        r->input = mw_py_input_create(st, r->call);
    if (r->input)
        r->errors = mw_py_errors_create(st, r->call, "<wsgi.errors>");
    if (r->errors)
        r->early_hints = mw_py_early_hints(r->call);
    if (r->early_hints)
        r->client_disconnected = mw_py_client_disconnected(r->call);
    r->request.call = r->call;
    r->request.errors = r->errors;
    return r->client_disconnected ? 0 : -1;
}

/* The channel belongs to this thread alone but for logging; the request has been answered as far as
 * Python is concerned. */
static void publish_finished(struct run *r)
{
    {
        MW_NOGIL_SCOPE;
        send_pending(r);
    }
    struct mw_py_outcome outcome = {
        .status = r->call->started ? r->call->status : 0,
        .input_length = mw_py_input_taken(r->input),
        .output_length = r->c->sent,
    };
    mw_py_event_request_finished(&r->request, &outcome);
}

/* Afterwards the channel belongs to this thread alone, and no Python object knows it. */
static void drop_objects(struct run *r)
{
    (void)mw_py_timeout_shut(&r->request);
    end_native(r);
    if (r->call)
        mw_py_call_cut(r->call);
    if (r->request.app_us && mw_py_events_wanted(r->in->st) && !mw_py_is_forked())
        publish_finished(r);
    mw_py_request_end(&r->request);
    if (r->call)
        mw_py_call_mute(r->call);
    Py_CLEAR(r->client_disconnected);
    Py_CLEAR(r->early_hints);
    Py_CLEAR(r->errors);
    Py_CLEAR(r->input);
    Py_CLEAR(r->call);
}

/* The application forked and came back twice. Only the parent may answer; the child must not even
 * run the exit functions that it has inherited, nor take locks, which threads had that are not in it. */
static void end_fork(const struct run *r)
{
    mw_log(MW_LOG_ERR, "WSGI0541",
           "a process forked by script '%s' returned from the application; it ends here (it should "
           "have called os._exit)",
           r->req->script.p);
    _exit(1);
}

struct start {
    uint64_t begin_us;
    uint64_t due;
    int reload;
};

/* GIL held. */
static void run_request(struct run *r, const struct start *start)
{
    struct mw_py_ref ref = {
        .script = r->req->script, .callable = r->req->callable, .reload = start->reload};

    mw_py_request_begin(&r->request, r->in->st, r->me, r->req);
    r->request.begin_us = r->req->process_group.n ? start->begin_us : 0;
    mw_py_timeout_begin(&r->request, start->due);
    if (make_objects(r)) {
        mw_py_log_exception(r->call, "WSGI0534", "the server before it called script '%s'",
                            r->req->script.p);
    } else {
        mw_py_timeout_open(&r->request);
        PyObject *app = mw_py_load(r->in, &ref, r->call, &r->how);
        if (app) {
            r->how = MW_END_COMPLETE;
            call_app(r, app);
        } else if (r->request.raised) {
            r->how = MW_END_TIMEOUT;
        }
    }
    if (mw_py_is_forked())
        end_fork(r);
    drop_objects(r);
}

/* -- after Python -- */

/* Bytes that the application announced and the bytes that it gave are not the same. */
static void note_length(const struct run *r)
{
    if (r->c->excess)
        note(r->c, MW_LOG_WARNING,
             "WSGI0535: script '%.400s' gave %llu bytes beyond its Content-Length; they are cut",
             r->req->script.p, (unsigned long long)r->c->excess);
    if (r->how == MW_END_COMPLETE && r->c->left > 0)
        note(r->c, MW_LOG_WARNING,
             "WSGI0536: script '%.400s' gave %lld bytes less than its Content-Length; the "
             "connection is closed",
             r->req->script.p, (long long)r->c->left);
}

/* Without the GIL. */
static enum mw_end finish(struct run *r)
{
    send_pending(r);
    mw_io_close(&r->file.fd); /* the answer failed before it */
    note_length(r);
    mw_buf_clear(&r->me->head);
    mw_buf_trim(&r->me->head, KEEP);
    mw_buf_clear(&r->me->body);
    mw_buf_trim(&r->me->body, KEEP);
    return mw_chan_end(r->c, r->how);
}

static enum mw_end wsgi_serve(struct mw_py_interp *in, struct mw_chan *c, int reload)
{
    struct run r = {.c = c, .req = c->req, .in = in, .how = MW_END_FAILED, .file = {.fd = -1}};
    struct start start = {mw_clock_epoch_us(), mw_py_timeout_due(c->req->timeout_ms), reload};

    if (mw_py_enter(in)) {
        note(c, MW_LOG_ERR, "WSGI0192: no memory for a thread state; the request fails");
        return mw_chan_end(c, MW_END_FAILED);
    }
    r.me = mw_py_thread_self();
    run_request(&r, &start);
    mw_py_leave();
    return finish(&r);
}

const struct mw_py_engine mw_py_wsgi = {.name = "wsgi", .serve = wsgi_serve};
