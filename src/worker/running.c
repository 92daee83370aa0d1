/*
 * running.c: see running.h.
 */
#include "running.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

int mw_running_init(struct mw_running *r, unsigned threads)
{
    r->n = 0;
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

void mw_running_begin(struct mw_running *r, unsigned thread, const struct mw_req *req)
{
    struct mw_running_entry *e = &r->v[thread];

    pthread_mutex_lock(&e->lock);
    e->req = req;
    e->since_ms = mw_clock_ms();
    pthread_mutex_unlock(&e->lock);
}

void mw_running_end(struct mw_running *r, unsigned thread)
{
    struct mw_running_entry *e = &r->v[thread];

    pthread_mutex_lock(&e->lock);
    e->req = NULL;
    e->served++;
    pthread_mutex_unlock(&e->lock);
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
