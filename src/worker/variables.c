/*
 * variables.c: see variables.h.
 */
#include "variables.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "env.h"

static int set(void *ctx, const char *name, const char *value)
{
    (void)ctx;
    return setenv(name, value, 1) ? MW_ENOMEM : 0;
}

/* httpd has checked them; this only takes them apart. */
static int set_lines(const char *env, char *why, size_t cap)
{
    const char *fault = NULL;
    unsigned line;
    char *copy = strdup(env);
    int rv = copy ? mw_env_lines(copy, strlen(copy), set, NULL, &line, &fault) : MW_ENOMEM;

    if (rv)
        snprintf(why, cap, "env= %s", fault ? fault : mw_err_text(rv));
    if (copy)
        explicit_bzero(copy, strlen(env));
    free(copy);
    return rv;
}

int mw_variables_set(const struct mw_spec *spec, char *why, size_t cap)
{
    char reason[512];
    int rv = 0;

    if (spec->py.eggs)
        rv = set(NULL, "PYTHON_EGG_CACHE", spec->py.eggs);
    if (!rv && spec->env_file) {
        rv = mw_env_file(spec->env_file, set, NULL, reason, sizeof reason);
        if (rv)
            snprintf(why, cap, "env-file=: %s", reason);
    }
    if (!rv && spec->env)
        rv = set_lines(spec->env, why, cap);
    return rv;
}

static int is_other(const char *name)
{
    locale_t loc = name ? newlocale(LC_CTYPE_MASK, name, (locale_t)0) : (locale_t)0;
    const char *codeset = loc ? nl_langinfo_l(CODESET, loc) : "UTF-8";
    int other = strcasecmp(codeset, "UTF-8") != 0 && strcmp(codeset, "ANSI_X3.4-1968") != 0;

    if (loc)
        freelocale(loc);
    return other;
}

int mw_variables_other_encoding(const struct mw_spec *spec)
{
    return is_other(spec->locale ? spec->locale : spec->lang);
}
