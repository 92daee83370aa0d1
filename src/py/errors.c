/*
 * errors.c: wsgi.errors, sys.stderr and sys.stdout (PEP 3333, "Input and Error Streams").
 *
 * Bytes up to the last newline go out as one batch of records; what follows it waits for its
 * newline, for flush, or for the end of the request. print() writes a line in several calls, so the
 * waiting parts of two threads are kept apart. They are guarded by the GIL, and a part is taken out
 * of the object before the GIL is given up.
 */
#include "errors.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

#include "gil.h"
#include "interp.h"
#include "pyerr.h"
#include "request.h"
#include "start.h"
#include "state.h"

#define PART_MAX MW_LOG_LINE_MAX /* bytes that wait for a newline; more go out without one */
#define PARTS_MAX 64u /* threads with such a part in one stream; then the oldest goes out */

/* What a thread has written since its last newline. */
struct part {
    struct part *next; /* the one that is older */
    uint64_t owner;    /* PyThreadState_GetID: never used twice */
    size_t n, cap;
    char p[];
};

struct mw_py_errors {
    PyObject ob_base;
    struct mw_py_call *call; /* strong; NULL: a standard stream */
    const char *name;        /* static */
    struct part *parts;      /* the newest first */
    unsigned nparts;
};

/* -- output -- */

static void emit(struct mw_py_call *call, const char *p, size_t n)
{
    MW_NOGIL_SCOPE;
    mw_py_log_text_nogil(call, MW_MARK(MW_LOG_ERR), p, n);
}

/* Where the calling thread's output to this object goes; borrowed. NULL: the process's log. */
static struct mw_py_call *target_of(const struct mw_py_errors *e)
{
    return e->call ? e->call : mw_py_errors_current_call();
}

static uint64_t my_id(void)
{
    return PyThreadState_GetID(PyThreadState_Get());
}

/* Take the part of that owner out of the object; NULL: it has none. */
static struct part *take_part(struct mw_py_errors *e, uint64_t owner)
{
    for (struct part **at = &e->parts; *at; at = &(*at)->next) {
        struct part *part = *at;
        if (part->owner == owner) {
            *at = part->next;
            e->nparts--;
            return part;
        }
    }
    return NULL;
}

static struct part *take_oldest(struct mw_py_errors *e)
{
    struct part **at = &e->parts;

    while (*at && (*at)->next)
        at = &(*at)->next;
    return *at ? take_part(e, (*at)->owner) : NULL;
}

/* part, which may be NULL, with p behind it. NULL without memory, and part is as it was. */
static struct part *extend(struct part *part, const char *p, size_t n)
{
    size_t have = part ? part->n : 0;

    if (!part || part->cap - have < n) {
        size_t cap = have + n + (have + n < PART_MAX ? 120 + have : 0);
        struct part *larger = realloc(part, sizeof *part + cap);
        if (!larger)
            return NULL;
        part = larger;
        part->cap = cap;
    }
    memcpy(part->p + have, p, n);
    part->n = have + n;
    return part;
}

/* Takes part. */
static void put_part(struct mw_py_errors *e, struct part *part, uint64_t owner)
{
    part->owner = owner;
    part->next = e->parts;
    e->parts = part;
    e->nparts++;
}

static void emit_part(struct mw_py_call *call, struct part *part)
{
    if (part)
        emit(call, part->p, part->n);
    free(part);
}

/* Borrowed references to e and its call must hold while the GIL is given up. */
static void flush_own(struct mw_py_errors *e)
{
    if (e->parts)
        emit_part(target_of(e), take_part(e, my_id()));
}

static void flush_all(struct mw_py_errors *e)
{
    while (e->parts)
        emit_part(e->call, take_oldest(e));
}

/* Write out part, which is taken, and the lines p behind it. 0, or -1 without memory. */
static int emit_joined(struct mw_py_call *call, struct part *part, const char *p, size_t n)
{
    struct part *whole = extend(part, p, n);

    emit_part(call, whole ? whole : part);
    return whole ? 0 : -1;
}

/* The full records of a line without an end; bytes that went into them. */
static size_t emit_begun(struct mw_py_call *call, const char *p, size_t n)
{
    MW_NOGIL_SCOPE;
    return mw_py_log_begun_nogil(call, MW_MARK(MW_LOG_ERR), p, n);
}

/* part, which is taken, or what of it is less than a record; NULL without memory. */
static struct part *shorten(struct mw_py_call *call, struct part *part)
{
    if (part->n <= PART_MAX)
        return part;
    size_t done = emit_begun(call, part->p, part->n);
    struct part *rest = extend(NULL, part->p + done, part->n - done);
    free(part);
    return rest;
}

/* Keep part, which may be NULL and is taken, and p behind it. 0, or -1 without memory. */
static int keep(struct mw_py_errors *e, struct part *part, const char *p, size_t n)
{
    size_t done = part || n <= PART_MAX ? 0 : emit_begun(target_of(e), p, n);
    struct part *whole = n ? extend(part, p + done, n - done) : part;

    if (whole)
        whole = shorten(target_of(e), whole);
    else
        free(part);
    if (whole)
        put_part(e, whole, my_id());
    if (e->nparts > PARTS_MAX)
        emit_part(e->call, take_oldest(e));
    return whole || n == 0 ? 0 : -1;
}

/* 0, or -1 without memory. p stays valid meanwhile. */
static int append(struct mw_py_errors *e, const char *p, size_t n)
{
    const char *nl = n ? memrchr(p, '\n', n) : NULL;
    size_t lines = nl ? (size_t)(nl - p) + 1 : 0;
    struct part *part = e->parts ? take_part(e, my_id()) : NULL;

    if (lines && !part)
        emit(target_of(e), p, lines);
    else if (lines && emit_joined(target_of(e), part, p, lines))
        return -1;
    return keep(e, lines ? NULL : part, p + lines, n - lines);
}

struct mw_py_call *mw_py_errors_current_call(void)
{
    struct mw_py_request *r = mw_py_request_current();

    return r && r->errors ? r->call : NULL;
}

void mw_py_errors_flush_request(const struct mw_py_request *r)
{
    flush_own((struct mw_py_errors *)r->st->out);
    flush_own((struct mw_py_errors *)r->st->err);
    if (r->errors)
        flush_all(r->errors);
}

void mw_py_errors_flush_streams(struct mw_py_state *st)
{
    flush_all((struct mw_py_errors *)st->out);
    flush_all((struct mw_py_errors *)st->err);
}

/* -- methods of the text object -- */

static PyObject *write_bytes(PyObject *self, const char *p, size_t n, Py_ssize_t result)
{
    if (append((struct mw_py_errors *)self, p, n))
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
    flush_own((struct mw_py_errors *)self);
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
    e->parts = NULL;
    e->nparts = 0;
    return e;
}

static void errors_dealloc(PyObject *self)
{
    struct mw_py_errors *e = (struct mw_py_errors *)self;
    PyTypeObject *type = Py_TYPE(self);

    flush_all(e);
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
