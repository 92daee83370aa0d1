/*
 * status.c: see status.h.
 */
#include "status.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base.h"

const char *mw_status_signal(int sig)
{
    static const struct {
        int sig;
        const char *name;
    } names[] = {
        {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},
        {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
        {SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
        {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"}, {SIGXCPU, "SIGXCPU"},
        {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},   {SIGSTOP, "SIGSTOP"}, {SIGTSTP, "SIGTSTP"},
        {SIGTTIN, "SIGTTIN"}, {SIGTTOU, "SIGTTOU"}};
    for (size_t i = 0; i < MW_ARRAY_LEN(names); i++) {
        if (names[i].sig == sig)
            return names[i].name;
    }
    return "a signal";
}

void mw_status_text(char *out, size_t cap, int status)
{
    if (WIFEXITED(status)) {
        snprintf(out, cap, "exited with status %d", WEXITSTATUS(status));
    } else if (WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);
        snprintf(out, cap, "was killed by %s (%d)%s", mw_status_signal(sig), sig,
                 WCOREDUMP(status) ? ", core dumped" : "");
    } else {
        snprintf(out, cap, "ended with status 0x%x", (unsigned)status);
    }
}

const char *mw_status_advice(int status)
{
    if (WIFEXITED(status))
        return "; the application, or a library of it, ended the process";
    switch (WIFSIGNALED(status) ? WTERMSIG(status) : 0) {
    case SIGKILL:
        return "; the kernel does that when memory runs out, and to a process over its "
               "cpu-time-limit (memory-soft= replaces a process before)";
    case SIGXCPU:
        return "; it used up its cpu-time-limit while it started";
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
        return "; a crash of Python or of an extension module, whose stacks are above (an extension "
               "may need WSGIApplicationGroup %{GLOBAL}, deep recursion a larger stack-size=)";
    default:
        return "";
    }
}
