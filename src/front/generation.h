/*
 * generation.h: one configuration generation in the httpd parent: the boards of its groups, the pipes
 * to its supervisor, and the supervisor's process. It outlives its configuration: after a graceful
 * restart the old children and the old supervisor go on, and the parent must settle the children's
 * claims and reap the supervisor. Only the parent's one thread uses it.
 */
#ifndef MW_FRONT_GENERATION_H
#define MW_FRONT_GENERATION_H

#include <httpd.h>

#include "config.h"
#include "super.h"

struct mw_generation;

/* Make boards and pipes for the groups of config and start the supervisor. Dies with pconf as far as the
 * parent is concerned: the supervisor then sees end of file when the last child has gone too. NULL if it
 * cannot be made (logged). */
struct mw_generation *mw_generation_create(apr_pool_t *pconf, server_rec *s,
                                           const struct mw_config *config);

/* The child `pid` has exited: settle its claims in every generation that still lives. */
void mw_generation_settle(pid_t pid);

/* Start supervisors that died and could not be started again at once. */
void mw_generation_monitor(void);

/* For the children: borrowed, valid for as long as pconf. */
unsigned mw_generation_groups(const struct mw_generation *g);
struct mw_board *mw_generation_board(const struct mw_generation *g, unsigned group);

/* In a process forked from the parent: unmap and close what it has inherited of all generations but g (may
 * be NULL). Under graceful restarts in a row the parent has several. */
void mw_generation_leave_others(const struct mw_generation *g);

/* In a child: keep the end for handing over connections, close the supervisor's. */
int mw_generation_enter_child(struct mw_generation *g);

#endif
