/*
 * Option rows: strict parsing, ranges, and reasons that say what is allowed.
 */
#include "samples.h"

#include <string.h>

#include "opt.h"

#define SPREAD(base, percent) ((base) | INT64_C(percent) << 48)

struct target {
    int64_t count, limit, mask, flag, pause, times, age, size, level, held;
    const char *name, *dir, *lines;
};

static const struct mw_opt rows[] = {
    {"count", MW_OPT_INT, offsetof(struct target, count), 1, 1024, 15, "A count."},
    {"limit", MW_OPT_SECS, offsetof(struct target, limit), 0, 86400000, 5000, "Seconds."},
    {"mask", MW_OPT_OCTAL, offsetof(struct target, mask), 0, 0777, -1, "A mask."},
    {"flag", MW_OPT_BOOL, offsetof(struct target, flag), 0, 1, 1, "A switch."},
    {"name", MW_OPT_STR, offsetof(struct target, name), 0, 0, 0, "A name."},
    {"dir", MW_OPT_DIR, offsetof(struct target, dir), 0, 0, 0, "A directory."},
    {"pause", MW_OPT_USECS, offsetof(struct target, pause), 1, 2500000, 0, "Seconds."},
    {"lines", MW_OPT_LINES, offsetof(struct target, lines), 0, 0, 0, "Lines."},
    {"times", MW_OPT_INT_SPREAD, offsetof(struct target, times), 0, 1000, 0, "Times."},
    {"age", MW_OPT_SECS_SPREAD, offsetof(struct target, age), 2000, 60000, 0, "Seconds."},
    {"size", MW_OPT_BYTES, offsetof(struct target, size), 1 << 20, INT64_C(1) << 31, 0, "Bytes."},
    {"level", MW_OPT_INT, offsetof(struct target, level), -20, 19, 0, "A level."},
    {"held", MW_OPT_BUFFER, offsetof(struct target, held), 0, 1 << 30, MW_OPT_AUTO, "Bytes."},
};

static const struct mw_opt *row(const char *name)
{
    const struct mw_opt *r = mw_opt_find(rows, MW_ARRAY_LEN(rows), name);

    assert_non_null(r);
    return r;
}

static void test_opt_01_defaults(void **state)
{
    (void)state;
    struct target t;

    memset(&t, 0x55, sizeof t);
    mw_opt_defaults(rows, MW_ARRAY_LEN(rows), &t);
    assert_int_equal(t.count, 15);
    assert_int_equal(t.limit, 5000);
    assert_int_equal(t.mask, -1);
    assert_int_equal(t.flag, 1);
    assert_null(t.name);
    assert_null(t.dir);
    assert_int_equal(t.pause, 0);
    assert_null(t.lines);
    assert_int_equal(t.held, MW_OPT_AUTO);
}

static void test_opt_02_find_is_exact(void **state)
{
    (void)state;
    static const char *const unknown[] = {"", "coun", "counts", "Count", " count"};

    assert_ptr_equal(row("dir"), &rows[5]);
    for (size_t i = 0; i < MW_ARRAY_LEN(unknown); i++)
        assert_null(mw_opt_find(rows, MW_ARRAY_LEN(rows), unknown[i]));
}

static void test_opt_03_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int64_t want;
    } good[] = {
        {"count", "1", 1},
        {"size", "0", 0},
        {"held", "auto", MW_OPT_AUTO},
        {"held", "AUTO", MW_OPT_AUTO},
        {"held", "off", 0},
        {"held", "Off", 0},
        {"held", "0", 0},
        {"held", "1", 1},
        {"held", "64K", 65536},
        {"held", "1G", 1 << 30},
        {"count", "1024", 1024},
        {"count", "0007", 7},
        {"limit", "0", 0},
        {"limit", "1", 1000},
        {"limit", "86400", 86400000},
        {"mask", "0", 0},
        {"mask", "0022", 022},
        {"mask", "777", 0777},
        {"flag", "on", 1},
        {"flag", "OFF", 0},
        {"flag", "On", 1},
        {"pause", "0.000001", 1},
        {"pause", "2.5", 2500000},
        {"pause", "2.500000", 2500000},
        {"pause", "1", 1000000},
        {"pause", "1.", 1000000},
        {"pause", ".005", 5000},
        {"pause", "000000000001", 1000000},
        {"times", "0", 0},
        {"times", "1000", 1000},
        {"times", "1000~10%", SPREAD(1000, 10)},
        {"times", "1~1%", SPREAD(1, 1)},
        {"times", "7~50%", SPREAD(7, 50)},
        {"age", "2", 2000},
        {"age", "60~05%", SPREAD(60000, 5)},
        {"size", "1048576", 1 << 20},
        {"size", "1024K", 1 << 20},
        {"size", "1M", 1 << 20},
        {"size", "2G", INT64_C(1) << 31},
        {"level", "-20", -20},
        {"level", "-0", 0},
        {"level", "19", 19},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(good); i++) {
        struct target t = {0};
        char why[100] = "";
        const struct mw_opt *r = row(good[i].name);
        assert_int_equal(mw_opt_set(r, &t, good[i].value, why, sizeof why), 0);
        assert_int_equal(mw_opt_number(r, &t), good[i].want);
        assert_string_equal(why, "");
    }
}

static void test_opt_04_refusals_change_nothing_and_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *name, *why;
        const char *values[14];
    } bad[] = {
        {"count",
         "must be a whole number from 1 to 1024",
         {"", "0", "1025", "-1", "+1", " 1", "1 ", "1x", "0x1", "1.0", "abc", "9223372036854775807",
          "9223372036854775808", "99999999999999999999"}},
        {"limit",
         "must be a whole number of seconds from 0 to 86400",
         {"", "86401", "1s", "1.5", "-0", "9223372036854775", "9223372036854776",
          "9223372036854775807", "18446744073709551616", "1e3"}},
        {"mask", "must be an octal number from 0 to 777", {"", "8", "1000", "0o22", "-1", "022 "}},
        {"pause",
         "must be a number of seconds from 0.000001 to 2.5, with at most 6 decimals",
         {"", ".", "0", "0.0", "2.500001", "0.0000001", "-1", "1e3", "1 ", "1.5.0", "1,5", "inf",
          "0000000000001", "999999999999"}},
        {"level",
         "must be a whole number from -20 to 19",
         {"", "-", "-21", "20", "--1", "- 1", "+1", "-1x", "-9223372036854775808"}},
        {"lines", "must not be empty", {""}},
        {"times",
         "must be a whole number from 0 to 1000; ~1% to ~50% may follow it",
         {"", "1001", "1001~10%", "~10%", "10~", "10~%", "10~0%", "10~51%", "10~10", "10~10%%",
          "10~1.5%", "10~-1%", "10 ~10%", "000000000000000000000000001~1%"}},
        {"age",
         "must be a whole number of seconds from 2 to 60; ~1% to ~50% may follow it",
         {"", "1", "61", "1~10%", "61~10%", "10s~10%"}},
        {"size",
         "must be 0 or a whole number of bytes from 1M to 2G; K, M or G may follow it",
         {"", "1048575", "1023K", "2147483649", "3G", "1m", "1MB", "1 M", "M", "1T", "1.5G", "-1M",
          "9007199254740992K", "8589934592G"}},
        {"held",
         "must be auto, off or a whole number of bytes up to 1G; K, M or G may follow it",
         {"", "on", "-1", "1073741825", "2G", "auto ", "autos", "offf"}},
        {"flag", "must be On or Off", {"", "1", "yes", "onn", "o", "true"}},
        {"name", "must not be empty", {""}},
        {"dir", "must be an absolute path", {"", "srv", "./srv", "~", " /srv"}},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++) {
        for (size_t k = 0; k < MW_ARRAY_LEN(bad[i].values) && bad[i].values[k]; k++) {
            struct target t = {0}, zero = {0};
            char why[100] = "";
            int rv = mw_opt_set(row(bad[i].name), &t, bad[i].values[k], why, sizeof why);
            assert_int_equal(rv, MW_EINVAL);
            assert_string_equal(why, bad[i].why);
            assert_memory_equal(&t, &zero, sizeof t);
        }
    }
}

static void test_opt_05_strings_are_borrowed(void **state)
{
    (void)state;
    static const char name[] = "a b", dir[] = "/srv";
    struct target t = {0};
    char why[100];

    assert_int_equal(mw_opt_set(row("name"), &t, name, why, sizeof why), 0);
    assert_int_equal(mw_opt_set(row("dir"), &t, dir, why, sizeof why), 0);
    assert_ptr_equal(t.name, name);
    assert_ptr_equal(mw_opt_string(row("dir"), &t), dir);
}

static void test_opt_06_a_small_buffer_for_the_reason(void **state)
{
    (void)state;
    struct target t = {0};
    char why[5] = "####";

    assert_int_equal(mw_opt_set(row("name"), &t, "", why, 4), MW_EINVAL);
    assert_string_equal(why, "mus");
}

static void test_opt_07_valid_is_what_set_could_have_put(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t v;
        int valid;
    } numbers[] = {
        {"count", 0, 0},
        {"count", 1, 1},
        {"count", 1024, 1},
        {"count", 1025, 0},
        {"count", INT64_MIN, 0},
        {"mask", -1, 1},
        {"mask", -2, 0},
        {"mask", 0777, 1},
        {"mask", 01000, 0},
        {"limit", 86400000, 1},
        {"limit", 86400001, 0},
        {"limit", -1, 0},
        {"flag", 0, 1},
        {"flag", 1, 1},
        {"flag", 2, 0},
        {"times", 1000, 1},
        {"times", 1001, 0},
        {"times", -1, 0},
        {"times", SPREAD(1000, 50), 1},
        {"times", SPREAD(1000, 51), 0},
        {"times", SPREAD(1001, 1), 0},
        {"times", INT64_MIN, 0},
        {"age", 0, 1},
        {"age", 1999, 0},
        {"age", SPREAD(0, 1), 0},
        {"size", 0, 1},
        {"size", 1, 0},
        {"size", INT64_C(1) << 31, 1},
    };
    static const struct {
        const char *name, *v;
        int valid;
    } strings[] = {
        {"name", NULL, 1},  {"name", "x", 1},  {"name", "", 0}, {"dir", NULL, 1},
        {"dir", "/", 1},    {"dir", "srv", 0}, {"dir", "", 0},  {"lines", "a\nb", 1},
        {"lines", NULL, 1}, {"lines", "", 0},
    };
    struct target t = {0};

    for (size_t i = 0; i < MW_ARRAY_LEN(numbers); i++) {
        mw_opt_put_number(row(numbers[i].name), &t, numbers[i].v);
        assert_int_equal(mw_opt_valid(row(numbers[i].name), &t), numbers[i].valid);
    }
    for (size_t i = 0; i < MW_ARRAY_LEN(strings); i++) {
        mw_opt_put_string(row(strings[i].name), &t, strings[i].v);
        assert_int_equal(mw_opt_valid(row(strings[i].name), &t), strings[i].valid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opt_01_defaults),
        cmocka_unit_test(test_opt_02_find_is_exact),
        cmocka_unit_test(test_opt_03_numbers),
        cmocka_unit_test(test_opt_04_refusals_change_nothing_and_say_why),
        cmocka_unit_test(test_opt_05_strings_are_borrowed),
        cmocka_unit_test(test_opt_06_a_small_buffer_for_the_reason),
        cmocka_unit_test(test_opt_07_valid_is_what_set_could_have_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
