/*
 * aplog.c: mw_log -> ap_log_error. Called by any thread of httpd's processes.
 */
#include "aplog.h"

#include <http_config.h>
#include <http_log.h>
#include <apr_strings.h>

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

void mw_aplog_request(request_rec *r, const struct mw_mark *mark, const char *line, size_t n)
{
    int cut = n > MW_LOG_LINE_MAX ? MW_LOG_LINE_MAX : (int)n;

    if (mark->file.n == 0)
        ap_log_rerror(APLOG_MARK, mark->level, 0, r, "%.*s", cut, line);
    else /* %F of an ErrorLogFormat */
        ap_log_rerror(apr_pstrmemdup(r->pool, mark->file.p, mark->file.n), (int)mark->number,
                      APLOG_MODULE_INDEX, mark->level, 0, r, "%.*s", cut, line);
}
