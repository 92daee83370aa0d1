/*
 * intake.c: one epoll for all connections, each registered once, edge-triggered: a request costs no
 * epoll_ctl. Which thread has a connection is said by its own word:
 *
 *   IDLE --next--> OWNED --put_back--> IDLE
 *                  OWNED --next, by another thread--> AGAIN --put_back--> OWNED
 *
 * Bytes that come make the kernel report the connection to one thread. If it has an owner, that thread
 * only leaves a mark, and the owner, who cannot know whether it has seen these bytes, looks again before
 * it puts the connection back. So either the owner finds the mark, or the thread finds no owner: nothing
 * that has come is left lying.
 *
 * A mark is left by a thread that had nothing to do, so looking again starves nobody.
 *
 * The memory of a connection is used again, but not freed: a thread may have got its address from the
 * kernel just before its owner dropped it. What that thread finds in it is a word like any other.
 */
#include "intake.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "clock.h"
#include "io.h"

enum { FREE, IDLE, OWNED, AGAIN };

#define EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define QUIET EPOLLET /* the kernel still reports that the other side is gone */

int mw_intake_init(struct mw_intake *in)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    int p[2];
    int rv = mw_io_pipe(p);

    *in = (struct mw_intake){.epoll_fd = -1, .stop_r = p[0], .stop_w = p[1]};
    pthread_mutex_init(&in->lock, NULL);
    mw_bodies_init(&in->bodies);
    if (rv)
        return rv;
    in->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (in->epoll_fd < 0 || epoll_ctl(in->epoll_fd, EPOLL_CTL_ADD, in->stop_r, &ev)) {
        mw_intake_fini(in);
        return MW_EIO;
    }
    return 0;
}

void mw_intake_fini(struct mw_intake *in)
{
    while (in->spare) {
        struct mw_conn *c = in->spare;
        in->spare = c->next;
        free(c);
    }
    mw_bodies_fini(&in->bodies);
    pthread_mutex_destroy(&in->lock);
    mw_io_close(&in->epoll_fd);
    mw_io_close(&in->stop_r);
    mw_io_close(&in->stop_w);
}

/* -- memory -- */

/* Free, or NULL. */
static struct mw_conn *conn_get(struct mw_intake *in)
{
    pthread_mutex_lock(&in->lock);
    struct mw_conn *c = in->spare;
    if (c)
        in->spare = c->next;
    pthread_mutex_unlock(&in->lock);
    return c ? c : calloc(1, sizeof *c);
}

static void conn_put(struct mw_intake *in, struct mw_conn *c)
{
    __atomic_store_n(&c->state, FREE, __ATOMIC_RELAXED);
    pthread_mutex_lock(&in->lock);
    c->next = in->spare;
    in->spare = c;
    pthread_mutex_unlock(&in->lock);
}

/* -- ownership -- */

/* The kernel has reported c. 1: it is the caller's. */
static int own(struct mw_conn *c)
{
    unsigned s = __atomic_load_n(&c->state, __ATOMIC_RELAXED);

    for (;;) {
        unsigned next = s == IDLE ? OWNED : AGAIN;
        if (s == FREE || s == AGAIN)
            return 0;
        if (__atomic_compare_exchange_n(&c->state, &s, next, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return next == OWNED;
    }
}

/* 0: something may have come, and c stays the caller's. */
static int release(struct mw_conn *c)
{
    unsigned s = OWNED;

    if (__atomic_compare_exchange_n(&c->state, &s, IDLE, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        return 1;
    __atomic_store_n(&c->state, OWNED, __ATOMIC_RELAXED);
    return 0;
}

/* By the owner alone, so that the descriptor is still this connection's. */
static int watch(struct mw_intake *in, struct mw_conn *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    return epoll_ctl(in->epoll_fd, op, c->link.fd, &ev) ? MW_EIO : 0;
}

/* -- connections -- */

/* Sent at once, once for many requests: a child that has not got it when this process dies knows that its
 * request was not read. A new connection has room for it; one that has not is not waited for. */
static int greet(int fd, const struct mw_hello *hello)
{
    uint8_t bytes[MW_FRAME_HDR + MW_HELLO_SIZE];
    struct iovec iov = {bytes, sizeof bytes};

    mw_frame_header(bytes, MW_F_HELLO, MW_HELLO_SIZE);
    mw_hello_encode(bytes + MW_FRAME_HDR, hello);
    return mw_io_send_all(fd, &iov, 1, mw_clock_ms());
}

/* A process that the application forked may hold a copy of the connection: closing ours is not enough for
 * the child to see the end. */
static void destroy(struct mw_intake *in, struct mw_conn *c)
{
    shutdown(c->link.fd, SHUT_RDWR);
    mw_chan_sock_fini(&c->sock);
    mw_link_fini(&c->link);
    conn_put(in, c);
    __atomic_sub_fetch(&in->conns, 1, __ATOMIC_RELAXED);
}

/* What comes before the release is reported anew, by being watched anew: this thread serves nobody. */
static int add(struct mw_intake *in, struct mw_conn *c)
{
    int rv = watch(in, c, EPOLL_CTL_ADD, EVENTS);

    while (rv == 0 && !release(c))
        rv = watch(in, c, EPOLL_CTL_MOD, EVENTS);
    return rv;
}

int mw_intake_add(struct mw_intake *in, int fd, int64_t timeout_ms, struct mw_board *board,
                  unsigned slot, const struct mw_hello *hello)
{
    struct mw_conn *c = NULL;
    int rv = mw_io_is_local_stream(fd) ? 0 : MW_EINVAL;

    if (rv == 0 && mw_intake_conns(in) >= MW_INTAKE_CONNS_MAX)
        rv = MW_ELIMIT;
    if (rv == 0)
        rv = mw_io_nonblock(fd, 0); /* the link waits in its calls */
    if (rv == 0)
        rv = greet(fd, hello);
    if (rv == 0 && !(c = conn_get(in)))
        rv = MW_ENOMEM;
    if (rv) {
        mw_io_close(&fd);
        return rv;
    }
    c->quiet = 0;
    mw_link_init(&c->link, fd, timeout_ms);
    mw_chan_sock_init(&c->sock, &c->link, board, slot, &in->bodies);
    __atomic_add_fetch(&in->conns, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&c->state, OWNED, __ATOMIC_RELEASE);
    rv = add(in, c);
    if (rv)
        mw_intake_drop(in, c);
    return rv;
}

int mw_intake_next(struct mw_intake *in, struct mw_conn **out)
{
    struct epoll_event ev;

    for (;;) {
        int n = epoll_wait(in->epoll_fd, &ev, 1, -1);
        if (n < 0 && errno != EINTR)
            return MW_EIO;
        if (n <= 0)
            continue;
        *out = ev.data.ptr;
        if (!*out)
            return MW_ECLOSED;
        if (own(*out))
            return 0;
    }
}

void mw_intake_quiet(struct mw_intake *in, struct mw_conn *c)
{
    c->quiet = watch(in, c, EPOLL_CTL_MOD, QUIET) == 0; /* if not, threads wake up for nothing */
}

int mw_intake_put_back(struct mw_intake *in, struct mw_conn *c)
{
    if (c->quiet && watch(in, c, EPOLL_CTL_MOD, EVENTS)) {
        mw_intake_drop(in, c);
        return 0;
    }
    c->quiet = 0;
    return !release(c);
}

void mw_intake_drop(struct mw_intake *in, struct mw_conn *c)
{
    (void)epoll_ctl(in->epoll_fd, EPOLL_CTL_DEL, c->link.fd, NULL); /* the peer may hold a copy */
    destroy(in, c);
}

void mw_intake_stop(struct mw_intake *in)
{
    mw_io_close(&in->stop_w);
}

unsigned mw_intake_conns(const struct mw_intake *in)
{
    return __atomic_load_n(&in->conns, __ATOMIC_RELAXED);
}
