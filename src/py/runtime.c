/*
 * runtime.c: the plugin's one exported table, and the start of Python.
 *
 * Called by the worker and by httpd's children through py.h; start, preload and stop on one thread,
 * serve on any. No failure of Python's start may end the process: it becomes a reason.
 */
#include <Python.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "engine.h"
#include "gil.h"
#include "interp.h"
#include "load.h"
#include "module.h"
#include "options.h"
#include "prefix.h"
#include "py.h"
#include "pyerr.h"
#include "stop.h"
#include "timeout.h"

#ifndef MW_PY_VERSION
#error "MW_PY_VERSION must be defined, as \"3.11\""
#endif
#ifndef MW_PY_EXECUTABLE
#error "MW_PY_EXECUTABLE must be defined: the absolute path of the interpreter built against"
#endif

/* -- start -- */

static int failed(PyStatus st, const char *home, char *why, size_t why_cap)
{
    snprintf(why, why_cap, "Python " MW_PY_VERSION " does not start with %s%s%s: %s%s%s",
             home ? "home '" : "the home it was built for", home ? home : "", home ? "'" : "",
             st.func ? st.func : "", st.func ? ": " : "",
             st.err_msg ? st.err_msg : "unknown error");
    return MW_EIO;
}

/* UTF-8 whatever the locale, unless the environment says otherwise; in httpd's children the
 * process's locale belongs to httpd. */
static PyStatus preinitialize(const struct mw_py_config *cfg)
{
    PyPreConfig pre;

    PyPreConfig_InitPythonConfig(&pre);
    pre.parse_argv = 0;
    pre.coerce_c_locale = 0;
    pre.coerce_c_locale_warn = 0;
    if (!getenv("PYTHONUTF8"))
        pre.utf8_mode = cfg->opts.utf8 != 0;
    if (cfg->process_group[0] == '\0')
        pre.configure_locale = 0;
    return Py_PreInitialize(&pre);
}

static PyStatus set_string(PyConfig *config, wchar_t **field, const char *value)
{
    return *value ? PyConfig_SetBytesString(config, field, value) : PyStatus_Ok();
}

static PyStatus configure(PyConfig *config, const struct mw_py_prefix *prefix)
{
    char *argv[] = {"mod_wsgi"};

    config->parse_argv = 0;
    config->install_signal_handlers = 0;
    config->pathconfig_warnings = 0;
    /* A worker that crashes says where; httpd's own processes are httpd's. */
    config->faulthandler = mw_py_config()->process_group[0] != '\0';
    PyStatus st = PyConfig_SetBytesArgv(config, 1, argv);
    if (!PyStatus_Exception(st))
        st = set_string(config, &config->program_name, prefix->program);
    if (!PyStatus_Exception(st))
        st = set_string(config, &config->home, prefix->home);
    if (!PyStatus_Exception(st))
        st = mw_py_options_configure(config, &mw_py_config()->opts);
    return st;
}

static PyStatus initialize(const struct mw_py_prefix *prefix)
{
    PyConfig config;

    PyConfig_InitPythonConfig(&config);
    PyStatus st = configure(&config, prefix);
    if (!PyStatus_Exception(st))
        st = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return st;
}

static void log_to_config(void *ctx, int level, const char *line)
{
    const struct mw_py_config *cfg = ctx;

    cfg->log(cfg->log_ctx, level, line, strlen(line));
}

/* Python does so too, but only together with handlers that we do not want. */
static void ignore_if_default(int sig)
{
    struct sigaction sa;

    if (sigaction(sig, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_DFL)
        signal(sig, SIG_IGN);
}

/* CPython takes SIGINT for itself as soon as anything imports signal, whatever the configuration
 * says. Let it, and give the signal back: the process and its signals are not Python's. */
static void give_back_sigint(void)
{
    struct sigaction before;
    PyObject *module = NULL;

    if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
        module = PyImport_ImportModule("_signal");
    if (module)
        Py_XDECREF(PyObject_CallMethod(module, "signal", "ii", SIGINT, 0 /* signal.SIG_DFL */));
    Py_XDECREF(module);
    PyErr_Clear();
}

static int runtime_start(const struct mw_py_config *cfg, char *why, size_t why_cap)
{
    struct mw_py_prefix prefix;
    int rv = mw_py_proc_init(cfg);

    if (rv || mw_py_module_register()) {
        snprintf(why, why_cap, "%s", mw_err_text(MW_ENOMEM));
        return MW_ENOMEM;
    }
    cfg = mw_py_config();
    mw_log_set(log_to_config, (void *)cfg, MW_LOG_TRACE1);
    rv = mw_py_prefix_find(&prefix, cfg->home, why, why_cap);
    if (rv)
        return rv;
    ignore_if_default(SIGPIPE);
    ignore_if_default(SIGXFSZ);
    PyStatus st = preinitialize(cfg);
    if (!PyStatus_Exception(st))
        st = initialize(&prefix);
    if (PyStatus_Exception(st))
        return failed(st, cfg->home, why, why_cap);
    give_back_sigint();
    mw_py_options_remark(&cfg->opts);
    mw_py_dump_prepare();
    if (!(cfg->service && mw_py_boot_service()) && mw_py_interp_adopt_main() == 0)
        return 0;
    mw_py_exception_text(why, why_cap);
    return MW_EIO;
}

/* -- the others -- */

static int runtime_run(struct mw_str script, struct mw_str app_group)
{
    struct mw_py_ref ref = {.script = script, .program = 1};
    enum mw_end how = MW_END_FAILED;
    char why[256] = "";
    struct mw_py_interp *in = mw_py_interp_get(app_group, 0, why, sizeof why);

    if (!in || mw_py_enter(in)) {
        mw_log(MW_LOG_ERR, "WSGI0102", "interpreter '%.*s' cannot be made: %s; the service ends",
               (int)app_group.n, app_group.p, in ? mw_err_text(MW_ENOMEM) : why);
        return MW_EIO;
    }
    PyObject *module = mw_py_load(in, &ref, NULL, &how);
    int rv = module ? 0 : how == MW_END_ABORTED ? MW_ECLOSED : MW_EIO;
    Py_XDECREF(module);
    mw_py_leave();
    return rv;
}

static int runtime_preload(struct mw_str script, struct mw_str app_group, int explicit_group,
                           struct mw_str callable)
{
    struct mw_py_ref ref = {.script = script, .callable = callable};
    enum mw_end how = MW_END_FAILED;
    char why[256] = "";
    struct mw_py_interp *in = mw_py_interp_get(app_group, explicit_group, why, sizeof why);

    if (!in || mw_py_enter(in)) {
        mw_log(MW_LOG_ERR, "WSGI0102",
               "interpreter '%.*s' cannot be made: %s; script '%.*s' is not preloaded",
               (int)app_group.n, app_group.p, in ? mw_err_text(MW_ENOMEM) : why, (int)script.n,
               script.p);
        return MW_EIO;
    }
    PyObject *loaded = mw_py_load(in, &ref, NULL, &how);
    int rv = loaded ? 0 : how == MW_END_NO_SCRIPT ? MW_ENOENT : MW_EIO;
    Py_XDECREF(loaded);
    mw_py_leave();
    return rv;
}

static int runtime_changed(const struct mw_req *req)
{
    struct mw_py_interp *in = mw_py_interp_find(req->app_group);

    return in ? mw_py_load_changed(in, req) : 0;
}

static enum mw_end refuse(struct mw_chan *c, const char *why)
{
    char line[512];
    int n = snprintf(line, sizeof line,
                     "WSGI0102: interpreter '%.100s' cannot be made: %.300s; the request fails",
                     c->req->app_group.p, why);

    mw_chan_log(c, MW_MARK(MW_LOG_ERR), line, (size_t)n);
    return mw_chan_end(c, MW_END_FAILED);
}

static enum mw_end runtime_serve(struct mw_chan *c)
{
    const struct mw_req *req = c->req;
    int embedded = mw_py_config()->process_group[0] == '\0';
    char why[256] = "";
    struct mw_py_interp *in = mw_py_interp_get(
        req->app_group, (req->flags & MW_REQ_GROUP_EXPLICIT) != 0, why, sizeof why);

    if (!in)
        return refuse(c, why);
    /* Asked before the GIL is taken: it is a system call, and seldom more. */
    int reload = embedded && req->flags & MW_REQ_RELOAD && mw_py_load_stale(in, req);
    return mw_py_wsgi.serve(in, c, reload);
}

__attribute__((visibility("default"))) extern const struct mw_py_runtime mw_py_runtime;

const struct mw_py_runtime mw_py_runtime = {
    .abi = MW_PY_ABI,
    .version = MW_PY_VERSION,
    .start = runtime_start,
    .preload = runtime_preload,
    .changed = runtime_changed,
    .run = runtime_run,
    .serve = runtime_serve,
    .stop = mw_py_stop,
    .signalled = mw_py_signalled,
    .expire = mw_py_expire,
    .probe = mw_py_probe,
    .dump = mw_py_dump,
    .stacks = mw_py_stacks,
};
