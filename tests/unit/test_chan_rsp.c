/*
 * The response head: every byte in every place, numbers, limits, and hostile blocks.
 */
#include "samples.h"

#include <stdlib.h>
#include <string.h>

struct field {
    const char *name, *value;
};

/* View a head with these fields (up to the first without a name). */
static int view_fields(const struct field *f, struct mw_rsp *r, enum mw_rsp_fault *fault)
{
    static struct mw_buf b; /* r borrows it until the next call */
    uint32_t n = 0;

    mw_buf_fini(&b);
    mw_buf_init(&b, 1 << 20);
    size_t at = mw_rsp_begin(&b, 200, MW_STR("OK"));
    for (; f[n].name; n++)
        mw_rsp_field(&b, (struct mw_str){f[n].name, strlen(f[n].name)},
                     (struct mw_str){f[n].value, strlen(f[n].value)});
    assert_int_equal(mw_rsp_end(&b, at, n), 0);
    return mw_rsp_view(r, mw_buf_data(&b), mw_buf_size(&b), fault);
}

static void test_rsp_01_everything_comes_back(void **state)
{
    (void)state;
    struct mw_buf b;
    struct mw_rsp r;
    struct mw_str k, v;
    enum mw_rsp_fault fault = MW_RSP_TOO_LARGE;

    mw_buf_init(&b, 1000);
    sample_rsp(&b);
    assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), mw_buf_size(&b), &fault), 0);
    assert_int_equal(fault, MW_RSP_FINE);
    assert_int_equal(r.status, 404);
    assert_str(r.reason, "Not Found");
    assert_int_equal(r.content_length, 17);
    assert_int_equal(r.nfields, 3);
    struct mw_cur it = r.fields;
    assert_int_equal(mw_rsp_next(&it, &k, &v), 1);
    assert_str(k, "Content-Type");
    assert_str(v, "text/plain");
    assert_int_equal(mw_rsp_next(&it, &k, &v), 1);
    assert_str(v, "");
    assert_int_equal(mw_rsp_next(&it, &k, &v), 1);
    assert_int_equal(mw_rsp_next(&it, &k, &v), 0);
    mw_buf_fini(&b);
}

/* One byte in a name, a value or a reason: check_* and view must agree with RFC 9110. */
static void check_byte(unsigned byte)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char x[3] = {'a', (char)byte, 'b'};
    struct mw_str s = {x, 3}, alone = {x + 1, 1}, plain = MW_STR("a");
    int tchar = byte != 0 && strchr(token, (int)byte) != NULL;
    int text = byte == 9 || (byte >= 32 && byte != 127);
    const struct {
        struct mw_str name, value, reason;
        enum mw_rsp_fault want;
    } rows[] = {
        {s, plain, plain, tchar ? MW_RSP_FINE : MW_RSP_BAD_NAME},
        {alone, plain, plain, tchar ? MW_RSP_FINE : MW_RSP_BAD_NAME},
        {plain, s, plain, text ? MW_RSP_FINE : MW_RSP_BAD_VALUE},
        {plain, alone, plain, text ? MW_RSP_FINE : MW_RSP_BAD_VALUE},
        {plain, plain, s, text ? MW_RSP_FINE : MW_RSP_BAD_REASON},
        {plain, plain, alone, text ? MW_RSP_FINE : MW_RSP_BAD_REASON},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_buf b;
        struct mw_rsp r;
        enum mw_rsp_fault fault;
        enum mw_rsp_fault direct = mw_rsp_check_status(200, rows[i].reason);
        if (direct == MW_RSP_FINE)
            direct = mw_rsp_check_field(rows[i].name, rows[i].value);
        assert_int_equal(direct, rows[i].want);
        mw_buf_init(&b, 1000);
        size_t at = mw_rsp_begin(&b, 200, rows[i].reason);
        mw_rsp_field(&b, rows[i].name, rows[i].value);
        assert_int_equal(mw_rsp_end(&b, at, 1), 0);
        int rv = mw_rsp_view(&r, mw_buf_data(&b), mw_buf_size(&b), &fault);
        assert_int_equal(rv, rows[i].want == MW_RSP_FINE ? 0 : MW_EINVAL);
        assert_int_equal(fault, rows[i].want);
        mw_buf_fini(&b);
    }
}

static void test_rsp_02_every_byte_in_every_place(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++)
        check_byte(byte);
}

static void test_rsp_03_status_codes(void **state)
{
    (void)state;
    static const unsigned bad[] = {0,   1,   20,   99,    100,   101,
                                   103, 199, 1000, 65535, 65736, 4294967295};
    struct mw_buf b;
    struct mw_rsp r;
    enum mw_rsp_fault fault;

    mw_buf_init(&b, 100);
    for (unsigned s = 200; s <= 999; s++) {
        mw_buf_clear(&b);
        assert_int_equal(mw_rsp_end(&b, mw_rsp_begin(&b, s, MW_STR("")), 0), 0);
        assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), mw_buf_size(&b), NULL), 0);
        assert_int_equal(r.status, s);
    }
    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++) {
        assert_int_equal(mw_rsp_check_status(bad[i], MW_STR("")), MW_RSP_BAD_STATUS);
        mw_buf_clear(&b);
        assert_int_equal(mw_rsp_end(&b, mw_rsp_begin(&b, bad[i], MW_STR("")), 0), 0);
        assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), mw_buf_size(&b), &fault), MW_EINVAL);
        assert_int_equal(fault, MW_RSP_BAD_STATUS);
    }
    mw_buf_fini(&b);
}

static void test_rsp_04_content_length(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t length; /* -1: refused */
    } rows[] = {
        {"0", 0},     {"7", 7},    {"0007", 7},   {"9223372036854775807", INT64_MAX},
        {"", -1},     {"-1", -1},  {"+1", -1},    {"9223372036854775808", -1},
        {"1 ", -1},   {" 1", -1},  {"1,1", -1},   {"18446744073709551617", -1},
        {"1, 1", -1}, {"0x1", -1}, {"1.0", -1},   {"99999999999999999999999", -1},
        {"\t1", -1},  {"one", -1}, {"1\xb2", -1},
    };
    static const char *const names[] = {"Content-Length", "content-length", "CONTENT-LENGTH"};

    for (size_t i = 0; i < MW_ARRAY_LEN(rows) * MW_ARRAY_LEN(names); i++) {
        int64_t want = rows[i / 3].length;
        struct field f[] = {{"A", "b"}, {names[i % 3], rows[i / 3].value}, {"C", "d"}, {0}};
        enum mw_rsp_fault fault;
        struct mw_rsp r;
        assert_int_equal(view_fields(f, &r, &fault), want < 0 ? MW_EINVAL : 0);
        assert_int_equal(fault, want < 0 ? MW_RSP_BAD_LENGTH : MW_RSP_FINE);
        if (want >= 0)
            assert_true(r.content_length == want);
    }
}

static void test_rsp_05_content_length_is_given_once(void **state)
{
    (void)state;
    static const struct field same[] = {{"Content-Length", "5"}, {"content-length", "5"}, {0}};
    static const struct field other[] = {{"Content-Length", "0"}, {"Content-Length", "5"}, {0}};
    static const struct field none[] = {{"Content-Lengths", "5"}, {"Content-Typ", "x"}, {0}};
    enum mw_rsp_fault fault;
    struct mw_rsp r;

    assert_int_equal(view_fields(same, &r, &fault), MW_EINVAL);
    assert_int_equal(fault, MW_RSP_BAD_LENGTH);
    assert_int_equal(view_fields(other, &r, &fault), MW_EINVAL);
    assert_int_equal(fault, MW_RSP_BAD_LENGTH);
    assert_int_equal(view_fields(none, &r, &fault), 0);
    assert_int_equal(r.content_length, -1);
}

static void test_rsp_06_names_are_not_empty_values_may_be(void **state)
{
    (void)state;
    assert_int_equal(mw_rsp_check_field(MW_STR(""), MW_STR("v")), MW_RSP_BAD_NAME);
    assert_int_equal(mw_rsp_check_field(MW_STR("n"), MW_STR("")), MW_RSP_FINE);
    assert_int_equal(mw_rsp_check_field(MW_STR("n"), MW_STR("  v  ")), MW_RSP_FINE);
    assert_int_equal(mw_rsp_check_field(MW_STR("n"), MW_STR("a\r\nSet-Cookie: x=1")),
                     MW_RSP_BAD_VALUE);
    assert_int_equal(mw_rsp_check_field(MW_STR("n:"), MW_STR("")), MW_RSP_BAD_NAME);
}

static void test_rsp_07_the_limit_of_fields(void **state)
{
    (void)state;
    for (uint32_t n = MW_RSP_FIELDS_MAX - 1; n <= MW_RSP_FIELDS_MAX + 1; n++) {
        int over = n > MW_RSP_FIELDS_MAX;
        enum mw_rsp_fault fault;
        struct mw_buf b;
        struct mw_rsp r;
        mw_buf_init(&b, 1 << 20);
        size_t at = mw_rsp_begin(&b, 200, MW_STR("OK"));
        for (uint32_t i = 0; i < n; i++)
            mw_rsp_field(&b, MW_STR("n"), MW_STR("v"));
        assert_int_equal(mw_rsp_end(&b, at, n), over ? MW_ELIMIT : 0);
        int rv = mw_rsp_view(&r, mw_buf_data(&b), mw_buf_size(&b), &fault);
        assert_int_equal(rv, over ? MW_EINVAL : 0);
        assert_int_equal(fault, over ? MW_RSP_TOO_LARGE : MW_RSP_FINE);
        mw_buf_fini(&b);
    }
}

static void test_rsp_08_the_limit_of_bytes(void **state)
{
    (void)state;
    const size_t empty = 8 + 5 + 5 + 1 + 5; /* no reason, one field with a name of one byte */
    char *value = malloc(MW_RSP_HEAD_MAX);

    assert_non_null(value);
    memset(value, 'v', MW_RSP_HEAD_MAX);
    for (size_t size = MW_RSP_HEAD_MAX - 1; size <= MW_RSP_HEAD_MAX + 1; size++) {
        int over = size > MW_RSP_HEAD_MAX;
        enum mw_rsp_fault fault;
        struct mw_buf b;
        struct mw_rsp r;
        mw_buf_init(&b, 1 << 20);
        size_t at = mw_rsp_begin(&b, 200, MW_STR(""));
        mw_rsp_field(&b, MW_STR("n"), (struct mw_str){value, size - empty});
        assert_int_equal(mw_rsp_end(&b, at, 1), over ? MW_ELIMIT : 0);
        assert_int_equal(mw_buf_size(&b), size);
        int rv = mw_rsp_view(&r, mw_buf_data(&b), mw_buf_size(&b), &fault);
        assert_int_equal(rv, over ? MW_EINVAL : 0);
        assert_int_equal(fault, over ? MW_RSP_TOO_LARGE : MW_RSP_FINE);
        mw_buf_fini(&b);
    }
    free(value);
}

static void test_rsp_09_malformed_blocks(void **state)
{
    (void)state;
    struct mw_buf b;
    struct mw_rsp r;
    enum mw_rsp_fault fault;

    mw_buf_init(&b, 1000);
    sample_rsp(&b);
    size_t n = mw_buf_size(&b);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, mw_buf_data(&b), cut);
        fault = MW_RSP_BAD_NAME;
        assert_int_equal(mw_rsp_view(&r, copy, cut, &fault), MW_EPROTO);
        assert_int_equal(fault, MW_RSP_FINE);
        free(copy);
    }
    mw_buf_u8(&b, 0);
    assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), n + 1, &fault), MW_EPROTO);
    mw_buf_patch_u32(&b, 4, 2);
    assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), n, &fault), MW_EPROTO);
    mw_buf_patch_u32(&b, 4, UINT32_MAX);
    assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), n, &fault), MW_EPROTO);
    mw_buf_patch_u32(&b, 4, 3);
    assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), n, &fault), 0);
    mw_buf_patch_u32(&b, 0, 404 | 1u << 16); /* reserved bits */
    assert_int_equal(mw_rsp_view(&r, mw_buf_data(&b), n, &fault), MW_EPROTO);
    mw_buf_fini(&b);
}

static void test_rsp_10_turned_bits(void **state)
{
    (void)state;
    struct mw_buf b, again;
    unsigned accepted = 0;

    mw_buf_init(&b, 1000);
    mw_buf_init(&again, 1000);
    sample_rsp(&b);
    size_t n = mw_buf_size(&b);
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    memcpy(bytes, mw_buf_data(&b), n);
    for (size_t bit = 0; bit < n * 8; bit++) {
        struct mw_rsp r;
        enum mw_rsp_fault fault;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rv = mw_rsp_view(&r, bytes, n, &fault);
        assert_int_equal(rv == MW_EINVAL, fault != MW_RSP_FINE);
        if (rv == 0) {
            accepted++;
            mw_buf_clear(&again);
            sample_rsp_rebuild(&again, &r);
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

static void test_rsp_11_names_about_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int hop;
    } rows[] = {
        {"Connection", 1},
        {"connection", 1},
        {"Keep-Alive", 1},
        {"Proxy-Connection", 1},
        {"TE", 1},
        {"te", 1},
        {"Trailer", 1},
        {"Transfer-Encoding", 1},
        {"TRANSFER-ENCODING", 1},
        {"Upgrade", 1},
        {"", 0},
        {"Connections", 0},
        {"Connectio", 0},
        {"T", 0},
        {"TEE", 0},
        {"Content-Length", 0},
        {"Transfer_Encoding", 0},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_str name = {rows[i].name, strlen(rows[i].name)};
        assert_int_equal(mw_rsp_is_hop_by_hop(name), rows[i].hop);
    }
}

static void test_rsp_12_which_codes_have_a_body(void **state)
{
    (void)state;
    for (unsigned s = 200; s <= 999; s++)
        assert_int_equal(mw_rsp_status_has_body(s), s != 204 && s != 304);
    assert_false(mw_rsp_status_has_body(100));
    assert_false(mw_rsp_status_has_body(199));
}

static void test_rsp_13_every_fault_has_its_own_text(void **state)
{
    (void)state;
    const char *unknown = mw_rsp_fault_text((enum mw_rsp_fault)(MW_RSP_BAD_INFORM + 1));

    for (int a = MW_RSP_FINE; a <= MW_RSP_BAD_INFORM; a++) {
        assert_string_not_equal(mw_rsp_fault_text((enum mw_rsp_fault)a), unknown);
        for (int b = MW_RSP_FINE; b < a; b++)
            assert_string_not_equal(mw_rsp_fault_text((enum mw_rsp_fault)a),
                                    mw_rsp_fault_text((enum mw_rsp_fault)b));
    }
}

/* A block of this status with one field, viewed as an informational response. */
static int view_inform(unsigned status, struct mw_str reason, struct field f,
                       enum mw_rsp_fault *fault)
{
    struct mw_buf b;
    struct mw_rsp r;

    mw_buf_init(&b, 1 << 20);
    size_t at = mw_rsp_begin(&b, status, reason);
    mw_rsp_field(&b, (struct mw_str){f.name, strlen(f.name)},
                 (struct mw_str){f.value, strlen(f.value)});
    assert_int_equal(mw_rsp_end(&b, at, 1), 0);
    int rv = mw_rsp_view_inform(&r, mw_buf_data(&b), mw_buf_size(&b), fault);
    if (rv == 0) {
        assert_int_equal(r.status, 103);
        assert_int_equal(r.nfields, 1);
        assert_int_equal(r.content_length, -1);
    }
    mw_buf_fini(&b);
    return rv;
}

static void test_rsp_14_informational_fields(void **state)
{
    (void)state;
    static const struct {
        struct field field;
        enum mw_rsp_fault want;
    } rows[] = {
        {{"Link", "</a.css>; rel=preload; as=style"}, MW_RSP_FINE},
        {{"X-Other", ""}, MW_RSP_FINE},
        {{"Content-Length", "5"}, MW_RSP_BAD_INFORM},
        {{"content-length", "five"}, MW_RSP_BAD_LENGTH},
        {{"Transfer-Encoding", "chunked"}, MW_RSP_BAD_INFORM},
        {{"connection", "close"}, MW_RSP_BAD_INFORM},
        {{"Keep-Alive", ""}, MW_RSP_BAD_INFORM},
        {{"Upgrade", "h2c"}, MW_RSP_BAD_INFORM},
        {{"Link", "a\r\n\r\nHTTP/1.1 200 OK"}, MW_RSP_BAD_VALUE},
        {{"Li nk", "a"}, MW_RSP_BAD_NAME},
        {{"", "a"}, MW_RSP_BAD_NAME},
    };
    enum mw_rsp_fault fault;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_str name = {rows[i].field.name, strlen(rows[i].field.name)};
        struct mw_str value = {rows[i].field.value, strlen(rows[i].field.value)};
        assert_int_equal(mw_rsp_check_inform_field(name, value), rows[i].want);
        assert_int_equal(view_inform(103, MW_STR("Early Hints"), rows[i].field, &fault),
                         rows[i].want == MW_RSP_FINE ? 0 : MW_EINVAL);
        assert_int_equal(fault, rows[i].want);
    }
}

static void test_rsp_15_an_informational_status(void **state)
{
    (void)state;
    static const struct field link = {"Link", "</a>"};
    enum mw_rsp_fault fault;

    for (unsigned s = 0; s <= 1000; s++) {
        assert_int_equal(view_inform(s, MW_STR(""), link, &fault), s == 103 ? 0 : MW_EINVAL);
        assert_int_equal(fault, s == 103 ? MW_RSP_FINE : MW_RSP_NOT_INFORM);
    }
    assert_int_equal(view_inform(103, MW_STR("a\nb"), link, &fault), MW_EINVAL);
    assert_int_equal(fault, MW_RSP_BAD_REASON);
}

static void test_rsp_16_the_limit_of_an_informational_block(void **state)
{
    (void)state;
    const size_t empty = 8 + 5 + 5 + 1 + 5; /* no reason, one field with a name of one byte */
    static char value[MW_RSP_INFORM_MAX];
    struct mw_buf b;
    struct mw_rsp r;

    memset(value, 'v', sizeof value);
    mw_buf_init(&b, 1 << 20);
    for (size_t size = MW_RSP_INFORM_MAX - 1; size <= MW_RSP_INFORM_MAX + 1; size++) {
        int over = size > MW_RSP_INFORM_MAX;
        enum mw_rsp_fault fault;
        mw_buf_clear(&b);
        size_t at = mw_rsp_begin(&b, 103, MW_STR(""));
        mw_rsp_field(&b, MW_STR("n"), (struct mw_str){value, size - empty});
        assert_int_equal(mw_rsp_end(&b, at, 1), 0);
        assert_int_equal(mw_buf_size(&b), size);
        int rv = mw_rsp_view_inform(&r, mw_buf_data(&b), size, &fault);
        assert_int_equal(rv, over ? MW_EINVAL : 0);
        assert_int_equal(fault, over ? MW_RSP_TOO_LARGE : MW_RSP_FINE);
    }
    mw_buf_clear(&b);
    assert_int_equal(mw_rsp_end(&b, mw_rsp_begin(&b, 103, MW_STR("")), 0), 0);
    assert_int_equal(mw_rsp_view_inform(&r, mw_buf_data(&b), mw_buf_size(&b), NULL), 0);
    for (size_t cut = 0; cut < mw_buf_size(&b); cut++)
        assert_int_equal(mw_rsp_view_inform(&r, mw_buf_data(&b), cut, NULL), MW_EPROTO);
    mw_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rsp_01_everything_comes_back),
        cmocka_unit_test(test_rsp_02_every_byte_in_every_place),
        cmocka_unit_test(test_rsp_03_status_codes),
        cmocka_unit_test(test_rsp_04_content_length),
        cmocka_unit_test(test_rsp_05_content_length_is_given_once),
        cmocka_unit_test(test_rsp_06_names_are_not_empty_values_may_be),
        cmocka_unit_test(test_rsp_07_the_limit_of_fields),
        cmocka_unit_test(test_rsp_08_the_limit_of_bytes),
        cmocka_unit_test(test_rsp_09_malformed_blocks),
        cmocka_unit_test(test_rsp_10_turned_bits),
        cmocka_unit_test(test_rsp_11_names_about_the_connection),
        cmocka_unit_test(test_rsp_12_which_codes_have_a_body),
        cmocka_unit_test(test_rsp_13_every_fault_has_its_own_text),
        cmocka_unit_test(test_rsp_14_informational_fields),
        cmocka_unit_test(test_rsp_15_an_informational_status),
        cmocka_unit_test(test_rsp_16_the_limit_of_an_informational_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
