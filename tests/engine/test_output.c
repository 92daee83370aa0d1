/*
 * test_output.c: start_response, bodies and exceptions over the in-memory channel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "check.h"

static void test_output_01_lists_and_tuples(void **state)
{
    static const struct row rows[] = {
        {"one", 0, MW_END_COMPLETE, 200, "hello", "5", "head data+:5 end:complete ", {0}},
        {"one_tuple", 0, MW_END_COMPLETE, 200, "hello", "5", "head data+:5 end:complete ", {0}},
        {"several", 0, MW_END_COMPLETE, 200, "abcdef", "6", "head data+:6 end:complete ", {0}},
        {"nothing", 0, MW_END_COMPLETE, 200, "", "0", "head end:complete ", {0}},
        {"own_length", 0, MW_END_COMPLETE, 200, "hello", "5", NULL, {0}},
        {"callable_object", 0, MW_END_COMPLETE, 200, "object", "6", NULL, {0}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_02_bodies_that_must_not_be(void **state)
{
    static const struct row rows[] = {
        {"no_content", 0, MW_END_COMPLETE, 204, "", NULL, "head end:complete ", {0}},
        {"not_modified", 0, MW_END_COMPLETE, 304, "", NULL, "head end:complete ", {0}},
        {"one", MW_REQ_HEAD, MW_END_COMPLETE, 200, "", "5", "head end:complete ", {0}},
        {"nothing", MW_REQ_HEAD, MW_END_COMPLETE, 200, "", NULL, "head end:complete ", {0}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_03_content_length_that_lies(void **state)
{
    static const struct row rows[] = {
        {"long_body", 0, MW_END_COMPLETE, 200, "hel", "3", NULL, {"WSGI0535", "2 bytes beyond"}},
        {"short_body", 0, MW_END_TRUNCATED, 200, "hello", "9", NULL, {"WSGI0536", "4 bytes less"}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_04_large_lists_are_sent_in_pieces(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("output.py"), "large");
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_string_equal(events(&m), "head data+:70000 data+:70000 end:complete ");
    assert_string_equal(chan_mem_field(&m, "Content-Length", 0), "140000");
    assert_int_equal(mw_buf_data(&m.body)[69999], 'x');
    assert_int_equal(mw_buf_data(&m.body)[70000], 'y');
    chan_mem_fini(&m);
    rig_serve(&m, rig_app("output.py"), "many");
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_int_equal(mw_buf_size(&m.body), 600000);
    assert_int_equal(m.calls[CHAN_MEM_DATA], 600);
    chan_mem_fini(&m);
}

static void test_output_05_copied_body_at_its_limit(void **state)
{
    static const char *const sizes[] = {"65535", "65536", "65537"};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(sizes); i++) {
        struct chan_mem m;
        rig_request(&m, rig_app("output.py"), "edge");
        chan_mem_pair(&m, "QUERY_STRING", sizes[i]);
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        assert_int_equal(m.end, MW_END_COMPLETE);
        assert_int_equal(mw_buf_size(&m.body), strtoul(sizes[i], NULL, 10));
        assert_string_equal(chan_mem_field(&m, "Content-Length", 0), sizes[i]);
        chan_mem_fini(&m);
    }
}

static void test_output_06_each_block_goes_before_the_next_is_asked_for(void **state)
{
    static const struct row rows[] = {
        {"generator",
         0,
         MW_END_COMPLETE,
         200,
         "abc",
         NULL,
         "log head data:1 log log data:2 log end:complete ",
         {"before b'a'", "done"}},
        {"late_start", 0, MW_END_COMPLETE, 200, "late", NULL, "head data:4 end:complete ", {0}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_07_iterables_are_closed_once(void **state)
{
    static const struct row rows[] = {
        {"closing",
         0,
         MW_END_COMPLETE,
         200,
         "ab",
         NULL,
         "head data:1 data:1 log end:complete ",
         {"closed"}},
        {"closing_empty", 0, MW_END_COMPLETE, 200, "", NULL, "log head end:complete ", {"closed"}},
        {"list_with_close", 0, MW_END_COMPLETE, 200, "ab", NULL, NULL, {"closed"}},
        {"closing_fails",
         0,
         MW_END_COMPLETE,
         200,
         "ab",
         NULL,
         NULL,
         {"closed", "WSGI0194: RuntimeError raised by close()", "close went wrong"}},
        {"closing_raises_first",
         0,
         MW_END_FAILED,
         0,
         "",
         NULL,
         NULL,
         {"WSGI0174: KeyError raised by the response", "the request gets 500", "closed"}},
        {"closing_raises_later",
         0,
         MW_END_TRUNCATED,
         200,
         "a",
         NULL,
         NULL,
         {"WSGI0174: KeyError raised by the response", "the answer is cut", "closed"}},
        {"closing_bad_item",
         0,
         MW_END_TRUNCATED,
         200,
         "a",
         NULL,
         NULL,
         {"must yield bytes, not str", "closed"}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct chan_mem m;
        rig_serve(&m, rig_app("output.py"), rows[i].callable);
        assert_int_equal(count(logged(&m), " closed\n"), 1);
        chan_mem_fini(&m);
    }
}

static void test_output_08_what_is_no_answer(void **state)
{
    static const struct row rows[] = {
        {"str_in_list", 0, MW_END_FAILED, 0, "", NULL, NULL, {"TypeError", "bytes, not str"}},
        {"str_result", 0, MW_END_FAILED, 0, "", NULL, NULL, {"TypeError", "bytes, not str"}},
        {"none_result", 0, MW_END_FAILED, 0, "", NULL, NULL, {"TypeError", "not iterable"}},
        {"never_started", 0, MW_END_FAILED, 0, "", NULL, NULL, {"without calling start_response"}},
        {"never_started_iterable",
         0,
         MW_END_FAILED,
         0,
         "",
         NULL,
         NULL,
         {"without calling start_response"}},
        {"never_started_empty",
         0,
         MW_END_FAILED,
         0,
         "",
         NULL,
         NULL,
         {"without calling start_response"}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_09_write(void **state)
{
    static const struct row rows[] = {
        {"write",
         0,
         MW_END_COMPLETE,
         200,
         "one,two,three",
         NULL,
         "head data:4 data:4 data+:5 end:complete ",
         {0}},
        {"write_only", 0, MW_END_COMPLETE, 200, "written", NULL, "head data:7 end:complete ", {0}},
        {"write_str", 0, MW_END_FAILED, 0, "", NULL, NULL, {"data must be bytes, not str"}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_10_exceptions(void **state)
{
    static const struct row rows[] = {
        {"raises",
         0,
         MW_END_FAILED,
         0,
         "",
         NULL,
         NULL,
         {"3 WSGI0174: KeyError raised by the application of script '",
          "/output.py' in interpreter ''", "output.py\", line ", "KeyError: 'before the headers'"}},
        {"raises_after_start", 0, MW_END_FAILED, 0, "", NULL, NULL, {"WSGI0174", "KeyError"}},
        {"raises_after_write",
         0,
         MW_END_TRUNCATED,
         200,
         "some",
         NULL,
         NULL,
         {"WSGI0174", "the answer is cut", "after the first bytes"}},
        {"exits", 0, MW_END_FAILED, 0, "", NULL, NULL, {"WSGI0175: SystemExit"}},
        {"interrupted", 0, MW_END_FAILED, 0, "", NULL, NULL, {"WSGI0174: KeyboardInterrupt"}},
        {"raises_badly",
         0,
         MW_END_FAILED,
         0,
         "",
         NULL,
         NULL,
         {"WSGI0174: BadError", "in raises_badly"}},
        {"raises_unprintable", 0, MW_END_FAILED, 0, "", NULL, NULL, {"lone \\udc80 surrogate"}},
        {"one", 0, MW_END_COMPLETE, 200, "hello", "5", NULL, {0}}, /* the process lives on */
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_11_second_start_response(void **state)
{
    static const struct row rows[] = {
        {"replaced", 0, MW_END_COMPLETE, 500, "sorry", "5", NULL, {0}},
        {"replaced_by_name", 0, MW_END_COMPLETE, 500, "sorry", "5", NULL, {0}},
        {"replaced_late",
         0,
         MW_END_TRUNCATED,
         200,
         "sent",
         NULL,
         NULL,
         {"WSGI0174: KeyError", "the original"}},
        {"started_twice",
         0,
         MW_END_FAILED,
         0,
         "",
         NULL,
         NULL,
         {"AssertionError", "a second time without exc_info"}},
        {"started_after_failure", 0, MW_END_COMPLETE, 201, "x", "1", NULL, {0}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
    struct chan_mem m;
    rig_serve(&m, rig_app("output.py"), "replaced");
    assert_null(chan_mem_field(&m, "X-First", 0));
    assert_string_equal(chan_mem_field(&m, "X-Second", 0), "2");
    chan_mem_fini(&m);
}

static void test_output_12_connection_fields_are_dropped(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("output.py"), "hop_by_hop");
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_int_equal(m.rsp.nfields, 2);
    assert_string_equal(chan_mem_field(&m, "X-Kept", 0), "yes");
    assert_string_equal(chan_mem_field(&m, "Content-Length", 0), "5");
    assert_int_equal(count(logged(&m), "7 WSGI0530"), 4);
    chan_mem_fini(&m);
}

static void test_output_13_fields_arrive_as_they_were(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("output.py"), "repeated");
    assert_string_equal(chan_mem_field(&m, "Set-Cookie", 0), "a=1");
    assert_string_equal(chan_mem_field(&m, "Set-Cookie", 1), "b=2");
    chan_mem_fini(&m);
    rig_serve(&m, rig_app("output.py"), "latin1");
    assert_string_equal(m.rsp.reason.p, "D\xe9j\xe0");
    assert_string_equal(chan_mem_field(&m, "X-Name", 0), "caf\xe9");
    chan_mem_fini(&m);
}

static void test_output_14_arguments_of_start_response(void **state)
{
    static const char *const rows[][2] = {
        {"('200 OK', [])", "accepted"},
        {"('200', [])", "accepted"},
        {"('200 ', [])", "accepted"},
        {"('999 Foo', [])", "accepted"},
        {"(Text('200 OK'), List())", "accepted"},
        {"('200 OK', [], None)", "accepted"},
        {"('200 OK', [('X', '')])", "accepted"},
        {"('200 OK', [('X', 'a\\tb')])", "accepted"},
        {"('200 OK', [('X', '1')] * 999)", "accepted"},
        {"('200 OK', [('X', '1')] * 1000)",
         "ValueError: start_response: response head is too large"},
        {"('200 OK', [('X', 'v' * 261000)])", "accepted"},
        {"('200 OK', [('X', 'v' * 262144)])", "ValueError: start_response: response head is too"},
        {"(b'200 OK', [])", "TypeError: start_response: status must be str, not bytes"},
        {"(200, [])", "TypeError: start_response: status must be str, not int"},
        {"('20 x', [])", "ValueError: start_response: status must be three digits"},
        {"('2000', [])", "ValueError: start_response: status must be three digits"},
        {"('200OK', [])", "ValueError: start_response: status must be three digits"},
        {"('', [])", "ValueError: start_response: status must be three digits"},
        {"('\\u0662\\u0660\\u0660 OK', [])", "ValueError: start_response: status has characters"},
        {"('100 Continue', [])",
         "ValueError: start_response: status code must be a number from 200"},
        {"('199 x', [])", "ValueError: start_response: status code must be a number from 200"},
        {"('200 O\\r\\nX: y', [])", "ValueError: start_response: reason phrase must not"},
        {"('200 O\\0K', [])", "ValueError: start_response: reason phrase must not"},
        {"('200 \\u20ac', [])",
         "ValueError: start_response: status has characters outside of Latin-1"},
        {"('200 OK', ())", "TypeError: start_response: headers must be a list, not tuple"},
        {"('200 OK', {})", "TypeError: start_response: headers must be a list, not dict"},
        {"('200 OK', None)", "TypeError: start_response: headers must be a list, not NoneType"},
        {"('200 OK', [['X', '1']])",
         "TypeError: start_response: headers must be a list of (name, value)"},
        {"('200 OK', [('X',)])",
         "TypeError: start_response: headers must be a list of (name, value)"},
        {"('200 OK', [(b'X', '1')])",
         "TypeError: start_response: header name must be str, not bytes"},
        {"('200 OK', [('X', 1)])", "TypeError: start_response: header value must be str, not int"},
        {"('200 OK', [('', '1')])",
         "ValueError: start_response: header name must consist of token"},
        {"('200 OK', [('X Y', '1')])",
         "ValueError: start_response: header name must consist of token"},
        {"('200 OK', [('X:', '1')])",
         "ValueError: start_response: header name must consist of token"},
        {"('200 OK', [('X\\n', '1')])",
         "ValueError: start_response: header name must consist of token"},
        {"('200 OK', [('X\\xe9', '1')])",
         "ValueError: start_response: header name must consist of"},
        {"('200 OK', [('X', 'a\\r\\nY: b')])", "ValueError: start_response: header value must not"},
        {"('200 OK', [('X', 'a\\nb')])",
         "ValueError: start_response: header value must not contain"},
        {"('200 OK', [('X', 'a\\0b')])",
         "ValueError: start_response: header value must not contain"},
        {"('200 OK', [('X', '\\x7f')])",
         "ValueError: start_response: header value must not contain"},
        {"('200 OK', [('X', '\\u20ac')])",
         "ValueError: start_response: header value has characters"},
        {"('200 OK', [('Content-Length', '-1')])",
         "ValueError: start_response: Content-Length must"},
        {"('200 OK', [('Content-Length', '1x')])",
         "ValueError: start_response: Content-Length must"},
        {"('200 OK', [('Content-Length', '')])", "ValueError: start_response: Content-Length must"},
        {"('200 OK', [('Content-Length', '+1')])",
         "ValueError: start_response: Content-Length must"},
        {"('200 OK', [('Content-Length', '99999999999999999999')])",
         "ValueError: start_response: Cont"},
        {"('200 OK', [('Content-Length', '8'), ('content-length', '8')])",
         "ValueError: start_response"},
        {"('200 OK', [('Content-Length', '8')])", "accepted"},
        {"('200 OK',)", "TypeError: start_response takes (status, headers, exc_info=None)"},
        {"('200 OK', [], None, 4)",
         "TypeError: start_response takes (status, headers, exc_info=None)"},
        {"('200 OK', [], 'x')", "TypeError: start_response: exc_info must be what sys.exc_info()"},
        {"('200 OK', [], (1, 2))",
         "TypeError: start_response: exc_info must be what sys.exc_info()"},
    };

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct chan_mem m;
        rig_request(&m, rig_app("heads.py"), "application");
        chan_mem_pair(&m, "EXPR", rows[i][0]);
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        if (m.end != MW_END_COMPLETE || strncmp(body(&m), rows[i][1], strlen(rows[i][1])) != 0)
            fail_msg("%s: %s '%s' log:\n%s", rows[i][0], mw_end_name(m.end), body(&m), logged(&m));
        chan_mem_fini(&m);
    }
}

static void test_output_15_client_leaves(void **state)
{
    static const char *const callables[] = {"generator", "closing", "large", "one", "write"};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(callables); i++) {
        struct chan_mem m;
        rig_request(&m, rig_app("output.py"), callables[i]);
        m.fail_at[CHAN_MEM_DATA] = 1;
        chan_mem_open(&m);
        assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_ABORTED);
        assert_int_equal(m.calls[CHAN_MEM_DATA], 1);
        assert_has(logged(&m), "7 WSGI0532");
        assert_lacks(logged(&m), "Traceback");
        assert_lacks(logged(&m), "WSGI0174");
        if (strcmp(callables[i], "closing") == 0)
            assert_int_equal(count(logged(&m), " closed\n"), 1);
        if (strcmp(callables[i], "generator") == 0)
            assert_lacks(logged(&m), "done");
        chan_mem_fini(&m);
    }
}

static void test_output_16_write_says_that_the_client_left(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("output.py"), "write_goes_on");
    m.fail_at[CHAN_MEM_DATA] = 2;
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_ABORTED);
    assert_int_equal(count(logged(&m), "mod_wsgi response data write error: "), 2);
    assert_string_equal(body(&m), "a");
    chan_mem_fini(&m);
}

static void test_output_17_channel_fails(void **state)
{
    static const char *const callables[] = {"closing", "one", "large"};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(callables); i++) {
        struct chan_mem m;
        rig_request(&m, rig_app("output.py"), callables[i]);
        m.fail_at[CHAN_MEM_DATA] = 1;
        m.fail_with = MW_EIO;
        chan_mem_open(&m);
        assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_TRUNCATED);
        assert_has(logged(&m), "3 WSGI0533");
        chan_mem_fini(&m);
        rig_request(&m, rig_app("output.py"), callables[i]);
        m.fail_at[CHAN_MEM_HEAD] = 1;
        m.fail_with = MW_EABORT;
        chan_mem_open(&m);
        assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_ABORTED);
        assert_int_equal(m.calls[CHAN_MEM_END], 1);
        chan_mem_fini(&m);
    }
}

static void test_output_18_file_wrapper(void **state)
{
    static const struct row rows[] = {
        {"file_wrapper",
         0,
         MW_END_COMPLETE,
         200,
         "0123456789",
         NULL,
         "head data:4 data:4 data:2 end:complete ",
         {0}},
        {"file_wrapper_no_close", 0, MW_END_COMPLETE, 200, "ab", NULL, NULL, {0}},
        {"file_wrapper_close",
         0,
         MW_END_COMPLETE,
         200,
         "a",
         NULL,
         "head data:1 log end:complete ",
         {"file closed"}},
        {"file_wrapper_read_fails", 0, MW_END_FAILED, 0, "", NULL, NULL, {"WSGI0174: OSError"}},
    };

    (void)state;
    CHECK_ROWS("output.py", rows);
}

static void test_output_19_objects_after_their_request(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("output.py"), "keeper");
    assert_string_equal(body(&m), "kept");
    chan_mem_fini(&m);
    rig_log_clear();
    rig_serve(&m, rig_app("output.py"), "late_user");
    assert_string_equal(
        body(&m), "RuntimeError RuntimeError RuntimeError RuntimeError RuntimeError RuntimeError");
    assert_string_equal(logged(&m), "3 own line\n");
    assert_string_equal(rig_log(), "3 late line\n");
    chan_mem_fini(&m);
}

static void test_output_20_text_streams(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_log_clear();
    rig_serve(&m, rig_app("output.py"), "streams");
    const char *log = logged(&m);
    static const char expected[] =
        "3 ab\n3 printed\n3 to stderr\n3 cx\n3 y\n3 bytes\n"
        "3 t\xc3\xa9xt \xe2\x82\xac\n3 sur?rogate\n3 crlf\n3 partial\n3 LLL";
    if (strncmp(log, expected, sizeof expected - 1) != 0)
        fail_msg("log is:\n%.400s", log);
    assert_int_equal(count(log, "L"), 20000);
    assert_has(log, "\n3 unfinished\n");
    assert_string_equal(rig_log(), "");
    chan_mem_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_01_lists_and_tuples),
        cmocka_unit_test(test_output_02_bodies_that_must_not_be),
        cmocka_unit_test(test_output_03_content_length_that_lies),
        cmocka_unit_test(test_output_04_large_lists_are_sent_in_pieces),
        cmocka_unit_test(test_output_05_copied_body_at_its_limit),
        cmocka_unit_test(test_output_06_each_block_goes_before_the_next_is_asked_for),
        cmocka_unit_test(test_output_07_iterables_are_closed_once),
        cmocka_unit_test(test_output_08_what_is_no_answer),
        cmocka_unit_test(test_output_09_write),
        cmocka_unit_test(test_output_10_exceptions),
        cmocka_unit_test(test_output_11_second_start_response),
        cmocka_unit_test(test_output_12_connection_fields_are_dropped),
        cmocka_unit_test(test_output_13_fields_arrive_as_they_were),
        cmocka_unit_test(test_output_14_arguments_of_start_response),
        cmocka_unit_test(test_output_15_client_leaves),
        cmocka_unit_test(test_output_16_write_says_that_the_client_left),
        cmocka_unit_test(test_output_17_channel_fails),
        cmocka_unit_test(test_output_18_file_wrapper),
        cmocka_unit_test(test_output_19_objects_after_their_request),
        cmocka_unit_test(test_output_20_text_streams),
    };

    return cmocka_run_group_tests_name("output", tests, rig_start, rig_stop);
}
