/*
 * limits.h: what the kernel is to enforce on a worker: memory, CPU time, priority, and its end when there is
 * no supervisor.
 */
#ifndef MW_LIMITS_H
#define MW_LIMITS_H

#include "spec.h"

/* Main thread, once, while the process may still have httpd's rights and before Python starts. A limit that cannot
 * be set is logged, and the process serves without it. */
void mw_limits_set(const struct mw_spec *spec);

/* Any thread. Nobody is left who would insist that the process leaves: beyond its timeouts SIGALRM ends it. */
void mw_limits_alone(const struct mw_spec *spec);

#endif
