/*
 * errors.c: wsgi.errors, sys.stderr and sys.stdout (PEP 3333, "Input and Error Streams").
 *
 * Bytes up to the last newline go out as one batch of records; what follows it waits for its
 * newline, for flush, or for the end of the request. The waiting part is guarded by the GIL and is
 * taken out of the object before the GIL is given up, so a second thread never sees it half
 * written.
 */
#include "errors.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

#include "gil.h"
#include "interp.h"
#include "pyerr.h"
#include "start.h"
#include "state.h"

#define PART_MAX MW_LOG_LINE_MAX /* bytes that wait for a newline; more go out without one */

struct mw_py_errors {
    PyObject ob_base;
    struct mw_py_call *call; /* strong; NULL: a standard stream */
    const char *name;        /* static */
    char *part;              /* what has no newline yet; owned; NULL: nothing */
    size_t npart;
};

/* -- output -- */

static void emit(struct mw_py_errors *e, const char *p, size_t n)
{
    MW_NOGIL_SCOPE;
    mw_py_log_text_nogil(e->call, MW_LOG_ERR, p, n);
}

/* Replace the waiting part by itself and p. 0, or -1 without memory. */
static int extend_part(struct mw_py_errors *e, const char *p, size_t n)
{
    if (n == 0)
        return 0;
    char *part = realloc(e->part, e->npart + n);
    if (!part)
        return -1;
    memcpy(part + e->npart, p, n);
    e->part = part;
    e->npart += n;
    return 0;
}

static void flush_part(struct mw_py_errors *e)
{
    char *part = e->part;
    size_t n = e->npart;

    e->part = NULL;
    e->npart = 0;
    if (n)
        emit(e, part, n);
    free(part);
}

/* 0, or -1 without memory. p stays valid and unchanged meanwhile. */
static int append(struct mw_py_errors *e, const char *p, size_t n)
{
    const char *nl = n ? memrchr(p, '\n', n) : NULL;
    size_t lines = nl ? (size_t)(nl - p) + 1 : 0;
    size_t rest = n - lines;

    if (lines && e->npart) {
        if (extend_part(e, p, lines))
            return -1;
        flush_part(e);
    } else if (lines) {
        emit(e, p, lines);
    }
    if (extend_part(e, p + lines, rest))
        return -1;
    if (e->npart > PART_MAX)
        flush_part(e);
    return 0;
}

/* Where the calling thread's output to this object goes; borrowed. */
static struct mw_py_errors *target_of(PyObject *self)
{
    struct mw_py_errors *e = (struct mw_py_errors *)self;
    struct mw_py_thread *me = e->call ? NULL : mw_py_thread_peek();

    return me && me->errors ? me->errors : e;
}

struct mw_py_call *mw_py_errors_current_call(void)
{
    struct mw_py_thread *me = mw_py_thread_peek();

    return me && me->errors ? me->errors->call : NULL;
}

void mw_py_errors_flush(struct mw_py_errors *e)
{
    flush_part(e);
}

/* -- methods of the text object -- */

static PyObject *write_bytes(PyObject *self, const char *p, size_t n, Py_ssize_t result)
{
    if (append(target_of(self), p, n))
        return PyErr_NoMemory();
    return PyLong_FromSsize_t(result);
}

static PyObject *errors_write(PyObject *self, PyObject *text)
{
    Py_ssize_t n;

    if (!PyUnicode_Check(text))
        return PyErr_Format(PyExc_TypeError, "write() argument must be str, not %.100s",
                            Py_TYPE(text)->tp_name);
    const char *p = PyUnicode_AsUTF8AndSize(text, &n);
    if (p)
        return write_bytes(self, p, (size_t)n, PyUnicode_GET_LENGTH(text));
    /* Lone surrogates. */
    PyErr_Clear();
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "replace");
    if (!bytes)
        return NULL;
    PyObject *rv = write_bytes(self, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes),
                               PyUnicode_GET_LENGTH(text));
    Py_DECREF(bytes);
    return rv;
}

static PyObject *errors_writelines(PyObject *self, PyObject *lines)
{
    PyObject *it = PyObject_GetIter(lines);
    PyObject *line;

    if (!it)
        return NULL;
    while ((line = PyIter_Next(it))) {
        PyObject *rv = errors_write(self, line);
        Py_DECREF(line);
        if (!rv)
            break;
        Py_DECREF(rv);
    }
    Py_DECREF(it);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *errors_flush(PyObject *self, PyObject *Py_UNUSED(arg))
{
    flush_part(target_of(self));
    Py_RETURN_NONE;
}

static PyObject *errors_false(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    Py_RETURN_FALSE;
}

static PyObject *errors_true(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    Py_RETURN_TRUE;
}

static PyObject *errors_fileno(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    PyObject *io = PyImport_ImportModule("io");
    PyObject *type = io ? PyObject_GetAttrString(io, "UnsupportedOperation") : NULL;

    if (type)
        PyErr_SetString(type, "a log has no file descriptor");
    Py_XDECREF(type);
    Py_XDECREF(io);
    return NULL;
}

static PyObject *get_text(PyObject *Py_UNUSED(self), void *text)
{
    return PyUnicode_FromString(text);
}

static PyObject *get_name(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(((struct mw_py_errors *)self)->name);
}

static PyObject *get_closed(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    Py_RETURN_FALSE;
}

struct mw_py_errors *mw_py_errors_create(struct mw_py_state *st, struct mw_py_call *call,
                                         const char *name)
{
    struct mw_py_errors *e = PyObject_New(struct mw_py_errors, st->errors_type);

    if (!e)
        return NULL;
    e->call = call;
    Py_XINCREF(call);
    e->name = name;
    e->part = NULL;
    e->npart = 0;
    return e;
}

static void errors_dealloc(PyObject *self)
{
    struct mw_py_errors *e = (struct mw_py_errors *)self;
    PyTypeObject *type = Py_TYPE(self);

    free(e->part);
    Py_XDECREF(e->call);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* -- .buffer: the same log for bytes -- */

struct bytelog {
    PyObject ob_base;
    PyObject *text; /* strong; struct mw_py_errors */
};

static PyObject *get_buffer(PyObject *self, void *Py_UNUSED(closure))
{
    struct mw_py_state *st = mw_py_state_of_type(Py_TYPE(self));
    struct bytelog *b = PyObject_New(struct bytelog, st->bytelog_type);

    if (b)
        b->text = Py_NewRef(self);
    return (PyObject *)b;
}

static PyObject *bytelog_write(PyObject *self, PyObject *data)
{
    Py_buffer view;

    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE))
        return NULL;
    PyObject *rv = write_bytes(((struct bytelog *)self)->text, view.buf, (size_t)view.len,
                               view.len);
    PyBuffer_Release(&view);
    return rv;
}

static PyObject *bytelog_flush(PyObject *self, PyObject *arg)
{
    return errors_flush(((struct bytelog *)self)->text, arg);
}

static void bytelog_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    Py_DECREF(((struct bytelog *)self)->text);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* -- types -- */

static PyMethodDef errors_methods[] = {
    {"write", errors_write, METH_O, "Log text; a line is written when its newline comes."},
    {"writelines", errors_writelines, METH_O, "Log every str of an iterable."},
    {"flush", errors_flush, METH_NOARGS, "Log a line that has no newline yet."},
    {"close", errors_flush, METH_NOARGS, "As flush: a log is never closed."},
    {"isatty", errors_false, METH_NOARGS, NULL},
    {"readable", errors_false, METH_NOARGS, NULL},
    {"seekable", errors_false, METH_NOARGS, NULL},
    {"writable", errors_true, METH_NOARGS, NULL},
    {"fileno", errors_fileno, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef errors_getset[] = {
    {"encoding", get_text, NULL, NULL, "utf-8"},
    {"errors", get_text, NULL, NULL, "replace"},
    {"mode", get_text, NULL, NULL, "w"},
    {"name", get_name, NULL, NULL, NULL},
    {"closed", get_closed, NULL, NULL, NULL},
    {"buffer", get_buffer, NULL, "The same log for bytes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot errors_slots[] = {
    {Py_tp_dealloc, errors_dealloc},
    {Py_tp_methods, errors_methods},
    {Py_tp_getset, errors_getset},
    {Py_tp_doc, "Text stream into the server's error log."},
    {0, NULL},
};

PyType_Spec mw_py_errors_spec = {
    .name = "mod_wsgi.Log",
    .basicsize = sizeof(struct mw_py_errors),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = errors_slots,
};

static PyMethodDef bytelog_methods[] = {
    {"write", bytelog_write, METH_O, "Log bytes; a line is written when its newline comes."},
    {"flush", bytelog_flush, METH_NOARGS, "Log a line that has no newline yet."},
    {"isatty", errors_false, METH_NOARGS, NULL},
    {"readable", errors_false, METH_NOARGS, NULL},
    {"seekable", errors_false, METH_NOARGS, NULL},
    {"writable", errors_true, METH_NOARGS, NULL},
    {"fileno", errors_fileno, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot bytelog_slots[] = {
    {Py_tp_dealloc, bytelog_dealloc},
    {Py_tp_methods, bytelog_methods},
    {Py_tp_doc, "Byte stream into the server's error log."},
    {0, NULL},
};

PyType_Spec mw_py_bytelog_spec = {
    .name = "mod_wsgi.ByteLog",
    .basicsize = sizeof(struct bytelog),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bytelog_slots,
};
