/*
 * owner.c: see owner.h. Asked for each request of a group that has a rule: two stat(2), nothing kept,
 * because what counts is who may change the file now.
 */
#include "owner.h"

#include <apr_strings.h>

static struct mw_owner_verdict judge_user(const struct mw_group *g, const struct stat *script,
                                          const struct stat *folder)
{
    if ((int64_t)script->st_uid != g->script_uid)
        return (struct mw_owner_verdict){"WSGI0154", "its owner is not script-user"};
    if (script->st_mode & S_IWGRP)
        return (struct mw_owner_verdict){"WSGI0155", "its group may write to it"};
    if (script->st_mode & S_IWOTH)
        return (struct mw_owner_verdict){"WSGI0156", "everybody may write to it"};
    if (folder->st_mode & S_IWGRP)
        return (struct mw_owner_verdict){"WSGI0158", "the group of its folder may write there"};
    if (folder->st_mode & S_IWOTH)
        return (struct mw_owner_verdict){"WSGI0159", "everybody may write to its folder"};
    return (struct mw_owner_verdict){NULL, NULL};
}

static struct mw_owner_verdict judge_group(const struct mw_group *g, const struct stat *script,
                                           const struct stat *folder)
{
    if ((int64_t)script->st_gid != g->script_gid)
        return (struct mw_owner_verdict){"WSGI0164", "its group is not script-group"};
    if (script->st_mode & S_IWOTH)
        return (struct mw_owner_verdict){"WSGI0166", "everybody may write to it"};
    if (folder->st_mode & S_IWOTH)
        return (struct mw_owner_verdict){"WSGI0169", "everybody may write to its folder"};
    return (struct mw_owner_verdict){NULL, NULL};
}

struct mw_owner_verdict mw_owner_judge(const struct mw_group *g, const struct stat *script,
                                       const struct stat *folder)
{
    if (g->script_uid >= 0)
        return judge_user(g, script, folder);
    if (g->script_gid >= 0)
        return judge_group(g, script, folder);
    return (struct mw_owner_verdict){NULL, NULL};
}

struct mw_owner_verdict mw_owner_check(apr_pool_t *p, const struct mw_group *g, const char *script)
{
    struct stat st, folder;

    if (g->script_uid < 0 && g->script_gid < 0)
        return (struct mw_owner_verdict){NULL, NULL};
    if (g->spec.chroot)
        script = apr_pstrcat(p, g->spec.chroot, script, NULL);
    if (stat(script, &st))
        return (struct mw_owner_verdict){"WSGI0153", "its owner cannot be found out"};
    if (stat(ap_make_dirstr_parent(p, script), &folder))
        return (struct mw_owner_verdict){"WSGI0157", "its folder cannot be looked at"};
    return mw_owner_judge(g, &st, &folder);
}
