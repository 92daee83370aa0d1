/*
 * stderr_log.h: the worker's log sink: lines in the form of httpd's ErrorLog on standard error, which is
 * the error log of the group's server.
 */
#ifndef MW_STDERR_LOG_H
#define MW_STDERR_LOG_H

/* A mw_log_sink_fn. One write(2) per line, so that lines of several processes do not mix. Any thread. */
void mw_stderr_log_line(void *ctx, int level, const char *line);

#endif
