/*
 * chan_sock.c: channel operations as frames. The head is corked until data or the end; a small answer
 * with its END is one system call. Request threads of a worker; never holds the GIL (chan.h).
 */
#include "chan_sock.h"

#include <errno.h>
#include <string.h>

#include "log.h"

#define BLOCK_KEEP (32u << 10) /* bytes of a request block kept between requests */
#define PUT_MAX (16u << 10)    /* data up to this is copied and sent together with what follows */
#define ASK MW_FRAME_DATA_MAX  /* credit of one WANT: what one BODY frame can answer */
#define HELD_MAX (1u << 20)    /* body bytes that may come before the answer to ASK */

static struct mw_chan_sock *self(struct mw_chan *c)
{
    return (struct mw_chan_sock *)c; /* first member */
}

static int break_off(struct mw_chan_sock *cs, int err)
{
    if (!cs->broken)
        cs->broken = err;
    return err;
}

/* What a failure of the connection means to the engine: the child is gone, and so is its client. */
static int as_client(int err)
{
    return err == MW_ECLOSED ? MW_EABORT : err;
}

/* Put body bytes in hand where the next frame does not overwrite them. */
static int hold(struct mw_chan_sock *cs)
{
    if (cs->got_n == 0)
        return 0;
    mw_buf_bytes(&cs->held, cs->got, cs->got_n);
    cs->got_n = 0;
    return cs->held.err;
}

/* -- frames that come in while a request is open, or that cross our END -- */

static void end_body(struct mw_chan_sock *cs, int err)
{
    cs->open = 0;
    cs->asked = 0;
    cs->body_err = err;
}

static int take_body(struct mw_chan_sock *cs, const struct mw_frame *f)
{
    if (!cs->open || f->n == 0 || f->n > cs->credit)
        return MW_EPROTO;
    cs->credit -= f->n;
    cs->asked = 0;
    cs->got = f->payload;
    cs->got_n = f->n;
    return 0;
}

static int take_body_end(struct mw_chan_sock *cs, const struct mw_frame *f)
{
    uint8_t why;

    if (!cs->open || mw_u8_decode(&why, MW_BODY_END_LAST, f->payload, f->n))
        return MW_EPROTO;
    end_body(cs, mw_body_end_error((enum mw_body_end)why));
    return 0;
}

static int take_abort(struct mw_chan_sock *cs)
{
    if (!cs->may_abort)
        return MW_EPROTO;
    cs->may_abort = 0;
    cs->client_gone = 1;
    cs->asking = 0;
    end_body(cs, MW_EABORT);
    return 0;
}

static int take_alive(struct mw_chan_sock *cs)
{
    if (!cs->asking)
        return MW_EPROTO;
    cs->asking = 0;
    return 0;
}

static int take(struct mw_chan_sock *cs, const struct mw_frame *f)
{
    switch (f->type) {
    case MW_F_BODY:
        return take_body(cs, f);
    case MW_F_BODY_END:
        return take_body_end(cs, f);
    case MW_F_ABORT:
        return take_abort(cs);
    case MW_F_ALIVE:
        return take_alive(cs);
    default:
        return MW_EPROTO;
    }
}

/* -- operations -- */

/* The next frame of the body, asked for if the child has not sent one by itself. */
static int next_frame(struct mw_chan_sock *cs)
{
    struct mw_frame f;
    int rv = mw_link_recv_now(cs->link, &f);

    if (rv == MW_EAGAIN && !cs->asked) {
        rv = mw_link_put_want(cs->link, ASK);
        if (rv == 0)
            rv = mw_link_flush(cs->link);
        if (rv)
            return rv;
        cs->asked = 1;
        cs->credit += ASK;
        cs->flushes++;
        rv = MW_EAGAIN;
    }
    if (rv == MW_EAGAIN)
        rv = mw_link_recv(cs->link, &f);
    return rv ? rv : take(cs, &f);
}

static ssize_t sock_read(struct mw_chan *c, void *buf, size_t cap)
{
    struct mw_chan_sock *cs = self(c);
    size_t held = mw_buf_size(&cs->held);

    if (held > 0) {
        held = held < cap ? held : cap;
        memcpy(buf, mw_buf_data(&cs->held), held);
        mw_buf_consume(&cs->held, held);
        return (ssize_t)held;
    }
    while (cs->got_n == 0) {
        errno = 0; /* what broke the body is the child's knowledge */
        if (!cs->open)
            return cs->body_err;
        int rv = next_frame(cs);
        if (rv)
            end_body(cs, as_client(break_off(cs, rv)));
    }
    size_t n = cs->got_n < cap ? cs->got_n : cap;
    memcpy(buf, cs->got, n);
    cs->got += n;
    cs->got_n -= n;
    return (ssize_t)n;
}

/* Nothing was put before the head that could be kept back together with it. */
static int sock_inform(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    (void)rsp;
    return as_client(mw_link_send(self(c)->link, MW_F_INFORM, block, n));
}

static int sock_head(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    (void)rsp;
    return as_client(mw_link_put(self(c)->link, MW_F_HEAD, block, n));
}

/* Has the child said that its client went away? Body bytes in hand would be lost by looking. */
static int client_is_gone(struct mw_chan_sock *cs)
{
    struct mw_frame f;

    while (!cs->client_gone && cs->got_n == 0) {
        int rv = mw_link_recv_now(cs->link, &f);
        if (rv == MW_EAGAIN)
            return 0;
        if (rv == 0)
            rv = take(cs, &f);
        if (rv) {
            break_off(cs, rv);
            return 1;
        }
    }
    return cs->client_gone;
}

/* Ask the child, and keep what it sent of the body before it could answer. */
static int ask(struct mw_chan_sock *cs)
{
    struct mw_frame f;
    int rv = hold(cs);

    if (rv == 0)
        rv = mw_link_send(cs->link, MW_F_ASK, NULL, 0);
    cs->asking = 1;
    while (rv == 0 && cs->asking) {
        rv = mw_link_recv(cs->link, &f);
        if (rv == 0)
            rv = take(cs, &f);
        if (rv == 0)
            rv = hold(cs);
    }
    return rv;
}

static int sock_gone(struct mw_chan *c)
{
    struct mw_chan_sock *cs = self(c);
    int rv = cs->client_gone ? 0 : ask(cs);

    if (rv)
        end_body(cs, as_client(break_off(cs, rv)));
    return rv || cs->client_gone;
}

static int sock_data(struct mw_chan *c, const void *p, size_t n, unsigned flags)
{
    struct mw_chan_sock *cs = self(c);

    if (flags & MW_DATA_MORE && n <= PUT_MAX)
        return n ? as_client(mw_link_put(cs->link, MW_F_DATA, p, n)) : 0;
    if (cs->flushes++ > 0 && client_is_gone(cs))
        return MW_EABORT;
    return as_client(n ? mw_link_send(cs->link, MW_F_DATA, p, n) : mw_link_flush(cs->link));
}

/* Sent at once: a line that waits for the answer would be lost in a crash, just when it is needed. */
static void sock_log(struct mw_chan *c, const struct mw_mark *mark, const char *line, size_t n)
{
    struct mw_chan_sock *cs = self(c);
    int rv = MW_ESTATE;

    pthread_mutex_lock(&cs->log_lock);
    if (!cs->ended)
        rv = mw_link_put_log(cs->link, mark, (struct mw_str){line, n});
    if (rv == 0)
        rv = mw_link_flush(cs->link);
    pthread_mutex_unlock(&cs->log_lock);
    if (rv)
        mw_log(mark->level, NULL, "%.*s", n < MW_LOG_LINE_MAX ? (int)n : MW_LOG_LINE_MAX, line);
}

static int sock_end(struct mw_chan *c, enum mw_end how)
{
    struct mw_chan_sock *cs = self(c);

    pthread_mutex_lock(&cs->log_lock);
    cs->ended = 1;
    int rv = mw_link_put_u8(cs->link, MW_F_END, (uint8_t)how);
    pthread_mutex_unlock(&cs->log_lock);
    mw_board_busy(cs->board, cs->slot, -1);
    if (rv == 0)
        rv = mw_link_flush(cs->link);
    if (rv)
        break_off(cs, rv);
    return as_client(rv);
}

static const struct mw_chan_ops sock_ops = {
    .read = sock_read,
    .inform = sock_inform,
    .head = sock_head,
    .data = sock_data,
    .gone = sock_gone,
    .log = sock_log,
    .end = sock_end,
};

/* -- requests -- */

void mw_chan_sock_init(struct mw_chan_sock *cs, struct mw_link *link, struct mw_board *board,
                       unsigned slot)
{
    memset(cs, 0, sizeof *cs);
    cs->link = link;
    cs->board = board;
    cs->slot = slot;
    cs->ended = 1;
    mw_buf_init(&cs->block, MW_REQ_BLOCK_MAX);
    mw_buf_init(&cs->held, HELD_MAX);
    pthread_mutex_init(&cs->log_lock, NULL);
}

void mw_chan_sock_fini(struct mw_chan_sock *cs)
{
    mw_buf_fini(&cs->block);
    mw_buf_fini(&cs->held);
    pthread_mutex_destroy(&cs->log_lock);
}

/* The block is copied: the link's buffer is needed again as soon as the body is read. */
static int open_request(struct mw_chan_sock *cs, const struct mw_frame *f)
{
    mw_buf_clear(&cs->block);
    mw_buf_bytes(&cs->block, f->payload, f->n);
    if (cs->block.err)
        return cs->block.err;
    int rv = mw_req_view(&cs->req, mw_buf_data(&cs->block), mw_buf_size(&cs->block));
    if (rv)
        return rv;
    mw_chan_init(&cs->chan, &sock_ops, &cs->req);
    cs->open = (cs->req.flags & MW_REQ_BODY) != 0;
    cs->asked = 0;
    cs->credit = MW_BODY_INLINE_MAX; /* what may ride along uninvited */
    cs->body_err = 0;
    cs->got_n = 0;
    mw_buf_clear(&cs->held);
    cs->asking = 0;
    cs->may_abort = 1;
    cs->client_gone = 0;
    cs->flushes = 0;
    cs->ended = 0;
    mw_board_busy(cs->board, cs->slot, 1);
    return 0;
}

int mw_chan_sock_accept(struct mw_chan_sock *cs)
{
    struct mw_frame f;

    for (;;) {
        int rv = mw_link_recv_now(cs->link, &f);
        if (rv)
            return rv;
        if (f.type == MW_F_REQUEST)
            return open_request(cs, &f);
        rv = take(cs, &f); /* the rest of the last request, which nobody wanted */
        cs->got_n = 0;
        if (rv)
            return rv;
    }
}

int mw_chan_sock_broken(const struct mw_chan_sock *cs)
{
    return cs->broken ? cs->broken : __atomic_load_n(&cs->link->err, __ATOMIC_RELAXED);
}

void mw_chan_sock_trim(struct mw_chan_sock *cs)
{
    mw_buf_consume(&cs->block, mw_buf_size(&cs->block));
    mw_buf_trim(&cs->block, BLOCK_KEEP);
    mw_buf_clear(&cs->held);
    mw_buf_trim(&cs->held, 0);
    mw_link_trim(cs->link);
}
