/*
 * test_engine.c: the WSGI engine in embedded mode over the in-memory channel. The runtime is
 * started once; each test is one request or a few.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "rig.h"

static int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

#define assert_has(text, part)                         \
    do {                                               \
        if (!has(text, part))                          \
            fail_msg("no \"%s\" in:\n%s", part, text); \
    } while (0)

#define assert_lacks(text, part)                    \
    do {                                            \
        if (has(text, part))                        \
            fail_msg("\"%s\" in:\n%s", part, text); \
    } while (0)

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

static const char *body(struct chan_mem *m)
{
    return chan_mem_text(&m->body);
}

static const char *logged(struct chan_mem *m)
{
    return chan_mem_text(&m->log);
}

static const char *events(struct chan_mem *m)
{
    return chan_mem_text(&m->events);
}

/* -- tables of requests -- */

struct row {
    const char *callable;
    unsigned flags;
    enum mw_end end;
    unsigned status; /* 0: no head */
    const char *body;
    const char *length; /* Content-Length field, or NULL: there is none */
    const char *events; /* NULL: any */
    const char *log[4]; /* each must be there */
};

static void check_row(const char *script, const struct row *row)
{
    struct chan_mem m;

    rig_request(&m, rig_app(script), row->callable);
    m.head.flags |= row->flags;
    chan_mem_open(&m);
    enum mw_end end = rig_runtime()->serve(&m.chan);
    if (end != row->end || m.end != row->end)
        fail_msg("%s ended as %s, not %s; log:\n%s", row->callable, mw_end_name(end),
                 mw_end_name(row->end), logged(&m));
    if (m.rsp.status != row->status || strcmp(body(&m), row->body) != 0)
        fail_msg("%s answered %u '%s'", row->callable, m.rsp.status, body(&m));
    const char *length = chan_mem_field(&m, "Content-Length", 0);
    if (!length != !row->length || (length && strcmp(length, row->length) != 0) ||
        chan_mem_field(&m, "Content-Length", 1))
        fail_msg("%s: Content-Length %s", row->callable, length ? length : "absent");
    if (row->events && strcmp(events(&m), row->events) != 0)
        fail_msg("%s: events %s", row->callable, events(&m));
    for (size_t i = 0; i < MW_ARRAY_LEN(row->log) && row->log[i]; i++)
        assert_has(logged(&m), row->log[i]);
    if (!row->log[0])
        assert_string_equal(logged(&m), "");
    chan_mem_fini(&m);
}

static void check_rows(const char *script, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_row(script, &rows[i]);
}

#define CHECK_ROWS(script, rows) check_rows(script, rows, MW_ARRAY_LEN(rows))

/* -- 40: output -- */

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

/* -- 20: environ -- */

static void ask(struct chan_mem *m, const char *expr)
{
    rig_request(m, rig_app("ask.py"), "application");
    chan_mem_pair(m, "EXPR", expr);
}

static void check_answers(const char *const (*rows)[2], size_t n,
                          void (*prepare)(struct chan_mem *m))
{
    for (size_t i = 0; i < n; i++) {
        struct chan_mem m;
        ask(&m, rows[i][0]);
        if (prepare)
            prepare(&m);
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        if (m.end != MW_END_COMPLETE || strcmp(body(&m), rows[i][1]) != 0)
            fail_msg("%s is '%s', not '%s'; log:\n%s", rows[i][0], body(&m), rows[i][1],
                     logged(&m));
        chan_mem_fini(&m);
    }
}

static void add_facts(struct chan_mem *m)
{
    m->head.flags |= MW_REQ_HTTPS | MW_REQ_MULTITHREAD;
    m->head.log_id = MW_STR("abc123");
    m->head.queue_us = 2500000;
    chan_mem_pair(m, "HTTP_X", "caf\xc3\xa9");
    chan_mem_pair(m, "SCRIPT_FILENAME", "/srv/caf\xc3\xa9/\xff.py");
    chan_mem_pair(m, "wsgi.url_scheme", "gopher");
    chan_mem_pair(m, "EMPTY", "");
    chan_mem_pair(m, "A_NAME_THAT_IS_LONGER_THAN_WHAT_THE_TABLE_OF_NAMES_TAKES_UP_FOR_LATER_USE",
                  "1");
}

static void test_environ_01_keys_of_wsgi(void **state)
{
    static const char *const rows[][2] = {
        {"type(environ) is dict", "True"},
        {"environ['wsgi.version']", "(1, 0)"},
        {"environ['wsgi.url_scheme']", "'https'"},
        {"environ['wsgi.multithread']", "True"},
        {"environ['wsgi.multiprocess']", "False"},
        {"environ['wsgi.run_once']", "False"},
        {"environ['wsgi.input_terminated']", "True"},
        {"environ['wsgi.file_wrapper'].__name__", "'FileWrapper'"},
        {"environ['wsgi.errors'] is errors", "True"},
        {"environ['REQUEST_METHOD']", "'GET'"},
        {"environ['HTTP_X']", "'caf\xc3\x83\xc2\xa9'"}, /* Latin-1, shown as UTF-8 */
        {"environ['SCRIPT_FILENAME']", "'/srv/caf\xc3\xa9/\\udcff.py'"},
        {"environ['EMPTY']", "''"},
        {"[v for k, v in environ.items() if len(k) > 70]", "['1']"},
        {"all(type(k) is str for k in environ)", "True"},
        {"[k for k, v in environ.items() if v is None]", "[]"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), add_facts);
}

static void test_environ_02_keys_of_mod_wsgi(void **state)
{
    static const char *const rows[][2] = {
        {"environ['mod_wsgi.version']", "(6, 0, 5)"},
        {"environ['mod_wsgi.process_group']", "''"},
        {"environ['mod_wsgi.application_group']", "''"},
        {"environ['mod_wsgi.callable_object']", "'application'"},
        {"environ['mod_wsgi.request_start']", "1.5"},
        {"environ['mod_wsgi.queue_start']", "2.5"},
        {"environ['mod_wsgi.daemon_start']", "0.0"},
        {"0 <= __import__('time').time() - environ['mod_wsgi.application_start'] < 60", "True"},
        {"environ['mod_wsgi.request_id']", "'abc123'"},
        {"type(environ['mod_wsgi.thread_id']), environ['mod_wsgi.thread_id'] > 0",
         "(<class 'int'>, True)"},
        {"environ['apache.version']", "(2, 4, 57)"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), add_facts);
}

static void test_environ_03_absent_keys(void **state)
{
    static const char *const rows[][2] = {
        {"'mod_wsgi.request_id' in environ", "False"},
        {"'CONTENT_LENGTH' in environ", "False"},
        {"environ['wsgi.url_scheme'], environ['wsgi.multithread']", "('http', False)"},
        {"'HTTP_X' in environ", "False"}, /* nothing is left of the request before */
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
}

static void test_environ_04_values_do_not_stick(void **state)
{
    static const char *const values[] = {"one", "two", "one", "", "onE", "one"};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(values); i++) {
        struct chan_mem m;
        char expected[16];
        ask(&m, "environ['HTTP_CHANGING'], environ.pop('REQUEST_METHOD')");
        chan_mem_pair(&m, "HTTP_CHANGING", values[i]);
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        snprintf(expected, sizeof expected, "('%s', ", values[i]);
        assert_has(body(&m), expected);
        chan_mem_fini(&m);
    }
}

static void test_environ_05_more_names_than_are_remembered(void **state)
{
    char name[600][16];

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        struct chan_mem m;
        ask(&m, "sum(environ['HTTP_N%d' % i] == 'v%d' % i for i in range(600))");
        for (unsigned i = 0; i < 600; i++) {
            char value[16];
            snprintf(name[i], sizeof name[i], "HTTP_N%u", i);
            snprintf(value, sizeof value, "v%u", i);
            chan_mem_pair(&m, name[i], value);
        }
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        assert_string_equal(body(&m), "600");
        chan_mem_fini(&m);
    }
}

static void test_environ_06_modules(void **state)
{
    static const char *const rows[][2] = {
        {"__import__('mod_wsgi').version", "(6, 0, 5)"},
        {"__import__('mod_wsgi').process_group", "''"},
        {"__import__('mod_wsgi').application_group", "''"},
        {"__import__('mod_wsgi').maximum_processes", "3"},
        {"__import__('mod_wsgi').threads_per_process", "7"},
        {"__import__('mod_wsgi').FileWrapper is environ['wsgi.file_wrapper']", "True"},
        {"__import__('apache').version", "(2, 4, 57)"},
        {"__import__('apache').description", "'Apache/2.4.57 (Test)'"},
        {"__import__('apache').maximum_processes, __import__('apache').threads_per_process",
         "(4, 25)"},
        {"__import__('apache').build_date, __import__('apache').mpm_name",
         "('2024-01-01T00:00:00', 'event')"},
        {"__import__('sys').argv", "['mod_wsgi']"},
        {"__import__('sys').flags.utf8_mode", "1"},
        {"__import__('sys').stderr.encoding, __import__('sys').stdout.errors",
         "('utf-8', 'replace')"},
        {"errors.isatty(), errors.writable(), errors.closed, errors.name",
         "(False, True, False, '<wsgi.errors>')"},
        {"__import__('signal').getsignal(2)", "<Handlers.SIG_DFL: 0>"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
}

static void test_environ_07_script_is_a_module(void **state)
{
    static const char *const rows[][2] = {
        {"(lambda f: f['__name__'] == '_mod_wsgi_' + __import__('hashlib')"
         ".md5(f['__file__'].encode()).hexdigest())(__import__('sys')._getframe(1).f_globals)",
         "True"},
        {"(lambda f: __import__('sys').modules[f['__name__']].application is f['application'])"
         "(__import__('sys')._getframe(1).f_globals)",
         "True"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
}

/* -- 30: input -- */

static void add_body(struct chan_mem *m)
{
    chan_mem_body(m, "one\ntw");
    chan_mem_body(m, "o\n\nth");
    chan_mem_body(m, "ree");
}

static void add_chunked(struct chan_mem *m)
{
    m->head.content_length = -1;
    add_body(m);
}

static const char *const input_rows[][2] = {
    {"input.read()", "b'one\\ntwo\\n\\nthree'"},
    {"input.read(-1)", "b'one\\ntwo\\n\\nthree'"},
    {"input.read(None)", "b'one\\ntwo\\n\\nthree'"},
    {"input.read(0)", "b''"},
    {"input.read(5), input.read(2), input.read(100), input.read(1)",
     "(b'one\\nt', b'wo', b'\\n\\nthree', b'')"},
    {"[input.read(1) for i in range(16)]",
     "[b'o', b'n', b'e', b'\\n', b't', b'w', b'o', b'\\n', b'\\n', b't', b'h', b'r', b'e', b'e', "
     "b'', b'']"},
    {"input.readline(), input.readline(), input.readline(), input.readline(), input.readline()",
     "(b'one\\n', b'two\\n', b'\\n', b'three', b'')"},
    {"input.readline(3), input.readline(3), input.readline(0), input.readline(4), input.readline()",
     "(b'one', b'\\n', b'', b'two\\n', b'\\n')"},
    {"input.readline(None), input.readline(-1), input.read(2), input.readline()",
     "(b'one\\n', b'two\\n', b'\\nt', b'hree')"},
    {"input.readlines()", "[b'one\\n', b'two\\n', b'\\n', b'three']"},
    {"input.readlines(5), input.readlines()", "([b'one\\n', b'two\\n'], [b'\\n', b'three'])"},
    {"input.readlines(0), input.readlines()", "([b'one\\n', b'two\\n', b'\\n', b'three'], [])"},
    {"list(input), list(input)", "([b'one\\n', b'two\\n', b'\\n', b'three'], [])"},
    {"next(input), input.read(3), next(input), input.close(), input.read()",
     "(b'one\\n', b'two', b'\\n', None, b'\\nthree')"},
    {"iter(input) is input", "True"},
};

static void test_input_01_reading(void **state)
{
    (void)state;
    check_answers(input_rows, MW_ARRAY_LEN(input_rows), add_body);
}

static void test_input_02_reading_without_a_length(void **state)
{
    (void)state;
    check_answers(input_rows, MW_ARRAY_LEN(input_rows), add_chunked);
}

static void test_input_03_no_body(void **state)
{
    static const char *const rows[][2] = {
        {"input.read(), input.read(5), input.readline(), input.readlines(), list(input)",
         "(b'', b'', b'', [], [])"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
}

static void test_input_04_wrong_arguments(void **state)
{
    static const char *const exprs[] = {"input.read('5')", "input.read(1, 2)",
                                        "input.readline(b'')", "input.readlines([])",
                                        "input.read(1.5)"};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(exprs); i++) {
        struct chan_mem m;
        ask(&m, exprs[i]);
        chan_mem_open(&m);
        assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_FAILED);
        assert_has(logged(&m), "TypeError");
        chan_mem_fini(&m);
    }
}

static void add_short(struct chan_mem *m)
{
    chan_mem_body(m, "abc");
    m->head.content_length = 10;
}

static void test_input_05_body_shorter_than_announced(void **state)
{
    static const char *const rows[][2] = {{"input.read(), input.read()", "(b'abc', b'')"}};

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), add_short);
}

/* The engine may not ask for bytes beyond the announced length. */
static void add_long(struct chan_mem *m)
{
    chan_mem_body(m, "abcdef");
    m->head.content_length = 4;
}

static void test_input_06_body_longer_than_announced(void **state)
{
    static const char *const rows[][2] = {{"input.read(), input.read()", "(b'abcd', b'')"},
                                          {"input.readline()", "b'abcd'"}};

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), add_long);
}

static void test_input_07_errors(void **state)
{
    static const struct {
        int err;
        enum mw_end end;
        const char *log;
        int traceback;
    } rows[] = {
        {MW_ETIMEOUT, MW_END_FAILED, "OSError: mod_wsgi request data read error: ", 1},
        {MW_ELIMIT, MW_END_FAILED, "OSError: mod_wsgi request data read error: ", 1},
        {MW_EIO, MW_END_FAILED, "OSError: mod_wsgi request data read error: ", 1},
        {MW_EABORT, MW_END_ABORTED, "7 WSGI0532", 0},
    };
    static const char *const exprs[] = {"input.read()", "input.read(7)", "list(input)",
                                        "input.readlines()",
                                        "[input.readline(), input.readline()]"};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows) * MW_ARRAY_LEN(exprs); i++) {
        struct chan_mem m;
        size_t k = i / MW_ARRAY_LEN(exprs);
        ask(&m, exprs[i % MW_ARRAY_LEN(exprs)]);
        chan_mem_body(&m, "abc\nd");
        chan_mem_break(&m, rows[k].err);
        m.head.content_length = 20;
        chan_mem_open(&m);
        assert_int_equal(rig_runtime()->serve(&m.chan), rows[k].end);
        assert_has(logged(&m), rows[k].log);
        assert_int_equal(has(logged(&m), "Traceback"), rows[k].traceback);
        chan_mem_fini(&m);
    }
}

/* An error stays: the application that goes on reading gets it again, and no more reads go down. */
static void test_input_08_errors_repeat(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("input.py"), "twice");
    chan_mem_break(&m, MW_ETIMEOUT);
    m.head.content_length = 5;
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
    assert_string_equal(body(&m), "OSError OSError OSError");
    assert_int_equal(m.calls[CHAN_MEM_READ], 1);
    chan_mem_fini(&m);
}

static void test_input_09_large_bodies(void **state)
{
    static const int64_t lengths[] = {40 << 20, -1};
    size_t piece_n = 1 << 20;
    char *piece = malloc(piece_n);

    (void)state;
    assert_non_null(piece);
    memset(piece, 'p', piece_n);
    for (size_t i = 0; i < 4; i++) {
        struct chan_mem m;
        rig_request(&m, rig_app("input.py"), i < 2 ? "digest" : "digest_lines");
        m.head.content_length = lengths[i % 2] < 0 ? -1 : 0;
        piece[0] = 'a';
        piece[piece_n - 1] = 'z';
        for (int k = 0; k < 40; k++)
            chan_mem_piece(&m, piece, piece_n);
        chan_mem_open(&m);
        uint64_t allowed_ms = getenv("MW_SLOW") ? 60000 : 5000;
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
        clock_gettime(CLOCK_MONOTONIC, &after);
        assert_string_equal(body(&m), "41943040 40 40");
        assert_true((uint64_t)(after.tv_sec - before.tv_sec) * 1000 < allowed_ms);
        chan_mem_fini(&m);
    }
    free(piece);
}

static void test_input_10_validated_application(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("ask.py"), "lines");
    add_body(&m);
    chan_mem_pair(&m, "CONTENT_LENGTH", "14");
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
    assert_string_equal(body(&m), "one\n|two\n|\n|three");
    assert_string_equal(logged(&m), "3 validated\n");
    chan_mem_fini(&m);
}

/* Two threads of the application read the same body at once; every byte arrives once. */
static void test_input_11_two_threads_read(void **state)
{
    static char piece[65536];
    struct chan_mem m;

    (void)state;
    memset(piece, 'x', sizeof piece);
    rig_request(&m, rig_app("input.py"), "shared");
    m.check_gil = 0;
    for (int k = 0; k < 50; k++)
        chan_mem_piece(&m, piece, sizeof piece);
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
    assert_string_equal(body(&m), "3276800");
    chan_mem_fini(&m);
}

/* A thread that still reads when the application returns: the end waits for it. */
static void nap(struct chan_mem *m)
{
    (void)m;
    usleep(100000);
}

static void test_input_12_end_waits_for_a_reading_thread(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("input.py"), "left_reading");
    m.check_gil = 0;
    m.on_read = nap;
    chan_mem_body(&m, "body");
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
    assert_has(events(&m), "read:4 head data+:");
    chan_mem_fini(&m);
    rig_serve(&m, rig_app("input.py"), "left_result");
    assert_string_equal(body(&m), "[b'body']");
    chan_mem_fini(&m);
}

/* -- 60: scripts -- */

static void make_script(char *path, size_t cap, const char *dir, const char *text)
{
    snprintf(path, cap, "%s/script.py", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A new modification time, whatever the resolution of the file system. */
static void touch(const char *path, long second)
{
    struct timespec t[2] = {{.tv_sec = second}, {.tv_sec = second}};

    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static enum mw_end serve_script(struct chan_mem *m, const char *path, unsigned flags)
{
    rig_request(m, path, "application");
    m->head.flags |= flags;
    chan_mem_open(m);
    return rig_runtime()->serve(&m->chan);
}

static int is_stale(const char *path)
{
    struct chan_mem m;

    rig_request(&m, path, "application");
    chan_mem_open(&m);
    int rv = rig_runtime()->stale(&m.req);
    chan_mem_fini(&m);
    return rv;
}

#define ANSWER(text)                              \
    "N = globals().get('N', 0) + 1\n"             \
    "def application(environ, start_response):\n" \
    "    start_response('200 OK', [])\n"          \
    "    return [b'" text "%d' % N]\n"

static void check_script(const char *path, unsigned flags, const char *expected)
{
    struct chan_mem m;
    enum mw_end end = serve_script(&m, path, flags);

    if (end != MW_END_COMPLETE || strcmp(body(&m), expected) != 0)
        fail_msg("%s: '%s' log:\n%s", mw_end_name(end), body(&m), logged(&m));
    chan_mem_fini(&m);
}

struct folder {
    char dir[64];
    char path[128];
};

static int make_folder(void **state)
{
    static struct folder f;

    snprintf(f.dir, sizeof f.dir, "/tmp/mw-engine-XXXXXX");
    *state = &f;
    return mkdtemp(f.dir) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;
    char sub[160];

    unlink(f->path);
    snprintf(sub, sizeof sub, "%s/closed/script.py", f->dir);
    unlink(sub);
    snprintf(sub, sizeof sub, "%s/closed", f->dir);
    rmdir(sub);
    return rmdir(f->dir);
}

static void test_script_01_reload_when_it_changed(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir, ANSWER("one"));
    touch(f->path, 1000000);
    assert_int_equal(is_stale(f->path), 0); /* not loaded yet */
    check_script(f->path, MW_REQ_RELOAD, "one1");
    assert_int_equal(is_stale(f->path), 0);
    check_script(f->path, MW_REQ_RELOAD, "one1");
    touch(f->path, 2000000);
    assert_int_equal(is_stale(f->path), 1);
    check_script(f->path, 0, "one1"); /* nobody asked */
    make_script(f->path, sizeof f->path, f->dir, ANSWER("two"));
    touch(f->path, 500000);                       /* older is different, too */
    check_script(f->path, MW_REQ_RELOAD, "two1"); /* a new module: N starts again */
    assert_int_equal(is_stale(f->path), 0);
    make_script(f->path, sizeof f->path, f->dir, ANSWER("other"));
    touch(f->path, 500000); /* same time, another size */
    check_script(f->path, MW_REQ_RELOAD, "other1");
}

static void test_script_02_failed_reload_is_tried_again(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    make_script(f->path, sizeof f->path, f->dir, ANSWER("good"));
    touch(f->path, 1000000);
    check_script(f->path, MW_REQ_RELOAD, "good1");
    make_script(f->path, sizeof f->path, f->dir, "def application(:\n");
    touch(f->path, 1000001);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(serve_script(&m, f->path, MW_REQ_RELOAD), MW_END_FAILED);
        assert_has(logged(&m), "WSGI0105: SyntaxError raised by script '");
        assert_has(logged(&m), "script.py\", line 1");
        chan_mem_fini(&m);
    }
    make_script(f->path, sizeof f->path, f->dir, ANSWER("again"));
    check_script(f->path, 0, "again1");
}

static void test_script_03_gone_script_goes_on_serving(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir, ANSWER("kept"));
    check_script(f->path, MW_REQ_RELOAD, "kept1");
    unlink(f->path);
    assert_int_equal(is_stale(f->path), 0);
    check_script(f->path, MW_REQ_RELOAD, "kept1");
}

static void test_script_04_missing(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    snprintf(f->path, sizeof f->path, "%s/missing.py", f->dir);
    assert_int_equal(serve_script(&m, f->path, 0), MW_END_NO_SCRIPT);
    assert_has(logged(&m), "WSGI0135: script '");
    assert_int_equal(m.rsp.status, 0);
    chan_mem_fini(&m);
    make_script(f->path, sizeof f->path, f->dir, ANSWER("now"));
    check_script(f->path, 0, "now1");
    assert_int_equal(serve_script(&m, f->dir, 0), MW_END_FAILED); /* a directory */
    assert_has(logged(&m), "cannot be read: Is a directory");
    chan_mem_fini(&m);
}

static void test_script_05_unreadable(void **state)
{
    struct folder *f = *state;
    char closed[128], path[160];
    struct chan_mem m;
    char expected[256];

    snprintf(closed, sizeof closed, "%s/closed", f->dir);
    assert_int_equal(mkdir(closed, 0755), 0);
    make_script(path, sizeof path, closed, ANSWER("x"));
    chmod(path, 0);
    chmod(f->dir, 0755);
    uid_t before = geteuid();
    if (before == 0)
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(serve_script(&m, path, 0), MW_END_UNREADABLE);
    snprintf(expected, sizeof expected, "may not read '%s'", path);
    assert_has(logged(&m), expected);
    chan_mem_fini(&m);
    assert_int_equal(seteuid(before), 0);
    chmod(closed, 0);
    if (before == 0)
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(serve_script(&m, path, 0), MW_END_UNREADABLE);
    snprintf(expected, sizeof expected, "may not enter directory '%s'", closed);
    assert_has(logged(&m), expected);
    chan_mem_fini(&m);
    assert_int_equal(seteuid(before), 0);
    chmod(closed, 0755);
    f->path[0] = 0;
}

static void test_script_06_faults_of_scripts(void **state)
{
    static const struct {
        const char *text;
        const char *log[3];
    } rows[] = {
        {"raise ValueError('at import')\n",
         {"WSGI0109: ValueError raised by script '", "line 1, in <module>",
          "ValueError: at import"}},
        {"import no_such_module_of_ours\n", {"WSGI0109: ModuleNotFoundError", NULL, NULL}},
        {"import sys\nsys.exit(1)\n", {"WSGI0107: SystemExit", NULL, NULL}},
        {"def other(e, s): pass\n", {"WSGI0089: script '", "has no callable 'application'", NULL}},
        {"application = 42\n", {"WSGI0089", "cannot be called", NULL}},
        {"", {"has no callable 'application'", NULL, NULL}},
        {"# coding: no-such-codec\n", {"WSGI0105: SyntaxError", NULL, NULL}},
    };
    struct folder *f = *state;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct chan_mem m;
        make_script(f->path, sizeof f->path, f->dir, rows[i].text);
        touch(f->path, 3000000 + (long)i);
        assert_int_equal(serve_script(&m, f->path, MW_REQ_RELOAD), MW_END_FAILED);
        for (size_t k = 0; k < 3 && rows[i].log[k]; k++)
            assert_has(logged(&m), rows[i].log[k]);
        chan_mem_fini(&m);
    }
}

static void test_script_07_source_encodings_and_bytes(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    make_script(f->path, sizeof f->path, f->dir,
                "# -*- coding: latin-1 -*-\n"
                "def application(e, start):\n"
                "    start('200 OK', [])\n"
                "    return [ascii('\xe9').encode()]\n");
    assert_int_equal(serve_script(&m, f->path, 0), MW_END_COMPLETE);
    assert_string_equal(body(&m), "'\\xe9'");
    chan_mem_fini(&m);
    FILE *file = fopen(f->path, "we");
    assert_non_null(file);
    fwrite("a = 1\0b\n", 1, 8, file);
    fclose(file);
    touch(f->path, 4000000);
    assert_int_equal(serve_script(&m, f->path, MW_REQ_RELOAD), MW_END_FAILED);
    assert_has(logged(&m), "null bytes");
    chan_mem_fini(&m);
}

static void test_script_08_output_of_an_import_goes_to_the_request(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    make_script(f->path, sizeof f->path, f->dir, "print('importing')\n" ANSWER("x"));
    rig_log_clear();
    assert_int_equal(serve_script(&m, f->path, 0), MW_END_COMPLETE);
    assert_string_equal(logged(&m), "3 importing\n");
    assert_string_equal(rig_log(), "");
    chan_mem_fini(&m);
}

static void test_script_09_preload(void **state)
{
    struct folder *f = *state;
    const struct mw_py_runtime *py = rig_runtime();

    make_script(f->path, sizeof f->path, f->dir, "print('preloading')\n" ANSWER("x"));
    struct mw_str path = {f->path, strlen(f->path)};
    rig_log_clear();
    assert_int_equal(py->preload(path, MW_STR(""), 1), 0);
    assert_string_equal(rig_log(), "3 preloading\n");
    check_script(f->path, MW_REQ_RELOAD, "x1");
    assert_string_equal(rig_log(), "3 preloading\n");
    assert_int_equal(py->preload(MW_STR("/no/such/script.py"), MW_STR(""), 1), MW_ENOENT);
    assert_has(rig_log(), "WSGI0135");
    make_script(f->path, sizeof f->path, f->dir, "1/0\n");
    path = (struct mw_str){f->path, strlen(f->path)};
    assert_int_equal(py->preload(path, MW_STR("elsewhere"), 1), MW_EIO);
    assert_has(rig_log(), "WSGI0109: ZeroDivisionError");
    assert_has(rig_log(), "in interpreter 'elsewhere'");
}

/* -- 61: interpreters -- */

static const char *ask_in(const char *group, const char *expr)
{
    static char answer[512];
    struct chan_mem m;

    ask(&m, expr);
    m.head.app_group = (struct mw_str){group, strlen(group)};
    chan_mem_open(&m);
    if (rig_runtime()->serve(&m.chan) != MW_END_COMPLETE)
        fail_msg("%s in '%s':\n%s", expr, group, logged(&m));
    snprintf(answer, sizeof answer, "%s", body(&m));
    chan_mem_fini(&m);
    return answer;
}

static void test_interp_01_groups_are_interpreters(void **state)
{
    (void)state;
    ask_in("", "setattr(__import__('sys'), 'mark', 'main')");
    ask_in("one", "setattr(__import__('sys'), 'mark', 'one')");
    ask_in("two", "setattr(__import__('sys'), 'mark', 'two')");
    assert_string_equal(ask_in("", "__import__('sys').mark"), "'main'");
    assert_string_equal(ask_in("one", "__import__('sys').mark"), "'one'");
    assert_string_equal(ask_in("two", "__import__('sys').mark"), "'two'");
    assert_string_equal(ask_in("one", "environ['mod_wsgi.application_group']"), "'one'");
    assert_string_equal(ask_in("two", "__import__('mod_wsgi').application_group"), "'two'");
    assert_string_equal(ask_in("two", "environ['wsgi.file_wrapper'] is "
                                      "__import__('mod_wsgi').FileWrapper"),
                        "True");
}

static void test_interp_02_errors_name_the_interpreter(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("output.py"), "raises");
    m.head.app_group = MW_STR("one");
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_FAILED);
    assert_has(logged(&m), "in interpreter 'one'");
    assert_has(logged(&m), "KeyError: 'before the headers'");
    chan_mem_fini(&m);
}

static void *first_in_group(void *arg)
{
    struct chan_mem m;

    rig_request(&m, rig_app("output.py"), "one");
    m.head.app_group = MW_STR("made by a thread that ends");
    chan_mem_open(&m);
    *(enum mw_end *)arg = rig_runtime()->serve(&m.chan);
    chan_mem_fini(&m);
    return NULL;
}

/* An interpreter outlives every thread that was in it. */
static void test_interp_03_outlives_its_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        enum mw_end end = MW_END_FAILED;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, first_in_group, &end), 0);
        pthread_join(thread, NULL);
        assert_int_equal(end, MW_END_COMPLETE);
    }
    assert_string_equal(ask_in("made by a thread that ends", "1"), "1");
}

/* -- 90: threads and load -- */

struct worker {
    pthread_t thread;
    unsigned number;
    unsigned failures;
};

/* Requests of several kinds in three interpreters, each thread its own sequence. */
static void *work(void *arg)
{
    static const char *const callables[] = {"one", "generator", "raises", "large", "streams"};
    static const char *const groups[] = {"", "one", "two"};
    struct worker *w = arg;
    const char *script = rig_app("output.py");
    char path[1024];

    snprintf(path, sizeof path, "%s", script);
    for (unsigned i = 0; i < 60; i++) {
        const char *callable = callables[(i + w->number) % MW_ARRAY_LEN(callables)];
        const char *group = groups[(i / 5 + w->number) % MW_ARRAY_LEN(groups)];
        struct chan_mem m;
        rig_request(&m, path, callable);
        m.check_gil = 0;
        m.head.app_group = (struct mw_str){group, strlen(group)};
        chan_mem_open(&m);
        enum mw_end end = rig_runtime()->serve(&m.chan);
        if (end != (strcmp(callable, "raises") == 0 ? MW_END_FAILED : MW_END_COMPLETE))
            w->failures++;
        if (strcmp(callable, "streams") == 0 && !has(logged(&m), "to stderr"))
            w->failures++;
        chan_mem_fini(&m);
    }
    return NULL;
}

static void run_workers(unsigned n)
{
    struct worker w[16] = {0};

    for (unsigned i = 0; i < n; i++) {
        w[i].number = i;
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].failures, 0);
    }
}

/* Thread states of the main interpreter, asked for while nothing else runs. */
static unsigned thread_states(void)
{
    void *(*main_interp)(void), *(*head)(void *), *(*next)(void *);
    unsigned n = 0;

    *(void **)&main_interp = dlsym(RTLD_DEFAULT, "PyInterpreterState_Main");
    *(void **)&head = dlsym(RTLD_DEFAULT, "PyInterpreterState_ThreadHead");
    *(void **)&next = dlsym(RTLD_DEFAULT, "PyThreadState_Next");
    assert_true(main_interp && head && next);
    for (void *ts = head(main_interp()); ts; ts = next(ts))
        n++;
    return n;
}

static void test_threads_01_many_at_once(void **state)
{
    unsigned before = thread_states();

    (void)state;
    run_workers(8);
    assert_int_equal(thread_states(), before); /* threads that end give their states back */
    run_workers(16);
    assert_int_equal(thread_states(), before);
}

struct loader {
    pthread_t thread;
    unsigned flags;
    const char *path;
    char answer[16];
};

static void *load_one(void *arg)
{
    struct loader *l = arg;
    struct chan_mem m;

    rig_request(&m, l->path, "application");
    m.head.flags |= l->flags;
    m.check_gil = 0;
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    snprintf(l->answer, sizeof l->answer, "%s", body(&m));
    chan_mem_fini(&m);
    return NULL;
}

static void make_slow_script(struct folder *f, long second)
{
    make_script(f->path, sizeof f->path, f->dir,
                "import sys, time\n"
                "sys.imports_seen = getattr(sys, 'imports_seen', 0) + 1\n"
                "time.sleep(0.5)\n"
                "def application(environ, start_response):\n"
                "    start_response('200 OK', [])\n"
                "    return [b'%d' % sys.imports_seen]\n");
    touch(f->path, second);
}

static void start_loaders(struct loader *l, size_t n, struct folder *f)
{
    for (size_t i = 0; i < n; i++) {
        l[i].path = f->path;
        l[i].flags = MW_REQ_RELOAD;
        assert_int_equal(pthread_create(&l[i].thread, NULL, load_one, &l[i]), 0);
    }
}

static void join_loaders(struct loader *l, size_t n, const char *answer)
{
    for (size_t i = 0; i < n; i++) {
        pthread_join(l[i].thread, NULL);
        assert_string_equal(l[i].answer, answer);
    }
}

/* Eight requests find the script not loaded, then changed: it is imported once each time, and
 * meanwhile others are served. */
static void test_threads_02_one_import_for_all(void **state)
{
    struct folder *f = *state;
    struct loader l[8];
    struct timespec before, after;

    make_slow_script(f, 1000);
    start_loaders(l, MW_ARRAY_LEN(l), f);
    clock_gettime(CLOCK_MONOTONIC, &before);
    check_row("output.py",
              &(struct row){"late_start", 0, MW_END_COMPLETE, 200, "late", NULL, NULL, {0}});
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                400);
    join_loaders(l, MW_ARRAY_LEN(l), "1");
    touch(f->path, 2000);
    start_loaders(l, MW_ARRAY_LEN(l), f);
    join_loaders(l, MW_ARRAY_LEN(l), "2");
}

static long resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long size = 0, resident = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void serve_mix(unsigned n)
{
    static const char *const callables[] = {
        "one",           "generator", "raises",     "write",        "closing",     "replaced",
        "started_twice", "streams",   "hop_by_hop", "file_wrapper", "str_in_list", "exits"};

    for (unsigned i = 0; i < n; i++) {
        struct chan_mem m;
        rig_request(&m, rig_app("output.py"), callables[i % MW_ARRAY_LEN(callables)]);
        if (i % 7 == 0)
            m.fail_at[CHAN_MEM_DATA] = 1;
        chan_mem_body(&m, "unread");
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        chan_mem_fini(&m);
    }
}

static long objects(void)
{
    return strtol(
        ask_in("", "[__import__('gc').collect(), len(__import__('gc').get_objects())][1]"), NULL,
        10);
}

static void test_load_01_nothing_is_leaked(void **state)
{
    (void)state;
    serve_mix(2000);
    long count_before = objects();
    long before = resident_kb();
    serve_mix(20000);
    long count_after = objects();
    long after = resident_kb();
    if (labs(count_after - count_before) > 20)
        fail_msg("%ld objects became %ld", count_before, count_after);
    if (!getenv("PYTHONMALLOC") && after - before > 1024)
        fail_msg("%ld kB resident became %ld kB", before, after);
}

/* How long a small answer takes; printed, and held against a limit that only a blunder exceeds. */
static void test_load_02_small_answers_are_quick(void **state)
{
    const unsigned n = 50000;
    struct timespec before, after;
    struct chan_mem m;

    (void)state;
    if (getenv("MW_SLOW"))
        skip();
    rig_request(&m, rig_app("output.py"), "one");
    for (unsigned i = 0; i < 20; i++) {
        static char name[20][24];
        snprintf(name[i], sizeof name[i], "HTTP_X_HEADER_%u", i);
        chan_mem_pair(&m, name[i], "some value of a header");
    }
    chan_mem_open(&m);
    m.check_gil = 0;
    const struct mw_chan_ops *ops = m.chan.ops;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (unsigned i = 0; i < n; i++) {
        mw_chan_init(&m.chan, ops, &m.req);
        mw_buf_clear(&m.answer);
        mw_buf_clear(&m.body);
        mw_buf_clear(&m.events);
        m.calls[CHAN_MEM_END] = 0;
        rig_runtime()->serve(&m.chan);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    double us = ((double)(after.tv_sec - before.tv_sec) * 1e9 +
                 (double)(after.tv_nsec - before.tv_nsec)) /
                1e3 / n;
    fprintf(stderr, "small answer: %.2f us\n", us);
    chan_mem_fini(&m);
    assert_true(us < 100);
}

static int start(void **state)
{
    struct mw_py_config cfg = rig_config();
    char why[1024] = "";

    (void)state;
    if (rig_runtime()->abi != MW_PY_ABI || rig_runtime()->start(&cfg, why, sizeof why)) {
        fprintf(stderr, "start: %s\n", why);
        return -1;
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rig_runtime()->stop(5000, "");
    return 0;
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environ_01_keys_of_wsgi),
        cmocka_unit_test(test_environ_02_keys_of_mod_wsgi),
        cmocka_unit_test(test_environ_03_absent_keys),
        cmocka_unit_test(test_environ_04_values_do_not_stick),
        cmocka_unit_test(test_environ_05_more_names_than_are_remembered),
        cmocka_unit_test(test_environ_06_modules),
        cmocka_unit_test(test_environ_07_script_is_a_module),
        cmocka_unit_test(test_input_01_reading),
        cmocka_unit_test(test_input_02_reading_without_a_length),
        cmocka_unit_test(test_input_03_no_body),
        cmocka_unit_test(test_input_04_wrong_arguments),
        cmocka_unit_test(test_input_05_body_shorter_than_announced),
        cmocka_unit_test(test_input_06_body_longer_than_announced),
        cmocka_unit_test(test_input_07_errors),
        cmocka_unit_test(test_input_08_errors_repeat),
        cmocka_unit_test(test_input_09_large_bodies),
        cmocka_unit_test(test_input_10_validated_application),
        cmocka_unit_test(test_input_11_two_threads_read),
        cmocka_unit_test(test_input_12_end_waits_for_a_reading_thread),
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
        IN_FOLDER(test_script_01_reload_when_it_changed),
        IN_FOLDER(test_script_02_failed_reload_is_tried_again),
        IN_FOLDER(test_script_03_gone_script_goes_on_serving),
        IN_FOLDER(test_script_04_missing),
        IN_FOLDER(test_script_05_unreadable),
        IN_FOLDER(test_script_06_faults_of_scripts),
        IN_FOLDER(test_script_07_source_encodings_and_bytes),
        IN_FOLDER(test_script_08_output_of_an_import_goes_to_the_request),
        IN_FOLDER(test_script_09_preload),
        cmocka_unit_test(test_interp_01_groups_are_interpreters),
        cmocka_unit_test(test_interp_02_errors_name_the_interpreter),
        cmocka_unit_test(test_interp_03_outlives_its_threads),
        cmocka_unit_test(test_threads_01_many_at_once),
        IN_FOLDER(test_threads_02_one_import_for_all),
        cmocka_unit_test(test_load_01_nothing_is_leaked),
        cmocka_unit_test(test_load_02_small_answers_are_quick),
    };

    return cmocka_run_group_tests_name("engine", tests, start, stop);
}
