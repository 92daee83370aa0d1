/*
 * timeout.c: see timeout.h. begin, open and shut are called by the thread that serves the request,
 * mw_py_expire and mw_py_probe by threads of the process that has loaded the plugin.
 */
#include "timeout.h"

#include <Python.h>
#include <pthread.h>

#include "clock.h"
#include "interp.h"
#include "request.h"
#include "state.h"

#define LOOK_MS 1000 /* between two looks, if nothing is due earlier */

uint64_t mw_py_timeout_due(uint32_t timeout_ms)
{
    return timeout_ms ? mw_clock_deadline(timeout_ms) : MW_NO_DEADLINE;
}

/* Written under the GIL, read without it. */
static void set_next(struct mw_py_state *st, uint64_t due)
{
    __atomic_store_n(&st->next_due, due, __ATOMIC_RELAXED);
}

static uint64_t get_next(const struct mw_py_state *st)
{
    return __atomic_load_n(&st->next_due, __ATOMIC_RELAXED);
}

void mw_py_timeout_begin(struct mw_py_request *r, uint64_t due)
{
    r->due = due;
    if (due < get_next(r->st))
        set_next(r->st, due);
}

static void set_mark(const struct mw_py_request *r, PyObject *exception)
{
    (void)PyThreadState_SetAsyncExc(r->me->ident, exception);
}

static void raise_if_over(struct mw_py_request *r)
{
    if (!r->over || !r->open || r->raised)
        return;
    r->raised = 1;
    set_mark(r, r->st->request_timeout);
}

void mw_py_timeout_open(struct mw_py_request *r)
{
    if (!r)
        return;
    r->open = 1;
    raise_if_over(r);
}

int mw_py_timeout_shut(struct mw_py_request *r)
{
    if (!r || !r->open)
        return 0;
    r->open = 0;
    if (r->raised)
        set_mark(r, NULL);
    return 1;
}

void mw_py_timeout_renew(struct mw_py_request *r)
{
    r->raised = 0;
}

/* GIL held. */
static void look_at_requests(struct mw_py_state *st, uint64_t now)
{
    uint64_t next = MW_NO_DEADLINE;

    for (struct mw_py_request *r = st->running; r; r = r->next) {
        if (r->due <= now) {
            r->over = 1;
            raise_if_over(r);
        } else if (r->due < next) {
            next = r->due;
        }
    }
    set_next(st, next);
}

/* A thread of its own for each interpreter. Up to CPython 3.11 a thread that waits for the GIL asks for it
 * only those that run in its own interpreter: one that waited elsewhere would never get past code that
 * runs and runs in this one. */
static void *expire_requests(void *arg)
{
    struct mw_py_interp *in = arg;

    if (mw_py_enter(in) == 0) {
        look_at_requests(in->st, mw_clock_ms());
        mw_py_leave();
    }
    __atomic_store_n(&in->st->expiring, 0, __ATOMIC_RELEASE);
    return NULL;
}

static void launch(struct mw_py_interp *in)
{
    pthread_t thread;

    if (__atomic_exchange_n(&in->st->expiring, 1, __ATOMIC_ACQUIRE))
        return; /* one waits for the GIL already */
    if (pthread_create(&thread, NULL, expire_requests, in) == 0)
        pthread_detach(thread);
    else
        __atomic_store_n(&in->st->expiring, 0, __ATOMIC_RELEASE); /* the next look tries again */
}

uint64_t mw_py_expire(void)
{
    uint64_t now = mw_clock_ms();
    uint64_t next = now + LOOK_MS;

    for (struct mw_py_interp *in = mw_py_interp_first(); in; in = mw_py_interp_next(in)) {
        uint64_t due = get_next(in->st);
        if (due <= now)
            launch(in);
        else if (due < next)
            next = due;
    }
    return next;
}

void mw_py_probe(void)
{
    if (mw_py_enter(mw_py_interp_first()) == 0)
        mw_py_leave();
}
