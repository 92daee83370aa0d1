/*
 * limits.c: see limits.h.
 */
#include "limits.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"

#define CPU_SLACK_S 1   /* from the first SIGXCPU to shutdown-timeout */
#define ALONE_SLACK_S 4 /* without a supervisor: beyond the timeouts, then SIGALRM */

/* Soft and hard at once: an application could raise the soft one alone. */
static void limit_bytes(__rlimit_resource_t what, int64_t bytes, const char *id, const char *option)
{
    const struct rlimit lim = {(rlim_t)bytes, (rlim_t)bytes};

    if (bytes > 0 && setrlimit(what, &lim))
        mw_log(MW_LOG_WARNING, id, "%s=%lld cannot be set: %s; there is no such limit", option,
               (long long)bytes, strerror(errno));
}

/* The soft limit is a signal, at which the process is replaced; the hard one is the end of one that
 * does not leave. */
static void limit_cpu(const struct mw_spec *spec)
{
    rlim_t soft = (rlim_t)(spec->cpu_time_limit_ms / 1000);
    const struct rlimit lim = {soft,
                               soft + CPU_SLACK_S + (rlim_t)(spec->shutdown_timeout_ms / 1000)};

    if (soft > 0 && setrlimit(RLIMIT_CPU, &lim))
        mw_log(MW_LOG_WARNING, "WSGI0076",
               "cpu-time-limit=%llu cannot be set: %s; there is no such limit",
               (unsigned long long)soft, strerror(errno));
}

static void set_priority(const struct mw_spec *spec)
{
    if (spec->cpu_priority && setpriority(PRIO_PROCESS, 0, (int)spec->cpu_priority))
        mw_log(MW_LOG_WARNING, "WSGI0075",
               "cpu-priority=%lld cannot be set: %s; the priority stays httpd's",
               (long long)spec->cpu_priority, strerror(errno));
}

void mw_limits_set(const struct mw_spec *spec)
{
    set_priority(spec);
    limit_cpu(spec);
    limit_bytes(RLIMIT_DATA, spec->memory_limit, "WSGI0077", "memory-limit");
    limit_bytes(RLIMIT_AS, spec->virtual_memory_limit, "WSGI0078", "virtual-memory-limit");
}

void mw_limits_alone(const struct mw_spec *spec)
{
    int64_t ms = spec->graceful_timeout_ms + spec->shutdown_timeout_ms;

    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)(ms / 1000) + ALONE_SLACK_S);
}
