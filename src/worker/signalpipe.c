/*
 * signalpipe.c: see signalpipe.h. The handler runs on whichever thread the kernel picks: it must do nothing
 * that is not safe there, and nothing at all for a process that the application forked.
 */
#include "signalpipe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

/* Of the signal handler, which has no argument: its pipe, whether the process is leaving already, which
 * process that is, and the runtime that can dump stacks. */
static volatile sig_atomic_t signal_fd = -1;
static volatile sig_atomic_t leaving;
static volatile sig_atomic_t owner;
static const struct mw_py_runtime *volatile dumper;

static void on_signal(int sig)
{
    int saved = errno;
    unsigned char byte = (unsigned char)sig;

    /* The application forked: what that process gets is not for this one. */
    if (getpid() != owner) {
        signal(sig, SIG_DFL);
        raise(sig);
        return;
    }
    /* The second time somebody insists: the main thread may be where no pipe is read. */
    if (leaving && (sig == SIGTERM || sig == SIGINT)) {
        if (dumper)
            dumper->dump(STDERR_FILENO);
        _exit(1);
    }
    (void)!write(signal_fd, &byte, 1);
    errno = saved;
}

static int because(char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "%s: %s", what, strerror(errno));
    return MW_EIO;
}

int mw_signalpipe_open(int *fd_r, const struct mw_py_runtime *runtime, char *why, size_t cap)
{
    static const int ours[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGUSR2, SIGXCPU};
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int p[2];

    if (mw_io_pipe(p) || mw_io_nonblock(p[0], 1) || mw_io_nonblock(p[1], 1))
        return because(why, cap, "pipe");
    *fd_r = p[0];
    signal_fd = p[1];
    owner = getpid();
    dumper = runtime;
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < MW_ARRAY_LEN(ours); i++) {
        if (sigaction(ours[i], &sa, NULL))
            return because(why, cap, "sigaction");
    }
    return 0;
}

void mw_signalpipe_leaving(void)
{
    leaving = 1;
}

void mw_signalpipe_wake(void)
{
    unsigned char byte = MW_SIGNALPIPE_WAKE;
    (void)!write(signal_fd, &byte, 1);
}
