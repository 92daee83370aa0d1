/*
 * pool.c: what a request thread does. Nothing a connection brings may end the thread.
 */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "log.h"

#define WHY_MAX 400

/* A script that has changed is for the next process: it may not even be complete yet, or be broken. This
 * request gets the answer of the code that is loaded. */
static void look_for_change(struct mw_pool *p, const struct mw_req *req)
{
    char why[WHY_MAX];

    if (!(req->flags & MW_REQ_RELOAD) || !p->cfg.runtime->changed(req))
        return;
    snprintf(why, sizeof why, "script changed: %.*s", WHY_MAX - 32, req->script.p);
    p->cfg.recycle(p->cfg.ctx, why, MW_PY_STOP_RELOAD, req);
}

/* Whether the connection is good for another request, as mw_chan_sock_broken. */
static int serve_request(struct mw_pool *p, unsigned thread, struct mw_chan_sock *cs)
{
    const struct mw_py_runtime *rt = p->cfg.runtime;

    if (mw_monitor_begin(p->cfg.monitor, thread, cs))
        mw_board_draining(p->cfg.board, p->cfg.slot);
    look_for_change(p, &cs->req);
    rt->serve(&cs->chan);
    mw_chan_end(&cs->chan, MW_END_FAILED); /* no effect if it was ended, as it must have been */
    int given_up = mw_monitor_end(p->cfg.monitor, thread, cs->req.flags);
    mw_chan_sock_trim(cs);
    return given_up ? MW_ECLOSED : mw_chan_sock_broken(cs);
}

static void log_dropped(int rv)
{
    if (rv == MW_ECLOSED || rv == MW_EABORT)
        return; /* the ordinary end of a connection */
    mw_log(MW_LOG_ERR, "WSGI0576", "a connection from an httpd child was dropped: %s",
           mw_err_text(rv));
}

/* Serve what has come. 0 or MW_EAGAIN: all of it; else the connection is to be dropped. */
static int serve_requests(struct mw_pool *p, unsigned thread, struct mw_conn *c)
{
    int rv;

    do {
        rv = mw_chan_sock_accept(&c->sock);
        if (rv)
            break;
        if (c->sock.open && !mw_link_has_input(&c->link))
            mw_intake_quiet(p->cfg.intake, c); /* the body has not come along: it will in pieces */
        rv = serve_request(p, thread, &c->sock);
    } while (rv == 0 && mw_link_has_input(&c->link));
    return rv;
}

static void serve_connection(struct mw_pool *p, unsigned thread, struct mw_conn *c)
{
    int rv;

    do
        rv = serve_requests(p, thread, c);
    while ((rv == 0 || rv == MW_EAGAIN) && mw_intake_put_back(p->cfg.intake, c));
    if (rv && rv != MW_EAGAIN) {
        log_dropped(rv);
        mw_intake_drop(p->cfg.intake, c);
    }
}

static void *thread_main(void *arg)
{
    struct mw_pool *p = arg;
    unsigned thread = __atomic_fetch_add(&p->entered, 1, __ATOMIC_RELAXED);
    struct mw_conn *c;
    int rv;

    mw_running_enter(p->cfg.monitor->cfg.running, thread);
    (void)pthread_setname_np(pthread_self(), "wsgi-request");
    while ((rv = mw_intake_next(p->cfg.intake, &c)) == 0)
        serve_connection(p, thread, c);
    if (rv != MW_ECLOSED)
        mw_log(MW_LOG_CRIT, "WSGI0577", "a request thread cannot wait for connections and ends: %s",
               mw_err_text(rv));
    return NULL;
}

/* Signals are not blocked in these threads: what an application executes would inherit that, and could
 * not be terminated. The worker's handlers may run in any thread. */
int mw_pool_start(struct mw_pool *p, const struct mw_pool_config *cfg)
{
    pthread_attr_t attr;
    int rc;

    p->cfg = *cfg;
    p->entered = 0;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = cfg->stack_size ? pthread_attr_setstacksize(&attr, cfg->stack_size) : 0;
    for (unsigned i = 0; rc == 0 && i < cfg->threads; i++) {
        pthread_t id;
        rc = pthread_create(&id, &attr, thread_main, p);
    }
    pthread_attr_destroy(&attr);
    errno = rc;
    return rc ? MW_EIO : 0;
}
