/*
 * report.h: what a worker tells an operator of itself, into a pipe that came with the question. For the
 * thread that reads the control socket; never waits: what does not fit into the pipe is cut.
 */
#ifndef MW_REPORT_H
#define MW_REPORT_H

#include "ctl.h"
#include "py.h"
#include "running.h"

struct mw_report {
    const struct mw_py_runtime *runtime;
    struct mw_running *running;
    uint32_t incarnation;
    unsigned stuck; /* atomic: threads that wait for the GIL longer than anybody waits for them */
};

/* If the supervisor passed on an operator's question: take *fd, which is -1 then, and answer. Anything but a
 * pipe is closed unused. Stacks are written by threads of their own: it needs the GIL, or a second to find that
 * nobody gets it. */
void mw_report_answer(struct mw_report *r, const struct mw_ctl *question, int *fd);

#endif
