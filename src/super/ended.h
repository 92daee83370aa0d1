/*
 * ended.h: what the log says about a worker whose process has ended: as it was told to, or what went wrong and
 * what happens now. Supervisor only; changes nothing.
 */
#ifndef MW_ENDED_H
#define MW_ENDED_H

#include "fleet.h"

struct mw_ended {
    struct mw_policy before; /* the slot's, when the process ended; ch has what it has led to */
    pid_t pid;
    int status; /* waitpid's */
};

/* One line. Called by fleet.c, once for each process. */
void mw_ended_log(const struct mw_fleet *f, const struct mw_child *ch, const struct mw_ended *e);

#endif
