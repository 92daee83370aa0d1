/*
 * reqbody.c: what a request's header says of its body. Called by reqbuild.c in any thread of an httpd
 * child; reads no byte of it.
 */
#include "reqbody.h"

#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "config.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

/* Digits only, no more than apr_off_t holds. -1: not a length. */
static int64_t parse_length(const char *text)
{
    int64_t v = 0;

    if (!*text)
        return -1;
    for (; *text; text++) {
        int d = *text - '0';
        if (d < 0 || d > 9 || v > (INT64_MAX - d) / 10)
            return -1;
        v = v * 10 + d;
    }
    return v;
}

static int chunked_body(request_rec *r, const char *coding, struct mw_req *head)
{
    if (ap_cstr_casecmp(coding, "chunked") != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0138: Transfer-Encoding other than chunked is not supported: %s; 501",
                      coding);
        return HTTP_NOT_IMPLEMENTED;
    }
    if (mw_config_dir(r)->chunked_request == 0) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0139: the request has a chunked body and WSGIChunkedRequest is Off; 411");
        return HTTP_LENGTH_REQUIRED;
    }
    head->flags |= MW_REQ_BODY;
    head->content_length = -1;
    return OK;
}

/* A filter that makes other bytes of the body, mod_deflate for one. */
static int is_filtered(const request_rec *r)
{
    for (const ap_filter_t *f = r->input_filters; f && f != r->proto_input_filters; f = f->next)
        if (f->frec->ftype < AP_FTYPE_PROTOCOL)
            return 1;
    return 0;
}

static int sized_body(request_rec *r, const char *text, struct mw_req *head)
{
    int64_t length = parse_length(text);
    apr_off_t limit;

    if (length < 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0141: Content-Length is not a number: '%s'; 400", text);
        return HTTP_BAD_REQUEST;
    }
    limit = ap_get_limit_req_body(r);
    if (limit > 0 && length > limit) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0142: Content-Length %s is over LimitRequestBody, %" APR_OFF_T_FMT
                      "; 413",
                      text, limit);
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    head->content_length = length;
    if (length == 0)
        return OK;
    head->flags |= MW_REQ_BODY;
    if (is_filtered(r))
        head->content_length = -1; /* only the filter knows how much there will be */
    return OK;
}

int mw_reqbody_describe(request_rec *r, struct mw_req *head)
{
    const char *coding = apr_table_get(r->headers_in, "Transfer-Encoding");
    const char *length;

    if (coding)
        return chunked_body(r, coding, head);
    length = apr_table_get(r->headers_in, "Content-Length");
    return length ? sized_body(r, length, head) : OK;
}

int mw_reqbody_knows_length(const request_rec *r, const struct mw_req *head)
{
    if (apr_table_get(r->headers_in, "Transfer-Encoding"))
        return 0;
    return head->content_length >= 0 || !apr_table_get(r->headers_in, "Content-Encoding");
}
