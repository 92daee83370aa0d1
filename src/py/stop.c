/*
 * stop.c: orderly end, signals for applications, and stack dumps.
 *
 * Exit functions and threads of applications can block for ever, so each interpreter is ended by a
 * thread of its own, and the caller waits for them no longer than its budget. Nothing is finalised:
 * threads that are left over go on until the process is gone.
 */
#include "stop.h"

#include <Python.h>
#include <frameobject.h> /* PyFrame_GetBack, up to 3.10 */

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "event.h"
#include "interp.h"
#include "pyerr.h"

/* -- stop -- */

/* Shared by mw_py_stop and its threads; freed by whoever is the last to let go. */
struct ending {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int running; /* threads that have not finished */
    int refs;
    double budget_s;
    char reason[32];
    int told; /* applications know it from an earlier call */
};

struct ender {
    struct ending *ending;
    struct mw_py_interp *in;
};

/* Called with the lock held, which it gives up. */
static void let_go(struct ending *e)
{
    int last = --e->refs == 0;

    pthread_mutex_unlock(&e->lock);
    if (!last)
        return;
    pthread_cond_destroy(&e->done);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static void *end_interp(void *arg)
{
    struct ender *er = arg;
    struct ending *e = er->ending;

    if (mw_py_enter(er->in) == 0) {
        if (!e->told)
            mw_py_event_process_stopping(er->in->st, e->reason);
        mw_py_unboot(er->in->st, e->budget_s);
        mw_py_leave();
    }
    free(er);
    pthread_mutex_lock(&e->lock);
    e->running--;
    pthread_cond_signal(&e->done);
    let_go(e);
    return NULL;
}

/* Under the lock. An interpreter whose thread cannot be made is left as it is. */
static void launch(struct ending *e, struct mw_py_interp *in)
{
    struct ender *er = malloc(sizeof *er);
    pthread_t thread;

    if (!er)
        return;
    *er = (struct ender){e, in};
    e->running++;
    e->refs++;
    if (pthread_create(&thread, NULL, end_interp, er)) {
        e->running--;
        e->refs--;
        free(er);
        return;
    }
    pthread_detach(thread);
}

static struct ending *new_ending(uint64_t budget_ms, const char *reason)
{
    struct ending *e = calloc(1, sizeof *e);
    pthread_condattr_t attr;

    if (!e)
        return NULL;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->done, &attr);
    pthread_condattr_destroy(&attr);
    e->refs = 1;
    /* A part of it is for the exit functions that come after the threads. */
    e->budget_s = (double)budget_ms / 1000 * 0.8;
    snprintf(e->reason, sizeof e->reason, "%s", reason ? reason : "");
    return e;
}

void mw_py_stop(uint64_t budget_ms, const char *reason)
{
    struct ending *e = new_ending(budget_ms, reason);
    struct timespec until;
    int again = mw_py_proc_stopping();

    if (!e)
        return;
    e->told = again || !reason;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(budget_ms / 1000);
    until.tv_nsec += (long)(budget_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&e->lock);
    for (struct mw_py_interp *in = mw_py_interp_first(); in; in = mw_py_interp_next(in))
        launch(e, in);
    while (e->running && pthread_cond_timedwait(&e->done, &e->lock, &until) == 0)
        ;
    int left = e->running;
    let_go(e);
    if (left)
        mw_log(MW_LOG_WARNING, "WSGI0537",
               "%d interpreters did not end within %llu ms: threads or atexit functions of "
               "applications still run; the process ends without them",
               left, (unsigned long long)budget_ms);
}

/* -- signals -- */

static void *tell_signal(void *arg)
{
    pthread_mutex_t *signals = mw_py_proc_signals();
    int signum = (int)(intptr_t)arg;

    pthread_mutex_lock(signals);
    for (struct mw_py_interp *in = mw_py_interp_first(); in; in = mw_py_interp_next(in)) {
        if (mw_py_enter(in))
            continue;
        mw_py_event_process_signal(in->st, signum);
        mw_py_leave();
    }
    pthread_mutex_unlock(signals);
    return NULL;
}

/* On a thread of its own: what applications do about it may take long. */
void mw_py_signalled(int signum)
{
    pthread_t thread;
    int rv = pthread_create(&thread, NULL, tell_signal, (void *)(intptr_t)signum);

    if (rv == 0)
        pthread_detach(thread);
    else
        mw_log(MW_LOG_ERR, "WSGI0207", "no thread to tell applications of signal %d: %s", signum,
               strerror(rv));
}

/* -- dump -- */

/* Some builds of CPython export what faulthandler itself uses, which takes an interpreter. In the
 * others faulthandler is made to listen to a signal and to write to a descriptor of ours, which
 * mw_py_dump points at the caller's; it then knows the main interpreter only. */
#define DUMP_SIGNAL (SIGRTMAX - 6)
#define FRAMES_MAX 200 /* of one thread */
typedef const char *dump_fn(int fd, PyInterpreterState *is, PyThreadState *current);

/* Set once at start; mw_py_dump has no argument for it and runs in signal handlers. */
static struct {
    dump_fn *direct; /* NULL: by signal */
    int fd;          /* what faulthandler writes to; -1: there is no dump */
    int null_fd;     /* what fd is when nobody dumps */
} dump = {.fd = -1, .null_fd = -1};

static int listen_to_signal(int fd)
{
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *rv = NULL;

    if (module)
        rv = PyObject_CallMethod(module, "register", "iiO", DUMP_SIGNAL, fd, Py_True);
    Py_XDECREF(module);
    Py_XDECREF(rv);
    PyErr_Clear();
    return rv ? 0 : -1;
}

void mw_py_dump_prepare(void)
{
    *(void **)&dump.direct = dlsym(RTLD_DEFAULT, "_Py_DumpTracebackThreads");
    if (dump.direct)
        return;
    dump.null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int fd = fcntl(dump.null_fd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && listen_to_signal(fd) == 0)
        dump.fd = fd;
}

static void write_text(int fd, const char *s)
{
    ssize_t n = write(fd, s, strlen(s));

    (void)n; /* there is nobody to tell */
}

static void dump_interp(int fd, const struct mw_py_interp *in)
{
    write_text(fd, "Interpreter '");
    write_text(fd, mw_py_interp_name(in));
    write_text(fd, "':\n");
    (void)dump.direct(fd, in->is, NULL);
}

static void dump_directly(int fd)
{
    for (struct mw_py_interp *in = mw_py_interp_first(); in; in = mw_py_interp_next(in))
        dump_interp(fd, in);
}

/* The signal is delivered before pthread_kill returns, if this thread does not block it. */
static void dump_by_signal(int fd)
{
    sigset_t set, before;

    if (dump.fd < 0 || dup3(fd, dump.fd, O_CLOEXEC) < 0)
        return;
    sigemptyset(&set);
    sigaddset(&set, DUMP_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, &before);
    (void)pthread_kill(pthread_self(), DUMP_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)dup3(dump.null_fd, dump.fd, O_CLOEXEC);
}

/* Only what may be called in a signal handler. */
void mw_py_dump(int fd)
{
    if (dump.direct)
        dump_directly(fd);
    else
        dump_by_signal(fd);
}

/* -- stacks, with the GIL -- */

#ifdef Py_GIL_DISABLED
/* Other threads run on, and what they do to their frames cannot be stopped from here. */
static void walk_interp(int fd, const struct mw_py_interp *in)
{
    if (in == mw_py_interp_first())
        dump_by_signal(fd);
}
#else
static const char *text_of(PyObject *s)
{
    const char *text = s ? PyUnicode_AsUTF8(s) : NULL;

    if (!text)
        PyErr_Clear();
    return text ? text : "?";
}

static void walk_thread(int fd, PyThreadState *ts, const PyThreadState *current)
{
    PyFrameObject *frame = PyThreadState_GetFrame(ts);

    dprintf(fd, "%s 0x%016lx (most recent call first):\n",
            ts == current ? "Current thread" : "Thread", ts->thread_id);
    if (!frame)
        dprintf(fd, "  <no Python frame>\n");
    for (int i = 0; frame && i < FRAMES_MAX; i++) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyFrameObject *back = PyFrame_GetBack(frame);
        dprintf(fd, "  File \"%s\", line %d in %s\n", text_of(code->co_filename),
                PyFrame_GetLineNumber(frame), text_of(code->co_name));
        Py_DECREF(code);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    dprintf(fd, "\n");
}

/* As faulthandler writes it, where that cannot be called for an interpreter. */
static void walk_interp(int fd, const struct mw_py_interp *in)
{
    const PyThreadState *current = PyThreadState_Get();

    dprintf(fd, "Interpreter '%s':\n", mw_py_interp_name(in));
    for (PyThreadState *ts = PyInterpreterState_ThreadHead(in->is); ts; ts = PyThreadState_Next(ts))
        walk_thread(fd, ts, current);
}
#endif

void mw_py_stacks(int fd)
{
    for (struct mw_py_interp *in = mw_py_interp_first(); in; in = mw_py_interp_next(in)) {
        if (mw_py_enter(in))
            continue;
        if (dump.direct)
            dump_interp(fd, in);
        else
            walk_interp(fd, in);
        mw_py_leave();
    }
}
