/*
 * pool.h: the request threads of a worker: intake -> channel -> engine, and back.
 */
#ifndef MW_POOL_H
#define MW_POOL_H

#include "intake.h"
#include "monitor.h"
#include "py.h"

struct mw_pool_config {
    const struct mw_py_runtime *runtime;
    struct mw_intake *intake;
    struct mw_monitor *monitor; /* started */
    struct mw_board *board;
    unsigned slot;
    unsigned threads;
    size_t stack_size; /* bytes; 0: the platform's */
    /* Ask for a successor; this process serves until it is told to leave. Any thread, any number of
     * times. `reason` is a MW_PY_STOP_*; `changed`, if not NULL, the request whose script changed. */
    void (*recycle)(void *ctx, const char *why, const char *reason, const struct mw_req *changed);
    void *ctx;
};

struct mw_pool {
    struct mw_pool_config cfg;
    unsigned entered; /* atomic: threads that have begun */
};

/* Start the threads; they end when the intake is stopped and are not joined. `p` lives as long as the
 * process. MW_EIO with errno: not one could be started, or not all. */
MW_MUST_CHECK int mw_pool_start(struct mw_pool *p, const struct mw_pool_config *cfg);

#endif
