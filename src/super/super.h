/*
 * super.h: the supervisor: one process per configuration generation, one thread, one poll loop. It starts
 * workers, hands connections over to them, replaces them when they die, and ends them. It never loads
 * Python, never sees a byte of a request, never waits for anything but its poll.
 */
#ifndef MW_SUPER_H
#define MW_SUPER_H

#include "board.h"
#include "spec.h"

struct mw_super_group {
    const struct mw_spec *spec;
    struct mw_board *board;
    int log_fd; /* becomes the worker's standard error: the error log of the group's server */
};

struct mw_super_config {
    const struct mw_super_group *groups; /* index = mw_ctl.group */
    unsigned ngroups;
    int handover_fd;         /* SOCK_SEQPACKET: MW_CTL_CONNECT of httpd's children */
    int life_fd;             /* end of file: the generation's parent and children are all gone */
    int control_fd;          /* listens for operators (console.h); -1: nobody is heard */
    const char *worker_path; /* of the executable wsgi-worker */
};

/* Run until life_fd is at its end (or SIGTERM, SIGINT came) and every worker has left: DRAIN, then within
 * each group's graceful and shutdown timeouts TERM, then KILL. Called in the forked process, with every
 * descriptor that is not named here already closed; log through mw_log. Returns an exit status. */
int mw_super_run(const struct mw_super_config *cfg);

#endif
