/*
 * ended.c: see ended.h. Called from fleet.c, in the supervisor's one thread; it must not change the slot.
 */
#include "ended.h"

#include <stdio.h>
#include <sys/wait.h>

#include "clock.h"
#include "log.h"
#include "status.h"

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

void mw_ended_log(const struct mw_fleet *f, const struct mw_child *ch, const struct mw_ended *e)
{
    const struct mw_policy *before = &e->before;
    int left = before->state == MW_POL_DRAINING || before->state == MW_POL_TERMED ||
               before->state == MW_POL_KILLED;
    char how[64], next[32];

    mw_status_text(how, sizeof how, e->status);
    if (before->ready_at ? left && !before->blamed && !before->lost
                         : f->ending || mw_fleet_is_drained(f, ch->group)) {
        mw_log(MW_LOG_INFO, "WSGI0570", "worker %u of group '%s' (pid %ld) %s, as it was told to",
               ch->slot, mw_fleet_name(f, ch), (long)e->pid, how);
    } else if (!before->ready_at) {
        mw_log(MW_LOG_ERR, "WSGI0562",
               "worker %u of group '%s' (pid %ld) could not start: %s%s%s; %s", ch->slot,
               mw_fleet_name(f, ch), (long)e->pid, ch->why, ch->why[0] ? "; it " : "it ", how,
               say_next(ch, next, sizeof next));
    } else if (mw_fleet_spec(f, ch)->threads == 0 && WIFEXITED(e->status) &&
               WEXITSTATUS(e->status) == 0) {
        mw_log(MW_LOG_INFO, "WSGI0768",
               "worker %u of group '%s' (pid %ld): its service scripts have ended; %s", ch->slot,
               mw_fleet_name(f, ch), (long)e->pid, say_next(ch, next, sizeof next));
    } else {
        mw_log(MW_LOG_ERR, "WSGI0563", "worker %u of group '%s' (pid %ld) %s; %s%s", ch->slot,
               mw_fleet_name(f, ch), (long)e->pid, how,
               before->heir == MW_POLICY_NOBODY ? say_next(ch, next, sizeof next)
                                                : "its successor is starting already",
               mw_status_advice(e->status));
    }
}
