/*
 * stop.h: the end of Python in this process, within a budget, and a look at it while it hangs.
 */
#ifndef MW_PY_STOP_H
#define MW_PY_STOP_H

#include <stdint.h>

/* As mw_py_runtime.stop. Without the GIL. */
void mw_py_stop(uint64_t budget_ms, const char *reason);

/* As mw_py_runtime.signalled. Without the GIL. */
void mw_py_signalled(int signum);

/* Get ready for mw_py_dump; GIL held, main interpreter. Failing costs the dump and no more. */
void mw_py_dump_prepare(void);

/* As mw_py_runtime.dump. */
void mw_py_dump(int fd);

/* As mw_py_runtime.stacks. Without the GIL. */
void mw_py_stacks(int fd);

#endif
