/*
 * aplog.h: the log sink of httpd's own processes (parent, children, supervisor).
 */
#ifndef MW_FRONT_APLOG_H
#define MW_FRONT_APLOG_H

#include <httpd.h>

#include "log.h"

/* Send mw_log lines to this server's error log, at its level for the module. */
void mw_aplog_install(server_rec *s);

/* One line of an application, in the request's log with the request's identity. */
void mw_aplog_request(request_rec *r, const struct mw_mark *mark, const char *line, size_t n);

#endif
