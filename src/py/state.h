/*
 * state.h: everything Python that one interpreter keeps, as the module state of its `mod_wsgi`.
 *
 * One per interpreter, made by module.c when the module is executed, read with that interpreter's
 * GIL held, gone with the interpreter. There is no Python object anywhere else at file scope.
 */
#ifndef MW_PY_STATE_H
#define MW_PY_STATE_H

#include <Python.h>

#include "environ.h"
#include "event.h"

#define MW_NAMES(X)                           \
    X(application_group, "application_group") \
    X(buffer, "buffer")                       \
    X(close, "close")                         \
    X(exc_info, "exc_info")                   \
    X(file, "file")                           \
    X(flush, "flush")                         \
    X(path, "path")                           \
    X(raw, "raw")                             \
    X(read, "read")                           \
    X(readinto, "readinto")                   \
    X(reload_required, "reload_required")     \
    X(tell, "tell")

enum mw_name {
#define X(id, str) MW_N_##id,
    MW_NAMES(X)
#undef X
        MW_N_COUNT
};

/* io.FileIO, io.BufferedReader, io.BufferedRandom. */
enum mw_py_io_type { MW_PY_FILEIO, MW_PY_BUFREADER, MW_PY_BUFRANDOM, MW_PY_IO_TYPES };

struct mw_py_state {
    PyTypeObject *call_type;            /* start.c: start_response */
    PyTypeObject *input_type;           /* input.c: wsgi.input */
    PyTypeObject *errors_type;          /* errors.c: wsgi.errors, sys.stderr, sys.stdout */
    PyTypeObject *bytelog_type;         /* errors.c: their .buffer */
    PyTypeObject *restricted_type;      /* restrict.c: sys.stdin, sys.stdout, when restricted */
    PyTypeObject *filewrap_type;        /* filewrap.c: mod_wsgi.FileWrapper */
    PyObject *io_types[MW_PY_IO_TYPES]; /* filewrap.c: classes of io */
    PyObject *request_timeout;          /* mod_wsgi.RequestTimeout */
    PyObject *name[MW_N_COUNT];         /* interned */
    PyObject *out, *err;           /* sys.stdout, sys.stderr, unless the application changed them */
    PyObject *active;              /* mod_wsgi.active_requests; NULL: nobody asked for it */
    struct mw_py_request *running; /* request.c: the newest request */
    uint64_t next_due;             /* timeout.c: of the requests whose time is not over; atomic */
    int expiring;                  /* timeout.c: a thread is about to look at them; atomic */
    PyObject *callbacks[MW_PY_TOPICS]; /* event.c: lists */
    struct mw_py_environ environ;
};

extern struct PyModuleDef
    mw_py_module_def; /* module.c; constant but for what CPython keeps in it */

/* Borrowed; the state of the interpreter that made this type. Never NULL for our own types. */
static inline struct mw_py_state *mw_py_state_of_type(PyTypeObject *type)
{
    return PyType_GetModuleState(type);
}

int mw_py_state_init(struct mw_py_state *st, PyObject *module); /* 0, or -1 with an exception */
int mw_py_state_traverse(struct mw_py_state *st, visitproc visit, void *arg);
void mw_py_state_clear(struct mw_py_state *st);

#endif
