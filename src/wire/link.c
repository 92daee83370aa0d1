/*
 * link.c: frames over a stream socket. The receiver owns `in`, `last`, `peer`; senders share `out`
 * and the socket's sending side under send_lock. Waits are the socket's own (SO_RCVTIMEO,
 * SO_SNDTIMEO), so a frame costs no poll; what one recv(2) brought is given out frame by frame
 * without another.
 *
 * In steady state nothing is allocated: both buffers keep the size that small requests need.
 */
#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#include "clock.h"
#include "io.h"
#include "log.h"

/* In: a request with its inline body, or head, data and end, in one read. Kept between requests: room
 * for a full DATA frame, so that streaming does not allocate. Out: bytes put before they are sent
 * unasked. */
#define IN_CAP (MW_FRAME_HDR + (32u << 10))
#define KEEP_CAP (2 * IN_CAP)
#define CORK_MAX (64u << 10)
#define CUT_WAIT_MS 20 /* for a thread that is sending */
#define PIECES 8       /* frames of a long payload in one system call */

_Static_assert(CORK_MAX <= MW_FD_LEAD_MAX, "what goes in front of a frame with a descriptor");
_Static_assert(MW_BODY_INLINE_MAX + MW_FRAME_HDR * 3 < IN_CAP, "inline body in one read");
_Static_assert(MW_FRAME_DATA_MAX + MW_FRAME_HDR <= KEEP_CAP, "streaming does not allocate");

/* -- failure -- */

/* Keep the first failure; returns the one that is kept. */
static int fail(struct mw_link *l, int err)
{
    int none = 0;

    if (__atomic_compare_exchange_n(&l->err, &none, err, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return err;
    return none;
}

static int failed(const struct mw_link *l)
{
    return __atomic_load_n(&l->err, __ATOMIC_RELAXED);
}

/* -- life -- */

void mw_link_init(struct mw_link *l, int fd, int64_t timeout_ms)
{
    struct timeval tv = {.tv_sec = (time_t)(timeout_ms / 1000),
                         .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};

    memset(l, 0, sizeof *l);
    l->fd = fd;
    l->given_fd = l->frame_fd = l->pass_fd = -1;
    l->timeout_ms = timeout_ms;
    mw_buf_init(&l->in, MW_FRAME_HDR + MW_FRAME_PAYLOAD_MAX);
    mw_buf_init(&l->out, CORK_MAX);
    pthread_mutex_init(&l->send_lock, NULL);
    if (timeout_ms > 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) < 0 ||
                           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) < 0))
        fail(l, MW_EIO);
}

void mw_link_fini(struct mw_link *l)
{
    mw_io_close(&l->fd);
    mw_io_close_given(&l->given_fd);
    mw_io_close_given(&l->frame_fd);
    mw_io_close(&l->pass_fd);
    mw_buf_fini(&l->in);
    mw_buf_fini(&l->out);
    pthread_mutex_destroy(&l->send_lock);
}

/* -- send; everything _locked needs send_lock -- */

/* Send what was put and then the iovecs behind iov[0], which is kept free for it. */
static int send_locked(struct mw_link *l, struct iovec *iov, int n)
{
    union {
        const uint8_t *bytes;
        void *base; /* iovec has no const form */
    } put = {.bytes = mw_buf_data(&l->out)};

    iov[0].iov_base = put.base;
    iov[0].iov_len = mw_buf_size(&l->out);
    int rv = mw_io_send_all_fd(l->fd, iov, n, MW_NO_DEADLINE, l->pass_fd);
    mw_io_close(&l->pass_fd);
    mw_buf_clear(&l->out);
    return rv ? fail(l, rv) : 0;
}

static int flush_locked(struct mw_link *l)
{
    struct iovec iov[1];

    if (failed(l))
        return failed(l);
    return mw_buf_size(&l->out) == 0 ? 0 : send_locked(l, iov, 1);
}

/* The largest frame the peer takes. Only the thread that receives sends BODY or DATA, so peer
 * may be read; before HELLO has come the limit is the protocol's. */
static size_t piece_max(const struct mw_link *l, unsigned type)
{
    if (type != MW_F_BODY && type != MW_F_DATA)
        return SIZE_MAX;
    return l->peer_known ? l->peer.data_max : MW_FRAME_DATA_MAX;
}

/* Put one whole frame; the caller has checked that it fits. */
static int append_locked(struct mw_link *l, unsigned type, const void *payload, size_t n)
{
    uint8_t *to = mw_buf_reserve(&l->out, MW_FRAME_HDR + n);

    if (!to)
        return fail(l, l->out.err);
    mw_frame_header(to, type, (uint32_t)n);
    if (n)
        memcpy(to + MW_FRAME_HDR, payload, n);
    mw_buf_commit(&l->out, MW_FRAME_HDR + n);
    return 0;
}

/* Send what was put and then the payload, uncopied, in as many frames as it takes. */
static int send_frames_locked(struct mw_link *l, unsigned type, const uint8_t *p, size_t n)
{
    uint8_t hdr[PIECES][MW_FRAME_HDR];
    struct iovec iov[1 + 2 * PIECES];
    size_t max = piece_max(l, type);
    int rv;

    do {
        int k = 0;
        int used = 1;
        do {
            size_t piece = n < max ? n : max;
            union {
                const uint8_t *bytes;
                void *base;
            } from = {.bytes = p};
            mw_frame_header(hdr[k], type, (uint32_t)piece);
            iov[used++] = (struct iovec){hdr[k++], MW_FRAME_HDR};
            if (piece)
                iov[used++] = (struct iovec){from.base, piece};
            p = piece ? p + piece : p;
            n -= piece;
        } while (n > 0 && k < PIECES);
        rv = send_locked(l, iov, used);
    } while (rv == 0 && n > 0);
    return rv;
}

/* Before anything is put: the link lives and the frame may be sent. */
static int check_frame(const struct mw_link *l, unsigned type, size_t n)
{
    int rv = failed(l);

    if (rv)
        return rv;
    size_t max = piece_max(l, type);
    rv = mw_frame_has_fd(type) ? MW_EINVAL : mw_frame_check(type, n < max ? n : max);
    return rv == MW_EPROTO ? MW_EINVAL : rv;
}

int mw_link_put(struct mw_link *l, unsigned type, const void *payload, size_t n)
{
    pthread_mutex_lock(&l->send_lock);
    int rv = check_frame(l, type, n);
    if (rv)
        goto out;
    size_t room = CORK_MAX - mw_buf_size(&l->out);
    if (n <= piece_max(l, type) && n < room && MW_FRAME_HDR <= room - n)
        rv = append_locked(l, type, payload, n);
    else
        rv = send_frames_locked(l, type, payload, n);
out:
    pthread_mutex_unlock(&l->send_lock);
    return rv;
}

int mw_link_put_u8(struct mw_link *l, unsigned type, uint8_t v)
{
    return mw_link_put(l, type, &v, 1);
}

int mw_link_put_want(struct mw_link *l, const struct mw_want *w)
{
    uint8_t bytes[MW_WANT_SIZE];
    struct mw_want back;

    mw_want_encode(bytes, w);
    if (mw_want_decode(&back, bytes, sizeof bytes))
        return MW_EINVAL;
    return mw_link_put(l, MW_F_WANT, bytes, sizeof bytes);
}

int mw_link_put_hello(struct mw_link *l, const struct mw_hello *h)
{
    uint8_t bytes[MW_HELLO_SIZE];

    mw_hello_encode(bytes, h);
    return mw_link_put(l, MW_F_HELLO, bytes, sizeof bytes);
}

/* Its parts lie apart, so this one frame is built here. */
int mw_link_put_log(struct mw_link *l, const struct mw_mark *mark, struct mw_str text)
{
    int level = mark->level;
    size_t n;
    int rv;

    level = level < MW_LOG_CRIT ? MW_LOG_CRIT : level > MW_LOG_TRACE1 ? MW_LOG_TRACE1 : level;
    if (text.n > MW_LINK_LOG_MAX)
        text.n = MW_LINK_LOG_MAX;
    n = 1 + 4 + (4 + mark->file.n + 1) + text.n;
    pthread_mutex_lock(&l->send_lock);
    rv = failed(l);
    if (rv == 0 && MW_FRAME_HDR + n > CORK_MAX - mw_buf_size(&l->out))
        rv = flush_locked(l);
    if (rv)
        goto out;
    uint8_t *to = mw_buf_reserve(&l->out, MW_FRAME_HDR + n);
    if (!to) {
        rv = fail(l, l->out.err);
        goto out;
    }
    mw_frame_header(to, MW_F_LOG, (uint32_t)n);
    mw_buf_commit(&l->out, MW_FRAME_HDR);
    mw_buf_u8(&l->out, (uint8_t)level);
    mw_buf_u32(&l->out, mark->number);
    mw_buf_str(&l->out, mark->file);
    mw_buf_bytes(&l->out, text.p, text.n);
out:
    pthread_mutex_unlock(&l->send_lock);
    return rv;
}

/* One descriptor at most goes with a write. */
static int put_fd(struct mw_link *l, unsigned type, const uint8_t *payload, size_t n, int fd)
{
    int rv;

    pthread_mutex_lock(&l->send_lock);
    rv = failed(l);
    if (rv == 0 && (l->pass_fd >= 0 || MW_FRAME_HDR + n > CORK_MAX - mw_buf_size(&l->out)))
        rv = flush_locked(l);
    if (rv == 0)
        rv = append_locked(l, type, payload, n);
    if (rv == 0) {
        l->pass_fd = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&l->send_lock);
    mw_io_close(&fd);
    return rv;
}

int mw_link_put_file(struct mw_link *l, const struct mw_file_part *f, int fd)
{
    uint8_t bytes[MW_FILE_SIZE];
    struct mw_file_part back;

    mw_file_encode(bytes, f);
    if (fd < 0 || mw_file_decode(&back, bytes, sizeof bytes)) {
        mw_io_close(&fd);
        return MW_EINVAL;
    }
    return put_fd(l, MW_F_FILE, bytes, sizeof bytes, fd);
}

int mw_link_put_body_file(struct mw_link *l, int64_t length, int fd)
{
    uint8_t bytes[MW_BODY_FILE_SIZE];

    mw_body_file_encode(bytes, length);
    if (fd < 0 || length < 1) {
        mw_io_close(&fd);
        return MW_EINVAL;
    }
    return put_fd(l, MW_F_BODY_FILE, bytes, sizeof bytes, fd);
}

int mw_link_flush(struct mw_link *l)
{
    pthread_mutex_lock(&l->send_lock);
    int rv = flush_locked(l);
    pthread_mutex_unlock(&l->send_lock);
    return rv;
}

int mw_link_send(struct mw_link *l, unsigned type, const void *payload, size_t n)
{
    pthread_mutex_lock(&l->send_lock);
    int rv = check_frame(l, type, n);
    if (rv == 0)
        rv = send_frames_locked(l, type, payload, n);
    pthread_mutex_unlock(&l->send_lock);
    return rv;
}

/* Who holds it longer waits for the peer, within a frame. */
static int lock_soon(pthread_mutex_t *lock)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += CUT_WAIT_MS * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return pthread_mutex_timedlock(lock, &until) == 0;
}

/* Without the lock nothing can be said any more. */
void mw_link_cut(struct mw_link *l, unsigned type, uint8_t v)
{
    uint8_t frame[MW_FRAME_HDR + 1];
    struct iovec iov = {frame, sizeof frame};

    if (lock_soon(&l->send_lock)) {
        if (!failed(l)) {
            mw_buf_clear(&l->out);
            mw_frame_header(frame, type, 1);
            frame[MW_FRAME_HDR] = v;
            (void)!mw_io_send_all(l->fd, &iov, 1, 0);
        }
        fail(l, MW_ECLOSED);
        pthread_mutex_unlock(&l->send_lock);
    }
    shutdown(l->fd, SHUT_RDWR);
}

/* -- receive -- */

/* A descriptor came, or was dropped. It belongs to a frame that is here or begins in the same write. */
static int give(struct mw_link *l, int fd)
{
    if (l->given_fd != -1) {
        mw_io_close_given(&fd);
        return MW_EPROTO;
    }
    l->given_fd = fd;
    l->given_left = mw_buf_size(&l->in) + MW_FD_LEAD_MAX;
    return 0;
}

/* The next frame takes the descriptor that came for it, or lets it pass. */
static int claim(struct mw_link *l, const struct mw_frame *f)
{
    int waits = l->given_fd != -1;

    if (mw_frame_has_fd(f->type)) {
        l->frame_fd = l->given_fd;
        l->given_fd = -1;
        return waits ? 0 : MW_EPROTO;
    }
    if (waits && l->last > l->given_left)
        return MW_EPROTO;
    l->given_left -= waits ? l->last : 0;
    return 0;
}

/* Read at least one byte more. Room grows with what has come, not with what a header promises. */
static int fill(struct mw_link *l, size_t need, int wait)
{
    size_t have = mw_buf_size(&l->in);
    size_t want = have < IN_CAP / 2 ? IN_CAP : 2 * have;

    if (want > need)
        want = need > IN_CAP ? need : IN_CAP;
    uint8_t *to = mw_buf_reserve(&l->in, want - have);
    if (!to)
        return l->in.err;
    size_t room = l->in.cap - l->in.len;
    int fd;
    ssize_t n = wait ? mw_io_recv_fd(l->fd, to, room, MW_NO_DEADLINE, &fd)
                     : mw_io_recv_fd_now(l->fd, to, room, &fd);
    if (n < 0)
        return (int)n;
    mw_buf_commit(&l->in, (size_t)n);
    return fd == -1 ? 0 : give(l, fd);
}

/* The peer's HELLO must come first and once. Returns 1 if the frame was it. */
static int take_hello(struct mw_link *l, const struct mw_frame *f)
{
    if ((f->type == MW_F_HELLO) == l->peer_known)
        return MW_EPROTO;
    if (l->peer_known)
        return 0;
    int rv = mw_hello_decode(&l->peer, f->payload, f->n);
    if (rv)
        return rv;
    l->peer_known = 1;
    return 1;
}

static int receive(struct mw_link *l, struct mw_frame *out, int wait)
{
    size_t need = 0;
    int rv = failed(l);

    mw_io_close_given(&l->frame_fd);
    while (rv == 0) {
        mw_buf_consume(&l->in, l->last);
        l->last = 0;
        int64_t used = mw_frame_parse(mw_buf_data(&l->in), mw_buf_size(&l->in), out, &need);
        if (used > 0) {
            l->last = (size_t)used;
            rv = claim(l, out);
            if (rv == 0)
                rv = take_hello(l, out);
            if (rv == 0)
                return 0;
            rv = rv == 1 ? 0 : rv;
        } else {
            rv = used < 0 ? (int)used : fill(l, need, wait);
        }
    }
    return rv == MW_EAGAIN ? rv : fail(l, rv);
}

int mw_link_recv(struct mw_link *l, struct mw_frame *out)
{
    return receive(l, out, 1);
}

int mw_link_recv_now(struct mw_link *l, struct mw_frame *out)
{
    return receive(l, out, 0);
}

int mw_link_take_fd(struct mw_link *l)
{
    int fd = l->frame_fd;

    l->frame_fd = -1;
    return fd;
}

int mw_link_has_input(const struct mw_link *l)
{
    return mw_buf_size(&l->in) > l->last || l->given_fd != -1;
}

int mw_link_has_dropped(const struct mw_link *l)
{
    return l->given_fd == MW_FD_DROPPED;
}

void mw_link_trim(struct mw_link *l)
{
    mw_io_close_given(&l->frame_fd);
    mw_buf_consume(&l->in, l->last);
    l->last = 0;
    mw_buf_trim(&l->in, KEEP_CAP);
    pthread_mutex_lock(&l->send_lock);
    mw_buf_trim(&l->out, CORK_MAX);
    pthread_mutex_unlock(&l->send_lock);
}
