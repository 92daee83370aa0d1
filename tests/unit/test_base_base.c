/*
 * Every error code has a text of its own.
 */
#include "samples.h"

#include <string.h>

#include "base.h"

static void test_err_01_every_code_has_its_own_text(void **state)
{
    (void)state;
    const char *unknown = mw_err_text(MW_EDOWN - 1);

    assert_string_equal(mw_err_text(1), unknown);
    for (int a = MW_EDOWN; a <= MW_OK; a++) {
        assert_string_not_equal(mw_err_text(a), unknown);
        for (int b = MW_EDOWN; b < a; b++)
            assert_string_not_equal(mw_err_text(a), mw_err_text(b));
    }
}

static void test_err_02_a_literal_knows_its_length(void **state)
{
    (void)state;
    assert_int_equal(MW_STR("").n, 0);
    assert_int_equal(MW_STR("a\0b").n, 3);
    int four[4];
    assert_int_equal(MW_ARRAY_LEN(four), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_01_every_code_has_its_own_text),
        cmocka_unit_test(test_err_02_a_literal_knows_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
