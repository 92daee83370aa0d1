/*
 * restrict.h: what applications are kept from: signal handlers, and standard streams that are not
 * theirs (WSGIRestrictSignal, WSGIRestrictStdin, WSGIRestrictStdout).
 */
#ifndef MW_PY_RESTRICT_H
#define MW_PY_RESTRICT_H

#include <Python.h>

struct mw_pyopts;
struct mw_py_state;

extern PyType_Spec mw_py_restricted_spec;

/* Put them into the current interpreter, which is new and has its streams; GIL held. 0, or -1 with
 * an exception. */
int mw_py_restrict(struct mw_py_state *st, const struct mw_pyopts *o);

#endif
