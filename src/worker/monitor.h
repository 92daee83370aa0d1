/*
 * monitor.h: the limits that a worker holds itself to: request-timeout, inactivity-timeout,
 * deadlock-timeout, maximum-requests. The main thread looks at least once a second; it never waits for a
 * GIL or for a request. A thread that does nothing else, the probe, takes the GIL at least once a second and
 * tells by that that it can be had.
 */
#ifndef MW_MONITOR_H
#define MW_MONITOR_H

#include <pthread.h>

#include "py.h"
#include "spec.h"
#include "running.h"

struct mw_monitor_config {
    const struct mw_spec *spec;
    const struct mw_py_runtime *runtime;
    struct mw_running *running; /* initialised, with mw_monitor_grace_ms */
    uint64_t seed;              /* of the number of requests that this process draws */

    /* Ask for a successor, any thread; or leave now, main thread, which cannot wait for one. `reason` is
     * a MW_PY_STOP_*. */
    void (*ask)(void *ctx, const char *why, const char *reason);
    void (*leave)(void *ctx, const char *why, const char *reason);
    void *ctx;
};

struct mw_monitor {
    struct mw_monitor_config cfg;
    uint64_t requests_max; /* 0: no limit */
    uint64_t requests;     /* atomic: that were begun; counted only with requests_max */
    uint64_t active_ms; /* atomic: end of the last one that counts as activity; 0: there was none */
    uint64_t probed_ms; /* atomic: when the GIL was last had */
    uint64_t looked_ms; /* when the main thread last looked; its own */
    int inactive;       /* it has asked to be replaced for that */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wanted;
    int stacks_wanted;
    uint64_t wanted_ms; /* since when; the main thread's */
};

/* How long RequestTimeout may take to end a request. */
uint64_t mw_monitor_grace_ms(const struct mw_spec *spec);

/* Start the probe. `m` lives as long as the process. MW_EIO with errno. */
MW_MUST_CHECK int mw_monitor_start(struct mw_monitor *m, const struct mw_monitor_config *cfg);

/* The group has a process for each request: threads=1 maximum-requests=1. */
int mw_monitor_serves_once(const struct mw_spec *spec);

/* -- request threads -- */

/* 1: this process must not get another request. */
int mw_monitor_begin(struct mw_monitor *m, unsigned thread, struct mw_chan_sock *cs);
/* 1: the request had been given up, its connection is to be dropped. */
int mw_monitor_end(struct mw_monitor *m, unsigned thread, uint32_t flags);

/* -- the main thread -- */

/* Look at all limits. Returns when to look again, within a second. */
uint64_t mw_monitor_look(struct mw_monitor *m);

/* Requests at work whose threads are not lost. */
unsigned mw_monitor_running(struct mw_monitor *m);

/* One line in the log for each request that is cut when the process ends now. */
void mw_monitor_log_cut(struct mw_monitor *m, const char *why);

#endif
