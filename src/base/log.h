/*
 * log.h: one way to log outside httpd. A line has a stable id, says what failed, on what, and what
 * happens now. The sink is set once at start by whoever owns the process (httpd child and
 * supervisor: front/aplog.c; worker: its standard error in httpd's format; tests: memory).
 */
#ifndef MW_LOG_H
#define MW_LOG_H

#include "base.h"

/* The numbers are those of syslog(3) and of httpd's APLOG_*. */
enum mw_log_level {
    MW_LOG_CRIT = 2,
    MW_LOG_ERR = 3,
    MW_LOG_WARNING = 4,
    MW_LOG_NOTICE = 5,
    MW_LOG_INFO = 6,
    MW_LOG_DEBUG = 7,
    MW_LOG_TRACE1 = 8
};

/* What is known of a line beside its text: its level, and where in an application it was made. */
struct mw_mark {
    int level;
    uint32_t number;    /* of the source line; 0 without a file */
    struct mw_str file; /* source file, printable; empty: not known */
};
#define MW_MARK(lvl) (&(const struct mw_mark){.level = (lvl), .file = {"", 0}})

#define MW_MARK_FILE_MAX 1024u /* bytes of a source file's name */

#define MW_LOG_LINE_MAX 8192 /* bytes of one line, the rest is cut */

/* Called from any thread. line is NUL-terminated, without its newline, and otherwise as it was formatted:
 * what others sent may be quoted in it, so a sink that writes to a file escapes it (mw_log_escape).
 * httpd's ap_log_error does so by itself. */
typedef void mw_log_sink_fn(void *ctx, int level, const char *line);

void mw_log_set(mw_log_sink_fn *sink, void *ctx, int max_level);
int mw_log_enabled(int level);

/* id: "WSGI0500", put in front as "WSGI0500: ", or NULL for none. Keeps errno. */
void mw_log(int level, const char *id, const char *fmt, ...) MW_PRINTF(3, 4);

/* The level's name as httpd writes it: "error", "warn", "notice", ... */
const char *mw_log_level_name(int level);

/* Copy text to out (NUL-terminated, cut at cap) with control bytes and backslashes escaped as httpd
 * does (\n, \t, \\, \xHH). Bytes >= 0x80 pass. Returns the bytes written without the NUL. */
size_t mw_log_escape(char *out, size_t cap, struct mw_str text);

#endif
