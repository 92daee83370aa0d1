/*
 * py.h: the facade of a Python runtime plugin, wsgi-python-X.Y.so: one exported table, no
 * PyObject.
 *
 * A process loads at most one runtime, with dlopen(RTLD_NOW | RTLD_GLOBAL) because extension
 * modules need libpython's symbols. start, preload and stop are called by one and the same thread
 * (the worker's main thread; in an httpd child a thread that exists for nothing else), which
 * Python takes as its main thread. serve is called by any thread, many at once. No call is made
 * before a fork.
 */
#ifndef MW_PY_H
#define MW_PY_H

#include "chan.h"
#include "pyopts.h"

#define MW_PY_ABI 5u
#define MW_PY_SYMBOL "mw_py_runtime" /* const struct mw_py_runtime, the plugin's only symbol */

/* Why a worker stops, as applications are told it. */
#define MW_PY_STOP_SIGNAL "shutdown_signal"
#define MW_PY_STOP_GRACEFUL "graceful_signal"
#define MW_PY_STOP_EVICTION "eviction_signal"
#define MW_PY_STOP_RELOAD "script_reload"
#define MW_PY_STOP_CPU "cpu_time_limit"
#define MW_PY_STOP_REQUESTS "maximum_requests"
#define MW_PY_STOP_INTERVAL "restart_interval"
#define MW_PY_STOP_REQUEST "request_timeout"
#define MW_PY_STOP_INACTIVITY "inactivity_timeout"
#define MW_PY_STOP_DEADLOCK "deadlock_timeout"

/* A script that was loaded for the first time, or again. Strings are borrowed for the call. */
struct mw_py_loaded {
    struct mw_str path;
    struct mw_str app_group;
    int explicit_group;     /* it would not get the main interpreter by itself */
    struct mw_str callable; /* that was wanted; "": none */
};

struct mw_py_config {
    const char *home;     /* prefix or virtual environment; NULL: compiled in */
    const char *path;     /* ':'-separated site directories put before the standard path, or NULL */
    const char *cwd_path; /* becomes sys.path[0] (home= of a group), or NULL */
    const char *process_group;  /* "" in embedded mode */
    unsigned threads;           /* mod_wsgi.threads_per_process */
    unsigned processes;         /* mod_wsgi.maximum_processes */
    int service;                /* no requests: the main thread runs programs, and gets signals */
    int run_once;               /* wsgi.run_once: a process for each request */
    int main_alias;             /* the first application group that was not configured explicitly
                                  runs in the main interpreter under its own name (daemons) */
    unsigned server_version[3]; /* httpd's, for apache.version */
    const char *server_banner;  /* for apache.description */
    const char *server_built;   /* for apache.build_date */
    const char *mpm_name;       /* httpd's, as is what follows, also for a worker */
    unsigned mpm_threads, mpm_processes;
    struct mw_pyopts opts; /* eggs is the caller's to put into the environment */
    /* Lines with no request to belong to: warnings at start, background threads. */
    void (*log)(void *ctx, int level, const char *line, size_t n);
    void *log_ctx;
    /* Told of every script that is loaded; NULL: nobody cares. Any thread, without the GIL; must not wait. */
    void (*loaded)(void *ctx, const struct mw_py_loaded *script);
    void *loaded_ctx;
};

struct mw_py_runtime {
    uint32_t abi;        /* MW_PY_ABI */
    const char *version; /* "3.11" */

    /* Start the interpreter. On failure nothing of Python may be called again and why
     * (NUL-terminated) says what is wrong and what to do. cfg is copied where it must outlive the
     * call, but for log_ctx. */
    int (*start)(const struct mw_py_config *cfg, char *why, size_t why_cap);

    /* Import a script as serve would; with a callable that is not empty it must have one of that name. A
     * failure is logged with its traceback; MW_EIO, MW_ENOENT. */
    int (*preload)(struct mw_str script, struct mw_str app_group, int explicit_group,
                   struct mw_str callable);

    /* 1 if the script of this request is loaded, and its file is another one than before or its
     * reload_required() wants it: a daemon then asks for a successor, and serves with what it has. Each
     * state of the file is reported once, and reload_required()'s wish once. 0 otherwise. Takes the
     * GIL only for a script that has a reload_required(). */
    int (*changed)(const struct mw_req *req);

    /* Run a script as a program, on the main thread, with cfg.service. SIGTERM, SIGINT, SIGUSR1 and
     * SIGXCPU raise SystemExit in it unless it handles them itself. 0: it has returned; MW_ECLOSED: it
     * raised SystemExit; MW_EIO: it failed, which is logged. */
    int (*run)(struct mw_str script, struct mw_str app_group);

    /* Run the application for c->req and end the channel on every path. Returns how it ended. */
    enum mw_end (*serve)(struct mw_chan *c);

    /* Tell applications that the process stops and why (MW_PY_STOP_*; "" in embedded mode; NULL: do not
     * tell), run
     * atexit functions and join non-daemon threads, at most budget_ms; flush the standard
     * streams. The interpreter is not finalised; the caller ends the process with _exit or exits
     * as httpd does. */
    void (*stop)(uint64_t budget_ms, const char *reason);

    /* Tell applications that the process got this signal; any thread, does not wait for them. */
    void (*signalled)(int signum);

    /* Raise mod_wsgi.RequestTimeout in every request whose time (mw_req.timeout_ms) is over. Any thread;
     * never waits, what must wait for a GIL has a thread of its own. Returns when to call it again at
     * the latest, ms of the monotonic clock: within a second. */
    uint64_t (*expire)(void);

    /* Take the main interpreter's GIL and give it back: returns if that can still be had. */
    void (*probe)(void);

    /* Write the Python stacks of all threads to fd; async-signal-safe as faulthandler is. */
    void (*dump)(int fd);

    /* The same for ordinary threads: takes each GIL meanwhile, so that no stack changes while it is
     * written, and waits for it. */
    void (*stacks)(int fd);
};

#endif
