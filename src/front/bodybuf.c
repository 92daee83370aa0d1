/*
 * bodybuf.c: up to 16 KiB of a body into memory of the request; a larger one into a file without a name, in
 * memory at first, on a disk when it is large. Called by the thread that runs the request, before it waits
 * for a worker.
 */
#include "bodybuf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <http_log.h>
#include <http_protocol.h>

#include "io.h"
#include "spec.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define READ_MAX (64u << 10) /* bytes at once */

void mw_bodybuf_init(struct mw_bodybuf *bb, struct mw_endpoint *e, apr_pool_t *pool)
{
    *bb = (struct mw_bodybuf){.e = e, .pool = pool, .file = {.fd = -1}};
}

void mw_bodybuf_fini(struct mw_bodybuf *bb, int reuse)
{
    if (reuse && bb->file.fd >= 0 && !bb->on_disk)
        mw_endpoint_give_file(bb->e, &bb->file);
    else
        mw_scratch_close(&bb->file);
}

/* -- the file -- */

/* One that is used again is mapped: what comes for it costs no call of the system, and none of its pages is
 * looked up. Mapping one for a single body would cost more than that. */
static int open_in_memory(struct mw_bodybuf *bb)
{
    int rv;

    mw_endpoint_take_file(bb->e, &bb->file);
    if (bb->file.fd >= 0 && !bb->file.map.p) {
        rv = mw_memfile_fix(&bb->file.map, bb->file.fd);
        if (rv && rv != MW_EINVAL)
            mw_scratch_close(&bb->file);
    }
    return bb->file.fd >= 0 ? 0 : mw_io_scratch(NULL, &bb->file.fd);
}

static int open_file(struct mw_bodybuf *bb, const char *dir)
{
    return bb->on_disk ? mw_io_scratch(dir, &bb->file.fd) : open_in_memory(bb);
}

/* All that the file in memory has. */
static int copy_to(const struct mw_bodybuf *bb, int fd)
{
    char *buf = bb->file.map.p ? NULL : apr_palloc(bb->pool, READ_MAX);
    uint64_t at = 0;
    int rv = 0;

    if (!buf)
        return mw_io_write_at(fd, bb->file.map.p, (size_t)bb->n, 0);
    while (rv == 0 && at < bb->n) {
        size_t k = bb->n - at < READ_MAX ? (size_t)(bb->n - at) : READ_MAX;

        rv = mw_io_read_at(bb->file.fd, buf, k, at);
        if (rv == 0)
            rv = mw_io_write_at(fd, buf, k, at);
        at += k;
    }
    return rv;
}

static int move_to_disk(struct mw_bodybuf *bb, const char *dir)
{
    int fd;
    int rv = mw_io_scratch(dir, &fd);

    if (rv == 0)
        rv = copy_to(bb, fd);
    if (rv == 0)
        mw_endpoint_give_file(bb->e, &bb->file); /* no worker has seen it */
    else
        mw_scratch_close(&bb->file);
    bb->file.fd = fd;
    bb->on_disk = 1;
    return rv;
}

/* Where the next bytes are best put, and how many: in the file itself where it is mapped. NULL: no memory. */
static char *room(struct mw_bodybuf *bb, size_t *n_r)
{
    size_t left = bb->n < MW_BODYBUF_MEMORY ? MW_BODYBUF_MEMORY - (size_t)bb->n : 0;

    if (bb->file.map.p && left > 0) {
        *n_r = left < READ_MAX ? left : READ_MAX;
        return mw_memfile_reach(&bb->file.map, (size_t)bb->n + *n_r) ? NULL
                                                                     : bb->file.map.p + bb->n;
    }
    if (!bb->buf)
        bb->buf = apr_palloc(bb->pool, READ_MAX);
    *n_r = READ_MAX;
    return bb->buf;
}

/* n bytes, which room may have put there already. */
static int write_next(struct mw_bodybuf *bb, const char *p, size_t n)
{
    struct mw_memfile *map = &bb->file.map;

    if (!map->p)
        return mw_io_write_at(bb->file.fd, p, n, bb->n);
    if (p == map->p + bb->n)
        return 0;
    if (mw_memfile_reach(map, (size_t)bb->n + n))
        return MW_EIO;
    memcpy(map->p + bb->n, p, n);
    return 0;
}

static int put(struct mw_bodybuf *bb, const char *dir, const char *p, size_t n)
{
    int rv = 0;

    if (!bb->on_disk && bb->n + n > MW_BODYBUF_MEMORY)
        rv = move_to_disk(bb, dir);
    if (rv == 0)
        rv = write_next(bb, p, n);
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

/* What the client sends next, into the file. */
static int take_some(struct mw_bodybuf *bb, struct mw_chan_httpd *ch, const char *dir)
{
    size_t cap;
    char *p = room(bb, &cap);
    ssize_t n;

    if (!p)
        return cannot_store(ch, dir);
    n = mw_chan_read(&ch->chan, p, cap);
    if (n < 0)
        return body_failed(ch, (int)n);
    if (n > 0 && put(bb, dir, p, (size_t)n))
        return cannot_store(ch, dir);
    bb->whole = ch->in_end == 1;
    return OK;
}

/* All of it, if that is not more than limit. */
static int take_large(struct mw_bodybuf *bb, struct mw_chan_httpd *ch, uint64_t limit,
                      const char *dir)
{
    int rv = OK;

    bb->on_disk = ch->chan.req->content_length > (int64_t)MW_BODYBUF_MEMORY;
    if (open_file(bb, dir) || (bb->small_n > 0 && put(bb, dir, bb->small, bb->small_n)))
        return cannot_store(ch, dir);
    bb->small_n = 0;
    while (rv == OK && !bb->whole && bb->n <= limit)
        rv = take_some(bb, ch, dir);
    return rv;
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
    int fd = fcntl(bb->file.fd, F_DUPFD_CLOEXEC, 0);

    return fd < 0 ? MW_EAGAIN : mw_link_put_body_file(l, (int64_t)bb->n, fd);
}

int mw_bodybuf_is_file(const struct mw_bodybuf *bb)
{
    return bb->whole && bb->n > 0;
}

int mw_bodybuf_put(const struct mw_bodybuf *bb, struct mw_link *l)
{
    int rv = 0;

    if (mw_bodybuf_is_file(bb))
        return put_file(bb, l);
    if (bb->small_n > 0)
        rv = mw_link_put(l, MW_F_BODY, bb->small, bb->small_n);
    if (rv == 0 && bb->whole)
        rv = mw_link_put_u8(l, MW_F_BODY_END, MW_BODY_CLEAN);
    return rv;
}

int64_t mw_bodybuf_length(const struct mw_bodybuf *bb)
{
    return (int64_t)(bb->n + bb->small_n);
}

int mw_bodybuf_has_rest(const struct mw_bodybuf *bb)
{
    return bb->at < bb->n;
}

void mw_bodybuf_rewind(struct mw_bodybuf *bb)
{
    bb->at = 0;
}

ssize_t mw_bodybuf_rest(struct mw_bodybuf *bb, void *buf, size_t cap)
{
    uint64_t left = bb->n - bb->at;
    size_t n = left < cap ? (size_t)left : cap;
    int rv = 0;

    if (n > 0 && bb->file.map.p)
        memcpy(buf, bb->file.map.p + bb->at, n);
    else if (n > 0)
        rv = mw_io_read_at(bb->file.fd, buf, n, bb->at);
    if (rv)
        return rv;
    bb->at += n;
    return (ssize_t)n;
}
