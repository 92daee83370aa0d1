/*
 * startup.h: answers operators while the main thread imports scripts, which may take long or hang. A
 * thread of its own reads the control socket meanwhile; the supervisor sends a worker that starts
 * nothing but operators' questions.
 */
#ifndef MW_STARTUP_H
#define MW_STARTUP_H

#include <pthread.h>

#include "report.h"

struct mw_startup {
    struct mw_report *report;
    int control; /* borrowed */
    int stop_r, stop_w;
    pthread_t thread;
};

/* MW_EIO: nobody answers meanwhile. */
MW_MUST_CHECK int mw_startup_begin(struct mw_startup *s, int control, struct mw_report *report);
/* Afterwards the control socket is the caller's alone again. Only after a begin that answered 0. */
void mw_startup_end(struct mw_startup *s);

#endif
