/*
 * policy.c: the table of states and events behind policy.h. Pure.
 */
#include "policy.h"

#include <assert.h>

#include "clock.h"

#define FAILS_MAX 32u /* where the count stops; far beyond the longest wait */

typedef enum mw_policy_act step_fn(struct mw_policy *p, const struct mw_policy_limits *lim,
                                   uint64_t now);

static uint64_t later(uint64_t now, uint64_t ms)
{
    return ms > MW_NO_DEADLINE - now ? MW_NO_DEADLINE : now + ms;
}

static void enter(struct mw_policy *p, enum mw_policy_state state, uint64_t due)
{
    p->state = state;
    p->due = due;
}

void mw_policy_init(struct mw_policy *p)
{
    *p = (struct mw_policy){.state = MW_POL_IDLE, .due = MW_NO_DEADLINE};
}

void mw_policy_foreign(struct mw_policy *p, const struct mw_policy_limits *lim, uint64_t now)
{
    uint64_t due = later(later(now, lim->graceful_ms), lim->shutdown_ms);
    assert(p->state == MW_POL_IDLE);
    enter(p, MW_POL_FOREIGN, later(due, MW_POLICY_FOREIGN_MS));
}

int mw_policy_alive(const struct mw_policy *p)
{
    return p->state >= MW_POL_STARTING && p->state <= MW_POL_KILLED;
}

const char *mw_policy_state_name(enum mw_policy_state s)
{
    static const char *const names[] = {"idle",     "waiting",    "starting", "ready",
                                        "draining", "terminated", "killed",   "foreign"};
    return (unsigned)s < MW_ARRAY_LEN(names) ? names[s] : "?";
}

/* -- what the table calls -- */

static enum mw_policy_act start(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    p->ready_at = 0;
    p->blamed = 0;
    enter(p, MW_POL_STARTING, lim->startup_ms ? later(now, lim->startup_ms) : MW_NO_DEADLINE);
    return MW_ACT_START;
}

static enum mw_policy_act start_at(struct mw_policy *p, const struct mw_policy_limits *lim,
                                   uint64_t at, uint64_t now)
{
    if (at <= now)
        return start(p, lim, now);
    enter(p, MW_POL_WAITING, at);
    return MW_ACT_NONE;
}

static enum mw_policy_act nothing(struct mw_policy *p, const struct mw_policy_limits *lim,
                                  uint64_t now)
{
    (void)p, (void)lim, (void)now;
    return MW_ACT_NONE;
}

static enum mw_policy_act refuse(struct mw_policy *p, const struct mw_policy_limits *lim,
                                 uint64_t now)
{
    (void)p, (void)lim, (void)now;
    return MW_ACT_REFUSE;
}

static enum mw_policy_act want(struct mw_policy *p, const struct mw_policy_limits *lim,
                               uint64_t now)
{
    p->wanted = 1;
    return start(p, lim, now);
}

static enum mw_policy_act want_later(struct mw_policy *p, const struct mw_policy_limits *lim,
                                     uint64_t now)
{
    (void)lim, (void)now;
    p->wanted = 1;
    return MW_ACT_NONE;
}

static enum mw_policy_act ready(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    (void)lim;
    p->ready_at = now ? now : 1;
    enter(p, MW_POL_READY, MW_NO_DEADLINE);
    return MW_ACT_ADMIT;
}

static enum mw_policy_act failed(struct mw_policy *p, const struct mw_policy_limits *lim,
                                 uint64_t now)
{
    (void)lim;
    enter(p, MW_POL_TERMED, later(now, MW_POLICY_FAILED_MS));
    return MW_ACT_NONE;
}

static void drain(struct mw_policy *p, const struct mw_policy_limits *lim, uint64_t now)
{
    uint64_t due = later(later(now, lim->graceful_ms), lim->shutdown_ms);
    enter(p, MW_POL_DRAINING, later(due, MW_POLICY_SLACK_MS));
}

static enum mw_policy_act recycle(struct mw_policy *p, const struct mw_policy_limits *lim,
                                  uint64_t now)
{
    drain(p, lim, now);
    return MW_ACT_REPLACE;
}

static enum mw_policy_act term(struct mw_policy *p, const struct mw_policy_limits *lim,
                               uint64_t now)
{
    (void)lim;
    enter(p, MW_POL_TERMED, later(now, MW_POLICY_TERM_MS));
    return MW_ACT_TERM;
}

/* How long a worker may take that was told to stop: shutdown-timeout for its requests, and again for
 * what the application does at exit. */
static uint64_t stop_limit(const struct mw_policy_limits *lim, uint64_t now)
{
    return later(later(later(now, lim->shutdown_ms), lim->shutdown_ms), MW_POLICY_SLACK_MS);
}

/* No graceful-timeout: when the generation ends no child is left that could take an answer. A first
 * SIGTERM tells the worker that; the second one, when it is overdue, makes it say where it hangs. */
static enum mw_policy_act stop_ready(struct mw_policy *p, const struct mw_policy_limits *lim,
                                     uint64_t now)
{
    p->wanted = 0;
    enter(p, MW_POL_DRAINING, stop_limit(lim, now));
    return MW_ACT_TERM;
}

/* Its second SIGTERM would end it at once; it gets as long as the others. */
static enum mw_policy_act stop_draining(struct mw_policy *p, const struct mw_policy_limits *lim,
                                        uint64_t now)
{
    uint64_t due = stop_limit(lim, now);

    p->wanted = 0;
    if (due < p->due)
        p->due = due;
    return MW_ACT_NONE;
}

static enum mw_policy_act kill_it(struct mw_policy *p, const struct mw_policy_limits *lim,
                                  uint64_t now)
{
    (void)lim;
    enter(p, MW_POL_KILLED, later(now, MW_POLICY_KILL_MS));
    return MW_ACT_KILL;
}

static enum mw_policy_act blame(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    p->blamed = 1;
    return kill_it(p, lim, now);
}

static enum mw_policy_act stop_starting(struct mw_policy *p, const struct mw_policy_limits *lim,
                                        uint64_t now)
{
    p->wanted = 0;
    return term(p, lim, now);
}

static enum mw_policy_act stop_empty(struct mw_policy *p, const struct mw_policy_limits *lim,
                                     uint64_t now)
{
    (void)lim, (void)now;
    p->wanted = 0;
    enter(p, MW_POL_IDLE, MW_NO_DEADLINE);
    return MW_ACT_NONE;
}

/* It leaves, or is not ours: only do not put another one here. */
static enum mw_policy_act stop_leaving(struct mw_policy *p, const struct mw_policy_limits *lim,
                                       uint64_t now)
{
    (void)lim, (void)now;
    p->wanted = 0;
    return MW_ACT_NONE;
}

/* How long to wait after the death of a worker, and one more on the count. */
static uint64_t backoff(struct mw_policy *p)
{
    uint64_t ms = 0;
    if (p->fails >= MW_POLICY_FREE_DEATHS) {
        unsigned doubled = p->fails - MW_POLICY_FREE_DEATHS;
        ms = doubled < 16 ? (uint64_t)MW_POLICY_BACKOFF_MS << doubled : MW_POLICY_BACKOFF_MAX_MS;
        if (ms > MW_POLICY_BACKOFF_MAX_MS)
            ms = MW_POLICY_BACKOFF_MAX_MS;
    }
    if (p->fails < FAILS_MAX)
        p->fails++;
    return ms;
}

static enum mw_policy_act exited(struct mw_policy *p, const struct mw_policy_limits *lim,
                                 uint64_t now)
{
    int told_to = p->state != MW_POL_READY && p->ready_at && !p->blamed;
    uint64_t wait = 0;

    if (!p->ready_at) {
        if (p->fails < MW_POLICY_FREE_DEATHS)
            p->fails = MW_POLICY_FREE_DEATHS;
        wait = backoff(p);
    } else if (now - p->ready_at >= MW_POLICY_SERVED_MS) {
        p->fails = 0;
    } else if (!told_to) {
        wait = backoff(p);
    }
    p->ready_at = 0;
    enter(p, MW_POL_IDLE, MW_NO_DEADLINE);
    return p->wanted ? start_at(p, lim, later(now, wait), now) : MW_ACT_NONE;
}

static enum mw_policy_act freed(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    enter(p, MW_POL_IDLE, MW_NO_DEADLINE);
    return p->wanted ? start(p, lim, now) : MW_ACT_NONE;
}

/* -- the table -- */

/* NULL: cannot happen, whatever workers and children do; a mistake in loop.c. */
/* clang-format off */
static step_fn *const table[MW_POL_STATES][MW_POL_EVENTS] = {
    /*                    WANT        TICK     READY    FAILED   RECYCLE  HOSTILE  STOP           EXITED */
    [MW_POL_IDLE] =     { want,       nothing, NULL,    NULL,    NULL,    NULL,    stop_empty,    NULL   },
    [MW_POL_WAITING] =  { nothing,    start,   NULL,    NULL,    NULL,    NULL,    stop_empty,    NULL   },
    [MW_POL_STARTING] = { want_later, term,    ready,   failed,  refuse,  blame,   stop_starting, exited },
    [MW_POL_READY] =    { want_later, nothing, refuse,  refuse,  recycle, blame,   stop_ready,    exited },
    [MW_POL_DRAINING] = { want_later, term,    refuse,  refuse,  nothing, blame,   stop_draining, exited },
    [MW_POL_TERMED] =   { want_later, kill_it, nothing, nothing, nothing, blame,   stop_leaving,  exited },
    [MW_POL_KILLED] =   { want_later, kill_it, nothing, nothing, nothing, nothing, stop_leaving,  exited },
    [MW_POL_FOREIGN] =  { want_later, freed,   NULL,    NULL,    NULL,    NULL,    stop_leaving,  freed  },
};
/* clang-format on */

enum mw_policy_act mw_policy_step(struct mw_policy *p, const struct mw_policy_limits *lim,
                                  enum mw_policy_event ev, uint64_t now)
{
    step_fn *fn = table[p->state][ev];
    assert(fn);
    if (!fn || (ev == MW_EV_TICK && now < p->due))
        return MW_ACT_NONE;
    return fn(p, lim, now);
}

enum mw_policy_act mw_policy_succeed(struct mw_policy *heir, struct mw_policy *old,
                                     const struct mw_policy_limits *lim, uint64_t now)
{
    uint64_t earliest = later(old->ready_at, MW_POLICY_RECYCLE_MS);
    int served = now - old->ready_at >= MW_POLICY_SERVED_MS;

    assert(heir->state == MW_POL_IDLE && !heir->wanted);
    assert(old->state == MW_POL_DRAINING && old->wanted);
    old->wanted = 0;
    heir->wanted = 1;
    heir->fails = served ? 0 : old->fails;
    return start_at(heir, lim, earliest, now);
}
