/*
 * client.c: informational responses, and the question whether the client is still there. Called with
 * the GIL held by whatever thread the application gave the callables to; each is a bound function
 * that holds the call and nothing else (start.h).
 *
 * Neither may spoil an answer: hints that come too late, or for a client that has left, are dropped.
 */
#include "client.h"

#include "fields.h"
#include "gil.h"
#include "interp.h"
#include "pyerr.h"
#include "start.h"

#define HINTS "wsgi.early_hints"

/* Append one header to a block; -1 with an exception. */
static int add_hint(struct mw_buf *block, PyObject *item)
{
    struct mw_str name, value;

    if (mw_py_field(item, HINTS, &name, &value))
        return -1;
    enum mw_rsp_fault fault = mw_rsp_check_inform_field(name, value);
    if (fault)
        return mw_py_refuse(HINTS, fault, item);
    mw_rsp_field(block, name, value);
    return 0;
}

/* The block for `headers`. 1; 0: there are none; -1 with an exception. The list may change while a
 * message is formatted, so its size is asked each time. */
static int build_hints(struct mw_buf *block, PyObject *headers)
{
    size_t at = mw_rsp_begin(block, MW_RSP_INFORM_STATUS, MW_STR(""));
    uint32_t n = 0;

    if (!PyList_Check(headers) && !PyTuple_Check(headers)) {
        PyErr_Format(PyExc_TypeError, HINTS ": headers must be a list, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    for (; n < (size_t)PySequence_Fast_GET_SIZE(headers) && !block->err; n++) {
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(headers, n));
        int rv = add_hint(block, item);
        Py_DECREF(item);
        if (rv)
            return -1;
    }
    if (mw_rsp_end(block, at, n)) {
        PyErr_SetString(PyExc_ValueError, HINTS ": the headers are too large");
        return -1;
    }
    return n > 0;
}

/* Nothing is raised for a client that has left: the answer's first byte finds that out. */
static int send_hints(struct mw_py_call *call, const struct mw_buf *block)
{
    int rv = MW_ESTATE;

    {
        MW_NOGIL_SCOPE;
        int lost = pthread_mutex_lock(&call->io);
        if (!lost && call->c)
            rv = mw_chan_inform(call->c, mw_buf_data(block), mw_buf_size(block), NULL);
        if (!lost)
            pthread_mutex_unlock(&call->io);
    }
    if (rv == MW_ESTATE)
        mw_py_say(call, MW_LOG_DEBUG, "WSGI0539",
                  "early hints came after the response had begun; they are dropped");
    if (rv != MW_ELIMIT)
        return 0;
    PyErr_Format(PyExc_RuntimeError, HINTS " was called more than %u times in one request",
                 MW_CHAN_INFORMS_MAX);
    return -1;
}

static PyObject *early_hints(PyObject *self, PyObject *headers)
{
    struct mw_py_call *call = (struct mw_py_call *)self;
    struct mw_buf block;

    if (!mw_py_call_usable(call, HINTS))
        return NULL;
    mw_buf_init(&block, MW_RSP_INFORM_MAX);
    int rv = build_hints(&block, headers);
    if (rv > 0)
        rv = send_hints(call, &block);
    mw_buf_fini(&block);
    return rv < 0 ? NULL : Py_NewRef(Py_None);
}

/* True for a request that has ended, too: a thread that waits for this must not wait for ever. Where the
 * lock is this very thread's (a destructor that runs inside of wsgi.input), what is known must do. */
static PyObject *client_disconnected(PyObject *self, PyObject *Py_UNUSED(arg))
{
    struct mw_py_call *call = (struct mw_py_call *)self;
    int ended, gone = 0;

    if ((call->c || mw_py_is_forked()) && !mw_py_call_usable(call, "wsgi.client_disconnected"))
        return NULL;
    {
        MW_NOGIL_SCOPE;
        int lost = pthread_mutex_lock(&call->io);
        ended = !call->c;
        if (!lost && !ended)
            gone = mw_chan_gone(call->c);
        if (!lost)
            pthread_mutex_unlock(&call->io);
    }
    if (gone && !call->err)
        call->err = MW_EABORT;
    return PyBool_FromLong(ended || gone || call->err == MW_EABORT);
}

static PyMethodDef early_hints_def = {
    "early_hints", early_hints, METH_O,
    "early_hints(headers): send a 103 response with these (name, value) tuples, before the answer."};

static PyMethodDef client_disconnected_def = {
    "client_disconnected", client_disconnected, METH_NOARGS,
    "client_disconnected() -> bool: True once nobody waits for the answer any more."};

PyObject *mw_py_early_hints(struct mw_py_call *call)
{
    return PyCFunction_NewEx(&early_hints_def, (PyObject *)call, NULL);
}

PyObject *mw_py_client_disconnected(struct mw_py_call *call)
{
    return PyCFunction_NewEx(&client_disconnected_def, (PyObject *)call, NULL);
}
