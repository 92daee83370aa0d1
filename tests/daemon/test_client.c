/*
 * test_client.c: what a worker and an httpd child say to each other about the client's connection beside
 * the answer: informational responses, and whether the client is still there. The test plays the child.
 */
#include <stdlib.h>

#include "ask.h"
#include "clock.h"
#include "io.h"

static void send_request(struct talk *t, const char *callable, size_t body_n)
{
    rig_send(&t->l,
             &(struct ask){.callable = callable, .body = body_n ? "" : NULL, .body_n = body_n});
}

static void expect_end(struct talk *t, enum mw_end how)
{
    assert_int_equal(talk_await(t, MW_F_END).payload[0], how);
}

static void test_client_01_informational_responses_come_before_the_head(void **state)
{
    struct answer a;
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    for (int i = 0; i < 3; i++) {
        rig_talk(&t.l, &(struct ask){.callable = "hints"}, &a);
        assert_int_equal(a.end, MW_END_COMPLETE);
        assert_string_equal(a.links, "</one>\n</two>\n");
        assert_string_equal(a.body, "hinted");
        answer_fini(&a);
    }
    talk_end(&t);
}

static void test_client_02_an_informational_response_does_not_wait(void **state)
{
    struct mw_frame f;
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    send_request(&t, "hints-wait-gone", 0);
    f = talk_await(&t, MW_F_INFORM); /* while the application runs */
    assert_true(f.n > 0);
    talk_await(&t, MW_F_ASK);
    assert_int_equal(mw_link_send(&t.l, MW_F_ABORT, NULL, 0), 0);
    expect_end(&t, MW_END_ABORTED);
    talk_end(&t);
}

static void test_client_03_a_client_that_goes_is_noticed_when_asked_for(void **state)
{
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    send_request(&t, "wait-gone", 0);
    talk_await(&t, MW_F_LOG);
    for (int i = 0; i < 20; i++) {
        talk_await(&t, MW_F_ASK);
        assert_int_equal(mw_link_send(&t.l, MW_F_ALIVE, NULL, 0), 0);
    }
    talk_await(&t, MW_F_ASK);
    assert_int_equal(mw_link_send(&t.l, MW_F_ABORT, NULL, 0), 0);
    expect_end(&t, MW_END_ABORTED);
    assert_true(rig_logged(&t.r, "client gone"));
    talk_expect_hello(&t);
    talk_end(&t);
}

static void test_client_04_nothing_is_asked_unless_the_application_does(void **state)
{
    static char body[100000];
    static const char *const callables[] = {"hello", "echo", "in-pieces", "lines", "hints"};
    struct answer a;
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    for (size_t i = 0; i < MW_ARRAY_LEN(callables); i++) {
        rig_talk(&t.l, &(struct ask){.callable = callables[i], .body = body, .body_n = sizeof body},
                 &a);
        assert_int_equal(a.end, MW_END_COMPLETE);
        assert_int_equal(a.asks, 0);
        answer_fini(&a);
    }
    talk_end(&t);
}

static void test_client_05_asking_loses_no_byte_of_the_body(void **state)
{
    static const size_t sizes[] = {1, 777, 778, MW_BODY_INLINE_MAX, MW_BODY_INLINE_MAX + 1, 300000};
    struct answer a;
    struct talk t;
    char *body = malloc(300000);

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < 300000; i++)
        body[i] = (char)(i * 7 + i / 777);
    talk_begin(&t, fake());
    for (size_t i = 0; i < MW_ARRAY_LEN(sizes); i++) {
        struct ask ask = {.callable = "ask-echo",
                          .body = body,
                          .body_n = sizes[i],
                          .inline_body = sizes[i] <= MW_BODY_INLINE_MAX};
        rig_talk(&t.l, &ask, &a);
        if (a.end != MW_END_COMPLETE || a.n != sizes[i])
            fail_msg("%zu bytes: end %d, %zu back\n%s", sizes[i], a.end, a.n, rig_log(&t.r));
        assert_memory_equal(a.body, body, sizes[i]);
        assert_true(a.asks > (int)(sizes[i] / 777));
        answer_fini(&a);
    }
    free(body);
    talk_end(&t);
}

static void test_client_06_an_abort_that_crosses_the_question_answers_it(void **state)
{
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    assert_int_equal(mw_link_flush(&t.l), 0);
    send_request(&t, "wait-gone", 0); /* the worker has it, and ABORT, before it asks or after */
    assert_int_equal(mw_link_send(&t.l, MW_F_ABORT, NULL, 0), 0);
    expect_end(&t, MW_END_ABORTED);
    talk_expect_hello(&t);
    talk_end(&t);
}

static void test_client_07_a_child_that_goes_takes_its_client_along(void **state)
{
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    send_request(&t, "wait-gone", 0);
    talk_await(&t, MW_F_ASK);
    talk_disconnect(&t);
    rig_wait_log(&t.r, "client gone", 5000);
    talk_connect(&t);
    talk_expect_hello(&t);
    talk_end(&t);
}

static void test_client_08_answers_that_nobody_asked_for(void **state)
{
    static const unsigned wrong[] = {MW_F_REQUEST, MW_F_HEAD, MW_F_ASK, MW_F_INFORM, MW_F_DATA};
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    talk_expect_hello(&t);
    assert_int_equal(mw_link_send(&t.l, MW_F_ALIVE, NULL, 0), 0); /* without a request */
    talk_expect_dropped(&t);

    send_request(&t, "stream", 0); /* with a request, without a question */
    talk_await(&t, MW_F_DATA);
    assert_int_equal(mw_link_send(&t.l, MW_F_ALIVE, NULL, 0), 0);
    talk_expect_dropped(&t);

    for (size_t i = 0; i < MW_ARRAY_LEN(wrong); i++) { /* to the question */
        send_request(&t, "wait-gone", 0);
        talk_await(&t, MW_F_ASK);
        size_t n = wrong[i] == MW_F_ASK ? 0 : 1;
        assert_int_equal(mw_link_send(&t.l, wrong[i], "x", n), 0);
        talk_expect_dropped(&t);
    }
    talk_end(&t);
}

/* Answer so many WANTs with one byte each: credit is left over, and does not add up. */
static void save_credit(struct talk *t, int wants)
{
    for (int i = 0; i < wants; i++) {
        talk_await(t, MW_F_ASK);
        assert_int_equal(mw_link_send(&t->l, MW_F_ALIVE, NULL, 0), 0);
        talk_await(t, MW_F_WANT);
        assert_int_equal(mw_link_send(&t->l, MW_F_BODY, "b", 1), 0);
    }
    talk_await(t, MW_F_ASK);
}

static void test_client_09_what_a_worker_keeps_meanwhile_is_limited(void **state)
{
    static char much[MW_BODY_WINDOW];
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    for (size_t over = 0; over <= 1; over++) {
        send_request(&t, "ask-echo", 2u << 20);
        save_credit(&t, 18);
        assert_int_equal(mw_link_send(&t.l, MW_F_BODY, much, sizeof much - 1 + over), 0);
        if (over)
            continue;
        assert_int_equal(mw_link_send(&t.l, MW_F_ABORT, NULL, 0), 0);
        expect_end(&t, MW_END_ABORTED);
    }
    talk_expect_dropped(&t);
    talk_end(&t);
}

static void test_client_10_lines_of_a_workers_own_log_are_escaped(void **state)
{
    struct answer a;
    struct talk t;

    (void)state;
    talk_begin(&t, fake());
    rig_talk(&t.l, &(struct ask){.callable = "control-bytes"}, &a);
    assert_int_equal(a.end, MW_END_COMPLETE);
    assert_true(rig_logged(&t.r, "] tab\\tescape\\x1b[2J backslash\\\\ end\n"));
    answer_fini(&a);
    talk_end(&t);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_client_01_informational_responses_come_before_the_head),
        T(test_client_02_an_informational_response_does_not_wait),
        T(test_client_03_a_client_that_goes_is_noticed_when_asked_for),
        T(test_client_04_nothing_is_asked_unless_the_application_does),
        T(test_client_05_asking_loses_no_byte_of_the_body),
        T(test_client_06_an_abort_that_crosses_the_question_answers_it),
        T(test_client_07_a_child_that_goes_takes_its_client_along),
        T(test_client_08_answers_that_nobody_asked_for),
        T(test_client_09_what_a_worker_keeps_meanwhile_is_limited),
        T(test_client_10_lines_of_a_workers_own_log_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
