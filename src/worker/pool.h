/*
 * pool.h: the request threads of a worker: intake -> channel -> engine, and back.
 */
#ifndef MW_POOL_H
#define MW_POOL_H

#include "intake.h"
#include "py.h"
#include "running.h"

struct mw_pool_config {
    const struct mw_py_runtime *runtime;
    struct mw_intake *intake;
    struct mw_board *board;
    unsigned slot;
    unsigned threads;
    size_t stack_size; /* bytes; 0: the platform's */
    /* A request came for a script that has changed: replace this process. Any thread, more than once. */
    void (*recycle)(void *ctx, const char *why);
    void *ctx;
};

struct mw_pool {
    struct mw_pool_config cfg;
    struct mw_running at; /* which request each thread is at */
    unsigned entered;     /* atomic: threads that have begun */
    unsigned running;     /* atomic: requests at work */
};

/* Start the threads; they end when the intake is stopped and are not joined. `p` lives as long as the
 * process. MW_EIO with errno: not one could be started, or not all. */
MW_MUST_CHECK int mw_pool_start(struct mw_pool *p, const struct mw_pool_config *cfg);
unsigned mw_pool_running(const struct mw_pool *p);

#endif
