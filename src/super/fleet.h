/*
 * fleet.h: the workers of all groups, and how what policy.c decides is done to them. Whoever wants
 * something done to a worker (its own messages, its death, time, the operator) says it here.
 *
 * Supervisor only, in its one thread; nothing waits.
 */
#ifndef MW_FLEET_H
#define MW_FLEET_H

#include "child.h"

struct mw_fleet {
    const struct mw_super_config *cfg;
    struct mw_children cs;
    int life_r;         /* the workers' life pipe: they see its end when this process is gone */
    int ending;         /* no worker is wanted any more */
    int watches_memory; /* a group has a limit */
    uint64_t memory_at; /* when to look at it again */
    uint64_t starts;    /* so many processes have been started */
    uint64_t *down; /* per group: what the board was told of the next start; NOT_TOLD at first */
};

/* life_r is borrowed. MW_ENOMEM. */
MW_MUST_CHECK int mw_fleet_init(struct mw_fleet *f, const struct mw_super_config *cfg, int life_r);
void mw_fleet_fini(struct mw_fleet *f); /* the processes live on */

/* Of the worker's group. */
const struct mw_super_group *mw_fleet_group(const struct mw_fleet *f, const struct mw_child *ch);
const struct mw_spec *mw_fleet_spec(const struct mw_fleet *f, const struct mw_child *ch);
const char *mw_fleet_name(const struct mw_fleet *f, const struct mw_child *ch);
struct mw_board *mw_fleet_board(const struct mw_fleet *f, const struct mw_child *ch);
/* The worker that this one is to replace, while it starts; NULL: nobody serves in its place. */
struct mw_child *mw_fleet_elder(struct mw_fleet *f, const struct mw_child *ch);

/* An event of policy.h for one slot, and all that follows from it. */
void mw_fleet_step(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_event ev);

/* Replace this worker because of `why`: another one starts, and takes its place when it is ready; one of a
 * group at a time. No effect where none serves or starts. */
void mw_fleet_replace(struct mw_fleet *f, struct mw_child *ch, const char *why);

/* The same for the event of policy.h that asks for it. */
void mw_fleet_ask(struct mw_fleet *f, struct mw_child *ch, enum mw_policy_event ev,
                  struct mw_str why);

/* A message of a worker; NULL: one that no worker sends. */
void mw_fleet_message(struct mw_fleet *f, struct mw_child *ch, const struct mw_ctl *ctl);
/* Its end of the control socket is closed. */
void mw_fleet_hung_up(struct mw_fleet *f, struct mw_child *ch);
/* Its process was stopped, or goes on: only said in the log. */
void mw_fleet_stopped(const struct mw_fleet *f, const struct mw_child *ch, int status);
/* Its process is gone; status is waitpid's. */
void mw_fleet_exited(struct mw_fleet *f, struct mw_child *ch, int status);

/* Take note of the workers that a supervisor before this one left on the boards: they drain by
 * themselves. First of all. */
void mw_fleet_find(struct mw_fleet *f);
/* Have processes=n workers of a group from now on. */
void mw_fleet_want(struct mw_fleet *f, unsigned group);
/* Have none of this group until mw_fleet_want; those that serve finish their requests, new ones are told
 * that nobody is there. */
void mw_fleet_drain(struct mw_fleet *f, unsigned group);
int mw_fleet_is_drained(const struct mw_fleet *f, unsigned group);
/* Have none of any group. */
void mw_fleet_end(struct mw_fleet *f);
/* There is a process of this supervisor's. */
int mw_fleet_alive(const struct mw_fleet *f);

/* -- watch.c -- */

/* What is due by now, and when to call again. */
void mw_fleet_tick(struct mw_fleet *f);
uint64_t mw_fleet_wake(const struct mw_fleet *f);

#endif
