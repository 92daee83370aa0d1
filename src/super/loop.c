/*
 * loop.c: the supervisor's one loop: it waits for signals, for the end of the generation, for httpd's
 * children, for workers and for time, and tells fleet.c.
 *
 * It must never wait anywhere but in its poll, never trust what it reads, and never stop because of
 * something a child or a worker did.
 */
#include "super.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "console.h"
#include "fleet.h"
#include "io.h"
#include "log.h"
#include "signals.h"
#include "status.h"

#define HANDOVERS_AT_ONCE 64     /* messages of httpd's children per turn of the loop */
#define MESSAGES_AT_ONCE 4       /* of one worker per turn */
#define COMPLAINTS_EVERY_MS 1000 /* at most one line about bad messages in this time */

#define POLL_AGAIN_MS 50 /* after a poll that failed */

enum { P_SIGNAL, P_LIFE, P_HANDOVER, P_CONSOLE, P_FIXED = P_CONSOLE + MW_CONSOLE_POLLS };

struct supervisor {
    const struct mw_super_config *cfg;
    struct mw_fleet fleet;
    struct mw_console console;
    struct pollfd *pf; /* P_FIXED, then one per worker that can be heard */
    size_t *heard;     /* of the latter: index of the worker */
    size_t nheard;
    int signal_r, signal_w;
    int life_r, life_w;       /* the workers': they see its end when this process is gone */
    int handover_fd, life_fd; /* cfg's; -1 once at their end */
    uint64_t complained_at;   /* last line about a bad handover message */
    unsigned unsaid;          /* such messages since */
};

/* -- what comes in -- */

static void reap(struct supervisor *s)
{
    int status;

    for (;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return;
        struct mw_child *ch = mw_child_find(&s->fleet.cs, pid);
        if (ch && (WIFSTOPPED(status) || WIFCONTINUED(status)))
            mw_fleet_stopped(&s->fleet, ch, status);
        else if (ch)
            mw_fleet_exited(&s->fleet, ch, status);
    }
}

/* One message. False when there is nothing more to read now. */
static int read_worker(struct supervisor *s, struct mw_child *ch)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl;
    int pass = -1;
    ssize_t n = mw_io_recv_msg(ch->control, msg, sizeof msg, &pass);

    if (n == MW_EAGAIN)
        return 0;
    if (n == MW_ECLOSED || n == MW_EIO) {
        mw_fleet_hung_up(&s->fleet, ch);
        return 0;
    }
    int bad = n < 0 || pass >= 0 || mw_ctl_decode(&ctl, msg, (size_t)n);
    mw_io_close_given(&pass);
    mw_fleet_message(&s->fleet, ch, bad ? NULL : &ctl);
    return !bad && ch->control >= 0;
}

static void worker_event(struct supervisor *s, struct mw_child *ch, short revents)
{
    if (revents & POLLOUT)
        mw_handover_flush(ch);
    if (!(revents & (POLLIN | POLLHUP | POLLERR)))
        return;
    for (int i = 0; i < MESSAGES_AT_ONCE && ch->control >= 0; i++) {
        if (!read_worker(s, ch))
            return;
    }
}

static void complain(struct supervisor *s, const char *why)
{
    uint64_t now = mw_clock_ms();

    if (s->complained_at && now - s->complained_at < COMPLAINTS_EVERY_MS) {
        s->unsaid++;
        return;
    }
    mw_log(
        MW_LOG_WARNING, "WSGI0568",
        "a message of an httpd child was refused and its connection closed: %s (%u more since the "
        "last such line)",
        why, s->unsaid);
    s->complained_at = now;
    s->unsaid = 0;
}

static void handover_event(struct supervisor *s, short revents)
{
    enum mw_handover_result res;
    const char *why;

    for (int i = 0; i < HANDOVERS_AT_ONCE; i++) {
        int rv = mw_handover_receive(&s->fleet.cs, s->handover_fd, &res, &why);
        if (rv == MW_EAGAIN)
            return;
        if (rv) {
            /* An empty message looks like the end; only the kernel's word for it counts. */
            if (rv == MW_EIO || revents & POLLHUP)
                s->handover_fd = -1;
            return;
        }
        if (res == MW_HANDOVER_BAD)
            complain(s, why);
    }
}

/* Whether the last writer of the generation's life pipe is gone. What is written is no message. */
static int life_over(int fd, short revents)
{
    char junk[64];

    if (!(revents & POLLIN))
        return (revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
    ssize_t n = read(fd, junk, sizeof junk);
    return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

static void end(struct supervisor *s, const char *why)
{
    if (s->fleet.ending)
        return;
    mw_log(MW_LOG_INFO, "WSGI0574", "%s; the workers are told to leave", why);
    mw_fleet_end(&s->fleet);
}

static void signal_event(struct supervisor *s)
{
    unsigned char bytes[64];
    ssize_t n = read(s->signal_r, bytes, sizeof bytes);

    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] == SIGTERM || bytes[i] == SIGINT)
            end(s, mw_status_signal(bytes[i]));
    }
    reap(s);
}

/* -- the loop -- */

static uint64_t fill_poll(struct supervisor *s)
{
    const struct mw_children *cs = &s->fleet.cs;
    uint64_t due = mw_console_fill(&s->console, s->pf + P_CONSOLE);
    uint64_t wake = mw_fleet_wake(&s->fleet);

    s->pf[P_SIGNAL] = (struct pollfd){.fd = s->signal_r, .events = POLLIN};
    s->pf[P_LIFE] = (struct pollfd){.fd = s->life_fd, .events = POLLIN};
    s->pf[P_HANDOVER] = (struct pollfd){.fd = s->handover_fd, .events = POLLIN};
    /* Only open ones: poll refuses more entries than a process may have descriptors. */
    s->nheard = 0;
    for (size_t i = 0; i < cs->n; i++) {
        const struct mw_child *ch = &cs->v[i];
        short events = POLLIN;
        if (ch->control < 0)
            continue;
        if (mw_handover_waits(ch))
            events |= POLLOUT;
        s->pf[P_FIXED + s->nheard] = (struct pollfd){.fd = ch->control, .events = events};
        s->heard[s->nheard++] = i;
    }
    return wake < due ? wake : due;
}

static void turn(struct supervisor *s)
{
    uint64_t due = fill_poll(s);
    int n = poll(s->pf, (nfds_t)(P_FIXED + s->nheard), mw_clock_poll_ms(due));

    /* No memory, or the limit of files was lowered: it may pass. */
    if (n < 0 && errno != EINTR)
        poll(NULL, 0, POLL_AGAIN_MS);
    if (n > 0) {
        for (size_t i = 0; i < s->nheard; i++) {
            const struct pollfd *pf = &s->pf[P_FIXED + i];
            struct mw_child *ch = &s->fleet.cs.v[s->heard[i]];
            if (pf->revents && ch->control == pf->fd)
                worker_event(s, ch, pf->revents);
        }
        if (s->pf[P_SIGNAL].revents)
            signal_event(s); /* after what the dead had to say */
        mw_console_event(&s->console, s->pf + P_CONSOLE);
        if (s->handover_fd >= 0 && s->pf[P_HANDOVER].revents)
            handover_event(s, s->pf[P_HANDOVER].revents);
        if (s->life_fd >= 0 && s->pf[P_LIFE].revents &&
            life_over(s->life_fd, s->pf[P_LIFE].revents)) {
            s->life_fd = -1;
            end(s, "the server's generation has ended");
        }
    }
    mw_fleet_tick(&s->fleet);
}

static int open_all(struct supervisor *s)
{
    int p[2];
    int rv = mw_io_pipe(p);

    if (rv)
        return rv;
    s->life_r = p[0], s->life_w = p[1];
    rv = mw_fleet_init(&s->fleet, s->cfg, s->life_r);
    if (rv)
        return rv;
    s->pf = calloc(P_FIXED + s->fleet.cs.n, sizeof *s->pf);
    s->heard = calloc(s->fleet.cs.n + 1u, sizeof *s->heard);
    if (!s->pf || !s->heard)
        return MW_ENOMEM;
    rv = mw_io_pipe(p);
    if (rv)
        return rv;
    s->signal_r = p[0], s->signal_w = p[1];
    rv = mw_io_nonblock(s->signal_r, 1);
    if (rv)
        return rv;
    rv = mw_io_nonblock(s->signal_w, 1);
    if (rv)
        return rv;
    mw_signals_take(s->signal_w);
    return 0;
}

static void close_all(struct supervisor *s)
{
    mw_signals_leave(); /* the handler's pipe is about to go */
    mw_console_fini(&s->console);
    mw_fleet_fini(&s->fleet);
    mw_io_close(&s->signal_r);
    mw_io_close(&s->signal_w);
    mw_io_close(&s->life_r);
    mw_io_close(&s->life_w);
    free(s->pf);
    free(s->heard);
}

int mw_super_run(const struct mw_super_config *cfg)
{
    struct supervisor s = {.cfg = cfg,
                           .signal_r = -1,
                           .signal_w = -1,
                           .life_r = -1,
                           .life_w = -1,
                           .handover_fd = cfg->handover_fd,
                           .life_fd = cfg->life_fd};
    int rv;

    mw_console_init(&s.console, cfg->control_fd, &s.fleet);
    rv = open_all(&s);
    if (rv)
        goto out;
    mw_fleet_find(&s.fleet);
    for (unsigned g = 0; g < cfg->ngroups; g++)
        mw_fleet_want(&s.fleet, g);
    while (!s.fleet.ending || mw_fleet_alive(&s.fleet))
        turn(&s);
out:
    if (rv)
        mw_log(MW_LOG_CRIT, "WSGI0575", "the supervisor cannot go on: %s: %s; its workers leave",
               mw_err_text(rv), strerror(errno));
    close_all(&s);
    return rv ? 1 : 0;
}
