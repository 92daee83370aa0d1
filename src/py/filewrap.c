/*
 * filewrap.c: FileWrapper(filelike, blksize=8192) iterates filelike.read(blksize) and hands
 * close() on (PEP 3333, "Optional Platform-Specific File Handling"). A GC type: it holds the
 * application's object.
 */
#include "filewrap.h"

#include <structmember.h>

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
