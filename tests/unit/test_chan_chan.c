/*
 * The channel's rules, over an implementation that only remembers what it was told.
 */
#include "samples.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"

/* The calls an implementation got, as text: "I103 H200 D5 M5 F7 +9 f7 +9 G0 E0" (informational response,
 * head, data, data with more to come, a file's offset and length, without and with more to come, the
 * question whether the client has gone, end). */
struct memory {
    struct mw_chan chan;
    char calls[200];
    char body[200];
    size_t nbody;
    int inform_rv, head_rv, data_rv, gone_rv, end_rv;
    ssize_t read_rv;
};

static void note(struct memory *m, const char *call, unsigned n)
{
    size_t k = strlen(m->calls);

    snprintf(m->calls + k, sizeof m->calls - k, "%s%s%u", k ? " " : "", call, n);
}

static ssize_t on_read(struct mw_chan *c, void *buf, size_t cap)
{
    struct memory *m = (struct memory *)c;

    note(m, "R", (unsigned)cap);
    memset(buf, 'r', cap);
    return m->read_rv;
}

static int on_inform(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    struct memory *m = (struct memory *)c;

    assert_non_null(block);
    assert_true(n > 0);
    note(m, "I", rsp->status);
    return m->inform_rv;
}

static int on_gone(struct mw_chan *c)
{
    struct memory *m = (struct memory *)c;

    note(m, "G", (unsigned)m->gone_rv);
    return m->gone_rv;
}

static int on_head(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    struct memory *m = (struct memory *)c;

    assert_non_null(block);
    assert_true(n > 0);
    note(m, "H", rsp->status);
    return m->head_rv;
}

static int on_data(struct mw_chan *c, const void *p, size_t n, unsigned flags)
{
    struct memory *m = (struct memory *)c;

    assert_non_null(p);
    assert_true(n > 0 || !(flags & MW_DATA_MORE));
    note(m, flags & MW_DATA_MORE ? "M" : "D", (unsigned)n);
    if (m->data_rv == 0) {
        memcpy(m->body + m->nbody, p, n);
        m->nbody += n;
    }
    return m->data_rv;
}

static int on_file(struct mw_chan *c, int fd, int64_t offset, int64_t n, unsigned flags)
{
    struct memory *m = (struct memory *)c;

    assert_true(offset >= 0 && n > 0);
    note(m, flags & MW_DATA_MORE ? "f" : "F", (unsigned)offset);
    note(m, "+", (unsigned)n);
    close(fd);
    return m->data_rv;
}

static void on_log(struct mw_chan *c, const struct mw_mark *mark, const char *line, size_t n)
{
    assert_int_equal(n, 2);
    assert_memory_equal(line, "hi", 2);
    note((struct memory *)c, "L", (unsigned)mark->level);
}

static int on_end(struct mw_chan *c, enum mw_end how)
{
    struct memory *m = (struct memory *)c;

    note(m, "E", how);
    return m->end_rv;
}

static const struct mw_chan_ops ops = {
    .read = on_read,
    .inform = on_inform,
    .head = on_head,
    .data = on_data,
    .file = on_file,
    .gone = on_gone,
    .log = on_log,
    .end = on_end,
};
static const struct mw_req get_req = {.flags = 0};
static const struct mw_req head_req = {.flags = MW_REQ_HEAD};

static void init(struct memory *m, const struct mw_req *req)
{
    memset(m, 0, sizeof *m);
    mw_chan_init(&m->chan, &ops, req);
}

/* Send a head; length < 0: without Content-Length. */
static int send_head(struct memory *m, unsigned status, int length)
{
    char digits[12];
    struct mw_buf b;

    mw_buf_init(&b, 1000);
    size_t at = mw_rsp_begin(&b, status, MW_STR("Fine"));
    int k = snprintf(digits, sizeof digits, "%d", length);
    if (length >= 0)
        mw_rsp_field(&b, MW_STR("Content-Length"), (struct mw_str){digits, (size_t)k});
    assert_int_equal(mw_rsp_end(&b, at, length >= 0), 0);
    int rv = mw_chan_head(&m->chan, mw_buf_data(&b), mw_buf_size(&b), NULL);
    mw_buf_fini(&b);
    return rv;
}

static void test_chan_01_an_answer_goes_through(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_int_equal(mw_chan_data(&m.chan, "hello", 5, MW_DATA_MORE), 0);
    assert_int_equal(mw_chan_data(&m.chan, " you", 4, 0), 0);
    mw_chan_log(&m.chan, MW_MARK(4), "hi", 2);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_COMPLETE);
    assert_string_equal(m.calls, "H200 M5 D4 L4 E0");
    assert_int_equal(m.chan.sent, 9);
    assert_memory_equal(m.body, "hello you", 9);
}

static void test_chan_02_order_is_kept(void **state)
{
    (void)state;
    struct memory m;
    char buf[4];

    init(&m, &get_req);
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), MW_ESTATE);
    assert_int_equal(mw_chan_data(&m.chan, "", 0, 0), MW_ESTATE);
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_int_equal(send_head(&m, 200, -1), MW_ESTATE);
    mw_chan_end(&m.chan, MW_END_COMPLETE);
    assert_int_equal(send_head(&m, 200, -1), MW_ESTATE);
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), MW_ESTATE);
    assert_int_equal(mw_chan_read(&m.chan, buf, sizeof buf), MW_ESTATE);
    assert_string_equal(m.calls, "H200 E0");
}

static void test_chan_03_the_end_comes_once(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_NO_SCRIPT), MW_END_NO_SCRIPT);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_FAILED), MW_END_NO_SCRIPT);
    assert_string_equal(m.calls, "E3");
}

static void test_chan_04_a_refused_head_changes_nothing(void **state)
{
    (void)state;
    enum mw_rsp_fault fault = MW_RSP_FINE;
    struct mw_buf b;
    struct memory m;

    init(&m, &get_req);
    mw_buf_init(&b, 1000);
    size_t at = mw_rsp_begin(&b, 200, MW_STR("OK"));
    mw_rsp_field(&b, MW_STR("X"), MW_STR("a\nb"));
    assert_int_equal(mw_rsp_end(&b, at, 1), 0);
    int rv = mw_chan_head(&m.chan, mw_buf_data(&b), mw_buf_size(&b), &fault);
    assert_int_equal(rv, MW_EINVAL);
    assert_int_equal(fault, MW_RSP_BAD_VALUE);
    rv = mw_chan_head(&m.chan, mw_buf_data(&b), mw_buf_size(&b) - 1, &fault);
    assert_int_equal(rv, MW_EPROTO);
    assert_int_equal(m.chan.state, MW_CHAN_OPEN);
    assert_int_equal(send_head(&m, 103, -1), MW_EINVAL);
    assert_string_equal(m.calls, "");
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_string_equal(m.calls, "H200");
    mw_buf_fini(&b);
}

static void test_chan_05_content_length_is_kept(void **state)
{
    (void)state;
    static const struct {
        int length;
        size_t first, second;
        uint64_t sent, excess;
        enum mw_end end;
        const char *calls;
    } rows[] = {
        {5, 2, 2, 4, 0, MW_END_TRUNCATED, "H200 M2 D2 E2"},
        {5, 2, 3, 5, 0, MW_END_COMPLETE, "H200 M2 D3 E0"},
        {5, 2, 4, 5, 1, MW_END_COMPLETE, "H200 M2 D3 E0"},
        {5, 5, 0, 5, 0, MW_END_COMPLETE, "H200 M5 D0 E0"},
        {5, 5, 9, 5, 9, MW_END_COMPLETE, "H200 M5 D0 E0"},
        {5, 6, 9, 5, 10, MW_END_COMPLETE, "H200 M5 D0 E0"},
        {0, 0, 0, 0, 0, MW_END_COMPLETE, "H200 D0 E0"},
        {0, 1, 0, 0, 1, MW_END_COMPLETE, "H200 D0 E0"},
        {1, 0, 0, 0, 0, MW_END_TRUNCATED, "H200 D0 E2"},
        {-1, 3, 4, 7, 0, MW_END_COMPLETE, "H200 M3 D4 E0"},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct memory m;
        init(&m, &get_req);
        assert_int_equal(send_head(&m, 200, rows[i].length), 0);
        assert_int_equal(mw_chan_data(&m.chan, "abcdefghij", rows[i].first, MW_DATA_MORE), 0);
        assert_int_equal(mw_chan_data(&m.chan, "klmnopqrst", rows[i].second, 0), 0);
        assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), rows[i].end);
        assert_int_equal(m.chan.sent, rows[i].sent);
        assert_int_equal(m.nbody, rows[i].sent);
        assert_int_equal(m.chan.excess, rows[i].excess);
        assert_string_equal(m.calls, rows[i].calls);
    }
}

static void test_chan_06_no_body_where_none_may_be(void **state)
{
    (void)state;
    static const struct {
        const struct mw_req *req;
        unsigned status;
        int length;
        const char *calls;
    } rows[] = {
        {&head_req, 200, -1, "H200 D0 E0"}, {&head_req, 200, 100, "H200 D0 E0"},
        {&head_req, 200, 0, "H200 D0 E0"},  {&get_req, 204, -1, "H204 D0 E0"},
        {&get_req, 204, 5, "H204 D0 E0"},   {&get_req, 304, -1, "H304 D0 E0"},
        {&get_req, 304, 100, "H304 D0 E0"},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct memory m;
        init(&m, rows[i].req);
        assert_int_equal(send_head(&m, rows[i].status, rows[i].length), 0);
        assert_int_equal(m.chan.no_body, 1);
        assert_int_equal(mw_chan_data(&m.chan, "body", 4, MW_DATA_MORE), 0);
        assert_int_equal(mw_chan_data(&m.chan, "body", 4, 0), 0);
        assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_COMPLETE);
        assert_int_equal(m.chan.sent, 0);
        assert_int_equal(m.chan.excess, 0);
        assert_string_equal(m.calls, rows[i].calls);
    }
}

static void test_chan_07_how_an_end_is_changed(void **state)
{
    (void)state;
    static const enum mw_end without[] = {MW_END_FAILED,    MW_END_FAILED,     MW_END_FAILED,
                                          MW_END_NO_SCRIPT, MW_END_UNREADABLE, MW_END_ABORTED,
                                          MW_END_TIMEOUT,   MW_END_NO_FILE};
    static const enum mw_end with[] = {MW_END_COMPLETE,  MW_END_TRUNCATED, MW_END_TRUNCATED,
                                       MW_END_TRUNCATED, MW_END_TRUNCATED, MW_END_ABORTED,
                                       MW_END_TRUNCATED, MW_END_TRUNCATED};
    struct memory m;

    for (unsigned how = 0; how <= MW_END_LAST; how++) {
        init(&m, &get_req);
        assert_int_equal(mw_chan_end(&m.chan, (enum mw_end)how), without[how]);
        init(&m, &get_req);
        assert_int_equal(send_head(&m, 200, -1), 0);
        assert_int_equal(mw_chan_end(&m.chan, (enum mw_end)how), with[how]);
        init(&m, &head_req);
        assert_int_equal(send_head(&m, 200, 7), 0);
        assert_int_equal(mw_chan_end(&m.chan, (enum mw_end)how), with[how]);
    }
    init(&m, &get_req);
    assert_int_equal(mw_chan_end(&m.chan, (enum mw_end)(MW_END_LAST + 1)), MW_END_FAILED);
    init(&m, &get_req);
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_int_equal(mw_chan_end(&m.chan, (enum mw_end)(-1)), MW_END_TRUNCATED);
}

static void test_chan_08_a_client_that_left_stays_gone(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(send_head(&m, 200, -1), 0);
    m.data_rv = MW_EABORT;
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), MW_EABORT);
    assert_true(m.chan.aborted);
    assert_int_equal(m.chan.sent, 0);
    m.data_rv = 0;
    assert_int_equal(mw_chan_data(&m.chan, "y", 1, 0), MW_EABORT);
    assert_int_equal(mw_chan_data(&m.chan, "", 0, MW_DATA_MORE), MW_EABORT);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_ABORTED);
    assert_string_equal(m.calls, "H200 D1 E5");
}

static void test_chan_09_a_hole_is_never_complete(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(send_head(&m, 200, -1), 0);
    m.data_rv = MW_EIO;
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), MW_EIO);
    m.data_rv = 0;
    assert_int_equal(mw_chan_data(&m.chan, "y", 1, 0), MW_EIO);
    assert_false(m.chan.aborted);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_TRUNCATED);
    assert_string_equal(m.calls, "H200 D1 E2");

    init(&m, &get_req);
    m.head_rv = MW_EABORT;
    assert_int_equal(send_head(&m, 200, -1), MW_EABORT);
    m.head_rv = 0;
    assert_int_equal(send_head(&m, 200, -1), MW_ESTATE);
    assert_int_equal(mw_chan_data(&m.chan, "y", 1, 0), MW_EABORT);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_FAILED), MW_END_ABORTED);
    assert_string_equal(m.calls, "H200 E5");
}

static void test_chan_10_dropped_data_still_finds_out_who_left(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &head_req);
    assert_int_equal(send_head(&m, 200, -1), 0);
    m.data_rv = MW_EABORT;
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, MW_DATA_MORE), 0);
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), MW_EABORT);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_ABORTED);
}

static void test_chan_11_a_failing_end_is_remembered(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(send_head(&m, 200, -1), 0);
    m.end_rv = MW_ECLOSED;
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_COMPLETE);
    assert_int_equal(m.chan.err, MW_ECLOSED);
}

static void test_chan_12_reads_pass_through(void **state)
{
    (void)state;
    static const ssize_t results[] = {3, 0, MW_EABORT, MW_ETIMEOUT, MW_ELIMIT};
    struct memory m;
    char buf[4];

    init(&m, &get_req);
    for (size_t i = 0; i < MW_ARRAY_LEN(results); i++) {
        m.read_rv = results[i];
        assert_int_equal(mw_chan_read(&m.chan, buf, sizeof buf), results[i]);
    }
    assert_int_equal(mw_chan_read(&m.chan, buf, 0), MW_EINVAL);
    assert_false(m.chan.aborted); /* that is about sending */
    assert_string_equal(m.calls, "R4 R4 R4 R4 R4");
}

static void test_chan_13_ends_have_names(void **state)
{
    (void)state;
    assert_string_equal(mw_end_name(MW_END_COMPLETE), "complete");
    assert_string_equal(mw_end_name(MW_END_ABORTED), "aborted");
    assert_string_equal(mw_end_name((enum mw_end)(MW_END_LAST + 1)), "unknown");
    for (unsigned a = 0; a <= MW_END_LAST; a++)
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(mw_end_name((enum mw_end)a), mw_end_name((enum mw_end)b));
}

/* Send an informational response of this status with one field. */
static int send_inform(struct memory *m, unsigned status, const char *name,
                       enum mw_rsp_fault *fault)
{
    struct mw_buf b;

    mw_buf_init(&b, 1000);
    size_t at = mw_rsp_begin(&b, status, MW_STR("Early Hints"));
    mw_rsp_field(&b, (struct mw_str){name, strlen(name)}, MW_STR("</a.css>; rel=preload"));
    assert_int_equal(mw_rsp_end(&b, at, 1), 0);
    int rv = mw_chan_inform(&m->chan, mw_buf_data(&b), mw_buf_size(&b), fault);
    mw_buf_fini(&b);
    return rv;
}

static void test_chan_14_informational_responses_come_before_the_head(void **state)
{
    (void)state;
    enum mw_rsp_fault fault = MW_RSP_TOO_LARGE;
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(send_inform(&m, 103, "Link", &fault), 0);
    assert_int_equal(fault, MW_RSP_FINE);
    assert_int_equal(send_inform(&m, 103, "Link", NULL), 0);
    assert_int_equal(send_head(&m, 200, 2), 0);
    assert_int_equal(send_inform(&m, 103, "Link", &fault), MW_ESTATE);
    assert_int_equal(mw_chan_data(&m.chan, "ab", 2, 0), 0);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_COMPLETE);
    assert_int_equal(send_inform(&m, 103, "Link", &fault), MW_ESTATE);
    assert_string_equal(m.calls, "I103 I103 H200 D2 E0");
}

static void test_chan_15_a_refused_informational_response_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *name;
        enum mw_rsp_fault fault;
    } rows[] = {
        {200, "Link", MW_RSP_NOT_INFORM},           {100, "Link", MW_RSP_NOT_INFORM},
        {101, "Upgrade", MW_RSP_NOT_INFORM},        {103, "Transfer-Encoding", MW_RSP_BAD_INFORM},
        {103, "Content-Length", MW_RSP_BAD_LENGTH}, {103, "Li:nk", MW_RSP_BAD_NAME},
    };
    enum mw_rsp_fault fault;
    struct memory m;

    init(&m, &get_req);
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        assert_int_equal(send_inform(&m, rows[i].status, rows[i].name, &fault), MW_EINVAL);
        assert_int_equal(fault, rows[i].fault);
    }
    assert_int_equal(mw_chan_inform(&m.chan, "x", 1, &fault), MW_EPROTO);
    assert_int_equal(m.chan.informs, 0);
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_string_equal(m.calls, "H200");
}

static void test_chan_16_informational_responses_are_limited(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req);
    for (unsigned i = 0; i < MW_CHAN_INFORMS_MAX; i++)
        assert_int_equal(send_inform(&m, 103, "Link", NULL), 0);
    m.calls[0] = 0;
    assert_int_equal(send_inform(&m, 103, "Link", NULL), MW_ELIMIT);
    assert_int_equal(m.chan.err, 0);
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_COMPLETE);
    assert_string_equal(m.calls, "H200 E0");
}

static void test_chan_17_a_failing_informational_response_is_remembered(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req);
    m.inform_rv = MW_EABORT;
    assert_int_equal(send_inform(&m, 103, "Link", NULL), MW_EABORT);
    m.inform_rv = 0;
    assert_int_equal(send_inform(&m, 103, "Link", NULL), MW_EABORT);
    assert_int_equal(mw_chan_gone(&m.chan), 1); /* known without asking */
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), MW_EABORT);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_ABORTED);
    assert_string_equal(m.calls, "I103 H200 E5");
}

static void test_chan_18_a_client_that_is_known_to_have_gone(void **state)
{
    (void)state;
    struct memory m;

    init(&m, &get_req); /* before the head */
    assert_int_equal(mw_chan_gone(&m.chan), 0);
    m.gone_rv = 1;
    assert_int_equal(mw_chan_gone(&m.chan), 1);
    m.gone_rv = 0;
    assert_int_equal(mw_chan_gone(&m.chan), 1);
    assert_int_equal(send_head(&m, 200, -1), 0);
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, MW_DATA_MORE), MW_EABORT);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_ABORTED);
    assert_string_equal(m.calls, "G0 G1 H200 E5");

    init(&m, &get_req); /* behind an answer that is whole */
    assert_int_equal(send_head(&m, 200, 1), 0);
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), 0);
    m.gone_rv = 1;
    assert_int_equal(mw_chan_gone(&m.chan), 1);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_ABORTED);
    assert_int_equal(mw_chan_gone(&m.chan), 1);
    assert_string_equal(m.calls, "H200 D1 G1 E5");

    init(&m, &get_req); /* after a failure of another kind, which stays the first one */
    assert_int_equal(send_head(&m, 200, -1), 0);
    m.data_rv = MW_EIO;
    assert_int_equal(mw_chan_data(&m.chan, "x", 1, 0), MW_EIO);
    assert_int_equal(mw_chan_gone(&m.chan), 0);
    m.gone_rv = 1;
    assert_int_equal(mw_chan_gone(&m.chan), 1);
    assert_int_equal(m.chan.err, MW_EIO);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_ABORTED);

    init(&m, &get_req); /* nobody waits once it has ended */
    mw_chan_end(&m.chan, MW_END_FAILED);
    assert_int_equal(mw_chan_gone(&m.chan), 1);
    assert_string_equal(m.calls, "E1");
}

/* -- files -- */

static int null_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void test_chan_19_a_file_is_as_its_bytes(void **state)
{
    (void)state;
    unsigned before = sample_open_fds();
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(send_head(&m, 200, 100), 0);
    assert_int_equal(mw_chan_data(&m.chan, "hello", 5, 0), 0);
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 7, 90, MW_DATA_MORE), 0);
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 9, 0), 0); /* 5 of them are left */
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 9, 0), 0);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_COMPLETE);
    assert_string_equal(m.calls, "H200 D5 f7 +90 F0 +5 D0 E0");
    assert_int_equal(m.chan.sent, 100);
    assert_int_equal(m.chan.excess, 13);
    assert_int_equal(sample_open_fds(), before);
}

static void test_chan_20_no_file_where_no_body_may_be(void **state)
{
    (void)state;
    unsigned before = sample_open_fds();
    struct memory m;

    init(&m, &head_req);
    assert_int_equal(send_head(&m, 200, 100), 0);
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 100, MW_DATA_MORE), 0);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_COMPLETE);
    assert_string_equal(m.calls, "H200 E0");
    init(&m, &get_req);
    assert_int_equal(send_head(&m, 304, -1), 0);
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 100, 0), 0);
    assert_string_equal(m.calls, "H304 D0");
    assert_int_equal(sample_open_fds(), before);
}

static void test_chan_21_numbers_of_a_file(void **state)
{
    (void)state;
    static const struct {
        int64_t offset, n;
        int rv;
    } rows[] = {{0, -1, MW_EINVAL},
                {-1, 1, MW_EINVAL},
                {-1, 0, MW_EINVAL},
                {INT64_MIN, INT64_MIN, MW_EINVAL},
                {0, 0, 0},
                {INT64_MAX - 1, 1, 0},
                {INT64_MAX - 1, 2, MW_EINVAL},
                {INT64_MAX, INT64_MAX, MW_EINVAL}};
    unsigned before = sample_open_fds();
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 1, 0), MW_ESTATE);
    assert_int_equal(send_head(&m, 200, -1), 0);
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        assert_int_equal(mw_chan_file(&m.chan, null_fd(), rows[i].offset, rows[i].n, MW_DATA_MORE),
                         rows[i].rv);
    assert_int_equal(mw_chan_file(&m.chan, -1, 0, 1, 0), MW_EINVAL);
    mw_chan_end(&m.chan, MW_END_COMPLETE);
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 1, 0), MW_ESTATE);
    assert_int_equal(sample_open_fds(), before);
}

static void test_chan_22_a_file_that_fails(void **state)
{
    (void)state;
    unsigned before = sample_open_fds();
    struct memory m;

    init(&m, &get_req);
    assert_int_equal(send_head(&m, 200, -1), 0);
    m.data_rv = MW_EIO;
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 5, 0), MW_EIO);
    m.data_rv = 0;
    assert_int_equal(mw_chan_file(&m.chan, null_fd(), 0, 5, 0), MW_EIO);
    assert_int_equal(m.chan.sent, 0);
    assert_int_equal(mw_chan_end(&m.chan, MW_END_COMPLETE), MW_END_TRUNCATED);
    assert_string_equal(m.calls, "H200 F0 +5 E2");
    assert_int_equal(sample_open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chan_01_an_answer_goes_through),
        cmocka_unit_test(test_chan_02_order_is_kept),
        cmocka_unit_test(test_chan_03_the_end_comes_once),
        cmocka_unit_test(test_chan_04_a_refused_head_changes_nothing),
        cmocka_unit_test(test_chan_05_content_length_is_kept),
        cmocka_unit_test(test_chan_06_no_body_where_none_may_be),
        cmocka_unit_test(test_chan_07_how_an_end_is_changed),
        cmocka_unit_test(test_chan_08_a_client_that_left_stays_gone),
        cmocka_unit_test(test_chan_09_a_hole_is_never_complete),
        cmocka_unit_test(test_chan_10_dropped_data_still_finds_out_who_left),
        cmocka_unit_test(test_chan_11_a_failing_end_is_remembered),
        cmocka_unit_test(test_chan_12_reads_pass_through),
        cmocka_unit_test(test_chan_13_ends_have_names),
        cmocka_unit_test(test_chan_14_informational_responses_come_before_the_head),
        cmocka_unit_test(test_chan_15_a_refused_informational_response_changes_nothing),
        cmocka_unit_test(test_chan_16_informational_responses_are_limited),
        cmocka_unit_test(test_chan_17_a_failing_informational_response_is_remembered),
        cmocka_unit_test(test_chan_18_a_client_that_is_known_to_have_gone),
        cmocka_unit_test(test_chan_19_a_file_is_as_its_bytes),
        cmocka_unit_test(test_chan_20_no_file_where_no_body_may_be),
        cmocka_unit_test(test_chan_21_numbers_of_a_file),
        cmocka_unit_test(test_chan_22_a_file_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
