/*
 * test_file.c: wsgi.file_wrapper: which answers are sent as a file, from where to where, and which are
 * read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "check.h"

#define SIZE 10240 /* of the files of apps/file.py, whose byte i is i mod 256 */

static void serve(struct chan_mem *m, const char *callable, const char *query, unsigned flags)
{
    rig_request(m, rig_app("file.py"), callable);
    chan_mem_pair(m, "QUERY_STRING", query);
    m->head.flags |= flags;
    chan_mem_open(m);
    rig_runtime()->serve(&m->chan);
}

/* The answer is the file's bytes from..to, sent as a file. */
static void expect_part(struct chan_mem *m, size_t from, size_t to)
{
    char what[100];
    const uint8_t *got = mw_buf_data(&m->body);

    if (to > from)
        snprintf(what, sizeof what, "head file+:%zu,%zu end:complete ", from, to - from);
    else
        snprintf(what, sizeof what, "head end:complete ");
    assert_string_equal(events(m), what);
    assert_int_equal(mw_buf_size(&m->body), to - from);
    for (size_t i = 0; i < to - from && from + i < SIZE; i++)
        if (got[i] != ((from + i) & 0xff) && !(from + i == 10230))
            fail_msg("byte %zu is %u", from + i, got[i]);
    snprintf(what, sizeof what, "%zu", to - from);
    assert_string_equal(chan_mem_field(m, "Content-Length", 0), what);
    assert_null(chan_mem_field(m, "Content-Length", 1));
}

static void test_file_01_files_of_io_are_sent_as_files(void **state)
{
    static const struct {
        const char *callable;
        size_t from, to;
    } rows[] = {
        {"buffered", 0, SIZE},        {"unbuffered", 0, SIZE}, {"read_ahead", 100, SIZE},
        {"written", 10000, SIZE + 1}, {"named", 5, SIZE},      {"still_written", 10231, SIZE},
        {"subclass", 0, SIZE},        {"twice", 10000, SIZE},
    };
    struct chan_mem m;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        serve(&m, rows[i].callable, "", 0);
        expect_part(&m, rows[i].from, rows[i].to);
        assert_string_equal(logged(&m), "");
        chan_mem_fini(&m);
    }
}

static void test_file_02_close_is_called_once(void **state)
{
    struct chan_mem m;

    (void)state;
    for (int i = 0; i < 2; i++) {
        serve(&m, "how_often_closed", "", 0);
        long before = strtol(body(&m), NULL, 10);
        chan_mem_fini(&m);
        serve(&m, "subclass", "", i ? MW_REQ_HEAD : 0);
        chan_mem_fini(&m);
        serve(&m, "how_often_closed", "", 0);
        assert_int_equal(strtol(body(&m), NULL, 10), before + 1);
        chan_mem_fini(&m);
    }
}

static void test_file_03_content_length_cuts(void **state)
{
    static const size_t lengths[] = {0, 1, SIZE - 1, SIZE};
    char text[20];
    struct chan_mem m;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(lengths); i++) {
        snprintf(text, sizeof text, "%zu", lengths[i]);
        serve(&m, "own_length", text, 0);
        expect_part(&m, 0, lengths[i]);
        assert_string_equal(logged(&m), "");
        chan_mem_fini(&m);
    }
    serve(&m, "own_length", "10241", 0);
    assert_int_equal(m.end, MW_END_TRUNCATED);
    assert_int_equal(mw_buf_size(&m.body), SIZE);
    assert_has(logged(&m), "WSGI0536");
    chan_mem_fini(&m);
}

static void test_file_04_from_the_end_on_there_is_nothing(void **state)
{
    static const size_t at[] = {SIZE - 1, SIZE, SIZE + 1};
    char text[20];
    struct chan_mem m;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(at); i++) {
        snprintf(text, sizeof text, "%zu", at[i]);
        serve(&m, "at_the_end", text, 0);
        expect_part(&m, at[i], at[i] < SIZE ? SIZE : at[i]);
        chan_mem_fini(&m);
    }
}

static void test_file_05_head_has_a_length_and_no_body(void **state)
{
    struct chan_mem m;

    (void)state;
    serve(&m, "buffered", "", MW_REQ_HEAD);
    assert_int_equal(m.end, MW_END_COMPLETE);
    assert_int_equal(mw_buf_size(&m.body), 0);
    assert_int_equal(m.calls[CHAN_MEM_FILE], 0);
    assert_string_equal(chan_mem_field(&m, "Content-Length", 0), "10240");
    chan_mem_fini(&m);
}

static void test_file_06_what_is_no_file_is_read(void **state)
{
    static const struct row rows[] = {
        {"pipe", 0, MW_END_COMPLETE, 200, "from a pipe", NULL, "head data:11 end:complete ", {0}},
        {"sock", 0, MW_END_COMPLETE, 200, "from a socket", NULL, NULL, {0}},
        {"device", 0, MW_END_COMPLETE, 200, "", NULL, "head end:complete ", {0}},
        {"memory", 0, MW_END_COMPLETE, 200, "from memory", NULL, NULL, {0}},
        {"compressed", 0, MW_END_COMPLETE, 200, "inflated", NULL, "head data:8 end:complete ", {0}},
        {"buffered_compressed", 0, MW_END_COMPLETE, 200, "inflated", NULL, NULL, {0}},
        {"own_read", 0, MW_END_COMPLETE, 200, "TEST_FILE\n", NULL, NULL, {0}},
        {"own_raw_read", 0, MW_END_COMPLETE, 200, "TEST_FILE\n", NULL, NULL, {0}},
        {"replaced_read", 0, MW_END_COMPLETE, 200, "replaced", NULL, NULL, {0}},
        {"iterated", 0, MW_END_COMPLETE, 200, "iterated", NULL, "head data:8 end:complete ", {0}},
        {"after_write", 0, MW_END_COMPLETE, 200, "written and read", NULL, NULL, {0}},
        {"text", 0, MW_END_FAILED, 0, "", NULL, NULL, {"must yield bytes, not str"}},
        {"shut", 0, MW_END_FAILED, 0, "", NULL, NULL, {"closed file"}},
        {"not_started", 0, MW_END_FAILED, 0, "", NULL, NULL, {"without calling start_response"}},
    };

    (void)state;
    CHECK_ROWS("file.py", rows);
}

static void test_file_07_a_channel_that_fails(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("file.py"), "buffered");
    m.fail_at[CHAN_MEM_FILE] = 1;
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    assert_int_equal(m.end, MW_END_ABORTED);
    chan_mem_fini(&m);
    rig_request(&m, rig_app("file.py"), "buffered");
    m.fail_at[CHAN_MEM_HEAD] = 1;
    m.fail_with = MW_EIO;
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    assert_int_equal(m.end, MW_END_TRUNCATED);
    assert_int_equal(m.calls[CHAN_MEM_FILE], 0);
    chan_mem_fini(&m);
}

/* Whatever becomes of an answer, its descriptor is closed. */
static void test_file_08_no_descriptor_is_left(void **state)
{
    int before = dup(0);

    (void)state;
    close(before);
    test_file_03_content_length_cuts(state);
    test_file_05_head_has_a_length_and_no_body(state);
    test_file_07_a_channel_that_fails(state);
    int after = dup(0);
    close(after);
    assert_int_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_01_files_of_io_are_sent_as_files),
        cmocka_unit_test(test_file_02_close_is_called_once),
        cmocka_unit_test(test_file_03_content_length_cuts),
        cmocka_unit_test(test_file_04_from_the_end_on_there_is_nothing),
        cmocka_unit_test(test_file_05_head_has_a_length_and_no_body),
        cmocka_unit_test(test_file_06_what_is_no_file_is_read),
        cmocka_unit_test(test_file_07_a_channel_that_fails),
        cmocka_unit_test(test_file_08_no_descriptor_is_left),
    };
    return cmocka_run_group_tests(tests, rig_start, rig_stop);
}
