/*
 * What mod_wsgi-ctl prints, and whom its arguments mean.
 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "show.h"
#include "target.h"
#include "utf8.h"

/* -- characters -- */

static void test_show_01_what_is_a_character(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\x80", 0},
        {"\xc1\x80", 0}, /* longer than need be */
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xc2", 0},
        {"\xc2z", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xed\xa0\x80", 0}, /* a surrogate */
        {"\xef\xbf\xbf", 3},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xf4\x90\x80\x80", 0}, /* beyond the last */
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
    };
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].bytes);
        char *copy = malloc(n); /* so that a sanitizer sees a byte too far */
        memcpy(copy, rows[i].bytes, n);
        if (mw_utf8_length((struct mw_str){copy, n}) != rows[i].length)
            fail_msg("row %zu", i);
        free(copy);
    }
}

/* -- JSON -- */

static char *json_of(struct mw_str s)
{
    char *out = NULL;
    size_t n = 0;
    struct mw_json j = {.to = open_memstream(&out, &n)};

    mw_json_string(&j, NULL, s);
    fclose(j.to);
    return out;
}

static void test_show_02_strings_in_json(void **state)
{
    static const struct {
        struct mw_str in;
        const char *out;
    } rows[] = {
        {{"", 0}, "\"\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\n\x1f\x7f\0", 4}, "\"\\n\\u001f\\u007f\\u0000\""},
        {{"\xc3\xa9", 2}, "\"\xc3\xa9\""},
        {{"\xe9", 1}, "\"\\u00e9\""},
        {{"\xc3", 1}, "\"\\u00c3\""},
    };
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        char *out = json_of(rows[i].in);
        assert_string_equal(out, rows[i].out);
        free(out);
    }
}

static void test_show_03_commas_come_by_themselves(void **state)
{
    char *out = NULL;
    size_t n = 0;
    struct mw_json j = {.to = open_memstream(&out, &n)};

    (void)state;
    mw_json_open(&j, NULL, '{');
    mw_json_number(&j, "a", 1);
    mw_json_open(&j, "b", '[');
    mw_json_flag(&j, NULL, 1);
    mw_json_null(&j, NULL);
    mw_json_open(&j, NULL, '{');
    mw_json_close(&j, '}');
    mw_json_close(&j, ']');
    mw_json_seconds(&j, "c", 1001);
    mw_json_seconds(&j, "d", MW_JSON_NULL);
    mw_json_close(&j, '}');
    fclose(j.to);
    assert_string_equal(out, "{\"a\":1,\"b\":[true,null,{}],\"c\":1.001,\"d\":null}");
    free(out);
}

/* -- a group with a worker that says what it likes -- */

struct sample {
    struct mw_client_list list;
    struct mw_client_group group;
    struct mw_client_worker worker;
    struct mw_admin_request request;
};

static void make_sample(struct sample *s)
{
    *s = (struct sample){
        .list = {.head = {.pid = 7, .ngroups = 1}, .groups = &s->group},
        .group = {.g = {.name = MW_STR("blog/a"), .processes = 1, .threads = 2, .nworkers = 1},
                  .workers = &s->worker},
        .worker = {.w = {.slot = 3,
                         .pid = 4711,
                         .state = MW_STR("ready"),
                         .age_ms = 3600000,
                         .due_ms = MW_ADMIN_NEVER,
                         .busy = 1,
                         .why = MW_STR("")},
                   .group = &s->group,
                   .report = {.resident = 50u << 20, .served = 12, .nrequests = 1},
                   .requests = &s->request},
        .request = {.thread = 4712,
                    .ident = 0x7f00aa,
                    .age_ms = 61000,
                    .method = MW_STR("GET"),
                    .host = MW_STR("h\x1b]0;evil\x07"),
                    .url = MW_STR("/\xc2\x9b\xe9?\xc3\xa9\\"),
                    .client = MW_STR("::1"),
                    .script = MW_STR("/a.wsgi")},
    };
    mw_buf_init(&s->worker.said, 1000);
    mw_buf_init(&s->worker.stack, 1000);
}

static char *printed(void (*show)(FILE *to, const struct mw_client_list *l),
                     const struct mw_client_list *l)
{
    char *out = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&out, &n);

    show(to, l);
    fclose(to);
    return out;
}

static void test_show_10_nothing_of_a_request_reaches_the_terminal_raw(void **state)
{
    struct sample s;
    (void)state;
    make_sample(&s);
    char *out = printed(mw_show_list, &s.list);
    assert_null(strpbrk(out, "\x1b\x07"));
    assert_null(strstr(out, "\xc2\x9b"));
    assert_non_null(strstr(out, "GET http://h\\x1b]0;evil\\x07/\\xc2\\x9b\\xe9?\xc3\xa9\\x5c  from "
                                "::1  thread 4712"));
    assert_non_null(strstr(out, "group blog/a: 1 process of 2 threads, 0 requests waiting\n"));
    assert_non_null(strstr(out, "1h00m"));
    assert_non_null(strstr(out, "50M"));
    free(out);
}

static void test_show_11_what_is_not_known_is_said(void **state)
{
    struct sample s;
    (void)state;
    make_sample(&s);
    s.worker.problem = "does not answer";
    char *out = printed(mw_show_list, &s.list);
    assert_non_null(strstr(out, "it does not answer"));
    assert_null(strstr(out, "GET"));
    free(out);
    out = printed(mw_show_list_json, &s.list);
    assert_non_null(strstr(out, "\"problem\":\"does not answer\",\"served\":null,\"memory\":null,"
                                "\"requests\":[]"));
    free(out);
}

static void test_show_12_stacks_and_their_requests(void **state)
{
    static const char stack[] = "Interpreter 'x':\n"
                                "Thread 0x00000000007f00aa (most recent call first):\n"
                                "  File \"/a\x1b.py\", line 1 in f\n\n"
                                "Thread 0x00000000007f00ab (most recent call first):\n"
                                "  <no Python frame>\n";
    struct mw_client_worker *v;
    struct sample s;
    char *out = NULL;
    size_t n = 0;

    (void)state;
    make_sample(&s);
    v = &s.worker;
    mw_buf_bytes(&s.worker.stack, stack, sizeof stack - 1);
    FILE *to = open_memstream(&out, &n);
    mw_show_stacks(to, &v, 1);
    fclose(to);
    assert_non_null(strstr(out, "worker 3 of group blog/a, pid 4711, ready\nInterpreter 'x':\n"));
    const char *thread = strstr(out, "Thread 0x00000000007f00aa");
    const char *request = strstr(out, "GET http://");
    const char *frame = strstr(out, "File \"/a\\x1b.py\", line 1 in f");
    assert_true(thread && request && frame && thread < request && request < frame);
    assert_null(strstr(out, "7f00ab"));
    free(out);
    mw_buf_fini(&s.worker.stack);
}

static void test_show_20_targets(void **state)
{
    static const struct {
        const char *target;
        int is;
    } rows[] = {{NULL, 1},        {"blog/a", 1},  {"blog", 0},     {"blog/a/3", 1},
                {"blog/a/03", 1}, {"blog/a/", 0}, {"blog/a/4", 0}, {"blog/3", 0},
                {"4711", 1},      {"4712", 0},    {"", 0},         {"/3", 0},
                {"blog/a/3x", 0}, {"-4711", 0}};
    struct sample s;
    unsigned long v;

    (void)state;
    make_sample(&s);
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        if (mw_target_is_worker(&s.worker, rows[i].target) != rows[i].is)
            fail_msg("'%s'", rows[i].target);
    }
    s.worker.w.pid = 0;
    assert_false(mw_target_is_worker(&s.worker, "0"));
    assert_true(mw_target_number("9", 10, &v) && mw_target_number("10", 10, &v));
    assert_false(mw_target_number("11", 10, &v));
    assert_false(mw_target_number("", 10, &v));
    assert_false(mw_target_number("99999999999999999999999", (unsigned long)-1, &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show_01_what_is_a_character),
        cmocka_unit_test(test_show_02_strings_in_json),
        cmocka_unit_test(test_show_03_commas_come_by_themselves),
        cmocka_unit_test(test_show_10_nothing_of_a_request_reaches_the_terminal_raw),
        cmocka_unit_test(test_show_11_what_is_not_known_is_said),
        cmocka_unit_test(test_show_12_stacks_and_their_requests),
        cmocka_unit_test(test_show_20_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
