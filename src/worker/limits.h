/*
 * limits.h: what the kernel is to enforce on a worker: memory, CPU time, priority. Called once by the
 * main thread, while the process may still have httpd's rights and before Python starts.
 */
#ifndef MW_LIMITS_H
#define MW_LIMITS_H

#include "spec.h"

/* A limit that cannot be set is logged, and the process serves without it. */
void mw_limits_set(const struct mw_spec *spec);

#endif
