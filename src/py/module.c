/*
 * module.c: the built-in modules `mod_wsgi` and `apache`. Multi-phase: each interpreter executes
 * its own, and everything we keep for that interpreter is mod_wsgi's module state.
 */
#include "module.h"

#include "event.h"
#include "interp.h"
#include "loghandler.h"
#include "pyerr.h"
#include "request.h"
#include "state.h"
#include "version.h"

/* Takes value. */
static int add(PyObject *module, const char *name, PyObject *value)
{
    int rv = value ? PyModule_AddObjectRef(module, name, value) : -1;

    Py_XDECREF(value);
    return rv;
}

static int add_number(PyObject *module, const char *name, unsigned value)
{
    return add(module, name, PyLong_FromUnsignedLong(value));
}

/* A text of the configuration, or "". */
static int add_text(PyObject *module, const char *name, const char *value)
{
    return add(module, name, PyUnicode_DecodeFSDefault(value));
}

/* -- functions of mod_wsgi -- */

static PyObject *subscribe(PyObject *module, enum mw_py_topic topic, PyObject *callback)
{
    struct mw_py_state *st = PyModule_GetState(module);

    if (PyList_Append(st->callbacks[topic], callback))
        return NULL;
    return Py_NewRef(callback);
}

static PyObject *subscribe_events(PyObject *module, PyObject *callback)
{
    return subscribe(module, MW_PY_EVENTS, callback);
}

static PyObject *subscribe_shutdown(PyObject *module, PyObject *callback)
{
    return subscribe(module, MW_PY_SHUTDOWN, callback);
}

/* httpd's children have signals of their own. */
static PyObject *subscribe_signals(PyObject *module, PyObject *callback)
{
    if (mw_py_config()->process_group[0] != '\0')
        return subscribe(module, MW_PY_SIGNALS, callback);
    struct mw_py_request *r = mw_py_request_current();
    struct mw_py_call *call = r ? r->call : NULL;
    Py_XINCREF(call);
    mw_py_say(call, MW_LOG_INFO, "WSGI0206",
              "mod_wsgi.subscribe_signals() is ignored: signals reach only the processes of "
              "WSGIDaemonProcess");
    mw_py_log_stack(call, MW_LOG_INFO);
    Py_XDECREF(call);
    return Py_NewRef(callback);
}

static PyObject *request_data(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg))
{
    struct mw_py_request *r = mw_py_request_current();

    if (r)
        return mw_py_request_data(r);
    PyErr_SetString(PyExc_RuntimeError,
                    "request_data() was called by a thread that serves no request");
    return NULL;
}

/* What is made when it is asked for the first time, as a new reference; NULL with an exception. */
static PyObject *make_late(PyObject *module, PyObject *name)
{
    if (PyUnicode_CompareWithASCIIString(name, "LogHandler") == 0)
        return mw_py_loghandler();
    if (PyUnicode_CompareWithASCIIString(name, "active_requests") == 0)
        return mw_py_request_active(PyModule_GetState(module));
    return PyErr_Format(PyExc_AttributeError, "module 'mod_wsgi' has no attribute '%U'", name);
}

/* The module's __getattr__ (PEP 562). */
static PyObject *get_late(PyObject *module, PyObject *name)
{
    PyObject *value = PyUnicode_Check(name) ? make_late(module, name) : NULL;

    if (!value) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "attribute name must be str");
        return NULL;
    }
    /* Two threads may have made one: the first counts. */
    PyObject *kept = PyDict_SetDefault(PyModule_GetDict(module), name, value); /* borrowed */
    Py_XINCREF(kept);
    Py_DECREF(value);
    return kept;
}

static PyMethodDef mod_wsgi_methods[] = {
    {"subscribe_events", subscribe_events, METH_O,
     "subscribe_events(callback) -> callback: call callback(name, **payload) for every event."},
    {"subscribe_shutdown", subscribe_shutdown, METH_O,
     "subscribe_shutdown(callback) -> callback: the same, only for process_stopping."},
    {"subscribe_signals", subscribe_signals, METH_O,
     "subscribe_signals(callback) -> callback: the same, only for process_signal."},
    {"request_data", request_data, METH_NOARGS,
     "request_data() -> dict: a place for what belongs to the request that this thread serves."},
    {"__getattr__", get_late, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* -- mod_wsgi -- */

static int add_callbacks(PyObject *module, struct mw_py_state *st)
{
    static const char *const names[MW_PY_TOPICS] = {
        [MW_PY_EVENTS] = "event_callbacks",
        [MW_PY_SHUTDOWN] = "shutdown_callbacks",
        [MW_PY_SIGNALS] = "signal_callbacks",
    };

    for (int i = 0; i < MW_PY_TOPICS; i++)
        if (add(module, names[i], Py_NewRef(st->callbacks[i])))
            return -1;
    return 0;
}

static int mod_wsgi_exec(PyObject *module)
{
    const struct mw_py_config *cfg = mw_py_config();
    struct mw_py_state *st = PyModule_GetState(module);

    if (mw_py_state_init(st, module))
        return -1;
    if (add(module, "version", mw_py_version_tuple()) ||
        add_text(module, "process_group", cfg->process_group) ||
        add_number(module, "maximum_processes", cfg->processes) ||
        add_number(module, "threads_per_process", cfg->threads) ||
        add(module, "FileWrapper", Py_NewRef((PyObject *)st->filewrap_type)) ||
        add(module, "RequestTimeout", Py_NewRef(st->request_timeout)))
        return -1;
    return add_callbacks(module, st);
}

static int mod_wsgi_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct mw_py_state *st = PyModule_GetState(module);

    return st ? mw_py_state_traverse(st, visit, arg) : 0;
}

static int mod_wsgi_clear(PyObject *module)
{
    struct mw_py_state *st = PyModule_GetState(module);

    if (st)
        mw_py_state_clear(st);
    return 0;
}

static void mod_wsgi_free(void *module)
{
    (void)mod_wsgi_clear(module);
}

#if PY_VERSION_HEX >= 0x030d0000
#define NO_GIL_SLOT {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define NO_GIL_SLOT
#endif
#if PY_VERSION_HEX >= 0x030c0000
#define SLOTS_OF_NEW_VERSIONS \
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED}, NO_GIL_SLOT
#else
#define SLOTS_OF_NEW_VERSIONS
#endif

static PyModuleDef_Slot mod_wsgi_slots[] = {
    {Py_mod_exec, mod_wsgi_exec},
    SLOTS_OF_NEW_VERSIONS{0, NULL},
};

struct PyModuleDef mw_py_module_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "mod_wsgi",
    .m_doc = "What the server tells this process about itself.",
    .m_size = sizeof(struct mw_py_state),
    .m_methods = mod_wsgi_methods,
    .m_slots = mod_wsgi_slots,
    .m_traverse = mod_wsgi_traverse,
    .m_clear = mod_wsgi_clear,
    .m_free = mod_wsgi_free,
};

static PyObject *mod_wsgi_init(void)
{
    return PyModuleDef_Init(&mw_py_module_def);
}

/* -- apache -- */

static int apache_exec(PyObject *module)
{
    const struct mw_py_config *cfg = mw_py_config();
    const unsigned *v = cfg->server_version;

    return add(module, "version", Py_BuildValue("(III)", v[0], v[1], v[2])) ||
                   add_text(module, "description", cfg->server_banner) ||
                   add_text(module, "build_date", cfg->server_built) ||
                   add_text(module, "mpm_name", cfg->mpm_name) ||
                   add_number(module, "maximum_processes", cfg->mpm_processes) ||
                   add_number(module, "threads_per_process", cfg->mpm_threads)
               ? -1
               : 0;
}

static PyModuleDef_Slot apache_slots[] = {
    {Py_mod_exec, apache_exec},
    SLOTS_OF_NEW_VERSIONS{0, NULL},
};

/* CPython writes into it, so it cannot be const. */
static struct PyModuleDef apache_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "apache",
    .m_doc = "What is known of the HTTP server.",
    .m_slots = apache_slots,
};

static PyObject *apache_init(void)
{
    return PyModuleDef_Init(&apache_def);
}

/* -- for the rest of py/ -- */

int mw_py_module_register(void)
{
    return PyImport_AppendInittab("mod_wsgi", mod_wsgi_init) ||
                   PyImport_AppendInittab("apache", apache_init)
               ? -1
               : 0;
}

/* importlib.machinery.PathFinder.find_spec(name): a new reference, None if there is none. */
static PyObject *find_package(const char *name)
{
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *finder = machinery ? PyObject_GetAttrString(machinery, "PathFinder") : NULL;
    PyObject *spec = finder ? PyObject_CallMethod(finder, "find_spec", "s", name) : NULL;

    Py_XDECREF(finder);
    Py_XDECREF(machinery);
    return spec;
}

int mw_py_module_adopt_package(PyObject *module)
{
    PyObject *spec = find_package("mod_wsgi");
    PyObject *places = NULL;
    int rv = spec ? 0 : -1;

    if (spec && spec != Py_None) {
        places = PyObject_GetAttrString(spec, "submodule_search_locations");
        rv = places ? 0 : -1;
    }
    if (places && places != Py_None)
        rv = PyModule_AddObjectRef(module, "__path__", places);
    Py_XDECREF(places);
    Py_XDECREF(spec);
    return rv;
}

/* Execute what the spec found as sys.modules["apache"]. */
static int import_apache(PyObject *spec)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *util = PyImport_ImportModule("importlib.util");
    PyObject *loader = util ? PyObject_GetAttrString(spec, "loader") : NULL;
    PyObject *module = loader ? PyObject_CallMethod(util, "module_from_spec", "O", spec) : NULL;
    PyObject *done = NULL;

    if (module && PyDict_SetItemString(modules, "apache", module) == 0)
        done = PyObject_CallMethod(loader, "exec_module", "O", module);
    int rv = done ? apache_exec(module) : -1;
    Py_XDECREF(done);
    Py_XDECREF(module);
    Py_XDECREF(loader);
    Py_XDECREF(util);
    return rv;
}

int mw_py_module_adopt_apache(void)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *spec;

    if (mw_py_config()->process_group[0] != '\0')
        return 0;
    spec = find_package("apache");
    if (!spec)
        return -1;
    if (spec != Py_None && import_apache(spec)) {
        mw_py_log_exception(NULL, "WSGI0800",
                            "the module 'apache' of sys.path; the server's own is used");
        if (PyMapping_HasKeyString(modules, "apache"))
            (void)PyDict_DelItemString(modules, "apache");
    }
    Py_DECREF(spec);
    return PyErr_Occurred() ? -1 : 0;
}

int mw_py_module_rename(PyObject *module, const char *app_group)
{
    return add_text(module, "application_group", app_group);
}

PyObject *mw_py_module_import(const char *app_group)
{
    PyObject *module = PyImport_ImportModule("mod_wsgi");

    if (module && mw_py_module_rename(module, app_group))
        Py_CLEAR(module);
    return module;
}
