/*
 * env.c: see env.h. Called by httpd while it tests its configuration and by a worker before it gives
 * up its privileges; one thread. What was read of a file is wiped before its memory is given back.
 */
#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* s without blanks at its ends, which are cut off in place. */
static char *trim(char *s)
{
    char *end = s + strlen(s);

    while (end > s && is_blank(end[-1]))
        *--end = 0;
    while (is_blank(*s))
        s++;
    return s;
}

static int is_name(const char *s)
{
    if (!*s || (*s >= '0' && *s <= '9'))
        return 0;
    for (; *s; s++)
        if (!((*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') ||
              *s == '_'))
            return 0;
    return 1;
}

/* The value without its quotes, or NULL if it opens one that its last character does not close. */
static char *unquote(char *value)
{
    size_t n = strlen(value);

    if (*value != '"' && *value != '\'')
        return value;
    if (n < 2 || value[n - 1] != *value)
        return NULL;
    value[n - 1] = 0;
    return value + 1;
}

int mw_env_split(char *text, const char **name, const char **value, const char **why)
{
    char *equals = strchr(text, '=');

    if (!equals) {
        *why = "has no '=': what is wanted is KEY=VALUE";
        return MW_EINVAL;
    }
    *equals = 0;
    *name = trim(text);
    if (!is_name(*name)) {
        *why = "does not begin with a name of letters, digits and '_'";
        return MW_EINVAL;
    }
    *value = unquote(trim(equals + 1));
    if (!*value) {
        *why = "has a value that begins with a quote and does not end with it";
        return MW_EINVAL;
    }
    return 0;
}

/* -- lines -- */

/* The next line that counts, NUL-terminated, or NULL at the end. *line counts all of them. */
static char *next_line(char **at, char *end, unsigned *line)
{
    while (*at < end) {
        char *s = *at;
        char *nl = memchr(s, '\n', (size_t)(end - s));
        *at = nl ? nl + 1 : end;
        if (nl)
            *nl = 0;
        ++*line;
        while (is_blank(*s))
            s++;
        if (*s && *s != '#')
            return s;
    }
    return NULL;
}

static int has_nul(const char *text, size_t n, unsigned *line)
{
    const char *nul = memchr(text, 0, n);

    for (const char *p = text; nul && p <= nul; p++)
        *line += p == text || p[-1] == '\n';
    return nul != NULL;
}

/* Split every line in place; set may be NULL. */
static int each_line(char *text, size_t n, mw_env_fn *set, void *ctx, unsigned *line,
                     const char **why)
{
    const char *name, *value;
    char *at = text, *s;
    int rv = 0;

    *line = 0;
    while (!rv && (s = next_line(&at, text + n, line))) {
        rv = mw_env_split(s, &name, &value, why);
        if (!rv && set)
            rv = set(ctx, name, value);
    }
    return rv;
}

int mw_env_lines(char *text, size_t n, mw_env_fn *set, void *ctx, unsigned *line_r,
                 const char **why)
{
    char *copy; /* to look at first; splitting changes what is split */
    int rv;

    *line_r = 0;
    if (has_nul(text, n, line_r)) {
        *why = "holds a NUL byte";
        return MW_EINVAL;
    }
    copy = malloc(n + 1);
    if (!copy)
        return MW_ENOMEM;
    memcpy(copy, text, n + 1);
    rv = each_line(copy, n, NULL, NULL, line_r, why);
    explicit_bzero(copy, n);
    free(copy);
    if (!rv && set)
        rv = each_line(text, n, set, ctx, line_r, why);
    return rv;
}

/* -- the file -- */

/* text has room for MW_ENV_FILE_MAX + 1. MW_EIO with errno; MW_ELIMIT, MW_EINVAL: no file. */
static int read_file(const char *path, char *text, size_t *n_r)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int rv = fd < 0 || fstat(fd, &st) ? MW_EIO : !S_ISREG(st.st_mode) ? MW_EINVAL : 0;
    size_t n = 0;

    while (!rv && n <= MW_ENV_FILE_MAX) {
        ssize_t k = read(fd, text + n, MW_ENV_FILE_MAX + 1 - n);
        if (k == 0)
            break;
        if (k > 0)
            n += (size_t)k;
        else if (errno != EINTR)
            rv = MW_EIO;
    }
    mw_io_close(&fd);
    *n_r = n;
    return !rv && n > MW_ENV_FILE_MAX ? MW_ELIMIT : rv;
}

static void say(int rv, const char *path, int err, char *why, size_t cap)
{
    if (rv == MW_EIO)
        snprintf(why, cap, "'%s' cannot be read: %s", path, strerror(err));
    else if (rv == MW_EINVAL)
        snprintf(why, cap, "'%s' is not a file", path);
    else if (rv == MW_ELIMIT)
        snprintf(why, cap, "'%s' has more than %u bytes", path, MW_ENV_FILE_MAX);
    else
        snprintf(why, cap, "'%s': %s", path, mw_err_text(rv));
}

int mw_env_file(const char *path, mw_env_fn *set, void *ctx, char *why, size_t cap)
{
    char *text = malloc(MW_ENV_FILE_MAX + 2);
    const char *fault = NULL;
    unsigned line = 0;
    size_t n = 0;
    int rv = text ? read_file(path, text, &n) : MW_ENOMEM;

    if (rv) {
        say(rv, path, errno, why, cap);
        goto out;
    }
    text[n] = 0;
    rv = mw_env_lines(text, n, set, ctx, &line, &fault);
    if (rv)
        snprintf(why, cap, "line %u of '%s' %s", line, path, fault ? fault : mw_err_text(rv));
out:
    if (text)
        explicit_bzero(text, n);
    free(text);
    return rv;
}
