/*
 * bodybuf.c: up to 16 KiB of a body into memory of the request; a larger one into a file without a name, in
 * memory at first, on a disk when it is large. Called by the thread that runs the request, before it waits
 * for a worker.
 */
#include "bodybuf.h"

#include <errno.h>
#include <fcntl.h>

#include <http_log.h>
#include <http_protocol.h>

#include "io.h"
#include "spec.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define READ_MAX (64u << 10) /* bytes at once */

void mw_bodybuf_init(struct mw_bodybuf *bb, struct mw_endpoint *e)
{
    *bb = (struct mw_bodybuf){.e = e, .fd = -1};
}

void mw_bodybuf_fini(struct mw_bodybuf *bb, int reuse)
{
    if (reuse && bb->fd >= 0 && !bb->on_disk)
        mw_endpoint_give_file(bb->e, bb->fd);
    else
        mw_io_close(&bb->fd);
}

/* -- the file -- */

static int open_file(struct mw_bodybuf *bb, const char *dir)
{
    if (bb->on_disk)
        return mw_io_scratch(dir, &bb->fd);
    bb->fd = mw_endpoint_take_file(bb->e);
    return bb->fd >= 0 ? 0 : mw_io_scratch(NULL, &bb->fd);
}

/* From memory to a disk. */
static int move_to_disk(struct mw_bodybuf *bb, const char *dir, char *buf)
{
    uint64_t at = 0;
    int fd;
    int rv = mw_io_scratch(dir, &fd);

    while (rv == 0 && at < bb->n) {
        size_t k = bb->n - at < READ_MAX ? (size_t)(bb->n - at) : READ_MAX;

        rv = mw_io_read_at(bb->fd, buf, k, at);
        if (rv == 0)
            rv = mw_io_write_at(fd, buf, k, at);
        at += k;
    }
    mw_io_close(&bb->fd);
    bb->fd = fd;
    bb->on_disk = 1;
    return rv;
}

/* buf: READ_MAX bytes of scratch, of which the n to be put may be a part only if they need not move. */
static int put(struct mw_bodybuf *bb, const char *dir, const char *p, size_t n, char *buf)
{
    int rv = 0;

    if (!bb->on_disk && bb->fd >= 0 && bb->n + n > MW_BODYBUF_MEMORY)
        rv = move_to_disk(bb, dir, buf);
    else if (bb->fd < 0)
        rv = open_file(bb, dir);
    if (rv == 0)
        rv = mw_io_write_at(bb->fd, p, n, bb->n);
    if (rv == 0)
        bb->n += n;
    return rv;
}

/* -- reading -- */

static int body_failed(const struct mw_chan_httpd *ch, int err)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, ch->r,
                  "WSGI0126: request body: %s; the application is not called", mw_err_text(err));
    return mw_chan_httpd_read_status(err);
}

/* What was not read of the body must not be taken for a request. */
static int cannot_store(const struct mw_chan_httpd *ch, const char *dir)
{
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, errno, ch->r,
        "WSGI0712: the request body cannot be kept in memory or in a file in %s; 507, the "
        "application is not called",
        dir);
    ch->r->connection->keepalive = AP_CONN_CLOSE;
    return HTTP_INSUFFICIENT_STORAGE;
}

/* Up to cap bytes, or the end. */
static int take_small(struct mw_bodybuf *bb, struct mw_chan_httpd *ch, size_t cap)
{
    bb->small = apr_palloc(ch->r->pool, cap);
    while (bb->small_n < cap) {
        ssize_t n = mw_chan_read(&ch->chan, bb->small + bb->small_n, cap - bb->small_n);

        if (n < 0)
            return body_failed(ch, (int)n);
        if (n == 0)
            break; /* an input filter made it shorter */
        bb->small_n += (size_t)n;
    }
    /* A filter that inflates may have more than the client announced. */
    bb->whole = ch->in_end == 1;
    return OK;
}

/* All of it, if that is not more than limit. */
static int take_large(struct mw_bodybuf *bb, struct mw_chan_httpd *ch, uint64_t limit,
                      const char *dir)
{
    char *buf = apr_palloc(ch->r->pool, 2 * READ_MAX);
    char *spare = buf + READ_MAX;

    bb->on_disk = ch->chan.req->content_length > (int64_t)MW_BODYBUF_MEMORY;
    if (bb->small_n > 0 && put(bb, dir, bb->small, bb->small_n, spare))
        return cannot_store(ch, dir);
    bb->small_n = 0;
    while (!bb->whole && bb->n <= limit) {
        ssize_t n = mw_chan_read(&ch->chan, buf, READ_MAX);

        if (n < 0)
            return body_failed(ch, (int)n);
        if (n > 0 && put(bb, dir, buf, (size_t)n, spare))
            return cannot_store(ch, dir);
        bb->whole = ch->in_end == 1;
    }
    return OK;
}

int mw_bodybuf_take(struct mw_bodybuf *bb, struct mw_chan_httpd *ch, int64_t policy,
                    const char *dir)
{
    const struct mw_req *req = ch->chan.req;
    int64_t limit = policy == MW_BUFFERING_AUTO ? INT64_MAX - 1 : policy;
    int64_t length = req->content_length; /* -1: who knows */
    int64_t small = length < 0 ? limit + 1 : length;
    int rv = OK;

    if (!(req->flags & MW_REQ_BODY))
        return OK;
    if (policy == MW_BUFFERING_OFF) {
        /* Left to the application's first read where the client waits for 100 Continue. */
        if (ch->r->expecting_100 || length < 0 || length > (int64_t)MW_BODY_INLINE_MAX)
            return OK;
        return take_small(bb, ch, (size_t)length);
    }
    if (length > limit)
        return OK;
    if (length <= (int64_t)MW_BODY_INLINE_MAX) /* or not known */
        rv = take_small(bb, ch,
                        small < (int64_t)MW_BODY_INLINE_MAX ? (size_t)small : MW_BODY_INLINE_MAX);
    if (rv != OK || bb->whole || (int64_t)bb->small_n > limit)
        return rv;
    return take_large(bb, ch, (uint64_t)limit, dir);
}

/* -- sending -- */

static int put_file(const struct mw_bodybuf *bb, struct mw_link *l)
{
    int fd = fcntl(bb->fd, F_DUPFD_CLOEXEC, 0);

    return fd < 0 ? MW_EIO : mw_link_put_body_file(l, (int64_t)bb->n, fd);
}

int mw_bodybuf_put(const struct mw_bodybuf *bb, struct mw_link *l)
{
    int rv = 0;

    if (bb->whole && bb->fd >= 0)
        return put_file(bb, l);
    if (bb->small_n > 0)
        rv = mw_link_put(l, MW_F_BODY, bb->small, bb->small_n);
    if (rv == 0 && bb->whole)
        rv = mw_link_put_u8(l, MW_F_BODY_END, MW_BODY_CLEAN);
    return rv;
}

int64_t mw_bodybuf_length(const struct mw_bodybuf *bb)
{
    return bb->fd >= 0 ? (int64_t)bb->n : (int64_t)bb->small_n;
}

ssize_t mw_bodybuf_rest(struct mw_bodybuf *bb, void *buf, size_t cap)
{
    uint64_t left = bb->fd >= 0 ? bb->n - bb->at : 0;
    size_t n = left < cap ? (size_t)left : cap;
    int rv = n > 0 ? mw_io_read_at(bb->fd, buf, n, bb->at) : 0;

    if (rv)
        return rv;
    bb->at += n;
    return (ssize_t)n;
}
