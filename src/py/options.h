/*
 * options.h: what directives say about the interpreter (pyopts.h), as CPython takes it.
 */
#ifndef MW_PY_OPTIONS_H
#define MW_PY_OPTIONS_H

#include <Python.h>

#include "pyopts.h"

/* What must be known before Python starts. */
PyStatus mw_py_options_configure(PyConfig *config, const struct mw_pyopts *o);

/* A new sub-interpreter, current afterwards as after Py_NewInterpreter; NULL, and *why_r says it. */
PyThreadState *mw_py_options_new_interpreter(const struct mw_pyopts *o, const char **why_r);

/* What each interpreter gets when it is new; current, GIL held. 0, or -1 with an exception. */
int mw_py_options_apply(const struct mw_pyopts *o);

/* Log what was asked for and cannot be had with this Python. Once per process; GIL held. */
void mw_py_options_remark(const struct mw_pyopts *o);

#endif
