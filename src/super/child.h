/*
 * child.h: the supervisor's inside: one record per slot of every group, how a process gets into it
 * (spawn.c), how connections get to that process (handover.c). Used by super/ only, in the
 * supervisor's one thread.
 *
 * Nothing here may wait: every descriptor is non-blocking or used with calls that never wait.
 */
#ifndef MW_CHILD_H
#define MW_CHILD_H

#include <sys/types.h>

#include "ctl.h"
#include "policy.h"
#include "super.h"
#include "trial.h"

#define MW_HANDOVER_KEPT_MAX 128u /* connections kept for one worker that cannot take them yet */

/* Connections on their way to one worker, oldest first. Owns the descriptors. */
struct mw_handover {
    int fd[MW_HANDOVER_KEPT_MAX];
    unsigned head;
    unsigned n;
};

/* One slot. */
struct mw_child {
    struct mw_policy *pol; /* in mw_children.pol */
    unsigned group;        /* index in mw_super_config.groups */
    unsigned slot;         /* in the group's board */
    pid_t pid;             /* 0: none. Of a FOREIGN slot: the process that was found there */
    uint64_t started_ms;   /* of this process; 0: another supervisor forked it */
    uint32_t incarnation;
    uint64_t started; /* which start of all of this supervisor's it was, from 1 */
    uint64_t failed;  /* which one was the last that should have replaced it, and failed; 0: none */
    int control;      /* to the worker; -1: none, or it closed its end */
    struct mw_handover kept;
    int whole;                     /* all scripts of the group could be imported when it started */
    char why[MW_CTL_TEXT_MAX + 1]; /* it could not start; "" if it did not say */
    char cause[MW_CTL_TEXT_MAX + 1];    /* it is to be replaced */
    char failure[MW_CTL_TEXT_MAX + 64]; /* its last successor could not start; "" */
    struct mw_trial trial;              /* of its successor */
};

/* All slots of all groups; those of a group are consecutive. */
struct mw_children {
    struct mw_child *v;
    struct mw_policy *pol; /* one of each, in the same order */
    size_t n;
    size_t *first; /* per group: index of its slot 0; one more entry than groups: n */
    unsigned ngroups;
};

MW_MUST_CHECK int mw_children_init(struct mw_children *cs, const struct mw_super_config *cfg);
void mw_children_fini(struct mw_children *cs); /* closes what they hold; the processes live on */
struct mw_child *mw_child_at(struct mw_children *cs, unsigned group, unsigned slot); /* or NULL */
struct mw_child *mw_child_find(struct mw_children *cs, pid_t pid);                   /* or NULL */

/* -- spawn.c -- */

struct mw_spawn {
    const char *worker_path;
    const struct mw_super_group *group;
    const struct mw_spec *spec; /* of this process: the group's, or a trial's */
    unsigned group_index;
    unsigned slot;
    int life_fd; /* read end of the workers' life pipe */
};

/* Fork a process that executes the worker as soon as mw_spawn_release tells it its incarnation, which
 * the board gives out only for a pid. *control_r: our end, non-blocking. MW_EIO, MW_ENOMEM, MW_ELIMIT. A
 * failure to execute arrives on the control socket as FAILED. */
MW_MUST_CHECK int mw_spawn(const struct mw_spawn *s, pid_t *pid_r, int *control_r);
MW_MUST_CHECK int mw_spawn_release(int control, uint32_t incarnation);

/* -- handover.c -- */

enum mw_handover_result {
    MW_HANDED,      /* sent to the worker, or kept for it */
    MW_NOT_HANDED,  /* stale or nobody there; the connection is closed, which is its answer */
    MW_HANDOVER_BAD /* no message of ours; *why_r tells */
};

/* One message of the handover socket. MW_EAGAIN: none; MW_ECLOSED: closed, or an empty message. */
MW_MUST_CHECK int mw_handover_receive(struct mw_children *cs, int fd,
                                      enum mw_handover_result *res_r, const char **why_r);
/* Something is kept that the worker could be given, if its socket took it. */
int mw_handover_waits(const struct mw_child *ch);
/* Pass on what was kept, as far as the worker's socket takes it. */
void mw_handover_flush(struct mw_child *ch);
/* Close what was kept. */
void mw_handover_drop(struct mw_child *ch);

#endif
