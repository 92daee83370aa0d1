/*
 * running.h: which request each thread of the pool is at. Written by the request threads, each its own
 * entry; read by the main thread, which reports it, and which gives up on requests that take too long.
 *
 * While an entry is locked its thread cannot go on to another request. What another thread may use of
 * the request then is its block and its link; all else of the channel is the thread's.
 */
#ifndef MW_RUNNING_H
#define MW_RUNNING_H

#include <pthread.h>
#include <sys/types.h>

#include "chan_sock.h"
#include "clock.h"

struct mw_running_entry {
    pthread_mutex_t lock;      /* guards what follows; uncontended but for a reader */
    const struct mw_req *req;  /* NULL: none; valid while the lock is held */
    struct mw_chan_sock *sock; /* of req */
    uint64_t since_ms;         /* when it came; mw_clock_ms */
    uint64_t due_ms;           /* when it is given up; MW_NO_DEADLINE: never */
    int lost;                  /* it was given up */
    uint64_t served;           /* requests that are over */
    pid_t tid;                 /* 0: the thread has not begun */
    pthread_t ident;           /* Python's name for it, too */
} __attribute__((aligned(64)));

struct mw_running {
    struct mw_running_entry *v; /* one per thread of the pool */
    unsigned n;
    uint64_t grace_ms; /* from the end of a request's time until it is given up */
    unsigned lost;     /* atomic: threads that are at a request that was given up */
};

MW_MUST_CHECK int mw_running_init(struct mw_running *r, unsigned threads,
                                  uint64_t grace_ms); /* MW_ENOMEM */

/* By the thread whose entry it is. The request must stay as it is until the end, after the end of the
 * channel. end says 1 if it was given up: its connection is to be dropped. */
void mw_running_enter(struct mw_running *r, unsigned thread);
void mw_running_begin(struct mw_running *r, unsigned thread, struct mw_chan_sock *cs);
MW_MUST_CHECK int mw_running_end(struct mw_running *r, unsigned thread);

/* Any thread. */
uint64_t mw_running_served(struct mw_running *r);

/* fn for each request at work, with its entry locked: it must not wait. */
typedef void mw_running_fn(void *ctx, const struct mw_running_entry *e);
void mw_running_each(struct mw_running *r, mw_running_fn *fn, void *ctx);

/* End the requests that are due in place of their threads (mw_chan_sock_give_up), which are lost until
 * they come back. fn for each. Returns when the next one is due. */
uint64_t mw_running_give_up(struct mw_running *r, uint64_t now, mw_running_fn *fn, void *ctx);
unsigned mw_running_lost(const struct mw_running *r);

#endif
