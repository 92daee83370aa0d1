/*
 * embed.c: the Python runtime of an httpd child. Any thread of the child.
 *
 * Python lives on a thread of its own that starts it, preloads, waits, and stops it: the thread that
 * Python takes for its main thread is then the same from start to end, whatever httpd does with its
 * workers.
 */
#include "embed.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <ap_mpm.h>
#include <ap_release.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

#include "log.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define STOP_BUDGET_MS 5000 /* for atexit functions and threads of Python at child exit */

enum embed_state { EMBED_IDLE, EMBED_STARTING, EMBED_RUNNING, EMBED_FAILED, EMBED_STOPPING };

struct mw_embed {
    apr_pool_t *pool;
    server_rec *server;
    const struct mw_config *config;
    pthread_mutex_t lock; /* held by who changes state */
    pthread_cond_t changed;
    pthread_t thread;
    enum embed_state state;         /* atomic */
    const struct mw_py_runtime *py; /* valid from EMBED_RUNNING */
};

static void set_state(struct mw_embed *e, enum embed_state state)
{
    pthread_mutex_lock(&e->lock);
    __atomic_store_n(&e->state, state, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static void log_line(void *ctx, int level, const char *line, size_t n)
{
    int cut = n > MW_LOG_LINE_MAX ? MW_LOG_LINE_MAX : (int)n;

    ap_log_error(APLOG_MARK, level, 0, (server_rec *)ctx, "%.*s", cut, line);
}

static const struct mw_py_runtime *load(struct mw_embed *e)
{
    const char *why = NULL;
    const char *path = mw_config_runtime(e->pool, "", e->config->python_home.value, &why);
    const struct mw_py_runtime *py = NULL;
    void *so = path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;

    if (so)
        py = dlsym(so, MW_PY_SYMBOL);
    if (!so && path)
        why = dlerror();
    else if (so && (!py || py->abi != MW_PY_ABI))
        why = apr_pstrcat(e->pool, path,
                          " was built for another version of mod_wsgi: build both "
                          "together",
                          NULL);
    if (!why)
        return py;
    ap_log_error(
        APLOG_MARK, APLOG_CRIT, 0, e->server,
        "WSGI0001: the Python runtime cannot be loaded: %s; embedded requests of this child "
        "get 500",
        why);
    return NULL;
}

static int start(struct mw_embed *e)
{
    struct mw_py_config cfg = {.home = e->config->python_home.value,
                               .path = e->config->python_path,
                               .process_group = "",
                               .server_banner = ap_get_server_banner(),
                               .server_built = ap_get_server_built(),
                               .mpm_name = ap_show_mpm(),
                               .log = log_line,
                               .log_ctx = e->server};
    ap_version_t version;
    char why[1024] = "";
    int threads = 1, processes = 1;

    e->py = load(e);
    if (!e->py)
        return MW_ENOENT;
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &processes);
    ap_get_server_revision(&version);
    cfg.opts = e->config->py;
    cfg.threads = threads > 0 ? (unsigned)threads : 1;
    cfg.processes = processes > 0 ? (unsigned)processes : 1;
    cfg.mpm_threads = cfg.threads;
    cfg.mpm_processes = cfg.processes;
    cfg.server_version[0] = (unsigned)version.major;
    cfg.server_version[1] = (unsigned)version.minor;
    cfg.server_version[2] = (unsigned)version.patch;
    if (e->py->start(&cfg, why, sizeof why) == 0)
        return 0;
    ap_log_error(APLOG_MARK, APLOG_CRIT, 0, e->server,
                 "WSGI0001: Python does not start: %s; embedded requests of this child get 500",
                 why);
    return MW_EIO;
}

static void preload(struct mw_embed *e)
{
    const apr_array_header_t *imports = e->config->imports;

    for (int i = 0; i < imports->nelts; i++) {
        const struct mw_import *im = &((const struct mw_import *)imports->elts)[i];
        struct mw_str script = {im->script, strlen(im->script)};
        struct mw_str group = {im->application_group, strlen(im->application_group)};

        if (im->process_group[0] == '\0')
            (void)e->py->preload(script, group, 1, MW_STR("")); /* logs its own failure */
    }
}

/* Under the lock. This thread also sees to it that requests do not take longer than they may. */
static void wait_or_watch(struct mw_embed *e)
{
    struct timespec until;
    uint64_t next;

    if (!e->config->limits_requests) {
        pthread_cond_wait(&e->changed, &e->lock);
        return;
    }
    next = e->py->expire();
    until.tv_sec = (time_t)(next / 1000);
    until.tv_nsec = (long)(next % 1000) * 1000000;
    pthread_cond_timedwait(&e->changed, &e->lock, &until);
}

static void *python_main(void *arg)
{
    struct mw_embed *e = arg;

    if (start(e)) {
        set_state(e, EMBED_FAILED);
        return NULL;
    }
    preload(e);
    set_state(e, EMBED_RUNNING);
    pthread_mutex_lock(&e->lock);
    while (e->state != EMBED_STOPPING)
        wait_or_watch(e);
    pthread_mutex_unlock(&e->lock);
    e->py->stop(STOP_BUDGET_MS, "");
    return NULL;
}

static apr_status_t stop(void *arg)
{
    struct mw_embed *e = arg;
    int was;

    pthread_mutex_lock(&e->lock);
    while (e->state == EMBED_STARTING)
        pthread_cond_wait(&e->changed, &e->lock);
    was = e->state;
    if (was == EMBED_RUNNING) {
        __atomic_store_n(&e->state, EMBED_STOPPING, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (was != EMBED_IDLE)
        pthread_join(e->thread, NULL);
    return APR_SUCCESS;
}

struct mw_embed *mw_embed_create(apr_pool_t *pchild, server_rec *s, const struct mw_config *config)
{
    struct mw_embed *e = apr_pcalloc(pchild, sizeof *e);
    pthread_condattr_t attr;

    apr_pool_create(&e->pool, pchild);
    e->server = s;
    if (config->py.eggs) /* now, while the child has one thread */
        setenv("PYTHON_EGG_CACHE", config->py.eggs, 1);
    e->config = config;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &attr);
    pthread_condattr_destroy(&attr);
    apr_pool_cleanup_register(pchild, e, stop, apr_pool_cleanup_null);
    return e;
}

/* Under the lock. Python's thread must not run httpd's signal handlers. */
static void launch(struct mw_embed *e)
{
    sigset_t all, before;
    int rv;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(&e->thread, NULL, python_main, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    __atomic_store_n(&e->state, rv == 0 ? EMBED_STARTING : EMBED_IDLE, __ATOMIC_RELEASE);
    if (rv)
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, e->server,
                     "WSGI0002: no thread for Python; the next embedded request tries again");
}

const struct mw_py_runtime *mw_embed_runtime(struct mw_embed *e)
{
    const struct mw_py_runtime *py;

    if (__atomic_load_n(&e->state, __ATOMIC_ACQUIRE) == EMBED_RUNNING)
        return e->py; /* nearly always: all threads of the child come here */
    pthread_mutex_lock(&e->lock);
    if (e->state == EMBED_IDLE)
        launch(e);
    while (e->state == EMBED_STARTING)
        pthread_cond_wait(&e->changed, &e->lock);
    py = e->state == EMBED_RUNNING ? e->py : NULL;
    pthread_mutex_unlock(&e->lock);
    return py;
}

int mw_embed_wanted(const struct mw_config *config)
{
    for (int i = 0; i < config->imports->nelts; i++)
        if (((const struct mw_import *)config->imports->elts)[i].process_group[0] == '\0')
            return 1;
    return 0;
}
