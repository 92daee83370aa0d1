/*
 * running.h: which request each thread of the pool is at. Written by the request threads, each its own
 * entry; read by the main thread, which reports it.
 */
#ifndef MW_RUNNING_H
#define MW_RUNNING_H

#include <pthread.h>
#include <sys/types.h>

#include "req.h"

struct mw_running_entry {
    pthread_mutex_t lock;     /* guards what follows; uncontended but for a reader */
    const struct mw_req *req; /* NULL: none; valid while the lock is held */
    uint64_t since_ms;        /* when it came; mw_clock_ms */
    uint64_t served;          /* requests that are over */
    pid_t tid;                /* 0: the thread has not begun */
    pthread_t ident;          /* Python's name for it, too */
} __attribute__((aligned(64)));

struct mw_running {
    struct mw_running_entry *v; /* one per thread of the pool */
    unsigned n;
};

MW_MUST_CHECK int mw_running_init(struct mw_running *r, unsigned threads); /* MW_ENOMEM */

/* By the thread whose entry it is. req must stay as it is until the end. */
void mw_running_enter(struct mw_running *r, unsigned thread);
void mw_running_begin(struct mw_running *r, unsigned thread, const struct mw_req *req);
void mw_running_end(struct mw_running *r, unsigned thread);

/* Any thread. */
uint64_t mw_running_served(struct mw_running *r);

/* fn for each request at work, with its entry locked: it must not wait. */
typedef void mw_running_fn(void *ctx, const struct mw_running_entry *e);
void mw_running_each(struct mw_running *r, mw_running_fn *fn, void *ctx);

#endif
