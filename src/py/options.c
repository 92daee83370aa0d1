/*
 * options.c: see options.h. Called by runtime.c when Python starts and by interp.c when an
 * interpreter is made; one thread at a time.
 */
#include "options.h"

#include <string.h>

#include "pyerr.h"

static PyStatus add_warnings(PyConfig *config, const char *lines)
{
    PyStatus st = PyStatus_Ok();

    while (*lines && !PyStatus_Exception(st)) {
        size_t n = strcspn(lines, "\n");
        char *line = strndup(lines, n);
        wchar_t *wide = line ? Py_DecodeLocale(line, NULL) : NULL;
        st = wide ? PyWideStringList_Append(&config->warnoptions, wide) : PyStatus_NoMemory();
        PyMem_RawFree(wide);
        free(line);
        lines += n + (lines[n] == '\n');
    }
    return st;
}

PyStatus mw_py_options_configure(PyConfig *config, const struct mw_pyopts *o)
{
    config->optimization_level = (int)o->optimize;
    if (o->dont_write_bytecode)
        config->write_bytecode = 0;
    if (o->hash_seed == MW_PYOPTS_SEED_RANDOM) {
        config->use_hash_seed = 0;
    } else if (o->hash_seed != MW_PYOPTS_SEED_UNSET) {
        config->use_hash_seed = 1;
        config->hash_seed = (unsigned long)o->hash_seed;
    }
#ifdef Py_GIL_DISABLED
    config->enable_gil = 1; /* what this runtime keeps is guarded by it */
#endif
    return o->warnings ? add_warnings(config, o->warnings) : PyStatus_Ok();
}

#if PY_VERSION_HEX >= 0x030c0000
static PyThreadState *new_with_gil(const char **why_r)
{
    const PyInterpreterConfig config = {
        .allow_threads = 1,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *ts = NULL;
    PyStatus st = Py_NewInterpreterFromConfig(&ts, &config);

    *why_r = st.err_msg ? st.err_msg : "Py_NewInterpreterFromConfig failed";
    return PyStatus_Exception(st) ? NULL : ts;
}
#endif

PyThreadState *mw_py_options_new_interpreter(const struct mw_pyopts *o, const char **why_r)
{
#if PY_VERSION_HEX >= 0x030c0000
    if (o->own_gil)
        return new_with_gil(why_r);
#endif
    (void)o;
    *why_r = "Py_NewInterpreter failed";
    return Py_NewInterpreter();
}

int mw_py_options_apply(const struct mw_pyopts *o)
{
    PyObject *sys, *rv = NULL;

    if (o->switch_interval_us == 0)
        return 0;
    sys = PyImport_ImportModule("sys");
    if (sys)
        rv = PyObject_CallMethod(sys, "setswitchinterval", "d",
                                 (double)o->switch_interval_us / 1e6);
    Py_XDECREF(sys);
    Py_XDECREF(rv);
    return rv ? 0 : -1;
}

void mw_py_options_remark(const struct mw_pyopts *o)
{
#if PY_VERSION_HEX < 0x030c0000
    if (o->own_gil)
        mw_py_say(NULL, MW_LOG_WARNING, "WSGI0198",
                  "WSGIPerInterpreterGIL On has no effect with Python " MW_PY_VERSION
                  ": it needs 3.12 or later; all interpreters share one GIL");
#endif
#ifdef Py_GIL_DISABLED
    const char *because = "this runtime needs the GIL";
#else
    const char *because = "this Python is no free-threaded build";
#endif
    if (o->free_threading)
        mw_py_say(NULL, MW_LOG_WARNING, "WSGI0200",
                  "WSGIFreeThreading On has no effect with Python " MW_PY_VERSION
                  ": %s; Python runs with its GIL",
                  because);
}
