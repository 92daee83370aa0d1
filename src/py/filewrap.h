/*
 * filewrap.h: wsgi.file_wrapper, the class mod_wsgi.FileWrapper.
 */
#ifndef MW_PY_FILEWRAP_H
#define MW_PY_FILEWRAP_H

#include <Python.h>

extern PyType_Spec mw_py_filewrap_spec;

#endif
