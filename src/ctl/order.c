/*
 * order.c: see order.h. The supervisor answers an order when it has taken it; that it is done is seen in
 * its list, which is asked for until it is.
 */
#include "order.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "target.h"

#define LOOK_MS 40 /* between two looks at the list */

enum progress { PENDING, DONE, FAILED };

/* The order in one group. */
struct part {
    char *name;
    uint16_t slot; /* MW_ADMIN_ALL, or of the one worker that is meant */
    uint32_t incarnation;
    uint64_t since; /* starts after this one are new */
    enum progress progress;
    unsigned old;     /* workers that were there and are meant */
    unsigned leaving; /* of them, that finish their requests */
    char why[2 * MW_ADMIN_TEXT_MAX];
};

struct parts {
    struct part *v;
    size_t n;
};

static void free_parts(struct parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].name);
    free(p->v);
}

/* -- what is meant -- */

static int add(struct parts *p, const struct mw_client_list *l, const struct mw_client_group *g,
               const struct mw_client_worker *w)
{
    struct part *part = &p->v[p->n];

    *part = (struct part){.name = strndup(g->g.name.p, g->g.name.n),
                          .slot = w ? w->w.slot : MW_ADMIN_ALL,
                          .incarnation = w ? w->w.incarnation : 0,
                          .since = l->head.starts};
    if (!part->name)
        return MW_ENOMEM;
    p->n++;
    return 0;
}

/* A target is a group, NULL is every group; for RECYCLE it may be one worker. */
static int choose(struct parts *p, const struct mw_client_list *l, const struct mw_order *o)
{
    const char *target = o->target;
    int may_be_one = o->op == MW_ADMIN_RECYCLE;
    int rv = 0;

    *p = (struct parts){.v = calloc(l->head.ngroups + 1u, sizeof *p->v)};
    if (!p->v)
        return MW_ENOMEM;
    for (uint32_t g = 0; rv == 0 && g < l->head.ngroups; g++) {
        if (mw_target_is_group(&l->groups[g], target))
            rv = add(p, l, &l->groups[g], NULL);
    }
    for (uint32_t g = 0; may_be_one && rv == 0 && p->n == 0 && g < l->head.ngroups; g++) {
        for (uint32_t i = 0; rv == 0 && p->n == 0 && i < l->groups[g].g.nworkers; i++) {
            if (mw_target_is_worker(&l->groups[g].workers[i], target))
                rv = add(p, l, &l->groups[g], &l->groups[g].workers[i]);
        }
    }
    return rv ? rv : p->n ? 0 : MW_ENOENT;
}

/* -- how far it is -- */

static void fail(struct part *part, const char *what, struct mw_str why)
{
    part->progress = FAILED;
    snprintf(part->why, sizeof part->why, "%s%s%.*s", what, why.n ? ": " : "", (int)why.n, why.p);
}

static int is_old(const struct part *part, const struct mw_admin_worker *w)
{
    return w->started <= part->since &&
           (part->slot == MW_ADMIN_ALL ||
            (part->slot == w->slot && part->incarnation == w->incarnation));
}

/* A start after the order that failed and will be tried again. */
static int has_failed(const struct part *part, const struct mw_admin_worker *w)
{
    return w->phase == MW_ADMIN_ABSENT && w->started > part->since && w->due_ms != MW_ADMIN_NEVER;
}

/* RELOAD, RECYCLE. */
static void look_at_replacement(struct part *part, const struct mw_client_group *g)
{
    unsigned serving = 0, left = 0;

    part->leaving = 0;
    for (uint32_t i = 0; i < g->g.nworkers; i++) {
        const struct mw_admin_worker *w = &g->workers[i].w;
        int old = is_old(part, w);
        serving += w->phase == MW_ADMIN_SERVES;
        part->leaving += old && w->phase == MW_ADMIN_LEAVES;
        left += old && (w->phase == MW_ADMIN_SERVES || w->phase == MW_ADMIN_STARTS);
        if (old && w->phase == MW_ADMIN_SERVES && w->failed > part->since)
            fail(part, "not replaced, the old processes serve on", w->why);
        else if (has_failed(part, w))
            fail(part, "a new process could not start", w->why);
    }
    if (part->progress == PENDING && left == 0 && serving >= g->g.processes)
        part->progress = DONE;
}

static void look_at_drain(struct part *part, const struct mw_client_group *g)
{
    part->leaving = 0;
    for (uint32_t i = 0; i < g->g.nworkers; i++)
        part->leaving += g->workers[i].w.phase != MW_ADMIN_ABSENT;
    if (!g->g.drained)
        fail(part, "not drained", MW_STR("somebody else has resumed the group"));
    else if (part->leaving == 0)
        part->progress = DONE;
}

static void look_at_resume(struct part *part, const struct mw_client_group *g)
{
    unsigned serving = 0;

    for (uint32_t i = 0; i < g->g.nworkers; i++) {
        serving += g->workers[i].w.phase == MW_ADMIN_SERVES;
        if (has_failed(part, &g->workers[i].w))
            fail(part, "a process could not start", g->workers[i].w.why);
    }
    if (part->progress == PENDING && serving >= g->g.processes)
        part->progress = DONE;
}

static void look(struct part *part, uint8_t op, const struct mw_client_list *l)
{
    for (uint32_t g = 0; g < l->head.ngroups; g++) {
        if (!mw_target_is_group(&l->groups[g], part->name))
            continue;
        if (op == MW_ADMIN_DRAIN)
            look_at_drain(part, &l->groups[g]);
        else if (op == MW_ADMIN_RESUME)
            look_at_resume(part, &l->groups[g]);
        else
            look_at_replacement(part, &l->groups[g]);
    }
    if (l->head.ending && part->progress == PENDING)
        fail(part, "not done", MW_STR("httpd is stopping or has been restarted meanwhile"));
}

/* -- giving it -- */

static void count_old(struct part *part, const struct mw_client_list *l)
{
    for (uint32_t g = 0; g < l->head.ngroups; g++) {
        for (uint32_t i = 0; i < l->groups[g].g.nworkers; i++) {
            const struct mw_admin_worker *w = &l->groups[g].workers[i].w;
            if (mw_target_is_group(&l->groups[g], part->name) && is_old(part, w) && w->pid)
                part->old++;
        }
    }
}

static int give(struct mw_client *c, uint8_t op, struct part *part)
{
    const struct mw_admin_ask ask = {.op = op,
                                     .slot = part->slot,
                                     .incarnation = part->incarnation,
                                     .group = {part->name, strlen(part->name)}};
    int rv = mw_client_order(c, &ask);

    if (rv && c->fd >= 0) {
        fail(part, c->why, MW_STR(""));
        rv = 0;
    }
    return rv;
}

static int pending(const struct parts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->v[i].progress == PENDING)
            return 1;
    }
    return 0;
}

static int await(struct mw_client *c, const struct mw_order *o, struct parts *p)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)o->timeout_ms);
    struct mw_client_list l;

    while (pending(p)) {
        int rv = mw_client_list(c, &l);
        if (rv)
            return rv;
        for (size_t i = 0; i < p->n; i++) {
            if (p->v[i].progress == PENDING)
                look(&p->v[i], o->op, &l);
        }
        mw_client_list_fini(&l);
        if (!pending(p))
            break;
        if (mw_clock_ms() >= deadline)
            return MW_ETIMEOUT;
        poll(NULL, 0, LOOK_MS);
    }
    return 0;
}

/* -- saying -- */

static void say(const struct mw_order *o, const struct part *part)
{
    char more[64] = "";

    if (part->progress != DONE) {
        fprintf(stderr, "mod_wsgi-ctl: group %s: %s\n", part->name,
                part->progress == FAILED ? part->why : "not done in time; it goes on");
        return;
    }
    if (o->json)
        return;
    if (part->leaving)
        snprintf(more, sizeof more, "; %u of them still finish%s requests", part->leaving,
                 part->leaving == 1 ? "es" : "");
    if (o->op == MW_ADMIN_DRAIN)
        printf("group %s: drained\n", part->name);
    else if (o->op == MW_ADMIN_RESUME)
        printf("group %s: resumed\n", part->name);
    else
        printf("group %s: %u process%s replaced%s\n", part->name, part->old,
               part->old == 1 ? "" : "es", more);
}

static void say_json(const struct parts *p)
{
    struct mw_json j = {.to = stdout};

    mw_json_open(&j, NULL, '{');
    mw_json_open(&j, "groups", '[');
    for (size_t i = 0; i < p->n; i++) {
        const struct part *part = &p->v[i];
        mw_json_open(&j, NULL, '{');
        mw_json_string(&j, "name", (struct mw_str){part->name, strlen(part->name)});
        mw_json_flag(&j, "done", part->progress == DONE);
        mw_json_number(&j, "processes", part->old);
        mw_json_number(&j, "leaving", part->leaving);
        if (part->progress == FAILED)
            mw_json_string(&j, "problem", (struct mw_str){part->why, strlen(part->why)});
        else
            mw_json_null(&j, "problem");
        mw_json_close(&j, '}');
    }
    mw_json_close(&j, ']');
    mw_json_close(&j, '}');
    putchar('\n');
}

int mw_order_carry_out(struct mw_client *c, const struct mw_order *o)
{
    struct mw_client_list l;
    struct parts p;
    int rv = mw_client_list(c, &l);

    if (rv)
        return rv;
    rv = choose(&p, &l, o);
    for (size_t i = 0; rv == 0 && i < p.n; i++) {
        count_old(&p.v[i], &l);
        rv = give(c, o->op, &p.v[i]);
    }
    mw_client_list_fini(&l);
    if (rv == 0)
        rv = await(c, o, &p);
    if (rv == 0 || rv == MW_ETIMEOUT) {
        for (size_t i = 0; i < p.n; i++) {
            say(o, &p.v[i]);
            if (p.v[i].progress == FAILED)
                rv = MW_ESTATE;
        }
        if (o->json)
            say_json(&p);
    }
    free_parts(&p);
    return rv;
}
