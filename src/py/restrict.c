/*
 * restrict.c: see restrict.h. What an application meets here is raised or logged on its own thread.
 */
#include "restrict.h"

#include "errors.h"
#include "interp.h"
#include "pyerr.h"
#include "pyopts.h"
#include "state.h"

/* -- sys.stdin, sys.stdout -- */

struct restricted {
    PyObject ob_base;
    const char *stream;    /* static */
    const char *directive; /* static */
};

static PyObject *refuse(PyObject *self)
{
    struct restricted *r = (struct restricted *)self;

    return PyErr_Format(PyExc_OSError, "sys.%s is restricted by %s", r->stream, r->directive);
}

/* isinstance may still ask what this is. */
static PyObject *restricted_getattr(PyObject *self, PyObject *name)
{
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "__class__") == 0)
        return PyObject_GenericGetAttr(self, name);
    return refuse(self);
}

static int restricted_setattr(PyObject *self, PyObject *Py_UNUSED(name), PyObject *Py_UNUSED(value))
{
    (void)refuse(self);
    return -1;
}

static void restricted_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot restricted_slots[] = {
    {Py_tp_dealloc, restricted_dealloc},
    {Py_tp_getattro, restricted_getattr},
    {Py_tp_setattro, restricted_setattr},
    {Py_tp_iter, refuse},
    {Py_tp_iternext, refuse},
    {Py_tp_doc, "A standard stream that applications must not use."},
    {0, NULL},
};

PyType_Spec mw_py_restricted_spec = {
    .name = "mod_wsgi.Restricted",
    .basicsize = sizeof(struct restricted),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = restricted_slots,
};

static int restrict_stream(struct mw_py_state *st, const char *stream, const char *directive)
{
    struct restricted *r = PyObject_New(struct restricted, st->restricted_type);
    int rv = -1;

    if (r) {
        r->stream = stream;
        r->directive = directive;
        rv = PySys_SetObject(stream, (PyObject *)r);
        Py_DECREF(r);
    }
    return rv;
}

/* -- signal.signal -- */

/* In place of _signal.signal, which signal.signal() calls and which is self here. The signals of the
 * process are the server's; in a process that the application forked they are its own. */
static PyObject *intercept(PyObject *self, PyObject *args)
{
    struct mw_py_call *call = mw_py_errors_current_call();
    PyObject *handler;
    int sig;

    if (mw_py_is_forked())
        return PyObject_CallObject(self, args);
    if (!PyArg_ParseTuple(args, "iO:signal", &sig, &handler))
        return NULL;
    Py_XINCREF(call);
    mw_py_say(call, MW_LOG_INFO, "WSGI0090",
              "signal.signal() for signal %d is ignored: the process's signals are the server's; "
              "WSGIRestrictSignal Off allows it",
              sig);
    mw_py_log_stack(call, MW_LOG_INFO);
    Py_XDECREF((PyObject *)call);
    return Py_NewRef(handler);
}

static PyMethodDef intercept_def = {
    "signal", intercept, METH_VARARGS,
    "signal(signalnum, handler) -> handler\n\nThe server keeps its signals: nothing is installed."};

static int restrict_signal(void)
{
    PyObject *module = PyImport_ImportModule("_signal");
    PyObject *real = module ? PyObject_GetAttrString(module, "signal") : NULL;
    PyObject *ours = real ? PyCFunction_New(&intercept_def, real) : NULL;
    int rv = ours ? PyObject_SetAttrString(module, "signal", ours) : -1;

    Py_XDECREF(ours);
    Py_XDECREF(real);
    Py_XDECREF(module);
    return rv;
}

int mw_py_restrict(struct mw_py_state *st, const struct mw_pyopts *o)
{
    if (o->restrict_stdin && restrict_stream(st, "stdin", "WSGIRestrictStdin"))
        return -1;
    if (o->restrict_stdout && restrict_stream(st, "stdout", "WSGIRestrictStdout"))
        return -1;
    return o->restrict_signal ? restrict_signal() : 0;
}
