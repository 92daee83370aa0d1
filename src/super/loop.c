/*
 * loop.c: the supervisor's one loop: it waits for signals, for the end of the generation, for httpd's
 * children, for workers and for time, asks policy.c what that means, and does it.
 *
 * It must never wait anywhere but in its poll, never trust what it reads, and never stop because of
 * something a child or a worker did.
 */
#include "super.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "console.h"
#include "io.h"
#include "log.h"
#include "signals.h"
#include "status.h"

#define HANDOVERS_AT_ONCE 64     /* messages of httpd's children per turn of the loop */
#define MESSAGES_AT_ONCE 4       /* of one worker per turn */
#define UNREAD_MAX 1024          /* of one worker, when its socket is closed; more than fit */
#define FOREIGN_CHECK_MS 100     /* how often a process that is not our child is looked at */
#define COMPLAINTS_EVERY_MS 1000 /* at most one line about bad messages in this time */

enum { P_SIGNAL, P_LIFE, P_HANDOVER, P_CONSOLE, P_FIXED = P_CONSOLE + MW_CONSOLE_POLLS };

struct supervisor {
    const struct mw_super_config *cfg;
    struct mw_children cs;
    struct mw_console console;
    struct pollfd *pf; /* P_FIXED, then one per child */
    int signal_r, signal_w;
    int life_r, life_w;       /* the workers': they see its end when this process is gone */
    int handover_fd, life_fd; /* cfg's; -1 once at their end */
    int ending;
    uint64_t complained_at; /* last line about a bad handover message */
    unsigned unsaid;        /* such messages since */
};

/* -- one worker -- */

static const struct mw_super_group *group_of(const struct supervisor *s, const struct mw_child *ch)
{
    return &s->cfg->groups[ch->group];
}

static const char *name_of(const struct supervisor *s, const struct mw_child *ch)
{
    return group_of(s, ch)->spec->name;
}

static struct mw_policy_limits limits_of(const struct supervisor *s, const struct mw_child *ch)
{
    const struct mw_spec *spec = group_of(s, ch)->spec;
    int64_t drain_ms = spec->graceful_timeout_ms;
    if (spec->eviction_timeout_ms > drain_ms)
        drain_ms = spec->eviction_timeout_ms;
    return (struct mw_policy_limits){
        .startup_ms = spec->startup_timeout_ms > 0 ? (uint64_t)spec->startup_timeout_ms : 0,
        .graceful_ms = drain_ms > 0 ? (uint64_t)drain_ms : 0,
        .shutdown_ms = spec->shutdown_timeout_ms > 0 ? (uint64_t)spec->shutdown_timeout_ms : 0};
}

/* What follows for the slot, for the end of a log line. */
static const char *say_next(const struct mw_child *ch, char *out, size_t cap)
{
    uint64_t now = mw_clock_ms();

    if (ch->pol.state == MW_POL_STARTING)
        return "a new one is started now";
    if (ch->pol.state != MW_POL_WAITING)
        return "no other is started";
    uint64_t ms = ch->pol.due > now ? ch->pol.due - now : 0;
    snprintf(out, cap, "next start in %llu s", (unsigned long long)((ms + 500) / 1000));
    return out;
}

static void step(struct supervisor *s, struct mw_child *ch, enum mw_policy_event ev);
static void carry_out(struct supervisor *s, struct mw_child *ch, enum mw_policy_act act);

/* Returns 0 or why there is no process. */
static int start(struct supervisor *s, struct mw_child *ch)
{
    struct mw_spawn sp = {.worker_path = s->cfg->worker_path,
                          .group = group_of(s, ch),
                          .group_index = ch->group,
                          .slot = ch->slot,
                          .life_fd = s->life_r};
    int rv = mw_spawn(&sp, &ch->pid, &ch->control);

    ch->why[0] = '\0';
    if (rv) {
        ch->pid = 0;
        mw_log(MW_LOG_ERR, "WSGI0567", "worker %u of group '%s' could not be forked: %s%s%s",
               ch->slot, name_of(s, ch), mw_err_text(rv), rv == MW_EIO ? ": " : "",
               rv == MW_EIO ? strerror(errno) : "");
        return rv;
    }
    ch->started_ms = mw_clock_ms();
    ch->incarnation = mw_board_starting(sp.group->board, ch->slot, ch->pid);
    /* If it is gone already, SIGCHLD tells. */
    (void)!mw_spawn_release(ch->control, ch->incarnation);
    mw_log(MW_LOG_DEBUG, "WSGI0560", "worker %u of group '%s' is starting as pid %ld", ch->slot,
           name_of(s, ch), (long)ch->pid);
    return 0;
}

static void admit(struct supervisor *s, struct mw_child *ch)
{
    mw_board_ready(group_of(s, ch)->board, ch->slot);
    mw_handover_flush(ch);
    mw_log(MW_LOG_INFO, "WSGI0561", "worker %u of group '%s' (pid %ld) is ready", ch->slot,
           name_of(s, ch), (long)ch->pid);
}

static void drain(struct supervisor *s, struct mw_child *ch)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl = {.type = MW_CTL_DRAIN,
                         .group = (uint16_t)ch->group,
                         .slot = (uint16_t)ch->slot,
                         .incarnation = ch->incarnation};
    int n = mw_ctl_encode(msg, &ctl);

    mw_board_draining(group_of(s, ch)->board, ch->slot);
    mw_handover_flush(ch);
    /* SIGUSR1 says the same, and always gets through. */
    if (n < 0 || ch->control < 0 || mw_io_send_msg(ch->control, msg, (size_t)n, -1))
        (void)kill(ch->pid, SIGUSR1);
}

static void replace(struct supervisor *s, struct mw_child *ch)
{
    struct mw_child *heir = mw_child_spare(&s->cs, ch->group);
    struct mw_policy_limits lim = limits_of(s, ch);

    mw_log(MW_LOG_INFO, "WSGI0566", "worker %u of group '%s' (pid %ld) is replaced: %s", ch->slot,
           name_of(s, ch), (long)ch->pid, ch->why[0] ? ch->why : "it asked for it");
    drain(s, ch);
    if (!heir || !ch->pol.wanted)
        return; /* then its slot is filled again when it has left */
    carry_out(s, heir, mw_policy_succeed(&heir->pol, &ch->pol, &lim, mw_clock_ms()));
}

static void carry_out(struct supervisor *s, struct mw_child *ch, enum mw_policy_act act)
{
    switch (act) {
    case MW_ACT_NONE:
        break;
    case MW_ACT_START:
        if (start(s, ch))
            step(s, ch, MW_EV_EXITED); /* after which it waits */
        break;
    case MW_ACT_ADMIT:
        admit(s, ch);
        break;
    case MW_ACT_REPLACE:
        replace(s, ch);
        break;
    case MW_ACT_TERM:
        mw_board_draining(group_of(s, ch)->board, ch->slot);
        (void)kill(ch->pid, SIGTERM);
        break;
    case MW_ACT_KILL:
        (void)kill(ch->pid, SIGKILL);
        break;
    case MW_ACT_REFUSE:
        mw_log(
            MW_LOG_ERR, "WSGI0569",
            "worker %u of group '%s' (pid %ld) sent a message that is not allowed when it is %s; "
            "killed",
            ch->slot, name_of(s, ch), (long)ch->pid, mw_policy_state_name(ch->pol.state));
        step(s, ch, MW_EV_HOSTILE);
        break;
    }
}

static void step(struct supervisor *s, struct mw_child *ch, enum mw_policy_event ev)
{
    struct mw_policy_limits lim = limits_of(s, ch);
    carry_out(s, ch, mw_policy_step(&ch->pol, &lim, ev, mw_clock_ms()));
}

static void log_exit(struct supervisor *s, struct mw_child *ch, const struct mw_policy *before,
                     pid_t pid, int status)
{
    char how[64], next[32];
    int left = before->state == MW_POL_DRAINING || before->state == MW_POL_TERMED ||
               before->state == MW_POL_KILLED;

    mw_status_text(how, sizeof how, status);
    if (before->ready_at ? left && !before->blamed : s->ending) {
        mw_log(MW_LOG_INFO, "WSGI0570", "worker %u of group '%s' (pid %ld) %s, as it was told to",
               ch->slot, name_of(s, ch), (long)pid, how);
    } else if (!before->ready_at) {
        mw_log(MW_LOG_ERR, "WSGI0562",
               "worker %u of group '%s' (pid %ld) could not start: %s%s%s; %s", ch->slot,
               name_of(s, ch), (long)pid, ch->why, ch->why[0] ? "; it " : "it ", how,
               say_next(ch, next, sizeof next));
    } else {
        mw_log(MW_LOG_ERR, "WSGI0563", "worker %u of group '%s' (pid %ld) %s; %s", ch->slot,
               name_of(s, ch), (long)pid, how, say_next(ch, next, sizeof next));
    }
}

static void keep_reason(struct mw_child *ch, struct mw_str text)
{
    size_t n = text.n < sizeof ch->why ? text.n : sizeof ch->why - 1;
    memcpy(ch->why, text.p, n);
    ch->why[n] = '\0';
}

/* Take what is unread, then close: why the process could not start may be there, and descriptors that
 * the kernel would otherwise close as the sender left them, lingering. */
static void hang_up(struct mw_child *ch)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl;
    int pass = -1;

    for (int i = 0; i < UNREAD_MAX && ch->control >= 0; i++) {
        ssize_t n = mw_io_recv_msg(ch->control, msg, sizeof msg, &pass);
        mw_io_close_given(&pass);
        if (n == MW_EAGAIN || n == MW_EIO)
            break;
        if (n > 0 && !ch->pol.ready_at && !mw_ctl_decode(&ctl, msg, (size_t)n) &&
            ctl.type == MW_CTL_FAILED)
            keep_reason(ch, ctl.text);
    }
    mw_io_close(&ch->control);
}

static void exited(struct supervisor *s, struct mw_child *ch, int status)
{
    struct mw_policy before = ch->pol;
    struct mw_policy_limits lim = limits_of(s, ch);
    pid_t pid = ch->pid;

    hang_up(ch);
    mw_board_empty(group_of(s, ch)->board, ch->slot);
    ch->pid = 0;
    mw_handover_drop(ch);
    enum mw_policy_act act = mw_policy_step(&ch->pol, &lim, MW_EV_EXITED, mw_clock_ms());
    log_exit(s, ch, &before, pid, status);
    carry_out(s, ch, act);
}

static void reap(struct supervisor *s)
{
    int status;

    for (;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return;
        struct mw_child *ch = mw_child_find(&s->cs, pid);
        if (ch)
            exited(s, ch, status);
    }
}

/* -- what comes in -- */

static void from_worker(struct supervisor *s, struct mw_child *ch, const struct mw_ctl *ctl)
{
    switch (ctl->type) {
    case MW_CTL_READY:
        step(s, ch, MW_EV_READY);
        break;
    case MW_CTL_FAILED:
        if (ch->pol.state == MW_POL_STARTING)
            keep_reason(ch, ctl->text);
        step(s, ch, MW_EV_FAILED);
        break;
    case MW_CTL_RECYCLE:
        if (ch->pol.state == MW_POL_READY)
            keep_reason(ch, ctl->text);
        step(s, ch, MW_EV_RECYCLE);
        break;
    default:
        carry_out(s, ch, MW_ACT_REFUSE);
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
        /* Its process is ending, and SIGCHLD is about to say how; or it lives on and cannot be reached,
         * which must not last. The kill does not change the status of a process that is ending. */
        hang_up(ch);
        if (ch->pol.state == MW_POL_STARTING || ch->pol.state == MW_POL_READY)
            step(s, ch, MW_EV_HOSTILE);
        return 0;
    }
    int bad = n < 0 || pass >= 0 || mw_ctl_decode(&ctl, msg, (size_t)n);
    mw_io_close_given(&pass);
    if (bad)
        carry_out(s, ch, MW_ACT_REFUSE);
    else
        from_worker(s, ch, &ctl);
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
        int rv = mw_handover_receive(&s->cs, s->handover_fd, &res, &why);
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
    if (s->ending)
        return;
    s->ending = 1;
    mw_log(MW_LOG_INFO, "WSGI0574", "%s; the workers are told to leave", why);
    for (unsigned g = 0; g < s->cfg->ngroups; g++)
        mw_board_close(s->cfg->groups[g].board);
    for (size_t i = 0; i < s->cs.n; i++)
        step(s, &s->cs.v[i], MW_EV_STOP);
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

/* -- what operators order -- */

static const char *replace_for_operator(void *ctx, struct mw_child *ch, const char *why)
{
    struct supervisor *s = ctx;

    if (s->ending)
        return "httpd is stopping or has been restarted; its workers are leaving anyway";
    keep_reason(ch, (struct mw_str){why, strlen(why)});
    step(s, ch, MW_EV_RECYCLE);
    return NULL;
}

/* -- time -- */

static void log_overdue(struct supervisor *s, const struct mw_child *ch)
{
    const char *now = ch->pol.state == MW_POL_STARTING || ch->pol.state == MW_POL_DRAINING
                          ? "terminated"
                          : "killed";

    if (ch->pol.state == MW_POL_STARTING)
        mw_log(MW_LOG_ERR, "WSGI0564",
               "worker %u of group '%s' (pid %ld) was not ready within startup-timeout; %s",
               ch->slot, name_of(s, ch), (long)ch->pid, now);
    else
        mw_log(MW_LOG_WARNING, "WSGI0565",
               "worker %u of group '%s' (pid %ld) has not left in time (%s); %s", ch->slot,
               name_of(s, ch), (long)ch->pid, mw_policy_state_name(ch->pol.state), now);
}

static int foreign_is_gone(const struct mw_child *ch)
{
    return ch->pol.state == MW_POL_FOREIGN && ch->pid > 0 && kill(ch->pid, 0) && errno == ESRCH;
}

static void forget_foreign(struct supervisor *s, struct mw_child *ch)
{
    mw_board_empty(group_of(s, ch)->board, ch->slot);
    ch->pid = 0;
}

static void tick(struct supervisor *s)
{
    uint64_t now = mw_clock_ms();

    for (size_t i = 0; i < s->cs.n; i++) {
        struct mw_child *ch = &s->cs.v[i];
        if (foreign_is_gone(ch)) {
            forget_foreign(s, ch);
            step(s, ch, MW_EV_EXITED);
        }
        if (now < ch->pol.due)
            continue;
        if (mw_policy_alive(&ch->pol))
            log_overdue(s, ch);
        if (ch->pol.state == MW_POL_FOREIGN)
            forget_foreign(s, ch);
        step(s, ch, MW_EV_TICK);
    }
}

/* -- the loop -- */

static int alive(const struct supervisor *s)
{
    for (size_t i = 0; i < s->cs.n; i++) {
        if (mw_policy_alive(&s->cs.v[i].pol))
            return 1;
    }
    return 0;
}

static uint64_t fill_poll(struct supervisor *s)
{
    uint64_t due = mw_console_fill(&s->console, s->pf + P_CONSOLE);

    s->pf[P_SIGNAL] = (struct pollfd){.fd = s->signal_r, .events = POLLIN};
    s->pf[P_LIFE] = (struct pollfd){.fd = s->life_fd, .events = POLLIN};
    s->pf[P_HANDOVER] = (struct pollfd){.fd = s->handover_fd, .events = POLLIN};
    for (size_t i = 0; i < s->cs.n; i++) {
        const struct mw_child *ch = &s->cs.v[i];
        short events = POLLIN;
        if (ch->kept.n && ch->pol.state != MW_POL_STARTING)
            events |= POLLOUT;
        s->pf[P_FIXED + i] = (struct pollfd){.fd = ch->control, .events = events};
        if (ch->pol.due < due)
            due = ch->pol.due;
        if (ch->pol.state == MW_POL_FOREIGN) {
            uint64_t check = mw_clock_deadline(FOREIGN_CHECK_MS);
            if (check < due)
                due = check;
        }
    }
    return due;
}

static int turn(struct supervisor *s)
{
    uint64_t due = fill_poll(s);
    int n = poll(s->pf, (nfds_t)(P_FIXED + s->cs.n), mw_clock_poll_ms(due));

    if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ENOMEM)
        return MW_EIO;
    if (n > 0) {
        for (size_t i = 0; i < s->cs.n; i++) {
            const struct pollfd *pf = &s->pf[P_FIXED + i];
            struct mw_child *ch = &s->cs.v[i];
            if (pf->revents && ch->control >= 0)
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
    tick(s);
    return 0;
}

/* What a supervisor before this one left on the board: workers that are draining by themselves. */
static void find_foreign(struct supervisor *s)
{
    struct mw_slot_info info;

    for (size_t i = 0; i < s->cs.n; i++) {
        struct mw_child *ch = &s->cs.v[i];
        struct mw_policy_limits lim = limits_of(s, ch);
        struct mw_board *board = group_of(s, ch)->board;
        if (mw_board_slot(board, ch->slot, &info) || info.state == MW_SLOT_EMPTY)
            continue;
        if (info.pid <= 0 || (kill(info.pid, 0) && errno == ESRCH)) {
            mw_board_empty(board, ch->slot);
            continue;
        }
        mw_board_draining(board, ch->slot);
        ch->pid = info.pid;
        ch->started_ms = 0;
        mw_policy_foreign(&ch->pol, &lim, mw_clock_ms());
        mw_log(
            MW_LOG_NOTICE, "WSGI0572",
            "worker %u of group '%s' (pid %ld) was left behind by another supervisor; its slot is "
            "used again when it has left",
            ch->slot, name_of(s, ch), (long)ch->pid);
    }
}

static void want(struct supervisor *s, unsigned group)
{
    unsigned left = mw_spec_processes(s->cfg->groups[group].spec);

    for (; left > 0; left--) {
        struct mw_child *ch = mw_child_spare(&s->cs, group);
        if (!ch)
            break;
        step(s, ch, MW_EV_WANT);
    }
    for (size_t i = s->cs.first[group]; left > 0 && i < s->cs.first[group + 1u]; i++) {
        if (s->cs.v[i].pol.state != MW_POL_FOREIGN)
            continue;
        step(s, &s->cs.v[i], MW_EV_WANT);
        left--;
    }
}

static int open_all(struct supervisor *s)
{
    int p[2];
    int rv = mw_children_init(&s->cs, s->cfg);

    if (rv)
        return rv;
    s->pf = calloc(P_FIXED + s->cs.n, sizeof *s->pf);
    if (!s->pf)
        return MW_ENOMEM;
    rv = mw_io_pipe(p);
    if (rv)
        return rv;
    s->life_r = p[0], s->life_w = p[1];
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
    mw_children_fini(&s->cs);
    mw_io_close(&s->signal_r);
    mw_io_close(&s->signal_w);
    mw_io_close(&s->life_r);
    mw_io_close(&s->life_w);
    free(s->pf);
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

    mw_console_init(&s.console, cfg, &s.cs);
    s.console.replace = replace_for_operator;
    s.console.ctx = &s;
    rv = open_all(&s);
    if (rv)
        goto out;
    find_foreign(&s);
    for (unsigned g = 0; g < cfg->ngroups; g++)
        want(&s, g);
    while (!s.ending || alive(&s)) {
        rv = turn(&s);
        if (rv)
            break;
    }
out:
    if (rv)
        mw_log(MW_LOG_CRIT, "WSGI0575", "the supervisor cannot go on: %s: %s; its workers leave",
               mw_err_text(rv), strerror(errno));
    close_all(&s);
    return rv ? 1 : 0;
}
