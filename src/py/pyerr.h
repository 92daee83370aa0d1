/*
 * pyerr.h: exceptions and other news to the log. Lines of a request go to its log, others (call
 * NULL) to the process's. With the GIL held, which is given up while the line is written.
 */
#ifndef MW_PY_PYERR_H
#define MW_PY_PYERR_H

#include <Python.h>

#include "log.h"

struct mw_py_call;

void mw_py_say(struct mw_py_call *call, int level, const char *id, const char *fmt, ...)
    MW_PRINTF(4, 5);

/* Take the exception that is set and write "id: Class raised by <fmt>", then its traceback, a
 * record per line. No exception is set afterwards. */
void mw_py_log_exception(struct mw_py_call *call, const char *id, const char *fmt, ...)
    MW_PRINTF(3, 4);

/* Where the caller is, a record per frame. Leaves no exception. */
void mw_py_log_stack(struct mw_py_call *call, int level);

/* Text of any length, a record per line. What would be longer than MW_LOG_LINE_MAX once it is escaped
 * is cut into several; NUL bytes become "\\x00". Without the GIL. */
void mw_py_log_text_nogil(struct mw_py_call *call, const struct mw_mark *mark, const char *p,
                          size_t n);

/* Of a line that may not be at its end, the full records. Returns the bytes that went into them: what
 * is left is less than one. Without the GIL. */
size_t mw_py_log_begun_nogil(struct mw_py_call *call, const struct mw_mark *mark, const char *p,
                             size_t n);

/* The exception that is set, as "Class: text", cut at cap; takes it. For reasons (`why`). */
void mw_py_exception_text(char *out, size_t cap);

#endif
