/*
 * chan_httpd.c: struct mw_chan_ops over httpd's filters.
 *
 * Until something was passed to the output filters an answer can still be replaced by an error page;
 * from then on a broken answer gets httpd's error bucket with 502, which makes the core filters leave
 * out the last chunk and close the connection, and mod_http2 reset the stream.
 */
#include "chan_httpd.h"

#include <http_core.h>
#include <errno.h>

#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>
#include <apr_portable.h>
#include <apr_strings.h>

#include "aplog.h"
#include "config.h"
#include "io.h"

#define STATUS_CLIENT_LEFT 499 /* in the access log; no client ever sees it */

static struct mw_chan_httpd *self(struct mw_chan *c)
{
    return (struct mw_chan_httpd *)c;
}

/* -- request body -- */

/* What of the body was not understood must not be taken for a request, whatever the application answers
 * now. */
static int read_error(struct mw_chan_httpd *ch, apr_status_t rv)
{
    ch->r->connection->keepalive = AP_CONN_CLOSE;
    if (APR_STATUS_IS_TIMEUP(rv))
        return MW_ETIMEOUT;
    if (APR_STATUS_IS_ENOSPC(rv))
        return MW_ELIMIT;
    if (ch->r->connection->aborted || APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_INCOMPLETE(rv) ||
        APR_STATUS_IS_ECONNRESET(rv) || APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_EPIPE(rv))
        return MW_EABORT;
    errno = rv < APR_OS_START_ERROR ? rv : 0; /* a filter's refusal is no system error */
    return MW_EIO;
}

/* Move the bytes of ch->in to buf; notes the end of the body. */
static size_t drain_brigade(struct mw_chan_httpd *ch, char *buf, size_t cap)
{
    size_t got = 0;

    while (!APR_BRIGADE_EMPTY(ch->in)) {
        apr_bucket *b = APR_BRIGADE_FIRST(ch->in);
        const char *p;
        apr_size_t n;

        if (APR_BUCKET_IS_EOS(b)) {
            ch->in_end = 1;
        } else if (!APR_BUCKET_IS_METADATA(b)) {
            apr_status_t rv = apr_bucket_read(b, &p, &n, APR_BLOCK_READ);

            if (rv == APR_SUCCESS && n > cap - got)
                rv = APR_EGENERAL; /* a filter gave more than was asked for */
            if (rv != APR_SUCCESS) {
                ch->in_end = read_error(ch, rv);
                break;
            }
            memcpy(buf + got, p, n);
            got += n;
        }
        apr_bucket_delete(b);
    }
    apr_brigade_cleanup(ch->in);
    return got;
}

static size_t read_some(struct mw_chan_httpd *ch, char *buf, size_t cap, apr_read_type_e block)
{
    apr_status_t rv = ap_get_brigade(ch->r->input_filters, ch->in, AP_MODE_READBYTES, block,
                                     (apr_off_t)cap);

    if (rv == APR_SUCCESS)
        return drain_brigade(ch, buf, cap);
    apr_brigade_cleanup(ch->in);
    if (block != APR_NONBLOCK_READ || !APR_STATUS_IS_EAGAIN(rv))
        ch->in_end = read_error(ch, rv);
    return 0;
}

/* What is there; MW_EAGAIN if that is nothing. */
static ssize_t read_there(struct mw_chan_httpd *ch, char *buf, size_t cap, size_t got)
{
    while (got < cap && !ch->in_end) {
        size_t n = read_some(ch, buf + got, cap - got, APR_NONBLOCK_READ);

        if (n == 0)
            break;
        got += n;
    }
    if (got > 0)
        return (ssize_t)got;
    return ch->in_end == 1 ? 0 : ch->in_end ? ch->in_end : MW_EAGAIN;
}

static void begin_reading(struct mw_chan_httpd *ch)
{
    if (!ch->in)
        ch->in = apr_brigade_create(ch->r->pool, ch->r->connection->bucket_alloc);
}

/* At least one byte, and what is there: an application that reads a line must not wait for the next one. */
static ssize_t op_read(struct mw_chan *c, void *buf, size_t cap)
{
    struct mw_chan_httpd *ch = self(c);
    size_t got = 0;

    begin_reading(ch);
    while (got == 0 && !ch->in_end)
        got = read_some(ch, buf, cap, APR_BLOCK_READ);
    return read_there(ch, buf, cap, got);
}

ssize_t mw_chan_httpd_read_now(struct mw_chan_httpd *ch, void *buf, size_t cap)
{
    begin_reading(ch);
    return read_there(ch, buf, cap, 0);
}

int mw_chan_httpd_read_status(int err)
{
    switch (err) {
    case MW_ETIMEOUT:
        return HTTP_REQUEST_TIME_OUT;
    case MW_ELIMIT:
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    case MW_EABORT:
        return HTTP_BAD_REQUEST;
    default:
        return HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* -- response -- */

static int is_named(struct mw_str name, const char *want)
{
    return ap_cstr_casecmp(name.p, want) == 0;
}

static void set_field(request_rec *r, const struct mw_rsp *rsp, struct mw_str name,
                      struct mw_str value)
{
    const char *v = apr_pstrmemdup(r->pool, value.p, value.n);

    if (mw_rsp_is_hop_by_hop(name))
        return; /* httpd alone speaks of the connection */
    if (is_named(name, "Content-Type")) {
        ap_set_content_type(r, v);
    } else if (is_named(name, "Content-Length")) {
        if (rsp->status != HTTP_NO_CONTENT) /* RFC 9110, 8.6 */
            ap_set_content_length(r, (apr_off_t)rsp->content_length);
    } else {
        apr_table_addn(r->headers_out, apr_pstrmemdup(r->pool, name.p, name.n), v);
    }
}

/* Fields without which a client cannot act on the status, and cookies, which have nothing to do with
 * the answer that they came with: they stay when the answer is replaced. */
static void keep_field(request_rec *r, struct mw_str name, struct mw_str value)
{
    static const char *const kept[] = {"Set-Cookie", "WWW-Authenticate", "Proxy-Authenticate",
                                       "Retry-After"};

    for (size_t i = 0; i < MW_ARRAY_LEN(kept); i++)
        if (is_named(name, kept[i]))
            apr_table_addn(r->err_headers_out, kept[i], apr_pstrmemdup(r->pool, value.p, value.n));
}

/* A worker's 200 with `Location: /path` asks for that path's answer instead of its own, as CGI does
 * (RFC 3875, 6.2.2). Other values of Location are the client's business. */
static const char *local_redirect(const struct mw_chan_httpd *ch, const struct mw_rsp *rsp)
{
    struct mw_cur it = rsp->fields;
    struct mw_str name, value;

    if (rsp->status != HTTP_OK || ch->chan.req->process_group.n == 0)
        return NULL;
    while (mw_rsp_next(&it, &name, &value))
        if (is_named(name, "Location") && value.n > 0 && value.p[0] == '/')
            return apr_pstrmemdup(ch->r->pool, value.p, value.n);
    return NULL;
}

/* Whether somebody else is to answer. */
static int replace(struct mw_chan_httpd *ch, const struct mw_rsp *rsp)
{
    struct mw_cur it = rsp->fields;
    struct mw_str name, value;

    if (ap_is_HTTP_ERROR(rsp->status) && mw_config_dir(ch->r)->error_override == 1)
        ch->replaced = rsp->status;
    else
        ch->redirect = local_redirect(ch, rsp);
    if (!ch->replaced && !ch->redirect)
        return 0;
    while (mw_rsp_next(&it, &name, &value))
        keep_field(ch->r, name, value);
    return 1;
}

/* httpd's function sends what headers_out holds and clears it, so for the moment it gets a table of its
 * own. It sends nothing to clients of HTTP/1.0. A subrequest's answer has no place for it. */
static int op_inform(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    request_rec *r = self(c)->r;
    apr_table_t *final = r->headers_out;
    const char *line = r->status_line;
    int status = r->status;
    struct mw_cur it = rsp->fields;
    struct mw_str name, value;

    (void)block;
    (void)n;
    if (r->main)
        return 0;
    r->headers_out = apr_table_make(r->pool, (int)rsp->nfields);
    while (mw_rsp_next(&it, &name, &value))
        apr_table_addn(r->headers_out, apr_pstrmemdup(r->pool, name.p, name.n),
                       apr_pstrmemdup(r->pool, value.p, value.n));
    r->status = rsp->status;
    r->status_line = "103 Early Hints"; /* httpd has no text for it */
    ap_send_interim_response(r, 1);
    r->headers_out = final;
    r->status_line = line;
    r->status = status;
    return r->connection->aborted ? MW_EABORT : 0;
}

/* Where the application says what httpd says, nothing is formatted. For a status that httpd does not know
 * it has the line of another one. */
static const char *status_line(request_rec *r, const struct mw_rsp *rsp)
{
    const char *own = ap_get_status_line(rsp->status);

    if (strcmp(own + 4, rsp->reason.p) == 0 && own[0] == '0' + rsp->status / 100 &&
        own[1] == '0' + rsp->status / 10 % 10 && own[2] == '0' + rsp->status % 10)
        return own;
    return apr_psprintf(r->pool, "%u %s", (unsigned)rsp->status, rsp->reason.p);
}

static int op_head(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    request_rec *r = self(c)->r;
    struct mw_cur it = rsp->fields;
    struct mw_str name, value;

    (void)block;
    (void)n;
    if (replace(self(c), rsp))
        return 0;
    r->status = rsp->status;
    if (rsp->reason.n > 0)
        r->status_line = status_line(r, rsp);
    while (mw_rsp_next(&it, &name, &value))
        set_field(r, rsp, name, value);
    return 0;
}

static int op_data(struct mw_chan *c, const void *p, size_t n, unsigned flags)
{
    struct mw_chan_httpd *ch = self(c);

    if (ch->replaced || ch->redirect)
        return ch->r->connection->aborted ? MW_EABORT : 0;
    if (ch->flow.keeps)
        return mw_outflow_keep(&ch->flow, p, n);
    return mw_outflow_write(&ch->flow, p, n, (flags & MW_DATA_MORE) != 0);
}

static int may_sendfile(request_rec *r)
{
    int ours = mw_config_dir(r)->enable_sendfile;
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    return ours >= 0 ? ours : core->enable_sendfile == ENABLE_SENDFILE_ON;
}

/* A file that is the whole answer can be asked for in parts, and clients that seek want to know it. */
static void tell_ranges(const struct mw_chan_httpd *ch, int64_t n)
{
    request_rec *r = ch->r;

    if (r->status == HTTP_OK && ch->chan.sent == 0 && ch->chan.left == n &&
        !apr_table_get(r->headers_out, "Accept-Ranges"))
        ap_set_accept_ranges(r);
}

static int op_file(struct mw_chan *c, int fd, int64_t offset, int64_t n, unsigned flags)
{
    struct mw_chan_httpd *ch = self(c);
    struct mw_outflow_file file = {fd, offset, n, may_sendfile(ch->r)};

    if (!ch->replaced && !ch->redirect) {
        tell_ranges(ch, n);
        return mw_outflow_file(&ch->flow, &file, (flags & MW_DATA_MORE) != 0);
    }
    mw_io_close_given(&fd);
    return ch->r->connection->aborted ? MW_EABORT : 0;
}

/* The end of the client's sending side shows also behind bytes that nobody has read (a body, a pipelined
 * request, TLS records), and no byte is taken for it. A stream of HTTP/2 has no socket of its own:
 * mod_http2 reads the connection all the time and marks the stream that was reset. */
static int op_gone(struct mw_chan *c)
{
    conn_rec *conn = self(c)->r->connection;
    apr_socket_t *sock;
    apr_os_sock_t fd;

    if (conn->aborted || (conn->master && conn->master->aborted))
        return 1;
    sock = conn->master ? NULL : ap_get_conn_socket(conn);
    return sock && apr_os_sock_get(&fd, sock) == APR_SUCCESS && mw_io_is_hung_up(fd);
}

static void op_log(struct mw_chan *c, const struct mw_mark *mark, const char *line, size_t n)
{
    mw_aplog_request(self(c)->r, mark, line, n);
}

/* The application's answer came, and another one takes its place. */
static int end_replaced(struct mw_chan_httpd *ch)
{
    if (ch->replaced)
        ch->status = ch->replaced;
    return 0;
}

/* The client did not wait. Nothing more is to be said on this connection: httpd would make an answer
 * of it that somebody may still read, and the access log shows what became of the request. */
static int end_aborted(struct mw_chan_httpd *ch)
{
    request_rec *r = ch->r;

    r->connection->keepalive = AP_CONN_CLOSE;
    r->connection->aborted = 1;
    r->status = STATUS_CLIENT_LEFT;
    r->status_line = NULL;
    return 0;
}

static int end_status(const struct mw_chan_httpd *ch, enum mw_end how)
{
    switch (how) {
    case MW_END_NO_SCRIPT:
        return HTTP_NOT_FOUND;
    case MW_END_UNREADABLE:
        return HTTP_FORBIDDEN;
    case MW_END_TIMEOUT:
        return HTTP_GATEWAY_TIME_OUT;
    default:
        if (ch->in_end == MW_ELIMIT || ch->in_end == MW_ETIMEOUT)
            return mw_chan_httpd_read_status(ch->in_end);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* Nothing has left for the client: forget the application's head and let httpd make an error page. */
static void end_unsent(struct mw_chan_httpd *ch, enum mw_end how)
{
    request_rec *r = ch->r;

    mw_outflow_drop(&ch->flow);
    apr_table_clear(r->headers_out);
    r->status = HTTP_OK;
    r->status_line = NULL;
    r->clength = 0;
    ap_set_content_type(r, NULL);
    ch->status = end_status(ch, how);
}

static void end_broken(struct mw_chan_httpd *ch)
{
    request_rec *r = ch->r;

    r->connection->keepalive = AP_CONN_CLOSE;
    (void)!mw_outflow_finish(&ch->flow, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool,
                                                               r->connection->bucket_alloc));
}

/* A filter has refused some of the answer, so that it must not look whole, or has made another one of it. */
static int end_refused(struct mw_chan_httpd *ch, enum mw_end how)
{
    int answered = ch->flow.lost == AP_FILTER_ERROR;

    mw_outflow_drop(&ch->flow);
    if (answered) {
        ch->r->connection->keepalive = AP_CONN_CLOSE;
        ch->status = AP_FILTER_ERROR; /* httpd looks whether there is an answer */
    } else if (mw_outflow_is_headless(&ch->flow)) {
        end_unsent(ch, how);
    } else {
        end_broken(ch);
    }
    return 0;
}

static int op_end(struct mw_chan *c, enum mw_end how)
{
    struct mw_chan_httpd *ch = self(c);
    request_rec *r = ch->r;

    if (ch->flow.lost && !r->connection->aborted)
        return end_refused(ch, how);
    if (how == MW_END_ABORTED || r->connection->aborted)
        return end_aborted(ch);
    if (ch->replaced || (ch->redirect && how == MW_END_COMPLETE))
        return end_replaced(ch);
    if (how == MW_END_COMPLETE)
        return mw_outflow_finish(&ch->flow, NULL);
    ch->redirect = NULL;
    if (ch->flow.passed)
        end_broken(ch);
    else
        end_unsent(ch, how);
    return 0;
}

static const struct mw_chan_ops ops = {
    .read = op_read,
    .inform = op_inform,
    .head = op_head,
    .data = op_data,
    .file = op_file,
    .gone = op_gone,
    .log = op_log,
    .end = op_end,
};

void mw_chan_httpd_init(struct mw_chan_httpd *ch, request_rec *r, const struct mw_req *req)
{
    mw_chan_init(&ch->chan, &ops, req);
    ch->r = r;
    mw_outflow_init(&ch->flow, r);
    ch->in = NULL;
    ch->in_end = (req->flags & MW_REQ_BODY) ? 0 : 1;
    ch->status = OK;
    ch->replaced = 0;
    ch->redirect = NULL;
}

void mw_chan_httpd_fini(struct mw_chan_httpd *ch)
{
    mw_outflow_fini(&ch->flow);
}

const char *mw_chan_httpd_redirect(const struct mw_chan_httpd *ch)
{
    return ch->chan.state == MW_CHAN_ENDED && ch->status == OK && ch->chan.how == MW_END_COMPLETE
               ? ch->redirect
               : NULL;
}
