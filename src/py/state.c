/*
 * state.c: makes and drops the Python objects of one interpreter's module state. Called by
 * module.c and by the garbage collector.
 */
#include "state.h"

#include "clock.h"
#include "errors.h"
#include "filewrap.h"
#include "input.h"
#include "restrict.h"
#include "start.h"

static int make_type(PyTypeObject **out, PyObject *module, PyType_Spec *spec)
{
    *out = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *out ? 0 : -1;
}

static int make_names(struct mw_py_state *st)
{
    static const char *const text[] = {
#define X(id, str) str,
        MW_NAMES(X)
#undef X
    };

    for (int i = 0; i < MW_N_COUNT; i++)
        if (!(st->name[i] = PyUnicode_InternFromString(text[i])))
            return -1;
    return 0;
}

static int find_io_types(struct mw_py_state *st)
{
    static const char *const names[] = {"FileIO", "BufferedReader", "BufferedRandom"};
    PyObject *io = PyImport_ImportModule("io");

    for (int i = 0; io && i < MW_PY_IO_TYPES; i++)
        if (!(st->io_types[i] = PyObject_GetAttrString(io, names[i])))
            Py_CLEAR(io);
    Py_XDECREF(io);
    return io ? 0 : -1;
}

static int make_objects(struct mw_py_state *st)
{
    st->out = (PyObject *)mw_py_errors_create(st, NULL, "<stdout>");
    st->err = (PyObject *)mw_py_errors_create(st, NULL, "<stderr>");
    st->request_timeout = PyErr_NewExceptionWithDoc(
        "mod_wsgi.RequestTimeout", "The server has given up waiting for this request.",
        PyExc_BaseException, NULL);
    for (int i = 0; i < MW_PY_TOPICS; i++)
        if (!(st->callbacks[i] = PyList_New(0)))
            return -1;
    return st->out && st->err && st->request_timeout ? 0 : -1;
}

int mw_py_state_init(struct mw_py_state *st, PyObject *module)
{
    st->next_due = MW_NO_DEADLINE;
    if (make_names(st) || make_type(&st->call_type, module, &mw_py_call_spec) ||
        make_type(&st->input_type, module, &mw_py_input_spec) ||
        make_type(&st->errors_type, module, &mw_py_errors_spec) ||
        make_type(&st->bytelog_type, module, &mw_py_bytelog_spec) ||
        make_type(&st->restricted_type, module, &mw_py_restricted_spec) ||
        make_type(&st->filewrap_type, module, &mw_py_filewrap_spec))
        return -1;
    if (find_io_types(st) || make_objects(st))
        return -1;
    return mw_py_environ_init(&st->environ, (PyObject *)st->filewrap_type);
}

int mw_py_state_traverse(struct mw_py_state *st, visitproc visit, void *arg)
{
    Py_VISIT(st->call_type);
    Py_VISIT(st->input_type);
    Py_VISIT(st->errors_type);
    Py_VISIT(st->bytelog_type);
    Py_VISIT(st->restricted_type);
    Py_VISIT(st->filewrap_type);
    for (int i = 0; i < MW_PY_IO_TYPES; i++)
        Py_VISIT(st->io_types[i]);
    Py_VISIT(st->request_timeout);
    Py_VISIT(st->out);
    Py_VISIT(st->err);
    Py_VISIT(st->active);
    for (int i = 0; i < MW_PY_TOPICS; i++)
        Py_VISIT(st->callbacks[i]);
    return mw_py_environ_traverse(&st->environ, visit, arg);
}

void mw_py_state_clear(struct mw_py_state *st)
{
    Py_CLEAR(st->call_type);
    Py_CLEAR(st->input_type);
    Py_CLEAR(st->errors_type);
    Py_CLEAR(st->bytelog_type);
    Py_CLEAR(st->restricted_type);
    Py_CLEAR(st->filewrap_type);
    for (int i = 0; i < MW_PY_IO_TYPES; i++)
        Py_CLEAR(st->io_types[i]);
    Py_CLEAR(st->request_timeout);
    Py_CLEAR(st->out);
    Py_CLEAR(st->err);
    Py_CLEAR(st->active);
    for (int i = 0; i < MW_PY_TOPICS; i++)
        Py_CLEAR(st->callbacks[i]);
    for (int i = 0; i < MW_N_COUNT; i++)
        Py_CLEAR(st->name[i]);
    mw_py_environ_clear(&st->environ);
}
