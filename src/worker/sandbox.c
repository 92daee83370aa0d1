/*
 * sandbox.c: identity and surroundings of a worker. Every system call that could leave the process with
 * more than it should have is checked, and the result is checked again by asking for it.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <locale.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static int because(char *why, size_t cap, const char *what, const char *on)
{
    snprintf(why, cap, "%s%s%s: %s", what, on ? " " : "", on ? on : "", strerror(errno));
    return MW_EIO;
}

static int changes_identity(const struct mw_sandbox *sb)
{
    return sb->spec->uid >= 0 || sb->spec->gid >= 0;
}

/* -- root directory -- */

int mw_sandbox_chroot(struct mw_sandbox *sb, char *why, size_t cap)
{
    const char *dir = sb->spec->chroot;

    if (!dir)
        return 0;
    if (chdir(dir))
        return because(why, cap, "cannot enter the directory of chroot=", dir);
    if (chroot(".")) {
        (void)because(why, cap, "chroot to", dir);
        if (errno == EPERM)
            snprintf(why, cap, "chroot=%s needs httpd to be started as root", dir);
        return MW_EIO;
    }
    return chdir("/") ? because(why, cap, "chdir to / of", dir) : 0;
}

/* -- identity -- */

/* Exactly those that were asked for: numbers, which httpd has looked up. */
static int take_groups(struct mw_sandbox *sb, const char *list, char *why, size_t cap)
{
    char *end;

    for (const char *p = list; *p; p = *end ? end + 1 : end) {
        unsigned long gid = *p == '#' ? strtoul(p + 1, &end, 10) : ULONG_MAX;
        if (gid >= UINT32_MAX || end == p + 1 || (*end && *end != ',')) {
            snprintf(why, cap, "supplementary-groups: '%s' is no list of numbers", list);
            return MW_EINVAL;
        }
        if (sb->ngroups == MW_SANDBOX_GROUPS_MAX) {
            snprintf(why, cap, "supplementary-groups: more than %d", MW_SANDBOX_GROUPS_MAX);
            return MW_ELIMIT;
        }
        sb->groups[sb->ngroups++] = (gid_t)gid;
    }
    return 0;
}

int mw_sandbox_find_groups(struct mw_sandbox *sb, char *why, size_t cap)
{
    const struct mw_spec *spec = sb->spec;
    int n = MW_SANDBOX_GROUPS_MAX;

    sb->ngroups = 0;
    if (!changes_identity(sb))
        return 0;
    if (spec->uid < 0 || spec->gid < 0) {
        snprintf(why, cap, "the specification names a user without a group or the other way round");
        return MW_EINVAL;
    }
    sb->groups[0] = (gid_t)spec->gid;
    sb->ngroups = 1;
    if (spec->supplementary_groups)
        return take_groups(sb, spec->supplementary_groups, why, cap);
    if (!spec->user_name)
        return 0;
    if (getgrouplist(spec->user_name, (gid_t)spec->gid, sb->groups, &n) < 0) {
        snprintf(why, cap, "user %s is a member of more than %d groups", spec->user_name,
                 MW_SANDBOX_GROUPS_MAX);
        return MW_ELIMIT;
    }
    sb->ngroups = n;
    return 0;
}

/* The groups the process has are the ones it asked for, in whatever order. */
static int groups_are_set(const struct mw_sandbox *sb)
{
    static const size_t max = MW_SANDBOX_GROUPS_MAX + 1;
    gid_t have[MW_SANDBOX_GROUPS_MAX + 1];
    int n = getgroups((int)max, have);

    if (n < 0)
        return 0;
    for (int i = 0; i < n; i++) {
        int found = have[i] == (gid_t)sb->spec->gid;
        for (int k = 0; k < sb->ngroups && !found; k++)
            found = have[i] == sb->groups[k];
        if (!found)
            return 0;
    }
    return 1;
}

static int ids_are_set(uid_t uid, gid_t gid)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;

    return !getresuid(&r, &e, &s) && r == uid && e == uid && s == uid &&
           !getresgid(&rg, &eg, &sg) && rg == gid && eg == gid && sg == gid;
}

/* Root's rights do not come back by any of the calls that could bring them. */
static int can_regain(uid_t uid, gid_t gid)
{
    const uid_t keep = (uid_t)-1;

    if (uid == 0)
        return 0; /* root was asked for */
    if (setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, keep, keep) == 0 ||
        setresuid(keep, keep, 0) == 0)
        return 1;
    if (gid == 0)
        return 0;
    return setgid(0) == 0 || setegid(0) == 0 || setresgid(keep, keep, 0) == 0;
}

int mw_sandbox_drop(struct mw_sandbox *sb, char *why, size_t cap)
{
    uid_t uid = (uid_t)sb->spec->uid;
    gid_t gid = (gid_t)sb->spec->gid;

    if (!changes_identity(sb))
        return 0;
    if (geteuid() != 0 && ids_are_set(uid, gid))
        return 0; /* nothing to give up */
    if (setgroups((size_t)sb->ngroups, sb->groups))
        return because(why, cap, "setgroups", NULL);
    if (setresgid(gid, gid, gid))
        return because(why, cap, "setresgid", NULL);
    if (setresuid(uid, uid, uid))
        return because(why, cap, "setresuid", NULL);
    if (!ids_are_set(uid, gid) || !groups_are_set(sb)) {
        snprintf(why, cap, "the process has not got the identity %ld:%ld that it asked for",
                 (long)uid, (long)gid);
        return MW_EIO;
    }
    if (can_regain(uid, gid)) {
        snprintf(why, cap, "the process could become root again");
        return MW_EIO;
    }
    return 0;
}

/* -- surroundings -- */

int mw_sandbox_umask(struct mw_sandbox *sb, char *why, size_t cap)
{
    (void)why, (void)cap;
    if (sb->spec->umask >= 0)
        umask((mode_t)sb->spec->umask);
    return 0;
}

int mw_sandbox_barrier(const char *path, char *out, size_t cap)
{
    size_t n = strlen(path);

    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        snprintf(out, cap, "%.*s", (int)i, path);
        int fd = open(out, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return errno;
        int refused = faccessat(fd, ".", X_OK, AT_EACCESS) ? errno : 0;
        close(fd);
        if (refused)
            return refused;
    }
    return 0;
}

/* Where the group's user may not go, the first directory that stops it is what has to be changed. */
static void name_barrier(const char *option, const char *dir, char *why, size_t cap)
{
    char part[1024];
    int failed = errno;
    int err = mw_sandbox_barrier(dir, part, sizeof part);

    snprintf(why, cap, "%s%s cannot be entered: %s: %s; %s", option, dir, err ? part : dir,
             strerror(err ? err : failed),
             err == EACCES ? "give the user of the group search permission (x) on it, or name "
                             "another directory"
                           : "create it, or name another directory");
}

int mw_sandbox_enter_home(struct mw_sandbox *sb, char *why, size_t cap)
{
    const struct mw_spec *spec = sb->spec;

    if (spec->home) {
        if (chdir(spec->home) == 0)
            return 0;
        name_barrier("home=", spec->home, why, cap);
        return MW_EIO;
    }
    if (!spec->user || spec->uid < 0 || !spec->user_home)
        return 0;
    if (chdir(spec->user_home) == 0)
        return 0;
    name_barrier("the home directory ", spec->user_home, why, cap);
    /* Nobody asked for it, and users of services often have none. */
    mw_log(MW_LOG_INFO, "WSGI0578", "%s; the working directory is /", why);
    return chdir("/") ? because(why, cap, "chdir to", "/") : 0;
}

static void set_if_present(const char *name, const char *value)
{
    if (getenv(name))
        setenv(name, value, 1);
}

/* What the application finds of its user is the group's user, not the one who started httpd. */
static void set_user(const char *name, const char *home)
{
    if (home)
        setenv("HOME", home, 1);
    if (!name)
        return;
    setenv("USER", name, 1);
    setenv("LOGNAME", name, 1);
    set_if_present("USERNAME", name);
}

int mw_sandbox_environment(struct mw_sandbox *sb, char *why, size_t cap)
{
    const struct mw_spec *spec = sb->spec;

    (void)why, (void)cap;
    if (spec->uid >= 0) {
        set_user(spec->user_name, spec->user_home);
    } else {
        const struct passwd *pw = getpwuid(geteuid());
        if (pw)
            set_user(pw->pw_name, pw->pw_dir);
    }
    if (spec->lang)
        setenv("LANG", spec->lang, 1);
    if (spec->locale)
        setenv("LC_ALL", spec->locale, 1);
    if (spec->locale && !setlocale(LC_ALL, spec->locale))
        mw_log(MW_LOG_WARNING, "WSGI0079",
               "locale=%s is not installed on this system; the C locale stays", spec->locale);
    return 0;
}
