/*
 * loghandler.h: mod_wsgi.LogHandler, a logging.Handler that writes to the server's error log and keeps
 * the level of a record.
 */
#ifndef MW_PY_LOGHANDLER_H
#define MW_PY_LOGHANDLER_H

#include <Python.h>

/* The class as a new reference, made anew each time, or NULL with an exception. Imports logging. */
PyObject *mw_py_loghandler(void);

#endif
