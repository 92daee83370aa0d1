/*
 * test_module.c: what applications do with the module mod_wsgi, each group of callbacks in an
 * interpreter of its own.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "check.h"

/* Serve a callable of module.py in an application group. m is to be finished by the caller. */
static void call_with(struct chan_mem *m, const char *group, const char *callable,
                      const char *query, const char *id)
{
    rig_request(m, rig_app("module.py"), callable);
    m->head.app_group = (struct mw_str){group, strlen(group)};
    m->head.log_id = (struct mw_str){id, strlen(id)};
    chan_mem_pair(m, "QUERY_STRING", query);
    chan_mem_pair(m, "mod_wsgi.server_pid", "4711");
    chan_mem_body(m, "12345678");
    chan_mem_open(m);
    rig_runtime()->serve(&m->chan);
}

static void call(struct chan_mem *m, const char *group, const char *callable)
{
    call_with(m, group, callable, "", "");
}

/* The same, which must answer this. */
static void expect(const char *group, const char *callable, const char *query, const char *answer)
{
    struct chan_mem m;

    call_with(&m, group, callable, query, "");
    if (m.end != MW_END_COMPLETE || strcmp(body(&m), answer) != 0)
        fail_msg("%s is '%s', not '%s'; log:\n%s", callable, body(&m), answer, logged(&m));
    chan_mem_fini(&m);
}

#define MODULE "__import__('mod_wsgi')."

static void test_module_01_attributes(void **state)
{
    static const char *const rows[][2] = {
        {MODULE "RequestTimeout.__mro__[1:], " MODULE "RequestTimeout.__module__",
         "((<class 'BaseException'>, <class 'object'>), 'mod_wsgi')"},
        {MODULE "event_callbacks, " MODULE "shutdown_callbacks, " MODULE "signal_callbacks",
         "([], [], [])"},
        {"hasattr(__import__('mod_wsgi'), 'nothing')", "False"},
        {"hasattr(__import__('mod_wsgi'), '__path__')", "False"},
        {"[name for name in ('version', 'process_group', 'application_group', "
         "'maximum_processes', 'threads_per_process', 'FileWrapper', 'LogHandler', "
         "'RequestTimeout', 'request_data', 'active_requests', 'subscribe_events', "
         "'subscribe_shutdown', 'subscribe_signals') if not hasattr(__import__('mod_wsgi'), name)]",
         "[]"},
    };
    struct chan_mem m;

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
    ask(&m, "__import__('mod_wsgi').nothing");
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    assert_has(logged(&m), "AttributeError: module 'mod_wsgi' has no attribute 'nothing'");
    chan_mem_fini(&m);
}

static void test_module_02_request_data(void **state)
{
    struct chan_mem m;

    (void)state;
    expect("data", "data", "a", "(True, {'key': 'a'})");
    expect("data", "data", "b", "(True, {'key': 'b'})");
    expect("data", "data_elsewhere", "",
           "['request_data() was called by a thread that serves no request']");
    /* What is in the dict goes while the request is still there, its output included. */
    call(&m, "data", "data_that_looks_back");
    assert_string_equal(logged(&m), "3 gone with []\n");
    chan_mem_fini(&m);
    assert_string_equal(rig_log(), "");
}

static void test_module_03_active_requests(void **state)
{
    struct chan_mem m;

    (void)state;
    for (int i = 0; i < 3; i++) {
        char id[16], expected[64];
        snprintf(id, sizeof id, "id-%d", i);
        snprintf(expected, sizeof expected, "{'%s': {'mark': 'x'}}", id);
        call_with(&m, "active", "active", "x", id);
        assert_string_equal(body(&m), expected);
        chan_mem_fini(&m);
    }
    expect("active", "active", "x", "{}"); /* httpd gave it no id */
    call_with(&m, "active", "active_cleared", "x", "id");
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_string_equal(logged(&m), "");
    chan_mem_fini(&m);
    assert_string_equal(ask_in("active", MODULE "active_requests"), "{}");
}

struct waiter {
    pthread_t thread;
    pthread_mutex_t *gate;
    int inside; /* atomic */
    char id[16];
};

static void wait_at_gate(struct chan_mem *m)
{
    struct waiter *w = m->baton;

    __atomic_store_n(&w->inside, 1, __ATOMIC_RELEASE);
    pthread_mutex_lock(w->gate);
    pthread_mutex_unlock(w->gate);
}

static void *wait_inside(void *arg)
{
    struct waiter *w = arg;
    struct chan_mem m;

    rig_request(&m, rig_app("module.py"), "one");
    m.head.app_group = MW_STR("many");
    m.head.log_id = (struct mw_str){w->id, strlen(w->id)};
    m.check_gil = 0;
    m.on_read = wait_at_gate;
    m.baton = w;
    chan_mem_body(&m, "x");
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    chan_mem_fini(&m);
    return NULL;
}

static void launch(struct waiter *w, pthread_mutex_t *gate)
{
    w->gate = gate;
    assert_int_equal(pthread_create(&w->thread, NULL, wait_inside, w), 0);
    while (!__atomic_load_n(&w->inside, __ATOMIC_ACQUIRE))
        usleep(1000);
}

/* Requests that were there before anybody asked, and those that came later. */
static void test_module_04_active_requests_of_other_threads(void **state)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct waiter w[3] = {{.id = "a"}, {.id = "b"}, {.id = "c"}};
    const char *sorted = "''.join(sorted(" MODULE "active_requests))";

    (void)state;
    pthread_mutex_lock(&gate);
    launch(&w[0], &gate);
    launch(&w[1], &gate);
    assert_string_equal(ask_in("many", sorted), "'ab'");
    launch(&w[2], &gate);
    assert_string_equal(ask_in("many", sorted), "'abc'");
    assert_string_equal(ask_in("many", MODULE "active_requests['b']"), "{}");
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(w[i].thread, NULL);
    assert_string_equal(ask_in("many", sorted), "''");
}

/* -- events -- */

/* What a request logs. Borrowed until the next call. */
static const char *log_of(const char *group, const char *callable)
{
    static char text[8192];
    struct chan_mem m;

    call_with(&m, group, callable, "", "the-id");
    snprintf(text, sizeof text, "%s", logged(&m));
    chan_mem_fini(&m);
    return text;
}

static void test_module_10_events_of_a_request(void **state)
{
    struct chan_mem m;

    (void)state;
    expect("events", "subscribe", "names", "True");
    call(&m, "events", "one");
    assert_string_equal(logged(&m), "3 request_started\n3 response_started\n3 request_finished\n");
    assert_string_equal(events(&m), "log read:8 log head data+:5 log end:complete ");
    chan_mem_fini(&m);
    assert_has(log_of("events", "raises"), "3 request_started\n3 request_exception\n3 WSGI0174");
    assert_has(log_of("events", "raises"), "KeyError: 'early'\n3 request_finished\n");
    assert_has(log_of("events", "exits"), "3 request_exception\n3 WSGI0175");
    assert_has(log_of("events", "no_call"), "3 request_exception\n3 WSGI0174");
    assert_has(log_of("events", "raises_late"), "3 response_started\n3 request_exception\n");
    assert_has(log_of("events", "raises_in_close"), "3 request_exception\n3 WSGI0194");
    assert_has(log_of("events", "nothing of this name"), "3 WSGI0089");
    assert_lacks(log_of("events", "nothing of this name"), "request_");
    assert_string_equal(log_of("events", "unsubscribe"), "3 request_started\n");
    assert_string_equal(log_of("events", "one"), "");
    assert_string_equal(log_of("events of others", "one"), "");
}

static void test_module_11_payloads(void **state)
{
    (void)state;
    expect("payloads", "subscribe", "payloads", "True");
    assert_string_equal(
        log_of("payloads", "one"),
        "3 request_started application_object=function application_start=float "
        "callable_object=one daemon_start=float queue_start=float request_data=dict "
        "request_environ=dict request_id=the-id request_start=float server_pid=4711 thread_id=1\n"
        "3 response_started exception_info=None request_data=dict request_id=the-id "
        "response_headers=list response_status=201 Created\n"
        "3 request_finished application_finish=float application_start=float "
        "application_time=float daemon_start=float input_length=8 output_length=5 "
        "queue_start=float request_data=dict request_id=the-id request_start=float "
        "server_pid=4711 status=201 thread_id=1\n");
    assert_has(log_of("payloads", "raises"),
               "3 request_exception exception_info=KeyError with a traceback request_data=dict "
               "request_id=the-id\n");
    assert_has(log_of("payloads", "raises"), " input_length=0 output_length=0 ");
    assert_has(log_of("payloads", "raises"), " status=0 ");
    assert_has(log_of("payloads", "raises_late"), " output_length=5 ");
    assert_has(log_of("payloads", "raises_late"), " status=200 ");
}

static void test_module_12_ids_that_are_missing(void **state)
{
    struct chan_mem m;

    (void)state;
    expect("no ids", "subscribe", "payloads", "True");
    rig_request(&m, rig_app("module.py"), "one");
    m.head.app_group = MW_STR("no ids");
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    assert_has(logged(&m), "3 request_finished");
    assert_lacks(logged(&m), "request_id");
    assert_lacks(logged(&m), "server_pid");
    chan_mem_fini(&m);
}

static void test_module_13_what_callbacks_return(void **state)
{
    struct chan_mem m;

    (void)state;
    expect("replace", "replace", "", "None");
    call(&m, "replace", "one");
    assert_string_equal(body(&m), "('in its place', 1)");
    assert_string_equal(logged(&m), "3 after: to those after it True\n");
    chan_mem_fini(&m);
}

static void test_module_14_callbacks_that_fail(void **state)
{
    struct chan_mem m;

    (void)state;
    expect("failing", "failing", "", "None");
    call(&m, "failing", "one");
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_string_equal(body(&m), "hello");
    assert_has(logged(&m), "3 WSGI0112: LookupError raised by a callback for the event "
                           "'request_started'; it is ignored\n");
    assert_has(logged(&m), "LookupError: of the callback");
    assert_has(logged(&m), "3 WSGI0112: SystemExit raised by");
    assert_has(logged(&m), "TypeError: 'int' object is not callable");
    assert_has(logged(&m), "TypeError: keywords must be strings"); /* of a key that was returned */
    assert_has(logged(&m), "3 request_started\n");
    assert_has(logged(&m), "3 request_finished\n");
    assert_int_equal(count(logged(&m), "WSGI0112"), 12);
    chan_mem_fini(&m);
}

static void test_module_15_a_callback_that_removes_itself(void **state)
{
    struct chan_mem m;

    (void)state;
    call(&m, "once", "self_removing");
    assert_string_equal(logged(&m), "3 once: response_started\n");
    chan_mem_fini(&m);
    assert_string_equal(log_of("once", "one"), "");
}

static void test_module_16_data_is_that_of_the_request(void **state)
{
    (void)state;
    expect("seen", "data_in_events", "", "None");
    assert_string_equal(log_of("seen", "one"), "3 request_started 1 True\n3 response_started 2 "
                                               "True\n3 request_finished 3 True\n");
}

static void test_module_17_output_of_the_last_callback(void **state)
{
    (void)state;
    rig_log_clear();
    expect("late", "late_print", "", "None");
    assert_string_equal(log_of("late", "one"), "3 unfinishedunfinishedunfinished\n");
    assert_string_equal(rig_log(), "");
}

/* A client that leaves while the last bytes go out is no failure of the events. */
static void test_module_18_finished_although_nothing_could_be_sent(void **state)
{
    struct chan_mem m;

    (void)state;
    expect("leaving", "subscribe", "payloads", "True");
    rig_request(&m, rig_app("module.py"), "one");
    m.head.app_group = MW_STR("leaving");
    m.fail_at[CHAN_MEM_HEAD] = 1;
    m.fail_with = MW_EABORT;
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_ABORTED);
    assert_has(logged(&m), "3 request_finished");
    assert_has(logged(&m), " output_length=0 ");
    assert_int_equal(m.calls[CHAN_MEM_HEAD], 1);
    chan_mem_fini(&m);
}

static void test_module_20_signals_are_not_for_embedded_mode(void **state)
{
    struct chan_mem m;

    (void)state;
    call(&m, "signals", "subscribe_signals");
    assert_string_equal(body(&m), "False");
    assert_has(logged(&m), "6 WSGI0206: mod_wsgi.subscribe_signals() is ignored");
    assert_has(logged(&m), "6     mod_wsgi.subscribe_signals(signalled)\n");
    chan_mem_fini(&m);
    assert_string_equal(ask_in("signals", MODULE "signal_callbacks"), "[]");
}

/* -- LogHandler -- */

static void test_module_30_log_handler_keeps_levels(void **state)
{
    struct chan_mem m;

    (void)state;
    call(&m, "logging", "log_handler");
    assert_string_equal(body(&m), "(True, 'mod_wsgi', True, True)");
    /* In front of each the line of the application that logged it. */
    assert_has(logged(&m), "7 module.py(227) Level 1: 1\n7 module.py(227) DEBUG: 10\n"
                           "7 module.py(227) Level 15: 15\n6 module.py(227) INFO: 20\n"
                           "4 module.py(227) WARNING: 30\n4 module.py(227) Level 35: 35\n"
                           "3 module.py(227) ERROR: 40\n2 module.py(227) CRITICAL: 50\n"
                           "2 module.py(227) Level 60: 60\n3 module.py(228) ERROR: two\n"
                           "3 module.py(228) lines\n"
                           "3 module.py(229) ERROR: na\xc3\xafve \\udc80\n");
    assert_has(logged(&m), "3 --- Logging error ---\n");
    assert_has(logged(&m), "3 module.py(234) ERROR: caught\n"
                           "3 module.py(234) Traceback (most recent call last):\n");
    assert_has(logged(&m), "3 module.py(234) ZeroDivisionError: ");
    chan_mem_fini(&m);
    assert_string_equal(ask_in("no logging", "'logging' in __import__('sys').modules"), "False");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module_01_attributes),
        cmocka_unit_test(test_module_02_request_data),
        cmocka_unit_test(test_module_03_active_requests),
        cmocka_unit_test(test_module_04_active_requests_of_other_threads),
        cmocka_unit_test(test_module_10_events_of_a_request),
        cmocka_unit_test(test_module_11_payloads),
        cmocka_unit_test(test_module_12_ids_that_are_missing),
        cmocka_unit_test(test_module_13_what_callbacks_return),
        cmocka_unit_test(test_module_14_callbacks_that_fail),
        cmocka_unit_test(test_module_15_a_callback_that_removes_itself),
        cmocka_unit_test(test_module_16_data_is_that_of_the_request),
        cmocka_unit_test(test_module_17_output_of_the_last_callback),
        cmocka_unit_test(test_module_18_finished_although_nothing_could_be_sent),
        cmocka_unit_test(test_module_20_signals_are_not_for_embedded_mode),
        cmocka_unit_test(test_module_30_log_handler_keeps_levels),
    };

    return cmocka_run_group_tests_name("module", tests, rig_start, rig_stop);
}
