/*
 * policy.h: when a worker is started, admitted, drained and killed. A pure function of (state of the
 * slot, event, now): no clock, no process, no log in here, so that a test drives years in a moment.
 *
 * Called by loop.c only, which carries the answer out and feeds back what came of it.
 */
#ifndef MW_POLICY_H
#define MW_POLICY_H

#include "base.h"

enum mw_policy_state {
    MW_POL_IDLE,     /* no process */
    MW_POL_WAITING,  /* no process; the next start is at `due` */
    MW_POL_STARTING, /* a process that has not said READY; limit is `due` */
    MW_POL_READY,    /* serves */
    MW_POL_DRAINING, /* was told to leave; limit is `due` */
    MW_POL_TERMED,   /* got SIGTERM; limit is `due` */
    MW_POL_KILLED,   /* got SIGKILL; again at `due` */
    MW_POL_FOREIGN   /* a worker of a supervisor that died still sits in the slot, until `due` */
};
#define MW_POL_STATES (MW_POL_FOREIGN + 1)

enum mw_policy_event {
    MW_EV_WANT,    /* this slot shall have a worker from now on */
    MW_EV_TICK,    /* time has passed */
    MW_EV_READY,   /* the worker said so */
    MW_EV_FAILED,  /* the worker said that a start step failed; it is about to exit */
    MW_EV_RECYCLE, /* the worker asks to be replaced */
    MW_EV_HOSTILE, /* the worker sent what no worker sends */
    MW_EV_STOP,    /* no worker here any more */
    MW_EV_EXITED   /* the process is gone, or could not be forked */
};
#define MW_POL_EVENTS (MW_EV_EXITED + 1)

enum mw_policy_act {
    MW_ACT_NONE,
    MW_ACT_START, /* fork a worker now */
    MW_ACT_ADMIT, /* let requests come */
    MW_ACT_REPLACE, /* tell it to finish and leave; mw_policy_succeed in another slot if one is free */
    MW_ACT_TERM,    /* the first: leave within shutdown-timeout; the second: now */
    MW_ACT_KILL,
    MW_ACT_REFUSE /* not allowed in this state: the worker is broken or hostile, feed HOSTILE */
};
#define MW_POL_ACTS (MW_ACT_REFUSE + 1)

/* Milliseconds. */
#define MW_POLICY_SERVED_MS 10000u      /* ready for so long: its death is no reason to wait */
#define MW_POLICY_BACKOFF_MS 1000u      /* first wait; doubles ... */
#define MW_POLICY_BACKOFF_MAX_MS 60000u /* ... up to this */
#define MW_POLICY_FREE_DEATHS 3u   /* quick deaths in a row that are followed by a start at once */
#define MW_POLICY_RECYCLE_MS 1000u /* replacements of one place are at least so far apart */
#define MW_POLICY_SLACK_MS 1000u   /* beyond what a worker was allowed, before SIGTERM */
#define MW_POLICY_TERM_MS 2000u    /* from SIGTERM to SIGKILL */
#define MW_POLICY_FAILED_MS 1000u  /* from FAILED to the exit */
#define MW_POLICY_KILL_MS 5000u    /* between two SIGKILLs */
#define MW_POLICY_FOREIGN_MS \
    15000u /* beyond graceful and shutdown timeout of a worker left behind */

/* Of one group, from its specification. */
struct mw_policy_limits {
    uint64_t startup_ms; /* 0: none */
    uint64_t graceful_ms;
    uint64_t shutdown_ms;
};

/* One slot. Changed by policy.c only. */
struct mw_policy {
    enum mw_policy_state state;
    int wanted;        /* a worker shall be here again once the slot is free */
    int blamed;        /* it was killed for what it sent: as bad as a quick death */
    unsigned fails;    /* quick deaths and failed starts in a row */
    uint64_t ready_at; /* 0: this process was never ready */
    uint64_t due;      /* when to feed TICK; MW_NO_DEADLINE (clock.h): never */
};

void mw_policy_init(struct mw_policy *p);

/* The slot holds a worker that another supervisor left behind. Only right after mw_policy_init. */
void mw_policy_foreign(struct mw_policy *p, const struct mw_policy_limits *lim, uint64_t now);

/* What to do now. `now` never goes back. Feeding TICK before `due` does nothing. */
MW_MUST_CHECK enum mw_policy_act mw_policy_step(struct mw_policy *p,
                                                const struct mw_policy_limits *lim,
                                                enum mw_policy_event ev, uint64_t now);

/* After REPLACE of `old`: `heir`, an idle slot, takes its place and its history. What to do with it. */
MW_MUST_CHECK enum mw_policy_act mw_policy_succeed(struct mw_policy *heir, struct mw_policy *old,
                                                   const struct mw_policy_limits *lim,
                                                   uint64_t now);

/* True while there is a process of this supervisor in the slot. */
int mw_policy_alive(const struct mw_policy *p);

const char *mw_policy_state_name(enum mw_policy_state s);

#endif
