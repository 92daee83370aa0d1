/*
 * fields.c: Python strings to the bytes of a response (PEP 3333, "A Note On String Types"). Called by
 * what sends responses, with the GIL held.
 */
#include "fields.h"

int mw_py_latin1(PyObject *s, const char *where, const char *what, struct mw_str *out)
{
    if (!PyUnicode_Check(s)) {
        PyErr_Format(PyExc_TypeError, "%s: %s must be str, not %.100s", where, what,
                     Py_TYPE(s)->tp_name);
        return -1;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(s))
        return -1;
#endif
    if (PyUnicode_KIND(s) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s: %s has characters outside of Latin-1: %.200R", where,
                     what, s);
        return -1;
    }
    *out = (struct mw_str){(const char *)PyUnicode_1BYTE_DATA(s), (size_t)PyUnicode_GET_LENGTH(s)};
    return 0;
}

int mw_py_field(PyObject *item, const char *where, struct mw_str *name, struct mw_str *value)
{
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
        PyErr_Format(PyExc_TypeError,
                     "%s: headers must be a list of (name, value) tuples, not of %.200R", where,
                     item);
        return -1;
    }
    if (mw_py_latin1(PyTuple_GET_ITEM(item, 0), where, "header name", name))
        return -1;
    return mw_py_latin1(PyTuple_GET_ITEM(item, 1), where, "header value", value);
}

int mw_py_refuse(const char *where, enum mw_rsp_fault fault, PyObject *what)
{
    PyErr_Format(PyExc_ValueError, "%s: %s: %.200R", where, mw_rsp_fault_text(fault), what);
    return -1;
}
