/*
 * Numbers that differ from process to process.
 */
#include "samples.h"

#include "spread.h"

static void test_spread_01_what_is_packed_comes_back(void **state)
{
    static const int64_t bases[] = {0, 1, 1000, MW_SPREAD_BASE_MAX};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(bases); i++) {
        for (unsigned percent = 0; percent <= MW_SPREAD_PERCENT_MAX; percent++) {
            int64_t v = mw_spread_pack(bases[i], percent);
            assert_true(v >= 0);
            assert_true(mw_spread_base(v) == bases[i]);
            assert_int_equal(mw_spread_percent(v), percent);
        }
    }
}

static void test_spread_02_without_percent_it_is_the_number(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        assert_int_equal(mw_spread_pick(1000, seed), 1000);
        assert_int_equal(mw_spread_pick(0, seed), 0);
        assert_int_equal(mw_spread_pick(mw_spread_pack(0, 50), seed), 0);
        assert_int_equal(mw_spread_pick(mw_spread_pack(9, 10), seed),
                         9); /* a tenth is less than 1 */
    }
}

/* All of them come, none outside of them does, none much more often than others. */
static void test_spread_03_every_number_is_as_likely(void **state)
{
    unsigned times[201] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < 201 * 100; seed++) {
        int64_t v = mw_spread_pick(mw_spread_pack(1000, 10), seed);
        assert_in_range(v, 900, 1100);
        times[v - 900]++;
    }
    for (unsigned i = 0; i < 201; i++)
        assert_in_range(times[i], 50, 150);
}

static void test_spread_04_the_same_seed_gives_the_same_number(void **state)
{
    int64_t v = mw_spread_pack(1000000, 50);

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        assert_int_equal(mw_spread_pick(v, seed), mw_spread_pick(v, seed));
        assert_int_not_equal(mw_spread_pick(v, seed), mw_spread_pick(v, seed + 1));
    }
}

static void test_spread_05_large_numbers_do_not_overflow(void **state)
{
    int64_t v = mw_spread_pack(MW_SPREAD_BASE_MAX, MW_SPREAD_PERCENT_MAX);

    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        int64_t n = mw_spread_pick(v, seed);
        assert_true(n >= MW_SPREAD_BASE_MAX / 2 && n <= MW_SPREAD_BASE_MAX / 2 * 3 + 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread_01_what_is_packed_comes_back),
        cmocka_unit_test(test_spread_02_without_percent_it_is_the_number),
        cmocka_unit_test(test_spread_03_every_number_is_as_likely),
        cmocka_unit_test(test_spread_04_the_same_seed_gives_the_same_number),
        cmocka_unit_test(test_spread_05_large_numbers_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
