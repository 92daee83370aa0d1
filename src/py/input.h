/*
 * input.h: wsgi.input.
 */
#ifndef MW_PY_INPUT_H
#define MW_PY_INPUT_H

#include <Python.h>

struct mw_py_call;
struct mw_py_input;
struct mw_py_state;

extern PyType_Spec mw_py_input_spec;

/* The body of the call's request. NULL with an exception. */
struct mw_py_input *mw_py_input_create(struct mw_py_state *st, struct mw_py_call *call);

/* MW_E* that reading ended with, or 0. */
int mw_py_input_error(const struct mw_py_input *in);

/* Bytes of the body that have come so far. */
uint64_t mw_py_input_taken(const struct mw_py_input *in);

#endif
