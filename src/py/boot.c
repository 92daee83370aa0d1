/*
 * boot.c: what every interpreter runs first and last, where Python itself is the clearest way to
 * say it. Called by interp.c when an interpreter is new and by stop.c when the process ends.
 */
#include "boot.h"

#include "errors.h"
#include "interp.h"
#include "py.h"
#include "pyerr.h"
#include "state.h"

/* Site directories go in front, in their order, with what their .pth files add. */
static const char boot_text[] =
    "import sys\n"
    "import threading\n" /* the thread that imports it first is its main thread */
    "if path:\n"
    "    import site\n"
    "    before = list(sys.path)\n"
    "    for name in path.split(':'):\n"
    "        if name:\n"
    "            site.addsitedir(name)\n"
    "    sys.path[:] = [p for p in sys.path if p not in before] + before\n"
    "if cwd:\n"
    "    sys.path.insert(0, cwd)\n"
    "sys.stdout = stdout\n"
    "sys.stderr = stderr\n";

/* Py_Finalize's order: threading's own exit functions (executors stop their threads by them), the
 * threads, atexit. A thread that does not end is left behind; atexit functions run all the same. */
static const char unboot_text[] =
    "import sys, time\n"
    "threading = sys.modules.get('threading')\n"
    "deadline = time.monotonic() + budget\n"
    "if threading:\n"
    "    calls = getattr(threading, '_threading_atexits', [])\n"
    "    while calls:\n"
    "        calls.pop()()\n"
    "    others = threading._DummyThread, threading._MainThread\n" /* not started by Python */
    "    for t in threading.enumerate():\n"
    "        if not t.daemon and not isinstance(t, others):\n"
    "            t.join(max(0, deadline - time.monotonic()))\n";

static const char atexit_text[] = "import sys\n"
                                  "atexit = sys.modules.get('atexit')\n"
                                  "if atexit:\n"
                                  "    atexit._run_exitfuncs()\n";

/* A stream that is restricted, or one of the application's own, may raise. */
static const char flush_text[] = "import sys\n"
                                 "for stream in sys.stdout, sys.stderr:\n"
                                 "    try:\n"
                                 "        stream.flush()\n"
                                 "    except Exception:\n"
                                 "        pass\n";

/* _signal: it is there already, and signal.signal is the application's. */
static const char service_text[] =
    "import _signal\n"
    "def leave(number, frame):\n"
    "    raise SystemExit\n"
    "for number in _signal.SIGTERM, _signal.SIGINT, _signal.SIGUSR1, _signal.SIGXCPU:\n"
    "    _signal.signal(number, leave)\n";

/* Takes value. 0, or -1 with an exception. */
static int bind(PyObject *globals, const char *name, PyObject *value)
{
    int rv = value ? PyDict_SetItemString(globals, name, value) : -1;

    Py_XDECREF(value);
    return rv;
}

static PyObject *path_or_none(const char *s)
{
    return s ? PyUnicode_DecodeFSDefault(s) : Py_NewRef(Py_None);
}

static PyObject *new_globals(void)
{
    PyObject *globals = PyDict_New();

    if (globals && PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()))
        Py_CLEAR(globals);
    return globals;
}

/* 0, or -1 with an exception. */
static int run(const char *text, PyObject *globals)
{
    PyObject *rv = PyRun_String(text, Py_file_input, globals, globals);

    Py_XDECREF(rv);
    return rv ? 0 : -1;
}

int mw_py_boot(struct mw_py_state *st, const struct mw_py_config *cfg)
{
    PyObject *globals = new_globals();
    int rv = -1;

    if (globals && !bind(globals, "path", path_or_none(cfg->path)) &&
        !bind(globals, "cwd", path_or_none(cfg->cwd_path)) &&
        !bind(globals, "stdout", Py_NewRef(st->out)) &&
        !bind(globals, "stderr", Py_NewRef(st->err)))
        rv = run(boot_text, globals);
    Py_XDECREF(globals);
    return rv;
}

int mw_py_boot_service(void)
{
    PyObject *globals = new_globals();
    int rv = globals ? run(service_text, globals) : -1;

    Py_XDECREF(globals);
    return rv;
}

void mw_py_unboot(struct mw_py_state *st, double budget_s)
{
    PyObject *globals = new_globals();
    int wanted = mw_py_config()->opts.destroy_interpreter != 0;

    if (!globals || bind(globals, "budget", PyFloat_FromDouble(budget_s)) ||
        (wanted && run(unboot_text, globals)))
        mw_py_log_exception(NULL, "WSGI0130", "the end of the threads of an interpreter");
    if (!globals || (wanted && run(atexit_text, globals)))
        mw_py_log_exception(NULL, "WSGI0131", "an atexit function; the process ends all the same");
    if (globals && run(flush_text, globals))
        PyErr_Clear();
    mw_py_errors_flush_streams(st);
    Py_XDECREF(globals);
}
