/*
 * signalpipe.h: how signals reach the worker's main thread: as bytes of a pipe, which it polls. Other threads
 * wake it the same way. There is one for each process, since a handler gets no argument.
 */
#ifndef MW_SIGNALPIPE_H
#define MW_SIGNALPIPE_H

#include "py.h"

#define MW_SIGNALPIPE_WAKE 0 /* byte in the pipe that is no signal: look at the state */

/* Main thread, once. *fd_r: what to poll and to read, non-blocking. MW_EIO with `why`; then the process must
 * end. */
MW_MUST_CHECK int mw_signalpipe_open(int *fd_r, const struct mw_py_runtime *runtime, char *why,
                                     size_t cap);

/* Main thread. From now on SIGTERM and SIGINT end the process at once, with its stacks in the log. */
void mw_signalpipe_leaving(void);

/* Any thread. No effect before mw_signalpipe_open, when nobody polls. */
void mw_signalpipe_wake(void);

#endif
