/*
 * generation.c: generations and their supervisors, in the httpd parent's one thread.
 *
 * What belongs to a generation lives in a pool of its own, not the configuration's: the parent unloads
 * its part of a configuration at a graceful restart while the old supervisor and the old children still
 * work. Their supervisor may die then as at any time and be started again, so the generation has its own
 * copies of the groups' specifications and of the descriptors of their logs. Two things tell the supervisor that it is over: end of file on the life pipe,
 * whose write end the parent (until its configuration is cleared) and every child hold, and SIGTERM
 * when httpd stops. The module is linked with -z nodelete, so that the functions registered here stay
 * when httpd unloads it between two configurations.
 */
#include "generation.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>

#include "aplog.h"
#include "clock.h"
#include "ctlsock.h"
#include "io.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define RETAINED_KEY "mod_wsgi-generations"
#define STEADY_MS 5000     /* a supervisor that lived this long has not failed quickly */
#define FREE_DEATHS 3      /* quick deaths in a row that are followed by a start at once */
#define STOP_GRACE_MS 4000 /* beyond the groups' own limits, when httpd stops */
#define SPARE_MEMBERS 8
#define NESTED_CLAIMS 10 /* httpd's own limit of requests within requests */
#define STOP_POLL_US 5000

/* A group's specification and log, whatever becomes of the configuration's. */
struct own {
    struct mw_buf bytes;
    struct mw_spec spec; /* borrows bytes */
};

struct mw_generation {
    struct mw_generation *next; /* older ones that still live */
    apr_pool_t *pool;
    pid_t owner;        /* the httpd parent */
    server_rec *server; /* main server; NULL when the configuration is gone */
    const char *worker_path;
    struct mw_super_group *groups;
    struct own *own; /* what groups point to */
    unsigned ngroups;
    int handover[2]; /* [0]: children, [1]: supervisor */
    int life[2];     /* [0]: supervisor, [1]: parent and children */
    int control;     /* listens for operators: supervisor; -1: none */
    apr_proc_t proc; /* of the supervisor; pid 0: none */
    uint64_t started_ms;
    unsigned quick_deaths;  /* of supervisors, in a row */
    uint64_t stop_limit_ms; /* how long its groups may take to end */
};

/* Survives the module's own reload at a restart. */
struct retained {
    struct mw_generation *first;
};

static struct retained *retained(void)
{
    struct retained *r = ap_retained_data_get(RETAINED_KEY);

    return r ? r : ap_retained_data_create(RETAINED_KEY, sizeof *r);
}

/* Whose log is written to: that of the configuration, or of the one after it. */
static const server_rec *server_of(const struct mw_generation *g)
{
    return g->server ? g->server : ap_server_conf;
}

/* -- making -- */

static unsigned members(unsigned *cells_r)
{
    int daemons = 1, threads = 1;
    unsigned n, cells;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    /* A child that finishes its last requests lives on beside its successor in the same place of the
     * scoreboard. */
    n = 2 * (daemons < 1 ? 1 : (unsigned)daemons) + SPARE_MEMBERS;
    if (n > MW_BOARD_MEMBERS_MAX)
        n = MW_BOARD_MEMBERS_MAX;
    /* A thread holds one claim, and one more for each answer within an answer (mod_include); mod_http2
     * runs requests on threads of its own. */
    cells = threads <= 1 ? 1 + NESTED_CLAIMS : 2 * (unsigned)threads + 32;
    if (cells > MW_BOARD_CELLS_MAX / n)
        cells = MW_BOARD_CELLS_MAX / n;
    *cells_r = cells;
    return n;
}

/* The descriptor of a server's error log; standard error where it has none. */
static int log_of(const server_rec *s)
{
    apr_os_file_t fd = STDERR_FILENO;

    if (s && s->error_log)
        apr_os_file_get(&fd, s->error_log);
    return fd;
}

static int copy_spec(struct own *own, const struct mw_spec *spec)
{
    int rv;

    mw_buf_init(&own->bytes, MW_SPEC_MAX);
    rv = mw_spec_encode(&own->bytes, spec);
    if (rv == 0)
        rv = mw_spec_decode(&own->spec, mw_buf_data(&own->bytes), mw_buf_size(&own->bytes));
    return rv;
}

static int make_group(struct mw_super_group *out, struct own *own, const struct mw_group *g)
{
    struct mw_board_size size = {.threads = g->spec.threads ? (unsigned)g->spec.threads : 1};
    int rv = copy_spec(own, &g->spec);

    if (rv)
        return rv;

    /* Twice the processes: a successor starts in a free slot while the old process drains. */
    size.slots = 2 * mw_spec_processes(&g->spec);
    size.members = members(&size.cells);
    if (g->spec.queue_max <= MW_BOARD_CELLS_MAX) /* more cannot wait in any case */
        size.queue = (unsigned)g->spec.queue_max;
    out->spec = &own->spec;
    out->log_fd = fcntl(log_of(g->server), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return out->log_fd < 0 ? MW_EIO : mw_board_create(&out->board, &size);
}

static void close_pipes(struct mw_generation *g)
{
    for (int i = 0; i < 2; i++) {
        mw_io_close(&g->handover[i]);
        mw_io_close(&g->life[i]);
    }
    mw_io_close(&g->control);
}

static apr_status_t release(void *arg)
{
    struct mw_generation *g = arg;

    for (unsigned i = 0; i < g->ngroups; i++) {
        mw_board_destroy(&g->groups[i].board);
        mw_io_close(&g->groups[i].log_fd);
        mw_spec_fini(&g->own[i].spec);
        mw_buf_fini(&g->own[i].bytes);
    }
    g->ngroups = 0;
    close_pipes(g);
    return APR_SUCCESS;
}

static struct mw_generation *allocate(server_rec *s, unsigned ngroups)
{
    apr_pool_t *pool;
    struct mw_generation *g;

    /* Not below the process's pool: at exit that would be gone before the configuration's is cleared. */
    apr_pool_create(&pool, NULL);
    g = apr_pcalloc(pool, sizeof *g);
    g->pool = pool;
    g->owner = getpid();
    g->server = s;
    g->groups = apr_pcalloc(pool, ngroups * sizeof *g->groups);
    g->own = apr_pcalloc(pool, ngroups * sizeof *g->own);
    g->handover[0] = g->handover[1] = g->life[0] = g->life[1] = g->control = -1;
    apr_pool_cleanup_register(pool, g, release, apr_pool_cleanup_null);
    return g;
}

static int fill(struct mw_generation *g, const struct mw_config *config)
{
    int rv = mw_io_socketpair(SOCK_SEQPACKET, g->handover);

    if (rv == 0)
        rv = mw_io_pipe(g->life);
    for (int i = 0; rv == 0 && i < config->groups->nelts; i++) {
        const struct mw_group *group = ((struct mw_group **)config->groups->elts)[i];
        uint64_t limit = 2 * (uint64_t)group->spec.shutdown_timeout_ms;

        g->groups[i].log_fd = -1;
        g->ngroups++;
        rv = make_group(&g->groups[i], &g->own[i], group);
        if (limit > g->stop_limit_ms)
            g->stop_limit_ms = limit;
    }
    return rv;
}

/* -- the supervisor's process -- */

void mw_generation_leave_others(const struct mw_generation *g)
{
    for (struct mw_generation *other = retained()->first; other; other = other->next)
        if (other != g && other->owner != getpid())
            (void)release(other);
}

/* Close everything httpd has open (listening sockets, other modules' pipes) but what the supervisor needs. */
static void keep_only_ours(const struct mw_generation *g)
{
    int *keep = apr_palloc(g->pool, (2 * g->ngroups + 4) * sizeof *keep);
    unsigned n = 0;

    keep[n++] = g->handover[1];
    keep[n++] = g->life[0];
    keep[n++] = g->control;
    keep[n++] = log_of(server_of(g));
    for (unsigned i = 0; i < g->ngroups; i++) {
        keep[n++] = mw_board_fd(g->groups[i].board);
        keep[n++] = g->groups[i].log_fd;
    }
    closelog(); /* the C library opens it again when it needs it */
    mw_io_close_but(STDERR_FILENO + 1, keep, n);
}

/* Never returns. Not httpd's exit: its pools and cleanups belong to the parent. */
static void supervise(const struct mw_generation *g) __attribute__((noreturn));
static void supervise(const struct mw_generation *g)
{
    struct mw_super_config cfg = {.groups = g->groups,
                                  .ngroups = g->ngroups,
                                  .handover_fd = g->handover[1],
                                  .life_fd = g->life[0],
                                  .control_fd = g->control,
                                  .worker_path = g->worker_path};
    int status;

    setsid(); /* a terminal's Ctrl-C is for httpd, and httpd signals its process group */
    prctl(PR_SET_NAME, "wsgi-supervisor");
    mw_generation_leave_others(g);
    keep_only_ours(g);
    status = mw_super_run(&cfg);
    mw_ctlsock_remove_orphan();
    _exit(status);
}

static void on_supervisor(int reason, void *data, int status);

static int start_supervisor(struct mw_generation *g)
{
    apr_status_t rv = apr_proc_fork(&g->proc, g->pool);

    if (rv == APR_INCHILD)
        supervise(g);
    if (rv != APR_INPARENT) {
        g->proc.pid = 0;
        ap_log_error(APLOG_MARK, APLOG_CRIT, errno, server_of(g),
                     "WSGI0654: the supervisor of the daemon processes cannot be forked");
        return MW_EIO;
    }
    g->started_ms = mw_clock_ms();
    apr_proc_other_child_register(&g->proc, on_supervisor, g, NULL, g->pool);
    return 0;
}

static void forget(struct mw_generation *g)
{
    struct mw_generation **p = &retained()->first;

    while (*p && *p != g)
        p = &(*p)->next;
    if (*p)
        *p = g->next;
    apr_pool_destroy(g->pool);
}

/* True between the end of the MPM's main loop and the next configuration, or the exit. */
static int httpd_is_between(void)
{
    int state = AP_MPMQ_RUNNING;

    ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    return state == AP_MPMQ_STOPPING;
}

/* Whether to start another at once, and one more on the count. */
static int may_start_now(struct mw_generation *g)
{
    if (mw_clock_ms() - g->started_ms >= STEADY_MS)
        g->quick_deaths = 0;
    return g->quick_deaths++ < FREE_DEATHS;
}

/* An old generation has ended: nobody is left who could ask for a worker. */
static void close_boards(struct mw_generation *g)
{
    for (unsigned i = 0; i < g->ngroups; i++)
        mw_board_close(g->groups[i].board);
}

/* httpd's word of the supervisor's end (apr_proc_other_child_register). One of an old generation that did
 * not end by itself has left children without workers: it is started again, too. */
static void on_supervisor(int reason, void *data, int status)
{
    struct mw_generation *g = data;
    int now;

    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST)
        return; /* a restart or our own unregistering: the life pipe tells it all it must know */
    apr_proc_other_child_unregister(g);
    g->proc.pid = 0;
    if (!g->server && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        close_boards(g);
        forget(g);
        return;
    }
    if (httpd_is_between())
        return; /* mw_generation_monitor, with the next configuration */
    now = may_start_now(g);
    ap_log_error(
        APLOG_MARK, APLOG_ERR, 0, server_of(g),
        "WSGI0655: the supervisor of the daemon processes ended (%s %d); it is started again "
        "%s",
        WIFSIGNALED(status) ? "signal" : "status",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
        now ? "now" : "in some seconds");
    if (now)
        (void)start_supervisor(g);
}

/* -- the configuration's end -- */

/* Wait for the supervisor within its groups' limits, then kill it: its workers see that and end too. */
static void await_end(struct mw_generation *g)
{
    uint64_t deadline = mw_clock_deadline(g->stop_limit_ms + STOP_GRACE_MS);
    pid_t pid = g->proc.pid;
    int status;

    apr_proc_other_child_unregister(g);
    g->proc.pid = 0;
    kill(pid, SIGTERM);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (mw_clock_ms() >= deadline) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return;
        }
        usleep(STOP_POLL_US);
    }
}

/* The configuration is cleared. When httpd stops, nothing is left behind: generations before this one
 * are waited for too. */
static apr_status_t retire(void *arg)
{
    struct mw_generation *g = arg;
    int exiting = ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING;

    if (g->owner != getpid())
        return APR_SUCCESS; /* some other process that httpd forked clears its copy */
    /* The other ends are kept for a supervisor that must be started again. */
    mw_io_close(&g->handover[0]);
    mw_io_close(&g->life[1]);
    mw_io_close(&g->control); /* the path leads to the next generation */
    g->server = NULL;
    while (exiting && retained()->first) {
        g = retained()->first;
        if (g->proc.pid > 0)
            await_end(g);
        forget(g);
    }
    return APR_SUCCESS;
}

/* Until httpd has handlers for its signals, each of them kills it. One that comes between the socket in the
 * file system and the supervisor, who would remove it, has to wait. */
static int open_and_start(struct mw_generation *g, apr_pool_t *pconf,
                          const struct mw_config *config)
{
    sigset_t all, before;
    int rv;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    rv = mw_ctlsock_open(g->pool, g->server, config, &g->control);
    if (rv) {
        apr_pool_destroy(g->pool);
    } else {
        g->next = retained()->first;
        retained()->first = g;
        apr_pool_cleanup_register(pconf, g, retire, apr_pool_cleanup_null);
        rv = start_supervisor(g);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return rv;
}

struct mw_generation *mw_generation_create(apr_pool_t *pconf, server_rec *s,
                                           const struct mw_config *config)
{
    struct mw_generation *g = allocate(s, (unsigned)config->groups->nelts);
    int rv;

    g->worker_path = mw_config_beside(g->pool, "wsgi-worker");
    rv = fill(g, config);
    if (rv) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv == MW_EIO ? errno : 0, s,
                     "WSGI0012: the daemon groups cannot be set up: %s", mw_err_text(rv));
        apr_pool_destroy(g->pool);
        return NULL;
    }
    return open_and_start(g, pconf, config) ? NULL : g;
}

void mw_generation_settle(pid_t pid)
{
    for (struct mw_generation *g = retained()->first; g; g = g->next)
        for (unsigned i = 0; i < g->ngroups; i++)
            mw_board_settle(g->groups[i].board, pid);
}

void mw_generation_monitor(void)
{
    for (struct mw_generation *g = retained()->first; g; g = g->next)
        if (g->proc.pid == 0)
            (void)start_supervisor(g);
}

unsigned mw_generation_groups(const struct mw_generation *g)
{
    return g->ngroups;
}

struct mw_board *mw_generation_board(const struct mw_generation *g, unsigned group)
{
    return g->groups[group].board;
}

int mw_generation_enter_child(struct mw_generation *g)
{
    mw_io_close(&g->handover[1]);
    mw_io_close(&g->life[0]);
    mw_io_close(&g->control);
    return g->handover[0];
}
