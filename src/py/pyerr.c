/*
 * pyerr.c: exception to log. Called with the GIL held by everything in this directory that ends an
 * exception; it must itself never leave one behind, whatever the exception's own code does.
 */
#include "pyerr.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advice.h"
#include "gil.h"
#include "request.h"
#include "start.h"
#include "state.h"
#include "timeout.h"

/* Bytes that a record may have in the log, which escapes what it writes, cuts at MW_LOG_LINE_MAX and
 * puts the time and the client in front. */
#define PIECE (MW_LOG_LINE_MAX - 512)
#define NUL_TEXT "\\x00" /* a NUL byte would end the line for those who write it */
#define NUL_WIDTH 5      /* of that text in the log, where a backslash is two */

/* What a byte takes there. */
static size_t width_of(unsigned char c)
{
    if (c == 0)
        return NUL_WIDTH;
    if (c == '\\' || (c >= '\b' && c <= '\r'))
        return 2;
    return c < 0x20 || c >= 0x7f ? 4 : 1;
}

/* How much of a line one record takes: no UTF-8 sequence is cut. */
static size_t piece_of(const char *p, size_t n)
{
    size_t k = 0, width = 0;

    while (k < n && (width += width_of((unsigned char)p[k])) <= PIECE)
        k++;
    if (k == n)
        return n;
    size_t end = k;
    while (end - k < 3 && ((unsigned char)p[k] & 0xc0) == 0x80)
        k--;
    return ((unsigned char)p[k] & 0xc0) == 0x80 ? end : k;
}

/* The same without NUL bytes, if there is memory for it. */
static void log_with_nuls(struct mw_py_call *call, const struct mw_mark *mark, const char *p,
                          size_t n)
{
    char *text = malloc(n * strlen(NUL_TEXT));
    size_t k = 0;

    for (size_t i = 0; text && i < n; i++) {
        if (p[i])
            text[k++] = p[i];
        else
            for (const char *q = NUL_TEXT; *q; q++)
                text[k++] = *q;
    }
    mw_py_call_log_nogil(call, mark, text ? text : p, text ? k : n);
    free(text);
}

static void log_piece(struct mw_py_call *call, const struct mw_mark *mark, const char *p, size_t n)
{
    if (n && memchr(p, 0, n))
        log_with_nuls(call, mark, p, n);
    else
        mw_py_call_log_nogil(call, mark, p, n);
}

size_t mw_py_log_begun_nogil(struct mw_py_call *call, const struct mw_mark *mark, const char *p,
                             size_t n)
{
    size_t done = 0;

    for (size_t k; (k = piece_of(p + done, n - done)) < n - done; done += k)
        log_piece(call, mark, p + done, k);
    return done;
}

static void log_line(struct mw_py_call *call, const struct mw_mark *mark, const char *p, size_t n)
{
    if (n && p[n - 1] == '\r')
        n--;
    size_t done = mw_py_log_begun_nogil(call, mark, p, n);
    log_piece(call, mark, p + done, n - done);
}

void mw_py_log_text_nogil(struct mw_py_call *call, const struct mw_mark *mark, const char *p,
                          size_t n)
{
    while (n) {
        const char *nl = memchr(p, '\n', n);
        size_t len = nl ? (size_t)(nl - p) : n;
        log_line(call, mark, p, len);
        n -= nl ? len + 1 : len;
        p += nl ? len + 1 : len;
    }
}

static void say(struct mw_py_call *call, int level, const char *line)
{
    MW_NOGIL_SCOPE;
    mw_py_call_log_nogil(call, MW_MARK(level), line, strlen(line));
}

void mw_py_say(struct mw_py_call *call, int level, const char *id, const char *fmt, ...)
{
    char line[MW_LOG_LINE_MAX];
    int n = snprintf(line, sizeof line, "%s: ", id);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    say(call, level, line);
}

/* -- exceptions -- */

struct raised {
    PyObject *type, *value, *tb;
};

/* Normalised, with the traceback attached: without that the traceback module prints no frames. */
static struct raised take_exception(void)
{
    struct raised e;

    PyErr_Fetch(&e.type, &e.value, &e.tb);
    PyErr_NormalizeException(&e.type, &e.value, &e.tb);
    if (e.tb && e.value && PyException_SetTraceback(e.value, e.tb))
        PyErr_Clear();
    return e;
}

static void drop_exception(struct raised *e)
{
    Py_CLEAR(e->type);
    Py_CLEAR(e->value);
    Py_CLEAR(e->tb);
    PyErr_Clear();
}

static const char *class_name(const struct raised *e)
{
    return e->type && PyType_Check(e->type) ? ((PyTypeObject *)e->type)->tp_name : "an exception";
}

/* The strings of a list as bytes, one behind the other. Takes lines, which may be NULL; NULL, and no
 * exception. */
static PyObject *join(PyObject *lines)
{
    PyObject *empty = lines ? PyUnicode_FromString("") : NULL;
    PyObject *text = empty ? PyUnicode_Join(empty, lines) : NULL;
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;

    Py_XDECREF(text);
    Py_XDECREF(empty);
    Py_XDECREF(lines);
    PyErr_Clear();
    return bytes;
}

static PyObject *format_traceback(const struct raised *e)
{
    PyObject *module = PyImport_ImportModule("traceback");
    PyObject *lines = NULL;

    if (module)
        lines = PyObject_CallMethod(module, "format_exception", "OOO", e->type, e->value,
                                    e->tb ? e->tb : Py_None);
    Py_XDECREF(module);
    return join(lines);
}

/* Takes bytes. */
static void log_bytes(struct mw_py_call *call, int level, PyObject *bytes)
{
    {
        MW_NOGIL_SCOPE;
        mw_py_log_text_nogil(call, MW_MARK(level), PyBytes_AS_STRING(bytes),
                             (size_t)PyBytes_GET_SIZE(bytes));
    }
    Py_DECREF(bytes);
}

void mw_py_log_stack(struct mw_py_call *call, int level)
{
    PyObject *module = PyImport_ImportModule("traceback");
    PyObject *bytes = join(module ? PyObject_CallMethod(module, "format_stack", NULL) : NULL);

    Py_XDECREF(module);
    if (bytes)
        log_bytes(call, level, bytes);
}

static void log_traceback(struct mw_py_call *call, const struct raised *e)
{
    PyObject *bytes = format_traceback(e);

    if (!bytes) {
        mw_py_say(call, MW_LOG_ERR, "WSGI0531", "the traceback of this %s could not be formatted",
                  class_name(e));
        return;
    }
    log_bytes(call, MW_LOG_ERR, Py_NewRef(bytes));
    mw_py_advise(call, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
}

void mw_py_log_exception(struct mw_py_call *call, const char *id, const char *fmt, ...)
{
    struct mw_py_request *r = mw_py_request_current();
    int open = mw_py_timeout_shut(r); /* RequestTimeout would be lost here */
    struct raised e = take_exception();
    int again = open && e.type == r->st->request_timeout;
    char what[MW_LOG_LINE_MAX / 2];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    mw_py_say(call, MW_LOG_ERR, id, "%s raised by %s", class_name(&e), what);
    if (e.value)
        log_traceback(call, &e);
    drop_exception(&e);
    if (again) /* it ended what was called beside the request, and the request goes on */
        mw_py_timeout_renew(r);
    if (open)
        mw_py_timeout_open(r);
}

void mw_py_exception_text(char *out, size_t cap)
{
    struct raised e = take_exception();
    PyObject *text = e.value ? PyObject_Str(e.value) : NULL;
    const char *s = text ? PyUnicode_AsUTF8(text) : NULL;

    snprintf(out, cap, "%s%s%s", class_name(&e), s && *s ? ": " : "", s ? s : "");
    Py_XDECREF(text);
    drop_exception(&e);
}
