/*
 * policy.h: when a worker is started, admitted, replaced, drained and killed. Pure functions of (state
 * of the slots, event, now): no clock, no process, no log in here, so that a test drives years in a
 * moment.
 *
 * Asked for a decision by fleet.c only, which carries it out and feeds back what came of it.
 */
#ifndef MW_POLICY_H
#define MW_POLICY_H

#include "base.h"

enum mw_policy_state {
    MW_POL_IDLE,     /* no process */
    MW_POL_WAITING,  /* no process; the next start is at `due` */
    MW_POL_STARTING, /* a process that has not said READY; limit is `due` */
    MW_POL_READY,    /* serves; at `due` it is old enough to be replaced */
    MW_POL_ASKED,    /* serves; is to be replaced when it is its turn, not before `due` */
    MW_POL_ROLLING,  /* serves; the process in `heir` starts and will take its place */
    MW_POL_DRAINING, /* was told to leave, or leaves by itself; limit is `due` */
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
    MW_EV_RECYCLE, /* the worker asks to be replaced, and serves until then */
    MW_EV_LEAVING, /* the worker leaves, for a reason that cannot wait */
    MW_EV_REPLACE, /* somebody else wants it replaced: operator, memory */
    MW_EV_SERVED,  /* it has finished a request since it was started */
    MW_EV_LOST,    /* it cannot be reached any more, most likely because it has just died */
    MW_EV_KILL,    /* the worker must not go on: hostile, or over a hard limit */
    MW_EV_RETIRE,  /* no worker here until WANT; one that serves finishes its requests */
    MW_EV_STOP,    /* no worker here any more */
    MW_EV_EXITED   /* the process is gone, or could not be forked */
};
#define MW_POL_EVENTS (MW_EV_EXITED + 1)

enum mw_policy_act {
    MW_ACT_NONE,
    MW_ACT_START, /* fork a worker now */
    MW_ACT_ADMIT, /* let requests come */
    MW_ACT_DRAIN, /* tell it to finish and leave */
    MW_ACT_KEEP,  /* its successor could not start: it serves on, the next try is at `due` */
    MW_ACT_TERM,  /* the first: leave within shutdown-timeout; the second: now */
    MW_ACT_KILL,
    MW_ACT_REFUSE /* not allowed in this state: the worker is broken or hostile, feed KILL */
};
#define MW_POL_ACTS (MW_ACT_REFUSE + 1)

/* Milliseconds. */
#define MW_POLICY_SERVED_MS 10000u      /* ready for so long: its death is no reason to wait */
#define MW_POLICY_BACKOFF_MS 1000u      /* first wait; doubles ... */
#define MW_POLICY_QUICK_MS 50u          /* the same for one that was ready but had not served */
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
    uint64_t restart_ms; /* how long this worker serves before it is replaced; 0: for ever */
};

#define MW_POLICY_NOBODY UINT32_MAX

/* One slot. Changed by policy.c only. */
struct mw_policy {
    enum mw_policy_state state;
    int wanted;         /* a worker shall be here again once the slot is free */
    int blamed;         /* it was killed for what it did: as bad as a quick death */
    int lost;           /* it went without being told to */
    int served;         /* it has finished a request: its death is no reason to wait */
    int trial;          /* it was started while another one still served in its place */
    int again;          /* it was asked for once more while it started, or its successor did */
    unsigned fails;     /* quick deaths and failed starts in a row */
    unsigned tries;     /* successors in a row that could not start */
    uint32_t heir;      /* ROLLING: slot of the successor; MW_POLICY_NOBODY: none */
    uint32_t elder;     /* of a successor that starts: slot of the one it is to replace */
    uint64_t ready_at;  /* 0: this process was never ready */
    uint64_t asked_at;  /* ASKED: since when */
    uint64_t news_at;   /* ASKED: when it was last asked for */
    uint64_t tried_at;  /* when a successor was last started; 0: never */
    uint64_t failed_at; /* with tries: when the last successor failed */
    uint64_t due;       /* when to feed TICK; MW_NO_DEADLINE (clock.h): never */
};

void mw_policy_init(struct mw_policy *p);

/* The slot holds a worker that another supervisor left behind. Only right after mw_policy_init. */
void mw_policy_foreign(struct mw_policy *p, const struct mw_policy_limits *lim, uint64_t now);

/* What to do now with one slot. `now` never goes back. Feeding TICK before `due` does nothing.
 * mw_policy_settle follows, until it has nothing more. */
MW_MUST_CHECK enum mw_policy_act mw_policy_step(struct mw_policy *p,
                                                const struct mw_policy_limits *lim,
                                                enum mw_policy_event ev, uint64_t now);

/* What a change of one slot, or time, means for the others of its group: successors are started, one
 * at a time, and take over. *slot_r: whom the answer is about. NONE: nothing more for now. */
MW_MUST_CHECK enum mw_policy_act mw_policy_settle(struct mw_policy *slots, unsigned n,
                                                  const struct mw_policy_limits *lim, uint64_t now,
                                                  unsigned *slot_r);

/* When time alone will change something, MW_NO_DEADLINE: never. Not `due`: a worker that waits for its
 * turn is past it. */
uint64_t mw_policy_wake(const struct mw_policy *p, uint64_t now);

/* True while there is a process of this supervisor in the slot. */
int mw_policy_alive(const struct mw_policy *p);
/* True while requests may be sent to it. */
int mw_policy_serves(const struct mw_policy *p);

const char *mw_policy_state_name(enum mw_policy_state s);

#endif
