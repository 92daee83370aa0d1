/*
 * advice.c: see advice.h. Called by pyerr.c after it has logged a traceback.
 */
#include "advice.h"

#include <string.h>

#include "interp.h"
#include "pyerr.h"

/* What CPython, Cython, PyO3, pybind11 and NumPy say, wherever in the chain of exceptions it is. */
static const char *const refusals[] = {
    "does not support loading in subinterpreters",
    "this module can only be loaded into one interpreter per process",
    "do not yet support subinterpreters",
    "may only be initialized once per interpreter process",
    "cannot load module more than once per process",
    "does not support multiple interpreters",
};

static int is_refusal(const char *text, size_t n)
{
    for (size_t i = 0; i < MW_ARRAY_LEN(refusals); i++)
        if (memmem(text, n, refusals[i], strlen(refusals[i])))
            return 1;
    return 0;
}

/* Of the current interpreter; NULL: it is not one of ours. */
static const char *current_name(void)
{
    PyInterpreterState *is = PyInterpreterState_Get();

    for (struct mw_py_interp *in = mw_py_interp_first(); in; in = mw_py_interp_next(in))
        if (in->is == is)
            return mw_py_interp_name(in);
    return NULL;
}

void mw_py_advise(struct mw_py_call *call, const char *traceback, size_t n)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main() || !is_refusal(traceback, n))
        return;
    const char *name = current_name();
    mw_py_say(call, MW_LOG_ERR, "WSGI0538",
              "an extension module cannot be loaded in interpreter '%.200s', which is not the main "
              "interpreter of its process: run the application there by 'WSGIApplicationGroup "
              "%%{GLOBAL}', one such application in each process group%s",
              name ? name : "",
              mw_py_config()->opts.own_gil ? ", or try WSGIPerInterpreterGIL Off" : "");
}
