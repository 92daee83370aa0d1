/*
 * Settings of the interpreter: what a seed and a warning filter may be, and that every row is usable.
 */
#include "samples.h"

#include <string.h>

#include "pyopts.h"

static void test_pyopts_01_defaults_are_those_of_the_directives(void **state)
{
    (void)state;
    struct mw_pyopts o;

    memset(&o, 0x55, sizeof o);
    mw_opt_defaults(mw_pyopts_rows, mw_pyopts_nrows, &o);
    assert_int_equal(o.optimize, 0);
    assert_int_equal(o.hash_seed, MW_PYOPTS_SEED_UNSET);
    assert_int_equal(o.dont_write_bytecode, 0);
    assert_int_equal(o.restrict_stdin, 0);
    assert_int_equal(o.restrict_stdout, 0);
    assert_int_equal(o.restrict_signal, 1);
    assert_int_equal(o.destroy_interpreter, 1);
    assert_int_equal(o.own_gil, 0);
    assert_int_equal(o.free_threading, 0);
    assert_int_equal(o.utf8, 1);
    assert_null(o.warnings);
}

static void test_pyopts_02_rows_are_usable(void **state)
{
    (void)state;
    for (size_t i = 0; i < mw_pyopts_nrows; i++) {
        const struct mw_opt *row = &mw_pyopts_rows[i];
        struct mw_pyopts o;
        mw_opt_defaults(mw_pyopts_rows, mw_pyopts_nrows, &o);
        assert_true(mw_opt_valid(row, &o));
        assert_true(strlen(row->doc) > 20);
        assert_int_equal(row->doc[strlen(row->doc) - 1], '.');
        for (size_t k = 0; k < i; k++)
            assert_true(row->off != mw_pyopts_rows[k].off);
    }
}

static void test_pyopts_03_seed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"random", MW_PYOPTS_SEED_RANDOM},
        {"Random", MW_PYOPTS_SEED_RANDOM},
        {"0", 0},
        {"007", 7},
        {"4294967294", 4294967294},
        {"4294967295", 4294967295},
        {"4294967296", -1},
        {"18446744073709551616", -1},
        {"", -1},
        {"-1", -1},
        {"+1", -1},
        {"1 ", -1},
        {"1x", -1},
        {"rand", -1},
        {"randomly", -1},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        int64_t v = -1;
        int rv = mw_pyopts_parse_seed(rows[i].text, &v);
        assert_int_equal(rv, rows[i].want < 0 ? MW_EINVAL : 0);
        assert_true(v == rows[i].want);
    }
}

static void test_pyopts_04_warning_filters(void **state)
{
    (void)state;
    static const char *const good[] = {
        "error",
        "e",
        "all",
        "ignore::DeprecationWarning",
        "default:some text:UserWarning:blog.views:10",
        "once::::",
        ":message",
        "ignore:::pkg: 7 ",
    };
    static const char *const bad[] = {
        "", "errors", "warn", "Error", "ignore::::x", "ignore::::1x", "a:b:c:d:1:e", "error\nerror",
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(good); i++)
        if (mw_pyopts_check_warning(good[i]))
            fail_msg("'%s' was refused", good[i]);
    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++)
        if (!mw_pyopts_check_warning(bad[i]))
            fail_msg("'%s' was accepted", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pyopts_01_defaults_are_those_of_the_directives),
        cmocka_unit_test(test_pyopts_02_rows_are_usable),
        cmocka_unit_test(test_pyopts_03_seed),
        cmocka_unit_test(test_pyopts_04_warning_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
