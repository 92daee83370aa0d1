/*
 * chan.c: state and framing facts of every response, above whatever moves its bytes. Engines call
 * down into it, implementations are called by it. One thread at a time but for mw_chan_log, which
 * therefore looks at nothing but the operations.
 *
 * Whatever an engine does, an answer that is not whole never ends as MW_END_COMPLETE.
 */
#include "chan.h"

#include "io.h"

void mw_chan_init(struct mw_chan *c, const struct mw_chan_ops *ops, const struct mw_req *req)
{
    c->ops = ops;
    c->req = req;
    c->native = NULL;
    c->state = MW_CHAN_OPEN;
    c->no_body = 0;
    c->left = -1;
    c->sent = 0;
    c->excess = 0;
    c->informs = 0;
    c->aborted = 0;
    c->err = 0;
    c->how = MW_END_FAILED;
}

ssize_t mw_chan_read(struct mw_chan *c, void *buf, size_t cap)
{
    if (c->state == MW_CHAN_ENDED)
        return MW_ESTATE;
    if (cap == 0)
        return MW_EINVAL;
    return c->ops->read(c, buf, cap);
}

/* Keep the first failure of an operation that sends: after it there is a hole in the answer. */
static int keep(struct mw_chan *c, int rv)
{
    if (rv < 0 && !c->err) {
        c->err = rv;
        c->aborted = rv == MW_EABORT;
    }
    return rv;
}

int mw_chan_inform(struct mw_chan *c, const void *block, size_t n, enum mw_rsp_fault *fault_r)
{
    struct mw_rsp rsp;

    if (fault_r)
        *fault_r = MW_RSP_FINE;
    if (c->state != MW_CHAN_OPEN)
        return MW_ESTATE;
    int rv = mw_rsp_view_inform(&rsp, block, n, fault_r);
    if (rv)
        return rv;
    if (c->err)
        return c->err;
    if (c->informs == MW_CHAN_INFORMS_MAX)
        return MW_ELIMIT;
    c->informs++;
    return keep(c, c->ops->inform(c, &rsp, block, n));
}

int mw_chan_head(struct mw_chan *c, const void *block, size_t n, enum mw_rsp_fault *fault_r)
{
    struct mw_rsp rsp;

    if (fault_r)
        *fault_r = MW_RSP_FINE;
    if (c->state != MW_CHAN_OPEN)
        return MW_ESTATE;
    int rv = mw_rsp_view(&rsp, block, n, fault_r);
    if (rv)
        return rv;
    c->state = MW_CHAN_HEADED;
    c->no_body = c->req->flags & MW_REQ_HEAD || !mw_rsp_status_has_body(rsp.status);
    c->left = c->no_body ? -1 : rsp.content_length;
    return keep(c, c->ops->head(c, &rsp, block, n));
}

/* How many of n bytes belong to the body; counts the others. */
static uint64_t cut(struct mw_chan *c, uint64_t n)
{
    if (c->no_body)
        return 0;
    if (c->left < 0 || n <= (uint64_t)c->left)
        return n;
    uint64_t keep_n = (uint64_t)c->left;
    c->excess += n - keep_n;
    return keep_n;
}

/* n bytes of the body went, or the first failure comes. */
static int count(struct mw_chan *c, uint64_t n, int rv)
{
    if (keep(c, rv))
        return rv;
    c->sent += n;
    if (c->left >= 0)
        c->left -= (int64_t)n;
    return 0;
}

int mw_chan_data(struct mw_chan *c, const void *p, size_t n, unsigned flags)
{
    if (c->state != MW_CHAN_HEADED)
        return MW_ESTATE;
    if (c->err)
        return c->err;
    n = (size_t)cut(c, n);
    /* Bytes that are dropped still push out what was kept back: the application may run on for ever
     * and only the implementation can see that nobody is there any more. */
    if (n == 0 && flags & MW_DATA_MORE)
        return 0;
    return count(c, n, c->ops->data(c, n ? p : "", n, flags));
}

int mw_chan_file(struct mw_chan *c, int fd, int64_t offset, int64_t n, unsigned flags)
{
    int rv = c->state != MW_CHAN_HEADED ? MW_ESTATE : c->err;

    if (!rv && (fd < 0 || offset < 0 || n < 0 || n > INT64_MAX - offset))
        rv = MW_EINVAL;
    if (!rv) {
        n = (int64_t)cut(c, (uint64_t)n);
        if (n > 0)
            return count(c, (uint64_t)n, c->ops->file(c, fd, offset, n, flags));
        rv = mw_chan_data(c, "", 0, flags);
    }
    mw_io_close_given(&fd);
    return rv;
}

int mw_chan_gone(struct mw_chan *c)
{
    if (c->state == MW_CHAN_ENDED || c->aborted)
        return 1;
    if (!c->ops->gone(c))
        return 0;
    keep(c, MW_EABORT);
    c->aborted = 1; /* also after a failure of another kind */
    return 1;
}

void mw_chan_log(struct mw_chan *c, const struct mw_mark *mark, const char *line, size_t n)
{
    c->ops->log(c, mark, line, n);
}

/* The end of an answer whose head never went out. */
static enum mw_end end_without_head(enum mw_end how)
{
    return how == MW_END_COMPLETE || how == MW_END_TRUNCATED ? MW_END_FAILED : how;
}

/* The end of an answer that began: it is whole, or the client left, or it is cut. */
static enum mw_end end_with_head(const struct mw_chan *c, enum mw_end how)
{
    if (c->aborted || how == MW_END_ABORTED)
        return MW_END_ABORTED;
    if (how == MW_END_COMPLETE && !c->err && c->left <= 0)
        return MW_END_COMPLETE;
    return MW_END_TRUNCATED;
}

enum mw_end mw_chan_end(struct mw_chan *c, enum mw_end how)
{
    if (c->state == MW_CHAN_ENDED)
        return c->how;
    if ((unsigned)how > MW_END_LAST)
        how = MW_END_FAILED;
    how = c->state == MW_CHAN_OPEN ? end_without_head(how) : end_with_head(c, how);
    c->state = MW_CHAN_ENDED;
    c->how = how;
    keep(c, c->ops->end(c, how));
    return how;
}

const char *mw_end_name(enum mw_end how)
{
    static const char *const names[] = {"complete",   "failed",  "truncated", "no script",
                                        "unreadable", "aborted", "timeout",   "no file"};

    return (unsigned)how < MW_ARRAY_LEN(names) ? names[how] : "unknown";
}
