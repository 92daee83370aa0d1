/*
 * pyopts.h: settings of the Python interpreter that directives make and a process carries to its
 * runtime: embedded from httpd's configuration, in daemon groups inside their specification. Pure
 * data; src/py obeys it.
 */
#ifndef MW_PYOPTS_H
#define MW_PYOPTS_H

#include "opt.h"

#define MW_PYOPTS_SEED_MAX ((int64_t)UINT32_MAX)
#define MW_PYOPTS_SEED_RANDOM (MW_PYOPTS_SEED_MAX + 1) /* another one in each process */
#define MW_PYOPTS_SEED_UNSET (-1)                      /* PYTHONHASHSEED, else random */
#define MW_PYOPTS_INTERVAL_MAX_US (3600 * 1000000ll)

struct mw_pyopts {
    /* The same in every process: one row of mw_pyopts_rows each. */
    int64_t optimize;  /* as often as python -O */
    int64_t hash_seed; /* MW_PYOPTS_SEED_* */
    int64_t dont_write_bytecode;
    int64_t restrict_stdin, restrict_stdout, restrict_signal;
    int64_t destroy_interpreter; /* 0: no atexit function, no thread joined */
    int64_t own_gil;             /* of sub-interpreters; Python 3.12 and later */
    int64_t free_threading;      /* asked for */
    int64_t case_sensitive;      /* whether paths that differ in case are different scripts */
    int64_t utf8;         /* UTF-8 mode, unless PYTHONUTF8 in the environment says otherwise */
    const char *warnings; /* as python -W, '\n' between them; NULL: none */

    /* Of embedded mode, or of one group. */
    int64_t switch_interval_us; /* 0: Python's own */
    const char *eggs;           /* PYTHON_EGG_CACHE, set before Python starts; NULL: as inherited */
};

/* Named after their directives. They do not cover the fields of one group. */
extern const struct mw_opt mw_pyopts_rows[];
extern const size_t mw_pyopts_nrows;

/* "random", or a number up to MW_PYOPTS_SEED_MAX. MW_EINVAL. */
MW_MUST_CHECK int mw_pyopts_parse_seed(const char *text, int64_t *out);

/* Whether text is "action:message:category:module:lineno", the end of which may be missing, with an
 * action that Python knows (it takes abbreviations) and a line that is a number. 0 or MW_EINVAL. */
MW_MUST_CHECK int mw_pyopts_check_warning(const char *text);

#endif
