/*
 * interp.c: the interpreters of the process, and one thread state per thread and interpreter.
 *
 * Serving threads belong to httpd or to the worker's pool, not to Python. They come in with
 * mw_py_enter and leave with mw_py_leave. Interpreters are only ever added, so readers need no
 * lock; making one is serialised by `making`, which is taken without the GIL.
 */
#include "interp.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot.h"
#include "clock.h"
#include "gil.h"
#include "module.h"
#include "options.h"
#include "pyerr.h"
#include "restrict.h"
#include "state.h"

#define BODY_MAX (1u << 20) /* bytes of a body that is sent after Python is done */

/* The Python runtime of this process. mw_py_runtime's functions get no handle, and there can be
 * only one CPython in a process, so this is the plugin's one mutable object at file scope. */
static struct {
    struct mw_py_config cfg;   /* deep copy */
    struct mw_py_interp *main; /* NULL until Python is up */
    const char *alias;         /* atomic: the application group that main stands for, or NULL */
    pthread_mutex_t making;    /* held while an interpreter is made or named */
    pthread_key_t thread_key;  /* its destructor sees threads end */
    unsigned threads;          /* atomic: numbers given to threads */
    int stopping;              /* atomic */
    pthread_mutex_t signals;   /* held while applications are told of a signal */
    int forked;                /* set in the child after a fork, where there is one thread */
} proc = {.making = PTHREAD_MUTEX_INITIALIZER, .signals = PTHREAD_MUTEX_INITIALIZER};

/* The calling thread's record, also under proc.thread_key: this is the fast way to it. */
static _Thread_local struct mw_py_thread *self;

/* -- threads -- */

static void thread_ends(void *arg)
{
    struct mw_py_thread *me = arg;

    /* The main interpreter's seat, the first, goes last: PyGILState_* leans on it. */
    while (me->nseats && !__atomic_load_n(&proc.stopping, __ATOMIC_ACQUIRE)) {
        PyThreadState *ts = me->seat[--me->nseats].ts;
        PyEval_RestoreThread(ts);
        PyThreadState_Clear(ts);
        PyThreadState_DeleteCurrent();
    }
    free(me->seat);
    mw_buf_fini(&me->head);
    mw_buf_fini(&me->body);
    free(me);
    self = NULL;
}

struct mw_py_thread *mw_py_thread_peek(void)
{
    return self;
}

struct mw_py_thread *mw_py_thread_self(void)
{
    if (self)
        return self;
    struct mw_py_thread *me = calloc(1, sizeof *me);
    if (!me || pthread_setspecific(proc.thread_key, me)) {
        free(me);
        return NULL;
    }
    mw_buf_init(&me->head, MW_RSP_HEAD_MAX);
    mw_buf_init(&me->body, BODY_MAX);
    me->ident = PyThread_get_thread_ident();
    me->number = __atomic_add_fetch(&proc.threads, 1, __ATOMIC_RELAXED);
    return self = me;
}

/* Room for one more seat. */
static struct mw_py_seat *new_seat(struct mw_py_thread *me)
{
    struct mw_py_seat *seat = realloc(me->seat, (me->nseats + 1) * sizeof *seat);

    if (!seat)
        return NULL;
    me->seat = seat;
    return &seat[me->nseats];
}

static PyThreadState *take_seat(struct mw_py_thread *me, struct mw_py_interp *in)
{
    struct mw_py_seat *seat;

    for (unsigned i = 0; i < me->nseats; i++)
        if (me->seat[i].in == in)
            return me->seat[i].ts;
    /* Up to 3.11 PyGILState_Ensure uses the first state that a thread ever had, and must find the
     * main interpreter's. */
    if (in != proc.main && me->nseats == 0 && !take_seat(me, proc.main))
        return NULL;
    seat = new_seat(me);
    if (!seat || !(seat->ts = PyThreadState_New(in->is)))
        return NULL;
    seat->in = in;
    me->nseats++;
    return seat->ts;
}

static struct mw_py_gate *gate_of(struct mw_py_interp *in)
{
    return proc.cfg.opts.own_gil ? &in->gate : &proc.main->gate;
}

int mw_py_enter(struct mw_py_interp *in)
{
    struct mw_py_thread *me = mw_py_thread_self();
    PyThreadState *ts = me ? take_seat(me, in) : NULL;

    if (!ts)
        return MW_ENOMEM;
    struct mw_py_gate *gate = gate_of(in);
    me->gate = mw_py_gate_enter(gate) ? gate : NULL;
    PyEval_RestoreThread(ts);
    if (me->gate)
        me->entered_ns = mw_clock_ns();
    return 0;
}

void mw_py_leave(void)
{
    PyEval_SaveThread();
    if (self->gate)
        mw_py_gate_leave(self->gate, mw_clock_ns() - self->entered_ns);
}

/* -- finding -- */

static int is_named(const char *name, struct mw_str group)
{
    return strlen(name) == group.n && memcmp(name, group.p, group.n) == 0;
}

static const char *alias(void)
{
    return __atomic_load_n(&proc.alias, __ATOMIC_ACQUIRE);
}

struct mw_py_interp *mw_py_interp_first(void)
{
    return proc.main;
}

struct mw_py_interp *mw_py_interp_next(const struct mw_py_interp *in)
{
    return __atomic_load_n(&in->next, __ATOMIC_ACQUIRE);
}

const char *mw_py_interp_name(const struct mw_py_interp *in)
{
    return in == proc.main && alias() ? alias() : in->name;
}

struct mw_py_interp *mw_py_interp_find(struct mw_str group)
{
    if (group.n == 0 || (alias() && is_named(alias(), group)))
        return proc.main;
    for (struct mw_py_interp *in = proc.main; in; in = mw_py_interp_next(in))
        if (in != proc.main && is_named(in->name, group))
            return in;
    return NULL;
}

/* -- making -- */

/* Fill in what Python objects an interpreter needs; current, GIL held. -1 with an exception. */
static int furnish(struct mw_py_interp *in)
{
    in->is = PyInterpreterState_Get();
    in->module = mw_py_module_import(in->name);
    if (!in->module)
        return -1;
    in->st = PyModule_GetState(in->module);
    if (mw_py_boot(in->st, &proc.cfg) || mw_py_restrict(in->st, &proc.cfg.opts) ||
        mw_py_module_adopt_package(in->module) || mw_py_module_adopt_apache())
        return -1;
    return mw_py_options_apply(&proc.cfg.opts);
}

/* That threads can run on at once, as far as the GIL lets them: without one, nobody waits for it. */
static unsigned processors(void)
{
#ifdef Py_GIL_DISABLED
    return 1;
#elif defined(CPU_COUNT)
    cpu_set_t ours;

    CPU_ZERO(&ours);
    return sched_getaffinity(0, sizeof ours, &ours) ? 2 : (unsigned)CPU_COUNT(&ours);
#else
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 1 ? (unsigned)n : 1;
#endif
}

static struct mw_py_interp *new_interp(struct mw_str name)
{
    struct mw_py_interp *in = calloc(1, sizeof *in);

    if (in && !(in->name = strndup(name.p, name.n))) {
        free(in);
        in = NULL;
    }
    if (in)
        mw_py_gate_init(&in->gate, processors());
    return in;
}

static void free_interp(struct mw_py_interp *in)
{
    if (!in)
        return;
    free((char *)in->name);
    free(in);
}

int mw_py_interp_adopt_main(void)
{
    struct mw_py_thread *me = mw_py_thread_self();
    struct mw_py_interp *in = new_interp(MW_STR(""));
    struct mw_py_seat *seat = me ? new_seat(me) : NULL;

    if (!in || !seat) {
        PyErr_NoMemory();
        free_interp(in);
        return -1;
    }
    /* What goes wrong here is written to stderr as it was, so the caller keeps the GIL. */
    if (furnish(in))
        return -1;
    *seat = (struct mw_py_seat){.in = in, .ts = PyThreadState_Get()};
    me->nseats++;
    proc.main = in;
    PyEval_SaveThread();
    return 0;
}

static void publish(struct mw_py_interp *in)
{
    struct mw_py_interp *last = proc.main;

    while (mw_py_interp_next(last))
        last = mw_py_interp_next(last);
    __atomic_store_n(&last->next, in, __ATOMIC_RELEASE);
}

/* GIL held in the main interpreter before and after. The state that Py_NewInterpreter makes is
 * nobody's seat and stays for ever: threads of httpd come and go, and an interpreter whose last
 * state was deleted cannot take another (CPython 3.11 ends the process then). */
static int make_sub(struct mw_py_interp *in, char *why, size_t why_cap)
{
    PyThreadState *before = PyThreadState_Get();
    const char *failure = NULL;
    PyThreadState *ts = mw_py_options_new_interpreter(&proc.cfg.opts, &failure);

    if (!ts) {
        snprintf(why, why_cap, "%s", failure);
        PyThreadState_Swap(before);
        return MW_ENOMEM;
    }
    if (furnish(in)) {
        mw_py_exception_text(why, why_cap);
        Py_CLEAR(in->module);
        Py_EndInterpreter(ts);
        PyThreadState_Swap(before);
        return MW_EIO;
    }
    PyThreadState_Swap(before);
    return 0;
}

/* Under `making`. */
static struct mw_py_interp *make_locked(struct mw_str group, char *why, size_t why_cap)
{
    struct mw_py_interp *in = new_interp(group);

    if (!in || mw_py_enter(proc.main)) {
        snprintf(why, why_cap, "%s", mw_err_text(MW_ENOMEM));
        free_interp(in);
        return NULL;
    }
    int rv = make_sub(in, why, why_cap);
    mw_py_leave();
    if (rv) {
        free_interp(in);
        return NULL;
    }
    publish(in);
    return in;
}

/* Under `making`. The main interpreter gets its name. */
static struct mw_py_interp *name_main_locked(struct mw_str group, char *why, size_t why_cap)
{
    char *name = strndup(group.p, group.n);

    if (!name || mw_py_enter(proc.main)) {
        snprintf(why, why_cap, "%s", mw_err_text(MW_ENOMEM));
        free(name);
        return NULL;
    }
    if (mw_py_module_rename(proc.main->module, name))
        PyErr_Clear(); /* it keeps its old name for applications that look there */
    mw_py_leave();
    __atomic_store_n(&proc.alias, name, __ATOMIC_RELEASE);
    return proc.main;
}

struct mw_py_interp *mw_py_interp_get(struct mw_str group, int explicit_group, char *why,
                                      size_t why_cap)
{
    struct mw_py_interp *in = mw_py_interp_find(group);

    if (in)
        return in;
    pthread_mutex_lock(&proc.making);
    in = mw_py_interp_find(group);
    if (!in && proc.cfg.main_alias && !explicit_group && !alias())
        in = name_main_locked(group, why, why_cap);
    else if (!in)
        in = make_locked(group, why, why_cap);
    pthread_mutex_unlock(&proc.making);
    return in;
}

/* -- process -- */

static int copy_text(const char **s)
{
    if (!*s)
        return 0;
    *s = strdup(*s);
    return *s ? 0 : MW_ENOMEM;
}

static void note_fork(void)
{
    proc.forked = 1;
}

int mw_py_is_forked(void)
{
    return proc.forked;
}

int mw_py_proc_init(const struct mw_py_config *cfg)
{
    struct mw_py_config *own = &proc.cfg;

    *own = *cfg;
    if (!own->process_group)
        own->process_group = "";
    if (!own->server_banner)
        own->server_banner = "";
    if (!own->server_built)
        own->server_built = "";
    if (!own->mpm_name)
        own->mpm_name = "";
    own->opts.eggs = NULL;
    if (pthread_atfork(NULL, NULL, note_fork))
        return MW_ENOMEM;
    if (copy_text(&own->home) || copy_text(&own->path) || copy_text(&own->cwd_path) ||
        copy_text(&own->process_group) || copy_text(&own->server_banner) ||
        copy_text(&own->server_built) || copy_text(&own->mpm_name) ||
        copy_text(&own->opts.warnings))
        return MW_ENOMEM;
    return pthread_key_create(&proc.thread_key, thread_ends) ? MW_ENOMEM : 0;
}

const struct mw_py_config *mw_py_config(void)
{
    return &proc.cfg;
}

int mw_py_proc_stopping(void)
{
    return __atomic_exchange_n(&proc.stopping, 1, __ATOMIC_ACQ_REL);
}

pthread_mutex_t *mw_py_proc_signals(void)
{
    return &proc.signals;
}
