/*
 * drain.c: the end of a worker: why it leaves, how long its requests have, what becomes of those that take
 * longer. Called by the main thread, see worker.h; waits for nothing but Python's own end.
 */
#include "worker.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "io.h"
#include "limits.h"
#include "log.h"
#include "signalpipe.h"
#include "spread.h"

#define CLAIM_LINGER_MS 500 /* how long a claim without any connection keeps it from leaving */

/* No request can finish, no exit function run. */
static int is_stuck(const char *reason)
{
    return strcmp(reason, MW_PY_STOP_DEADLOCK) == 0;
}

static void drain(struct mw_worker *w, int64_t limit_ms, const char *reason)
{
    if (w->drain_since)
        return;
    w->reason = reason;
    w->drain_since = mw_clock_ms();
    if (!w->drain_since)
        w->drain_since = 1;
    w->drain_until = mw_clock_deadline((uint64_t)limit_ms);
    mw_signalpipe_leaving();
    mw_board_draining(w->board, w->slot);
}

void mw_drain_alone(struct mw_worker *w)
{
    mw_io_close(&w->life);
    mw_limits_alone(&w->spec);
    drain(w, w->spec.graceful_timeout_ms, MW_PY_STOP_SIGNAL);
}

void mw_drain_by_itself(struct mw_worker *w, const char *why, int64_t limit_ms, const char *reason)
{
    if (w->drain_since)
        return;
    if (w->control >= 0)
        (void)!mw_control_tell(w, MW_CTL_LEAVING, why);
    drain(w, limit_ms, reason);
}

void mw_drain_for(struct mw_worker *w, const char *why, const char *reason)
{
    mw_drain_by_itself(w, why, is_stuck(reason) ? 0 : w->spec.graceful_timeout_ms, reason);
}

/* The supervisor has not been asked. It may be because of restart-interval=, of which each process has its
 * own: its pid and incarnation are the seed, there as here. */
static const char *reason_of_age(const struct mw_worker *w)
{
    uint64_t seed = (uint64_t)getpid() << 32 | w->incarnation;
    int64_t age = mw_spread_pick(w->spec.restart_interval_ms, seed);

    return age && mw_clock_ms() - w->ready_ms >= (uint64_t)age ? MW_PY_STOP_INTERVAL
                                                               : MW_PY_STOP_GRACEFUL;
}

void mw_drain_as_told(struct mw_worker *w)
{
    const char *reason = w->asked ? w->asked : reason_of_age(w);
    int64_t ms = w->spec.graceful_timeout_ms;

    if (strcmp(reason, MW_PY_STOP_EVICTION) == 0)
        ms = w->spec.eviction_timeout_ms;
    drain(w, ms, reason);
}

/* A claim on this worker is a request that is on its way. Without any connection it is one whose owner
 * is gone, or whose connection comes very soon. */
int mw_drain_is_over(struct mw_worker *w)
{
    struct mw_slot_info info;
    uint64_t now = mw_clock_ms();

    if (now >= w->drain_until)
        return 1;
    if (mw_monitor_running(&w->monitor) > 0)
        return 0;
    if (mw_board_slot(w->board, w->slot, &info) || info.claimed == 0)
        return 1;
    if (w->life < 0 && mw_intake_conns(&w->intake) == 0)
        return 1;
    return mw_intake_conns(&w->intake) == 0 && now - w->drain_since >= CLAIM_LINGER_MS;
}

void mw_drain_end(struct mw_worker *w)
{
    unsigned running = mw_monitor_running(&w->monitor);

    if (running) {
        mw_log(MW_LOG_WARNING, "WSGI0580",
               "%u request%s still running after the time to finish; cut when the process ends",
               running, running == 1 ? " is" : "s are");
        mw_monitor_log_cut(&w->monitor, w->reason);
    }
    mw_intake_stop(&w->intake);
    if (!is_stuck(w->reason))
        w->runtime->stop((uint64_t)w->spec.shutdown_timeout_ms, w->reason);
}
