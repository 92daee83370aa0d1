/*
 * prefix.h: where Python finds itself: an installation, a virtual environment, or what it was
 * built for. Looks at files only; Python is not running yet.
 */
#ifndef MW_PY_PREFIX_H
#define MW_PY_PREFIX_H

#include <limits.h>
#include <stddef.h>

#include "base.h"

struct mw_py_prefix {
    char program
        [PATH_MAX];      /* taken for the executable; its directory leads to the standard library */
    char home[PATH_MAX]; /* PYTHONHOME; "": found from program */
};

/* home: WSGIPythonHome or python-home=, NULL: the Python this was built with. On MW_EINVAL why says
 * what is wrong with home and what to do. */
MW_MUST_CHECK int mw_py_prefix_find(struct mw_py_prefix *out, const char *home, char *why,
                                    size_t why_cap);

#endif
