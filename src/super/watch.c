/*
 * watch.c: what time does to the workers, see fleet.h: limits that are over, processes of another supervisor,
 * memory. Called by loop.c on every turn; must not wait, nor look at memory more often than it says.
 */
#include "fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "clock.h"
#include "log.h"
#include "memory.h"

#define MEMORY_EVERY_MS 1000   /* how often memory is looked at */
#define FOREIGN_CHECK_MS 100   /* how often a process that is not our child is looked at */
#define MEGABYTE (1024 * 1024) /* for log lines */

static void log_overdue(const struct mw_fleet *f, const struct mw_child *ch)
{
    const char *now = ch->pol->state == MW_POL_STARTING || ch->pol->state == MW_POL_DRAINING
                          ? "terminated"
                          : "killed";

    if (ch->pol->state == MW_POL_STARTING)
        mw_log(MW_LOG_ERR, "WSGI0564",
               "worker %u of group '%s' (pid %ld) was not ready within startup-timeout; %s",
               ch->slot, mw_fleet_name(f, ch), (long)ch->pid, now);
    else
        mw_log(MW_LOG_WARNING, "WSGI0565",
               "worker %u of group '%s' (pid %ld) has not left in time (%s); %s", ch->slot,
               mw_fleet_name(f, ch), (long)ch->pid, mw_policy_state_name(ch->pol->state), now);
}

static int foreign_is_gone(const struct mw_child *ch)
{
    return ch->pol->state == MW_POL_FOREIGN && ch->pid > 0 && kill(ch->pid, 0) && errno == ESRCH;
}

static void forget_foreign(const struct mw_fleet *f, struct mw_child *ch)
{
    mw_board_empty(mw_fleet_board(f, ch), ch->slot);
    ch->pid = 0;
}

/* Above a soft limit a worker is replaced, once it has served long enough that its successor is not
 * replaced for the same reason at once; above a hard limit nothing is waited for. */
static void check_memory(struct mw_fleet *f, struct mw_child *ch, uint64_t now)
{
    const struct mw_spec *spec = mw_fleet_spec(f, ch);
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
               ch->slot, mw_fleet_name(f, ch), (long)ch->pid, (double)bytes / MEGABYTE);
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
        mw_fleet_ask(f, ch, MW_EV_TICK, MW_STR(old));
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
