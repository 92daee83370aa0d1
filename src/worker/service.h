/*
 * service.h: a group with threads=0 serves nothing: its scripts are the program. They run one after the
 * other on the main thread, which is Python's main thread and gets the signals; a thread of its own, the
 * keeper, listens to the supervisor meanwhile, and says by SIGTERM that the process is to leave.
 */
#ifndef MW_SERVICE_H
#define MW_SERVICE_H

#include "py.h"
#include "report.h"
#include "spec.h"

struct mw_service {
    const struct mw_spec *spec;
    const struct mw_py_runtime *runtime;
    struct mw_report *report;
    int control, life; /* borrowed; nobody else uses them from now on */
    pthread_t main;    /* set by mw_service_run, as what follows */
};

/* The group is one: threads=0. */
int mw_service_is(const struct mw_spec *spec);

/* Run the scripts. `s` lives as long as the process. 0: all of them have ended; MW_EIO: one has raised, or
 * there is no thread for the keeper; logged. */
MW_MUST_CHECK int mw_service_run(struct mw_service *s);

#endif
