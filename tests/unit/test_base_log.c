/*
 * Log lines: id, cutting, levels, errno; escaping for the sinks that need it.
 */
#include "samples.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

struct memory {
    int calls;
    int level;
    char line[2 * MW_LOG_LINE_MAX];
};

static void remember(void *ctx, int level, const char *line)
{
    struct memory *m = ctx;

    m->calls++;
    m->level = level;
    snprintf(m->line, sizeof m->line, "%s", line);
    errno = 1; /* a careless sink */
}

static int no_sink(void **state)
{
    (void)state;
    mw_log_set(NULL, NULL, 0);
    return 0;
}

static void test_log_01_a_line_has_its_id_in_front(void **state)
{
    (void)state;
    struct memory m = {0};

    mw_log_set(remember, &m, MW_LOG_INFO);
    mw_log(MW_LOG_ERR, "WSGI0500", "worker %d of '%s' died", 3, "blog");
    assert_string_equal(m.line, "WSGI0500: worker 3 of 'blog' died");
    assert_int_equal(m.level, MW_LOG_ERR);
    mw_log(MW_LOG_INFO, NULL, "plain");
    assert_string_equal(m.line, "plain");
    assert_int_equal(m.calls, 2);
}

static void test_log_02_the_level_decides(void **state)
{
    (void)state;
    struct memory m = {0};

    mw_log(MW_LOG_CRIT, NULL, "nobody listens");
    assert_false(mw_log_enabled(MW_LOG_CRIT));
    mw_log_set(remember, &m, MW_LOG_WARNING);
    assert_true(mw_log_enabled(MW_LOG_WARNING));
    assert_false(mw_log_enabled(MW_LOG_NOTICE));
    mw_log(MW_LOG_NOTICE, NULL, "too low");
    assert_int_equal(m.calls, 0);
    mw_log(MW_LOG_WARNING, NULL, "high enough");
    assert_int_equal(m.calls, 1);
}

static void test_log_03_errno_is_kept_and_readable(void **state)
{
    (void)state;
    struct memory m = {0};

    mw_log_set(remember, &m, MW_LOG_INFO);
    errno = ENOENT;
    mw_log(MW_LOG_ERR, "WSGI0501", "open: %m");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(m.line, "WSGI0501: open: No such file or directory");
}

static void test_log_04_every_byte_is_visible(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char in = (char)c, out[16], want[8];
        switch (c) {
        case '\b':
            snprintf(want, sizeof want, "\\b");
            break;
        case '\n':
            snprintf(want, sizeof want, "\\n");
            break;
        case '\r':
            snprintf(want, sizeof want, "\\r");
            break;
        case '\t':
            snprintf(want, sizeof want, "\\t");
            break;
        case '\v':
            snprintf(want, sizeof want, "\\v");
            break;
        case '\\':
            snprintf(want, sizeof want, "\\\\");
            break;
        default:
            snprintf(want, sizeof want, c < 32 || c == 127 ? "\\x%02x" : "%c", c);
        }
        size_t n = mw_log_escape(out, sizeof out, (struct mw_str){&in, 1});
        assert_int_equal(n, strlen(want));
        assert_string_equal(out, want);
    }
}

static void test_log_05_escape_never_cuts_a_sequence(void **state)
{
    (void)state;
    static const struct {
        size_t cap;
        const char *want;
    } rows[] = {{1, ""},     {2, "a"},         {3, "a"},          {4, "a\\n"},       {5, "a\\n"},
                {7, "a\\n"}, {8, "a\\n\\x01"}, {9, "a\\n\\x01b"}, {99, "a\\n\\x01b"}};
    char out[100];

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        memset(out, '#', sizeof out);
        size_t n = mw_log_escape(out, rows[i].cap, MW_STR("a\n\1b"));
        assert_string_equal(out, rows[i].want);
        assert_int_equal(n, strlen(rows[i].want));
        if (rows[i].cap < sizeof out)
            assert_int_equal(out[rows[i].cap], '#');
    }
    assert_int_equal(mw_log_escape(NULL, 0, MW_STR("x")), 0);
}

static void test_log_06_a_long_line_is_cut(void **state)
{
    (void)state;
    static char text[MW_LOG_LINE_MAX + 100];
    struct memory m = {0};

    mw_log_set(remember, &m, MW_LOG_INFO);
    for (int n = MW_LOG_LINE_MAX - 2; n <= MW_LOG_LINE_MAX + 1; n++) {
        memset(text, 'x', sizeof text - 1);
        mw_log(MW_LOG_ERR, NULL, "%.*s", n, text);
        size_t want = n < MW_LOG_LINE_MAX ? (size_t)n : MW_LOG_LINE_MAX - 1;
        assert_int_equal(strlen(m.line), want);
        mw_log(MW_LOG_ERR, "WSGI0502", "%.*s", n, text);
        assert_true(strlen(m.line) <= MW_LOG_LINE_MAX - 1);
        assert_memory_equal(m.line, "WSGI0502: xxx", 13);
    }
}

static void test_log_08_the_sink_gets_the_bytes_as_they_are(void **state)
{
    (void)state;
    struct memory m = {0};

    mw_log_set(remember, &m, MW_LOG_INFO);
    mw_log(MW_LOG_ERR, "WSGI0503", "%s", "C:\\dir\tand\x1b[0m\xc3\xa9");
    assert_string_equal(m.line, "WSGI0503: C:\\dir\tand\x1b[0m\xc3\xa9");
}

static void test_log_07_levels_are_named_as_httpd_does(void **state)
{
    (void)state;
    assert_string_equal(mw_log_level_name(MW_LOG_CRIT), "crit");
    assert_string_equal(mw_log_level_name(MW_LOG_ERR), "error");
    assert_string_equal(mw_log_level_name(MW_LOG_WARNING), "warn");
    assert_string_equal(mw_log_level_name(MW_LOG_NOTICE), "notice");
    assert_string_equal(mw_log_level_name(MW_LOG_INFO), "info");
    assert_string_equal(mw_log_level_name(MW_LOG_DEBUG), "debug");
    assert_string_equal(mw_log_level_name(MW_LOG_TRACE1), "trace1");
    assert_string_equal(mw_log_level_name(15), "trace8");
    assert_string_equal(mw_log_level_name(16), "unknown");
    assert_string_equal(mw_log_level_name(-1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_log_01_a_line_has_its_id_in_front, no_sink),
        cmocka_unit_test_teardown(test_log_02_the_level_decides, no_sink),
        cmocka_unit_test_teardown(test_log_03_errno_is_kept_and_readable, no_sink),
        cmocka_unit_test(test_log_04_every_byte_is_visible),
        cmocka_unit_test(test_log_05_escape_never_cuts_a_sequence),
        cmocka_unit_test_teardown(test_log_06_a_long_line_is_cut, no_sink),
        cmocka_unit_test(test_log_07_levels_are_named_as_httpd_does),
        cmocka_unit_test_teardown(test_log_08_the_sink_gets_the_bytes_as_they_are, no_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
