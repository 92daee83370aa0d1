/*
 * status.h: how a process ended, in words. Pure.
 */
#ifndef MW_STATUS_H
#define MW_STATUS_H

#include <stddef.h>

/* Of waitpid's status: "exited with status 3", "was killed by SIGSEGV (11), core dumped". */
void mw_status_text(char *out, size_t cap, int status);

/* What that may mean and which setting to look at, to be put behind it: "; ...", or "". For processes that
 * served. */
const char *mw_status_advice(int status);

/* "SIGTERM"; "a signal" for the uncommon ones. */
const char *mw_status_signal(int sig);

#endif
