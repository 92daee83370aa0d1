/*
 * input.c: wsgi.input over the request channel (PEP 3333, "Input and Error Streams").
 *
 * Every method holds the call's io lock from start to end, so two threads that read at the same
 * time take turns and cannot see the buffer half changed. The GIL is given up only around the
 * channel's read. Large reads go straight into the bytes object that is returned; small ones and
 * lines go through a buffer.
 */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gil.h"
#include "interp.h"
#include "start.h"
#include "state.h"

#define INPUT_BUF 16384u          /* bytes of the buffer; reads of at least this bypass it */
#define FIRST_KNOWN (16u << 20)   /* bytes set aside at once for a body whose length is known, */
#define FIRST_UNKNOWN (64u << 10) /* and for one whose length is not */

struct mw_py_input {
    PyObject ob_base;
    struct mw_py_call *call; /* strong */
    int64_t left;            /* bytes of the body not yet taken from the channel; -1: unknown */
    uint64_t taken;          /* bytes of it that were */
    int err;                 /* MW_E* that ended the body; sticky */
    int sys;                 /* errno that belongs to it */
    int eof;
    char *buf;       /* INPUT_BUF bytes, allocated on first use */
    size_t pos, len; /* what of buf is unread */
};

/* -- below the methods: io is held -- */

/* Take the io lock, if the request still runs. */
static int begin(struct mw_py_input *in)
{
    if (mw_py_is_forked()) {
        PyErr_SetString(PyExc_RuntimeError, "wsgi.input is used in a forked process");
        return -1;
    }
    if (mw_gil_mutex_lock(&in->call->io)) {
        PyErr_SetString(PyExc_RuntimeError, "wsgi.input is used while it is being used");
        return -1;
    }
    if (in->call->c)
        return 0;
    pthread_mutex_unlock(&in->call->io);
    PyErr_SetString(PyExc_RuntimeError, "wsgi.input was used after its request had ended");
    return -1;
}

static void finish(struct mw_py_input *in)
{
    pthread_mutex_unlock(&in->call->io);
}

/* Up to cap bytes of the body into p: their number, 0 at the end, or -1 with an exception. */
static Py_ssize_t fetch(struct mw_py_input *in, char *p, size_t cap)
{
    ssize_t n = in->err;

    if (!n && !in->eof && in->left != 0) {
        if (in->left > 0 && cap > (uint64_t)in->left)
            cap = (size_t)in->left;
        MW_NOGIL_SCOPE;
        n = mw_chan_read(in->call->c, p, cap);
        in->sys = errno;
    }
    if (n < 0) {
        in->err = (int)n;
        PyErr_Format(PyExc_OSError, "mod_wsgi request data read error: %s",
                     in->err != MW_EIO ? mw_err_text(in->err)
                     : in->sys         ? strerror(in->sys)
                                       : "the body is malformed or could not be decoded");
        return -1;
    }
    if (n == 0)
        in->eof = 1;
    in->taken += (uint64_t)n;
    if (in->left > 0)
        in->left -= n;
    return n;
}

/* Refill the empty buffer: as fetch. */
static Py_ssize_t refill(struct mw_py_input *in)
{
    if (!in->buf && !(in->buf = malloc(INPUT_BUF))) {
        PyErr_NoMemory();
        return -1;
    }
    in->pos = in->len = 0;
    Py_ssize_t n = fetch(in, in->buf, INPUT_BUF);
    if (n > 0)
        in->len = (size_t)n;
    return n;
}

static size_t buffered(const struct mw_py_input *in)
{
    return in->len - in->pos;
}

/* A bytes object under construction. */
struct acc {
    PyObject *bytes;
    size_t n, cap;
};

/* Make room beyond what is there, doubling but not beyond max. -1 with an exception. */
static int acc_grow(struct acc *a, size_t first, size_t max)
{
    size_t cap = a->cap ? (a->cap > max / 2 ? max : a->cap * 2) : (first < max ? first : max);

    if (cap > PY_SSIZE_T_MAX / 2) {
        PyErr_NoMemory();
        return -1;
    }
    if (!a->bytes)
        a->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)cap);
    else
        (void)_PyBytes_Resize(&a->bytes, (Py_ssize_t)cap); /* NULL on failure */
    a->cap = cap;
    return a->bytes ? 0 : -1;
}

static char *acc_tail(struct acc *a)
{
    return PyBytes_AS_STRING(a->bytes) + a->n;
}

/* The finished object; NULL if it could not be shortened. */
static PyObject *acc_take(struct acc *a)
{
    if (!a->bytes)
        return PyBytes_FromStringAndSize(NULL, 0);
    if (a->n != a->cap)
        (void)_PyBytes_Resize(&a->bytes, (Py_ssize_t)a->n);
    return a->bytes;
}

static size_t take_buffered(struct mw_py_input *in, char *to, size_t max)
{
    size_t n = buffered(in) < max ? buffered(in) : max;

    memcpy(to, in->buf + in->pos, n);
    in->pos += n;
    return n;
}

/* Put the next bytes at a's tail, which has room: their number, 0 at the end, -1. */
static Py_ssize_t read_some(struct mw_py_input *in, struct acc *a, size_t want)
{
    size_t room = a->cap - a->n < want - a->n ? a->cap - a->n : want - a->n;

    if (buffered(in) == 0) {
        /* Nothing is read ahead into the buffer when the rest fits the caller's object anyway. */
        if (room >= INPUT_BUF || (in->left > 0 && (uint64_t)in->left <= room))
            return fetch(in, acc_tail(a), room);
        Py_ssize_t n = refill(in);
        if (n <= 0)
            return n;
    }
    return (Py_ssize_t)take_buffered(in, acc_tail(a), room);
}

/* Exactly want bytes, or fewer at the end of the body. */
static PyObject *read_bytes(struct mw_py_input *in, size_t want)
{
    size_t first = in->left >= 0 ? FIRST_KNOWN : FIRST_UNKNOWN;
    struct acc a = {NULL, 0, 0};
    Py_ssize_t n = 1;

    if (in->left >= 0 && want > buffered(in) + (uint64_t)in->left && !in->err)
        want = buffered(in) + (size_t)in->left;
    if (want <= buffered(in)) {
        in->pos += want;
        return PyBytes_FromStringAndSize(want ? in->buf + in->pos - want : NULL, (Py_ssize_t)want);
    }
    while (a.n < want && n > 0) {
        if (a.n == a.cap && acc_grow(&a, first, want))
            return NULL;
        n = read_some(in, &a, want);
        if (n > 0)
            a.n += (size_t)n;
    }
    if (n < 0) {
        Py_DECREF(a.bytes);
        return NULL;
    }
    return acc_take(&a);
}

/* One line with its newline, at most max bytes; empty at the end of the body. */
static PyObject *read_line(struct mw_py_input *in, size_t max)
{
    struct acc a = {NULL, 0, 0};
    int whole = 0;

    while (!whole && a.n < max) {
        Py_ssize_t got = buffered(in) ? 1 : refill(in);
        if (got < 0) {
            Py_XDECREF(a.bytes);
            return NULL;
        }
        if (got == 0)
            break;
        size_t n = buffered(in) < max - a.n ? buffered(in) : max - a.n;
        const char *from = in->buf + in->pos;
        const char *nl = memchr(from, '\n', n);
        if (nl)
            n = (size_t)(nl - from) + 1;
        whole = nl != NULL || a.n + n == max;
        if (whole && !a.bytes) {
            in->pos += n;
            return PyBytes_FromStringAndSize(from, (Py_ssize_t)n);
        }
        while (a.cap - a.n < n)
            if (acc_grow(&a, 2 * INPUT_BUF, PY_SSIZE_T_MAX / 2))
                return NULL;
        a.n += take_buffered(in, acc_tail(&a), n);
    }
    return acc_take(&a);
}

/* -- methods -- */

/* The optional number of read, readline and readlines: SIZE_MAX if it is absent, None or negative.
 */
static int parse_size(PyObject *const *args, Py_ssize_t nargs, size_t *size_r)
{
    *size_r = SIZE_MAX;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "at most 1 argument is allowed, not %zd", nargs);
        return -1;
    }
    if (nargs == 0 || args[0] == Py_None)
        return 0;
    Py_ssize_t n = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred())
        return -1;
    if (n >= 0)
        *size_r = (size_t)n;
    return 0;
}

static PyObject *run(PyObject *self, PyObject *(*method)(struct mw_py_input *, size_t), size_t size)
{
    struct mw_py_input *in = (struct mw_py_input *)self;

    if (begin(in))
        return NULL;
    PyObject *rv = method(in, size);
    finish(in);
    return rv;
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    size_t size;

    return parse_size(args, nargs, &size) ? NULL : run(self, read_bytes, size);
}

static PyObject *input_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    size_t size;

    return parse_size(args, nargs, &size) ? NULL : run(self, read_line, size);
}

/* Lines until together they have hint bytes; 0 as for io.IOBase means all. */
static PyObject *read_lines(struct mw_py_input *in, size_t hint)
{
    PyObject *lines = PyList_New(0);
    size_t total = 0;

    while (lines && (hint == 0 || total < hint)) {
        PyObject *line = read_line(in, SIZE_MAX);
        if (line && PyBytes_GET_SIZE(line) == 0) {
            Py_DECREF(line);
            break;
        }
        if (line)
            total += (size_t)PyBytes_GET_SIZE(line);
        if (!line || PyList_Append(lines, line))
            Py_CLEAR(lines);
        Py_XDECREF(line);
    }
    return lines;
}

static PyObject *input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    size_t size;

    return parse_size(args, nargs, &size) ? NULL : run(self, read_lines, size);
}

static PyObject *input_next(PyObject *self)
{
    PyObject *line = run(self, read_line, SIZE_MAX);

    if (line && PyBytes_GET_SIZE(line) == 0)
        Py_CLEAR(line); /* NULL without an exception ends an iteration */
    return line;
}

/* Frameworks close what they read from; the rest of the body is the server's business. */
static PyObject *input_close(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    Py_RETURN_NONE;
}

/* -- life -- */

struct mw_py_input *mw_py_input_create(struct mw_py_state *st, struct mw_py_call *call)
{
    const struct mw_req *req = call->c->req;
    struct mw_py_input *in = PyObject_New(struct mw_py_input, st->input_type);

    if (!in)
        return NULL;
    in->call = call;
    Py_INCREF(call);
    in->left = req->flags & MW_REQ_BODY ? req->content_length : 0;
    in->taken = 0;
    in->err = in->sys = in->eof = 0;
    in->buf = NULL;
    in->pos = in->len = 0;
    return in;
}

int mw_py_input_error(const struct mw_py_input *in)
{
    return in->err;
}

uint64_t mw_py_input_taken(const struct mw_py_input *in)
{
    return in->taken;
}

static void input_dealloc(PyObject *self)
{
    struct mw_py_input *in = (struct mw_py_input *)self;
    PyTypeObject *type = Py_TYPE(self);

    free(in->buf);
    Py_DECREF(in->call);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef input_methods[] = {
    {"read", (PyCFunction)(void (*)(void))input_read, METH_FASTCALL,
     "read(n=-1): n bytes, fewer only at the end of the body; without n all that is left."},
    {"readline", (PyCFunction)(void (*)(void))input_readline, METH_FASTCALL,
     "readline(n=-1): one line with its newline, at most n bytes of it."},
    {"readlines", (PyCFunction)(void (*)(void))input_readlines, METH_FASTCALL,
     "readlines(hint=-1): lines, until together they have hint bytes."},
    {"close", input_close, METH_NOARGS, "Does nothing."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_dealloc, input_dealloc},        {Py_tp_methods, input_methods},
    {Py_tp_iter, PyObject_SelfIter},       {Py_tp_iternext, input_next},
    {Py_tp_doc, "The body of a request."}, {0, NULL},
};

PyType_Spec mw_py_input_spec = {
    .name = "mod_wsgi.Input",
    .basicsize = sizeof(struct mw_py_input),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = input_slots,
};
