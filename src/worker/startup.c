/*
 * startup.c: see startup.h.
 */
#include "startup.h"

#include <poll.h>

#include "ctl.h"
#include "io.h"

/* One message. False when the supervisor has gone, which the main thread finds out by itself. */
static int answer(struct mw_startup *s)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl;
    int fd = -1;
    ssize_t n = mw_io_recv_msg(s->control, msg, sizeof msg, &fd);

    if (n == MW_ECLOSED || n == MW_EIO)
        return 0;
    if (n > 0 && !mw_ctl_decode(&ctl, msg, (size_t)n))
        mw_report_answer(s->report, &ctl, &fd);
    mw_io_close(&fd);
    return 1;
}

static void *listen_meanwhile(void *arg)
{
    struct mw_startup *s = arg;
    struct pollfd pf[2] = {{.fd = s->stop_r, .events = POLLIN},
                           {.fd = s->control, .events = POLLIN}};

    for (;;) {
        if (poll(pf, 2, -1) < 0)
            continue;
        if (pf[0].revents)
            return NULL;
        if (pf[1].revents && !answer(s))
            pf[1].fd = -1;
    }
}

int mw_startup_begin(struct mw_startup *s, int control, struct mw_report *report)
{
    int p[2];

    *s = (struct mw_startup){.report = report, .control = control, .stop_r = -1, .stop_w = -1};
    if (mw_io_pipe(p))
        return MW_EIO;
    s->stop_r = p[0];
    s->stop_w = p[1];
    if (pthread_create(&s->thread, NULL, listen_meanwhile, s)) {
        mw_io_close(&s->stop_r);
        mw_io_close(&s->stop_w);
        return MW_EIO;
    }
    return 0;
}

void mw_startup_end(struct mw_startup *s)
{
    mw_io_close(&s->stop_w); /* which the thread sees */
    pthread_join(s->thread, NULL);
    mw_io_close(&s->stop_r);
}
