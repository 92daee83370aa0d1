/*
 * load.h: script file to callable; the only place that imports what users wrote.
 *
 * A script is a module of its interpreter, `_mod_wsgi_<md5 of its path>`. Each has its own lock,
 * held for the whole import and waited for without the GIL: a slow import delays only those who
 * want it.
 */
#ifndef MW_PY_LOAD_H
#define MW_PY_LOAD_H

#include <Python.h>

#include "chan.h"

struct mw_py_call;
struct mw_py_interp;

struct mw_py_ref {
    struct mw_str script;   /* absolute path */
    struct mw_str callable; /* name in it; empty: only import it */
    int program; /* it runs for itself: SystemExit is its end, *how_r is MW_END_ABORTED */
    int reload;  /* mw_py_load_stale said so: import again unless another thread just did */
};

/* A new reference to the callable (to the module if none is named), or NULL: everything is logged
 * then, no exception is set and *how_r says how the request ends. GIL held; current interpreter is
 * in. */
PyObject *mw_py_load(struct mw_py_interp *in, const struct mw_py_ref *ref, struct mw_py_call *call,
                     enum mw_end *how_r);

/* 1 if the request's script is loaded, and its file is another one now or its reload_required() wants
 * it. A file that is gone is not another one: what is loaded serves until something takes its place.
 * Without the GIL, which is taken only to call reload_required(). */
int mw_py_load_stale(struct mw_py_interp *in, const struct mw_req *req);

/* The same for a process that is not to load it again but to be replaced: 1 only once for each state of
 * the file, and once for what reload_required() wants. */
int mw_py_load_changed(struct mw_py_interp *in, const struct mw_req *req);

#endif
