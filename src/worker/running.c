/*
 * running.c: see running.h.
 */
#include "running.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

int mw_running_init(struct mw_running *r, unsigned threads, uint64_t grace_ms)
{
    *r = (struct mw_running){.grace_ms = grace_ms};
    r->v = aligned_alloc(sizeof *r->v, threads * sizeof *r->v);
    if (!r->v)
        return MW_ENOMEM;
    memset(r->v, 0, threads * sizeof *r->v);
    r->n = threads;
    for (unsigned i = 0; i < threads; i++)
        pthread_mutex_init(&r->v[i].lock, NULL);
    return 0;
}

void mw_running_enter(struct mw_running *r, unsigned thread)
{
    struct mw_running_entry *e = &r->v[thread];

    pthread_mutex_lock(&e->lock);
    e->tid = gettid();
    e->ident = pthread_self();
    pthread_mutex_unlock(&e->lock);
}

void mw_running_begin(struct mw_running *r, unsigned thread, struct mw_chan_sock *cs)
{
    struct mw_running_entry *e = &r->v[thread];
    uint64_t now = mw_clock_ms();
    uint32_t limit = cs->req.timeout_ms;

    pthread_mutex_lock(&e->lock);
    e->req = &cs->req;
    e->sock = cs;
    e->since_ms = now;
    e->due_ms = limit ? now + limit + r->grace_ms : MW_NO_DEADLINE;
    pthread_mutex_unlock(&e->lock);
}

int mw_running_end(struct mw_running *r, unsigned thread)
{
    struct mw_running_entry *e = &r->v[thread];

    pthread_mutex_lock(&e->lock);
    int lost = e->lost;
    e->req = NULL;
    e->lost = 0;
    e->served++;
    pthread_mutex_unlock(&e->lock);
    if (lost)
        __atomic_sub_fetch(&r->lost, 1, __ATOMIC_RELAXED);
    return lost;
}

uint64_t mw_running_served(struct mw_running *r)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r->n; i++) {
        pthread_mutex_lock(&r->v[i].lock);
        n += r->v[i].served;
        pthread_mutex_unlock(&r->v[i].lock);
    }
    return n;
}

void mw_running_each(struct mw_running *r, mw_running_fn *fn, void *ctx)
{
    for (unsigned i = 0; i < r->n; i++) {
        pthread_mutex_lock(&r->v[i].lock);
        if (r->v[i].req)
            fn(ctx, &r->v[i]);
        pthread_mutex_unlock(&r->v[i].lock);
    }
}

unsigned mw_running_lost(const struct mw_running *r)
{
    return __atomic_load_n(&r->lost, __ATOMIC_RELAXED);
}

/* Under the lock. Whether it was given up now: its thread may just be ending it. */
static int give_up(struct mw_running *r, struct mw_running_entry *e)
{
    if (!mw_chan_sock_give_up(e->sock))
        return 0;
    e->lost = 1;
    __atomic_add_fetch(&r->lost, 1, __ATOMIC_RELAXED);
    return 1;
}

uint64_t mw_running_give_up(struct mw_running *r, uint64_t now, mw_running_fn *fn, void *ctx)
{
    uint64_t next = MW_NO_DEADLINE;

    for (unsigned i = 0; i < r->n; i++) {
        struct mw_running_entry *e = &r->v[i];
        pthread_mutex_lock(&e->lock);
        if (e->req && !e->lost && e->due_ms > now)
            next = e->due_ms < next ? e->due_ms : next;
        else if (e->req && !e->lost && give_up(r, e))
            fn(ctx, e);
        pthread_mutex_unlock(&e->lock);
    }
    return next;
}
