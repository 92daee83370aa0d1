/*
 * What the operator's tool, the supervisor and the workers say to each other.
 */
#include "samples.h"

#include <stdlib.h>
#include <string.h>

#include "admin.h"

static void test_admin_01_every_request_comes_back(void **state)
{
    (void)state;
    for (unsigned op = MW_ADMIN_LIST; op <= MW_ADMIN_RESUME; op++) {
        struct mw_admin_ask a = {(uint8_t)op, 0x1234, 0xdeadbeef, MW_STR("blog")}, back;
        uint8_t bytes[MW_ADMIN_MAX];
        if (op == MW_ADMIN_LIST)
            a.group = MW_STR("");
        int n = mw_admin_ask_encode(bytes, &a);
        assert_true(n > 0);
        assert_int_equal(mw_admin_ask_decode(&back, bytes, (size_t)n), 0);
        assert_int_equal(back.op, op);
        assert_int_equal(back.slot, 0x1234);
        assert_int_equal(back.incarnation, 0xdeadbeef);
        assert_int_equal(back.group.n, a.group.n);
        assert_memory_equal(back.group.p, a.group.p, a.group.n + 1);
    }
}

static void test_admin_02_every_answer_comes_back(void **state)
{
    (void)state;
    for (int err = MW_ENOENT; err <= 0; err++) {
        const struct mw_admin_answer a = {MW_ADMIN_RELOAD, err, MW_STR("why")};
        struct mw_admin_answer back;
        uint8_t bytes[MW_ADMIN_MAX];
        int n = mw_admin_answer_encode(bytes, &a);
        assert_true(n > 0);
        assert_int_equal(mw_admin_answer_decode(&back, bytes, (size_t)n), 0);
        assert_int_equal(back.op, MW_ADMIN_RELOAD);
        assert_int_equal(back.err, err);
        assert_str(back.text, "why");
    }
}

static void test_admin_03_the_limit_of_texts(void **state)
{
    (void)state;
    char text[MW_ADMIN_TEXT_MAX + 1];
    uint8_t bytes[MW_ADMIN_MAX];
    struct mw_admin_ask ask;
    struct mw_admin_answer answer;

    memset(text, 't', sizeof text);
    for (size_t n = MW_ADMIN_TEXT_MAX - 1; n <= MW_ADMIN_TEXT_MAX + 1; n++) {
        const struct mw_admin_ask a = {.op = MW_ADMIN_DRAIN, .group = {text, n}};
        const struct mw_admin_answer b = {.op = MW_ADMIN_DRAIN, .text = {text, n}};
        int got = mw_admin_ask_encode(bytes, &a);
        if (n > MW_ADMIN_TEXT_MAX) {
            assert_int_equal(got, MW_ELIMIT);
            assert_int_equal(mw_admin_answer_encode(bytes, &b), MW_ELIMIT);
            continue;
        }
        assert_true(got > 0);
        assert_int_equal(mw_admin_ask_decode(&ask, bytes, (size_t)got), 0);
        assert_int_equal(ask.group.n, n);
        got = mw_admin_answer_encode(bytes, &b);
        assert_true(got > 0);
        assert_int_equal(mw_admin_answer_decode(&answer, bytes, (size_t)got), 0);
        assert_int_equal(answer.text.n, n);
    }
}

static void test_admin_04_what_may_not_be_sent(void **state)
{
    (void)state;
    static const struct mw_admin_ask asks[] = {
        {.op = 0, .group = {"g", 1}},
        {.op = MW_ADMIN_RESUME + 1, .group = {"g", 1}},
        {.op = MW_ADMIN_LIST, .group = {"g", 1}},
        {.op = MW_ADMIN_RELOAD, .group = {"", 0}},
        {.op = MW_ADMIN_RELOAD, .group = {"a\0b", 3}},
    };
    static const struct mw_admin_answer answers[] = {
        {.op = 0, .text = {"", 0}},
        {.op = MW_ADMIN_LIST, .err = 1, .text = {"", 0}},
        {.op = MW_ADMIN_LIST, .err = -256, .text = {"", 0}},
        {.op = MW_ADMIN_LIST, .text = {"a\0b", 3}},
    };
    uint8_t bytes[MW_ADMIN_MAX];

    for (size_t i = 0; i < MW_ARRAY_LEN(asks); i++)
        assert_int_equal(mw_admin_ask_encode(bytes, &asks[i]), MW_EINVAL);
    for (size_t i = 0; i < MW_ARRAY_LEN(answers); i++)
        assert_int_equal(mw_admin_answer_encode(bytes, &answers[i]), MW_EINVAL);
}

/* Each cut, and each single bit that is wrong, is noticed or means something else. */
static void test_admin_05_hostile_requests(void **state)
{
    (void)state;
    const struct mw_admin_ask a = {MW_ADMIN_RECYCLE, 3, 4, MW_STR("blog")};
    uint8_t bytes[MW_ADMIN_MAX], again[MW_ADMIN_MAX];
    struct mw_admin_ask back;
    int n = mw_admin_ask_encode(bytes, &a);

    for (size_t cut = 0; cut < (size_t)n; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1); /* so that a sanitizer sees a byte too far */
        memcpy(copy, bytes, cut);
        assert_int_equal(mw_admin_ask_decode(&back, copy, cut), MW_EPROTO);
        free(copy);
    }
    for (int bit = 0; bit < n * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (mw_admin_ask_decode(&back, bytes, (size_t)n) == 0) {
            assert_int_equal(mw_admin_ask_encode(again, &back), n);
            assert_memory_equal(again, bytes, n);
        }
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(mw_admin_ask_decode(&back, bytes, MW_ADMIN_MAX + 1), MW_EPROTO);
}

static void test_admin_06_a_list_comes_back(void **state)
{
    (void)state;
    const struct mw_admin_list list = {
        .pid = 7, .age_ms = 8, .starts = 14, .ending = 1, .ngroups = 1};
    const struct mw_admin_group group = {.name = MW_STR("blog"),
                                         .processes = 2,
                                         .threads = 15,
                                         .waiting = 3,
                                         .drained = 1,
                                         .nworkers = 1};
    const struct mw_admin_worker worker = {.slot = 1,
                                           .incarnation = 9,
                                           .pid = 4711,
                                           .state = MW_STR("ready"),
                                           .age_ms = 10,
                                           .due_ms = MW_ADMIN_NEVER,
                                           .claimed = 2,
                                           .busy = 1,
                                           .fails = 5,
                                           .phase = MW_ADMIN_SERVES,
                                           .started = 12,
                                           .failed = 13,
                                           .why = MW_STR("script changed")};
    struct mw_admin_list l;
    struct mw_admin_group g;
    struct mw_admin_worker w;
    struct mw_buf b;
    struct mw_cur c;

    mw_buf_init(&b, MW_ADMIN_LIST_MAX);
    mw_admin_put_list(&b, &list);
    mw_admin_put_group(&b, &group);
    mw_admin_put_worker(&b, &worker);
    mw_cur_init(&c, mw_buf_data(&b), mw_buf_size(&b));
    mw_admin_get_list(&c, &l);
    mw_admin_get_group(&c, &g);
    mw_admin_get_worker(&c, &w);
    assert_int_equal(mw_cur_end(&c), 0);
    assert_int_equal(l.pid, 7);
    assert_int_equal(l.age_ms, 8);
    assert_int_equal(l.starts, 14);
    assert_int_equal(l.ending, 1);
    assert_int_equal(l.ngroups, 1);
    assert_str(g.name, "blog");
    assert_int_equal(g.processes, 2);
    assert_int_equal(g.threads, 15);
    assert_int_equal(g.waiting, 3);
    assert_int_equal(g.drained, 1);
    assert_int_equal(g.nworkers, 1);
    assert_int_equal(w.slot, 1);
    assert_int_equal(w.incarnation, 9);
    assert_int_equal(w.pid, 4711);
    assert_str(w.state, "ready");
    assert_int_equal(w.age_ms, 10);
    assert_true(w.due_ms == MW_ADMIN_NEVER);
    assert_int_equal(w.claimed, 2);
    assert_int_equal(w.busy, 1);
    assert_int_equal(w.fails, 5);
    assert_int_equal(w.phase, MW_ADMIN_SERVES);
    assert_int_equal(w.started, 12);
    assert_int_equal(w.failed, 13);
    assert_str(w.why, "script changed");
    mw_buf_fini(&b);
}

static void test_admin_07_a_report_comes_back_with_its_strings_cut(void **state)
{
    (void)state;
    const struct mw_admin_report report = {
        .pid = 1, .incarnation = 2, .resident = 3, .served = 4, .nrequests = 3};
    char url[MW_ADMIN_FIELD_MAX + 1];
    struct mw_admin_report r;
    struct mw_admin_request q;
    struct mw_buf b;
    struct mw_cur c;

    memset(url, 'u', sizeof url);
    mw_buf_init(&b, MW_ADMIN_REPORT_MAX);
    mw_admin_put_report(&b, &report);
    for (size_t n = MW_ADMIN_FIELD_MAX - 1; n <= MW_ADMIN_FIELD_MAX + 1; n++) {
        const struct mw_admin_request in = {.thread = 11,
                                            .ident = 12,
                                            .age_ms = 13,
                                            .lost = 1,
                                            .method = MW_STR("GET"),
                                            .host = MW_STR("h"),
                                            .url = {url, n},
                                            .client = MW_STR("::1"),
                                            .script = MW_STR("/a.wsgi")};
        mw_admin_put_request(&b, &in);
    }
    mw_cur_init(&c, mw_buf_data(&b), mw_buf_size(&b));
    mw_admin_get_report(&c, &r);
    assert_int_equal(r.pid, 1);
    assert_int_equal(r.incarnation, 2);
    assert_int_equal(r.resident, 3);
    assert_int_equal(r.served, 4);
    assert_int_equal(r.nrequests, 3);
    for (size_t n = MW_ADMIN_FIELD_MAX - 1; n <= MW_ADMIN_FIELD_MAX + 1; n++) {
        mw_admin_get_request(&c, &q);
        assert_int_equal(q.thread, 11);
        assert_int_equal(q.ident, 12);
        assert_int_equal(q.age_ms, 13);
        assert_int_equal(q.lost, 1);
        assert_str(q.method, "GET");
        assert_str(q.host, "h");
        assert_int_equal(q.url.n, n < MW_ADMIN_FIELD_MAX ? n : MW_ADMIN_FIELD_MAX);
        assert_str(q.client, "::1");
        assert_str(q.script, "/a.wsgi");
    }
    assert_int_equal(mw_cur_end(&c), 0);
    mw_buf_fini(&b);
}

/* A worker says what it likes. */
static void test_admin_08_a_hostile_report(void **state)
{
    (void)state;
    const struct mw_admin_report report = {.nrequests = 1};
    const struct mw_admin_request in = {
        .method = MW_STR(""), .host = MW_STR(""), .client = MW_STR(""), .script = MW_STR("")};
    char url[MW_ADMIN_FIELD_MAX + 1];
    struct mw_admin_report r;
    struct mw_admin_request q;
    struct mw_buf b;
    struct mw_cur c;

    memset(url, 'u', sizeof url);
    mw_buf_init(&b, MW_ADMIN_REPORT_MAX);
    mw_admin_put_report(&b, &report);
    mw_buf_bytes(&b, (uint8_t[21]){0}, 21);
    for (int i = 0; i < 5; i++) /* one of them is longer than any worker of ours sends */
        mw_buf_str(&b, i == 2 ? (struct mw_str){url, sizeof url} : in.method);
    mw_cur_init(&c, mw_buf_data(&b), mw_buf_size(&b));
    mw_admin_get_report(&c, &r);
    assert_int_equal(c.err, 0);
    mw_admin_get_request(&c, &q);
    assert_int_equal(c.err, MW_EPROTO);

    mw_cur_init(&c, "not a report at all", 19);
    mw_admin_get_report(&c, &r);
    assert_int_equal(c.err, MW_EPROTO);
    mw_cur_init(&c, mw_buf_data(&b), mw_buf_size(&b));
    mw_admin_get_list(&c, &(struct mw_admin_list){0});
    assert_int_equal(c.err, MW_EPROTO);
    mw_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admin_01_every_request_comes_back),
        cmocka_unit_test(test_admin_02_every_answer_comes_back),
        cmocka_unit_test(test_admin_03_the_limit_of_texts),
        cmocka_unit_test(test_admin_04_what_may_not_be_sent),
        cmocka_unit_test(test_admin_05_hostile_requests),
        cmocka_unit_test(test_admin_06_a_list_comes_back),
        cmocka_unit_test(test_admin_07_a_report_comes_back_with_its_strings_cut),
        cmocka_unit_test(test_admin_08_a_hostile_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
