/*
 * fields.h: text of a response as an application gives it, to bytes. `where` names the callable in
 * exceptions: "start_response". With the GIL held.
 */
#ifndef MW_PY_FIELDS_H
#define MW_PY_FIELDS_H

#include <Python.h>

#include "rsp.h"

/* The bytes of a str, borrowed from it; -1 with an exception if it is not one, or not Latin-1. */
int mw_py_latin1(PyObject *s, const char *where, const char *what, struct mw_str *out);

/* Name and value of a (name, value) tuple, borrowed from it and not yet checked otherwise; -1 with an
 * exception. */
int mw_py_field(PyObject *item, const char *where, struct mw_str *name, struct mw_str *value);

/* Raise ValueError for a fault of this object. Returns -1. */
int mw_py_refuse(const char *where, enum mw_rsp_fault fault, PyObject *what);

#endif
