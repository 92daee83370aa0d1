/*
 * fleet.c: see fleet.h. An event goes to the slot it is about, then the group is settled: policy.c says
 * what the change means for its other slots. act.c does to a worker what was decided, ended.c writes how it
 * ended; time is watch.c's. Called by loop.c and console.c.
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

#include "act.h"
#include "clock.h"
#include "ended.h"
#include "io.h"
#include "log.h"
#include "spread.h"
#include "status.h"

#define UNREAD_MAX 1024 /* messages of one worker, when its socket is closed; more than fit */
#define NOT_TOLD UINT64_MAX

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

const struct mw_super_group *mw_fleet_group(const struct mw_fleet *f, const struct mw_child *ch)
{
    return &f->cfg->groups[ch->group];
}

const struct mw_spec *mw_fleet_spec(const struct mw_fleet *f, const struct mw_child *ch)
{
    return mw_fleet_group(f, ch)->spec;
}

const char *mw_fleet_name(const struct mw_fleet *f, const struct mw_child *ch)
{
    return mw_fleet_spec(f, ch)->name;
}

struct mw_board *mw_fleet_board(const struct mw_fleet *f, const struct mw_child *ch)
{
    return mw_fleet_group(f, ch)->board;
}

static uint64_t positive(int64_t ms)
{
    return ms > 0 ? (uint64_t)ms : 0;
}

/* Each process draws its own restart-interval: its pid and incarnation are the seed. */
static struct mw_policy_limits limits_of(const struct mw_fleet *f, const struct mw_child *ch)
{
    const struct mw_spec *spec = mw_fleet_spec(f, ch);
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

/* -- from what policy.c says to what is done, and back -- */

struct mw_child *mw_fleet_elder(struct mw_fleet *f, const struct mw_child *ch)
{
    return ch->pol->elder == MW_POLICY_NOBODY ? NULL
                                              : mw_child_at(&f->cs, ch->group, ch->pol->elder);
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
        if (mw_act_start(f, ch))
            step_only(f, ch, MW_EV_EXITED); /* after which it waits */
        break;
    case MW_ACT_ADMIT:
        mw_act_admit(f, ch);
        break;
    case MW_ACT_DRAIN:
        mw_act_drain(f, ch);
        break;
    case MW_ACT_KEEP:
        mw_act_keep(f, ch);
        break;
    case MW_ACT_TERM:
        mw_board_draining(mw_fleet_board(f, ch), ch->slot);
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
            ch->slot, mw_fleet_name(f, ch), (long)ch->pid, mw_policy_state_name(ch->pol->state));
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

void mw_fleet_ask(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_event ev,
                  struct mw_str why)
{
    if (mw_policy_serves(ch->pol) || ch->pol->state == MW_POL_STARTING) {
        keep_text(ch->cause, sizeof ch->cause, why);
        mw_log(MW_LOG_INFO, "WSGI0741",
               "worker %u of group '%s' (pid %ld) is to be replaced: %s; it serves until another "
               "is ready",
               ch->slot, mw_fleet_name(f, ch), (long)ch->pid, ch->cause);
    }
    mw_fleet_step(f, ch, ev);
}

void mw_fleet_replace(struct mw_fleet *f, struct mw_child *ch, const char *why)
{
    mw_fleet_ask(f, ch, MW_EV_REPLACE, (struct mw_str){why, strlen(why)});
}

/* -- the end of a process -- */

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
            ch->slot, mw_fleet_name(f, ch), (long)ch->pid, mw_status_signal(WSTOPSIG(status)));
    else
        mw_log(MW_LOG_NOTICE, "WSGI0745", "worker %u of group '%s' (pid %ld) goes on", ch->slot,
               mw_fleet_name(f, ch), (long)ch->pid);
}

void mw_fleet_exited(struct mw_fleet *f, struct mw_child *ch, int status)
{
    const struct mw_ended ended = {.before = *ch->pol, .pid = ch->pid, .status = status};
    struct mw_policy_limits lim = limits_of(f, ch);
    struct mw_child *elder = mw_fleet_elder(f, ch);
    struct mw_slot_info info;
    char how[64];

    hang_up(ch);
    if (mw_board_slot(mw_fleet_board(f, ch), ch->slot, &info) == 0 && info.served)
        (void)!mw_policy_step(ch->pol, &lim, MW_EV_SERVED, mw_clock_ms());
    mw_board_empty(mw_fleet_board(f, ch), ch->slot);
    ch->pid = 0;
    mw_handover_drop(ch);
    mw_trial_clear(&ch->trial);
    mw_status_text(how, sizeof how, status);
    enum mw_policy_act act = mw_policy_step(ch->pol, &lim, MW_EV_EXITED, mw_clock_ms());
    if (elder && !f->ending)
        snprintf(elder->failure, sizeof elder->failure, "%s%s%s", ch->why,
                 ch->why[0] ? "; it " : "", how);
    else
        mw_ended_log(f, ch, &ended);
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
        mw_fleet_ask(f, ch, MW_EV_RECYCLE, ctl->text);
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

    mw_board_draining(mw_fleet_board(f, ch), ch->slot);
    ch->pid = pid;
    ch->started_ms = 0;
    mw_policy_foreign(ch->pol, &lim, mw_clock_ms());
    mw_log(MW_LOG_NOTICE, "WSGI0572",
           "worker %u of group '%s' (pid %ld) was left behind by another supervisor; its slot is "
           "used again when it has left",
           ch->slot, mw_fleet_name(f, ch), (long)ch->pid);
}

void mw_fleet_find(struct mw_fleet *f)
{
    struct mw_slot_info info;

    for (size_t i = 0; i < f->cs.n; i++) {
        struct mw_child *ch = &f->cs.v[i];
        if (mw_board_slot(mw_fleet_board(f, ch), ch->slot, &info) || info.state == MW_SLOT_EMPTY)
            continue;
        if (info.pid <= 0 || (kill(info.pid, 0) && errno == ESRCH))
            mw_board_empty(mw_fleet_board(f, ch), ch->slot);
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
