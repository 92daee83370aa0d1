/*
 * handler.c: one request through httpd. Called by any thread of an httpd child.
 */
#include "handler.h"

#include <string.h>

#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "chan_httpd.h"
#include "config.h"
#include "embed.h"
#include "front.h"
#include "remote.h"
#include "reqbuild.h"
#include "resolve.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

static int serve_embedded(struct mw_chan_httpd *ch)
{
    const struct mw_py_runtime *py = mw_embed_runtime(mw_front()->embed);

    if (!py) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, ch->r,
                      "WSGI0210: Python is not running in this httpd child (the reason was logged "
                      "when it was to start); the request gets 500");
        mw_chan_end(&ch->chan, MW_END_FAILED);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (mw_config_dir(ch->r)->pass_apache_request == 1)
        ch->chan.native = ch->r;
    py->serve(&ch->chan);
    return ch->status;
}

/* *redirect_r: the path that is to answer instead, or NULL. */
static int serve(request_rec *r, const struct mw_target *t, struct mw_buf *block,
                 const char **redirect_r)
{
    struct mw_chan_httpd ch;
    struct mw_req req;
    int rv = mw_reqbuild(r, t, block);

    if (rv != OK)
        return rv;
    rv = mw_req_view_own(&req, mw_buf_data(block), mw_buf_size(block));
    if (rv) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "WSGI0650: request block: %s; 500",
                      mw_err_text(rv));
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    mw_chan_httpd_init(&ch, r, &req);
    if (!t->group)
        rv = serve_embedded(&ch);
    else
        rv = mw_remote_serve(&ch, t, mw_front()->endpoints[t->group->index], block, &req);
    *redirect_r = mw_chan_httpd_redirect(&ch);
    mw_chan_httpd_fini(&ch);
    return rv;
}

/* Let a path of this server answer. It is a request like any other: mapped, authorised and handled as
 * if the client had asked for it, whatever the application said of its type. httpd ends loops
 * (LimitInternalRecursion). */
static int redirect(request_rec *r, const char *path)
{
    int rv = ap_discard_request_body(r);

    if (rv != OK)
        return rv;
    r->method = "GET"; /* the body is used up */
    r->method_number = M_GET;
    apr_table_unset(r->headers_in, "Content-Length");
    apr_table_unset(r->headers_in, "Transfer-Encoding");
    ap_internal_redirect(path, r);
    return OK;
}

static int refuse_service(request_rec *r, const struct mw_group *g)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "WSGI0767: group '%s' (%s) has threads=0: it runs the scripts of its "
                  "WSGIImportScript and gets no requests; 500",
                  g->spec.name, g->where);
    return HTTP_INTERNAL_SERVER_ERROR;
}

int mw_handler(request_rec *r)
{
    struct mw_target target;
    struct mw_buf block;
    const char *path = NULL;
    int rv;

    if (!mw_resolve_is_ours(r))
        return DECLINED;
    if (!mw_front())
        return HTTP_INTERNAL_SERVER_ERROR;
    rv = mw_resolve(r, &target);
    if (rv != OK)
        return rv;
    if (target.group && target.group->spec.threads == 0)
        return refuse_service(r, target.group);
    mw_buf_init(&block, MW_REQ_BLOCK_MAX);
    rv = serve(r, &target, &block, &path);
    mw_buf_fini(&block);
    return rv == OK && path ? redirect(r, path) : rv;
}
