/*
 * spawn.c: fork and exec of one worker. What the process inherits is exactly: nothing as its input, the
 * error log as its output, the four descriptors of enum mw_worker_fd, httpd's environment, and its
 * identity in MW_WORKER. Supervisor only.
 *
 * Between fork and exec only this file's code runs, with no other thread in the process.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io.h"

#define ABOVE 64 /* where descriptors are parked while the fixed ones are laid out */

/* The specification as a file of its own, so that no worker can change what the next one reads. */
static int spec_file(const struct mw_spec *spec, int *fd_r)
{
    struct mw_buf b;

    *fd_r = -1;
    mw_buf_init(&b, MW_SPEC_MAX);
    int rv = mw_spec_encode(&b, spec);
    if (rv == 0)
        rv = mw_io_file_of("wsgi-spec", mw_buf_data(&b), mw_buf_size(&b), fd_r);
    mw_buf_fini(&b);
    return rv;
}

/* -- in the new process -- */

static void fail(int control, const struct mw_ctl *who, const char *what, const char *on)
{
    uint8_t msg[MW_CTL_MAX];
    char text[MW_CTL_TEXT_MAX];
    struct mw_ctl ctl = *who;
    int err = errno;

    int len = snprintf(text, sizeof text, "%s %.300s: %s", what, on, strerror(err));
    ctl.type = MW_CTL_FAILED;
    ctl.text.p = text;
    ctl.text.n = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    int n = mw_ctl_encode(msg, &ctl);
    if (n > 0)
        (void)!mw_io_send_msg(control, msg, (size_t)n, -1);
    _exit(127);
}

static void default_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int s = 1; s < NSIG; s++)
        (void)sigaction(s, &dfl, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Park every source above the fixed numbers first, so that none is overwritten before it is used. */
static int lay_out(const int src[], int target[], size_t n)
{
    int parked[16];

    for (size_t i = 0; i < n; i++) {
        parked[i] = fcntl(src[i], F_DUPFD_CLOEXEC, ABOVE);
        if (parked[i] < 0)
            return MW_EIO;
    }
    for (size_t i = 0; i < n; i++) {
        if (dup2(parked[i], target[i]) < 0)
            return MW_EIO;
    }
    mw_io_close_from(MW_WFD_FIRST + MW_WFD_COUNT);
    return 0;
}

static int wait_for_incarnation(int control, uint32_t *out)
{
    int none = -1;
    int rv = mw_io_wait(control, POLLIN, UINT64_MAX);

    if (rv)
        return rv;
    ssize_t n = mw_io_recv_msg(control, out, sizeof *out, &none);
    mw_io_close(&none);
    return n == (ssize_t)sizeof *out ? 0 : MW_ECLOSED;
}

static void set_identity(const struct mw_ctl *who)
{
    char text[64];
    snprintf(text, sizeof text, "%u %u %u", who->group, who->slot, who->incarnation);
    setenv(MW_WORKER_ENV, text, 1);
}

static void become_worker(const struct mw_spawn *s, int control, int spec_fd)
{
    struct mw_ctl who = {.group = (uint16_t)s->group_index, .slot = (uint16_t)s->slot};
    int null_fd;
    int target[] = {0, 1, 2, MW_WFD_CONTROL, MW_WFD_LIFE, MW_WFD_BOARD, MW_WFD_SPEC};
    char title[256];

    default_signals();
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        fail(control, &who, "could not open", "/dev/null");
    int log_fd = s->group->log_fd >= 0 ? s->group->log_fd : null_fd;
    const int src[] = {null_fd, log_fd, log_fd, control, s->life_fd, mw_board_fd(s->group->board),
                       spec_fd};
    if (lay_out(src, target, MW_ARRAY_LEN(src)))
        fail(control, &who, "could not lay out the descriptors of", s->worker_path);
    /* Not before: the supervisor must be able to close its side of a process that got so far. */
    if (wait_for_incarnation(MW_WFD_CONTROL, &who.incarnation))
        _exit(0);
    set_identity(&who);
    if (s->group->spec->display_name)
        snprintf(title, sizeof title, "%s", s->group->spec->display_name);
    else
        snprintf(title, sizeof title, "wsgi-worker (wsgi:%s)", s->group->spec->name);
    execl(s->worker_path, title, (char *)NULL);
    fail(MW_WFD_CONTROL, &who, "could not execute", s->worker_path);
}

/* -- in the supervisor -- */

int mw_spawn(const struct mw_spawn *s, pid_t *pid_r, int *control_r)
{
    int pair[2] = {-1, -1};
    int spec_fd = -1;
    int rv = spec_file(s->spec, &spec_fd);

    if (rv)
        goto out;
    rv = mw_io_socketpair(SOCK_SEQPACKET, pair);
    if (rv)
        goto out;
    rv = mw_io_nonblock(pair[0], 1);
    if (rv)
        goto out;
    /* A signal meant for the new process must not run the supervisor's handler in it. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        become_worker(s, pair[1], spec_fd);
        _exit(127);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        rv = MW_EIO;
        goto out;
    }
    *pid_r = pid;
    *control_r = pair[0];
    pair[0] = -1;
out:
    mw_io_close(&pair[0]);
    mw_io_close(&pair[1]);
    mw_io_close(&spec_fd);
    return rv;
}

int mw_spawn_release(int control, uint32_t incarnation)
{
    return mw_io_send_msg(control, &incarnation, sizeof incarnation, -1);
}
