/*
 * advice.h: what an operator should do about an exception whose text does not say it.
 */
#ifndef MW_PY_ADVICE_H
#define MW_PY_ADVICE_H

#include <stddef.h>

struct mw_py_call;

/* Log the fix, one line, if this traceback is of an extension module that cannot live in the
 * current sub-interpreter; else nothing. GIL held, no exception set. */
void mw_py_advise(struct mw_py_call *call, const char *traceback, size_t n);

#endif
