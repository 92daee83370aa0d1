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
static int fits(const struct mw_ctl *c)
{
    return c->script.n <= MW_CTL_SCRIPT_MAX && c->app_group.n <= MW_CTL_APP_GROUP_MAX &&
           c->callable.n <= MW_CTL_CALLABLE_MAX;
}

static void put(struct mw_asks *a, const char *reason, const struct mw_ctl *c)
{
    struct mw_ask *k = malloc(sizeof *k + c->text.n + c->script.n + c->app_group.n + c->callable.n +
                              4);

    if (!k)
        return;
    char *to = k->text;
    *k = (struct mw_ask){.reason = reason, .ctl = *c};
    k->ctl.text = copy(&to, c->text);
    k->ctl.script = copy(&to, c->script);
    k->ctl.app_group = copy(&to, c->app_group);
    k->ctl.callable = copy(&to, c->callable);
    pthread_mutex_lock(&a->lock);
    if (a->last)
        a->last->next = k;
    else
        a->first = k;
    a->last = k;
    pthread_mutex_unlock(&a->lock);
}

void mw_asks_put(struct mw_asks *a, const char *why, const char *reason,
                 const struct mw_req *changed)
{
    const struct mw_str none = {"", 0};
    struct mw_ctl c = {.type = MW_CTL_RECYCLE,
                       .text = {why, strnlen(why, MW_CTL_TEXT_MAX)},
                       .script = changed ? changed->script : none,
                       .app_group = changed ? changed->app_group : none,
                       .callable = changed ? changed->callable : none,
                       .explicit_group = changed && changed->flags & MW_REQ_GROUP_EXPLICIT};

    if (!fits(&c)) {
        c.script = c.app_group = c.callable = none;
        c.explicit_group = 0;
    }
    put(a, reason, &c);
}

void mw_asks_put_script(struct mw_asks *a, const struct mw_ctl *c)
{
    if (fits(c))
        put(a, NULL, c);
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
