/*
 * module.h: the modules `mod_wsgi` and `apache` that applications can import.
 */
#ifndef MW_PY_MODULE_H
#define MW_PY_MODULE_H

#include <Python.h>

/* Make both importable in every interpreter; before Python starts. 0 or -1 without memory. */
int mw_py_module_register(void);

/* Import mod_wsgi into the current interpreter as the module of an application group. New reference,
 * or NULL with an exception. */
PyObject *mw_py_module_import(const char *app_group);

/* Give it the __path__ of a package mod_wsgi, if sys.path has one: mod_wsgi.express and the like stay
 * importable, nothing of the package itself is run. 0, or -1 with an exception. */
int mw_py_module_adopt_package(PyObject *module);

/* Embedded mode: if sys.path has a module apache, import that one and give it the attributes of ours,
 * which it then stands for. What it raises is logged, and ours is used. 0, or -1 with an exception. */
int mw_py_module_adopt_apache(void);

/* mod_wsgi.application_group, when the main interpreter gets its name. 0 or -1. */
int mw_py_module_rename(PyObject *module, const char *app_group);

#endif
