/*
 * Frame headers and small payloads: exact limits for every type, any split of a stream, hostile
 * headers.
 */
#include "samples.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "wire.h"

static const struct {
    unsigned type;
    int64_t min, max;
    const char *name;
} types[] = {
    {MW_F_HELLO, 20, 20, "HELLO"},     {MW_F_REQUEST, 1, 16 << 20, "REQUEST"},
    {MW_F_WANT, 17, 17, "WANT"},       {MW_F_BODY, 1, 65536, "BODY"},
    {MW_F_BODY_END, 1, 1, "BODY_END"}, {MW_F_BODY_FILE, 8, 8, "BODY_FILE"},
    {MW_F_ABORT, 0, 0, "ABORT"},       {MW_F_HEAD, 1, 256 << 10, "HEAD"},
    {MW_F_DATA, 1, 65536, "DATA"},     {MW_F_FILE, 16, 16, "FILE"},
    {MW_F_INFORM, 1, 8192, "INFORM"},  {MW_F_LOG, 10, 65536, "LOG"},
    {MW_F_END, 1, 1, "END"},           {MW_F_ASK, 0, 0, "ASK"},
    {MW_F_ALIVE, 0, 0, "ALIVE"},
};

static void test_frame_01_limits_of_every_type(void **state)
{
    (void)state;
    uint8_t hdr[MW_FRAME_HDR];
    struct mw_frame f;
    size_t need;

    assert_int_equal(MW_ARRAY_LEN(types), MW_F_LAST);
    for (size_t i = 0; i < MW_ARRAY_LEN(types); i++) {
        unsigned t = types[i].type;
        int known = types[i].max >= 0;
        assert_int_equal(t, i + 1);
        assert_string_equal(mw_frame_name(t), types[i].name);
        assert_int_equal(mw_frame_limit(t), known ? types[i].max : MW_EPROTO);
        for (int64_t n = types[i].min - 1; known && n <= types[i].max + 1; n++) {
            if (n > types[i].min + 1 && n < types[i].max - 1)
                n = types[i].max - 1;
            if (n < 0)
                continue;
            int want = n < types[i].min ? MW_EPROTO : n > types[i].max ? MW_ELIMIT : 0;
            assert_int_equal(mw_frame_check(t, (uint64_t)n), want);
            mw_frame_header(hdr, t, (uint32_t)n);
            int64_t got = mw_frame_parse(hdr, sizeof hdr, &f, &need);
            assert_int_equal(got, want ? want : n == 0 ? (int)MW_FRAME_HDR : 0);
            if (want == 0)
                assert_int_equal(need, MW_FRAME_HDR + n);
        }
    }
}

static void test_frame_02_types_that_are_none(void **state)
{
    (void)state;
    struct mw_frame f;

    for (unsigned t = 0; t < 256; t++) {
        uint8_t bytes[MW_FRAME_HDR + 4] = {0};
        int known = t >= 1 && t <= MW_F_LAST && types[t - 1].max >= 0;
        mw_frame_header(bytes, t, 4);
        int64_t got = mw_frame_parse(bytes, sizeof bytes, &f, NULL);
        if (!known)
            assert_int_equal(got, MW_EPROTO);
        else
            assert_true(got == (int64_t)sizeof bytes || got == MW_EPROTO || got == MW_ELIMIT);
    }
    assert_string_equal(mw_frame_name(0), "unknown");
    assert_string_equal(mw_frame_name(MW_F_LAST + 1), "unknown");
    assert_string_equal(mw_frame_name(UINT32_MAX), "unknown");
    assert_int_equal(mw_frame_limit(UINT32_MAX), MW_EPROTO);
    assert_int_equal(mw_frame_check(MW_F_REQUEST, UINT64_MAX), MW_ELIMIT);
}

static void test_frame_03_reserved_bytes_are_zero(void **state)
{
    (void)state;
    uint8_t bytes[MW_FRAME_HDR];
    struct mw_frame f;

    mw_frame_header(bytes, MW_F_ABORT, 0);
    assert_memory_equal(bytes, "\0\0\0\0\7\0\0\0", 8);
    assert_int_equal(mw_frame_parse(bytes, sizeof bytes, &f, NULL), MW_FRAME_HDR);
    for (size_t at = 5; at < MW_FRAME_HDR; at++) {
        for (unsigned v = 1; v < 256; v++) {
            bytes[at] = (uint8_t)v;
            assert_int_equal(mw_frame_parse(bytes, sizeof bytes, &f, NULL), MW_EPROTO);
        }
        bytes[at] = 0;
    }
}

static void test_frame_04_the_header_is_judged_before_the_payload(void **state)
{
    (void)state;
    uint8_t bytes[MW_FRAME_HDR];
    struct mw_frame f;
    size_t need = 0;

    for (size_t n = 0; n < MW_FRAME_HDR; n++) {
        memset(bytes, 0xff, sizeof bytes);
        assert_int_equal(mw_frame_parse(bytes, n, &f, &need), 0);
        assert_int_equal(need, MW_FRAME_HDR);
    }
    mw_frame_header(bytes, MW_F_REQUEST, UINT32_MAX);
    assert_int_equal(mw_frame_parse(bytes, sizeof bytes, &f, NULL), MW_ELIMIT);
    mw_frame_header(bytes, MW_F_DATA, 0x10000);
    assert_int_equal(mw_frame_parse(bytes, sizeof bytes, &f, &need), 0);
    assert_int_equal(need, 0x10008);
}

static void put(struct mw_buf *b, unsigned type, const void *p, uint32_t n)
{
    uint8_t hdr[MW_FRAME_HDR];

    mw_frame_header(hdr, type, n);
    mw_buf_bytes(b, hdr, sizeof hdr);
    mw_buf_bytes(b, p, n);
}

/* Take the stream in pieces of the sizes that `next` gives and build it again from its frames. */
static void split_and_join(const struct mw_buf *stream, size_t (*next)(uint32_t *), uint32_t seed)
{
    struct mw_buf in, joined;
    size_t given = 0, total = mw_buf_size(stream);

    mw_buf_init(&in, 1 << 20);
    mw_buf_init(&joined, 1 << 20);
    while (given < total) {
        size_t n = next(&seed);
        n = n < total - given ? n : total - given;
        mw_buf_bytes(&in, mw_buf_data(stream) + given, n);
        given += n;
        for (;;) {
            struct mw_frame f;
            size_t need;
            int64_t used = mw_frame_parse(mw_buf_data(&in), mw_buf_size(&in), &f, &need);
            assert_true(used >= 0);
            if (used == 0) {
                assert_true(need > mw_buf_size(&in));
                break;
            }
            assert_int_equal(used, MW_FRAME_HDR + f.n);
            put(&joined, f.type, f.payload, f.n);
            mw_buf_consume(&in, (size_t)used);
        }
    }
    assert_int_equal(mw_buf_size(&in), 0);
    assert_int_equal(mw_buf_size(&joined), total);
    assert_memory_equal(mw_buf_data(&joined), mw_buf_data(stream), total);
    mw_buf_fini(&in);
    mw_buf_fini(&joined);
}

static size_t one_by_one(uint32_t *seed)
{
    (void)seed;
    return 1;
}

static size_t at_random(uint32_t *seed)
{
    return 1 + sample_random(seed) % 40;
}

static size_t all_at_once(uint32_t *seed)
{
    (void)seed;
    return SIZE_MAX;
}

static void test_frame_05_any_split_gives_the_same_frames(void **state)
{
    (void)state;
    uint8_t hello[MW_HELLO_SIZE], text[300];
    struct mw_hello h = {MW_WIRE_VERSION, 1, 2, 3};
    struct mw_buf b;

    memset(text, 't', sizeof text);
    mw_hello_encode(hello, &h);
    mw_buf_init(&b, 1 << 20);
    put(&b, MW_F_HELLO, hello, sizeof hello);
    put(&b, MW_F_REQUEST, text, sizeof text);
    put(&b, MW_F_BODY, text, 1);
    put(&b, MW_F_BODY_END, "", 1);
    put(&b, MW_F_ABORT, NULL, 0);
    put(&b, MW_F_ALIVE, NULL, 0);
    put(&b, MW_F_WANT, text, 17);
    put(&b, MW_F_BODY_FILE, text, 8);
    put(&b, MW_F_FILE, text, 16);
    put(&b, MW_F_LOG, "\3\0\0\0\0\0\0\0\0\0hi", 12);
    put(&b, MW_F_ASK, NULL, 0);
    put(&b, MW_F_INFORM, text, 99);
    put(&b, MW_F_HEAD, text, 100);
    put(&b, MW_F_DATA, text, sizeof text);
    put(&b, MW_F_END, "", 1);
    assert_int_equal(b.err, 0);
    split_and_join(&b, one_by_one, 1);
    split_and_join(&b, all_at_once, 1);
    for (uint32_t seed = 1; seed < 100; seed++)
        split_and_join(&b, at_random, seed);
    mw_buf_fini(&b);
}

static void test_frame_06_hello(void **state)
{
    (void)state;
    static const struct {
        uint32_t version, data_max;
        int rv;
    } rows[] = {
        {1, 1, 0},         {1, 65535, 0},
        {1, 65536, 0},     {1, 65537, MW_EPROTO},
        {1, 0, MW_EPROTO}, {1, UINT32_MAX, MW_EPROTO},
        {0, 1, MW_EPROTO}, {2, 1, MW_EPROTO},
    };
    uint8_t bytes[MW_HELLO_SIZE + 1] = {0};
    struct mw_hello back;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_hello h = {rows[i].version, 4711, UINT32_MAX, rows[i].data_max};
        mw_hello_encode(bytes, &h);
        assert_int_equal(mw_hello_decode(&back, bytes, MW_HELLO_SIZE), rows[i].rv);
        if (rows[i].rv == 0)
            assert_memory_equal(&back, &h, sizeof h);
    }
    mw_hello_encode(bytes, &(struct mw_hello){1, 1, 1, 1});
    for (size_t n = 0; n <= MW_HELLO_SIZE + 1; n++)
        assert_int_equal(mw_hello_decode(&back, bytes, n), n == MW_HELLO_SIZE ? 0 : MW_EPROTO);
    for (size_t at = 0; at < 4; at++) {
        bytes[at] ^= 1;
        assert_int_equal(mw_hello_decode(&back, bytes, MW_HELLO_SIZE), MW_EPROTO);
        bytes[at] ^= 1;
    }
}

static void test_frame_07_one_byte_payloads(void **state)
{
    (void)state;
    uint8_t v;

    for (unsigned last = 0; last < 256; last++) {
        for (unsigned b = 0; b < 256; b++) {
            uint8_t byte = (uint8_t)b;
            int rv = mw_u8_decode(&v, (uint8_t)last, &byte, 1);
            assert_int_equal(rv, b <= last ? 0 : MW_EPROTO);
            if (rv == 0)
                assert_int_equal(v, b);
        }
    }
    assert_int_equal(mw_u8_decode(&v, 6, "", 0), MW_EPROTO);
    assert_int_equal(mw_u8_decode(&v, 6, "\0\0", 2), MW_EPROTO);
}

static void test_frame_08_want(void **state)
{
    (void)state;
    static const struct {
        struct mw_want want;
        int rv;
    } rows[] = {{{0, 0, 1}, MW_EPROTO},
                {{0, 1, 1}, 0},
                {{0, 1, 0}, 0},
                {{0, 1, 2}, MW_EPROTO},
                {{7, 7, 1}, MW_EPROTO},
                {{7, 6, 1}, MW_EPROTO},
                {{0, MW_WANT_MAX, 0}, 0},
                {{0, MW_WANT_MAX + 1, 0}, MW_EPROTO},
                {{1u << 31, (1u << 31) + MW_WANT_MAX, 0}, 0},
                {{UINT64_MAX - 1, UINT64_MAX, 1}, 0},
                {{UINT64_MAX, 0, 1}, MW_EPROTO}};

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        uint8_t bytes[MW_WANT_SIZE + 1] = {0};
        struct mw_want got;
        mw_want_encode(bytes, &rows[i].want);
        assert_int_equal(mw_want_decode(&got, bytes, MW_WANT_SIZE), rows[i].rv);
        if (rows[i].rv == 0) {
            assert_true(got.have == rows[i].want.have && got.upto == rows[i].want.upto);
            assert_int_equal(got.waits, rows[i].want.waits);
        }
        assert_int_equal(mw_want_decode(&got, bytes, MW_WANT_SIZE - 1), MW_EPROTO);
        assert_int_equal(mw_want_decode(&got, bytes, MW_WANT_SIZE + 1), MW_EPROTO);
    }
}

static void test_frame_13_file(void **state)
{
    (void)state;
    static const struct {
        struct mw_file_part part;
        int rv;
    } rows[] = {{{0, 1}, 0},
                {{0, 0}, MW_EPROTO},
                {{-1, 1}, MW_EPROTO},
                {{0, -1}, MW_EPROTO},
                {{INT64_MIN, INT64_MIN}, MW_EPROTO},
                {{0, INT64_MAX}, 0},
                {{1, INT64_MAX - 1}, 0},
                {{2, INT64_MAX - 1}, MW_EPROTO},
                {{INT64_MAX - 1, 1}, 0},
                {{INT64_MAX, 1}, MW_EPROTO},
                {{0x123456789abcdef, 0x23456789abcdef1}, 0}};

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        uint8_t bytes[MW_FILE_SIZE + 1] = {0};
        struct mw_file_part got;
        mw_file_encode(bytes, &rows[i].part);
        assert_int_equal(mw_file_decode(&got, bytes, MW_FILE_SIZE), rows[i].rv);
        if (rows[i].rv == 0) {
            assert_true(got.offset == rows[i].part.offset);
            assert_true(got.n == rows[i].part.n);
        }
        assert_int_equal(mw_file_decode(&got, bytes, MW_FILE_SIZE - 1), MW_EPROTO);
        assert_int_equal(mw_file_decode(&got, bytes, MW_FILE_SIZE + 1), MW_EPROTO);
    }
}

static void test_frame_14_body_file(void **state)
{
    (void)state;
    static const int64_t good[] = {1, 2, 0x123456789abcdef, INT64_MAX};
    static const int64_t bad[] = {0, -1, INT64_MIN};
    uint8_t bytes[MW_BODY_FILE_SIZE + 1] = {0};
    int64_t got;

    for (size_t i = 0; i < MW_ARRAY_LEN(good); i++) {
        mw_body_file_encode(bytes, good[i]);
        assert_int_equal(mw_body_file_decode(&got, bytes, MW_BODY_FILE_SIZE), 0);
        assert_true(got == good[i]);
        assert_int_equal(mw_body_file_decode(&got, bytes, MW_BODY_FILE_SIZE - 1), MW_EPROTO);
        assert_int_equal(mw_body_file_decode(&got, bytes, MW_BODY_FILE_SIZE + 1), MW_EPROTO);
    }
    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++) {
        mw_body_file_encode(bytes, bad[i]);
        assert_int_equal(mw_body_file_decode(&got, bytes, MW_BODY_FILE_SIZE), MW_EPROTO);
    }
}

static void test_frame_15_two_types_have_a_descriptor(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++)
        assert_int_equal(mw_frame_has_fd(type), type == MW_F_FILE || type == MW_F_BODY_FILE);
}

/* A LOG payload; file_n bytes of 'f' as the source file. */
static size_t make_log(uint8_t *to, unsigned level, uint32_t number, size_t file_n,
                       const char *text, size_t n)
{
    static char file[MW_MARK_FILE_MAX + 1];
    struct mw_buf b;

    memset(file, 'f', sizeof file);
    mw_buf_init(&b, 4096);
    mw_buf_u8(&b, (uint8_t)level);
    mw_buf_u32(&b, number);
    mw_buf_str(&b, (struct mw_str){file, file_n});
    mw_buf_bytes(&b, text, n);
    size_t size = mw_buf_size(&b);
    memcpy(to, mw_buf_data(&b), size);
    mw_buf_fini(&b);
    return size;
}

static void test_frame_09_log(void **state)
{
    (void)state;
    uint8_t line[4096];
    struct mw_str text;
    struct mw_mark m;
    size_t n;

    for (unsigned b = 0; b < 256; b++) {
        int want = b >= MW_LOG_CRIT && b <= MW_LOG_TRACE1 ? 0 : MW_EPROTO;
        n = make_log(line, b, 0, 0, "a\0\xff", 3);
        assert_int_equal(mw_logline_decode(&m, &text, line, n), want);
        if (want == 0) {
            assert_int_equal(m.level, b);
            assert_str(text, "a\0\xff");
        }
    }
    n = make_log(line, 3, 0, 0, "", 0);
    assert_int_equal(mw_frame_check(MW_F_LOG, n), 0);
    assert_int_equal(mw_frame_check(MW_F_LOG, n - 1), MW_EPROTO);
    assert_int_equal(mw_logline_decode(&m, &text, line, n), 0);
    assert_int_equal(text.n, 0);
    assert_int_equal(mw_logline_decode(&m, &text, line, n - 1), MW_EPROTO);
}

static void test_frame_11_source_of_a_log_line(void **state)
{
    (void)state;
    static const struct {
        uint32_t number;
        size_t file_n;
        int rv;
    } rows[] = {
        {1, 1, 0},
        {0, 1, 0},
        {1, 0, MW_EPROTO},
        {INT32_MAX, 1, 0},
        {(uint32_t)INT32_MAX + 1, 1, MW_EPROTO},
        {1, MW_MARK_FILE_MAX - 1, 0},
        {1, MW_MARK_FILE_MAX, 0},
        {1, MW_MARK_FILE_MAX + 1, MW_EPROTO},
    };
    uint8_t line[4096];
    struct mw_str text;
    struct mw_mark m;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        size_t n = make_log(line, 3, rows[i].number, rows[i].file_n, "x", 1);
        assert_int_equal(mw_logline_decode(&m, &text, line, n), rows[i].rv);
    }
    for (unsigned b = 0; b < 256; b++) { /* in the file's name */
        size_t n = make_log(line, 3, 1, 3, "x", 1);
        line[10] = (uint8_t)b;
        assert_int_equal(mw_logline_decode(&m, &text, line, n),
                         b >= ' ' && b <= '~' ? 0 : MW_EPROTO);
    }
}

static void test_frame_10_why_a_body_ended(void **state)
{
    (void)state;
    static const int errors[] = {0, MW_EABORT, MW_ETIMEOUT, MW_ELIMIT, MW_EIO};

    for (unsigned why = 0; why <= MW_BODY_END_LAST; why++) {
        assert_int_equal(mw_body_end_error((enum mw_body_end)why), errors[why]);
        assert_int_equal(mw_body_end_of(errors[why]), why);
    }
    assert_int_equal(mw_body_end_of(MW_ECLOSED), MW_BODY_BROKEN);
    assert_int_equal(mw_body_end_error((enum mw_body_end)99), MW_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_01_limits_of_every_type),
        cmocka_unit_test(test_frame_02_types_that_are_none),
        cmocka_unit_test(test_frame_03_reserved_bytes_are_zero),
        cmocka_unit_test(test_frame_04_the_header_is_judged_before_the_payload),
        cmocka_unit_test(test_frame_05_any_split_gives_the_same_frames),
        cmocka_unit_test(test_frame_06_hello),
        cmocka_unit_test(test_frame_07_one_byte_payloads),
        cmocka_unit_test(test_frame_08_want),
        cmocka_unit_test(test_frame_13_file),
        cmocka_unit_test(test_frame_14_body_file),
        cmocka_unit_test(test_frame_15_two_types_have_a_descriptor),
        cmocka_unit_test(test_frame_09_log),
        cmocka_unit_test(test_frame_10_why_a_body_ended),
        cmocka_unit_test(test_frame_11_source_of_a_log_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
