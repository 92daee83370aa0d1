/*
 * act.h: what is done to one worker because policy.c has decided it: it is started, admitted, told to leave,
 * kept. Nothing here feeds the policy; that is for fleet.c, which alone calls it.
 *
 * Supervisor only, in its one thread; nothing waits.
 */
#ifndef MW_ACT_H
#define MW_ACT_H

#include "fleet.h"

/* Fork a process for this slot; as a successor, one that has to show what its elder can do. 0, or MW_E*: there
 * is no process, and the log says why. */
MW_MUST_CHECK int mw_act_start(struct mw_fleet *f, struct mw_child *ch);
/* Requests may come, and connections that were kept for it go. */
void mw_act_admit(struct mw_fleet *f, struct mw_child *ch);
/* No request comes any more; it finishes those it has. */
void mw_act_drain(struct mw_fleet *f, struct mw_child *ch);
/* Its successor could not start: it serves on. Loud when it is news. */
void mw_act_keep(struct mw_fleet *f, struct mw_child *ch);

#endif
