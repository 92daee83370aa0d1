/*
 * report.h: what a worker tells an operator of itself, into a pipe that came with the question. Main
 * thread only; never waits: what does not fit into the pipe is cut.
 */
#ifndef MW_REPORT_H
#define MW_REPORT_H

#include "py.h"
#include "running.h"

struct mw_report {
    const struct mw_py_runtime *runtime;
    struct mw_running *running;
    uint32_t incarnation;
    unsigned stuck; /* atomic: threads that wait for the GIL longer than anybody waits for them */
};

/* Both take fd. Anything but a pipe is closed unused. */
void mw_report_requests(struct mw_report *r, int fd);
/* On threads of its own: it needs the GIL, or a second to find that nobody gets it. */
void mw_report_stacks(struct mw_report *r, int fd);

#endif
