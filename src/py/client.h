/*
 * client.h: what an application can do with its client's connection beside giving an answer:
 * environ['wsgi.early_hints'] and environ['wsgi.client_disconnected'].
 */
#ifndef MW_PY_CLIENT_H
#define MW_PY_CLIENT_H

#include <Python.h>

struct mw_py_call;

/* The two callables of a request; new references, NULL with an exception. */
PyObject *mw_py_early_hints(struct mw_py_call *call);
PyObject *mw_py_client_disconnected(struct mw_py_call *call);

#endif
