/*
 * module.c: the built-in modules `mod_wsgi` and `apache`. Multi-phase: each interpreter executes
 * its own, and everything we keep for that interpreter is mod_wsgi's module state.
 */
#include "module.h"

#include "interp.h"
#include "state.h"
#include "version.h"

/* -- mod_wsgi -- */

/* Takes value. */
static int add(PyObject *module, const char *name, PyObject *value)
{
    int rv = value ? PyModule_AddObjectRef(module, name, value) : -1;

    Py_XDECREF(value);
    return rv;
}

static int add_limits(PyObject *module)
{
    const struct mw_py_config *cfg = mw_py_config();

    return add(module, "maximum_processes", PyLong_FromUnsignedLong(cfg->processes)) ||
           add(module, "threads_per_process", PyLong_FromUnsignedLong(cfg->threads));
}

static int mod_wsgi_exec(PyObject *module)
{
    struct mw_py_state *st = PyModule_GetState(module);

    if (mw_py_state_init(st, module))
        return -1;
    if (add(module, "version", mw_py_version_tuple()) ||
        add(module, "process_group", PyUnicode_DecodeFSDefault(mw_py_config()->process_group)) ||
        add(module, "FileWrapper", Py_NewRef((PyObject *)st->filewrap_type)))
        return -1;
    return add_limits(module) ? -1 : 0;
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

    if (add(module, "version", Py_BuildValue("(III)", v[0], v[1], v[2])) ||
        add(module, "description", PyUnicode_DecodeFSDefault(cfg->server_banner)))
        return -1;
    return add_limits(module) ? -1 : 0;
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

/* importlib.machinery.PathFinder.find_spec("mod_wsgi"): a new reference, None if there is none. */
static PyObject *find_package(void)
{
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *finder = machinery ? PyObject_GetAttrString(machinery, "PathFinder") : NULL;
    PyObject *spec = finder ? PyObject_CallMethod(finder, "find_spec", "s", "mod_wsgi") : NULL;

    Py_XDECREF(finder);
    Py_XDECREF(machinery);
    return spec;
}

/* mod_wsgi.express and the like stay importable from where they are installed. */
static int adopt_package(PyObject *module)
{
    PyObject *spec = find_package();
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

int mw_py_module_rename(PyObject *module, const char *app_group)
{
    return add(module, "application_group", PyUnicode_DecodeFSDefault(app_group));
}

PyObject *mw_py_module_import(const char *app_group)
{
    PyObject *module = PyImport_ImportModule("mod_wsgi");

    if (module && (mw_py_module_rename(module, app_group) || adopt_package(module)))
        Py_CLEAR(module);
    return module;
}
