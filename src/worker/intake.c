/*
 * intake.c: one epoll for all connections. Each is armed for one event (EPOLLONESHOT), so that exactly
 * one thread has it.
 */
#include "intake.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "clock.h"
#include "io.h"

#ifdef __SANITIZE_THREAD__
/* A connection is another thread's as soon as the kernel has armed it, which may be before epoll_ctl has
 * returned. The sanitizer takes the rest of that call for a use of the descriptor. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:mw_intake_put_back";
}
#endif

#define EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLONESHOT)

int mw_intake_init(struct mw_intake *in)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    int p[2];
    int rv = mw_io_pipe(p);

    *in = (struct mw_intake){.epoll_fd = -1, .stop_r = p[0], .stop_w = p[1]};
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
    mw_io_close(&in->epoll_fd);
    mw_io_close(&in->stop_r);
    mw_io_close(&in->stop_w);
}

/* A process that the application forked may hold a copy of the connection: closing ours is not enough for
 * the child to see the end. */
static void destroy(struct mw_conn *c)
{
    shutdown(c->link.fd, SHUT_RDWR);
    mw_chan_sock_fini(&c->sock);
    mw_link_fini(&c->link);
    free(c);
}

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

int mw_intake_add(struct mw_intake *in, int fd, int64_t timeout_ms, struct mw_board *board,
                  unsigned slot, const struct mw_hello *hello)
{
    struct epoll_event ev = {.events = EVENTS};
    struct mw_conn *c = NULL;
    int rv = mw_io_is_local_stream(fd) ? 0 : MW_EINVAL;

    if (rv == 0 && mw_intake_conns(in) >= MW_INTAKE_CONNS_MAX)
        rv = MW_ELIMIT;
    if (rv == 0)
        rv = mw_io_nonblock(fd, 0); /* the link waits in its calls */
    if (rv == 0 && !(c = malloc(sizeof *c)))
        rv = MW_ENOMEM;
    if (rv == 0)
        rv = greet(fd, hello);
    if (rv) {
        free(c);
        mw_io_close(&fd);
        return rv;
    }
    c->turns = 0;
    mw_link_init(&c->link, fd, timeout_ms);
    mw_chan_sock_init(&c->sock, &c->link, board, slot);
    ev.data.ptr = c;
    __atomic_add_fetch(&in->conns, 1, __ATOMIC_RELAXED);
    if (epoll_ctl(in->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
        return 0;
    __atomic_sub_fetch(&in->conns, 1, __ATOMIC_RELAXED);
    destroy(c);
    return MW_EIO;
}

int mw_intake_next(struct mw_intake *in, struct mw_conn **out)
{
    struct epoll_event ev;

    for (;;) {
        int n = epoll_wait(in->epoll_fd, &ev, 1, -1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return MW_EIO;
        if (n == 0)
            continue;
        *out = ev.data.ptr;
        if (!*out)
            return MW_ECLOSED;
        (void)__atomic_load_n(&(*out)->turns, __ATOMIC_ACQUIRE);
        return 0;
    }
}

void mw_intake_put_back(struct mw_intake *in, struct mw_conn *c)
{
    struct epoll_event ev = {.events = EVENTS, .data.ptr = c};
    int fd = c->link.fd;

    __atomic_store_n(&c->turns, c->turns + 1, __ATOMIC_RELEASE);
    /* Unless it fails, c may be another thread's, or freed, before this returns. */
    if (epoll_ctl(in->epoll_fd, EPOLL_CTL_MOD, fd, &ev))
        mw_intake_drop(in, c);
}

void mw_intake_drop(struct mw_intake *in, struct mw_conn *c)
{
    (void)epoll_ctl(in->epoll_fd, EPOLL_CTL_DEL, c->link.fd, NULL); /* the peer may hold a copy */
    destroy(c);
    __atomic_sub_fetch(&in->conns, 1, __ATOMIC_RELAXED);
}

void mw_intake_stop(struct mw_intake *in)
{
    mw_io_close(&in->stop_w);
}

unsigned mw_intake_conns(const struct mw_intake *in)
{
    return __atomic_load_n(&in->conns, __ATOMIC_RELAXED);
}
