/*
 * test_client.c: wsgi.early_hints and wsgi.client_disconnected over the in-memory channel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "check.h"

/* What a request of an application in client.py must lead to. */
struct expected {
    const char *callable;
    const char *query;
    unsigned gone_at; /* the n-th question is answered with yes; 0: none */
    enum mw_end end;
    const char *body;
    const char *events; /* NULL: any */
    const char *log;    /* all of it; NULL: anything that holds `part` */
    const char *part;
};

static void check(const struct expected *row)
{
    struct chan_mem m;

    rig_request(&m, rig_app("client.py"), row->callable);
    if (row->query)
        chan_mem_pair(&m, "QUERY_STRING", row->query);
    m.fail_at[CHAN_MEM_GONE] = row->gone_at;
    chan_mem_open(&m);
    enum mw_end end = rig_runtime()->serve(&m.chan);
    const char *what = row->query ? row->query : row->callable;
    const char *log = chan_mem_text(&m.log);
    if (end != row->end || m.end != row->end)
        fail_msg("%s ended as %s; log:\n%s", what, mw_end_name(end), log);
    if (strcmp(chan_mem_text(&m.body), row->body) != 0)
        fail_msg("%s answered '%s'", what, chan_mem_text(&m.body));
    if (row->events && strcmp(chan_mem_text(&m.events), row->events) != 0)
        fail_msg("%s: events %s", what, chan_mem_text(&m.events));
    if (row->log ? strcmp(log, row->log) != 0 : !strstr(log, row->part))
        fail_msg("%s: log '%s'", what, log);
    chan_mem_fini(&m);
}

static void test_client_01_hints_go_out_at_once_and_in_order(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("client.py"), "hints");
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_string_equal(chan_mem_text(&m.body), "hinted");
    assert_string_equal(chan_mem_text(&m.events),
                        "inform inform inform head data+:6 end:complete ");
    assert_string_equal(chan_mem_text(&m.informs), "Link: </a.css>; rel=preload; as=style\n"
                                                   "Link: </b.js>; rel=preload\n\n"
                                                   "Link: </a.css>; rel=preload; as=style\n\n"
                                                   "X-Last: \xe9\n\n");
    assert_null(chan_mem_field(&m, "Link", 0)); /* the final head is the application's own */
    assert_string_equal(chan_mem_text(&m.log), "");
    chan_mem_fini(&m);
}

static void test_client_02_hints_that_say_nothing_or_come_too_late(void **state)
{
    (void)state;
    check(&(struct expected){
        .callable = "no_hints", .body = "none", .events = "head data+:4 end:complete ", .log = ""});
    check(&(struct expected){
        .callable = "late_hints",
        .body = "begun late",
        .events = "head data:6 log data+:4 end:complete ",
        .log = "7 WSGI0539: early hints came after the response had begun; they are "
               "dropped\n"});
}

static void test_client_03_wrong_hints_raise_and_nothing_is_sent(void **state)
{
    (void)state;
    check(&(struct expected){.callable = "wrong_hints",
                             .body = "checked",
                             .events = "head data+:7 end:complete ",
                             .log = ""});
    check(&(struct expected){.callable = "shrinking_hints", .body = "survived", .log = ""});
    check(&(struct expected){.callable = "raising_hints",
                             .end = MW_END_FAILED,
                             .body = "",
                             .events = NULL,
                             .part = "WSGI0174: ValueError raised by the application"});
}

static void test_client_04_hints_are_limited(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("client.py"), "too_many_hints");
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_int_equal(m.calls[CHAN_MEM_INFORM], MW_CHAN_INFORMS_MAX);
    assert_string_equal(chan_mem_text(&m.body),
                        "wsgi.early_hints was called more than 16 times in one request");
    chan_mem_fini(&m);
}

static void test_client_05_hints_for_nobody(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("client.py"), "hints");
    m.fail_at[CHAN_MEM_INFORM] = 2;
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_ABORTED);
    assert_int_equal(m.calls[CHAN_MEM_INFORM], 2);
    assert_string_equal(chan_mem_text(&m.body), "");
    assert_non_null(strstr(chan_mem_text(&m.log), "7 WSGI0532: the client went away"));
    assert_null(strstr(chan_mem_text(&m.log), "Traceback"));
    chan_mem_fini(&m);
}

static void test_client_06_after_the_request(void **state)
{
    (void)state;
    check(&(struct expected){.callable = "keep", .body = "kept", .log = ""});
    check(
        &(struct expected){.callable = "use_kept",
                           .body = "wsgi.early_hints was called after its request had ended; True",
                           .log = ""});
}

static void test_client_07_a_client_that_is_there(void **state)
{
    (void)state;
    check(&(struct expected){.callable = "ask",
                             .body = "False False",
                             .events = "gone gone head data+:11 end:complete ",
                             .log = ""});
}

/* Two threads use Python here, so that the channel cannot tell who has the GIL. */
static void test_client_08_any_thread_may_ask(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("client.py"), "ask_in_thread");
    m.check_gil = 0;
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
    assert_string_equal(chan_mem_text(&m.body), "[False]");
    chan_mem_fini(&m);
}

#define LEFT "7 WSGI0532: the client went away"

/* However the application gives up: the client has left, that is no error, and it is said once. */
static void test_client_09_giving_up_is_no_error(void **state)
{
    static const struct expected rows[] = {
        {"ask_then", "nothing", 2, MW_END_ABORTED, "", "gone gone log end:aborted ", NULL, LEFT},
        {"ask_then", "answer", 2, MW_END_ABORTED, "", "gone gone head log end:aborted ", NULL,
         LEFT},
        {"ask_then", "empty", 2, MW_END_ABORTED, "", "gone gone head end:aborted ", "", NULL},
        {"ask_then", "raise", 2, MW_END_ABORTED, "", "gone gone log end:aborted ", NULL, LEFT},
        {"ask_then", "hints", 2, MW_END_ABORTED, "", "gone gone log log end:aborted ", NULL, LEFT},
        {"ask_then", "write", 2, MW_END_ABORTED, "", "gone gone log log end:aborted ", NULL,
         "write failed\n" LEFT},
    };

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        check(&rows[i]);
}

static void test_client_10_a_fault_is_one_even_if_nobody_is_there(void **state)
{
    (void)state;
    check(&(struct expected){.callable = "ask_then",
                             .query = "fail",
                             .gone_at = 2,
                             .end = MW_END_FAILED,
                             .body = "",
                             .part = "KeyError: 'marker-fault'"});
}

static void test_client_11_the_iterable_is_closed(void **state)
{
    (void)state;
    check(&(struct expected){.callable = "blocks",
                             .gone_at = 3,
                             .end = MW_END_ABORTED,
                             .body = "blockblock",
                             .events = "gone head data:5 gone data:5 gone log log log end:aborted ",
                             .part = "heard at 3\n" LEFT});
    check(&(struct expected){.callable = "blocks",
                             .gone_at = 3,
                             .end = MW_END_ABORTED,
                             .body = "blockblock",
                             .part = "closed after 3\n"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_01_hints_go_out_at_once_and_in_order),
        cmocka_unit_test(test_client_02_hints_that_say_nothing_or_come_too_late),
        cmocka_unit_test(test_client_03_wrong_hints_raise_and_nothing_is_sent),
        cmocka_unit_test(test_client_04_hints_are_limited),
        cmocka_unit_test(test_client_05_hints_for_nobody),
        cmocka_unit_test(test_client_06_after_the_request),
        cmocka_unit_test(test_client_07_a_client_that_is_there),
        cmocka_unit_test(test_client_08_any_thread_may_ask),
        cmocka_unit_test(test_client_09_giving_up_is_no_error),
        cmocka_unit_test(test_client_10_a_fault_is_one_even_if_nobody_is_there),
        cmocka_unit_test(test_client_11_the_iterable_is_closed),
    };

    return cmocka_run_group_tests_name("client", tests, rig_start, NULL);
}
