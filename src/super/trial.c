/*
 * trial.c: see trial.h. What a worker sends is checked by ctl.c and bounded here.
 */
#include "trial.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 4u

_Static_assert(MW_TRIAL_SCRIPTS_MAX *MW_CTL_MAX <= MW_SPEC_MAX / 4 * 3,
               "scripts as long as a message can name them, beside what the group itself needs");

static int is_same(struct mw_str a, struct mw_str b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/* Of the first n, or NULL. */
static struct mw_preload *find(struct mw_preload *list, uint32_t n, const struct mw_preload *p)
{
    for (uint32_t i = 0; i < n; i++) {
        if (is_same(list[i].script, p->script) && is_same(list[i].app_group, p->app_group))
            return &list[i];
    }
    return NULL;
}

static struct mw_str copy(struct mw_str s)
{
    char *p = strndup(s.p, s.n);
    return (struct mw_str){p, p ? s.n : 0};
}

static void forget(struct mw_preload *p)
{
    free((char *)p->script.p);
    free((char *)p->app_group.p);
    free((char *)p->callable.p);
}

/* Room for one more. */
static int grow(struct mw_trial *t)
{
    unsigned cap = t->cap ? 2 * t->cap : FIRST_CAP;

    if (t->n < t->cap)
        return 1;
    struct mw_preload *script = realloc(t->script, cap * sizeof *script);
    if (!script)
        return 0;
    t->script = script;
    t->cap = cap;
    return 1;
}

void mw_trial_add(struct mw_trial *t, const struct mw_ctl *ctl)
{
    struct mw_preload p = {.script = ctl->script,
                           .app_group = ctl->app_group,
                           .explicit_group = ctl->explicit_group,
                           .callable = ctl->callable,
                           .must = 1};

    if (p.script.n == 0 || t->n == MW_TRIAL_SCRIPTS_MAX || find(t->script, t->n, &p) || !grow(t))
        return;
    p.script = copy(p.script);
    p.app_group = copy(p.app_group);
    p.callable = copy(p.callable);
    if (p.script.p && p.app_group.p && p.callable.p)
        t->script[t->n++] = p;
    else
        forget(&p); /* without memory it loads on demand */
}

void mw_trial_clear(struct mw_trial *t)
{
    for (unsigned i = 0; i < t->n; i++)
        forget(&t->script[i]);
    free(t->script);
    *t = (struct mw_trial){0};
}

int mw_trial_spec(struct mw_spec *out, const struct mw_spec *spec, int whole)
{
    *out = *spec;
    out->preload = calloc(spec->npreload + MW_TRIAL_SCRIPTS_MAX, sizeof *out->preload);
    if (!out->preload)
        return MW_ENOMEM;
    for (uint32_t i = 0; i < spec->npreload; i++) {
        out->preload[i] = spec->preload[i];
        out->preload[i].must = whole;
    }
    return 0;
}

void mw_trial_spec_add(struct mw_spec *out, const struct mw_spec *spec, const struct mw_trial *t)
{
    uint32_t max = spec->npreload + MW_TRIAL_SCRIPTS_MAX;

    if (max > MW_SPEC_LIST_MAX)
        max = MW_SPEC_LIST_MAX;
    for (unsigned i = 0; i < t->n; i++) {
        struct mw_preload *known = find(out->preload, out->npreload, &t->script[i]);
        if (known)
            *known = t->script[i];
        else if (out->npreload < max)
            out->preload[out->npreload++] = t->script[i];
    }
}

void mw_trial_spec_fini(struct mw_spec *s)
{
    free(s->preload);
    s->preload = NULL;
}
