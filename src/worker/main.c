/*
 * main.c: wsgi-worker, one process of a daemon group. Executed by the supervisor with the descriptors of
 * enum mw_worker_fd and its identity in MW_WORKER; not meant to be called by people.
 *
 * Start-up is the list of steps below: the first that fails ends the process, and the supervisor logs
 * which one it was and why. Then the main thread waits for connections and for the end, the threads of
 * pool.c do the work. The main thread is Python's main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asks.h"
#include "board.h"
#include "clock.h"
#include "ctl.h"
#include "intake.h"
#include "io.h"
#include "limits.h"
#include "log.h"
#include "monitor.h"
#include "plugin.h"
#include "pool.h"
#include "py.h"
#include "report.h"
#include "sandbox.h"
#include "service.h"
#include "signalpipe.h"
#include "spec.h"
#include "spread.h"
#include "startup.h"
#include "stderr_log.h"
#include "variables.h"

#define SOCKET_TIMEOUT_MS 300000 /* if the specification leaves it to httpd, whose own is shorter */
#define LEAVE_CHECK_MS 20        /* how often a draining worker looks whether it may leave */
#define CLAIM_LINGER_MS 500      /* how long a claim without any connection keeps it from leaving */
#define ALONE_SLACK_S 4          /* without a supervisor: beyond the timeouts, then SIGALRM */
#define MESSAGES_AT_ONCE 64
#define WHY_MAX 1024

struct worker {
    unsigned group, slot;
    uint32_t incarnation;
    struct mw_buf spec_bytes; /* spec borrows them */
    struct mw_spec spec;
    struct mw_sandbox sandbox;
    const struct mw_py_runtime *runtime;
    struct mw_board *board;
    struct mw_intake intake;
    struct mw_running running;
    struct mw_monitor monitor;
    struct mw_pool pool;
    struct mw_report report;
    int signal_r;
    int control; /* -1: closed */
    int life;    /* -1: at its end */

    unsigned missing; /* scripts that could not be preloaded */
    struct mw_asks asks;
    const char *asked; /* MW_PY_STOP_*, why it last asked to be replaced; NULL: it did not */

    uint64_t ready_ms;    /* since when it serves */
    uint64_t drain_since; /* 0: serves */
    uint64_t drain_until;
    const char *reason; /* MW_PY_STOP_*; set with drain_since */
};

typedef int step_fn(struct worker *w, char *why, size_t cap);

/* -- talking to the supervisor -- */

/* What type, text and script say, with this process's identity. */
static int send_ctl(struct worker *w, const struct mw_ctl *what)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl = *what;

    ctl.group = (uint16_t)w->group;
    ctl.slot = (uint16_t)w->slot;
    ctl.incarnation = w->incarnation;
    int n = mw_ctl_encode(msg, &ctl);
    return n < 0 ? n : mw_io_send_msg(w->control, msg, (size_t)n, -1);
}

static int tell(struct worker *w, uint8_t type, const char *text)
{
    size_t n = strlen(text);
    struct mw_ctl ctl = {.type = type, .text = {text, n < MW_CTL_TEXT_MAX ? n : MW_CTL_TEXT_MAX}};

    return send_ctl(w, &ctl);
}

/* -- start-up, one function per step -- */

static int because(char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "%s: %s", what, strerror(errno));
    return MW_EIO;
}

static int read_identity(struct worker *w, char *why, size_t cap)
{
    const char *text = getenv(MW_WORKER_ENV);
    int used = 0;

    if (!text || sscanf(text, "%u %u %u%n", &w->group, &w->slot, &w->incarnation, &used) != 3 ||
        text[used] != '\0') {
        snprintf(why, cap, "%s is not set: only the module's supervisor starts this program",
                 MW_WORKER_ENV);
        return MW_EINVAL;
    }
    unsetenv(MW_WORKER_ENV);
    return 0;
}

static int is_kind(int fd, mode_t kind)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

static int check_descriptors(struct worker *w, char *why, size_t cap)
{
    int type = 0;
    socklen_t n = sizeof type;

    if (getsockopt(MW_WFD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &n) || type != SOCK_SEQPACKET ||
        !is_kind(MW_WFD_LIFE, S_IFIFO) || !is_kind(MW_WFD_BOARD, S_IFREG) ||
        !is_kind(MW_WFD_SPEC, S_IFREG)) {
        snprintf(why, cap, "descriptors %d to %d are not what the supervisor passes", MW_WFD_FIRST,
                 MW_WFD_FIRST + MW_WFD_COUNT - 1);
        return MW_EINVAL;
    }
    for (int fd = MW_WFD_FIRST; fd < MW_WFD_FIRST + MW_WFD_COUNT; fd++) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC))
            return because(why, cap, "close-on-exec");
    }
    mw_io_close_from(MW_WFD_FIRST + MW_WFD_COUNT);
    w->control = MW_WFD_CONTROL;
    w->life = MW_WFD_LIFE;
    return 0;
}

static int read_spec(struct worker *w, char *why, size_t cap)
{
    int fd = MW_WFD_SPEC;
    int rv = 0;

    mw_buf_init(&w->spec_bytes, MW_SPEC_MAX);
    for (;;) {
        uint8_t *to = mw_buf_reserve(&w->spec_bytes, 4096);
        if (!to) {
            rv = w->spec_bytes.err;
            break;
        }
        ssize_t n = pread(fd, to, 4096, (off_t)mw_buf_size(&w->spec_bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return because(why, cap, "read");
        if (n == 0)
            break;
        mw_buf_commit(&w->spec_bytes, (size_t)n);
    }
    mw_io_close(&fd);
    if (rv == 0)
        rv = mw_spec_decode(&w->spec, mw_buf_data(&w->spec_bytes), mw_buf_size(&w->spec_bytes));
    if (rv)
        snprintf(why, cap, "it cannot be read: %s", mw_err_text(rv));
    w->sandbox.spec = &w->spec;
    return rv;
}

static int open_log(struct worker *w, char *why, size_t cap)
{
    (void)why, (void)cap;
    mw_log_set(mw_stderr_log_line, NULL, (int)w->spec.log_level);
    return 0;
}

static int load_runtime(struct worker *w, char *why, size_t cap)
{
    return mw_plugin_load(&w->runtime, &w->spec, why, cap);
}

static int find_groups(struct worker *w, char *why, size_t cap)
{
    return mw_sandbox_find_groups(&w->sandbox, why, cap);
}

static int set_environment(struct worker *w, char *why, size_t cap)
{
    int rv = mw_sandbox_environment(&w->sandbox, why, cap);

    return rv ? rv : mw_variables_set(&w->spec, why, cap);
}

static int enter_chroot(struct worker *w, char *why, size_t cap)
{
    return mw_sandbox_chroot(&w->sandbox, why, cap);
}

static int drop_privileges(struct worker *w, char *why, size_t cap)
{
    return mw_sandbox_drop(&w->sandbox, why, cap);
}

static int set_limits(struct worker *w, char *why, size_t cap)
{
    (void)why, (void)cap;
    mw_limits_set(&w->spec);
    return 0;
}

static int set_umask(struct worker *w, char *why, size_t cap)
{
    return mw_sandbox_umask(&w->sandbox, why, cap);
}

static int enter_home(struct worker *w, char *why, size_t cap)
{
    return mw_sandbox_enter_home(&w->sandbox, why, cap);
}

static int attach_board(struct worker *w, char *why, size_t cap)
{
    struct mw_slot_info info;
    int rv = mw_board_attach(&w->board, MW_WFD_BOARD);

    if (rv == 0)
        rv = mw_board_slot(w->board, w->slot, &info);
    if (rv)
        snprintf(why, cap, "%s", mw_err_text(rv));
    return rv;
}

static int open_intake(struct worker *w, char *why, size_t cap)
{
    int rv = mw_intake_init(&w->intake);
    return rv ? because(why, cap, "epoll") : 0;
}

/* Whoever takes this process's place must be able to do as much. */
static void script_loaded(void *ctx, const struct mw_py_loaded *script)
{
    struct worker *w = ctx;
    const struct mw_ctl c = {.type = MW_CTL_SCRIPT,
                             .text = {"", 0},
                             .script = script->path,
                             .app_group = script->app_group,
                             .callable = script->callable,
                             .explicit_group = script->explicit_group != 0};

    mw_asks_put_script(&w->asks, &c);
    mw_signalpipe_wake();
}

static int start_python(struct worker *w, char *why, size_t cap)
{
    struct mw_py_config cfg = mw_plugin_config(&w->spec);

    cfg.loaded = script_loaded;
    cfg.loaded_ctx = w;
    return mw_plugin_start(w->runtime, &cfg, why, cap);
}

static int preload(struct worker *w, char *why, size_t cap)
{
    struct mw_startup meanwhile;

    w->report = (struct mw_report){
        .runtime = w->runtime, .running = &w->running, .incarnation = w->incarnation};
    int listens = mw_startup_begin(&meanwhile, w->control, &w->report) == 0;
    int rv = mw_plugin_import(w->runtime, &w->spec, &w->missing, why, cap);

    if (listens)
        mw_startup_end(&meanwhile);
    return rv;
}

static int watch_signals(struct worker *w, char *why, size_t cap)
{
    return mw_signalpipe_open(&w->signal_r, w->runtime, why, cap);
}

static void recycle(void *ctx, const char *why, const char *reason, const struct mw_req *changed)
{
    struct worker *w = ctx;

    mw_asks_put(&w->asks, why, reason, changed);
    mw_signalpipe_wake();
}

static void ask(void *ctx, const char *why, const char *reason)
{
    recycle(ctx, why, reason, NULL);
}

static void drain_and_tell(struct worker *w, const char *why, int64_t limit_ms, const char *reason);

/* No request can finish, no exit function run. */
static int is_stuck(const char *reason)
{
    return strcmp(reason, MW_PY_STOP_DEADLOCK) == 0;
}

static void leave_now(void *ctx, const char *why, const char *reason)
{
    struct worker *w = ctx;
    drain_and_tell(w, why, is_stuck(reason) ? 0 : w->spec.graceful_timeout_ms, reason);
}

static int start_monitor(struct worker *w, char *why, size_t cap)
{
    struct mw_monitor_config cfg = {.spec = &w->spec,
                                    .runtime = w->runtime,
                                    .running = &w->running,
                                    .seed = (uint64_t)w->incarnation << 16 | w->slot,
                                    .ask = ask,
                                    .leave = leave_now,
                                    .ctx = w};

    int rv = mw_running_init(&w->running, (unsigned)w->spec.threads, mw_monitor_grace_ms(&w->spec));
    if (rv) {
        snprintf(why, cap, "%s", mw_err_text(rv));
        return rv;
    }
    return mw_monitor_start(&w->monitor, &cfg) ? because(why, cap, "pthread_create") : 0;
}

static int start_threads(struct worker *w, char *why, size_t cap)
{
    struct mw_pool_config cfg = {.runtime = w->runtime,
                                 .intake = &w->intake,
                                 .monitor = &w->monitor,
                                 .board = w->board,
                                 .slot = w->slot,
                                 .threads = (unsigned)w->spec.threads,
                                 .stack_size = (size_t)w->spec.stack_size,
                                 .recycle = recycle,
                                 .ctx = w};

    if (mw_pool_start(&w->pool, &cfg))
        return because(why, cap, "pthread_create");
    return 0;
}

static int report_ready(struct worker *w, char *why, size_t cap)
{
    char text[64] = "";

    if (w->missing)
        snprintf(text, sizeof text, "%u of %u scripts could not be imported", w->missing,
                 w->spec.npreload);
    w->ready_ms = mw_clock_ms();
    int rv = tell(w, MW_CTL_READY, text);
    if (rv)
        snprintf(why, cap, "the supervisor does not listen: %s", mw_err_text(rv));
    return rv;
}

/* Up to "drop privileges" the process may be root; after it nothing is done with more rights than the
 * application has. Not a line of Python runs before. */
static const struct {
    const char *name;
    step_fn *fn;
} steps[] = {
    {"read the identity", read_identity},
    {"check the descriptors", check_descriptors},
    {"read the specification", read_spec},
    {"open the log", open_log},
    {"attach the board", attach_board},
    {"load the Python runtime", load_runtime},
    {"set the environment", set_environment},
    {"find the user's groups", find_groups},
    {"set the limits", set_limits},
    {"enter the chroot", enter_chroot},
    {"drop privileges", drop_privileges},
    {"set the umask", set_umask},
    {"enter the working directory", enter_home},
    {"open the intake", open_intake},
    {"start Python", start_python},
    {"preload scripts", preload},
    {"watch signals", watch_signals},
    {"start the monitor", start_monitor},
    {"start threads", start_threads},
    {"report ready", report_ready},
};

/* Of a service its scripts are the program, so it is ready before they run, and nothing serves. */
static int is_for_service(step_fn *fn)
{
    return fn != preload && fn != watch_signals && fn != start_monitor && fn != start_threads;
}

static int start_up(struct worker *w)
{
    char why[WHY_MAX], line[WHY_MAX + 64];

    for (size_t i = 0; i < MW_ARRAY_LEN(steps); i++) {
        why[0] = '\0';
        if (mw_service_is(&w->spec) && !is_for_service(steps[i].fn))
            continue;
        if (steps[i].fn(w, why, sizeof why) == 0)
            continue;
        snprintf(line, sizeof line, "could not %s: %s", steps[i].name, why);
        /* Where the supervisor has gone, nobody needs to know. */
        int told = w->control < 0 ? MW_EIO : tell(w, MW_CTL_FAILED, line);
        if (told && told != MW_ECLOSED)
            dprintf(STDERR_FILENO, "wsgi-worker: %s\n", line);
        return MW_EIO;
    }
    return 0;
}

/* -- serving -- */

static void drain(struct worker *w, int64_t limit_ms, const char *reason)
{
    if (w->drain_since)
        return;
    w->reason = reason;
    w->drain_since = mw_clock_ms();
    if (!w->drain_since)
        w->drain_since = 1;
    w->drain_until = mw_clock_deadline((uint64_t)limit_ms);
    mw_signalpipe_leaving();
    mw_board_draining(w->board, w->slot);
}

/* Nobody is left who would insist: the kernel has to. */
static void drain_alone(struct worker *w)
{
    int64_t ms = w->spec.graceful_timeout_ms + w->spec.shutdown_timeout_ms;

    mw_io_close(&w->life);
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)(ms / 1000) + ALONE_SLACK_S);
    drain(w, w->spec.graceful_timeout_ms, MW_PY_STOP_SIGNAL);
}

/* By this process's own decision, which cannot wait for a successor: another one is to be put in its
 * place. */
static void drain_and_tell(struct worker *w, const char *why, int64_t limit_ms, const char *reason)
{
    if (w->drain_since)
        return;
    if (w->control >= 0)
        (void)!tell(w, MW_CTL_LEAVING, why);
    drain(w, limit_ms, reason);
}

/* Pass on what has been asked for; what the supervisor cannot take now stays. */
static void tell_asks(struct worker *w)
{
    struct mw_ask *k;

    while ((k = mw_asks_peek(&w->asks))) {
        if (!w->drain_since && w->control >= 0 && send_ctl(w, &k->ctl) == MW_EAGAIN)
            return;
        if (k->reason)
            w->asked = k->reason;
        mw_asks_drop(&w->asks);
    }
}

/* The supervisor has not been asked. It may be because of restart-interval=, of which each process has its
 * own: its pid and incarnation are the seed, there as here. */
static const char *reason_of_age(const struct worker *w)
{
    uint64_t seed = (uint64_t)getpid() << 32 | w->incarnation;
    int64_t age = mw_spread_pick(w->spec.restart_interval_ms, seed);

    return age && mw_clock_ms() - w->ready_ms >= (uint64_t)age ? MW_PY_STOP_INTERVAL
                                                               : MW_PY_STOP_GRACEFUL;
}

/* The supervisor wants it to leave. */
static void drain_as_told(struct worker *w)
{
    const char *reason = w->asked ? w->asked : reason_of_age(w);
    int64_t ms = w->spec.graceful_timeout_ms;

    if (strcmp(reason, MW_PY_STOP_EVICTION) == 0)
        ms = w->spec.eviction_timeout_ms;
    drain(w, ms, reason);
}

static int drains_on_board(const struct worker *w)
{
    struct mw_slot_info info;

    return mw_board_slot(w->board, w->slot, &info) == 0 && info.state == MW_SLOT_DRAINING;
}

static void serve(struct worker *w, int fd)
{
    const struct mw_hello hello = {.version = MW_WIRE_VERSION,
                                   .pid = (uint32_t)getpid(),
                                   .incarnation = w->incarnation,
                                   .data_max = MW_FRAME_DATA_MAX};
    int64_t timeout = w->spec.socket_timeout_ms > 0 ? w->spec.socket_timeout_ms : SOCKET_TIMEOUT_MS;
    int rv = mw_intake_add(&w->intake, fd, timeout, w->board, w->slot, &hello);

    if (rv && rv != MW_ECLOSED) /* which is the ordinary end of a child */
        mw_log(MW_LOG_ERR, "WSGI0579", "a connection from an httpd child was refused: %s",
               mw_err_text(rv));
}

/* One message; false when there is none now. */
static int read_control(struct worker *w)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl;
    int fd = -1;
    ssize_t n = mw_io_recv_msg(w->control, msg, sizeof msg, &fd);

    if (n == MW_EAGAIN)
        return 0;
    if (n == MW_ECLOSED || n == MW_EIO) { /* the life pipe says the same */
        mw_io_close(&w->control);
        drain_alone(w);
        return 0;
    }
    if (n == MW_EPROTO) /* the supervisor sends what is right: the kernel has cut it */
        mw_log(
            MW_LOG_ERR, "WSGI0579",
            "a connection from an httpd child was lost: this process may have no more open files "
            "(ulimit -n)");
    if (n > 0 && !mw_ctl_decode(&ctl, msg, (size_t)n)) {
        if (ctl.type == MW_CTL_SERVE && fd >= 0) {
            serve(w, fd);
            fd = -1;
        } else if (ctl.type == MW_CTL_DRAIN) {
            drain_as_told(w);
        } else if (ctl.type == MW_CTL_REPORT && fd >= 0) {
            mw_report_requests(&w->report, fd);
            fd = -1;
        } else if (ctl.type == MW_CTL_STACKS && fd >= 0) {
            mw_report_stacks(&w->report, fd);
            fd = -1;
        }
    }
    mw_io_close(&fd);
    return 1;
}

/* From an operator; or from the supervisor, whose message did not get through, after it has told the
 * board. */
static void on_sigusr1(struct worker *w)
{
    if (drains_on_board(w))
        drain_as_told(w);
    else
        mw_asks_put(&w->asks, "it got SIGUSR1",
                    w->spec.eviction_timeout_ms > 0 ? MW_PY_STOP_EVICTION : MW_PY_STOP_GRACEFUL,
                    NULL);
}

static void take_signal(struct worker *w, int sig)
{
    switch (sig) {
    case MW_SIGNALPIPE_WAKE:
        break;
    case SIGHUP:
    case SIGUSR2:
        w->runtime->signalled(sig);
        break;
    case SIGUSR1:
        on_sigusr1(w);
        break;
    case SIGXCPU:
        mw_asks_put(&w->asks, "it has used up its cpu-time-limit", MW_PY_STOP_CPU, NULL);
        break;
    default:
        drain_and_tell(w, "it was told to end by a signal", w->spec.shutdown_timeout_ms,
                       MW_PY_STOP_SIGNAL);
    }
}

static void read_signals(struct worker *w)
{
    unsigned char bytes[64];
    ssize_t n = read(w->signal_r, bytes, sizeof bytes);

    for (ssize_t i = 0; i < n; i++)
        take_signal(w, bytes[i]);
    tell_asks(w);
}

/* A claim on this worker is a request that is on its way. Without any connection it is one whose owner
 * is gone, or whose connection comes very soon. */
static int may_leave(struct worker *w)
{
    struct mw_slot_info info;
    uint64_t now = mw_clock_ms();

    if (now >= w->drain_until)
        return 1;
    if (mw_monitor_running(&w->monitor) > 0)
        return 0;
    if (mw_board_slot(w->board, w->slot, &info) || info.claimed == 0)
        return 1;
    if (w->life < 0 && mw_intake_conns(&w->intake) == 0)
        return 1;
    return mw_intake_conns(&w->intake) == 0 && now - w->drain_since >= CLAIM_LINGER_MS;
}

static void work(struct worker *w)
{
    struct pollfd pf[3];

    while (!w->drain_since || !may_leave(w)) {
        pf[0] = (struct pollfd){.fd = w->signal_r, .events = POLLIN};
        pf[1] = (struct pollfd){.fd = w->control, .events = POLLIN};
        if (mw_asks_peek(&w->asks))
            pf[1].events |= POLLOUT;
        pf[2] = (struct pollfd){.fd = w->life, .events = POLLIN};
        uint64_t next = mw_monitor_look(&w->monitor);
        int wait_ms = mw_clock_poll_ms(next);
        if (poll(pf, 3, w->drain_since && wait_ms > LEAVE_CHECK_MS ? LEAVE_CHECK_MS : wait_ms) <= 0)
            continue;
        if (pf[0].revents)
            read_signals(w);
        if (pf[1].revents & POLLOUT)
            tell_asks(w);
        for (int i = 0; pf[1].revents && i < MESSAGES_AT_ONCE && w->control >= 0; i++) {
            if (!read_control(w))
                break;
        }
        if (pf[2].revents && w->life >= 0)
            drain_alone(w);
    }
}

static void leave(struct worker *w)
{
    unsigned running = mw_monitor_running(&w->monitor);

    if (running) {
        mw_log(MW_LOG_WARNING, "WSGI0580",
               "%u request%s still running after the time to finish; cut when the process ends",
               running, running == 1 ? " is" : "s are");
        mw_monitor_log_cut(&w->monitor, w->reason);
    }
    mw_intake_stop(&w->intake);
    if (!is_stuck(w->reason))
        w->runtime->stop((uint64_t)w->spec.shutdown_timeout_ms, w->reason);
}

static int run_service(struct worker *w)
{
    w->report = (struct mw_report){
        .runtime = w->runtime, .running = &w->running, .incarnation = w->incarnation};
    struct mw_service service = {.spec = &w->spec,
                                 .runtime = w->runtime,
                                 .report = &w->report,
                                 .control = w->control,
                                 .life = w->life};
    int rv = mw_service_run(&service);

    w->runtime->stop((uint64_t)w->spec.shutdown_timeout_ms, NULL);
    return rv ? 1 : 0;
}

int main(void)
{
    struct worker w = {
        .signal_r = -1, .control = -1, .life = -1, .asks.lock = PTHREAD_MUTEX_INITIALIZER};

    signal(SIGPIPE, SIG_IGN);
    if (start_up(&w))
        _exit(1); /* Python may run: no destructor here either */
    if (mw_service_is(&w.spec))
        _exit(run_service(&w));
    work(&w);
    leave(&w);
    /* No destructor, no finaliser: what must be flushed has been. */
    _exit(0);
}
