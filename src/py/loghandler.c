/*
 * loghandler.c: see loghandler.h. Made only when an application asks for it: importing logging is no
 * small part of the start of an interpreter.
 */
#include "loghandler.h"

#include "errors.h"
#include "gil.h"
#include "pyerr.h"
#include "start.h"

static const char class_text[] =
    "import logging\n"
    "class LogHandler(logging.Handler):\n"
    "    'Writes records to the error log of the server, at their level, a line each.'\n"
    "    def emit(self, record):\n"
    "        try:\n"
    "            log(record.levelno, self.format(record), record.pathname, record.lineno)\n"
    "        except RecursionError:\n" /* as the handlers of the library do */
    "            raise\n"
    "        except Exception:\n"
    "            self.handleError(record)\n";

/* From logging's numbers, also those between its own, to the server's. */
static int level_of(long levelno)
{
    static const struct {
        long from;
        int level;
    } rows[] = {
        {50, MW_LOG_CRIT},
        {40, MW_LOG_ERR},
        {30, MW_LOG_WARNING},
        {20, MW_LOG_INFO},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        if (levelno >= rows[i].from)
            return rows[i].level;
    return MW_LOG_DEBUG;
}

/* A name of a source file as a mark may have it, in printable ASCII; borrows file. */
static struct mw_str name_of(PyObject *file)
{
    Py_ssize_t n = 0;
    const char *p = PyUnicode_Check(file) ? PyUnicode_AsUTF8AndSize(file, &n) : NULL;

    if (!p)
        PyErr_Clear();
    for (Py_ssize_t i = 0; i < n; i++)
        if (p[i] < ' ' || p[i] > '~')
            n = 0;
    return p && n > 0 && (size_t)n <= MW_MARK_FILE_MAX ? (struct mw_str){p, (size_t)n} : MW_STR("");
}

/* log(levelno, text, file, number): to the log of the request that this thread serves, or the
 * process's. */
static PyObject *handler_log(PyObject *Py_UNUSED(self), PyObject *args)
{
    struct mw_py_call *call = mw_py_errors_current_call();
    long levelno, number;
    PyObject *text, *file;

    if (!PyArg_ParseTuple(args, "lUOl:log", &levelno, &text, &file, &number))
        return NULL;
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!bytes)
        return NULL;
    struct mw_mark mark = {.level = level_of(levelno), .file = name_of(file)};
    if (mark.file.n && number > 0 && number < INT32_MAX)
        mark.number = (uint32_t)number;
    {
        MW_NOGIL_SCOPE;
        mw_py_log_text_nogil(call, &mark, PyBytes_AS_STRING(bytes),
                             (size_t)PyBytes_GET_SIZE(bytes));
    }
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyMethodDef handler_log_def = {"log", handler_log, METH_VARARGS, NULL};

static PyObject *make_class(PyObject *globals)
{
    PyObject *done = PyRun_String(class_text, Py_file_input, globals, globals);
    PyObject *type = NULL;

    if (done && (type = PyDict_GetItemString(globals, "LogHandler")))
        Py_INCREF(type);
    Py_XDECREF(done);
    return type;
}

PyObject *mw_py_loghandler(void)
{
    PyObject *log = PyCFunction_New(&handler_log_def, NULL);
    PyObject *globals = NULL, *type = NULL;

    if (log)
        globals = Py_BuildValue("{sOsssO}", "__builtins__", PyEval_GetBuiltins(), "__name__",
                                "mod_wsgi", "log", log);
    if (globals)
        type = make_class(globals);
    Py_XDECREF(globals);
    Py_XDECREF(log);
    return type;
}
