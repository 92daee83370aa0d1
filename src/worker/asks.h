/*
 * asks.h: what the supervisor is to know, on the way from a request thread to the main thread, which talks to
 * it: why this process wants to be replaced (it serves until another one is ready), which scripts it has
 * loaded.
 */
#ifndef MW_ASKS_H
#define MW_ASKS_H

#include <pthread.h>

#include "ctl.h"
#include "req.h"

struct mw_ask {
    struct mw_ask *next;
    const char *reason; /* RECYCLE: MW_PY_STOP_*; what the application is told in the end */
    struct mw_ctl ctl;  /* RECYCLE or SCRIPT; its strings are in `text` */
    char text[];
};

/* Oldest first. All zero but for PTHREAD_MUTEX_INITIALIZER is empty. */
struct mw_asks {
    pthread_mutex_t lock;
    struct mw_ask *first;
    struct mw_ask *last;
};

/* Any thread. `changed`: the request whose script is no longer what was loaded, or NULL. Without memory
 * nothing is asked. */
void mw_asks_put(struct mw_asks *a, const char *why, const char *reason,
                 const struct mw_req *changed);

/* Any thread. A script has been loaded; c says which, as a SCRIPT message does. */
void mw_asks_put_script(struct mw_asks *a, const struct mw_ctl *c);

/* The main thread. The oldest, which stays; NULL: none. */
struct mw_ask *mw_asks_peek(struct mw_asks *a);
/* Forget the oldest. */
void mw_asks_drop(struct mw_asks *a);

#endif
