/*
 * steps.c: the start of a worker, a list of steps: see `steps` below. Called by the main thread, see worker.h,
 * before there is any other but those that a step starts. It must not go on after a step that failed.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "io.h"
#include "limits.h"
#include "log.h"
#include "plugin.h"
#include "service.h"
#include "signalpipe.h"
#include "startup.h"
#include "stderr_log.h"
#include "variables.h"

#define WHY_MAX 1024

typedef int step_fn(struct mw_worker *w, char *why, size_t cap);

static int because(char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "%s: %s", what, strerror(errno));
    return MW_EIO;
}

static int read_identity(struct mw_worker *w, char *why, size_t cap)
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

static int check_descriptors(struct mw_worker *w, char *why, size_t cap)
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

static int read_spec(struct mw_worker *w, char *why, size_t cap)
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

static int open_log(struct mw_worker *w, char *why, size_t cap)
{
    (void)why, (void)cap;
    mw_log_set(mw_stderr_log_line, NULL, (int)w->spec.log_level);
    return 0;
}

static int load_runtime(struct mw_worker *w, char *why, size_t cap)
{
    int rv = mw_plugin_load(&w->runtime, &w->spec, why, cap);

    w->report = (struct mw_report){
        .runtime = w->runtime, .running = &w->running, .incarnation = w->incarnation};
    return rv;
}

static int find_groups(struct mw_worker *w, char *why, size_t cap)
{
    return mw_sandbox_find_groups(&w->sandbox, why, cap);
}

static int set_environment(struct mw_worker *w, char *why, size_t cap)
{
    int rv = mw_sandbox_environment(&w->sandbox, why, cap);

    return rv ? rv : mw_variables_set(&w->spec, why, cap);
}

static int enter_chroot(struct mw_worker *w, char *why, size_t cap)
{
    return mw_sandbox_chroot(&w->sandbox, why, cap);
}

static int drop_privileges(struct mw_worker *w, char *why, size_t cap)
{
    return mw_sandbox_drop(&w->sandbox, why, cap);
}

static int set_limits(struct mw_worker *w, char *why, size_t cap)
{
    (void)why, (void)cap;
    mw_limits_set(&w->spec);
    return 0;
}

static int set_umask(struct mw_worker *w, char *why, size_t cap)
{
    return mw_sandbox_umask(&w->sandbox, why, cap);
}

static int enter_home(struct mw_worker *w, char *why, size_t cap)
{
    return mw_sandbox_enter_home(&w->sandbox, why, cap);
}

static int attach_board(struct mw_worker *w, char *why, size_t cap)
{
    struct mw_slot_info info;
    int rv = mw_board_attach(&w->board, MW_WFD_BOARD);

    if (rv == 0)
        rv = mw_board_slot(w->board, w->slot, &info);
    if (rv)
        snprintf(why, cap, "%s", mw_err_text(rv));
    return rv;
}

static int open_intake(struct mw_worker *w, char *why, size_t cap)
{
    int rv = mw_intake_init(&w->intake);
    return rv ? because(why, cap, "epoll") : 0;
}

/* Whoever takes this process's place must be able to do as much. */
static void script_loaded(void *ctx, const struct mw_py_loaded *script)
{
    struct mw_worker *w = ctx;
    const struct mw_ctl c = {.type = MW_CTL_SCRIPT,
                             .text = {"", 0},
                             .script = script->path,
                             .app_group = script->app_group,
                             .callable = script->callable,
                             .explicit_group = script->explicit_group != 0};

    mw_asks_put_script(&w->asks, &c);
    mw_signalpipe_wake();
}

static int start_python(struct mw_worker *w, char *why, size_t cap)
{
    struct mw_py_config cfg = mw_plugin_config(&w->spec);

    cfg.loaded = script_loaded;
    cfg.loaded_ctx = w;
    return mw_plugin_start(w->runtime, &cfg, why, cap);
}

static int preload(struct mw_worker *w, char *why, size_t cap)
{
    struct mw_startup meanwhile;

    int listens = mw_startup_begin(&meanwhile, w->control, &w->report) == 0;
    int rv = mw_plugin_import(w->runtime, &w->spec, &w->missing, why, cap);

    if (listens)
        mw_startup_end(&meanwhile);
    return rv;
}

static int watch_signals(struct mw_worker *w, char *why, size_t cap)
{
    return mw_signalpipe_open(&w->signal_r, w->runtime, why, cap);
}

static void recycle(void *ctx, const char *why, const char *reason, const struct mw_req *changed)
{
    struct mw_worker *w = ctx;

    mw_asks_put(&w->asks, why, reason, changed);
    mw_signalpipe_wake();
}

static void ask(void *ctx, const char *why, const char *reason)
{
    recycle(ctx, why, reason, NULL);
}

static void leave_now(void *ctx, const char *why, const char *reason)
{
    mw_drain_for(ctx, why, reason);
}

static int start_monitor(struct mw_worker *w, char *why, size_t cap)
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

static int start_threads(struct mw_worker *w, char *why, size_t cap)
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

static int report_ready(struct mw_worker *w, char *why, size_t cap)
{
    char text[64] = "";

    if (w->missing)
        snprintf(text, sizeof text, "%u of %u scripts could not be imported", w->missing,
                 w->spec.npreload);
    w->ready_ms = mw_clock_ms();
    int rv = mw_control_tell(w, MW_CTL_READY, text);
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

int mw_steps_run(struct mw_worker *w)
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
        int told = w->control < 0 ? MW_EIO : mw_control_tell(w, MW_CTL_FAILED, line);
        if (told && told != MW_ECLOSED)
            dprintf(STDERR_FILENO, "wsgi-worker: %s\n", line);
        return MW_EIO;
    }
    return 0;
}
