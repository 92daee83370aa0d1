/*
 * log.c: format a line once, give it to the sink. Any thread; the sink serialises if it must.
 * Without a sink nothing is written: a library must not own anybody's standard error.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The log sink: set once at start by the owner of the process, before threads. */
static struct {
    mw_log_sink_fn *fn;
    void *ctx;
    int max_level;
} sink;

void mw_log_set(mw_log_sink_fn *fn, void *ctx, int max_level)
{
    sink.fn = fn;
    sink.ctx = ctx;
    sink.max_level = max_level;
}

int mw_log_enabled(int level)
{
    return sink.fn && level <= sink.max_level;
}

const char *mw_log_level_name(int level)
{
    static const char *const names[] = {"emerg",  "alert",  "crit",   "error",  "warn",   "notice",
                                        "info",   "debug",  "trace1", "trace2", "trace3", "trace4",
                                        "trace5", "trace6", "trace7", "trace8"};

    return level >= 0 && (size_t)level < MW_ARRAY_LEN(names) ? names[level] : "unknown";
}

/* The letter behind the backslash for bytes that have one, else 0. */
static char escape_letter(unsigned char c)
{
    switch (c) {
    case '\b':
        return 'b';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\v':
        return 'v';
    case '\\':
        return '\\';
    default:
        return 0;
    }
}

/* Write one byte's visible form to out (at most 4 bytes); returns its length. */
static size_t escape_byte(char out[4], unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char letter = escape_letter(c);

    if (letter) {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (c < 0x20 || c == 0x7f) {
        out[0] = '\\';
        out[1] = 'x';
        out[2] = hex[c >> 4];
        out[3] = hex[c & 15];
        return 4;
    }
    out[0] = (char)c;
    return 1;
}

size_t mw_log_escape(char *out, size_t cap, struct mw_str text)
{
    size_t n = 0;

    if (cap == 0)
        return 0;
    for (size_t i = 0; i < text.n; i++) {
        char seq[4];
        size_t k = escape_byte(seq, (unsigned char)text.p[i]);
        if (k >= cap - n) /* one byte stays for the NUL; a sequence is never cut in two */
            break;
        memcpy(out + n, seq, k);
        n += k;
    }
    out[n] = 0;
    return n;
}

void mw_log(int level, const char *id, const char *fmt, ...)
{
    char line[MW_LOG_LINE_MAX];
    int saved = errno;
    size_t head = 0;
    va_list ap;

    if (!mw_log_enabled(level))
        return;
    if (id) {
        int k = snprintf(line, sizeof line, "%.32s: ", id);
        head = k > 0 ? (size_t)k : 0;
    }
    errno = saved; /* for %m */
    va_start(ap, fmt);
    if (vsnprintf(line + head, sizeof line - head, fmt, ap) < 0)
        line[head] = 0;
    va_end(ap);
    sink.fn(sink.ctx, level, line);
    errno = saved;
}
