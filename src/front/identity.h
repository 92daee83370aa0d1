/*
 * identity.h: users and groups of the system by name or number. Configuration time only: uses the
 * C library's static buffers, so one thread.
 */
#ifndef MW_FRONT_IDENTITY_H
#define MW_FRONT_IDENTITY_H

#include <stdint.h>

#include <apr_pools.h>

struct mw_identity {
    int64_t uid;
    int64_t gid; /* the user's primary group */
    const char *name;
    const char *home; /* NULL: the entry names none */
};

/* text is a name or #uid. NULL, or a sentence that says what is wrong. */
const char *mw_identity_user(apr_pool_t *p, const char *text, struct mw_identity *out);

/* text is a name or #gid; a number needs no entry in the group database. As above. */
const char *mw_identity_group(apr_pool_t *p, const char *text, int64_t *gid_r);

/* text is a list of those with ',' between them; "#gid,#gid" into *list_r. As above. */
const char *mw_identity_groups(apr_pool_t *p, const char *text, const char **list_r);

/* As mw_identity_user, but a number needs no entry: for files, which may be anybody's. */
const char *mw_identity_owner(apr_pool_t *p, const char *text, int64_t *uid_r);

/* The entry of a uid: 1, or 0 if there is none. */
int mw_identity_of(apr_pool_t *p, int64_t uid, struct mw_identity *out);

#endif
