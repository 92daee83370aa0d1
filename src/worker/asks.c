/*
 * asks.c: see asks.h.
 */
#include "asks.h"

#include <stdlib.h>
#include <string.h>

/* Into the ask's own memory, behind what is there already. */
static struct mw_str copy(char **to, struct mw_str s)
{
    char *p = *to;

    memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *to = p + s.n + 1;
    return (struct mw_str){p, s.n};
}

/* A script whose names are too long for a message is loaded by the successor on demand. */
static int fits(const struct mw_req *req)
{
    return req && req->script.n <= MW_CTL_SCRIPT_MAX && req->app_group.n <= MW_CTL_APP_GROUP_MAX &&
           req->callable.n <= MW_CTL_CALLABLE_MAX;
}

void mw_asks_put(struct mw_asks *a, const char *why, const char *reason,
                 const struct mw_req *changed)
{
    struct mw_str text = {why, strnlen(why, MW_CTL_TEXT_MAX)};
    struct mw_str script = {"", 0}, group = {"", 0}, callable = {"", 0};

    if (fits(changed)) {
        script = changed->script;
        group = changed->app_group;
        callable = changed->callable;
    }
    struct mw_ask *k = malloc(sizeof *k + text.n + script.n + group.n + callable.n + 4);
    if (!k)
        return;
    char *to = k->text;
    *k = (struct mw_ask){.reason = reason, .ctl = {.type = MW_CTL_RECYCLE}};
    k->ctl.text = copy(&to, text);
    k->ctl.script = copy(&to, script);
    k->ctl.app_group = copy(&to, group);
    k->ctl.callable = copy(&to, callable);
    k->ctl.explicit_group = script.n && changed->flags & MW_REQ_GROUP_EXPLICIT;
    pthread_mutex_lock(&a->lock);
    if (a->last)
        a->last->next = k;
    else
        a->first = k;
    a->last = k;
    pthread_mutex_unlock(&a->lock);
}

struct mw_ask *mw_asks_peek(struct mw_asks *a)
{
    pthread_mutex_lock(&a->lock);
    struct mw_ask *k = a->first;
    pthread_mutex_unlock(&a->lock);
    return k;
}

void mw_asks_drop(struct mw_asks *a)
{
    pthread_mutex_lock(&a->lock);
    struct mw_ask *k = a->first;
    if (k) {
        a->first = k->next;
        if (!a->first)
            a->last = NULL;
    }
    pthread_mutex_unlock(&a->lock);
    free(k);
}
