/*
 * prefix.c: check a Python home before Python is started with it. CPython finds most of these
 * faults too, but late, and in words about its codecs. Called once, by runtime.c.
 */
#include "prefix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STDLIB "lib/python" MW_PY_VERSION

/* "dir/rest" into out; MW_ELIMIT if it does not fit. */
static int join(char out[PATH_MAX], const char *dir, const char *rest)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", dir, rest);

    return n < 0 || n >= PATH_MAX ? MW_ELIMIT : 0;
}

static int exists(const char *dir, const char *rest)
{
    char path[PATH_MAX];

    return join(path, dir, rest) == 0 && access(path, F_OK) == 0;
}

/* The value of `key` in a pyvenv.cfg line, or NULL. The line loses its end. */
static const char *value_of(char *line, const char *key)
{
    size_t n = strlen(key);
    char *p = line + strspn(line, " \t");

    if (strncmp(p, key, n) != 0)
        return NULL;
    p += n + strspn(p + n, " \t");
    if (*p != '=')
        return NULL;
    p += 1 + strspn(p + 1, " \t");
    size_t len = strcspn(p, "\r\n");
    while (len && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    p[len] = 0;
    return p;
}

/* The directory of the executable that a virtual environment was made with; "" if it does not say.
 */
static void read_base(const char *home, char base[PATH_MAX])
{
    char path[PATH_MAX], line[PATH_MAX + 64];
    FILE *f = join(path, home, "pyvenv.cfg") ? NULL : fopen(path, "re");

    base[0] = 0;
    while (f && !base[0] && fgets(line, sizeof line, f)) {
        const char *value = value_of(line, "home");
        if (value)
            snprintf(base, PATH_MAX, "%s", value);
    }
    if (f)
        fclose(f);
}

static int check_venv(const char *home, char *why, size_t why_cap)
{
    char base[PATH_MAX];

    if (!exists(home, STDLIB) && !exists(home, "lib64/python" MW_PY_VERSION)) {
        snprintf(why, why_cap,
                 "'%s' is a virtual environment of another Python version: there is no '%s/" STDLIB
                 "'; name one made with Python " MW_PY_VERSION,
                 home, home);
        return MW_EINVAL;
    }
    read_base(home, base);
    if (base[0] && access(base, F_OK)) {
        snprintf(
            why, why_cap,
            "'%s' is a virtual environment whose Python in '%s' is not there any more (%s); make "
            "the environment anew",
            home, base, strerror(errno));
        return MW_EINVAL;
    }
    return 0;
}

static int check_installation(const char *home, char *why, size_t why_cap)
{
    if (exists(home, STDLIB "/os.py") || exists(home, STDLIB "/os.pyc") ||
        exists(home, "lib64/python" MW_PY_VERSION "/os.py"))
        return 0;
    snprintf(why, why_cap,
             "'%s' is no installation of Python " MW_PY_VERSION
             " and no virtual environment: there is "
             "neither '%s/pyvenv.cfg' nor '%s/" STDLIB "/os.py'",
             home, home, home);
    return MW_EINVAL;
}

static int check_directory(const char *home, char *why, size_t why_cap)
{
    struct stat st;

    if (stat(home, &st)) {
        snprintf(why, why_cap, "Python home '%s' cannot be used: %s", home, strerror(errno));
        return MW_EINVAL;
    }
    if (!S_ISDIR(st.st_mode)) {
        snprintf(why, why_cap, "Python home '%s' is not a directory: name the directory above bin/",
                 home);
        return MW_EINVAL;
    }
    return 0;
}

int mw_py_prefix_find(struct mw_py_prefix *out, const char *home, char *why, size_t why_cap)
{
    *out = (struct mw_py_prefix){.program = MW_PY_EXECUTABLE, .home = ""};
    if (!home)
        return 0;
    int rv = check_directory(home, why, why_cap);
    if (rv)
        return rv;
    if (exists(home, "pyvenv.cfg")) {
        rv = check_venv(home, why, why_cap);
        return rv ? rv : join(out->program, home, "bin/python");
    }
    rv = check_installation(home, why, why_cap);
    if (rv)
        return rv;
    snprintf(out->home, sizeof out->home, "%s", home);
    return join(out->program, home, "bin/python" MW_PY_VERSION);
}
