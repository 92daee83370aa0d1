/*
 * Deadlines: saturation, and their translation for poll(2).
 */
#include "samples.h"

#include <limits.h>

#include "clock.h"

static uint64_t now;

static uint64_t fake(void)
{
    return now;
}

static int set_up(void **state)
{
    (void)state;
    now = 1000;
    mw_clock_replace(fake);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mw_clock_replace(NULL);
    return 0;
}

static void test_clock_01_deadlines_saturate(void **state)
{
    (void)state;
    assert_int_equal(mw_clock_ms(), 1000);
    assert_int_equal(mw_clock_deadline(0), 1000);
    assert_int_equal(mw_clock_deadline(500), 1500);
    assert_true(mw_clock_deadline(UINT64_MAX) == MW_NO_DEADLINE);
    assert_true(mw_clock_deadline(UINT64_MAX - 1000) == MW_NO_DEADLINE);
    assert_true(mw_clock_deadline(UINT64_MAX - 1001) == MW_NO_DEADLINE - 1);
    assert_true(mw_clock_deadline(UINT64_MAX - 999) == MW_NO_DEADLINE);
}

static void test_clock_02_poll_gets_what_is_left(void **state)
{
    (void)state;
    static const struct {
        uint64_t deadline;
        int ms;
    } rows[] = {
        {0, 0},
        {999, 0},
        {1000, 0},
        {1001, 1},
        {1000 + (uint64_t)INT_MAX - 1, INT_MAX - 1},
        {1000 + (uint64_t)INT_MAX, INT_MAX},
        {1000 + (uint64_t)INT_MAX + 1, INT_MAX},
        {MW_NO_DEADLINE - 1, INT_MAX},
        {MW_NO_DEADLINE, -1},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        assert_int_equal(mw_clock_poll_ms(rows[i].deadline), rows[i].ms);
}

static void test_clock_03_the_real_clocks_run(void **state)
{
    (void)state;
    mw_clock_replace(NULL);
    uint64_t a = mw_clock_ms();
    uint64_t b = mw_clock_ms();

    assert_true(b >= a && b - a < 60000);
    assert_true(mw_clock_epoch_us() > 1600000000000000u); /* 2020 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clock_01_deadlines_saturate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clock_02_poll_gets_what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clock_03_the_real_clocks_run, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
