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
    for (unsigned type = MW_CTL_CONNECT; type <= MW_CTL_LAST; type++) {
        struct mw_ctl c = {.type = (uint8_t)type,
                           .group = 0x1234,
                           .slot = 0xffff,
                           .incarnation = 0xdeadbeef,
                           .text = MW_STR("")},
                      back;
        uint8_t bytes[MW_CTL_MAX];
        if (type >= MW_CTL_READY && type != MW_CTL_REPORT && type != MW_CTL_STACKS &&
            type != MW_CTL_SCRIPT)
            c.text = MW_STR("drop privileges: no such user");
        if (type == MW_CTL_RECYCLE || type == MW_CTL_SCRIPT) {
            c.script = MW_STR("/srv/app.wsgi");
            c.app_group = MW_STR("blog");
            c.callable = MW_STR("application");
            c.explicit_group = 1;
        }
        int n = mw_ctl_encode(bytes, &c);
        assert_true(n > 0);
        assert_int_equal(mw_ctl_decode(&back, bytes, (size_t)n), 0);
        assert_int_equal(back.type, type);
        assert_int_equal(back.group, 0x1234);
        assert_int_equal(back.slot, 0xffff);
        assert_int_equal(back.incarnation, 0xdeadbeef);
        assert_int_equal(back.text.n, c.text.n);
        assert_memory_equal(back.text.p, c.text.p, c.text.n + 1);
        assert_int_equal(back.script.n, c.script.n);
        assert_int_equal(back.app_group.n, c.app_group.n);
        assert_int_equal(back.explicit_group, c.explicit_group);
        if (type == MW_CTL_RECYCLE || type == MW_CTL_SCRIPT) {
            assert_string_equal(back.script.p, "/srv/app.wsgi");
            assert_string_equal(back.app_group.p, "blog");
            assert_string_equal(back.callable.p, "application");
        }
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

/* One below, at, one over each limit, together with the longest of the others. */
static void test_ctl_05_the_limits_of_the_script(void **state)
{
    (void)state;
    static char s[MW_CTL_SCRIPT_MAX + 2];
    struct mw_ctl back, most = {.type = MW_CTL_RECYCLE,
                                .text = {s, MW_CTL_TEXT_MAX},
                                .script = {s, MW_CTL_SCRIPT_MAX},
                                .app_group = {s, MW_CTL_APP_GROUP_MAX},
                                .callable = {s, MW_CTL_CALLABLE_MAX},
                                .explicit_group = 1};
    uint8_t bytes[MW_CTL_MAX];

    memset(s, 's', sizeof s);
    for (int by = -1; by <= 1; by++) {
        struct mw_ctl script = most, group = most, callable = most;
        script.script.n += (size_t)by;
        group.app_group.n += (size_t)by;
        callable.callable.n += (size_t)by;
        int n = mw_ctl_encode(bytes, &script);
        assert_true(by > 0 ? n == MW_ELIMIT : n > 0);
        if (n > 0) {
            assert_int_equal(mw_ctl_decode(&back, bytes, (size_t)n), 0);
            assert_int_equal(back.script.n, script.script.n);
        }
        n = mw_ctl_encode(bytes, &group);
        assert_true(by > 0 ? n == MW_ELIMIT : n > 0);
        n = mw_ctl_encode(bytes, &callable);
        assert_true(by > 0 ? n == MW_ELIMIT : n > 0);
    }
    for (int what = 0; what < 3; what++) { /* the same from the other side */
        struct mw_buf b;
        mw_buf_init(&b, MW_CTL_MAX);
        mw_buf_bytes(&b, (uint8_t[12]){MW_CTL_RECYCLE}, 12);
        mw_buf_str(&b, MW_STR(""));
        mw_buf_str(&b, (struct mw_str){s, what == 0 ? MW_CTL_SCRIPT_MAX + 1 : 5});
        mw_buf_str(&b, (struct mw_str){s, what == 1 ? MW_CTL_APP_GROUP_MAX + 1 : 5});
        mw_buf_str(&b, (struct mw_str){s, what == 2 ? MW_CTL_CALLABLE_MAX + 1 : 5});
        mw_buf_u8(&b, 0);
        assert_int_equal(b.err, 0);
        assert_int_equal(mw_ctl_decode(&back, mw_buf_data(&b), mw_buf_size(&b)), MW_EPROTO);
        mw_buf_fini(&b);
    }
}

static void test_ctl_03_what_may_not_be_sent(void **state)
{
    (void)state;
    static const struct mw_ctl bad[] = {
        {.type = 0, .text = {"", 0}},
        {.type = MW_CTL_LAST + 1, .text = {"", 0}},
        {.type = 255, .text = {"", 0}},
        {.type = MW_CTL_DRAIN, .text = {"x", 1}},
        {.type = MW_CTL_REPORT, .text = {"x", 1}},
        {.type = MW_CTL_STACKS, .text = {"x", 1}},
        {.type = MW_CTL_CONNECT, .text = {"x", 1}},
        {.type = MW_CTL_FAILED, .text = {"a\0b", 3}},
        {.type = MW_CTL_RECYCLE, .script = {"a\0b", 3}},
        {.type = MW_CTL_RECYCLE, .app_group = {"a\0b", 3}},
        {.type = MW_CTL_RECYCLE, .callable = {"a\0b", 3}},
        {.type = MW_CTL_RECYCLE, .explicit_group = 2},
        {.type = MW_CTL_LEAVING, .callable = {"x", 1}},
        {.type = MW_CTL_FAILED, .script = {"x", 1}},
        {.type = MW_CTL_LEAVING, .app_group = {"x", 1}},
        {.type = MW_CTL_READY, .explicit_group = 1},
    };
    uint8_t bytes[MW_CTL_MAX];

    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++)
        assert_int_equal(mw_ctl_encode(bytes, &bad[i]), MW_EINVAL);
}

static void check_hostile(struct mw_ctl c)
{
    uint8_t bytes[MW_CTL_MAX + 1] = {0}, again[MW_CTL_MAX];
    struct mw_ctl back;
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
    bytes[0] = MW_CTL_DRAIN; /* a text where none belongs */
    assert_int_equal(mw_ctl_decode(&back, bytes, (size_t)n), MW_EPROTO);
}

static void test_ctl_04_hostile_messages(void **state)
{
    (void)state;
    check_hostile((struct mw_ctl){
        .type = MW_CTL_FAILED, .group = 1, .slot = 2, .incarnation = 3, .text = MW_STR("why")});
    check_hostile((struct mw_ctl){.type = MW_CTL_RECYCLE,
                                  .text = MW_STR("why"),
                                  .script = MW_STR("/srv/app.wsgi"),
                                  .app_group = MW_STR("blog"),
                                  .callable = MW_STR("app")});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctl_01_every_type_comes_back),
        cmocka_unit_test(test_ctl_02_the_limit_of_the_text),
        cmocka_unit_test(test_ctl_03_what_may_not_be_sent),
        cmocka_unit_test(test_ctl_04_hostile_messages),
        cmocka_unit_test(test_ctl_05_the_limits_of_the_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
