/*
 * owner.h: whose scripts a group runs: script-user= and script-group= of WSGIDaemonProcess.
 */
#ifndef MW_FRONT_OWNER_H
#define MW_FRONT_OWNER_H

#include <sys/stat.h>

#include "config.h"

/* A rule that a script breaks: the number of its message, and what is wrong, as the end of a
 * sentence about the script. */
struct mw_owner_verdict {
    const char *id; /* NULL: the group runs the script */
    const char *why;
};

/* Judge a script by what stat said of it and of its folder. Pure; any thread. Strings are constant. */
struct mw_owner_verdict mw_owner_judge(const struct mw_group *g, const struct stat *script,
                                       const struct stat *folder);

/* The same for a path as the group's processes see it. A file that cannot be looked at is not run. */
struct mw_owner_verdict mw_owner_check(apr_pool_t *p, const struct mw_group *g, const char *script);

#endif
