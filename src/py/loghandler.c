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
    "            log(record.levelno, self.format(record))\n"
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

/* log(levelno, text): to the log of the request that this thread serves, or the process's. */
static PyObject *handler_log(PyObject *Py_UNUSED(self), PyObject *args)
{
    struct mw_py_call *call = mw_py_errors_current_call();
    long levelno;
    PyObject *text;

    if (!PyArg_ParseTuple(args, "lU:log", &levelno, &text))
        return NULL;
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!bytes)
        return NULL;
    {
        MW_NOGIL_SCOPE;
        mw_py_log_text_nogil(call, level_of(levelno), PyBytes_AS_STRING(bytes),
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
