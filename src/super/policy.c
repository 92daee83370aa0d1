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
    *p = (struct mw_policy){.state = MW_POL_IDLE,
                            .heir = MW_POLICY_NOBODY,
                            .elder = MW_POLICY_NOBODY,
                            .due = MW_NO_DEADLINE};
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

int mw_policy_serves(const struct mw_policy *p)
{
    return p->state >= MW_POL_READY && p->state <= MW_POL_ROLLING;
}

uint64_t mw_policy_wake(const struct mw_policy *p, uint64_t now)
{
    return p->state == MW_POL_ASKED && p->due <= now ? MW_NO_DEADLINE : p->due;
}

const char *mw_policy_state_name(enum mw_policy_state s)
{
    static const char *const names[] = {"idle",    "waiting",  "starting",   "ready",  "asked",
                                        "rolling", "draining", "terminated", "killed", "foreign"};
    return (unsigned)s < MW_ARRAY_LEN(names) ? names[s] : "?";
}

/* -- what the table calls -- */

static enum mw_policy_act start(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    p->ready_at = 0;
    p->blamed = 0;
    p->lost = 0;
    p->served = 0;
    p->trial = 0;
    p->again = 0;
    p->tries = 0;
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

/* When a successor may be started: neither a worker nor its file can make us do it more often than
 * once a second. */
static uint64_t earliest_try(const struct mw_policy *p, uint64_t now)
{
    uint64_t since = p->tried_at > p->ready_at ? p->tried_at : p->ready_at;
    uint64_t at = later(since, MW_POLICY_RECYCLE_MS);

    return at > now ? at : now;
}

static enum mw_policy_act ask(struct mw_policy *p, const struct mw_policy_limits *lim, uint64_t now)
{
    (void)lim;
    p->asked_at = p->news_at = now;
    p->tries = 0;
    enter(p, MW_POL_ASKED, earliest_try(p, now));
    return MW_ACT_NONE;
}

/* While it waits for its turn, or after a successor that failed: there is something new, which is no
 * reason to wait any longer, and it keeps its place in the row. */
static enum mw_policy_act ask_again(struct mw_policy *p, const struct mw_policy_limits *lim,
                                    uint64_t now)
{
    (void)lim;
    p->news_at = now;
    p->tries = 0;
    p->due = earliest_try(p, now);
    return MW_ACT_NONE;
}

static enum mw_policy_act served(struct mw_policy *p, const struct mw_policy_limits *lim,
                                 uint64_t now)
{
    (void)lim, (void)now;
    p->served = 1;
    return MW_ACT_NONE;
}

static enum mw_policy_act remember(struct mw_policy *p, const struct mw_policy_limits *lim,
                                   uint64_t now)
{
    (void)lim, (void)now;
    p->again = 1;
    return MW_ACT_NONE;
}

static enum mw_policy_act ready(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    p->ready_at = now ? now : 1;
    enter(p, MW_POL_READY, lim->restart_ms ? later(now, lim->restart_ms) : MW_NO_DEADLINE);
    if (p->again)
        (void)ask(p, lim, now);
    p->again = 0;
    return MW_ACT_ADMIT;
}

static enum mw_policy_act failed(struct mw_policy *p, const struct mw_policy_limits *lim,
                                 uint64_t now)
{
    (void)lim;
    enter(p, MW_POL_TERMED, later(now, MW_POLICY_FAILED_MS));
    return MW_ACT_NONE;
}

static enum mw_policy_act leave(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    uint64_t due = later(later(now, lim->graceful_ms), lim->shutdown_ms);

    enter(p, MW_POL_DRAINING, later(due, MW_POLICY_SLACK_MS));
    return MW_ACT_DRAIN;
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

static enum mw_policy_act lose(struct mw_policy *p, const struct mw_policy_limits *lim,
                               uint64_t now)
{
    p->lost = 1;
    return kill_it(p, lim, now);
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

static enum mw_policy_act retire(struct mw_policy *p, const struct mw_policy_limits *lim,
                                 uint64_t now)
{
    p->wanted = 0;
    return leave(p, lim, now);
}

/* `first` milliseconds, then twice, four times as many and so on, after `n` failures before this one. */
static uint64_t doubled(uint64_t first, unsigned n)
{
    uint64_t ms = n < 16 ? first << n : MW_POLICY_BACKOFF_MAX_MS;

    return ms < MW_POLICY_BACKOFF_MAX_MS ? ms : MW_POLICY_BACKOFF_MAX_MS;
}

/* How long to wait after the death of a worker, and one more on the count. */
static uint64_t backoff(struct mw_policy *p, uint64_t first)
{
    unsigned free = MW_POLICY_FREE_DEATHS;
    uint64_t ms = p->fails < free ? 0 : doubled(first, p->fails - free);

    if (p->fails < FAILS_MAX)
        p->fails++;
    return ms;
}

/* What this death says about how soon the next may start. */
static uint64_t wait_after(struct mw_policy *p, uint64_t now)
{
    int told_to = !mw_policy_serves(p) && p->ready_at && !p->blamed && !p->lost;

    if (!p->ready_at) {
        if (p->trial)
            return 0; /* it had to prove more than one that is started with nothing to lose */
        if (p->fails < MW_POLICY_FREE_DEATHS)
            p->fails = MW_POLICY_FREE_DEATHS;
        return backoff(p, MW_POLICY_BACKOFF_MS);
    }
    if ((p->served && !p->blamed) || now - p->ready_at >= MW_POLICY_SERVED_MS) {
        p->fails = 0;
        return 0;
    }
    return told_to ? 0 : backoff(p, MW_POLICY_QUICK_MS);
}

static enum mw_policy_act exited(struct mw_policy *p, const struct mw_policy_limits *lim,
                                 uint64_t now)
{
    uint64_t wait = wait_after(p, now);

    p->ready_at = 0;
    enter(p, MW_POL_IDLE, MW_NO_DEADLINE);
    if (!p->wanted || p->heir != MW_POLICY_NOBODY) /* whose successor is starting: settle */
        return MW_ACT_NONE;
    return start_at(p, lim, later(now, wait), now);
}

static enum mw_policy_act freed(struct mw_policy *p, const struct mw_policy_limits *lim,
                                uint64_t now)
{
    enter(p, MW_POL_IDLE, MW_NO_DEADLINE);
    return p->wanted ? start(p, lim, now) : MW_ACT_NONE;
}

/* -- the table -- */

/* NULL: cannot happen, whatever workers and children do; a mistake in fleet.c. */
/* clang-format off */
static step_fn *const table[MW_POL_STATES][MW_POL_EVENTS] = {
    [MW_POL_IDLE] = {
        [MW_EV_RETIRE] = stop_empty,
        [MW_EV_WANT] = want,          [MW_EV_TICK] = nothing,
        [MW_EV_REPLACE] = nothing,    [MW_EV_STOP] = stop_empty,
        [MW_EV_SERVED] = nothing,     [MW_EV_LOST] = nothing,
    },
    [MW_POL_WAITING] = {
        [MW_EV_RETIRE] = stop_empty,
        [MW_EV_WANT] = nothing,       [MW_EV_TICK] = start,
        [MW_EV_REPLACE] = start,      [MW_EV_STOP] = stop_empty,
        [MW_EV_SERVED] = nothing,     [MW_EV_LOST] = nothing,
    },
    [MW_POL_STARTING] = {
        [MW_EV_RETIRE] = stop_starting,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = term,
        [MW_EV_READY] = ready,        [MW_EV_FAILED] = failed,
        [MW_EV_RECYCLE] = refuse,     [MW_EV_LEAVING] = refuse,
        [MW_EV_REPLACE] = remember,   [MW_EV_KILL] = blame,
        [MW_EV_STOP] = stop_starting, [MW_EV_EXITED] = exited,
        [MW_EV_SERVED] = served,      [MW_EV_LOST] = lose,
    },
    [MW_POL_READY] = {
        [MW_EV_RETIRE] = retire,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = ask,
        [MW_EV_READY] = refuse,       [MW_EV_FAILED] = refuse,
        [MW_EV_RECYCLE] = ask,        [MW_EV_LEAVING] = leave,
        [MW_EV_REPLACE] = ask,        [MW_EV_KILL] = blame,
        [MW_EV_STOP] = stop_ready,    [MW_EV_EXITED] = exited,
        [MW_EV_SERVED] = served,      [MW_EV_LOST] = lose,
    },
    [MW_POL_ASKED] = {
        [MW_EV_RETIRE] = retire,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = nothing,
        [MW_EV_READY] = refuse,       [MW_EV_FAILED] = refuse,
        [MW_EV_RECYCLE] = ask_again,  [MW_EV_LEAVING] = leave,
        [MW_EV_REPLACE] = ask_again,  [MW_EV_KILL] = blame,
        [MW_EV_STOP] = stop_ready,    [MW_EV_EXITED] = exited,
        [MW_EV_SERVED] = served,      [MW_EV_LOST] = lose,
    },
    [MW_POL_ROLLING] = {
        [MW_EV_RETIRE] = retire,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = nothing,
        [MW_EV_READY] = refuse,       [MW_EV_FAILED] = refuse,
        [MW_EV_RECYCLE] = remember,   [MW_EV_LEAVING] = leave,
        [MW_EV_REPLACE] = remember,   [MW_EV_KILL] = blame,
        [MW_EV_STOP] = stop_ready,    [MW_EV_EXITED] = exited,
        [MW_EV_SERVED] = served,      [MW_EV_LOST] = lose,
    },
    [MW_POL_DRAINING] = {
        [MW_EV_RETIRE] = stop_leaving,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = term,
        [MW_EV_READY] = refuse,       [MW_EV_FAILED] = refuse,
        [MW_EV_RECYCLE] = nothing,    [MW_EV_LEAVING] = nothing,
        [MW_EV_REPLACE] = nothing,    [MW_EV_KILL] = blame,
        [MW_EV_STOP] = stop_draining, [MW_EV_EXITED] = exited,
        [MW_EV_SERVED] = served,      [MW_EV_LOST] = nothing,
    },
    [MW_POL_TERMED] = {
        [MW_EV_RETIRE] = stop_leaving,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = kill_it,
        [MW_EV_READY] = nothing,      [MW_EV_FAILED] = nothing,
        [MW_EV_RECYCLE] = nothing,    [MW_EV_LEAVING] = nothing,
        [MW_EV_REPLACE] = nothing,    [MW_EV_KILL] = blame,
        [MW_EV_STOP] = stop_leaving,  [MW_EV_EXITED] = exited,
        [MW_EV_SERVED] = served,      [MW_EV_LOST] = nothing,
    },
    [MW_POL_KILLED] = {
        [MW_EV_RETIRE] = stop_leaving,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = kill_it,
        [MW_EV_READY] = nothing,      [MW_EV_FAILED] = nothing,
        [MW_EV_RECYCLE] = nothing,    [MW_EV_LEAVING] = nothing,
        [MW_EV_REPLACE] = nothing,    [MW_EV_KILL] = nothing,
        [MW_EV_STOP] = stop_leaving,  [MW_EV_EXITED] = exited,
        [MW_EV_SERVED] = served,      [MW_EV_LOST] = nothing,
    },
    [MW_POL_FOREIGN] = {
        [MW_EV_RETIRE] = stop_leaving,
        [MW_EV_WANT] = want_later,    [MW_EV_TICK] = freed,
        [MW_EV_REPLACE] = nothing,    [MW_EV_STOP] = stop_leaving,
        [MW_EV_EXITED] = freed,
        [MW_EV_SERVED] = nothing,     [MW_EV_LOST] = nothing,
    },
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

/* -- a group -- */

/* A slot without a process that is not meant to have one; n if there is none. */
static unsigned spare(const struct mw_policy *slots, unsigned n)
{
    unsigned i = 0;

    while (i < n && (slots[i].state != MW_POL_IDLE || slots[i].wanted))
        i++;
    return i;
}

/* The heir has old's place from now on, and its history. */
static void succeed(struct mw_policy *heir, struct mw_policy *old, uint64_t now)
{
    int served = old->ready_at && now - old->ready_at >= MW_POLICY_SERVED_MS;

    heir->wanted = old->wanted;
    heir->fails = served ? 0 : old->fails;
    old->wanted = 0;
    old->again = 0;
    old->heir = MW_POLICY_NOBODY;
    heir->elder = MW_POLICY_NOBODY;
}

/* The successor of `old` could not start: later again, or soon if there is something new to try. */
static enum mw_policy_act keep(struct mw_policy *old, struct mw_policy *heir, uint64_t now)
{
    old->heir = MW_POLICY_NOBODY;
    heir->elder = MW_POLICY_NOBODY;
    old->failed_at = now;
    if (old->again) {
        old->tries = 0;
        old->news_at = now;
        enter(old, MW_POL_ASKED, earliest_try(old, now));
    } else {
        enter(old, MW_POL_ASKED, later(now, doubled(MW_POLICY_BACKOFF_MS, old->tries)));
    }
    if (old->tries < FAILS_MAX)
        old->tries++;
    old->again = 0;
    return MW_ACT_KEEP;
}

/* A slot that has an heir: has the heir become ready, or failed, or has the old one gone before? */
static enum mw_policy_act roll(struct mw_policy *old, struct mw_policy *heir,
                               const struct mw_policy_limits *lim, uint64_t now)
{
    if (old->state != MW_POL_ROLLING) {
        succeed(heir, old, now);
        return heir->state == MW_POL_IDLE && heir->wanted ? start(heir, lim, now) : MW_ACT_NONE;
    }
    if (mw_policy_serves(heir)) {
        succeed(heir, old, now);
        return leave(old, lim, now);
    }
    return heir->state == MW_POL_IDLE ? keep(old, heir, now) : MW_ACT_NONE;
}

/* A successor of another one of this group has just failed, and nothing new is known since: this one's
 * would fail too. */
static int is_held_back(const struct mw_policy *slots, unsigned n, const struct mw_policy *p,
                        uint64_t now)
{
    for (const struct mw_policy *q = slots; q < slots + n; q++) {
        if (q != p && q->state == MW_POL_ASKED && q->tries && q->due > now &&
            q->failed_at >= p->news_at)
            return 1;
    }
    return 0;
}

/* Whose turn it is to get a successor: who has asked first. n: nobody's. */
static unsigned next_turn(const struct mw_policy *slots, unsigned n, uint64_t now)
{
    unsigned best = n;

    for (unsigned i = 0; i < n; i++) {
        const struct mw_policy *p = &slots[i];
        if (p->heir != MW_POLICY_NOBODY)
            return n; /* one at a time */
        if (p->state == MW_POL_ASKED && p->due <= now &&
            (best == n || p->asked_at < slots[best].asked_at) && !is_held_back(slots, n, p, now))
            best = i;
    }
    return best;
}

/* The worker in `old` has to go at once, and its place is not taken yet. */
static int leaves_a_gap(const struct mw_policy *old)
{
    return old->state == MW_POL_DRAINING && old->wanted && old->ready_at;
}

static enum mw_policy_act fill_gap(struct mw_policy *old, struct mw_policy *heir,
                                   const struct mw_policy_limits *lim, uint64_t now)
{
    uint64_t earliest = later(old->ready_at, MW_POLICY_RECYCLE_MS);

    succeed(heir, old, now);
    return start_at(heir, lim, earliest, now);
}

enum mw_policy_act mw_policy_settle(struct mw_policy *slots, unsigned n,
                                    const struct mw_policy_limits *lim, uint64_t now,
                                    unsigned *slot_r)
{
    enum mw_policy_act act = MW_ACT_NONE;

    for (unsigned i = 0; i < n && act == MW_ACT_NONE; i++) {
        uint32_t heir = slots[i].heir;
        if (heir == MW_POLICY_NOBODY)
            continue;
        act = roll(&slots[i], &slots[heir], lim, now);
        *slot_r = act == MW_ACT_START ? heir : i;
    }
    for (unsigned i = 0; i < n && act == MW_ACT_NONE; i++) {
        *slot_r = leaves_a_gap(&slots[i]) ? spare(slots, n) : n;
        if (*slot_r < n)
            act = fill_gap(&slots[i], &slots[*slot_r], lim, now);
    }
    if (act != MW_ACT_NONE)
        return act;
    unsigned old = next_turn(slots, n, now);
    *slot_r = spare(slots, n);
    if (old == n || *slot_r == n)
        return MW_ACT_NONE;
    slots[old].heir = *slot_r;
    slots[old].tried_at = now;
    enter(&slots[old], MW_POL_ROLLING, MW_NO_DEADLINE);
    act = start(&slots[*slot_r], lim, now);
    slots[*slot_r].elder = old;
    slots[*slot_r].trial = 1;
    return act;
}
