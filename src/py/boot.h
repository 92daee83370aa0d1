/*
 * boot.h: the two small programs in Python that run in every interpreter, first and last.
 */
#ifndef MW_PY_BOOT_H
#define MW_PY_BOOT_H

#include <Python.h>

struct mw_py_config;
struct mw_py_state;

/* sys.path, sys.stdout, sys.stderr. The current interpreter is new, GIL held. 0, or -1 with an
 * exception. */
int mw_py_boot(struct mw_py_state *st, const struct mw_py_config *cfg);

/* The signals that end a service raise SystemExit. The main interpreter and thread, GIL held. 0, or -1
 * with an exception. */
int mw_py_boot_service(void);

/* Run what was registered for the end of this interpreter, at most budget_s seconds for threads,
 * unless WSGIDestroyInterpreter is Off; flush its streams.
 * Whatever goes wrong is logged. GIL held. */
void mw_py_unboot(struct mw_py_state *st, double budget_s);

#endif
