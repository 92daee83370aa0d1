/*
 * reach.h: whether somebody else than httpd's parent can get at files: asked of the kernel, in a
 * forked process that becomes that user, so that ACLs, file servers and chroot= count as they will.
 * Configuration time only, in the httpd parent.
 */
#ifndef MW_FRONT_REACH_H
#define MW_FRONT_REACH_H

#include <stdint.h>

#include <apr_pools.h>

struct mw_reach {
    int64_t uid, gid;      /* -1: as this process */
    const char *user_name; /* of uid, for its groups; may be NULL */
    const char *chroot;    /* entered first; may be NULL */
};

/* NULL if each path (NULL ends them) can be read, and entered if it is a directory; else a sentence
 * that names the first part of a path that stands in the way. What cannot be found out is taken to
 * be well. */
const char *mw_reach_check(apr_pool_t *p, const struct mw_reach *who, const char *const *paths);

#endif
