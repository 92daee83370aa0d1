/*
 * act.c: see act.h. It must not step or settle a policy: what an act leads to is fed back by fleet.c.
 */
#include "act.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "io.h"
#include "log.h"

/* What the successor of `elder` must be able to import: all that the group's workers have, so that a
 * deployment is good for all of them or for none. */
static int make_trial(const struct mw_fleet *f, const struct mw_child *elder, struct mw_spec *out)
{
    const struct mw_spec *spec = mw_fleet_spec(f, elder);
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
                          .group = mw_fleet_group(f, ch),
                          .spec = mw_fleet_spec(f, ch),
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

int mw_act_start(struct mw_fleet *f, struct mw_child *ch)
{
    struct mw_child *elder = mw_fleet_elder(f, ch);
    int rv = spawn(f, ch, elder);

    ch->started = ++f->starts;
    ch->started_ms = mw_clock_ms();
    ch->why[0] = ch->cause[0] = ch->failure[0] = '\0';
    ch->whole = 0;
    if (rv) {
        const char *why = rv == MW_EIO ? strerror(errno) : mw_err_text(rv);
        ch->pid = 0;
        mw_log(MW_LOG_ERR, "WSGI0567", "worker %u of group '%s' could not be forked: %s", ch->slot,
               mw_fleet_name(f, ch), why);
        if (elder)
            snprintf(elder->failure, sizeof elder->failure, "could not be forked: %s", why);
        return rv;
    }
    ch->incarnation = mw_board_starting(mw_fleet_board(f, ch), ch->slot, ch->pid);
    /* If it is gone already, SIGCHLD tells. */
    (void)!mw_spawn_release(ch->control, ch->incarnation);
    mw_log(MW_LOG_DEBUG, "WSGI0560", "worker %u of group '%s' is starting as pid %ld", ch->slot,
           mw_fleet_name(f, ch), (long)ch->pid);
    return 0;
}

void mw_act_admit(struct mw_fleet *f, struct mw_child *ch)
{
    mw_board_ready(mw_fleet_board(f, ch), ch->slot);
    mw_handover_flush(ch);
    mw_log(MW_LOG_INFO, "WSGI0561", "worker %u of group '%s' (pid %ld) is ready", ch->slot,
           mw_fleet_name(f, ch), (long)ch->pid);
}

void mw_act_drain(struct mw_fleet *f, struct mw_child *ch)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl = {.type = MW_CTL_DRAIN,
                         .group = (uint16_t)ch->group,
                         .slot = (uint16_t)ch->slot,
                         .incarnation = ch->incarnation};
    int n = mw_ctl_encode(msg, &ctl);

    mw_log(MW_LOG_INFO, "WSGI0566", "worker %u of group '%s' (pid %ld) %s: %s", ch->slot,
           mw_fleet_name(f, ch), (long)ch->pid,
           mw_fleet_is_drained(f, ch->group) ? "finishes its requests and leaves" : "is replaced",
           ch->cause[0] ? ch->cause : "it asked for it");
    mw_board_draining(mw_fleet_board(f, ch), ch->slot);
    mw_handover_flush(ch);
    /* SIGUSR1 says the same to a process that drains already, or cannot read. */
    if (n < 0 || ch->control < 0 || mw_io_send_msg(ch->control, msg, (size_t)n, -1))
        (void)kill(ch->pid, SIGUSR1);
}

void mw_act_keep(struct mw_fleet *f, struct mw_child *ch)
{
    uint64_t now = mw_clock_ms();
    uint64_t ms = ch->pol->due > now ? ch->pol->due - now : 0;

    ch->failed = f->starts;
    mw_log(ch->pol->tries > 1 ? MW_LOG_INFO : MW_LOG_ERR, "WSGI0740",
           "worker %u of group '%s' (pid %ld) is not replaced: its successor %s; it serves on with "
           "what it has, next try in %llu s",
           ch->slot, mw_fleet_name(f, ch), (long)ch->pid, ch->failure,
           (unsigned long long)((ms + 500) / 1000));
}
