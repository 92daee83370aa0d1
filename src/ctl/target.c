/*
 * target.c: see target.h. A group's name may have a '/' in it, and may be a number: then it is the group.
 */
#include "target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int is_named(struct mw_str have, const char *name, size_t n)
{
    return have.n == n && memcmp(have.p, name, n) == 0;
}

int mw_target_number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno && *out <= max;
}

int mw_target_is_group(const struct mw_client_group *g, const char *target)
{
    return !target || is_named(g->g.name, target, strlen(target));
}

int mw_target_is_worker(const struct mw_client_worker *w, const char *target)
{
    const char *slash = target ? strrchr(target, '/') : NULL;
    unsigned long v;

    if (mw_target_is_group(w->group, target))
        return 1;
    if (slash && mw_target_number(slash + 1, UINT16_MAX, &v) && v == w->w.slot &&
        is_named(w->group->g.name, target, (size_t)(slash - target)))
        return 1;
    return w->w.pid && mw_target_number(target, UINT32_MAX, &v) && v == w->w.pid;
}
