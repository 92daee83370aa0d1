/*
 * chan_sock.c: channel operations as frames. The head is corked until data or the end; a small answer
 * with its END is one system call. Request threads of a worker; never holds the GIL (chan.h).
 */
#include "chan_sock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"
#include "log.h"

#define BLOCK_KEEP (32u << 10) /* bytes of a request block kept between requests */
#define LOOK_MS 5              /* between two looks whether the client is gone */
#define PUT_MAX (16u << 10)    /* data up to this is copied and sent together with what follows */
/* Body bytes that may come before the answer to ASK, and those in hand. */
#define HELD_MAX (MW_BODY_WINDOW + MW_FRAME_DATA_MAX)

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

static void drop_file(struct mw_chan_sock *cs)
{
    if (cs->file)
        mw_bodies_give(cs->bodies, cs->file);
    cs->file = NULL;
    mw_io_close_given(&cs->file_fd);
    cs->file_left = 0;
}

static void end_body(struct mw_chan_sock *cs, int err)
{
    drop_file(cs);
    cs->open = 0;
    cs->asked = 0;
    cs->body_err = err;
}

static int take_body(struct mw_chan_sock *cs, const struct mw_frame *f)
{
    if (!cs->open || f->n == 0 || f->n > cs->credit)
        return MW_EPROTO;
    cs->credit -= f->n;
    cs->came += f->n;
    cs->begun = 1;
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

/* Have `length` bytes of a file that anybody may have passed. */
static int open_file(struct mw_chan_sock *cs, int fd, int64_t length)
{
    int64_t size;

    if (length <= (int64_t)MW_MEMFILE_SIZE)
        cs->file = mw_bodies_take(cs->bodies, fd, (size_t)length);
    if (cs->file) {
        mw_io_close(&fd); /* no socket */
        return 0;
    }
    cs->file_fd = fd;
    return mw_io_file_size(fd, &size) || size < length ? MW_EPROTO : 0;
}

/* The whole body at once, in place of all other frames of it. */
static int take_body_file(struct mw_chan_sock *cs, const struct mw_frame *f)
{
    int64_t length;
    int fd;

    if (!cs->open || cs->begun || mw_body_file_decode(&length, f->payload, f->n))
        return MW_EPROTO;
    end_body(cs, 0);
    cs->begun = 1;
    fd = mw_link_take_fd(cs->link);
    if (fd == MW_FD_DROPPED && cs->ended)
        return 0; /* as was said */
    if (open_file(cs, fd, length))
        return MW_EPROTO;
    cs->file_at = 0;
    cs->file_left = length;
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
    case MW_F_BODY_FILE:
        return take_body_file(cs, f);
    case MW_F_ABORT:
        return take_abort(cs);
    case MW_F_ALIVE:
        return take_alive(cs);
    default:
        return MW_EPROTO;
    }
}

/* -- operations -- */

/* The credit to have outstanding: the window, but not beyond what is left of the body. */
static int64_t full_credit(const struct mw_chan_sock *cs)
{
    int64_t left = cs->req.content_length - cs->came;

    if (cs->req.content_length < 0 || left > (int64_t)MW_BODY_WINDOW)
        return MW_BODY_WINDOW;
    return left > 0 ? left : 1;
}

static int send_want(struct mw_chan_sock *cs, uint8_t waits)
{
    int64_t full = full_credit(cs);
    struct mw_want want = {.have = (uint64_t)cs->came, .waits = waits};

    if (cs->credit < full)
        cs->credit = full;
    want.upto = want.have + (uint64_t)cs->credit;
    int rv = mw_link_put_want(cs->link, &want);
    return rv ? rv : mw_link_flush(cs->link);
}

/* The next frame of the body, asked for if the child has not sent one by itself. */
static int next_frame(struct mw_chan_sock *cs)
{
    struct mw_frame f;
    int rv = mw_link_recv_now(cs->link, &f);

    if (rv == MW_EAGAIN && !cs->asked) {
        rv = send_want(cs, 1);
        if (rv)
            return rv;
        cs->asked = 1;
        cs->streams = 1;
        cs->flushes++;
        rv = MW_EAGAIN;
    }
    if (rv == MW_EAGAIN)
        rv = mw_link_recv(cs->link, &f);
    return rv ? rv : take(cs, &f);
}

/* The application reads a body that comes in pieces: give credit before all of it is used up, so that the
 * child need not wait for the next request for bytes. */
static int ask_ahead(struct mw_chan_sock *cs)
{
    int64_t full = full_credit(cs);

    if (!cs->streams || !cs->open || cs->credit > full / 2 || full < (int64_t)MW_FRAME_DATA_MAX)
        return 0;
    return send_want(cs, 0);
}

static ssize_t read_held(struct mw_chan_sock *cs, void *buf, size_t cap)
{
    size_t n = mw_buf_size(&cs->held);

    n = n < cap ? n : cap;
    memcpy(buf, mw_buf_data(&cs->held), n);
    mw_buf_consume(&cs->held, n);
    return (ssize_t)n;
}

static ssize_t read_frame(struct mw_chan_sock *cs, void *buf, size_t cap)
{
    size_t n = cs->got_n < cap ? cs->got_n : cap;

    memcpy(buf, cs->got, n);
    cs->got += n;
    cs->got_n -= n;
    return (ssize_t)n;
}

/* At most cap bytes, of cs->file_left; as pread(2). */
static ssize_t copy_file(const struct mw_chan_sock *cs, void *buf, size_t cap)
{
    ssize_t n;

    if (cs->file) {
        memcpy(buf, cs->file->map.p + cs->file_at, cap);
        return (ssize_t)cap;
    }
    do
        n = pread(cs->file_fd, buf, cap, (off_t)cs->file_at);
    while (n < 0 && errno == EINTR);
    return n;
}

static ssize_t read_file(struct mw_chan_sock *cs, void *buf, size_t cap)
{
    ssize_t n = copy_file(cs, buf, (uint64_t)cs->file_left < cap ? (size_t)cs->file_left : cap);

    if (n <= 0) {
        end_body(cs, MW_EIO);
        errno = n == 0 ? 0 : errno;
        return MW_EIO;
    }
    cs->file_at += n;
    cs->file_left -= n;
    if (cs->file_left == 0)
        drop_file(cs);
    return n;
}

static ssize_t sock_read(struct mw_chan *c, void *buf, size_t cap)
{
    struct mw_chan_sock *cs = self(c);

    if (mw_buf_size(&cs->held) > 0)
        return read_held(cs, buf, cap);
    while (cs->got_n == 0 && cs->file_left == 0) {
        errno = 0; /* what broke the body is the child's knowledge */
        if (!cs->open)
            return cs->body_err;
        int rv = next_frame(cs);
        if (rv == 0 && cs->got_n > 0)
            rv = ask_ahead(cs);
        if (rv)
            end_body(cs, as_client(break_off(cs, rv)));
    }
    return cs->got_n > 0 ? read_frame(cs, buf, cap) : read_file(cs, buf, cap);
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

/* Has the child said that its client went away? Body bytes in hand would be lost by looking. An application that
 * answers as fast as it can does not look each time. */
static int client_is_gone(struct mw_chan_sock *cs)
{
    uint64_t now = mw_clock_ms();
    struct mw_frame f;

    if (now - cs->looked_ms < LOOK_MS)
        return cs->client_gone;
    cs->looked_ms = now;
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

static int sock_file(struct mw_chan *c, int fd, int64_t offset, int64_t n, unsigned flags)
{
    struct mw_chan_sock *cs = self(c);
    struct mw_file_part part = {.offset = offset, .n = n};

    if (!(flags & MW_DATA_MORE) && cs->flushes++ > 0 && client_is_gone(cs)) {
        mw_io_close(&fd);
        return MW_EABORT;
    }
    int rv = mw_link_put_file(cs->link, &part, fd);
    if (rv == 0 && !(flags & MW_DATA_MORE))
        rv = mw_link_flush(cs->link);
    return as_client(rv);
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

/* The thread that serves, or who gives up on it. */
static int take_end(struct mw_chan_sock *cs)
{
    return !__atomic_exchange_n(&cs->end_taken, 1, __ATOMIC_ACQ_REL);
}

int mw_chan_sock_give_up(struct mw_chan_sock *cs)
{
    if (!take_end(cs))
        return 0;
    mw_link_cut(cs->link, MW_F_END, MW_END_TIMEOUT);
    return 1;
}

static int sock_end(struct mw_chan *c, enum mw_end how)
{
    struct mw_chan_sock *cs = self(c);
    int mine = take_end(cs);

    pthread_mutex_lock(&cs->log_lock);
    cs->ended = 1;
    int rv = mine ? mw_link_put_u8(cs->link, MW_F_END, (uint8_t)how) : MW_ECLOSED;
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
    .file = sock_file,
    .gone = sock_gone,
    .log = sock_log,
    .end = sock_end,
};

/* -- requests -- */

void mw_chan_sock_init(struct mw_chan_sock *cs, struct mw_link *link, struct mw_board *board,
                       unsigned slot, struct mw_bodies *bodies)
{
    memset(cs, 0, sizeof *cs);
    cs->bodies = bodies;
    cs->link = link;
    cs->board = board;
    cs->slot = slot;
    cs->ended = 1;
    cs->file_fd = -1;
    mw_buf_init(&cs->block, MW_REQ_BLOCK_MAX);
    mw_buf_init(&cs->held, HELD_MAX);
    pthread_mutex_init(&cs->log_lock, NULL);
}

void mw_chan_sock_fini(struct mw_chan_sock *cs)
{
    drop_file(cs);
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
    cs->begun = cs->asked = cs->streams = 0;
    cs->credit = MW_BODY_INLINE_MAX; /* what may ride along uninvited */
    cs->came = 0;
    cs->body_err = 0;
    cs->got_n = 0;
    mw_buf_clear(&cs->held);
    cs->asking = 0;
    cs->may_abort = 1;
    cs->client_gone = 0;
    cs->flushes = 0;
    cs->looked_ms = 0;
    cs->ended = 0;
    __atomic_store_n(&cs->end_taken, 0, __ATOMIC_RELAXED);
    mw_board_busy(cs->board, cs->slot, 1);
    return 0;
}

/* This process may have no more descriptors, so the file of the body, which came with the request, is lost.
 * The child has it still, and can send the body in another way. */
static int refuse_file(struct mw_chan_sock *cs)
{
    mw_chan_end(&cs->chan, MW_END_NO_FILE);
    return cs->broken;
}

int mw_chan_sock_accept(struct mw_chan_sock *cs)
{
    struct mw_frame f;

    for (;;) {
        int rv = mw_link_recv_now(cs->link, &f);
        if (rv)
            return rv;
        if (f.type == MW_F_REQUEST) {
            rv = open_request(cs, &f);
            if (rv || !mw_link_has_dropped(cs->link))
                return rv;
            rv = refuse_file(cs);
        } else {
            rv = take(cs, &f); /* the rest of the last request, which nobody wanted */
            cs->got_n = 0;
            drop_file(cs);
        }
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
    drop_file(cs);
    mw_buf_clear(&cs->held);
    mw_buf_trim(&cs->held, 0);
    mw_link_trim(cs->link);
}
