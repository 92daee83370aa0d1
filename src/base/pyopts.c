/*
 * pyopts.c: the rows of the interpreter's settings, and what their values may be where a row cannot
 * say it. Pure. Called while httpd reads its configuration, and by the codec of wire/spec.c.
 */
#include "pyopts.h"

#include <string.h>
#include <strings.h>

#define AT(field) offsetof(struct mw_pyopts, field)

const struct mw_opt mw_pyopts_rows[] = {
    {"WSGIPythonOptimize", MW_OPT_INT, AT(optimize), 0, 9, 0,
     "How often python would be given -O: 1 drops assert, 2 also docstrings."},
    {"WSGIPythonHashSeed", MW_OPT_INT, AT(hash_seed), 0, MW_PYOPTS_SEED_RANDOM,
     MW_PYOPTS_SEED_UNSET, "Seed of the hashes of str and bytes."},
    {"WSGIDontWriteBytecode", MW_OPT_BOOL, AT(dont_write_bytecode), 0, 1, 0,
     "Whether Python is kept from writing .pyc files."},
    {"WSGIRestrictStdin", MW_OPT_BOOL, AT(restrict_stdin), 0, 1, 0,
     "Whether every use of sys.stdin raises OSError."},
    {"WSGIRestrictStdout", MW_OPT_BOOL, AT(restrict_stdout), 0, 1, 0,
     "Whether every use of sys.stdout raises OSError."},
    {"WSGIRestrictSignal", MW_OPT_BOOL, AT(restrict_signal), 0, 1, 1,
     "Whether signal.signal() is kept from installing handlers."},
    {"WSGIDestroyInterpreter", MW_OPT_BOOL, AT(destroy_interpreter), 0, 1, 1,
     "Whether threads are joined and atexit functions run when a process ends."},
    {"WSGIPerInterpreterGIL", MW_OPT_BOOL, AT(own_gil), 0, 1, 0,
     "Whether each sub-interpreter has a GIL of its own."},
    {"WSGIFreeThreading", MW_OPT_BOOL, AT(free_threading), 0, 1, 0,
     "Whether a free-threaded Python runs without a GIL."},
    {"WSGICaseSensitivity", MW_OPT_BOOL, AT(case_sensitive), 0, 1, 1,
     "Whether paths that differ only in case are different scripts."},
    {"UTF-8", MW_OPT_BOOL, AT(utf8), 0, 1, 1, "Whether Python runs in its UTF-8 mode."},
    {"WSGIPythonWarnings", MW_OPT_LINES, AT(warnings), 0, 0, 0,
     "Warning filters as for python -W, in their order."},
};
const size_t mw_pyopts_nrows = MW_ARRAY_LEN(mw_pyopts_rows);

int mw_pyopts_parse_seed(const char *text, int64_t *out)
{
    int64_t v = 0;

    if (strcasecmp(text, "random") == 0) {
        *out = MW_PYOPTS_SEED_RANDOM;
        return 0;
    }
    if (!*text)
        return MW_EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return MW_EINVAL;
        v = v * 10 + (*text - '0');
        if (v > MW_PYOPTS_SEED_MAX)
            return MW_EINVAL;
    }
    *out = v;
    return 0;
}

/* Python takes any beginning of an action's name, and nothing at all for "default". */
static int is_action(const char *s, size_t n)
{
    static const char *const actions[] = {"default", "always", "ignore", "module",
                                          "once",    "error",  "all"};

    for (size_t i = 0; i < MW_ARRAY_LEN(actions); i++)
        if (n <= strlen(actions[i]) && strncmp(actions[i], s, n) == 0)
            return 1;
    return 0;
}

int mw_pyopts_check_warning(const char *text)
{
    size_t n = strcspn(text, ":");
    unsigned fields = 1;

    if (!*text || strchr(text, '\n') || !is_action(text, n))
        return MW_EINVAL;
    for (text += n; *text == ':'; text += strcspn(text, ":")) {
        text++;
        fields++;
        if (fields == 5 && text[strspn(text, "0123456789 ")])
            return MW_EINVAL;
    }
    return fields > 5 ? MW_EINVAL : 0;
}
