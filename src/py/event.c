/*
 * event.c: see event.h. Called by what serves requests and by what ends the process; no exception
 * leaves it.
 */
#include "event.h"

#include <signal.h>
#include <string.h>

#include "clock.h"
#include "interp.h"
#include "pyerr.h"
#include "request.h"
#include "start.h"
#include "state.h"

int mw_py_events_wanted(const struct mw_py_state *st)
{
    return PyList_GET_SIZE(st->callbacks[MW_PY_EVENTS]) > 0;
}

/* -- callbacks -- */

struct event {
    struct mw_py_call *call; /* strong; whose log gets what goes wrong; may be NULL */
    const char *name;
    PyObject *payload; /* NULL: it could not be made, an exception is set */
};

static void call_back(struct event *e, PyObject *callback, PyObject *args)
{
    PyObject *result = PyObject_Call(callback, args, e->payload);

    if (!result || (PyDict_Check(result) && PyDict_Update(e->payload, result)))
        mw_py_log_exception(e->call, "WSGI0112", "a callback for the event '%s'; it is ignored",
                            e->name);
    Py_XDECREF(result);
}

/* The list may change meanwhile: whoever is in it now is called. */
static void tell(struct event *e, PyObject *callbacks)
{
    PyObject *all = e->payload ? PyList_AsTuple(callbacks) : NULL;
    PyObject *args = all ? Py_BuildValue("(s)", e->name) : NULL;

    for (Py_ssize_t i = 0; args && i < PyTuple_GET_SIZE(all); i++)
        call_back(e, PyTuple_GET_ITEM(all, i), args);
    if (!args)
        mw_py_log_exception(e->call, "WSGI0104", "the event '%s'; nobody is told of it", e->name);
    Py_XDECREF(args);
    Py_XDECREF(all);
}

/* -- payloads -- */

/* Takes value, which may be NULL with an exception. */
static void put(struct event *e, const char *key, PyObject *value)
{
    if (!value || !e->payload || PyDict_SetItemString(e->payload, key, value))
        Py_CLEAR(e->payload);
    Py_XDECREF(value);
}

static void put_time(struct event *e, const char *key, uint64_t us)
{
    put(e, key, PyFloat_FromDouble((double)us / 1e6));
}

static void put_text(struct event *e, const char *key, struct mw_str text)
{
    put(e, key, PyUnicode_DecodeLatin1(text.p, (Py_ssize_t)text.n, NULL));
}

static void begin(struct event *e, const char *name, struct mw_py_call *call)
{
    *e = (struct event){.call = call, .name = name, .payload = PyDict_New()};
    Py_XINCREF(call);
}

static void end(struct event *e)
{
    Py_CLEAR(e->payload);
    Py_CLEAR(e->call);
}

/* An event of a request. */
static void begin_request(struct event *e, const char *name, struct mw_py_request *r)
{
    begin(e, name, r->call);
    if (r->req->log_id.n)
        put(e, "request_id", mw_py_request_id(r));
    put(e, "request_data", mw_py_request_data(r));
}

static void put_server_pid(struct event *e, const struct mw_req *req)
{
    static const struct mw_str name = {"mod_wsgi.server_pid", 19};
    struct mw_cur it = req->pairs;
    struct mw_str key, value;

    while (mw_req_next(&it, &key, &value))
        if (key.n == name.n && memcmp(key.p, name.p, name.n) == 0)
            put_text(e, name.p + 9, value);
}

static void put_origin(struct event *e, const struct mw_py_request *r)
{
    put(e, "thread_id", PyLong_FromUnsignedLong(r->me->number));
    put_server_pid(e, r->req);
    put_time(e, "request_start", r->req->start_us);
    put_time(e, "queue_start", r->req->queue_us);
    put_time(e, "daemon_start", r->begin_us);
    put_time(e, "application_start", r->app_us);
}

/* -- events of requests -- */

void mw_py_event_request_started(struct mw_py_request *r, PyObject *dict, PyObject **app)
{
    struct event e;

    begin_request(&e, "request_started", r);
    put_origin(&e, r);
    put(&e, "request_environ", Py_NewRef(dict));
    put(&e, "application_object", Py_NewRef(*app));
    put_text(&e, "callable_object", r->req->callable);
    tell(&e, r->st->callbacks[MW_PY_EVENTS]);
    PyObject *wanted = e.payload ? PyDict_GetItemString(e.payload, "application_object") : NULL;
    if (wanted)
        Py_SETREF(*app, Py_NewRef(wanted));
    end(&e);
}

void mw_py_event_response_started(struct mw_py_request *r, PyObject *status, PyObject *headers,
                                  PyObject *exc_info)
{
    PyObject *callbacks = r->st->callbacks[MW_PY_EVENTS];
    struct event e;

    begin_request(&e, "response_started", r);
    put(&e, "response_status", Py_NewRef(status));
    put(&e, "response_headers", Py_NewRef(headers));
    put(&e, "exception_info", Py_NewRef(exc_info ? exc_info : Py_None));
    tell(&e, callbacks);
    end(&e);
}

void mw_py_event_request_exception(struct mw_py_request *r)
{
    PyObject *type, *value, *tb;
    struct event e;

    PyErr_Fetch(&type, &value, &tb);
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb && PyException_SetTraceback(value, tb))
        PyErr_Clear();
    begin_request(&e, "request_exception", r);
    put(&e, "exception_info", PyTuple_Pack(3, type, value, tb ? tb : Py_None));
    tell(&e, r->st->callbacks[MW_PY_EVENTS]);
    end(&e);
    PyErr_Restore(type, value, tb);
}

void mw_py_event_request_finished(struct mw_py_request *r, const struct mw_py_outcome *outcome)
{
    uint64_t now_us = mw_clock_epoch_us();
    struct event e;

    begin_request(&e, "request_finished", r);
    put_origin(&e, r);
    put_time(&e, "application_finish", now_us);
    put_time(&e, "application_time", now_us > r->app_us ? now_us - r->app_us : 0);
    put(&e, "status", PyLong_FromUnsignedLong(outcome->status));
    put(&e, "input_length", PyLong_FromUnsignedLongLong(outcome->input_length));
    put(&e, "output_length", PyLong_FromUnsignedLongLong(outcome->output_length));
    tell(&e, r->st->callbacks[MW_PY_EVENTS]);
    end(&e);
}

/* -- events of the process -- */

static void tell_both(struct mw_py_state *st, struct event *e, enum mw_py_topic topic)
{
    tell(e, st->callbacks[MW_PY_EVENTS]);
    if (e->payload)
        tell(e, st->callbacks[topic]);
    end(e);
}

void mw_py_event_process_stopping(struct mw_py_state *st, const char *reason)
{
    struct event e;

    begin(&e, "process_stopping", NULL);
    put(&e, "shutdown_reason", PyUnicode_FromString(reason));
    tell_both(st, &e, MW_PY_SHUTDOWN);
}

void mw_py_event_process_signal(struct mw_py_state *st, int signum)
{
    struct event e;

    begin(&e, "process_signal", NULL);
    put(&e, "signame", PyUnicode_FromString(signum == SIGHUP ? "SIGHUP" : "SIGUSR2"));
    put(&e, "signum", PyLong_FromLong(signum));
    tell_both(st, &e, MW_PY_SIGNALS);
}
