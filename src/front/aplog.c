/*
 * aplog.c: mw_log -> ap_log_error. Called by any thread of httpd's processes.
 */
#include "aplog.h"

#include <http_config.h>
#include <http_log.h>

#include "log.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

static void sink(void *ctx, int level, const char *line)
{
    ap_log_error(APLOG_MARK, level, 0, (server_rec *)ctx, "%s", line);
}

void mw_aplog_install(server_rec *s)
{
    mw_log_set(sink, s, ap_get_server_module_loglevel(s, APLOG_MODULE_INDEX));
}

void mw_aplog_request(request_rec *r, int level, const char *line, size_t n)
{
    int cut = n > MW_LOG_LINE_MAX ? MW_LOG_LINE_MAX : (int)n;

    ap_log_rerror(APLOG_MARK, level, 0, r, "%.*s", cut, line);
}
