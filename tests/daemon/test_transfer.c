/*
 * test_transfer.c: bodies as files, credit, and descriptors beside frames, between a worker and a child
 * that is honest or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ask.h"
#include "clock.h"
#include "io.h"
#include "memfile.h"

#define MIB (1u << 20)

static void begin(struct talk *t)
{
    talk_begin(t, fake());
    assert_int_equal(mw_link_flush(&t->l), 0);
}

/* Put, not sent. */
static void put_request(struct talk *t, const char *callable, size_t body_n)
{
    rig_put(&t->l,
            &(struct ask){.callable = callable, .body = body_n ? "" : NULL, .body_n = body_n});
}

/* A file of n bytes, byte i being i * 7 mod 256. */
static int file_of(size_t n)
{
    int fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char *bytes = malloc(n + 1);

    assert_true(fd >= 0);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7);
    assert_int_equal(write(fd, bytes, n), n);
    free(bytes);
    return fd;
}

/* What is left of the answer: its bytes are those of file_of(n). */
static void expect_echo(struct talk *t, size_t n)
{
    size_t got = 0;
    struct mw_frame f;

    for (;;) {
        assert_int_equal(mw_link_recv(&t->l, &f), 0);
        if (f.type == MW_F_END)
            break;
        for (size_t i = 0; f.type == MW_F_DATA && i < f.n; i++, got++)
            assert_int_equal(f.payload[i], (uint8_t)(got * 7));
        assert_true(f.type == MW_F_DATA || f.type == MW_F_HEAD);
    }
    assert_int_equal(f.payload[0], MW_END_COMPLETE);
    assert_int_equal(got, n);
}

/* Descriptors that the worker has open; the connection is the same for all calls. */
static long worker_fds(struct talk *t)
{
    struct answer a;

    rig_talk(&t->l, &(struct ask){.callable = "count-fds"}, &a);
    assert_int_equal(a.end, MW_END_COMPLETE);
    long n = strtol(a.body, NULL, 10);
    answer_fini(&a);
    return n;
}

/* -- answers -- */

static void test_transfer_01_a_file_of_the_worker(void **state)
{
    struct mw_file_part part;
    struct mw_frame f;
    struct talk t;
    uint8_t byte;

    (void)state;
    begin(&t);
    long before = worker_fds(&t);
    for (int i = 0; i < 3; i++) {
        put_request(&t, "file", 0);
        assert_int_equal(mw_link_flush(&t.l), 0);
        talk_await(&t, MW_F_HEAD);
        assert_int_equal(mw_link_recv_now(&t.l, &f), 0); /* in the same write */
        assert_int_equal(f.type, MW_F_FILE);
        assert_int_equal(mw_file_decode(&part, f.payload, f.n), 0);
        assert_true(part.offset == 1000 && part.n == 90000);
        int fd = mw_link_take_fd(&t.l);
        assert_int_equal(pread(fd, &byte, 1, 1000), 1);
        assert_int_equal(byte, 1000 % 251);
        close(fd);
        assert_int_equal(mw_link_recv_now(&t.l, &f), 0);
        assert_int_equal(f.type, MW_F_END);
        assert_int_equal(f.payload[0], MW_END_COMPLETE);
        assert_false(mw_link_has_input(&t.l));
    }
    assert_int_equal(worker_fds(&t), before);
    talk_end(&t);
}

static void test_transfer_02_files_among_data(void **state)
{
    static const uint8_t order[] = {MW_F_HEAD, MW_F_FILE, MW_F_DATA, MW_F_FILE,
                                    MW_F_DATA, MW_F_FILE, MW_F_DATA, MW_F_END};
    struct mw_frame f;
    struct talk t;

    (void)state;
    begin(&t);
    put_request(&t, "files-and-data", 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    for (size_t i = 0; i < sizeof order; i++) {
        assert_int_equal(mw_link_recv(&t.l, &f), 0);
        assert_int_equal(f.type, order[i]);
    }
    talk_expect_hello(&t);
    talk_end(&t);
}

/* -- bodies as files -- */

static void test_transfer_03_a_body_as_a_file(void **state)
{
    static const size_t sizes[] = {1, 9999, 10000, 10001, MW_FRAME_DATA_MAX, MIB};
    struct talk t;

    (void)state;
    begin(&t);
    long before = worker_fds(&t);
    for (size_t i = 0; i < MW_ARRAY_LEN(sizes); i++) {
        put_request(&t, "echo", sizes[i]);
        assert_int_equal(mw_link_put_body_file(&t.l, (int64_t)sizes[i], file_of(sizes[i])), 0);
        assert_int_equal(mw_link_flush(&t.l), 0);
        expect_echo(&t, sizes[i]);
    }
    assert_int_equal(worker_fds(&t), before);
    talk_end(&t);
}

static void test_transfer_04_only_what_it_says_is_read(void **state)
{
    struct talk t;

    (void)state;
    begin(&t);
    put_request(&t, "echo", 5);
    assert_int_equal(mw_link_put_body_file(&t.l, 5, file_of(6)), 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    expect_echo(&t, 5);
    talk_end(&t);
}

static void test_transfer_05_a_body_that_nobody_reads(void **state)
{
    struct talk t;

    (void)state;
    begin(&t);
    long before = worker_fds(&t);
    for (int i = 0; i < 20; i++) {
        put_request(&t, "hello", 100);
        assert_int_equal(mw_link_put_body_file(&t.l, 100, file_of(100)), 0);
        assert_int_equal(mw_link_flush(&t.l), 0);
        talk_await(&t, MW_F_END);
    }
    assert_int_equal(worker_fds(&t), before);
    talk_end(&t);
}

static void test_transfer_06_a_body_file_that_crosses_the_end(void **state)
{
    struct talk t;

    (void)state;
    begin(&t);
    long before = worker_fds(&t);
    put_request(&t, "hello", 100);
    assert_int_equal(mw_link_flush(&t.l), 0);
    talk_await(&t, MW_F_END);
    assert_int_equal(mw_link_put_body_file(&t.l, 100, file_of(100)), 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    assert_int_equal(worker_fds(&t), before);
    talk_end(&t);
}

static void test_transfer_07_an_abort_ends_it(void **state)
{
    struct talk t;

    (void)state;
    begin(&t);
    put_request(&t, "wait-gone", 100);
    assert_int_equal(mw_link_put_body_file(&t.l, 100, file_of(100)), 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    talk_await(&t, MW_F_ASK);
    assert_int_equal(mw_link_send(&t.l, MW_F_ABORT, NULL, 0), 0);
    assert_int_equal(talk_await(&t, MW_F_END).payload[0], MW_END_ABORTED);
    talk_expect_hello(&t);
    talk_end(&t);
}

/* Files that are fixed and used again, as httpd's children do it: more of them than the worker keeps. */
static void test_transfer_16_a_file_that_comes_again(void **state)
{
    static const size_t sizes[] = {20000, 1, MIB, MIB - 1, 65536};
    struct mw_memfile w[20];
    int fds[MW_ARRAY_LEN(w)];
    struct talk t;

    (void)state;
    begin(&t);
    long before = worker_fds(&t);
    for (size_t i = 0; i < MW_ARRAY_LEN(w); i++) {
        fds[i] = file_of(i);
        if (mw_memfile_fix(&w[i], fds[i]))
            skip();
    }
    for (size_t i = 0; i < 3 * MW_ARRAY_LEN(w); i++) {
        size_t n = sizes[i % MW_ARRAY_LEN(sizes)];
        size_t k = i % MW_ARRAY_LEN(w);

        assert_int_equal(mw_memfile_reach(&w[k], n), 0);
        for (size_t j = 0; j < n; j++)
            w[k].p[j] = (char)(j * 7);
        put_request(&t, "echo", n);
        assert_int_equal(mw_link_put_body_file(&t.l, (int64_t)n, dup(fds[k])), 0);
        assert_int_equal(mw_link_flush(&t.l), 0);
        expect_echo(&t, n);
        memset(w[k].p, 'x', n);
    }
    assert_int_equal(worker_fds(&t), before);
    for (size_t i = 0; i < MW_ARRAY_LEN(w); i++) {
        mw_memfile_unmap(&w[i]);
        close(fds[i]);
    }
    talk_end(&t);
}

/* Larger than what the worker can echo without its child's help, so that it has not read all of it. */
static void test_transfer_08_a_file_that_becomes_shorter(void **state)
{
    struct talk t;

    (void)state;
    begin(&t);
    int fd = file_of(8 * MIB);
    put_request(&t, "echo", 8 * MIB);
    assert_int_equal(mw_link_put_body_file(&t.l, 8 * MIB, dup(fd)), 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    talk_await(&t, MW_F_DATA);
    assert_int_equal(ftruncate(fd, MIB), 0);
    close(fd);
    assert_int_equal(talk_await(&t, MW_F_END).payload[0], MW_END_TRUNCATED);
    talk_expect_hello(&t);
    talk_end(&t);
}

/* -- what a child must not do -- */

static void raw(struct talk *t, unsigned type, const void *payload, size_t n, int pass)
{
    uint8_t bytes[100];
    struct iovec iov = {bytes, MW_FRAME_HDR + n};

    assert_true(n <= sizeof bytes - MW_FRAME_HDR);
    assert_int_equal(mw_link_flush(&t->l), 0);
    mw_frame_header(bytes, type, (uint32_t)n);
    if (n)
        memcpy(bytes + MW_FRAME_HDR, payload, n);
    int rv = mw_io_send_all_fd(t->l.fd, &iov, 1, MW_NO_DEADLINE, pass);
    assert_true(rv == 0 || rv == MW_ECLOSED);
}

static void raw_body_file(struct talk *t, int64_t length, int pass)
{
    uint8_t payload[MW_BODY_FILE_SIZE];

    mw_body_file_encode(payload, length);
    raw(t, MW_F_BODY_FILE, payload, sizeof payload, pass);
}

static void test_transfer_09_files_that_are_none(void **state)
{
    char dir[] = "/tmp/mw-transfer-XXXXXX", name[64];
    struct talk t;
    int pair[2], ends[2];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(name, sizeof name, "%s/file", dir);
    assert_int_equal(mw_io_pipe(pair), 0);
    assert_int_equal(mw_io_socketpair(SOCK_STREAM, ends), 0);
    int whole = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(whole, 100), 0);
    int fds[] = {pair[0],
                 pair[1],
                 ends[0],
                 open("/dev/zero", O_RDONLY | O_CLOEXEC),
                 open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                 open(name, O_WRONLY | O_CLOEXEC),
                 open(name, O_PATH | O_CLOEXEC),
                 file_of(99)}; /* shorter than it says */
    begin(&t);
    long before = worker_fds(&t);
    for (size_t i = 0; i < MW_ARRAY_LEN(fds); i++) {
        put_request(&t, "echo", 100);
        raw_body_file(&t, 100, fds[i]);
        talk_expect_dropped(&t);
    }
    put_request(&t, "echo", 100); /* which it is not about the rest */
    raw_body_file(&t, 100, whole);
    talk_await(&t, MW_F_END);
    assert_int_equal(worker_fds(&t), before);
    talk_end(&t);
    for (size_t i = 2; i < MW_ARRAY_LEN(fds); i++)
        close(fds[i]);
    mw_io_close(&pair[0]);
    mw_io_close(&pair[1]);
    mw_io_close(&ends[1]);
    close(whole);
    unlink(name);
    rmdir(dir);
}

static void test_transfer_10_at_the_wrong_time(void **state)
{
    struct talk t;
    int fd = file_of(100);

    (void)state;
    begin(&t);
    put_request(&t, "echo", 0); /* no body was announced */
    raw_body_file(&t, 100, fd);
    talk_expect_dropped(&t);
    put_request(&t, "wait-gone", 200); /* twice */
    raw_body_file(&t, 100, fd);
    raw_body_file(&t, 100, fd);
    talk_expect_dropped(&t);
    put_request(&t, "echo", 200); /* behind BODY */
    raw(&t, MW_F_BODY, "x", 1, -1);
    raw_body_file(&t, 100, fd);
    talk_expect_dropped(&t);
    put_request(&t, "wait-gone", 200); /* behind BODY_END */
    raw(&t, MW_F_BODY_END, "", 1, -1);
    raw_body_file(&t, 100, fd);
    talk_expect_dropped(&t);
    put_request(&t, "wait-gone", 200); /* in front of BODY */
    raw_body_file(&t, 100, fd);
    raw(&t, MW_F_BODY, "x", 1, -1);
    talk_expect_dropped(&t);
    put_request(&t, "wait-gone", 200); /* in front of BODY_END */
    raw_body_file(&t, 100, fd);
    raw(&t, MW_F_BODY_END, "", 1, -1);
    talk_expect_dropped(&t);
    talk_end(&t);
    close(fd);
}

static void test_transfer_11_wrong_lengths(void **state)
{
    static const int64_t lengths[] = {0, -1, INT64_MIN, INT64_MAX};
    struct talk t;
    int fd = file_of(100);

    (void)state;
    begin(&t);
    for (size_t i = 0; i < MW_ARRAY_LEN(lengths); i++) {
        put_request(&t, "echo", 200);
        raw_body_file(&t, lengths[i], fd);
        talk_expect_dropped(&t);
    }
    talk_end(&t);
    close(fd);
}

static void test_transfer_12_descriptors_and_frames_that_do_not_belong_together(void **state)
{
    struct talk t;
    int fd = file_of(100);

    (void)state;
    begin(&t);
    long before = worker_fds(&t);
    put_request(&t, "echo", 200); /* a frame without its descriptor */
    raw_body_file(&t, 100, -1);
    talk_expect_dropped(&t);
    put_request(&t, "wait-gone", 200); /* a descriptor without its frame, and another one */
    raw(&t, MW_F_BODY, "x", 1, fd);
    raw(&t, MW_F_BODY, "x", 1, fd);
    talk_expect_dropped(&t);
    raw(&t, MW_F_FILE, "", 0, fd); /* a frame that is a worker's */
    talk_expect_dropped(&t);
    assert_int_equal(worker_fds(&t), before);
    talk_end(&t);
    close(fd);
}

/* Each connection may leave one; it goes with the connection. */
static void test_transfer_13_a_flood_of_descriptors(void **state)
{
    struct talk t;
    int fd = file_of(100);

    (void)state;
    begin(&t);
    long before = worker_fds(&t);
    for (int i = 0; i < 50; i++) {
        put_request(&t, "wait-gone", 200);
        for (int k = 0; k < 10; k++)
            raw(&t, MW_F_ABORT, NULL, 0, fd);
        talk_expect_dropped(&t);
    }
    assert_int_equal(worker_fds(&t), before);
    talk_end(&t);
    close(fd);
}

/* -- credit -- */

static struct mw_want await_want(struct talk *t)
{
    struct mw_frame f = talk_await(t, MW_F_WANT);
    struct mw_want want;

    assert_int_equal(mw_want_decode(&want, f.payload, f.n), 0);
    return want;
}

static void test_transfer_14_credit_is_given_ahead_of_need(void **state)
{
    static char piece[MW_FRAME_DATA_MAX];
    size_t length = MIB, sent = 0;
    unsigned waits = 0, ahead = 0;
    struct mw_frame f;
    struct talk t;

    (void)state;
    begin(&t);
    put_request(&t, "one-byte", length); /* answers when it has read one */
    assert_int_equal(mw_link_flush(&t.l), 0);
    struct mw_want want = await_want(&t);
    assert_int_equal(want.waits, 1);
    assert_true(want.have == 0 && want.upto == MW_BODY_WINDOW);
    assert_int_equal(mw_link_send(&t.l, MW_F_BODY, piece, 1), 0);
    talk_await(&t, MW_F_END);
    talk_expect_hello(&t);

    put_request(&t, "echo", length);
    assert_int_equal(mw_link_flush(&t.l), 0);
    for (uint64_t upto = 0; sent < length;) {
        if (sent == upto) {
            want = await_want(&t);
            assert_true(want.have <= sent && want.upto <= length);
            assert_true(want.upto >= upto && want.upto - want.have <= MW_BODY_WINDOW);
            upto = want.upto;
            waits += want.waits;
            ahead += !want.waits;
            continue;
        }
        size_t n = upto - sent < sizeof piece ? (size_t)(upto - sent) : sizeof piece;
        assert_int_equal(mw_link_send(&t.l, MW_F_BODY, piece, n), 0);
        sent += n;
    }
    assert_int_equal(mw_link_put_u8(&t.l, MW_F_BODY_END, 0), 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    do
        assert_int_equal(mw_link_recv(&t.l, &f), 0);
    while (f.type != MW_F_END);
    assert_int_equal(f.payload[0], MW_END_COMPLETE);
    assert_true(waits >= 1 && ahead >= 1);
    talk_end(&t);
}

/* To an application that does not read, as much as may ride along. */
static void test_transfer_15_more_than_the_credit(void **state)
{
    static char much[MW_BODY_INLINE_MAX + 1];
    struct talk t;

    (void)state;
    begin(&t);
    for (size_t over = 0; over <= 1; over++) {
        put_request(&t, "wait-gone", MIB);
        assert_int_equal(mw_link_flush(&t.l), 0);
        talk_await(&t, MW_F_ASK);
        assert_int_equal(mw_link_send(&t.l, MW_F_BODY, much, sizeof much - 1 + over), 0);
        if (over)
            break;
        assert_int_equal(mw_link_send(&t.l, MW_F_ABORT, NULL, 0), 0);
        talk_await(&t, MW_F_END);
    }
    talk_expect_dropped(&t);
    talk_end(&t);
}

/* -- without descriptors -- */

/* As the child does it: the whole body, of one piece, when the worker asks. */
static void send_body(struct talk *t, size_t n)
{
    static char piece[MW_FRAME_DATA_MAX];
    int fd = file_of(n);

    assert_int_equal(await_want(t).upto, n);
    assert_int_equal(pread(fd, piece, n, 0), n);
    assert_int_equal(mw_link_put(&t->l, MW_F_BODY, piece, n), 0);
    assert_int_equal(mw_link_put_u8(&t->l, MW_F_BODY_END, 0), 0);
    assert_int_equal(mw_link_flush(&t->l), 0);
    close(fd);
}

/* A worker that can take no descriptor says so before an application has seen the request, and serves it
 * with the body in pieces, on the same connection. */
static void test_transfer_16_a_file_that_is_lost(void **state)
{
    static const size_t n = 40000;
    struct mw_slot_info info;
    struct mw_frame f;
    struct answer a;
    struct talk t;

    (void)state;
    begin(&t);
    rig_talk(&t.l, &(struct ask){.callable = "no-more-files"}, &a);
    expect(&a, MW_END_COMPLETE, "done");
    for (int i = 0; i < 3; i++) {
        put_request(&t, "echo", n);
        assert_int_equal(mw_link_put_body_file(&t.l, (int64_t)n, file_of(n)), 0);
        assert_int_equal(mw_link_flush(&t.l), 0);
        assert_int_equal(mw_link_recv(&t.l, &f), 0);
        assert_int_equal(f.type, MW_F_END);
        assert_int_equal(f.payload[0], MW_END_NO_FILE);
        assert_false(mw_link_has_input(&t.l));
        assert_int_equal(mw_board_slot(t.r.groups[0].board, t.claim.slot, &info), 0);
        assert_int_equal(info.busy, 0);
        put_request(&t, "echo", n);
        assert_int_equal(mw_link_flush(&t.l), 0);
        send_body(&t, n);
        expect_echo(&t, n);
    }
    put_request(&t, "echo", n);
    assert_int_equal(mw_link_put_body_file(&t.l, (int64_t)n, file_of(n)), 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    assert_int_equal(talk_await(&t, MW_F_END).payload[0], MW_END_NO_FILE);
    talk_expect_hello(&t); /* a child that does not try again */
    talk_end(&t);
}

/* A file that does not come in one write with its request: an application has the request by then. */
static void test_transfer_17_a_lost_file_that_comes_late(void **state)
{
    struct mw_frame f;
    struct answer a;
    struct talk t;
    int rv;

    (void)state;
    begin(&t);
    rig_talk(&t.l, &(struct ask){.callable = "no-more-files"}, &a);
    expect(&a, MW_END_COMPLETE, "done");
    put_request(&t, "echo", 100);
    assert_int_equal(mw_link_flush(&t.l), 0);
    talk_await(&t, MW_F_WANT);
    assert_int_equal(mw_link_put_body_file(&t.l, 100, file_of(100)), 0);
    assert_int_equal(mw_link_flush(&t.l), 0);
    while ((rv = mw_link_recv(&t.l, &f)) == 0)
        assert_true(f.type != MW_F_END || f.payload[0] != MW_END_COMPLETE);
    assert_int_equal(rv, MW_ECLOSED);
    talk_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_transfer_01_a_file_of_the_worker, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_02_files_among_data, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_03_a_body_as_a_file, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_04_only_what_it_says_is_read, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_05_a_body_that_nobody_reads, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_06_a_body_file_that_crosses_the_end, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_07_an_abort_ends_it, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_08_a_file_that_becomes_shorter, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_16_a_file_that_comes_again, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_09_files_that_are_none, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_10_at_the_wrong_time, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_11_wrong_lengths, rig_teardown),
        cmocka_unit_test_teardown(
            test_transfer_12_descriptors_and_frames_that_do_not_belong_together, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_13_a_flood_of_descriptors, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_14_credit_is_given_ahead_of_need, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_15_more_than_the_credit, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_16_a_file_that_is_lost, rig_teardown),
        cmocka_unit_test_teardown(test_transfer_17_a_lost_file_that_comes_late, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
