/*
 * filewrap.c: FileWrapper(filelike, blksize=8192) iterates filelike.read(blksize) and hands
 * close() on (PEP 3333, "Optional Platform-Specific File Handling"). A GC type: it holds the
 * application's object.
 *
 * A wrapper around a file of the io module need not be iterated: its descriptor can be sent instead. A
 * fileno() alone proves nothing, because gzip.GzipFile has one too, of the compressed file; so it must be
 * one of io's own classes whose read() nobody has replaced.
 */
#include "filewrap.h"

#include <string.h>
#include <structmember.h>
#include <unistd.h>

#include "gil.h"
#include "io.h"
#include "state.h"

#define BLKSIZE 8192

struct filewrap {
    PyObject ob_base;
    PyObject *filelike; /* NULL only before __init__ and after clear */
    Py_ssize_t blksize;
};

static int filewrap_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    char *names[] = {"filelike", "blksize", NULL};
    struct filewrap *fw = (struct filewrap *)self;
    PyObject *filelike;
    Py_ssize_t blksize = BLKSIZE;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", names, &filelike, &blksize))
        return -1;
    if (blksize < 1)
        blksize = BLKSIZE;
    Py_XSETREF(fw->filelike, Py_NewRef(filelike));
    fw->blksize = blksize;
    return 0;
}

static PyObject *filewrap_next(PyObject *self)
{
    struct filewrap *fw = (struct filewrap *)self;
    struct mw_py_state *st = mw_py_state_of_type(Py_TYPE(self));

    if (!fw->filelike)
        return NULL;
    PyObject *size = PyLong_FromSsize_t(fw->blksize);
    if (!size)
        return NULL;
    PyObject *block = PyObject_CallMethodOneArg(fw->filelike, st->name[MW_N_read], size);
    Py_DECREF(size);
    if (!block)
        return NULL;
    int more = PyObject_IsTrue(block);
    if (more <= 0)
        Py_CLEAR(block);
    return block;
}

static PyObject *filewrap_close(PyObject *self, PyObject *Py_UNUSED(arg))
{
    struct filewrap *fw = (struct filewrap *)self;
    struct mw_py_state *st = mw_py_state_of_type(Py_TYPE(self));

    if (!fw->filelike)
        Py_RETURN_NONE;
    PyObject *close = PyObject_GetAttr(fw->filelike, st->name[MW_N_close]);
    if (!close && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    if (!close)
        return NULL;
    PyObject *rv = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return rv;
}

/* -- the file behind it -- */

/* Is ob.name a method of C, ob's own? */
static int is_builtin(PyObject *ob, PyObject *name)
{
    PyObject *method = PyObject_GetAttr(ob, name);
    int is = method && PyCFunction_Check(method) && PyCFunction_GET_SELF(method) == ob;

    PyErr_Clear();
    Py_XDECREF(method);
    return is;
}

static int is_io(const struct mw_py_state *st, PyObject *ob, enum mw_py_io_type type)
{
    return PyObject_TypeCheck(ob, (PyTypeObject *)st->io_types[type]);
}

/* Does ob.read give the bytes of the descriptor? */
static int reads_descriptor(const struct mw_py_state *st, PyObject *ob)
{
    if (!is_builtin(ob, st->name[MW_N_read]))
        return 0;
    if (is_io(st, ob, MW_PY_FILEIO))
        return 1;
    if (!is_io(st, ob, MW_PY_BUFREADER) && !is_io(st, ob, MW_PY_BUFRANDOM))
        return 0;
    PyObject *raw = PyObject_GetAttr(ob, st->name[MW_N_raw]);
    int yes = raw && is_io(st, raw, MW_PY_FILEIO) && is_builtin(raw, st->name[MW_N_readinto]);
    PyErr_Clear();
    Py_XDECREF(raw);
    return yes;
}

/* New reference: the file itself, also behind what tempfile puts around it; NULL without an exception. */
static PyObject *find_file(const struct mw_py_state *st, PyObject *ob)
{
    PyObject *file = NULL;

    if (reads_descriptor(st, ob))
        return Py_NewRef(ob);
    if (strcmp(Py_TYPE(ob)->tp_name, "_TemporaryFileWrapper") == 0)
        file = PyObject_GetAttr(ob, st->name[MW_N_file]);
    PyErr_Clear();
    if (file && !reads_descriptor(st, file))
        Py_CLEAR(file);
    return file;
}

/* Its descriptor, borrowed, and position; -1 with or without an exception. */
static int locate(const struct mw_py_state *st, PyObject *file, int64_t *offset_r)
{
    if (is_io(st, file, MW_PY_BUFRANDOM)) { /* what was written belongs to it */
        PyObject *rv = PyObject_CallMethodNoArgs(file, st->name[MW_N_flush]);
        if (!rv)
            return -1;
        Py_DECREF(rv);
    }
    /* Not the descriptor's: a buffer may have read ahead. */
    PyObject *at = PyObject_CallMethodNoArgs(file, st->name[MW_N_tell]);
    if (!at)
        return -1;
    *offset_r = PyLong_AsLongLong(at);
    Py_DECREF(at);
    return *offset_r < 0 ? -1 : PyObject_AsFileDescriptor(file);
}

int mw_py_filewrap_open(struct mw_py_state *st, PyObject *result, struct mw_py_file *out)
{
    int64_t size = 0;

    if (Py_TYPE(result) != st->filewrap_type || !((struct filewrap *)result)->filelike)
        return 0;
    PyObject *file = find_file(st, ((struct filewrap *)result)->filelike);
    if (!file)
        return 0;
    int fd = locate(st, file, &out->offset);
    PyErr_Clear();
    out->fd = -1;
    if (fd >= 0) {
        MW_NOGIL_SCOPE;
        if (mw_io_file_size(fd, &size) == 0)
            out->fd = mw_io_reopen(fd);
    }
    Py_DECREF(file);
    out->n = size > out->offset ? size - out->offset : 0;
    return out->fd >= 0;
}

/* -- type -- */

static int filewrap_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct filewrap *)self)->filelike);
    return 0;
}

static int filewrap_clear(PyObject *self)
{
    Py_CLEAR(((struct filewrap *)self)->filelike);
    return 0;
}

static void filewrap_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void)filewrap_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef filewrap_methods[] = {
    {"close", filewrap_close, METH_NOARGS, "Close the file, if it can be closed."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef filewrap_members[] = {
    {"filelike", T_OBJECT, offsetof(struct filewrap, filelike), READONLY, NULL},
    {"blksize", T_PYSSIZET, offsetof(struct filewrap, blksize), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot filewrap_slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, filewrap_init},
    {Py_tp_dealloc, filewrap_dealloc},
    {Py_tp_traverse, filewrap_traverse},
    {Py_tp_clear, filewrap_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, filewrap_next},
    {Py_tp_methods, filewrap_methods},
    {Py_tp_members, filewrap_members},
    {Py_tp_doc, "FileWrapper(filelike, blksize=8192): the blocks of a file, for a response."},
    {0, NULL},
};

PyType_Spec mw_py_filewrap_spec = {
    .name = "mod_wsgi.FileWrapper",
    .basicsize = sizeof(struct filewrap),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = filewrap_slots,
};
