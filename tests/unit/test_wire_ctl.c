/*
 * The supervisor's messages.
 */
#include "samples.h"

#include <stdlib.h>
#include <string.h>

#include "ctl.h"

static void test_ctl_01_every_type_comes_back(void **state)
{
    (void)state;
    for (unsigned type = MW_CTL_CONNECT; type <= MW_CTL_STACKS; type++) {
        struct mw_ctl c = {(uint8_t)type, 0x1234, 0xffff, 0xdeadbeef, MW_STR("")}, back;
        uint8_t bytes[MW_CTL_MAX];
        if (type == MW_CTL_FAILED || type == MW_CTL_RECYCLE)
            c.text = MW_STR("drop privileges: no such user");
        int n = mw_ctl_encode(bytes, &c);
        assert_true(n > 0);
        assert_int_equal(mw_ctl_decode(&back, bytes, (size_t)n), 0);
        assert_int_equal(back.type, type);
        assert_int_equal(back.group, 0x1234);
        assert_int_equal(back.slot, 0xffff);
        assert_int_equal(back.incarnation, 0xdeadbeef);
        assert_int_equal(back.text.n, c.text.n);
        assert_memory_equal(back.text.p, c.text.p, c.text.n + 1);
    }
}

static void test_ctl_02_the_limit_of_the_text(void **state)
{
    (void)state;
    char text[MW_CTL_TEXT_MAX + 2];
    uint8_t bytes[MW_CTL_MAX];
    struct mw_ctl back;

    memset(text, 't', sizeof text);
    for (size_t n = MW_CTL_TEXT_MAX - 1; n <= MW_CTL_TEXT_MAX + 1; n++) {
        struct mw_ctl c = {.type = MW_CTL_FAILED, .text = {text, n}};
        int got = mw_ctl_encode(bytes, &c);
        if (n > MW_CTL_TEXT_MAX) {
            assert_int_equal(got, MW_ELIMIT);
            continue;
        }
        assert_true(got > 0 && got <= (int)MW_CTL_MAX);
        assert_int_equal(mw_ctl_decode(&back, bytes, (size_t)got), 0);
        assert_int_equal(back.text.n, n);
    }
    /* The same from the other side: a longer text that would still fit the message. */
    struct mw_buf b;
    mw_buf_init(&b, MW_CTL_MAX);
    mw_buf_bytes(&b, (uint8_t[12]){MW_CTL_FAILED}, 12);
    mw_buf_str(&b, (struct mw_str){text, MW_CTL_TEXT_MAX + 1});
    assert_int_equal(b.err, 0);
    assert_int_equal(mw_ctl_decode(&back, mw_buf_data(&b), mw_buf_size(&b)), MW_EPROTO);
    mw_buf_fini(&b);
}

static void test_ctl_03_what_may_not_be_sent(void **state)
{
    (void)state;
    static const struct mw_ctl bad[] = {
        {.type = 0, .text = {"", 0}},
        {.type = MW_CTL_STACKS + 1, .text = {"", 0}},
        {.type = 255, .text = {"", 0}},
        {.type = MW_CTL_READY, .text = {"x", 1}},
        {.type = MW_CTL_CONNECT, .text = {"x", 1}},
        {.type = MW_CTL_FAILED, .text = {"a\0b", 3}},
    };
    uint8_t bytes[MW_CTL_MAX];

    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++)
        assert_int_equal(mw_ctl_encode(bytes, &bad[i]), MW_EINVAL);
}

static void test_ctl_04_hostile_messages(void **state)
{
    (void)state;
    struct mw_ctl c = {MW_CTL_FAILED, 1, 2, 3, MW_STR("why")}, back;
    uint8_t bytes[MW_CTL_MAX + 1] = {0}, again[MW_CTL_MAX];
    int n = mw_ctl_encode(bytes, &c);

    assert_true(n > 0);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        assert_int_equal(mw_ctl_decode(&back, copy, cut), cut == (size_t)n ? 0 : MW_EPROTO);
        free(copy);
    }
    for (int bit = 0; bit < n * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (mw_ctl_decode(&back, bytes, (size_t)n) == 0) {
            assert_int_equal(mw_ctl_encode(again, &back), n);
            assert_memory_equal(again, bytes, (size_t)n);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    bytes[0] = MW_CTL_READY; /* a text where none belongs */
    assert_int_equal(mw_ctl_decode(&back, bytes, (size_t)n), MW_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctl_01_every_type_comes_back),
        cmocka_unit_test(test_ctl_02_the_limit_of_the_text),
        cmocka_unit_test(test_ctl_03_what_may_not_be_sent),
        cmocka_unit_test(test_ctl_04_hostile_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
