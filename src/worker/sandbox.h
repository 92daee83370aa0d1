/*
 * sandbox.h: what a worker does to itself before it runs a line of Python: root directory, identity,
 * umask, working directory, environment, locale. Called once, in this order, by the main thread while
 * there is no other.
 *
 * Each function returns 0, or MW_E* with `why` saying what is wrong and what to do. After a failure the
 * process must end.
 */
#ifndef MW_SANDBOX_H
#define MW_SANDBOX_H

#include <sys/types.h>

#include "spec.h"

#define MW_SANDBOX_GROUPS_MAX 1024

struct mw_sandbox {
    const struct mw_spec *spec;
    gid_t groups[MW_SANDBOX_GROUPS_MAX];
    int ngroups;
};

/* Before the chroot, after which /etc/group is another one. */
MW_MUST_CHECK int mw_sandbox_find_groups(struct mw_sandbox *sb, char *why, size_t cap);
MW_MUST_CHECK int mw_sandbox_chroot(struct mw_sandbox *sb, char *why, size_t cap);
/* Give up root's rights for good and prove it. */
MW_MUST_CHECK int mw_sandbox_drop(struct mw_sandbox *sb, char *why, size_t cap);
MW_MUST_CHECK int mw_sandbox_umask(struct mw_sandbox *sb, char *why, size_t cap);
MW_MUST_CHECK int mw_sandbox_enter_home(struct mw_sandbox *sb, char *why, size_t cap);
MW_MUST_CHECK int mw_sandbox_environment(struct mw_sandbox *sb, char *why, size_t cap);

/* The shortest leading part of an absolute path that this process may not enter, into out; 0 if there is
 * none, else the errno of the attempt. */
int mw_sandbox_barrier(const char *path, char *out, size_t cap);

#endif
