/*
 * service.c: see service.h.
 */
#include "service.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "ctl.h"
#include "io.h"
#include "limits.h"
#include "log.h"

/* The signal goes to the main thread: it has to come out of what it waits for. */
static void tell_to_leave(const struct mw_service *s)
{
    (void)pthread_kill(s->main, SIGTERM);
}

static void leave_alone(const struct mw_service *s)
{
    mw_limits_alone(s->spec);
    tell_to_leave(s);
}

/* False when the supervisor is gone. */
static int read_control(struct mw_service *s)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl;
    int fd = -1;
    ssize_t n = mw_io_recv_msg(s->control, msg, sizeof msg, &fd);

    if (n == MW_ECLOSED || n == MW_EIO)
        return 0;
    if (n > 0 && !mw_ctl_decode(&ctl, msg, (size_t)n)) {
        if (ctl.type == MW_CTL_DRAIN)
            tell_to_leave(s);
        else
            mw_report_answer(s->report, &ctl, &fd);
    }
    mw_io_close(&fd);
    return 1;
}

static void *keep(void *arg)
{
    struct mw_service *s = arg;
    struct pollfd pf[2] = {{.fd = s->control, .events = POLLIN}, {.fd = s->life, .events = POLLIN}};

    (void)pthread_setname_np(pthread_self(), "wsgi-keeper");
    do {
        if (poll(pf, 2, -1) <= 0)
            continue;
    } while (!pf[1].revents && (!pf[0].revents || read_control(s)));
    leave_alone(s);
    return NULL;
}

/* With all signals blocked, so that they go to the main thread. */
static int start_keeper(struct mw_service *s)
{
    sigset_t all, before;
    pthread_t id;

    s->main = pthread_self();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&id, NULL, keep, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        mw_log(MW_LOG_CRIT, "WSGI0764",
               "no thread to listen to the supervisor: %s; the service ends", strerror(rc));
    else
        pthread_detach(id);
    return rc ? MW_EIO : 0;
}

int mw_service_is(const struct mw_spec *spec)
{
    return spec->threads == 0;
}

int mw_service_run(struct mw_service *s)
{
    int rv = start_keeper(s);

    for (uint32_t i = 0; rv == 0 && i < s->spec->npreload; i++) {
        const struct mw_preload *p = &s->spec->preload[i];
        mw_log(MW_LOG_INFO, "WSGI0765", "service script '%s' begins", p->script.p);
        int end = s->runtime->run(p->script, p->app_group);
        if (end == MW_ECLOSED)
            break; /* it wanted the whole process to end */
        rv = end;
    }
    return rv;
}
