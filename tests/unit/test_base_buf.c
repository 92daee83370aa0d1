/*
 * The capped buffer and the cursor: exact bytes, limits, sticky errors, and hostile lengths.
 */
#include "samples.h"

#include <stdlib.h>
#include <string.h>

/* So that a failing allocation returns NULL under AddressSanitizer too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void test_buf_01_integers_are_little_endian(void **state)
{
    (void)state;
    static const uint8_t want[] = {0xab, 0x34, 0x12, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1};
    struct mw_buf b;

    mw_buf_init(&b, 100);
    mw_buf_u8(&b, 0xab);
    mw_buf_u16(&b, 0x1234);
    mw_buf_u32(&b, 0x01020304);
    mw_buf_u64(&b, 0x0102030405060708);
    assert_int_equal(b.err, 0);
    assert_int_equal(mw_buf_size(&b), sizeof want);
    assert_memory_equal(mw_buf_data(&b), want, sizeof want);

    struct mw_cur c;
    mw_cur_init(&c, want, sizeof want);
    assert_int_equal(mw_cur_u8(&c), 0xab);
    assert_int_equal(mw_cur_u16(&c), 0x1234);
    assert_int_equal(mw_cur_u32(&c), 0x01020304);
    assert_true(mw_cur_u64(&c) == 0x0102030405060708);
    assert_int_equal(mw_cur_end(&c), 0);
    mw_buf_fini(&b);
}

static void test_buf_02_a_string_has_a_length_and_a_nul(void **state)
{
    (void)state;
    static const uint8_t want[] = {2, 0, 0, 0, 'h', 'i', 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x', 0};
    struct mw_buf b;

    mw_buf_init(&b, 100);
    mw_buf_str(&b, MW_STR("hi"));
    mw_buf_cstr(&b, NULL);
    mw_buf_cstr(&b, "x");
    assert_int_equal(mw_buf_size(&b), sizeof want);
    assert_memory_equal(mw_buf_data(&b), want, sizeof want);
    mw_buf_fini(&b);
}

static void test_buf_03_the_limit_is_exact(void **state)
{
    (void)state;
    static const size_t limits[] = {1, 4, 255, 256, 257, 1000};
    uint8_t bytes[1001] = {0};

    for (size_t i = 0; i < MW_ARRAY_LEN(limits); i++) {
        for (size_t n = limits[i] - 1; n <= limits[i] + 1; n++) {
            struct mw_buf b;
            mw_buf_init(&b, limits[i]);
            mw_buf_bytes(&b, bytes, n);
            assert_int_equal(b.err, n > limits[i] ? MW_ELIMIT : 0);
            assert_int_equal(mw_buf_size(&b), n > limits[i] ? 0 : n);
            assert_true(b.cap <= limits[i]);
            mw_buf_fini(&b);
        }
    }
}

static void test_buf_04_the_limit_counts_what_is_not_consumed(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 4);
    mw_buf_bytes(&b, "abcd", 4);
    mw_buf_consume(&b, 3);
    mw_buf_bytes(&b, "efg", 3);
    assert_int_equal(b.err, 0);
    assert_memory_equal(mw_buf_data(&b), "defg", 4);
    assert_true(b.cap <= 4); /* moved to the front, not grown */
    mw_buf_u8(&b, 'h');
    assert_int_equal(b.err, MW_ELIMIT);
    assert_memory_equal(mw_buf_data(&b), "defg", 4);
    mw_buf_fini(&b);
}

static void test_buf_05_an_error_stays_until_clear(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 8);
    mw_buf_u32(&b, 1);
    mw_buf_u64(&b, 2); /* does not fit and writes nothing */
    mw_buf_u8(&b, 3);  /* would fit */
    mw_buf_patch_u32(&b, 0, 9);
    assert_null(mw_buf_reserve(&b, 1));
    mw_buf_commit(&b, 1);
    assert_int_equal(b.err, MW_ELIMIT);
    assert_int_equal(mw_buf_size(&b), 4);
    assert_int_equal(mw_buf_data(&b)[0], 1);
    size_t cap = b.cap;
    mw_buf_clear(&b);
    assert_int_equal(b.err, 0);
    assert_int_equal(mw_buf_size(&b), 0);
    assert_int_equal(b.cap, cap);
    mw_buf_u64(&b, 2);
    assert_int_equal(b.err, 0);
    mw_buf_fini(&b);
}

static void test_buf_06_patch_counts_from_the_first_unread_byte(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 100);
    mw_buf_bytes(&b, "xy", 2);
    mw_buf_u32(&b, 0);
    mw_buf_u8(&b, 7);
    mw_buf_consume(&b, 2);
    mw_buf_patch_u32(&b, 0, 0x04030201);
    assert_memory_equal(mw_buf_data(&b), "\1\2\3\4\7", 5);
    mw_buf_patch_u32(&b, 1, 0);
    assert_int_equal(b.err, 0);
    mw_buf_patch_u32(&b, 2, 0); /* one byte beyond */
    assert_int_equal(b.err, MW_ELIMIT);
    mw_buf_clear(&b);
    mw_buf_patch_u32(&b, SIZE_MAX, 0);
    assert_int_equal(b.err, MW_ELIMIT);
    mw_buf_fini(&b);
}

static void test_buf_07_reserve_and_commit(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 300);
    uint8_t *p = mw_buf_reserve(&b, 10);
    assert_non_null(p);
    memcpy(p, "0123456789", 10);
    mw_buf_commit(&b, 4);
    assert_int_equal(mw_buf_size(&b), 4);
    assert_non_null(mw_buf_reserve(&b, 0));
    assert_non_null(mw_buf_reserve(&b, 296));
    mw_buf_commit(&b, 297); /* more than there is memory for */
    assert_int_equal(b.err, MW_ELIMIT);
    assert_int_equal(mw_buf_size(&b), 4);
    mw_buf_clear(&b);
    assert_null(mw_buf_reserve(&b, 301));
    mw_buf_fini(&b);
    mw_buf_init(&b, 10);
    assert_non_null(mw_buf_reserve(&b, 0)); /* NULL would mean an error */
    mw_buf_fini(&b);
}

static void test_buf_08_consume_stops_at_the_end(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 10);
    mw_buf_consume(&b, 5);
    assert_int_equal(mw_buf_size(&b), 0);
    assert_non_null(mw_buf_data(&b));
    mw_buf_bytes(&b, "abc", 3);
    mw_buf_consume(&b, 100);
    assert_int_equal(mw_buf_size(&b), 0);
    assert_int_equal(b.pos, 0);
    mw_buf_fini(&b);
}

static void test_buf_09_trim_frees_only_large_and_empty(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 10000);
    mw_buf_bytes(&b, (char[1000]){0}, 1000);
    mw_buf_trim(&b, 10);
    assert_int_equal(mw_buf_size(&b), 1000);
    mw_buf_consume(&b, 1000);
    size_t cap = b.cap;
    mw_buf_trim(&b, cap);
    assert_int_equal(b.cap, cap);
    mw_buf_trim(&b, cap - 1);
    assert_int_equal(b.cap, 0);
    assert_null(b.p);
    mw_buf_fini(&b);
}

static void test_buf_10_no_memory_is_an_error(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, SIZE_MAX);
    mw_buf_u32(&b, 7);
    assert_null(mw_buf_reserve(&b, SIZE_MAX / 4));
    assert_int_equal(b.err, MW_ENOMEM);
    assert_int_equal(mw_buf_size(&b), 4);
    assert_int_equal(mw_buf_data(&b)[0], 7);
    mw_buf_fini(&b);
}

static void test_buf_11_a_huge_string_does_not_wrap(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, SIZE_MAX);
    mw_buf_str(&b, (struct mw_str){"", (size_t)UINT32_MAX});
    assert_int_equal(b.err, MW_ELIMIT);
    mw_buf_clear(&b);
    mw_buf_str(&b, (struct mw_str){"", SIZE_MAX});
    assert_int_equal(b.err, MW_ELIMIT);
    mw_buf_clear(&b);
    mw_buf_strs(&b, MW_STR("a"), (struct mw_str){"", SIZE_MAX});
    assert_int_equal(b.err, MW_ELIMIT);
    mw_buf_clear(&b);
    mw_buf_strs(&b, (struct mw_str){"", SIZE_MAX - 5}, MW_STR("a"));
    assert_int_equal(b.err, MW_ELIMIT);
    mw_buf_fini(&b);
}

/* As one after the other, but either both or none. */
static void test_buf_12_two_strings(void **state)
{
    (void)state;
    const struct mw_str s = MW_STR("key"), t = MW_STR("a value"), none = MW_STR("");
    struct mw_buf one, two;

    for (size_t max = 0; max < 50; max++) {
        mw_buf_init(&one, max);
        mw_buf_init(&two, max);
        mw_buf_str(&one, s);
        mw_buf_str(&one, t);
        mw_buf_strs(&two, s, t);
        assert_int_equal(two.err, one.err);
        assert_int_equal(mw_buf_size(&two), one.err ? 0 : mw_buf_size(&one));
        if (!one.err)
            assert_memory_equal(mw_buf_data(&two), mw_buf_data(&one), mw_buf_size(&one));
        assert_int_equal(one.err, max < s.n + t.n + 10 ? MW_ELIMIT : 0);
        mw_buf_fini(&one);
        mw_buf_fini(&two);
    }
    mw_buf_init(&two, 10);
    mw_buf_strs(&two, none, none);
    assert_int_equal(two.err, 0);
    assert_memory_equal(mw_buf_data(&two), ((uint8_t[10]){0}), 10);
    mw_buf_fini(&two);
}

static void test_cur_01_every_truncation_is_seen(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 1000);
    mw_buf_u16(&b, 5);
    mw_buf_str(&b, MW_STR("hello"));
    mw_buf_u64(&b, 6);
    for (size_t n = 0; n <= mw_buf_size(&b); n++) {
        uint8_t *copy = malloc(n ? n : 1); /* exact, so that sanitizers see a read beyond */
        assert_non_null(copy);
        memcpy(copy, mw_buf_data(&b), n);
        struct mw_cur c;
        mw_cur_init(&c, copy, n);
        mw_cur_u16(&c);
        mw_cur_str(&c);
        mw_cur_u64(&c);
        assert_int_equal(mw_cur_end(&c), n == mw_buf_size(&b) ? 0 : MW_EPROTO);
        free(copy);
    }
    mw_buf_fini(&b);
}

static void test_cur_02_bytes_left_over_are_an_error(void **state)
{
    (void)state;
    struct mw_cur c;

    mw_cur_init(&c, "ab", 2);
    mw_cur_u8(&c);
    assert_int_equal(mw_cur_left(&c), 1);
    assert_int_equal(mw_cur_end(&c), MW_EPROTO);
    mw_cur_u8(&c);
    assert_int_equal(mw_cur_end(&c), 0);
    assert_int_equal(mw_cur_left(&c), 0);
}

static void test_cur_03_after_an_error_getters_give_nothing(void **state)
{
    (void)state;
    struct mw_cur c;

    mw_cur_init(&c, "abcdefgh", 8);
    assert_null(mw_cur_bytes(&c, 9));
    assert_int_equal(c.err, MW_EPROTO);
    assert_int_equal(mw_cur_u8(&c), 0);
    assert_int_equal(mw_cur_u64(&c), 0);
    assert_null(mw_cur_bytes(&c, 1));
    assert_int_equal(mw_cur_left(&c), 0);
    struct mw_str s = mw_cur_str(&c);
    assert_string_equal(s.p, "");
    assert_int_equal(s.n, 0);
    mw_cur_init(&c, NULL, 0);
    assert_int_equal(mw_cur_end(&c), 0);
    assert_int_equal(mw_cur_u8(&c), 0);
    assert_int_equal(mw_cur_end(&c), MW_EPROTO);
}

static void test_cur_04_hostile_strings(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int str, span; /* expected errors */
    } rows[] = {
        {"\3\0\0\0abc\0", 8, 0, 0},
        {"\0\0\0\0\0", 5, 0, 0},
        {"\3\0\0\0a\0c\0", 8, MW_EPROTO, 0},                /* NUL inside */
        {"\3\0\0\0abcd", 8, MW_EPROTO, MW_EPROTO},          /* no NUL behind */
        {"\3\0\0\0abc", 7, MW_EPROTO, MW_EPROTO},           /* cut before the NUL */
        {"\377\377\377\377abc\0", 8, MW_EPROTO, MW_EPROTO}, /* n + 1 must not wrap */
        {"\376\377\377\377abc\0", 8, MW_EPROTO, MW_EPROTO},
        {"\4\0\0\0abc\0", 8, MW_EPROTO, MW_EPROTO},
        {"\3\0\0", 3, MW_EPROTO, MW_EPROTO},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_cur c;
        mw_cur_init(&c, rows[i].bytes, rows[i].n);
        struct mw_str s = mw_cur_str(&c);
        assert_int_equal(c.err, rows[i].str);
        assert_int_equal(s.p[s.n], 0);
        mw_cur_init(&c, rows[i].bytes, rows[i].n);
        s = mw_cur_span(&c);
        assert_int_equal(c.err, rows[i].span);
        assert_int_equal(s.p[s.n], 0);
    }
}

/* Write random items, some after consuming others, and read the same back. */
static void test_cur_05_what_was_written_is_read(void **state)
{
    (void)state;
    uint32_t seed = 4711;

    for (int round = 0; round < 200; round++) {
        uint32_t from = seed;
        struct mw_buf b;
        mw_buf_init(&b, 1 << 20);
        for (int i = 0; i < 50; i++) {
            uint32_t v = sample_random(&seed);
            char text[64];
            memset(text, 'a' + (int)(v % 26), sizeof text);
            mw_buf_u8(&b, (uint8_t)v);
            mw_buf_u64(&b, (uint64_t)v * v);
            mw_buf_str(&b, (struct mw_str){text, v % sizeof text});
        }
        assert_int_equal(b.err, 0);
        struct mw_cur c;
        mw_cur_init(&c, mw_buf_data(&b), mw_buf_size(&b));
        for (int i = 0; i < 50; i++) {
            uint32_t v = sample_random(&from);
            assert_int_equal(mw_cur_u8(&c), (uint8_t)v);
            assert_true(mw_cur_u64(&c) == (uint64_t)v * v);
            struct mw_str s = mw_cur_str(&c);
            assert_int_equal(s.n, v % 64);
            assert_true(s.n == 0 || s.p[s.n - 1] == 'a' + (int)(v % 26));
        }
        assert_int_equal(mw_cur_end(&c), 0);
        mw_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_01_integers_are_little_endian),
        cmocka_unit_test(test_buf_02_a_string_has_a_length_and_a_nul),
        cmocka_unit_test(test_buf_03_the_limit_is_exact),
        cmocka_unit_test(test_buf_04_the_limit_counts_what_is_not_consumed),
        cmocka_unit_test(test_buf_05_an_error_stays_until_clear),
        cmocka_unit_test(test_buf_06_patch_counts_from_the_first_unread_byte),
        cmocka_unit_test(test_buf_07_reserve_and_commit),
        cmocka_unit_test(test_buf_08_consume_stops_at_the_end),
        cmocka_unit_test(test_buf_09_trim_frees_only_large_and_empty),
        cmocka_unit_test(test_buf_10_no_memory_is_an_error),
        cmocka_unit_test(test_buf_11_a_huge_string_does_not_wrap),
        cmocka_unit_test(test_buf_12_two_strings),
        cmocka_unit_test(test_cur_01_every_truncation_is_seen),
        cmocka_unit_test(test_cur_02_bytes_left_over_are_an_error),
        cmocka_unit_test(test_cur_03_after_an_error_getters_give_nothing),
        cmocka_unit_test(test_cur_04_hostile_strings),
        cmocka_unit_test(test_cur_05_what_was_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
