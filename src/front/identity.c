/*
 * identity.c: see identity.h. Called by directives.c and config.c while httpd reads its
 * configuration.
 */
#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

/* The number behind '#': decimal digits and nothing else, and not the -1 that setuid(2) takes for
 * "as it is". */
static int parse_id(const char *digits, int64_t *id_r)
{
    char *end;
    long long v;

    if (*digits < '0' || *digits > '9')
        return 0;
    errno = 0;
    v = strtoll(digits, &end, 10);
    if (errno || *end || v >= (long long)UINT32_MAX)
        return 0;
    *id_r = v;
    return 1;
}

static void fill(apr_pool_t *p, const struct passwd *pw, struct mw_identity *out)
{
    out->uid = (int64_t)pw->pw_uid;
    out->gid = (int64_t)pw->pw_gid;
    out->name = apr_pstrdup(p, pw->pw_name);
    out->home = pw->pw_dir && *pw->pw_dir ? apr_pstrdup(p, pw->pw_dir) : NULL;
}

int mw_identity_of(apr_pool_t *p, int64_t uid, struct mw_identity *out)
{
    const struct passwd *pw = getpwuid((uid_t)uid);

    if (!pw)
        return 0;
    fill(p, pw, out);
    return 1;
}

const char *mw_identity_user(apr_pool_t *p, const char *text, struct mw_identity *out)
{
    const struct passwd *pw;
    int64_t uid;

    if (*text == '#') {
        if (!parse_id(text + 1, &uid))
            return apr_psprintf(p, "'%s' is not '#' followed by a user number", text);
        if (!mw_identity_of(p, uid, out))
            return apr_psprintf(p,
                                "Couldn't determine user name from uid. No user has the number "
                                "%s; groups and home directory come from the user's entry",
                                text + 1);
        return NULL;
    }
    pw = getpwnam(text);
    if (!pw)
        return apr_psprintf(p,
                            "no user is named '%s' on this machine; allowed are a user's name or "
                            "#uid",
                            text);
    fill(p, pw, out);
    return NULL;
}

const char *mw_identity_owner(apr_pool_t *p, const char *text, int64_t *uid_r)
{
    struct mw_identity id;
    const char *why;

    if (*text == '#')
        return parse_id(text + 1, uid_r)
                   ? NULL
                   : apr_psprintf(p, "'%s' is not '#' followed by a user number", text);
    why = mw_identity_user(p, text, &id);
    if (!why)
        *uid_r = id.uid;
    return why;
}

const char *mw_identity_group(apr_pool_t *p, const char *text, int64_t *gid_r)
{
    const struct group *gr;

    if (*text == '#') {
        if (!parse_id(text + 1, gid_r))
            return apr_psprintf(p, "'%s' is not '#' followed by a group number", text);
        return NULL;
    }
    gr = getgrnam(text);
    if (!gr)
        return apr_psprintf(p,
                            "no group is named '%s' on this machine; allowed are a group's name "
                            "or #gid",
                            text);
    *gid_r = (int64_t)gr->gr_gid;
    return NULL;
}

const char *mw_identity_groups(apr_pool_t *p, const char *text, const char **list_r)
{
    char *state, *rest = apr_pstrdup(p, text);
    const char *list = "";

    for (char *name; (name = apr_strtok(rest, ",", &state)); rest = NULL) {
        int64_t gid;
        const char *why = mw_identity_group(p, name, &gid);

        if (why)
            return why;
        list = apr_psprintf(p, "%s%s#%" APR_INT64_T_FMT, list, *list ? "," : "", gid);
    }
    if (!*list)
        return apr_psprintf(p, "'%s' names no group", text);
    *list_r = list;
    return NULL;
}
