/*
 * test_input.c: wsgi.input over the in-memory channel.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "check.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return cmocka_run_group_tests_name("input", tests, rig_start, rig_stop);
}
