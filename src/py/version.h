/*
 * version.h: the version that applications see. They compare it with versions of mod_wsgi, so it is
 * that of the release whose behaviour we keep.
 */
#ifndef MW_PY_VERSION_H
#define MW_PY_VERSION_H

#include <Python.h>

/* A new (6, 0, 5). */
static inline PyObject *mw_py_version_tuple(void)
{
    return Py_BuildValue("(iii)", 6, 0, 5);
}

#endif
