/*
 * filewrap.h: wsgi.file_wrapper, the class mod_wsgi.FileWrapper.
 */
#ifndef MW_PY_FILEWRAP_H
#define MW_PY_FILEWRAP_H

#include <Python.h>

struct mw_py_state;

extern PyType_Spec mw_py_filewrap_spec;

/* What is left to read of a file. */
struct mw_py_file {
    int fd; /* the owner's; with a position that nobody else moves */
    int64_t offset;
    int64_t n; /* may be 0 */
};

/* Whether an answer is a wrapper, as the application got it from wsgi.file_wrapper, around a regular file
 * whose bytes are those that its read() would give: then 1, and *out is filled. Else 0: it is to be
 * iterated. Never raises. The GIL is given up meanwhile. */
int mw_py_filewrap_open(struct mw_py_state *st, PyObject *result, struct mw_py_file *out);

#endif
