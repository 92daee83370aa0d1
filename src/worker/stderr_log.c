/*
 * stderr_log.c: "[Mon Nov 23 00:26:55.123456 2026] [wsgi:error] [pid 123:tid 456] WSGI0500: text".
 * Control bytes are escaped as httpd does, so that a line stays one line, and its own.
 */
#include "stderr_log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

static size_t put_time(char *out, size_t cap)
{
    uint64_t us = mw_clock_epoch_us();
    time_t t = (time_t)(us / 1000000);
    char day[32], year[16];
    struct tm tm;

    if (!localtime_r(&t, &tm) || !strftime(day, sizeof day, "%a %b %d %H:%M:%S", &tm) ||
        !strftime(year, sizeof year, "%Y", &tm))
        return 0;
    int n = snprintf(out, cap, "[%s.%06u %s] ", day, (unsigned)(us % 1000000), year);
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

void mw_stderr_log_line(void *ctx, int level, const char *line)
{
    char text[MW_LOG_LINE_MAX + 160];
    size_t n = put_time(text, sizeof text);
    int m = snprintf(text + n, sizeof text - n, "[wsgi:%s] [pid %ld:tid %ld] ",
                     mw_log_level_name(level), (long)getpid(), (long)gettid());

    (void)ctx;
    if (m < 0)
        return;
    n += (size_t)m;
    n += mw_log_escape(text + n, sizeof text - n - 1, (struct mw_str){line, strlen(line)});
    text[n++] = '\n';
    (void)!write(STDERR_FILENO, text, n);
}
