/*
 * fleet.c: see fleet.h. An event goes to the slot it is about, then the group is settled: policy.c says
 * what the change means for its other slots.
 *
 * Nothing in here may end the supervisor, whatever a worker did.
 */
#include "fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "clock.h"
#include "io.h"
#include "log.h"
#include "memory.h"
#include "spread.h"
#include "status.h"

#define UNREAD_MAX 1024      /* messages of one worker, when its socket is closed; more than fit */
#define MEMORY_EVERY_MS 1000 /* how often memory is looked at */
#define FOREIGN_CHECK_MS 100 /* how often a process that is not our child is looked at */
#define NOT_TOLD UINT64_MAX
#define MEGABYTE (1024 * 1024) /* for log lines */

int mw_fleet_init(struct mw_fleet *f, const struct mw_super_config *cfg, int life_r)
{
    *f = (struct mw_fleet){.cfg = cfg, .life_r = life_r};
    for (unsigned g = 0; g < cfg->ngroups; g++) {
        const struct mw_spec *spec = cfg->groups[g].spec;
        f->watches_memory |= spec->memory_soft > 0 || spec->memory_hard > 0;
    }
    f->down = calloc(cfg->ngroups + 1u, sizeof *f->down);
    if (!f->down)
        return MW_ENOMEM;
    for (unsigned g = 0; g < cfg->ngroups; g++)
        f->down[g] = NOT_TOLD;
    return mw_children_init(&f->cs, cfg);
}

void mw_fleet_fini(struct mw_fleet *f)
{
    mw_children_fini(&f->cs);
    free(f->down);
    f->down = NULL;
}

static const struct mw_super_group *group_of(const struct mw_fleet *f, const struct mw_child *ch)
{
    return &f->cfg->groups[ch->group];
}

static const struct mw_spec *spec_of(const struct mw_fleet *f, const struct mw_child *ch)
{
    return group_of(f, ch)->spec;
}

static const char *name_of(const struct mw_fleet *f, const struct mw_child *ch)
{
    return spec_of(f, ch)->name;
}

static struct mw_board *board_of(const struct mw_fleet *f, const struct mw_child *ch)
{
    return group_of(f, ch)->board;
}

static uint64_t positive(int64_t ms)
{
    return ms > 0 ? (uint64_t)ms : 0;
}

/* Each process draws its own restart-interval: its pid and incarnation are the seed. */
static struct mw_policy_limits limits_of(const struct mw_fleet *f, const struct mw_child *ch)
{
    const struct mw_spec *spec = spec_of(f, ch);
    uint64_t seed = (uint64_t)ch->pid << 32 | ch->incarnation;
    int64_t drain_ms = spec->graceful_timeout_ms;

    if (spec->eviction_timeout_ms > drain_ms) /* a worker that got SIGUSR1 may have that long */
        drain_ms = spec->eviction_timeout_ms;
    return (struct mw_policy_limits){
        .startup_ms = positive(spec->startup_timeout_ms),
        .graceful_ms = positive(drain_ms),
        .shutdown_ms = positive(spec->shutdown_timeout_ms),
        .restart_ms = positive(mw_spread_pick(spec->restart_interval_ms, seed))};
}

/* -- what is done to one worker -- */

/* The worker that this one is to replace, while it starts; NULL: nobody serves in its place. */
static struct mw_child *elder_of(struct mw_fleet *f, const struct mw_child *ch)
{
    return ch->pol->elder == MW_POLICY_NOBODY ? NULL
                                              : mw_child_at(&f->cs, ch->group, ch->pol->elder);
}

/* What the successor of `elder` must be able to import: all that the group's workers have, so that a
 * deployment is good for all of them or for none. */
static int make_trial(const struct mw_fleet *f, const struct mw_child *elder, struct mw_spec *out)
{
    const struct mw_spec *spec = spec_of(f, elder);
    int rv = mw_trial_spec(out, spec, elder->whole);

    if (rv)
        return rv;
    mw_trial_spec_add(out, spec, &elder->trial);
    for (size_t i = f->cs.first[elder->group]; i < f->cs.first[elder->group + 1u]; i++) {
        if (&f->cs.v[i] != elder && mw_policy_serves(f->cs.v[i].pol))
            mw_trial_spec_add(out, spec, &f->cs.v[i].trial);
    }
    return 0;
}

static int spawn(struct mw_fleet *f, struct mw_child *ch, const struct mw_child *elder)
{
    struct mw_spec trial = {0};
    struct mw_spawn sp = {.worker_path = f->cfg->worker_path,
                          .group = group_of(f, ch),
                          .spec = spec_of(f, ch),
                          .group_index = ch->group,
                          .slot = ch->slot,
                          .life_fd = f->life_r};
    int rv = 0;

    if (elder) {
        rv = make_trial(f, elder, &trial);
        sp.spec = &trial;
    }
    if (rv == 0)
        rv = mw_spawn(&sp, &ch->pid, &ch->control);
    int err = errno;
    mw_trial_spec_fini(&trial);
    errno = err;
    return rv;
}

/* Returns 0 or why there is no process. */
static int start(struct mw_fleet *f, struct mw_child *ch)
{
    struct mw_child *elder = elder_of(f, ch);
    int rv = spawn(f, ch, elder);

    ch->started = ++f->starts;
    ch->started_ms = mw_clock_ms();
    ch->why[0] = ch->cause[0] = ch->failure[0] = '\0';
    ch->whole = 0;
    if (rv) {
        const char *why = rv == MW_EIO ? strerror(errno) : mw_err_text(rv);
        ch->pid = 0;
        mw_log(MW_LOG_ERR, "WSGI0567", "worker %u of group '%s' could not be forked: %s", ch->slot,
               name_of(f, ch), why);
        if (elder)
            snprintf(elder->failure, sizeof elder->failure, "could not be forked: %s", why);
        return rv;
    }
    ch->incarnation = mw_board_starting(board_of(f, ch), ch->slot, ch->pid);
    /* If it is gone already, SIGCHLD tells. */
    (void)!mw_spawn_release(ch->control, ch->incarnation);
    mw_log(MW_LOG_DEBUG, "WSGI0560", "worker %u of group '%s' is starting as pid %ld", ch->slot,
           name_of(f, ch), (long)ch->pid);
    return 0;
}

static void admit(struct mw_fleet *f, struct mw_child *ch)
{
    mw_board_ready(board_of(f, ch), ch->slot);
    mw_handover_flush(ch);
    mw_log(MW_LOG_INFO, "WSGI0561", "worker %u of group '%s' (pid %ld) is ready", ch->slot,
           name_of(f, ch), (long)ch->pid);
}

static void drain(struct mw_fleet *f, struct mw_child *ch)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl = {.type = MW_CTL_DRAIN,
                         .group = (uint16_t)ch->group,
                         .slot = (uint16_t)ch->slot,
                         .incarnation = ch->incarnation};
    int n = mw_ctl_encode(msg, &ctl);

    mw_log(MW_LOG_INFO, "WSGI0566", "worker %u of group '%s' (pid %ld) %s: %s", ch->slot,
           name_of(f, ch), (long)ch->pid,
           mw_fleet_is_drained(f, ch->group) ? "finishes its requests and leaves" : "is replaced",
           ch->cause[0] ? ch->cause : "it asked for it");
    mw_board_draining(board_of(f, ch), ch->slot);
    mw_handover_flush(ch);
    /* SIGUSR1 says the same to a process that drains already, or cannot read. */
    if (n < 0 || ch->control < 0 || mw_io_send_msg(ch->control, msg, (size_t)n, -1))
        (void)kill(ch->pid, SIGUSR1);
}

/* Its successor could not start. Loud when it is news. */
static void keep(struct mw_fleet *f, struct mw_child *ch)
{
    uint64_t now = mw_clock_ms();
    uint64_t ms = ch->pol->due > now ? ch->pol->due - now : 0;

    ch->failed = f->starts;
    mw_log(ch->pol->tries > 1 ? MW_LOG_INFO : MW_LOG_ERR, "WSGI0740",
           "worker %u of group '%s' (pid %ld) is not replaced: its successor %s; it serves on with "
           "what it has, next try in %llu s",
           ch->slot, name_of(f, ch), (long)ch->pid, ch->failure,
           (unsigned long long)((ms + 500) / 1000));
}

static void carry_out(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_act act);

static void step_only(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_event ev)
{
    struct mw_policy_limits lim = limits_of(f, ch);
    carry_out(f, ch, mw_policy_step(ch->pol, &lim, ev, mw_clock_ms()));
}

static void carry_out(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_act act)
{
    switch (act) {
    case MW_ACT_NONE:
        break;
    case MW_ACT_START:
        if (start(f, ch))
            step_only(f, ch, MW_EV_EXITED); /* after which it waits */
        break;
    case MW_ACT_ADMIT:
        admit(f, ch);
        break;
    case MW_ACT_DRAIN:
        drain(f, ch);
        break;
    case MW_ACT_KEEP:
        keep(f, ch);
        break;
    case MW_ACT_TERM:
        mw_board_draining(board_of(f, ch), ch->slot);
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
            ch->slot, name_of(f, ch), (long)ch->pid, mw_policy_state_name(ch->pol->state));
        step_only(f, ch, MW_EV_KILL);
        break;
    }
}

/* When the next worker of a group is started that has none; 0: there is one, or one is about to be, or it
 * is not known. */
static uint64_t down_until(const struct mw_fleet *f, unsigned group)
{
    uint64_t until = MW_NO_DEADLINE;

    for (size_t i = f->cs.first[group]; i < f->cs.first[group + 1u]; i++) {
        const struct mw_policy *p = &f->cs.pol[i];
        if (mw_policy_serves(p) || p->state == MW_POL_STARTING)
            return 0;
        if (p->state == MW_POL_WAITING && p->due < until)
            until = p->due;
    }
    return until == MW_NO_DEADLINE ? 0 : until;
}

/* httpd's children need not wait for what does not come. */
static void tell_board(struct mw_fleet *f, unsigned group)
{
    uint64_t until = down_until(f, group);

    if (until != f->down[group])
        mw_board_down(f->cfg->groups[group].board, until);
    f->down[group] = until;
}

static void settle(struct mw_fleet *f, unsigned group)
{
    size_t first = f->cs.first[group];
    unsigned n = (unsigned)(f->cs.first[group + 1u] - first), slot = 0;
    struct mw_policy_limits lim;
    enum mw_policy_act act;

    if (n == 0)
        return;
    lim = limits_of(f, &f->cs.v[first]);
    do {
        act = mw_policy_settle(&f->cs.pol[first], n, &lim, mw_clock_ms(), &slot);
        if (act != MW_ACT_NONE)
            carry_out(f, &f->cs.v[first + slot], act);
    } while (act != MW_ACT_NONE);
    tell_board(f, group);
}

void mw_fleet_step(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_event ev)
{
    step_only(f, ch, ev);
    settle(f, ch->group);
}

/* -- replacement -- */

static void keep_text(char *out, size_t cap, struct mw_str text)
{
    size_t n = text.n < cap ? text.n : cap - 1;

    memcpy(out, text.p, n);
    out[n] = '\0';
}

static void ask_for(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_event ev,
                    struct mw_str why)
{
    if (mw_policy_serves(ch->pol) || ch->pol->state == MW_POL_STARTING) {
        keep_text(ch->cause, sizeof ch->cause, why);
        mw_log(MW_LOG_INFO, "WSGI0741",
               "worker %u of group '%s' (pid %ld) is to be replaced: %s; it serves until another "
               "is ready",
               ch->slot, name_of(f, ch), (long)ch->pid, ch->cause);
    }
    mw_fleet_step(f, ch, ev);
}

void mw_fleet_replace(struct mw_fleet *f, struct mw_child *ch, const char *why)
{
    ask_for(f, ch, MW_EV_REPLACE, (struct mw_str){why, strlen(why)});
}

/* -- the end of a process -- */

/* What follows for the slot, for the end of a log line. */
static const char *say_next(const struct mw_child *ch, char *out, size_t cap)
{
    uint64_t now = mw_clock_ms();

    if (ch->pol->state == MW_POL_STARTING)
        return "a new one is started now";
    if (ch->pol->state != MW_POL_WAITING)
        return "no other is started";
    uint64_t ms = ch->pol->due > now ? ch->pol->due - now : 0;
    if (ms < 1000)
        snprintf(out, cap, "next start in %llu ms", (unsigned long long)ms);
    else
        snprintf(out, cap, "next start in %llu s", (unsigned long long)((ms + 500) / 1000));
    return out;
}

static void log_exit(const struct mw_fleet *f, const struct mw_child *ch,
                     const struct mw_policy *before, pid_t pid, int status)
{
    int left = before->state == MW_POL_DRAINING || before->state == MW_POL_TERMED ||
               before->state == MW_POL_KILLED;
    char how[64], next[32];

    mw_status_text(how, sizeof how, status);
    if (before->ready_at ? left && !before->blamed && !before->lost
                         : f->ending || mw_fleet_is_drained(f, ch->group)) {
        mw_log(MW_LOG_INFO, "WSGI0570", "worker %u of group '%s' (pid %ld) %s, as it was told to",
               ch->slot, name_of(f, ch), (long)pid, how);
    } else if (!before->ready_at) {
        mw_log(MW_LOG_ERR, "WSGI0562",
               "worker %u of group '%s' (pid %ld) could not start: %s%s%s; %s", ch->slot,
               name_of(f, ch), (long)pid, ch->why, ch->why[0] ? "; it " : "it ", how,
               say_next(ch, next, sizeof next));
    } else if (f->cfg->groups[ch->group].spec->threads == 0 && WIFEXITED(status) &&
               WEXITSTATUS(status) == 0) {
        mw_log(MW_LOG_INFO, "WSGI0768",
               "worker %u of group '%s' (pid %ld): its service scripts have ended; %s", ch->slot,
               name_of(f, ch), (long)pid, say_next(ch, next, sizeof next));
    } else {
        mw_log(MW_LOG_ERR, "WSGI0563", "worker %u of group '%s' (pid %ld) %s; %s%s", ch->slot,
               name_of(f, ch), (long)pid, how,
               before->heir == MW_POLICY_NOBODY ? say_next(ch, next, sizeof next)
                                                : "its successor is starting already",
               mw_status_advice(status));
    }
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
        if (n > 0 && !ch->pol->ready_at && !mw_ctl_decode(&ctl, msg, (size_t)n) &&
            ctl.type == MW_CTL_FAILED)
            keep_text(ch->why, sizeof ch->why, ctl.text);
    }
    mw_io_close(&ch->control);
}

void mw_fleet_stopped(const struct mw_fleet *f, const struct mw_child *ch, int status)
{
    if (WIFSTOPPED(status))
        mw_log(
            MW_LOG_NOTICE, "WSGI0744",
            "worker %u of group '%s' (pid %ld) was stopped by %s; its requests wait until it goes on "
            "or the timeouts end them",
            ch->slot, name_of(f, ch), (long)ch->pid, mw_status_signal(WSTOPSIG(status)));
    else
        mw_log(MW_LOG_NOTICE, "WSGI0745", "worker %u of group '%s' (pid %ld) goes on", ch->slot,
               name_of(f, ch), (long)ch->pid);
}

void mw_fleet_exited(struct mw_fleet *f, struct mw_child *ch, int status)
{
    struct mw_policy before = *ch->pol;
    struct mw_policy_limits lim = limits_of(f, ch);
    struct mw_child *elder = elder_of(f, ch);
    struct mw_slot_info info;
    pid_t pid = ch->pid;
    char how[64];

    hang_up(ch);
    if (mw_board_slot(board_of(f, ch), ch->slot, &info) == 0 && info.served)
        (void)!mw_policy_step(ch->pol, &lim, MW_EV_SERVED, mw_clock_ms());
    mw_board_empty(board_of(f, ch), ch->slot);
    ch->pid = 0;
    mw_handover_drop(ch);
    mw_trial_clear(&ch->trial);
    mw_status_text(how, sizeof how, status);
    enum mw_policy_act act = mw_policy_step(ch->pol, &lim, MW_EV_EXITED, mw_clock_ms());
    if (elder && !f->ending)
        snprintf(elder->failure, sizeof elder->failure, "%s%s%s", ch->why,
                 ch->why[0] ? "; it " : "", how);
    else
        log_exit(f, ch, &before, pid, status);
    carry_out(f, ch, act);
    settle(f, ch->group);
}

/* -- what a worker says -- */

void mw_fleet_message(struct mw_fleet *f, struct mw_child *ch, const struct mw_ctl *ctl)
{
    switch (ctl ? ctl->type : 0) {
    case MW_CTL_READY:
        ch->whole = ctl->text.n == 0;
        mw_fleet_step(f, ch, MW_EV_READY);
        break;
    case MW_CTL_FAILED:
        if (ch->pol->state == MW_POL_STARTING)
            keep_text(ch->why, sizeof ch->why, ctl->text);
        mw_fleet_step(f, ch, MW_EV_FAILED);
        break;
    case MW_CTL_RECYCLE:
        if (mw_policy_serves(ch->pol))
            mw_trial_add(&ch->trial, ctl);
        ask_for(f, ch, MW_EV_RECYCLE, ctl->text);
        break;
    case MW_CTL_SCRIPT:
        if (mw_policy_serves(ch->pol))
            mw_trial_add(&ch->trial, ctl);
        break;
    case MW_CTL_LEAVING:
        if (mw_policy_serves(ch->pol))
            keep_text(ch->cause, sizeof ch->cause, ctl->text);
        mw_fleet_step(f, ch, MW_EV_LEAVING);
        break;
    default:
        carry_out(f, ch, MW_ACT_REFUSE);
        settle(f, ch->group);
    }
}

void mw_fleet_hung_up(struct mw_fleet *f, struct mw_child *ch)
{
    /* Its process is ending, and SIGCHLD is about to say how; or it lives on and cannot be reached, which
     * must not last. The kill does not change the status of a process that is ending. */
    hang_up(ch);
    if (ch->pol->state == MW_POL_STARTING || mw_policy_serves(ch->pol))
        mw_fleet_step(f, ch, MW_EV_LOST);
}

/* -- beginning and end -- */

static void found(struct mw_fleet *f, struct mw_child *ch, pid_t pid)
{
    struct mw_policy_limits lim = limits_of(f, ch);

    mw_board_draining(board_of(f, ch), ch->slot);
    ch->pid = pid;
    ch->started_ms = 0;
    mw_policy_foreign(ch->pol, &lim, mw_clock_ms());
    mw_log(MW_LOG_NOTICE, "WSGI0572",
           "worker %u of group '%s' (pid %ld) was left behind by another supervisor; its slot is "
           "used again when it has left",
           ch->slot, name_of(f, ch), (long)ch->pid);
}

void mw_fleet_find(struct mw_fleet *f)
{
    struct mw_slot_info info;

    for (size_t i = 0; i < f->cs.n; i++) {
        struct mw_child *ch = &f->cs.v[i];
        if (mw_board_slot(board_of(f, ch), ch->slot, &info) || info.state == MW_SLOT_EMPTY)
            continue;
        if (info.pid <= 0 || (kill(info.pid, 0) && errno == ESRCH))
            mw_board_empty(board_of(f, ch), ch->slot);
        else
            found(f, ch, info.pid);
    }
}

/* Where a worker is put first: where none is, where one leaves, where one was left behind. */
static int rank(const struct mw_child *ch)
{
    if (ch->pol->state == MW_POL_FOREIGN)
        return 2;
    return ch->pol->state == MW_POL_IDLE ? 0 : 1;
}

void mw_fleet_want(struct mw_fleet *f, unsigned group)
{
    unsigned left = mw_spec_processes(f->cfg->groups[group].spec);

    for (int r = 0; r <= 2; r++) {
        for (size_t i = f->cs.first[group]; left > 0 && i < f->cs.first[group + 1u]; i++) {
            struct mw_child *ch = &f->cs.v[i];
            if (ch->pol->wanted || rank(ch) != r)
                continue;
            mw_fleet_step(f, ch, MW_EV_WANT);
            left--;
        }
    }
}

void mw_fleet_drain(struct mw_fleet *f, unsigned group)
{
    mw_board_close(f->cfg->groups[group].board);
    for (size_t i = f->cs.first[group]; i < f->cs.first[group + 1u]; i++) {
        struct mw_child *ch = &f->cs.v[i];
        if (mw_policy_serves(ch->pol))
            keep_text(ch->cause, sizeof ch->cause, MW_STR("the group is drained"));
        step_only(f, ch, MW_EV_RETIRE);
    }
    settle(f, group);
}

int mw_fleet_is_drained(const struct mw_fleet *f, unsigned group)
{
    for (size_t i = f->cs.first[group]; i < f->cs.first[group + 1u]; i++) {
        if (f->cs.v[i].pol->wanted)
            return 0;
    }
    return !f->ending;
}

void mw_fleet_end(struct mw_fleet *f)
{
    f->ending = 1;
    for (unsigned g = 0; g < f->cfg->ngroups; g++)
        mw_board_close(f->cfg->groups[g].board);
    for (size_t i = 0; i < f->cs.n; i++)
        step_only(f, &f->cs.v[i], MW_EV_STOP);
    for (unsigned g = 0; g < f->cfg->ngroups; g++)
        settle(f, g);
}

int mw_fleet_alive(const struct mw_fleet *f)
{
    for (size_t i = 0; i < f->cs.n; i++) {
        if (mw_policy_alive(f->cs.v[i].pol))
            return 1;
    }
    return 0;
}

/* -- time -- */

static void log_overdue(const struct mw_fleet *f, const struct mw_child *ch)
{
    const char *now = ch->pol->state == MW_POL_STARTING || ch->pol->state == MW_POL_DRAINING
                          ? "terminated"
                          : "killed";

    if (ch->pol->state == MW_POL_STARTING)
        mw_log(MW_LOG_ERR, "WSGI0564",
               "worker %u of group '%s' (pid %ld) was not ready within startup-timeout; %s",
               ch->slot, name_of(f, ch), (long)ch->pid, now);
    else
        mw_log(MW_LOG_WARNING, "WSGI0565",
               "worker %u of group '%s' (pid %ld) has not left in time (%s); %s", ch->slot,
               name_of(f, ch), (long)ch->pid, mw_policy_state_name(ch->pol->state), now);
}

static int foreign_is_gone(const struct mw_child *ch)
{
    return ch->pol->state == MW_POL_FOREIGN && ch->pid > 0 && kill(ch->pid, 0) && errno == ESRCH;
}

static void forget_foreign(const struct mw_fleet *f, struct mw_child *ch)
{
    mw_board_empty(board_of(f, ch), ch->slot);
    ch->pid = 0;
}

/* Above a soft limit a worker is replaced, once it has served long enough that its successor is not
 * replaced for the same reason at once; above a hard limit nothing is waited for. */
static void check_memory(struct mw_fleet *f, struct mw_child *ch, uint64_t now)
{
    const struct mw_spec *spec = spec_of(f, ch);
    int ripe = ch->pol->state == MW_POL_READY && now - ch->pol->ready_at >= MW_POLICY_SERVED_MS;
    char why[128];
    int64_t bytes;

    if ((!spec->memory_soft && !spec->memory_hard) || !mw_policy_alive(ch->pol) ||
        ch->pol->state == MW_POL_KILLED || mw_memory_resident(ch->pid, &bytes))
        return;
    if (spec->memory_hard && bytes > spec->memory_hard) {
        mw_log(MW_LOG_ERR, "WSGI0742",
               "worker %u of group '%s' (pid %ld) has %.1f MB of resident memory, more than "
               "memory-hard=; killed",
               ch->slot, name_of(f, ch), (long)ch->pid, (double)bytes / MEGABYTE);
        mw_fleet_step(f, ch, MW_EV_KILL);
    } else if (spec->memory_soft && bytes > spec->memory_soft && ripe) {
        snprintf(why, sizeof why, "it has %.1f MB of resident memory, more than memory-soft=",
                 (double)bytes / MEGABYTE);
        mw_fleet_replace(f, ch, why);
    }
}

static void look_at_memory(struct mw_fleet *f, uint64_t now)
{
    if (!f->watches_memory || now < f->memory_at)
        return;
    f->memory_at = now + MEMORY_EVERY_MS;
    for (size_t i = 0; i < f->cs.n; i++)
        check_memory(f, &f->cs.v[i], now);
}

static void tick(struct mw_fleet *f, struct mw_child *ch, uint64_t now)
{
    static const char old[] = "it has served for restart-interval";

    if (foreign_is_gone(ch)) {
        forget_foreign(f, ch);
        mw_fleet_step(f, ch, MW_EV_EXITED);
    }
    if (now < ch->pol->due)
        return;
    if (ch->pol->state == MW_POL_READY) {
        ask_for(f, ch, MW_EV_TICK, MW_STR(old));
        return;
    }
    if (mw_policy_alive(ch->pol) && !mw_policy_serves(ch->pol))
        log_overdue(f, ch);
    if (ch->pol->state == MW_POL_FOREIGN)
        forget_foreign(f, ch);
    mw_fleet_step(f, ch, MW_EV_TICK);
}

void mw_fleet_tick(struct mw_fleet *f)
{
    uint64_t now = mw_clock_ms();

    for (size_t i = 0; i < f->cs.n; i++)
        tick(f, &f->cs.v[i], now);
    look_at_memory(f, now);
}

uint64_t mw_fleet_wake(const struct mw_fleet *f)
{
    uint64_t now = mw_clock_ms();
    uint64_t wake = f->watches_memory ? f->memory_at : MW_NO_DEADLINE;

    for (size_t i = 0; i < f->cs.n; i++) {
        const struct mw_policy *p = f->cs.v[i].pol;
        uint64_t at = mw_policy_wake(p, now);
        if (p->state == MW_POL_FOREIGN && at > now + FOREIGN_CHECK_MS)
            at = now + FOREIGN_CHECK_MS;
        if (at < wake)
            wake = at;
    }
    return wake;
}
