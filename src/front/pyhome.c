/*
 * pyhome.c: Python home -> version -> runtime file. Which wsgi-python-X.Y.so a process loads is
 * decided by the version of its Python home alone; nothing of Python is run or loaded to find it
 * out.
 *
 * Called in the httpd parent while it reads its configuration, and in a child before it loads an
 * embedded runtime. Never changes anything.
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#ifndef MW_DEFAULT_PYTHON
#error \
    "MW_DEFAULT_PYTHON: the version of the default Python, such as \"3.11\", comes from the build"
#endif

#define CFG_LINE_MAX 4096

/* "3.11" or, free-threaded, "3.13t". */
struct version {
    char text[32];
};

static int is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int is_there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

static const char *beside(apr_pool_t *p, const char *module, const char *file)
{
    const char *slash = strrchr(module, '/');

    if (!slash)
        return file;
    return apr_pstrcat(p, apr_pstrmemdup(p, module, (apr_size_t)(slash + 1 - module)), file, NULL);
}

/* Where httpd found the module comes first; a module that is a link has its files beside its
 * target. */
const char *mw_config_beside(apr_pool_t *p, const char *file)
{
    union {
        const char *(*fn)(apr_pool_t *, const char *);
        void *address;
    } here = {mw_config_beside};
    Dl_info info;
    const char *path;
    char *target;

    if (!dladdr(here.address, &info) || !info.dli_fname)
        return file;
    path = beside(p, info.dli_fname, file);
    if (is_there(path))
        return path;
    target = realpath(info.dli_fname, NULL);
    if (target) {
        const char *other = beside(p, target, file);
        if (is_there(other))
            path = other;
        free(target);
    }
    return path;
}

/* "X.Y" at the start of text, with whatever may follow it. */
static int parse_version(const char *text, struct version *out)
{
    int major, minor, end = 0;

    if (sscanf(text, "%2d.%3d%n", &major, &minor, &end) < 2 || major < 0 || minor < 0)
        return 0;
    if (isdigit((unsigned char)text[end]))
        return 0;
    snprintf(out->text, sizeof(out->text), "%d.%d", major, minor);
    return 1;
}

/* What pyvenv.cfg says: `version` (venv), `version_info` (virtualenv, uv), `home` (the folder of
 * the Python that the environment was made from). */
struct venv {
    int found;
    int versioned;
    struct version version;
    const char *base;
};

static void venv_line(apr_pool_t *p, char *line, struct venv *out)
{
    char *value = strchr(line, '=');
    char *end;

    if (!value)
        return;
    *value++ = '\0';
    while (isspace((unsigned char)*line))
        line++;
    for (end = line + strlen(line); end > line && isspace((unsigned char)end[-1]);)
        *--end = '\0';
    while (isspace((unsigned char)*value))
        value++;
    for (end = value + strlen(value); end > value && isspace((unsigned char)end[-1]);)
        *--end = '\0';
    if (strcasecmp(line, "version") == 0 || strcasecmp(line, "version_info") == 0)
        out->versioned = parse_version(value, &out->version) || out->versioned;
    else if (strcasecmp(line, "home") == 0)
        out->base = apr_pstrdup(p, value);
}

static struct venv read_venv(apr_pool_t *p, const char *home)
{
    struct venv out = {0};
    char line[CFG_LINE_MAX];
    FILE *f = fopen(apr_pstrcat(p, home, "/pyvenv.cfg", NULL), "re");

    if (!f)
        return out;
    out.found = 1;
    while (fgets(line, sizeof(line), f))
        venv_line(p, line, &out);
    fclose(f);
    return out;
}

/* Whether home has a lib/pythonX.Y of exactly this version, e.g. "3.13t". */
static int has_lib(apr_pool_t *p, const char *home, const char *version)
{
    return is_directory(apr_pstrcat(p, home, "/lib/python", version, NULL)) ||
           is_directory(apr_pstrcat(p, home, "/lib64/python", version, NULL));
}

/* The version in a folder's name, "python3.11" or "python3.13t". */
static int dir_version(const char *name, struct version *out)
{
    size_t n;

    if (strncmp(name, "python", 6) != 0 || !parse_version(name + 6, out))
        return 0;
    n = strlen(out->text);
    if (strcmp(name + 6 + n, "t") == 0)
        apr_cpystrn(out->text + n, "t", sizeof(out->text) - n);
    else if (name[6 + n])
        return 0;
    return 1;
}

/* Versions found in lib; the default of the build wins over any other, then the first one. */
static int scan_lib(apr_pool_t *p, const char *home, struct version *out)
{
    struct version v;
    const struct dirent *e;
    int found = 0;
    DIR *d = opendir(apr_pstrcat(p, home, "/lib", NULL));

    if (!d)
        return 0;
    while ((e = readdir(d)) != NULL) {
        if (!dir_version(e->d_name, &v))
            continue;
        if (!found++ || strcmp(v.text, MW_DEFAULT_PYTHON) == 0)
            *out = v;
    }
    closedir(d);
    return found;
}

/* A prefix such as /usr may hold several versions: the one its bin/python3 is, is meant. */
static int link_version(apr_pool_t *p, const char *home, struct version *out)
{
    char *target = realpath(apr_pstrcat(p, home, "/bin/python3", NULL), NULL);
    const char *slash;
    int ok;

    if (!target)
        return 0;
    slash = strrchr(target, '/');
    ok = slash && dir_version(slash + 1, out) && has_lib(p, home, out->text);
    free(target);
    return ok;
}

/* What the environment's own python is called by the Python it was made from, such as python3.11. */
static const char *check_program(apr_pool_t *p, const char *home, const struct version *said)
{
    const char *python = apr_pstrcat(p, home, "/bin/python", NULL);
    char *target = realpath(python, NULL);
    const char *name = target ? strrchr(target, '/') : NULL;
    size_t n = strcspn(said->text, "t");
    const char *why = NULL;
    struct version is;

    if (!target && errno == ENOENT)
        why = apr_psprintf(p,
                           "'%s' of the virtual environment leads nowhere: its Python %s is no "
                           "longer there; make the environment again",
                           python, said->text);
    else if (name && dir_version(name + 1, &is) &&
             (strcspn(is.text, "t") != n || strncmp(is.text, said->text, n) != 0))
        why = apr_psprintf(p,
                           "the virtual environment '%s' was made with Python %s, but its Python, "
                           "'%s', is now %s; make the environment again",
                           home, said->text, target, is.text);
    free(target);
    return why;
}

/* NULL, or why a virtual environment that says its version cannot work all the same. Links out of it
 * lead to where the process will see them only without another root. */
static const char *check_venv(apr_pool_t *p, const char *root, const char *home,
                              const struct version *version)
{
    const char *venv = apr_pstrcat(p, root, home, NULL);

    if (!read_venv(p, venv).versioned)
        return NULL;
    if (!has_lib(p, venv, version->text))
        return apr_psprintf(p,
                            "'%s' says that it is a virtual environment of Python %s, but has no "
                            "lib/python%s; make the environment again",
                            venv, version->text, version->text);
    return *root ? NULL : check_program(p, venv, version);
}

/* NULL, or what is wrong with the home. */
static const char *home_version(apr_pool_t *p, const char *root, const char *inside,
                                struct version *out)
{
    const char *home = apr_pstrcat(p, root, inside, NULL);
    struct venv venv;

    if (!is_directory(home))
        return apr_psprintf(p,
                            "the Python home '%s' is not a directory; it must be the prefix of a "
                            "Python installation or a virtual environment",
                            home);
    venv = read_venv(p, home);
    if (venv.base && *venv.base && !is_directory(apr_pstrcat(p, root, venv.base, NULL)))
        return apr_psprintf(p,
                            "the virtual environment '%s' was made from the Python in '%s', which "
                            "is no longer there; make the environment again",
                            home, venv.base);
    if (venv.versioned) {
        const char *free_threaded = apr_pstrcat(p, venv.version.text, "t", NULL);
        if (!has_lib(p, home, venv.version.text) && has_lib(p, home, free_threaded))
            apr_cpystrn(venv.version.text, free_threaded, sizeof(venv.version.text));
        *out = venv.version;
        return NULL;
    }
    if (link_version(p, home, out) || scan_lib(p, home, out))
        return NULL;
    return apr_psprintf(p,
                        "'%s' is no Python home: it has no pyvenv.cfg that names a version and no "
                        "lib/python3.X; it must be the prefix of a Python installation or a "
                        "virtual environment",
                        home);
}

const char *mw_config_runtime(apr_pool_t *p, const char *root, const char *home, const char **why)
{
    struct version v;
    const char *path;

    apr_cpystrn(v.text, MW_DEFAULT_PYTHON, sizeof(v.text));
    if (home) {
        *why = home_version(p, root, home, &v);
        if (*why)
            return NULL;
    }
    path = mw_config_beside(p, apr_psprintf(p, "wsgi-python-%s.so", v.text));
    if (access(path, R_OK) == 0) {
        *why = home ? check_venv(p, root, home, &v) : NULL;
        return *why ? NULL : path;
    }
    *why = apr_psprintf(p,
                        "the runtime for Python %s, '%s', is missing%s%s%s; build it with `./dev "
                        "build --python PATH` or `./configure --with-python=PATH`, PATH being a "
                        "Python %s, and install it there",
                        v.text, path, home ? " (the version of Python home '" : "",
                        home ? home : "", home ? "')" : "", v.text);
    return NULL;
}

/* "/usr" of "/usr/bin"; NULL of anything that has none. */
static const char *parent_of(apr_pool_t *p, const char *dir)
{
    const char *slash = dir ? strrchr(dir, '/') : NULL;

    return slash && slash[1] ? apr_pstrmemdup(p, dir, (apr_size_t)(slash - dir)) : NULL;
}

/* The one of lib and lib64 below prefix in which `file` of that version's library is, as the process
 * names it; NULL if it is in neither. */
static const char *library_file(apr_pool_t *p, const char *root, const char *prefix,
                                const char *version, const char *file)
{
    static const char *const libs[] = {"lib", "lib64"};

    for (size_t i = 0; i < MW_ARRAY_LEN(libs); i++) {
        const char *path = apr_psprintf(p, "%s/%s/python%s/%s", prefix, libs[i], version, file);
        if (is_there(apr_pstrcat(p, root, path, NULL)))
            return path;
    }
    return NULL;
}

const char *const *mw_config_home_files(apr_pool_t *p, const char *root, const char *home)
{
    const char **list = apr_pcalloc(p, 5 * sizeof(*list));
    struct venv venv = read_venv(p, apr_pstrcat(p, root, home, NULL));
    const char *prefix = home;
    struct version v;
    const char *file;
    int n = 0;

    list[n++] = home;
    if (home_version(p, root, home, &v))
        return list;
    if (venv.found) {
        list[n++] = apr_pstrcat(p, home, "/pyvenv.cfg", NULL);
        file = library_file(p, root, home, v.text, "site-packages");
        if (file)
            list[n++] = file;
        prefix = parent_of(p, venv.base);
    }
    file = prefix ? library_file(p, root, prefix, v.text, "os.py") : NULL;
    if (file)
        list[n++] = file;
    return list;
}
