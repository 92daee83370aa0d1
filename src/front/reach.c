/*
 * reach.c: see reach.h. The forked process calls nothing but system calls, and never returns.
 */
#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "io.h"

#define GROUPS_MAX 1024
#define LINKS_MAX 16 /* followed one after another */

/* What the forked process found; one write to a pipe, which is not cut below PIPE_BUF. */
struct finding {
    int err; /* 0: nothing stands in the way */
    int is_dir;
    char part[2048];
};
_Static_assert(sizeof(struct finding) <= PIPE_BUF, "a finding is written in one piece");

/* The path that the link `part` leads to, into out. 0 if it is no link or too long. */
static int follow(const char *part, char out[PATH_MAX])
{
    char target[PATH_MAX];
    ssize_t n = readlink(part, target, sizeof(target) - 1);
    const char *slash = strrchr(part, '/');

    if (n <= 0 || !slash)
        return 0;
    target[n] = '\0';
    if (*target == '/')
        n = snprintf(out, PATH_MAX, "%s", target);
    else
        n = snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - part), part, target);
    return n < PATH_MAX;
}

/* The first part of path that refuses, or none. Where that is a link, what refuses behind it. */
static void walk(const char *path, int links, struct finding *out)
{
    char part[PATH_MAX], target[PATH_MAX];
    struct stat st;

    for (size_t i = 1; i <= strlen(path) && i < sizeof(part); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        int is_dir = path[i] == '/' || (stat(part, &st) == 0 && S_ISDIR(st.st_mode));
        int mode = (path[i] ? 0 : R_OK) | (is_dir ? X_OK : 0);
        if (faccessat(AT_FDCWD, part, mode, AT_EACCESS) == 0)
            continue;
        int err = errno;
        if (links < LINKS_MAX && follow(part, target))
            walk(target, links + 1, out);
        if (out->err)
            return;
        out->err = err;
        out->is_dir = is_dir;
        snprintf(out->part, sizeof(out->part), "%s", part);
        return;
    }
}

static void walk_all(const char *const *paths, struct finding *out)
{
    for (; *paths && !out->err; paths++)
        walk(*paths, 0, out);
}

/* In the forked process. Not 0: it could not become that user. */
static int become(const struct mw_reach *who, const gid_t *groups, int ngroups)
{
    if (who->chroot && (chroot(who->chroot) || chdir("/")))
        return -1;
    return setgroups((size_t)ngroups, groups) ||
           setresgid((gid_t)who->gid, (gid_t)who->gid, (gid_t)who->gid) ||
           setresuid((uid_t)who->uid, (uid_t)who->uid, (uid_t)who->uid);
}

/* 0, or -1 if nothing could be found out. */
static int walk_as(const struct mw_reach *who, const char *const *paths, struct finding *out)
{
    gid_t groups[GROUPS_MAX] = {(gid_t)who->gid};
    int ngroups = GROUPS_MAX;
    int fds[2];
    ssize_t n;
    pid_t pid;

    if (!who->user_name || getgrouplist(who->user_name, (gid_t)who->gid, groups, &ngroups) < 0)
        ngroups = 1;
    if (mw_io_pipe(fds))
        return -1;
    pid = fork();
    if (pid == 0) {
        if (become(who, groups, ngroups))
            _exit(1);
        walk_all(paths, out);
        _exit(write(fds[1], out, sizeof(*out)) == (ssize_t)sizeof(*out) ? 0 : 1);
    }
    mw_io_close(&fds[1]);
    do
        n = read(fds[0], out, sizeof(*out));
    while (n < 0 && errno == EINTR);
    mw_io_close(&fds[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return n == (ssize_t)sizeof(*out) ? 0 : -1;
}

const char *mw_reach_check(apr_pool_t *p, const struct mw_reach *who, const char *const *paths)
{
    struct finding found = {0};
    const char *user = "this user";

    if (who->uid >= 0 && geteuid() == 0) {
        user = who->user_name ? apr_psprintf(p, "user '%s'", who->user_name)
                              : apr_psprintf(p, "user number %ld", (long)who->uid);
        if (walk_as(who, paths, &found))
            return NULL;
    } else {
        walk_all(paths, &found);
    }
    if (!found.err)
        return NULL;
    if (found.err != EACCES)
        return apr_psprintf(p, "'%s' cannot be used: %s", found.part, strerror(found.err));
    return apr_psprintf(p, "%s may not %s '%s'; give them the permission, or put it elsewhere",
                        user, found.is_dir ? "enter the directory" : "read", found.part);
}
