/*
 * start.c: start_response and write (PEP 3333, "The start_response() Callable").
 *
 * The head is checked while the application is still there to get an exception, and is kept as a
 * block until the first byte of the body: nothing of the application's objects is needed for it
 * later. Called with the GIL held, by the serving thread and by whatever thread the application
 * gave the callables to.
 */
#include "start.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <structmember.h>

#include "event.h"
#include "fields.h"
#include "gil.h"
#include "interp.h"
#include "pyerr.h"
#include "request.h"
#include "state.h"

#define HERE "start_response" /* in exceptions */
#define LENGTH_FIELD_MAX 64u  /* bytes of the block that a Content-Length of ours needs at most */

/* -- checks -- */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "200 OK", or "200" alone. */
static int parse_status(PyObject *status, unsigned *code_r, struct mw_str *reason_r)
{
    struct mw_str s;

    if (mw_py_latin1(status, HERE, "status", &s))
        return -1;
    if (s.n < 3 || !is_digit(s.p[0]) || !is_digit(s.p[1]) || !is_digit(s.p[2]) ||
        (s.n > 3 && s.p[3] != ' ')) {
        PyErr_Format(PyExc_ValueError,
                     "start_response: status must be three digits, a blank and a reason: %.200R",
                     status);
        return -1;
    }
    *code_r = (unsigned)(s.p[0] - '0') * 100 + (unsigned)(s.p[1] - '0') * 10 +
              (unsigned)(s.p[2] - '0');
    *reason_r = s.n > 4 ? (struct mw_str){s.p + 4, s.n - 4} : (struct mw_str){"", 0};
    enum mw_rsp_fault fault = mw_rsp_check_status(*code_r, *reason_r);
    return fault ? mw_py_refuse(HERE, fault, status) : 0;
}

static int is_content_length(struct mw_str name)
{
    return name.n == 14 && strncasecmp(name.p, "content-length", 14) == 0;
}

/* value was checked: digits only, and it fits. */
static int take_length(struct mw_py_call *call, struct mw_str value, PyObject *item)
{
    if (call->content_length >= 0)
        return mw_py_refuse(HERE, MW_RSP_BAD_LENGTH, item);
    call->content_length = 0;
    for (size_t i = 0; i < value.n; i++)
        call->content_length = call->content_length * 10 + (value.p[i] - '0');
    return 0;
}

static void drop_hop_by_hop(struct mw_py_call *call, struct mw_str name)
{
    mw_py_say(call, MW_LOG_DEBUG, "WSGI0530",
              "the application's header '%.*s' is dropped: the connection is the server's",
              (int)name.n, name.p);
}

static int add_field(struct mw_py_call *call, PyObject *item)
{
    struct mw_str name, value;

    if (mw_py_field(item, HERE, &name, &value))
        return -1;
    enum mw_rsp_fault fault = mw_rsp_check_field(name, value);
    if (fault)
        return mw_py_refuse(HERE, fault, item);
    if (mw_rsp_is_hop_by_hop(name)) {
        drop_hop_by_hop(call, name);
        return 0;
    }
    if (is_content_length(name) && take_length(call, value, item))
        return -1;
    mw_rsp_field(call->head, name, value);
    call->nfields++;
    return 0;
}

/* headers may change under us whenever the GIL is given up, so its size is asked each time. */
static int build_head(struct mw_py_call *call, PyObject *status, PyObject *headers)
{
    struct mw_str reason;

    if (parse_status(status, &call->status, &reason))
        return -1;
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "start_response: headers must be a list, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    mw_buf_clear(call->head);
    call->at = mw_rsp_begin(call->head, call->status, reason);
    call->nfields = 0;
    call->content_length = -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(headers, i));
        int rv = add_field(call, item);
        Py_DECREF(item);
        if (rv)
            return -1;
    }
    if (call->head->err || call->nfields >= MW_RSP_FIELDS_MAX ||
        mw_buf_size(call->head) > MW_RSP_HEAD_MAX - LENGTH_FIELD_MAX) {
        PyErr_Format(PyExc_ValueError, "start_response: %s", mw_rsp_fault_text(MW_RSP_TOO_LARGE));
        return -1;
    }
    return 0;
}

/* -- start_response -- */

int mw_py_call_usable(const struct mw_py_call *call, const char *what)
{
    if (mw_py_is_forked()) {
        PyErr_Format(PyExc_RuntimeError, "%s was called in a forked process", what);
        return 0;
    }
    if (call->c)
        return 1;
    PyErr_Format(PyExc_RuntimeError, "%s was called after its request had ended", what);
    return 0;
}

/* exc_info was checked to be a tuple of three. */
static void raise_again(PyObject *exc_info)
{
    PyObject *type = PyTuple_GET_ITEM(exc_info, 0);
    PyObject *value = PyTuple_GET_ITEM(exc_info, 1);
    PyObject *tb = PyTuple_GET_ITEM(exc_info, 2);

    if (PyExceptionClass_Check(type))
        PyErr_Restore(Py_NewRef(type), Py_NewRef(value), tb == Py_None ? NULL : Py_NewRef(tb));
    else
        PyErr_Format(PyExc_TypeError, "start_response: exc_info holds no exception: %.200R",
                     exc_info);
}

/* May start_response be called now? -1 with the exception that it must end with. */
static int check_turn(const struct mw_py_call *call, PyObject *exc_info)
{
    if (!mw_py_call_usable(call, "start_response"))
        return -1;
    if (!exc_info || exc_info == Py_None) {
        if (!call->started)
            return 0;
        PyErr_SetString(PyExc_AssertionError,
                        "start_response was called a second time without exc_info");
        return -1;
    }
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) {
        PyErr_Format(PyExc_TypeError,
                     "start_response: exc_info must be what sys.exc_info() returns, not %.200R",
                     exc_info);
        return -1;
    }
    if (!call->headed)
        return 0;
    /* The answer has begun with another head: the application's exception goes on. */
    raise_again(exc_info);
    return -1;
}

static PyObject *call_write(PyObject *self, PyObject *data);

static PyMethodDef write_def = {
    "write", call_write, METH_O,
    "Send bytes of the response body; for code that cannot be an iterable."};

static PyObject *start_response(struct mw_py_call *call, PyObject *status, PyObject *headers,
                                PyObject *exc_info)
{
    if (check_turn(call, exc_info))
        return NULL;
    call->started = 0;
    if (build_head(call, status, headers))
        return NULL;
    call->started = 1;
    if (call->request && mw_py_events_wanted(call->request->st))
        mw_py_event_response_started(call->request, status, headers, exc_info);
    return PyCFunction_NewEx(&write_def, (PyObject *)call, NULL);
}

/* start_response(status, headers, exc_info=None); exc_info may come by name. */
static PyObject *call_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf,
                                 PyObject *kwnames)
{
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;

    if (nkw == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "exc_info"))
        nkw = 2;
    if (nkw > 1 || n < 2 || n + nkw > 3) {
        PyErr_SetString(PyExc_TypeError, "start_response takes (status, headers, exc_info=None)");
        return NULL;
    }
    return start_response((struct mw_py_call *)self, args[0], args[1],
                          n + nkw == 3 ? args[2] : NULL);
}

/* -- sending -- */

void mw_py_call_set_length(struct mw_py_call *call, uint64_t n)
{
    char text[24];
    int k = snprintf(text, sizeof text, "%llu", (unsigned long long)n);

    mw_rsp_field(call->head, MW_STR("Content-Length"), (struct mw_str){text, (size_t)k});
    call->nfields++;
}

int mw_py_call_seal(struct mw_py_call *call)
{
    if (!call->started && call->err == MW_EABORT) {
        /* It was told that nobody is there, and gave up. */
        PyErr_SetString(PyExc_ConnectionAbortedError, "the client went away");
        return -1;
    }
    if (!call->started) {
        PyErr_SetString(PyExc_AssertionError,
                        "the application gave a response without calling start_response");
        return -1;
    }
    if (mw_rsp_end(call->head, call->at, call->nfields)) {
        PyErr_Format(PyExc_ValueError, "start_response: %s", mw_rsp_fault_text(MW_RSP_TOO_LARGE));
        return -1;
    }
    call->headed = 1;
    return 0;
}

/* Under io, without the GIL. */
static int send_locked(struct mw_py_call *call, int with_head, const struct mw_py_block *block,
                       size_t n, unsigned flags)
{
    int rv = call->err;

    if (!call->c)
        return MW_ESTATE;
    if (!rv && with_head)
        rv = mw_chan_head(call->c, mw_buf_data(call->head), mw_buf_size(call->head), NULL);
    for (size_t i = 0; !rv && i < n; i++)
        rv = mw_chan_data(call->c, block[i].p, block[i].n, flags);
    return rv;
}

int mw_py_call_send(struct mw_py_call *call, const struct mw_py_block *block, size_t n,
                    unsigned flags)
{
    int with_head = !call->headed;
    int rv = 0;

    if (mw_py_is_forked())
        return MW_ESTATE;
    if (with_head && mw_py_call_seal(call))
        return MW_PY_RAISED;
    {
        MW_NOGIL_SCOPE;
        if (pthread_mutex_lock(&call->io)) {
            rv = MW_ESTATE; /* this very thread is inside wsgi.input: a destructor that writes */
        } else {
            rv = send_locked(call, with_head, block, n, flags);
            pthread_mutex_unlock(&call->io);
        }
    }
    if (rv && !call->err)
        call->err = rv;
    return rv;
}

static PyObject *call_write(PyObject *self, PyObject *data)
{
    struct mw_py_call *call = (struct mw_py_call *)self;

    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "write: data must be bytes, not %.100s",
                     Py_TYPE(data)->tp_name);
        return NULL;
    }
    if (!mw_py_call_usable(call, "write"))
        return NULL;
    call->wrote = 1;
    struct mw_py_block block = {PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data)};
    if (block.n == 0)
        Py_RETURN_NONE;
    int rv = mw_py_call_send(call, &block, 1, 0);
    if (rv == 0)
        Py_RETURN_NONE;
    if (rv != MW_PY_RAISED)
        PyErr_Format(PyExc_OSError, "mod_wsgi response data write error: %s", mw_err_text(rv));
    return NULL;
}

void mw_py_call_cut(struct mw_py_call *call)
{
    int rv = mw_gil_mutex_lock(&call->io);

    call->c = NULL;
    call->request = NULL;
    if (rv == 0)
        pthread_mutex_unlock(&call->io);
}

void mw_py_call_mute(struct mw_py_call *call)
{
    if (pthread_mutex_trylock(&call->log) == 0) {
        call->log_c = NULL;
        pthread_mutex_unlock(&call->log);
        return;
    }
    MW_NOGIL_SCOPE;
    pthread_mutex_lock(&call->log);
    call->log_c = NULL;
    pthread_mutex_unlock(&call->log);
}

void mw_py_call_log_nogil(struct mw_py_call *call, const struct mw_mark *mark, const char *line,
                          size_t n)
{
    const struct mw_py_config *cfg = mw_py_config();
    int done = 0;

    /* After a fork the lock may be held for ever, and the channel is the parent's. */
    if (call && !mw_py_is_forked()) {
        pthread_mutex_lock(&call->log);
        if (call->log_c) {
            mw_chan_log(call->log_c, mark, line, n);
            done = 1;
        }
        pthread_mutex_unlock(&call->log);
    }
    if (!done)
        cfg->log(cfg->log_ctx, mark->level, line, n);
}

/* -- life -- */

static int init_io(pthread_mutex_t *m)
{
    pthread_mutexattr_t attr;

    if (pthread_mutexattr_init(&attr))
        return -1;
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    int rv = pthread_mutex_init(m, &attr);
    pthread_mutexattr_destroy(&attr);
    return rv;
}

struct mw_py_call *mw_py_call_create(struct mw_py_request *r, struct mw_chan *c,
                                     struct mw_buf *head)
{
    struct mw_py_call *call = PyObject_New(struct mw_py_call, r->st->call_type);

    if (!call)
        return NULL;
    call->vectorcall = call_vectorcall;
    init_io(&call->io);
    pthread_mutex_init(&call->log, NULL);
    call->c = call->log_c = c;
    call->request = r;
    call->head = head;
    call->at = 0;
    call->nfields = 0;
    call->status = 0;
    call->content_length = -1;
    call->err = 0;
    call->started = call->headed = call->wrote = 0;
    return call;
}

static void call_dealloc(PyObject *self)
{
    struct mw_py_call *call = (struct mw_py_call *)self;
    PyTypeObject *type = Py_TYPE(self);

    pthread_mutex_destroy(&call->io);
    pthread_mutex_destroy(&call->log);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMemberDef call_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct mw_py_call, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, call_members},
    {Py_tp_doc, "start_response(status, headers, exc_info=None) -> write(data)"},
    {0, NULL},
};

PyType_Spec mw_py_call_spec = {
    .name = "mod_wsgi.StartResponse",
    .basicsize = sizeof(struct mw_py_call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = call_slots,
};
