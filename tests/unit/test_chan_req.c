/*
 * The request block: what is built is viewed, what is not whole or not allowed is refused.
 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void build(struct mw_buf *b, const struct mw_req *head)
{
    mw_buf_init(b, 32 << 20);
    assert_int_equal(mw_req_end(b, mw_req_begin(b, head), 0), 0);
}

static int view_of(const struct mw_req *head)
{
    struct mw_buf b;
    struct mw_req r;

    build(&b, head);
    int rv = mw_req_view(&r, mw_buf_data(&b), mw_buf_size(&b));
    mw_buf_fini(&b);
    return rv;
}

static void test_req_01_everything_comes_back(void **state)
{
    (void)state;
    struct mw_buf b;
    struct mw_req r;
    struct mw_str k, v;

    mw_buf_init(&b, 10000);
    sample_req(&b);
    assert_int_equal(mw_req_view(&r, mw_buf_data(&b), mw_buf_size(&b)), 0);
    assert_int_equal(r.flags, sample_req_head.flags);
    assert_true(r.content_length == sample_req_head.content_length);
    assert_true(r.start_us == sample_req_head.start_us);
    assert_true(r.queue_us == sample_req_head.queue_us);
    assert_int_equal(r.timeout_ms, 30000);
    assert_true(r.script_stamp == sample_req_head.script_stamp);
    assert_str(r.script, "/srv/app.wsgi");
    assert_str(r.callable, "application");
    assert_str(r.app_group, "www.example.com|/blog");
    assert_str(r.process_group, "blog");
    assert_str(r.log_id, "ZAbc/1");
    assert_int_equal(r.npairs, 3);
    struct mw_cur it = r.pairs;
    assert_int_equal(mw_req_next(&it, &k, &v), 1);
    assert_str(k, "REQUEST_METHOD");
    assert_str(v, "POST");
    assert_int_equal(v.p[v.n], 0);
    assert_int_equal(mw_req_next(&it, &k, &v), 1);
    assert_str(v, "/caf\xc3\xa9");
    assert_int_equal(mw_req_next(&it, &k, &v), 1);
    assert_str(k, "QUERY_STRING");
    assert_str(v, "");
    assert_int_equal(mw_req_next(&it, &k, &v), 0);
    assert_int_equal(mw_req_next(&it, &k, &v), 0);
    mw_buf_fini(&b);
}

static void test_req_02_a_block_may_begin_anywhere_in_a_buffer(void **state)
{
    (void)state;
    struct mw_buf b;
    struct mw_req r;

    mw_buf_init(&b, 10000);
    mw_buf_bytes(&b, "before", 6);
    sample_req(&b);
    assert_int_equal(mw_req_view(&r, mw_buf_data(&b) + 6, mw_buf_size(&b) - 6), 0);
    assert_int_equal(r.npairs, 3);
    mw_buf_fini(&b);
}

static void test_req_03_what_a_head_may_not_say(void **state)
{
    (void)state;
    static const struct {
        const char *script, *callable;
        uint32_t flags;
        int64_t length;
        int rv;
    } rows[] = {
        {"/a", "x", 0, 0, 0},
        {"/a", "x", MW_REQ_FLAGS_ALL, -1, 0},
        {"/a", "x", 0, INT64_MAX, 0},
        {"/a", "x", MW_REQ_FLAGS_ALL + 1, 0, MW_EPROTO},
        {"/a", "x", 0x80000000u, 0, MW_EPROTO},
        {"/a", "x", 0, -2, MW_EPROTO},
        {"/a", "x", 0, INT64_MIN, MW_EPROTO},
        {"", "x", 0, 0, MW_EPROTO},
        {"a/b", "x", 0, 0, MW_EPROTO},
        {"/a", "", 0, 0, MW_EPROTO},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_req head = {.flags = rows[i].flags, .content_length = rows[i].length};
        head.script = (struct mw_str){rows[i].script, strlen(rows[i].script)};
        head.callable = (struct mw_str){rows[i].callable, strlen(rows[i].callable)};
        assert_int_equal(view_of(&head), rows[i].rv);
    }
}

static void test_req_04_strings_are_c_strings(void **state)
{
    (void)state;
    static const size_t fields[] = {
        offsetof(struct mw_req, script),    offsetof(struct mw_req, callable),
        offsetof(struct mw_req, app_group), offsetof(struct mw_req, process_group),
        offsetof(struct mw_req, log_id),
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(fields); i++) {
        struct mw_req head = sample_req_head;
        assert_int_equal(view_of(&head), 0);
        *(struct mw_str *)((char *)&head + fields[i]) = MW_STR("/a\0b");
        assert_int_equal(view_of(&head), MW_EPROTO);
    }
    for (int value = 0; value < 2; value++) {
        struct mw_buf b;
        struct mw_req r;
        mw_buf_init(&b, 1000);
        size_t at = mw_req_begin(&b, &sample_req_head);
        mw_req_pair(&b, value ? MW_STR("k") : MW_STR("k\0"), value ? MW_STR("\0v") : MW_STR("v"));
        assert_int_equal(mw_req_end(&b, at, 1), 0);
        assert_int_equal(mw_req_view(&r, mw_buf_data(&b), mw_buf_size(&b)), MW_EPROTO);
        mw_buf_fini(&b);
    }
}

static void test_req_05_the_limit_of_pairs(void **state)
{
    (void)state;
    for (uint32_t n = MW_REQ_PAIRS_MAX - 1; n <= MW_REQ_PAIRS_MAX + 1; n++) {
        struct mw_buf b;
        struct mw_req r;
        int want = n > MW_REQ_PAIRS_MAX ? MW_ELIMIT : 0;
        mw_buf_init(&b, 1 << 20);
        size_t at = mw_req_begin(&b, &sample_req_head);
        for (uint32_t i = 0; i < n; i++)
            mw_req_pair(&b, MW_STR("K"), MW_STR("v"));
        assert_int_equal(mw_req_end(&b, at, n), want);
        assert_int_equal(mw_req_view(&r, mw_buf_data(&b), mw_buf_size(&b)), want);
        mw_buf_fini(&b);
    }
}

static void test_req_06_the_limit_of_bytes(void **state)
{
    (void)state;
    char *value = calloc(1, MW_REQ_BLOCK_MAX);
    struct mw_buf b;
    struct mw_req r;

    assert_non_null(value);
    memset(value, 'v', MW_REQ_BLOCK_MAX);
    build(&b, &sample_req_head);
    size_t empty = mw_buf_size(&b) + 5 + 1 + 5; /* and a pair with a key of one byte */
    for (size_t size = MW_REQ_BLOCK_MAX - 1; size <= MW_REQ_BLOCK_MAX + 1; size++) {
        int want = size > MW_REQ_BLOCK_MAX ? MW_ELIMIT : 0;
        mw_buf_clear(&b);
        size_t at = mw_req_begin(&b, &sample_req_head);
        mw_req_pair(&b, MW_STR("K"), (struct mw_str){value, size - empty});
        assert_int_equal(mw_req_end(&b, at, 1), want);
        assert_int_equal(mw_buf_size(&b), size);
        assert_int_equal(mw_req_view(&r, mw_buf_data(&b), mw_buf_size(&b)), want);
    }
    mw_buf_fini(&b);
    free(value);
}

static void test_req_07_the_count_must_be_true(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 2, 4, 4096, UINT32_MAX};
    struct mw_buf b;
    struct mw_req r;

    mw_buf_init(&b, 10000);
    sample_req(&b);
    for (size_t i = 0; i < MW_ARRAY_LEN(counts); i++) {
        mw_buf_patch_u32(&b, 4, counts[i]);
        int want = counts[i] > MW_REQ_PAIRS_MAX ? MW_ELIMIT : MW_EPROTO;
        assert_int_equal(mw_req_view(&r, mw_buf_data(&b), mw_buf_size(&b)), want);
    }
    mw_buf_fini(&b);
}

static void test_req_08_every_truncation_is_refused(void **state)
{
    (void)state;
    struct mw_buf b;
    struct mw_req r;

    mw_buf_init(&b, 10000);
    sample_req(&b);
    for (size_t n = 0; n < mw_buf_size(&b); n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, mw_buf_data(&b), n);
        assert_int_equal(mw_req_view(&r, copy, n), MW_EPROTO);
        free(copy);
    }
    mw_buf_u8(&b, 0);
    assert_int_equal(mw_req_view(&r, mw_buf_data(&b), mw_buf_size(&b)), MW_EPROTO);
    mw_buf_fini(&b);
}

/* Whatever bit is turned: refused, or a different request whose one encoding these bytes are. */
static void test_req_09_turned_bits(void **state)
{
    (void)state;
    struct mw_buf b, again;
    unsigned accepted = 0;

    mw_buf_init(&b, 10000);
    mw_buf_init(&again, 10000);
    sample_req(&b);
    size_t n = mw_buf_size(&b);
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    memcpy(bytes, mw_buf_data(&b), n);
    for (size_t bit = 0; bit < n * 8; bit++) {
        struct mw_req r;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (mw_req_view(&r, bytes, n) == 0) {
            accepted++;
            mw_buf_clear(&again);
            sample_req_rebuild(&again, &r);
            assert_int_equal(mw_buf_size(&again), n);
            assert_memory_equal(mw_buf_data(&again), bytes, n);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(accepted > 0);
    free(bytes);
    mw_buf_fini(&again);
    mw_buf_fini(&b);
}

static void test_req_10_queue_time_is_patched_in_place(void **state)
{
    (void)state;
    struct mw_buf b;
    struct mw_req r;

    mw_buf_init(&b, 10000);
    sample_req(&b);
    uint8_t *block = malloc(mw_buf_size(&b));
    assert_non_null(block);
    memcpy(block, mw_buf_data(&b), mw_buf_size(&b));
    mw_req_patch_queue_us(block, 0x1122334455667788);
    assert_int_equal(mw_req_view(&r, block, mw_buf_size(&b)), 0);
    assert_true(r.queue_us == 0x1122334455667788);
    assert_true(r.start_us == sample_req_head.start_us);
    mw_req_patch_queue_us(block, sample_req_head.queue_us);
    assert_memory_equal(block, mw_buf_data(&b), mw_buf_size(&b));
    free(block);
    mw_buf_fini(&b);
}

static void set_length(int64_t length)
{
    struct mw_buf b;
    struct mw_req before, after;
    struct mw_cur it;
    struct mw_str key, value;
    char digits[24];

    mw_buf_init(&b, MW_REQ_BLOCK_MAX);
    size_t at = mw_req_begin(&b, &sample_req_head);
    mw_req_pair(&b, MW_STR("K"), MW_STR("v"));
    assert_int_equal(mw_req_end(&b, at, 1), 0);
    assert_int_equal(mw_req_view(&before, mw_buf_data(&b), mw_buf_size(&b)), 0);
    assert_int_equal(mw_req_set_length(&b, &before, length), 0);
    assert_int_equal(mw_req_view(&after, mw_buf_data(&b), mw_buf_size(&b)), 0);
    assert_true(after.content_length == length);
    assert_int_equal(after.flags, sample_req_head.flags);
    assert_int_equal(after.npairs, 2);
    it = after.pairs;
    assert_int_equal(mw_req_next(&it, &key, &value), 1);
    assert_string_equal(key.p, "K");
    assert_int_equal(mw_req_next(&it, &key, &value), 1);
    assert_string_equal(key.p, "CONTENT_LENGTH");
    snprintf(digits, sizeof digits, "%lld", (long long)length);
    assert_string_equal(value.p, digits);
    mw_buf_fini(&b);
}

static void test_req_14_a_length_that_is_known_later(void **state)
{
    (void)state;
    set_length(0);
    set_length(1);
    set_length(INT64_C(1) << 32);
    set_length(INT64_MAX);
}

/* One pair more than a block may have, or more bytes. */
static void test_req_15_no_room_for_a_length(void **state)
{
    (void)state;
    struct mw_buf b;
    struct mw_req req;

    for (uint32_t n = MW_REQ_PAIRS_MAX - 1; n <= MW_REQ_PAIRS_MAX; n++) {
        mw_buf_init(&b, MW_REQ_BLOCK_MAX);
        size_t at = mw_req_begin(&b, &sample_req_head);
        for (uint32_t i = 0; i < n; i++)
            mw_req_pair(&b, MW_STR("K"), MW_STR("v"));
        assert_int_equal(mw_req_end(&b, at, n), 0);
        assert_int_equal(mw_req_view(&req, mw_buf_data(&b), mw_buf_size(&b)), 0);
        assert_int_equal(mw_req_set_length(&b, &req, 5), n < MW_REQ_PAIRS_MAX ? 0 : MW_ELIMIT);
        mw_buf_fini(&b);
    }
}

static void test_req_11_an_error_of_the_buffer_is_the_result(void **state)
{
    (void)state;
    struct mw_buf b;

    mw_buf_init(&b, 60);
    size_t at = mw_req_begin(&b, &sample_req_head);
    mw_req_pair(&b, MW_STR("K"), MW_STR("v"));
    assert_int_equal(mw_req_end(&b, at, 1), MW_ELIMIT);
    mw_buf_fini(&b);
}

/* Of a block that is our own only the head is looked at. */
static void test_req_13_own_blocks_are_viewed_without_a_walk(void **state)
{
    (void)state;
    struct mw_req whole, own;
    struct mw_str k, v;
    struct mw_buf b;
    uint32_t n = 0;

    mw_buf_init(&b, 10000);
    sample_req(&b);
    assert_int_equal(mw_req_view(&whole, mw_buf_data(&b), mw_buf_size(&b)), 0);
    assert_int_equal(mw_req_view_own(&own, mw_buf_data(&b), mw_buf_size(&b)), 0);
    assert_true(own.pairs.p == whole.pairs.p && own.pairs.end == whole.pairs.end);
    assert_true(own.script.p == whole.script.p && own.log_id.n == whole.log_id.n);
    for (struct mw_cur it = own.pairs; mw_req_next(&it, &k, &v);)
        n++;
    assert_int_equal(n, own.npairs);
    for (size_t cut = 0; cut < (size_t)((const uint8_t *)own.pairs.p - mw_buf_data(&b)); cut++)
        assert_int_equal(mw_req_view_own(&own, mw_buf_data(&b), cut), MW_EPROTO);
    assert_int_equal(mw_req_view_own(&own, mw_buf_data(&b), MW_REQ_BLOCK_MAX + 1), MW_ELIMIT);
    mw_buf_fini(&b);
}

/* Each of the four counts, and no difference is undone by another one. */
static void test_req_12_a_stamp_tells_files_apart(void **state)
{
    const int64_t mtime = 1700000000000000, size = 1000;
    uint64_t seen[] = {
        mw_req_stamp(mtime, size, 77, 2049),
        mw_req_stamp(mtime + 1, size, 77, 2049),
        mw_req_stamp(mtime, size + 1, 77, 2049),
        mw_req_stamp(mtime, size, 78, 2049),
        mw_req_stamp(mtime, size, 77, 2050),
        mw_req_stamp(mtime + 1, size - 1, 77, 2049),
        mw_req_stamp(mtime, size, 2049, 77),
        mw_req_stamp(size, mtime, 77, 2049),
        mw_req_stamp(0, 0, 0, 0),
        mw_req_stamp(-1, 0, 0, 0),
    };

    (void)state;
    assert_true(mw_req_stamp(mtime, size, 77, 2049) == seen[0]);
    for (size_t i = 0; i < MW_ARRAY_LEN(seen); i++) {
        assert_true(seen[i] != 0);
        for (size_t k = 0; k < i; k++)
            assert_true(seen[i] != seen[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_req_01_everything_comes_back),
        cmocka_unit_test(test_req_02_a_block_may_begin_anywhere_in_a_buffer),
        cmocka_unit_test(test_req_03_what_a_head_may_not_say),
        cmocka_unit_test(test_req_04_strings_are_c_strings),
        cmocka_unit_test(test_req_05_the_limit_of_pairs),
        cmocka_unit_test(test_req_06_the_limit_of_bytes),
        cmocka_unit_test(test_req_07_the_count_must_be_true),
        cmocka_unit_test(test_req_08_every_truncation_is_refused),
        cmocka_unit_test(test_req_09_turned_bits),
        cmocka_unit_test(test_req_10_queue_time_is_patched_in_place),
        cmocka_unit_test(test_req_11_an_error_of_the_buffer_is_the_result),
        cmocka_unit_test(test_req_12_a_stamp_tells_files_apart),
        cmocka_unit_test(test_req_13_own_blocks_are_viewed_without_a_walk),
        cmocka_unit_test(test_req_14_a_length_that_is_known_later),
        cmocka_unit_test(test_req_15_no_room_for_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
