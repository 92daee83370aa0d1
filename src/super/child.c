/*
 * child.c: the table of slots. Supervisor only, one thread.
 */
#include "child.h"

#include <stdlib.h>

#include "io.h"

int mw_children_init(struct mw_children *cs, const struct mw_super_config *cfg)
{
    size_t n = 0;

    *cs = (struct mw_children){.ngroups = cfg->ngroups};
    cs->first = calloc(cfg->ngroups + 1u, sizeof *cs->first);
    if (!cs->first)
        return MW_ENOMEM;
    for (unsigned g = 0; g < cfg->ngroups; g++) {
        cs->first[g] = n;
        n += mw_board_slots(cfg->groups[g].board);
    }
    cs->first[cfg->ngroups] = n;
    cs->v = calloc(n ? n : 1, sizeof *cs->v);
    cs->pol = calloc(n ? n : 1, sizeof *cs->pol);
    if (!cs->v || !cs->pol) {
        mw_children_fini(cs);
        return MW_ENOMEM;
    }
    for (unsigned g = 0; g < cfg->ngroups; g++) {
        for (size_t i = cs->first[g]; i < cs->first[g + 1u]; i++) {
            struct mw_child *ch = &cs->v[i];
            ch->pol = &cs->pol[i];
            mw_policy_init(ch->pol);
            ch->group = g;
            ch->slot = (unsigned)(i - cs->first[g]);
            ch->control = -1;
        }
    }
    cs->n = n;
    return 0;
}

void mw_children_fini(struct mw_children *cs)
{
    for (size_t i = 0; i < cs->n; i++) {
        mw_handover_drop(&cs->v[i]);
        mw_io_close(&cs->v[i].control);
        mw_trial_clear(&cs->v[i].trial);
    }
    free(cs->v);
    free(cs->pol);
    free(cs->first);
    *cs = (struct mw_children){0};
}

struct mw_child *mw_child_at(struct mw_children *cs, unsigned group, unsigned slot)
{
    if (group >= cs->ngroups)
        return NULL;
    if (slot >= cs->first[group + 1u] - cs->first[group])
        return NULL;
    return &cs->v[cs->first[group] + slot];
}

struct mw_child *mw_child_find(struct mw_children *cs, pid_t pid)
{
    for (size_t i = 0; i < cs->n; i++) {
        if (cs->v[i].pid == pid && mw_policy_alive(cs->v[i].pol))
            return &cs->v[i];
    }
    return NULL;
}
