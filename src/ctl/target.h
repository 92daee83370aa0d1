/*
 * target.h: which groups and processes the command line means.
 */
#ifndef MW_CTL_TARGET_H
#define MW_CTL_TARGET_H

#include "talk.h"

/* Decimal digits and nothing else, at most max: 1, or 0. */
int mw_target_number(const char *text, unsigned long max, unsigned long *out);

/* Whether target is the name of the group, or NULL, which means all. */
int mw_target_is_group(const struct mw_client_group *g, const char *target);

/* Whether target names this worker: by its group, as GROUP/SLOT or by its process id. NULL: all. */
int mw_target_is_worker(const struct mw_client_worker *w, const char *target);

#endif
