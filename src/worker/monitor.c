/*
 * monitor.c: see monitor.h.
 */
#include "monitor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"
#include "log.h"
#include "spread.h"

#define LOOK_MS 1000
#define LOOK_LATE_MS 1250u     /* after the last look: this process was stopped meanwhile */
#define GRACE_MS 5000u         /* of interrupt-timeout=0 */
#define STACKS_WAIT_MS 2000    /* for the probe to write them with the GIL; then without it */
#define STACKS_MAX (256 << 10) /* bytes of them in the log */
#define WHY_MAX 200
#define PATH_MAX_LOGGED 500u

/* -- lines about requests -- */

struct line {
    struct mw_str method, path, id;
    unsigned long long age_s;
};

/* Without the query, which may hold secrets. */
static struct mw_str path_of(struct mw_str uri)
{
    const char *query = memchr(uri.p, '?', uri.n);

    if (query)
        uri.n = (size_t)(query - uri.p);
    if (uri.n > PATH_MAX_LOGGED)
        uri.n = PATH_MAX_LOGGED;
    return uri;
}

static void describe(const struct mw_running_entry *e, struct line *line)
{
    struct mw_cur it = e->req->pairs;
    struct mw_str key, value;

    *line = (struct line){.method = MW_STR("?"),
                          .path = MW_STR("?"),
                          .id = e->req->log_id.n ? e->req->log_id : MW_STR("none"),
                          .age_s = (mw_clock_ms() - e->since_ms) / 1000};
    while (mw_req_next(&it, &key, &value)) {
        if (strcmp(key.p, "REQUEST_METHOD") == 0)
            line->method = value;
        else if (strcmp(key.p, "REQUEST_URI") == 0)
            line->path = path_of(value);
    }
}

static void log_given_up(void *ctx, const struct mw_running_entry *e)
{
    struct line line;

    (void)ctx;
    describe(e, &line);
    mw_log(MW_LOG_ERR, "WSGI0761",
           "request '%.*s %.*s' (id %.*s) has run for %llu s, it may take %u s (request-timeout), "
           "and mod_wsgi.RequestTimeout did not end it; its client gets 504 if it has no answer "
           "yet, its thread is lost until it comes back",
           (int)line.method.n, line.method.p, (int)line.path.n, line.path.p, (int)line.id.n,
           line.id.p, line.age_s, e->req->timeout_ms / 1000);
}

static void log_cut(void *ctx, const struct mw_running_entry *e)
{
    struct line line;

    if (e->lost)
        return;
    describe(e, &line);
    mw_log(MW_LOG_WARNING, "WSGI0762",
           "request '%.*s %.*s' (id %.*s) is cut after %llu s, because its process ends: %s",
           (int)line.method.n, line.method.p, (int)line.path.n, line.path.p, (int)line.id.n,
           line.id.p, line.age_s, *(const char **)ctx);
}

void mw_monitor_log_cut(struct mw_monitor *m, const char *why)
{
    mw_running_each(m->cfg.running, log_cut, &why);
}

/* -- stacks -- */

/* In lines of the log, instead of raw text between others' lines. */
static void log_stacks(void (*write_stacks)(int fd))
{
    char *text = malloc(STACKS_MAX);
    int fd = -1;

    if (!text || mw_io_memfd("stacks", STACKS_MAX, &fd))
        goto out;
    write_stacks(fd); /* NUL bytes follow */
    ssize_t n = pread(fd, text, STACKS_MAX - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line)
            mw_log(MW_LOG_WARNING, NULL, "%s", line);
out:
    mw_io_close(&fd);
    free(text);
}

static void want_stacks(struct mw_monitor *m)
{
    pthread_mutex_lock(&m->lock);
    m->stacks_wanted = 1;
    m->wanted_ms = mw_clock_ms();
    pthread_cond_signal(&m->wanted);
    pthread_mutex_unlock(&m->lock);
}

/* Whether they were wanted; whoever gets that answer writes them. */
static int take_stacks(struct mw_monitor *m)
{
    pthread_mutex_lock(&m->lock);
    int wanted = m->stacks_wanted;
    m->stacks_wanted = 0;
    pthread_mutex_unlock(&m->lock);
    return wanted;
}

/* -- the probe -- */

/* Several times within deadlock-timeout: what was probed must not be that old without being stuck. */
static uint64_t probe_every_ms(const struct mw_monitor *m)
{
    uint64_t often = (uint64_t)m->cfg.spec->deadlock_timeout_ms / 4;

    return often && often < LOOK_MS ? often : LOOK_MS;
}

static void pause_probe(struct mw_monitor *m)
{
    uint64_t ms = probe_every_ms(m);
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&m->lock);
    while (!m->stacks_wanted && pthread_cond_timedwait(&m->wanted, &m->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&m->lock);
}

static void *probe(void *arg)
{
    struct mw_monitor *m = arg;

    (void)pthread_setname_np(pthread_self(), "wsgi-probe");
    for (;;) {
        m->cfg.runtime->probe();
        __atomic_store_n(&m->probed_ms, mw_clock_ms(), __ATOMIC_RELAXED);
        if (take_stacks(m))
            log_stacks(m->cfg.runtime->stacks);
        pause_probe(m);
    }
    return NULL;
}

uint64_t mw_monitor_grace_ms(const struct mw_spec *spec)
{
    return spec->interrupt_timeout_ms > 0 ? (uint64_t)spec->interrupt_timeout_ms : GRACE_MS;
}

int mw_monitor_start(struct mw_monitor *m, const struct mw_monitor_config *cfg)
{
    const struct mw_spec *spec = cfg->spec;
    pthread_condattr_t attr;
    pthread_t id;

    *m = (struct mw_monitor){.cfg = *cfg, .probed_ms = mw_clock_ms()};
    if (spec->maximum_requests)
        m->requests_max = (uint64_t)mw_spread_pick(spec->maximum_requests, cfg->seed);
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wanted, &attr);
    pthread_condattr_destroy(&attr);
    errno = pthread_create(&id, NULL, probe, m);
    if (errno)
        return MW_EIO;
    pthread_detach(id);
    return 0;
}

int mw_monitor_serves_once(const struct mw_spec *spec)
{
    return spec->threads == 1 && spec->maximum_requests == 1;
}

/* -- request threads -- */

static void count_request(struct mw_monitor *m)
{
    char why[WHY_MAX];

    if (__atomic_add_fetch(&m->requests, 1, __ATOMIC_RELAXED) != m->requests_max)
        return;
    snprintf(why, sizeof why, "it has got %llu requests (maximum-requests)",
             (unsigned long long)m->requests_max);
    m->cfg.ask(m->cfg.ctx, why, MW_PY_STOP_REQUESTS);
}

int mw_monitor_begin(struct mw_monitor *m, unsigned thread, struct mw_chan_sock *cs)
{
    mw_running_begin(m->cfg.running, thread, cs);
    if (m->requests_max)
        count_request(m);
    return mw_monitor_serves_once(m->cfg.spec);
}

int mw_monitor_end(struct mw_monitor *m, unsigned thread, uint32_t flags)
{
    /* Before it is over, or the process would seem idle since the last one. */
    if (m->cfg.spec->inactivity_timeout_ms && !(flags & MW_REQ_IGNORE_ACTIVITY))
        __atomic_store_n(&m->active_ms, mw_clock_ms(), __ATOMIC_RELAXED);
    return mw_running_end(m->cfg.running, thread);
}

/* -- the main thread -- */

static void count(void *ctx, const struct mw_running_entry *e)
{
    unsigned *n = ctx;

    *n += !e->lost;
}

unsigned mw_monitor_running(struct mw_monitor *m)
{
    unsigned n = 0;

    mw_running_each(m->cfg.running, count, &n);
    return n;
}

/* Half of the threads are lost. */
static int too_many_lost(const struct mw_monitor *m)
{
    return 2 * mw_running_lost(m->cfg.running) >= m->cfg.running->n;
}

static uint64_t look_at_requests(struct mw_monitor *m, uint64_t now)
{
    unsigned before = mw_running_lost(m->cfg.running);
    uint64_t next = mw_running_give_up(m->cfg.running, now, log_given_up, NULL);
    unsigned lost = mw_running_lost(m->cfg.running);
    char why[WHY_MAX];

    if (lost > before)
        want_stacks(m);
    if (lost > before && too_many_lost(m)) {
        snprintf(why, sizeof why, "%u of its %u threads are lost to requests over their time", lost,
                 m->cfg.running->n);
        m->cfg.leave(m->cfg.ctx, why, MW_PY_STOP_REQUEST);
    }
    return next;
}

static uint64_t last_active(const struct mw_monitor *m)
{
    return __atomic_load_n(&m->active_ms, __ATOMIC_RELAXED);
}

static void look_at_activity(struct mw_monitor *m, uint64_t now)
{
    uint64_t limit = (uint64_t)m->cfg.spec->inactivity_timeout_ms;
    char why[WHY_MAX];

    /* In this order: a request that has just ended is seen as running or by its end. */
    if (!limit || m->inactive || !last_active(m) || mw_monitor_running(m) ||
        now < last_active(m) + limit)
        return;
    m->inactive = 1;
    snprintf(why, sizeof why, "no request for %llu s (inactivity-timeout)",
             (unsigned long long)limit / 1000);
    m->cfg.ask(m->cfg.ctx, why, MW_PY_STOP_INACTIVITY);
}

/* While the whole process is stopped nobody can get the GIL, and nothing is wrong with it. */
static void forgive_a_stop(struct mw_monitor *m, uint64_t now)
{
    if (m->looked_ms && now - m->looked_ms > LOOK_LATE_MS)
        __atomic_store_n(&m->probed_ms, now, __ATOMIC_RELAXED);
    m->looked_ms = now;
}

static void look_at_probe(struct mw_monitor *m, uint64_t now)
{
    forgive_a_stop(m, now);
    uint64_t limit = (uint64_t)m->cfg.spec->deadlock_timeout_ms;
    uint64_t probed = __atomic_load_n(&m->probed_ms, __ATOMIC_RELAXED);
    char why[WHY_MAX];

    if (!limit || now < probed + limit)
        return;
    __atomic_store_n(&m->probed_ms, now, __ATOMIC_RELAXED); /* once more only after as long */
    mw_log(MW_LOG_ERR, "WSGI0763",
           "no thread could get Python's lock (GIL) for %llu s (deadlock-timeout); the process is "
           "replaced; its stacks:",
           (unsigned long long)limit / 1000);
    (void)take_stacks(m);
    log_stacks(m->cfg.runtime->dump);
    snprintf(why, sizeof why, "its Python is stuck (deadlock-timeout)");
    m->cfg.leave(m->cfg.ctx, why, MW_PY_STOP_DEADLOCK);
}

/* The probe could not write them: then without the GIL. */
static void look_at_stacks(struct mw_monitor *m, uint64_t now)
{
    pthread_mutex_lock(&m->lock);
    int late = m->stacks_wanted && now >= m->wanted_ms + STACKS_WAIT_MS;
    pthread_mutex_unlock(&m->lock);
    if (late && take_stacks(m))
        log_stacks(m->cfg.runtime->dump);
}

uint64_t mw_monitor_look(struct mw_monitor *m)
{
    uint64_t now = mw_clock_ms();
    uint64_t next = m->cfg.runtime->expire();
    uint64_t due = look_at_requests(m, now);

    look_at_activity(m, now);
    look_at_probe(m, now);
    look_at_stacks(m, now);
    if (due < next)
        next = due;
    return next < now + LOOK_MS ? next : now + LOOK_MS;
}
