/*
 * signals.c: see signals.h. The handler writes one byte and does nothing else.
 */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base.h"

/* Written once, before the handler is installed, and when it is not any more. */
static volatile sig_atomic_t signal_fd = -1;

static void on_signal(int sig)
{
    int saved = errno;
    unsigned char byte = (unsigned char)sig;
    (void)!write(signal_fd, &byte, 1);
    errno = saved;
}

void mw_signals_take(int fd)
{
    static const int ours[] = {SIGCHLD, SIGTERM, SIGINT};
    static const int ignored[] = {SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM};
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigset_t none;

    signal_fd = fd;
    for (int s = 1; s < NSIG; s++)
        (void)sigaction(s, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    for (size_t i = 0; i < MW_ARRAY_LEN(ignored); i++)
        (void)sigaction(ignored[i], &sa, NULL);
    sa.sa_handler = on_signal;
    sa.sa_flags = SA_RESTART;
    sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < MW_ARRAY_LEN(ours); i++)
        (void)sigaction(ours[i], &sa, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void mw_signals_leave(void)
{
    struct sigaction sa = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGTERM, &sa, NULL);
    (void)sigaction(SIGINT, &sa, NULL);
    sa.sa_handler = SIG_DFL;
    (void)sigaction(SIGCHLD, &sa, NULL);
    signal_fd = -1;
}
