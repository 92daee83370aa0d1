/*
 * Both ends of a connection in one program: corking, cutting, buffering, time limits, hostile
 * peers, and the number of system calls where it matters.
 */
#include "samples.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"
#include "link.h"
#include "log.h"

#define LIMIT_MS 5000

struct ends {
    struct mw_link a, b; /* a: like an httpd child, b: like a worker */
    unsigned open_before;
};

static int set_up(void **state)
{
    static struct ends e;
    int fd[2];

    e.open_before = sample_open_fds();
    if (mw_io_socketpair(SOCK_STREAM, fd))
        return -1;
    mw_link_init(&e.a, fd[0], LIMIT_MS);
    mw_link_init(&e.b, fd[1], LIMIT_MS);
    *state = &e;
    return 0;
}

static int tear_down(void **state)
{
    struct ends *e = *state;

    mw_link_fini(&e->a);
    mw_link_fini(&e->b);
    return sample_open_fds() == e->open_before ? 0 : -1;
}

static void say_hello(struct mw_link *l, uint32_t data_max)
{
    struct mw_hello h = {MW_WIRE_VERSION, 4711, 9, data_max};

    assert_int_equal(mw_link_put_hello(l, &h), 0);
}

/* Both have said hello, nothing is under way. */
static void greet(struct ends *e)
{
    struct mw_frame f;

    say_hello(&e->a, MW_FRAME_DATA_MAX);
    say_hello(&e->b, MW_FRAME_DATA_MAX);
    assert_int_equal(mw_link_flush(&e->a), 0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    assert_int_equal(mw_link_recv_now(&e->a, &f), MW_EAGAIN);
    assert_int_equal(mw_link_recv_now(&e->b, &f), MW_EAGAIN);
    assert_true(e->a.peer_known && e->b.peer_known);
}

static void expect(struct mw_link *l, unsigned type, const void *payload, size_t n)
{
    struct mw_frame f;

    assert_int_equal(mw_link_recv(l, &f), 0);
    assert_int_equal(f.type, type);
    assert_int_equal(f.n, n);
    assert_memory_equal(f.payload, payload, n);
}

static size_t bytes_waiting(int fd)
{
    int n = 0;

    assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
    return (size_t)n;
}

static void test_link_01_hello_is_kept_and_not_returned(void **state)
{
    struct ends *e = *state;

    say_hello(&e->a, 1234);
    assert_int_equal(mw_link_put(&e->a, MW_F_ABORT, NULL, 0), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    assert_false(e->b.peer_known);
    expect(&e->b, MW_F_ABORT, "", 0);
    assert_true(e->b.peer_known);
    assert_int_equal(e->b.peer.pid, 4711);
    assert_int_equal(e->b.peer.incarnation, 9);
    assert_int_equal(e->b.peer.data_max, 1234);
}

static void test_link_02_a_whole_exchange(void **state)
{
    struct ends *e = *state;

    greet(e);
    assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, "request", 7), 0);
    assert_int_equal(mw_link_put(&e->a, MW_F_BODY, "body", 4), 0);
    assert_int_equal(mw_link_put_u8(&e->a, MW_F_BODY_END, MW_BODY_CLEAN), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    expect(&e->b, MW_F_REQUEST, "request", 7);
    expect(&e->b, MW_F_BODY, "body", 4);
    expect(&e->b, MW_F_BODY_END, "", 1);
    const struct mw_want want = {1, 0x12345, 1};
    assert_int_equal(mw_link_put_want(&e->b, &want), 0);
    assert_int_equal(mw_link_put_log(&e->b, MW_MARK(MW_LOG_ERR), MW_STR("oops")), 0);
    assert_int_equal(mw_link_put(&e->b, MW_F_HEAD, "head", 4), 0);
    assert_int_equal(mw_link_send(&e->b, MW_F_DATA, "data", 4), 0);
    assert_int_equal(mw_link_put_u8(&e->b, MW_F_END, 0), 0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    expect(&e->a, MW_F_WANT, "\1\0\0\0\0\0\0\0\x45\x23\1\0\0\0\0\0\1", 17);
    expect(&e->a, MW_F_LOG, "\3\0\0\0\0\0\0\0\0\0oops", 14);
    expect(&e->a, MW_F_HEAD, "head", 4);
    expect(&e->a, MW_F_DATA, "data", 4);
    expect(&e->a, MW_F_END, "", 1);
}

static void test_link_03_corked_frames_leave_together(void **state)
{
    struct ends *e = *state;
    static const char data[10000];

    greet(e);
    assert_int_equal(mw_link_put(&e->b, MW_F_HEAD, "head", 4), 0);
    assert_int_equal(mw_link_put(&e->b, MW_F_DATA, data, sizeof data), 0);
    assert_int_equal(mw_link_put_u8(&e->b, MW_F_END, 0), 0);
    assert_int_equal(bytes_waiting(e->a.fd), 0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    size_t all = 3 * MW_FRAME_HDR + 4 + sizeof data + 1;
    assert_int_equal(bytes_waiting(e->a.fd), all);
    assert_int_equal(mw_link_flush(&e->b), 0);
    assert_int_equal(bytes_waiting(e->a.fd), all);

    /* And one read takes them all: the later frames come without the socket. */
    expect(&e->a, MW_F_HEAD, "head", 4);
    assert_int_equal(bytes_waiting(e->a.fd), 0);
    assert_true(mw_link_has_input(&e->a));
    expect(&e->a, MW_F_DATA, data, sizeof data);
    assert_true(mw_link_has_input(&e->a));
    expect(&e->a, MW_F_END, "", 1);
    assert_false(mw_link_has_input(&e->a));
}

static void test_link_04_a_request_with_an_inline_body_is_one_read(void **state)
{
    struct ends *e = *state;
    static const char block[8000], body[MW_BODY_INLINE_MAX];

    greet(e);
    assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, block, sizeof block), 0);
    assert_int_equal(mw_link_put(&e->a, MW_F_BODY, body, sizeof body), 0);
    assert_int_equal(mw_link_put_u8(&e->a, MW_F_BODY_END, 0), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    expect(&e->b, MW_F_REQUEST, block, sizeof block);
    assert_int_equal(bytes_waiting(e->b.fd), 0);
    expect(&e->b, MW_F_BODY, body, sizeof body);
    expect(&e->b, MW_F_BODY_END, "", 1);
}

static void test_link_05_put_sends_before_it_grows_too_far(void **state)
{
    struct ends *e = *state;
    static char data[20000];

    greet(e);
    for (int i = 0; i < 5; i++) {
        memset(data, 'a' + i, sizeof data);
        assert_int_equal(mw_link_put(&e->b, MW_F_DATA, data, sizeof data), 0);
        assert_true(mw_buf_size(&e->b.out) <= 64u << 10);
    }
    assert_true(bytes_waiting(e->a.fd) > 0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    for (int i = 0; i < 5; i++) {
        memset(data, 'a' + i, sizeof data);
        expect(&e->a, MW_F_DATA, data, sizeof data);
    }
}

static void test_link_06_what_is_put_goes_before_what_is_sent(void **state)
{
    struct ends *e = *state;

    greet(e);
    assert_int_equal(mw_link_put(&e->b, MW_F_HEAD, "h", 1), 0);
    assert_int_equal(mw_link_send(&e->b, MW_F_DATA, "d", 1), 0);
    assert_int_equal(bytes_waiting(e->a.fd), 2 * MW_FRAME_HDR + 2);
    expect(&e->a, MW_F_HEAD, "h", 1);
    expect(&e->a, MW_F_DATA, "d", 1);
}

struct drain {
    struct mw_link *link;
    unsigned type;
    size_t max, total, frames, largest;
    uint32_t sum;
    int rv;
};

static void *drain(void *arg)
{
    struct drain *d = arg;
    struct mw_frame f;

    while ((d->rv = mw_link_recv(d->link, &f)) == 0 && f.type == d->type) {
        for (uint32_t i = 0; i < f.n; i++)
            d->sum += (uint32_t)f.payload[i] * (uint32_t)(++d->total % 251);
        d->frames++;
        d->largest = f.n > d->largest ? f.n : d->largest;
    }
    return NULL;
}

/* Send n bytes as DATA to a peer that takes data_max at once, with put or send. */
static void stream(struct ends *e, size_t n, uint32_t data_max, int put)
{
    struct drain d = {.link = &e->a, .type = MW_F_DATA};
    uint8_t *bytes = malloc(n);
    struct mw_frame f;
    uint32_t seed = 5, sum = 0;
    pthread_t t;

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)sample_random(&seed);
        sum += (uint32_t)bytes[i] * (uint32_t)((i + 1) % 251);
    }
    say_hello(&e->b, 1);
    say_hello(&e->a, data_max);
    assert_int_equal(mw_link_flush(&e->a), 0);
    assert_int_equal(mw_link_recv_now(&e->b, &f), MW_EAGAIN);
    assert_int_equal(pthread_create(&t, NULL, drain, &d), 0);
    assert_int_equal((put ? mw_link_put : mw_link_send)(&e->b, MW_F_DATA, bytes, n), 0);
    assert_int_equal(mw_link_put_u8(&e->b, MW_F_END, 0), 0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    pthread_join(t, NULL);
    assert_int_equal(d.rv, 0);
    assert_int_equal(d.total, n);
    assert_int_equal(d.sum, sum);
    assert_int_equal(d.frames, (n + data_max - 1) / data_max);
    assert_int_equal(d.largest, n < data_max ? n : data_max);
    free(bytes);
}

static void test_link_07_long_data_is_cut_into_frames(void **state)
{
    stream(*state, 3000001, MW_FRAME_DATA_MAX, 0);
}

static void test_link_08_the_peers_limit_is_kept(void **state)
{
    stream(*state, 10007, 100, 0);
}

static void test_link_09_put_cuts_too(void **state)
{
    stream(*state, 200000, 1000, 1);
}

static void test_link_10_a_frame_of_exactly_the_limit(void **state)
{
    stream(*state, MW_FRAME_DATA_MAX, MW_FRAME_DATA_MAX, 1);
}

static void test_link_11_what_may_not_be_sent_does_not_kill_the_link(void **state)
{
    struct ends *e = *state;
    static const char big[MW_RSP_HEAD_MAX + 1];

    greet(e);
    assert_int_equal(mw_link_put(&e->a, 0, "", 0), MW_EINVAL);
    assert_int_equal(mw_link_put(&e->a, MW_F_FILE, "", 0), MW_EINVAL);
    assert_int_equal(mw_link_put(&e->a, MW_F_DATA, "", 0), MW_EINVAL);
    assert_int_equal(mw_link_send(&e->a, MW_F_DATA, "", 0), MW_EINVAL);
    assert_int_equal(mw_link_send(&e->a, MW_F_HEAD, big, sizeof big), MW_ELIMIT);
    assert_int_equal(mw_link_put(&e->a, MW_F_END, "ab", 2), MW_ELIMIT);
    assert_int_equal(mw_link_put_want(&e->a, &(struct mw_want){1, 1, 0}), MW_EINVAL);
    assert_int_equal(mw_link_put_want(&e->a, &(struct mw_want){0, MW_WANT_MAX + 1, 1}), MW_EINVAL);
    assert_int_equal(mw_link_put_want(&e->a, &(struct mw_want){0, MW_WANT_MAX, 0}), 0);
    assert_int_equal(mw_link_send(&e->a, MW_F_HEAD, big, 1000), 0);
    expect(&e->b, MW_F_WANT, "\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0", 17);
    expect(&e->b, MW_F_HEAD, big, 1000);
}

static void test_link_12_log_lines_are_cut_and_levels_bounded(void **state)
{
    struct ends *e = *state;
    static char text[MW_LINK_LOG_MAX + 2];
    static const int levels[][2] = {{-5, 2}, {0, 2}, {2, 2}, {8, 8}, {9, 8}, {1000, 8}};
    struct mw_frame f;
    struct mw_str back;
    struct mw_mark mark;

    greet(e);
    memset(text, 'l', sizeof text);
    for (size_t n = MW_LINK_LOG_MAX - 1; n <= MW_LINK_LOG_MAX + 1; n++) {
        assert_int_equal(mw_link_put_log(&e->b, MW_MARK(MW_LOG_ERR), (struct mw_str){text, n}), 0);
        assert_int_equal(mw_link_flush(&e->b), 0);
        assert_int_equal(mw_link_recv(&e->a, &f), 0);
        assert_int_equal(mw_logline_decode(&mark, &back, f.payload, f.n), 0);
        assert_int_equal(back.n, n > MW_LINK_LOG_MAX ? MW_LINK_LOG_MAX : n);
    }
    for (size_t i = 0; i < MW_ARRAY_LEN(levels); i++) {
        assert_int_equal(mw_link_put_log(&e->b, MW_MARK(levels[i][0]), MW_STR("")), 0);
        assert_int_equal(mw_link_flush(&e->b), 0);
        assert_int_equal(mw_link_recv(&e->a, &f), 0);
        assert_int_equal(mw_logline_decode(&mark, &back, f.payload, f.n), 0);
        assert_int_equal(mark.level, levels[i][1]);
        assert_int_equal(back.n, 0);
    }
    for (int i = 0; i < 4; i++) /* more than the write buffer holds */
        assert_int_equal(mw_link_put_log(&e->b, MW_MARK(MW_LOG_ERR), (struct mw_str){text, 30000}),
                         0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mw_link_recv(&e->a, &f), 0);
        assert_int_equal(f.n, 30010);
    }
}

static void test_link_13_the_end_of_the_peer(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;

    greet(e);
    assert_int_equal(mw_link_put_u8(&e->a, MW_F_BODY_END, 0), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    mw_io_close(&e->a.fd);
    expect(&e->b, MW_F_BODY_END, "", 1); /* what came before still counts */
    assert_int_equal(mw_link_recv(&e->b, &f), MW_ECLOSED);
    assert_int_equal(mw_link_recv_now(&e->b, &f), MW_ECLOSED);
    assert_int_equal(mw_link_put_u8(&e->b, MW_F_END, 0), MW_ECLOSED);
    assert_int_equal(mw_link_put_log(&e->b, MW_MARK(MW_LOG_ERR), MW_STR("x")), MW_ECLOSED);
    assert_int_equal(mw_link_send(&e->b, MW_F_DATA, "x", 1), MW_ECLOSED);
    assert_int_equal(mw_link_flush(&e->b), MW_ECLOSED);
}

static void test_link_14_a_frame_cut_by_the_end(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;
    uint8_t hdr[MW_FRAME_HDR];

    greet(e);
    mw_frame_header(hdr, MW_F_DATA, 100);
    for (int i = 0; i < 2; i++)
        assert_int_equal(write(e->b.fd, hdr, sizeof hdr), sizeof hdr);
    mw_io_close(&e->b.fd);
    assert_int_equal(mw_link_recv(&e->a, &f), MW_ECLOSED);
}

static void test_link_15_waits_are_limited(void **state)
{
    (void)state;
    static const char data[1 << 20];

    for (int sending = 0; sending < 2; sending++) {
        struct mw_link quick;
        struct mw_frame f;
        int fd[2];
        assert_int_equal(mw_io_socketpair(SOCK_STREAM, fd), 0);
        mw_link_init(&quick, fd[0], 40);
        uint64_t t0 = mw_clock_ms();
        if (sending)
            assert_int_equal(mw_link_send(&quick, MW_F_DATA, data, sizeof data), MW_ETIMEOUT);
        else
            assert_int_equal(mw_link_recv(&quick, &f), MW_ETIMEOUT);
        assert_true(mw_clock_ms() - t0 >= 40);
        mw_io_close(&fd[1]); /* what happens now is not looked at any more */
        assert_int_equal(mw_link_recv(&quick, &f), MW_ETIMEOUT);
        assert_int_equal(mw_link_flush(&quick), MW_ETIMEOUT);
        mw_link_fini(&quick);
    }
}

static void test_link_16_recv_now_does_not_wait(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;
    uint8_t hdr[MW_FRAME_HDR];

    greet(e);
    mw_frame_header(hdr, MW_F_WANT, MW_WANT_SIZE);
    for (size_t i = 0; i < sizeof hdr; i++) {
        assert_int_equal(write(e->b.fd, hdr + i, 1), 1);
        assert_int_equal(mw_link_recv_now(&e->a, &f), MW_EAGAIN);
        assert_true(mw_link_has_input(&e->a));
    }
    assert_int_equal(write(e->b.fd, "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 17), 17);
    assert_int_equal(mw_link_recv_now(&e->a, &f), 0);
    assert_int_equal(f.type, MW_F_WANT);
    assert_false(mw_link_has_input(&e->a));
    assert_int_equal(mw_link_recv_now(&e->a, &f), MW_EAGAIN);
}

/* What a hostile peer may send as its first or its next frame. */
static void test_link_17_hostile_frames(void **state)
{
    (void)state;
    static const struct {
        int greeted;
        const char *bytes;
        size_t n;
        int rv;
    } rows[] = {
        {0, "\0\0\0\0\7\0\0\0", 8, MW_EPROTO},     /* ABORT before HELLO */
        {0, "\1\0\0\0\x0d\0\0\0\0", 9, MW_EPROTO}, /* END before HELLO */
        {0, "\x14\0\0\0\1\0\0\0XSWI\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 28, MW_EPROTO}, /* magic */
        {0, "\x14\0\0\0\1\0\0\0MSWI\2\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 28, MW_EPROTO}, /* version */
        {0, "\x14\0\0\0\1\0\0\0MSWI\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 28, MW_EPROTO}, /* data_max */
        {0, "\x13\0\0\0\1\0\0\0", 8, MW_EPROTO}, /* short HELLO */
        {0, "\x14\0\0\0\4\0\0\0MSWI\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 28, MW_EPROTO}, /* BODY */
        {0, "GET / HTTP/1.0\r\n", 16, MW_EPROTO},
        {1, "\x14\0\0\0\1\0\0\0MSWI\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 28, MW_EPROTO}, /* again */
        {1, "\0\0\0\0\0\0\0\0", 8, MW_EPROTO},
        {1, "\0\0\0\0\x0a\0\0\0", 8, MW_EPROTO}, /* empty FILE */
        {1, "\x10\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24,
         MW_EPROTO},                                              /* FILE without a descriptor */
        {1, "\x08\0\0\0\6\0\0\0\1\0\0\0\0\0\0\0", 16, MW_EPROTO}, /* BODY_FILE so */
        {1, "\0\0\0\0\xff\0\0\0", 8, MW_EPROTO},
        {1, "\0\0\0\0\7\1\0\0", 8, MW_EPROTO}, /* flags */
        {1, "\0\0\0\0\7\0\0\1", 8, MW_EPROTO},
        {1, "\0\0\0\0\x09\0\0\0", 8, MW_EPROTO}, /* empty DATA */
        {1, "\1\0\1\0\x09\0\0\0", 8, MW_ELIMIT}, /* DATA of 65537 */
        {1, "\1\0\4\0\x08\0\0\0", 8, MW_ELIMIT}, /* HEAD over its limit */
        {1, "\1\0\0\1\2\0\0\0", 8, MW_ELIMIT},   /* REQUEST over its limit */
        {1, "\xff\xff\xff\xff\2\0\0\0", 8, MW_ELIMIT},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        void *s;
        struct mw_frame f;
        assert_int_equal(set_up(&s), 0);
        struct ends *e = s;
        if (rows[i].greeted)
            greet(e);
        assert_int_equal(write(e->a.fd, rows[i].bytes, rows[i].n), rows[i].n);
        assert_int_equal(mw_link_recv(&e->b, &f), rows[i].rv);
        assert_int_equal(mw_link_recv(&e->b, &f), rows[i].rv);
        assert_int_equal(mw_link_flush(&e->b), rows[i].rv);
        assert_int_equal(tear_down(&s), 0);
    }
}

static void test_link_18_memory_grows_with_what_comes_not_what_is_promised(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;
    uint8_t hdr[MW_FRAME_HDR];

    greet(e);
    mw_frame_header(hdr, MW_F_REQUEST, MW_REQ_BLOCK_MAX);
    assert_int_equal(write(e->a.fd, hdr, sizeof hdr), sizeof hdr);
    assert_int_equal(mw_link_recv_now(&e->b, &f), MW_EAGAIN);
    assert_true(e->b.in.cap <= 128u << 10);
}

static void test_link_19_the_largest_request(void **state)
{
    struct ends *e = *state;
    struct drain d = {.link = &e->b, .type = MW_F_REQUEST};
    uint8_t *block = malloc(MW_REQ_BLOCK_MAX);
    pthread_t t;

    assert_non_null(block);
    memset(block, 7, MW_REQ_BLOCK_MAX);
    greet(e);
    assert_int_equal(pthread_create(&t, NULL, drain, &d), 0);
    assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, block, MW_REQ_BLOCK_MAX), 0);
    assert_int_equal(mw_link_put(&e->a, MW_F_ABORT, NULL, 0), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    pthread_join(t, NULL);
    assert_int_equal(d.rv, 0);
    assert_int_equal(d.frames, 1);
    assert_int_equal(d.total, MW_REQ_BLOCK_MAX);
    assert_true(e->b.in.cap > 16u << 20);
    mw_link_trim(&e->b);
    assert_int_equal(e->b.in.cap, 0);
    assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, "again", 5), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    expect(&e->b, MW_F_REQUEST, "again", 5);
    free(block);
}

static void test_link_20_trim_keeps_what_has_come(void **state)
{
    struct ends *e = *state;
    static char big[100000];

    greet(e);
    assert_int_equal(mw_link_put(&e->a, MW_F_HEAD, big, sizeof big), 0);
    assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, "next", 4), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    expect(&e->b, MW_F_HEAD, big, sizeof big);
    mw_link_trim(&e->b);
    expect(&e->b, MW_F_REQUEST, "next", 4);
}

/* In steady state both buffers stay where they are: nothing is allocated per request. */
static void test_link_21_small_requests_reuse_their_buffers(void **state)
{
    struct ends *e = *state;
    const uint8_t *in = NULL, *out = NULL;
    static const char block[3000];

    greet(e);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, block, sizeof block), 0);
        if (out)
            assert_ptr_equal(e->a.out.p, out);
        out = e->a.out.p;
        assert_int_equal(mw_link_flush(&e->a), 0);
        expect(&e->b, MW_F_REQUEST, block, sizeof block);
        if (in)
            assert_ptr_equal(e->b.in.p, in);
        in = e->b.in.p;
        mw_link_trim(&e->a);
        mw_link_trim(&e->b);
    }
}

#define LINES 2000

static void *log_lines(void *arg)
{
    struct mw_link *l = arg;

    for (int i = 0; i < LINES; i++)
        if (mw_link_put_log(l, MW_MARK(MW_LOG_ERR), MW_STR("a line of another thread")) ||
            mw_link_flush(l))
            return l;
    return NULL;
}

static void *send_blocks(void *arg)
{
    struct mw_link *l = arg;
    char data[777];

    memset(data, 'd', sizeof data);
    for (int i = 0; i < LINES; i++)
        if (mw_link_send(l, MW_F_DATA, data, sizeof data))
            return l;
    return NULL;
}

static int is_all(const struct mw_frame *f, char c)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->payload[i] != (uint8_t)c)
            return 0;
    return 1;
}

static void test_link_22_threads_do_not_cut_each_others_frames(void **state)
{
    struct ends *e = *state;
    unsigned lines = 0, blocks = 0;
    pthread_t logger, sender;
    void *failed[2];
    struct mw_frame f;

    greet(e);
    assert_int_equal(pthread_create(&logger, NULL, log_lines, &e->b), 0);
    assert_int_equal(pthread_create(&sender, NULL, send_blocks, &e->b), 0);
    while (lines + blocks < 2 * LINES && mw_link_recv(&e->a, &f) == 0) {
        lines += f.type == MW_F_LOG && f.n == 34 && memcmp(f.payload + 10, "a line of", 9) == 0;
        blocks += f.type == MW_F_DATA && f.n == 777 && is_all(&f, 'd');
    }
    pthread_join(logger, &failed[0]);
    pthread_join(sender, &failed[1]);
    assert_null(failed[0]);
    assert_null(failed[1]);
    assert_int_equal(lines, LINES);
    assert_int_equal(blocks, LINES);
}

static void test_link_23_a_descriptor_that_is_no_socket(void **state)
{
    (void)state;
    struct mw_link l;
    struct mw_frame f;
    int fd[2];

    assert_int_equal(mw_io_pipe(fd), 0);
    mw_link_init(&l, fd[0], 1000);
    assert_int_equal(mw_link_recv(&l, &f), MW_EIO);
    assert_int_equal(mw_link_flush(&l), MW_EIO);
    mw_link_fini(&l);
    mw_link_init(&l, -1, 0);
    assert_int_equal(mw_link_recv(&l, &f), MW_EIO);
    mw_link_fini(&l);
    mw_io_close(&fd[1]);
}

/* A buffer that cannot grow, as when there is no memory: the link is dead, no half frame goes out. */
static void test_link_24_no_room_in_a_buffer(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;

    greet(e);
    mw_buf_fini(&e->a.out);
    mw_buf_init(&e->a.out, 8);
    assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, "r", 1), MW_ELIMIT);
    assert_int_equal(mw_link_flush(&e->a), MW_ELIMIT);
    assert_int_equal(bytes_waiting(e->b.fd), 0);
    mw_buf_fini(&e->b.out);
    mw_buf_init(&e->b.out, 8);
    assert_int_equal(mw_link_put_log(&e->b, MW_MARK(MW_LOG_ERR), MW_STR("l")), MW_ELIMIT);
    assert_int_equal(mw_link_recv(&e->b, &f), MW_ELIMIT);

    struct mw_link l;
    int fd[2];
    assert_int_equal(mw_io_socketpair(SOCK_STREAM, fd), 0);
    mw_link_init(&l, fd[0], LIMIT_MS);
    mw_buf_init(&l.in, 10);
    assert_int_equal(mw_link_recv(&l, &f), MW_ELIMIT);
    assert_int_equal(mw_link_put(&l, MW_F_REQUEST, "r", 1), MW_ELIMIT);
    mw_link_fini(&l);
    mw_io_close(&fd[1]);
}

#define ON(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* -- descriptors beside frames -- */

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void put_file(struct mw_link *l)
{
    assert_int_equal(mw_link_put_file(l, &(struct mw_file_part){7, 9}, open_null()), 0);
}

/* The next frame has a descriptor, which may be used. */
static void expect_fd(struct mw_link *l, unsigned type)
{
    struct mw_frame f;
    struct stat st;

    assert_int_equal(mw_link_recv(l, &f), 0);
    assert_int_equal(f.type, type);
    int fd = mw_link_take_fd(l);
    assert_int_equal(mw_link_take_fd(l), -1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

static void test_link_25_a_descriptor_goes_with_its_frame(void **state)
{
    struct ends *e = *state;

    greet(e);
    assert_int_equal(mw_link_put(&e->b, MW_F_HEAD, "head", 4), 0);
    put_file(&e->b);
    assert_int_equal(mw_link_put_u8(&e->b, MW_F_END, 0), 0);
    assert_int_equal(bytes_waiting(e->a.fd), 0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    assert_int_equal(bytes_waiting(e->a.fd), 3 * MW_FRAME_HDR + 4 + MW_FILE_SIZE + 1);
    expect(&e->a, MW_F_HEAD, "head", 4);
    assert_int_equal(bytes_waiting(e->a.fd), 0);
    expect_fd(&e->a, MW_F_FILE);
    expect(&e->a, MW_F_END, "", 1);
    assert_false(mw_link_has_input(&e->a));
}

static void test_link_26_one_descriptor_in_a_write(void **state)
{
    struct ends *e = *state;

    greet(e);
    put_file(&e->b);
    assert_int_equal(bytes_waiting(e->a.fd), 0);
    put_file(&e->b);
    assert_int_equal(bytes_waiting(e->a.fd), MW_FRAME_HDR + MW_FILE_SIZE);
    put_file(&e->b);
    assert_int_equal(mw_link_send(&e->b, MW_F_DATA, "data", 4), 0);
    expect_fd(&e->a, MW_F_FILE);
    expect_fd(&e->a, MW_F_FILE);
    expect_fd(&e->a, MW_F_FILE);
    expect(&e->a, MW_F_DATA, "data", 4);
}

static void test_link_27_a_body_file(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;
    int64_t length;

    greet(e);
    assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, "request", 7), 0);
    assert_int_equal(mw_link_put_body_file(&e->a, INT64_MAX, open_null()), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    expect(&e->b, MW_F_REQUEST, "request", 7);
    assert_int_equal(mw_link_recv(&e->b, &f), 0);
    assert_int_equal(mw_body_file_decode(&length, f.payload, f.n), 0);
    assert_true(length == INT64_MAX);
    assert_int_equal(mw_link_put_body_file(&e->a, 1, open_null()), 0);
    assert_int_equal(mw_link_flush(&e->a), 0);
    expect_fd(&e->b, MW_F_BODY_FILE); /* and the first, which nobody took, is closed */
}

/* The descriptor comes with the first byte, its frame may begin much later. */
static void test_link_28_frames_before_that_of_the_descriptor(void **state)
{
    struct ends *e = *state;
    static char data[MW_FD_LEAD_MAX - 2 * MW_FRAME_HDR - MW_FILE_SIZE];

    greet(e);
    assert_int_equal(mw_link_put(&e->b, MW_F_DATA, data, sizeof data), 0);
    put_file(&e->b); /* just fits */
    assert_int_equal(bytes_waiting(e->a.fd), 0);
    assert_int_equal(mw_link_flush(&e->b), 0);
    expect(&e->a, MW_F_DATA, data, sizeof data);
    expect_fd(&e->a, MW_F_FILE);

    assert_int_equal(mw_link_put(&e->b, MW_F_DATA, data, sizeof data), 0);
    assert_int_equal(mw_link_put_u8(&e->b, MW_F_END, 0), 0);
    assert_int_equal(bytes_waiting(e->a.fd), 0);
    put_file(&e->b); /* does not: a write of its own */
    assert_true(bytes_waiting(e->a.fd) > sizeof data);
    assert_int_equal(mw_link_flush(&e->b), 0);
    expect(&e->a, MW_F_DATA, data, sizeof data);
    expect(&e->a, MW_F_END, "", 1);
    expect_fd(&e->a, MW_F_FILE);
}

static void test_link_29_what_may_not_be_put(void **state)
{
    struct ends *e = *state;
    static const struct mw_file_part bad[] = {{-1, 1}, {0, 0}, {0, -1}, {2, INT64_MAX - 1}};

    greet(e);
    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++)
        assert_int_equal(mw_link_put_file(&e->b, &bad[i], open_null()), MW_EINVAL);
    assert_int_equal(mw_link_put_file(&e->b, &(struct mw_file_part){0, 1}, -1), MW_EINVAL);
    assert_int_equal(mw_link_put_body_file(&e->a, 0, open_null()), MW_EINVAL);
    assert_int_equal(mw_link_put_body_file(&e->a, -1, open_null()), MW_EINVAL);
    assert_int_equal(mw_link_put_body_file(&e->a, 1, -1), MW_EINVAL);
    static const char zero[MW_FILE_SIZE];
    assert_int_equal(mw_link_put(&e->b, MW_F_FILE, zero, MW_FILE_SIZE), MW_EINVAL);
    assert_int_equal(mw_link_send(&e->a, MW_F_BODY_FILE, zero, MW_BODY_FILE_SIZE), MW_EINVAL);
    shutdown(e->a.fd, SHUT_RDWR);
    put_file(&e->b);
    assert_int_equal(mw_link_flush(&e->b), MW_ECLOSED);
    assert_int_equal(mw_link_put_file(&e->b, &(struct mw_file_part){0, 1}, open_null()),
                     MW_ECLOSED);
}

/* Bytes as a hostile peer sends them, with this many descriptors. */
static void send_raw(int fd, const void *p, size_t n, unsigned nfds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } ctl = {.space = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    int null = open_null();
    int fds[4] = {null, null, null, null};

    if (nfds) {
        mh.msg_control = ctl.space;
        mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &mh, MSG_NOSIGNAL), n);
    close(null);
}

#define FILE_FRAME "\x10\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
#define DATA_FRAME "\1\0\0\0\x09\0\0\0x"

static void test_link_30_descriptors_without_a_frame(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;

    greet(e);
    send_raw(e->b.fd, DATA_FRAME, 9, 1);
    expect(&e->a, MW_F_DATA, "x", 1);
    assert_true(mw_link_has_input(&e->a)); /* which at END is an error of the caller's */
    send_raw(e->b.fd, DATA_FRAME, 9, 1);
    assert_int_equal(mw_link_recv(&e->a, &f), MW_EPROTO);
    assert_int_equal(mw_link_recv(&e->a, &f), MW_EPROTO);
}

static void test_link_31_two_descriptors_at_once(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;

    greet(e);
    send_raw(e->b.fd, FILE_FRAME FILE_FRAME, 48, 2);
    assert_int_equal(mw_link_recv(&e->a, &f), MW_EPROTO);
}

static void test_link_32_a_frame_takes_no_other_ones_descriptor(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;

    greet(e);
    send_raw(e->b.fd, FILE_FRAME FILE_FRAME, 48, 1);
    expect_fd(&e->a, MW_F_FILE);
    assert_int_equal(mw_link_recv(&e->a, &f), MW_EPROTO);
}

/* n bytes of frames between a descriptor and its own frame, which comes in a later read. */
static void lead(size_t n, int want)
{
    void *s;
    struct mw_frame f;
    static uint8_t bytes[MW_FD_LEAD_MAX + 1];

    assert_int_equal(set_up(&s), 0);
    struct ends *e = s;
    greet(e);
    mw_frame_header(bytes, MW_F_DATA, 1);
    bytes[8] = 'x';
    send_raw(e->b.fd, bytes, 9, 1);
    expect(&e->a, MW_F_DATA, "x", 1);
    mw_frame_header(bytes, MW_F_LOG, (uint32_t)(n - MW_FRAME_HDR));
    bytes[8] = 3;
    send_raw(e->b.fd, bytes, n, 0);
    send_raw(e->b.fd, FILE_FRAME, 24, 0);
    int rv = mw_link_recv(&e->a, &f);
    assert_int_equal(rv, want);
    if (rv == 0)
        expect_fd(&e->a, MW_F_FILE);
    assert_int_equal(tear_down(&s), 0);
}

static void test_link_33_the_frame_must_come_soon(void **state)
{
    (void)state;
    lead(MW_FD_LEAD_MAX - 1, 0);
    lead(MW_FD_LEAD_MAX, 0);
    lead(MW_FD_LEAD_MAX + 1, MW_EPROTO);
}

static void test_link_34_trim_closes_what_nobody_took(void **state)
{
    struct ends *e = *state;
    unsigned before;
    struct mw_frame f;

    greet(e);
    before = sample_open_fds();
    put_file(&e->b);
    assert_int_equal(mw_link_flush(&e->b), 0);
    assert_int_equal(mw_link_recv(&e->a, &f), 0);
    assert_int_equal(sample_open_fds(), before + 1);
    mw_link_trim(&e->a);
    assert_int_equal(sample_open_fds(), before);
}

/* The frame comes, and who takes its descriptor learns that it is lost. The link lives on. */
static void test_link_35_a_descriptor_that_is_dropped(void **state)
{
    struct ends *e = *state;
    struct mw_frame f;

    greet(e);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mw_link_put(&e->a, MW_F_REQUEST, "request", 7), 0);
        assert_int_equal(mw_link_put_body_file(&e->a, 9, open_null()), 0);
        assert_int_equal(mw_link_flush(&e->a), 0);
        struct rlimit old = sample_no_more_files();
        int rv = mw_link_recv(&e->b, &f);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(rv, 0);
        assert_int_equal(f.type, MW_F_REQUEST);
        assert_true(mw_link_has_dropped(&e->b));
        assert_true(mw_link_has_input(&e->b));
        assert_int_equal(mw_link_recv(&e->b, &f), 0);
        assert_int_equal(f.type, MW_F_BODY_FILE);
        assert_false(mw_link_has_dropped(&e->b));
        assert_int_equal(mw_link_take_fd(&e->b), MW_FD_DROPPED);
        assert_int_equal(mw_link_take_fd(&e->b), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(test_link_01_hello_is_kept_and_not_returned),
        ON(test_link_02_a_whole_exchange),
        ON(test_link_03_corked_frames_leave_together),
        ON(test_link_04_a_request_with_an_inline_body_is_one_read),
        ON(test_link_05_put_sends_before_it_grows_too_far),
        ON(test_link_06_what_is_put_goes_before_what_is_sent),
        ON(test_link_07_long_data_is_cut_into_frames),
        ON(test_link_08_the_peers_limit_is_kept),
        ON(test_link_09_put_cuts_too),
        ON(test_link_10_a_frame_of_exactly_the_limit),
        ON(test_link_11_what_may_not_be_sent_does_not_kill_the_link),
        ON(test_link_12_log_lines_are_cut_and_levels_bounded),
        ON(test_link_13_the_end_of_the_peer),
        ON(test_link_14_a_frame_cut_by_the_end),
        cmocka_unit_test(test_link_15_waits_are_limited),
        ON(test_link_16_recv_now_does_not_wait),
        cmocka_unit_test(test_link_17_hostile_frames),
        ON(test_link_18_memory_grows_with_what_comes_not_what_is_promised),
        ON(test_link_19_the_largest_request),
        ON(test_link_20_trim_keeps_what_has_come),
        ON(test_link_21_small_requests_reuse_their_buffers),
        ON(test_link_22_threads_do_not_cut_each_others_frames),
        cmocka_unit_test(test_link_23_a_descriptor_that_is_no_socket),
        ON(test_link_24_no_room_in_a_buffer),
        ON(test_link_25_a_descriptor_goes_with_its_frame),
        ON(test_link_26_one_descriptor_in_a_write),
        ON(test_link_27_a_body_file),
        ON(test_link_28_frames_before_that_of_the_descriptor),
        ON(test_link_29_what_may_not_be_put),
        ON(test_link_30_descriptors_without_a_frame),
        ON(test_link_31_two_descriptors_at_once),
        ON(test_link_32_a_frame_takes_no_other_ones_descriptor),
        cmocka_unit_test(test_link_33_the_frame_must_come_soon),
        ON(test_link_34_trim_closes_what_nobody_took),
        ON(test_link_35_a_descriptor_that_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
