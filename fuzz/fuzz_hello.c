/*
 * The small payloads; the first byte is the frame's type. Property: what is accepted has one
 * encoding, the bytes it came from.
 */
#include "check.h"
#include "chan.h"
#include "log.h"
#include "wire.h"

static void check_hello(const uint8_t *p, size_t n)
{
    uint8_t out[MW_HELLO_SIZE];
    struct mw_hello h;

    if (mw_hello_decode(&h, p, n))
        return;
    CHECK(h.version == MW_WIRE_VERSION && h.data_max >= 1 && h.data_max <= MW_FRAME_DATA_MAX);
    mw_hello_encode(out, &h);
    CHECK(n == sizeof out && memcmp(out, p, n) == 0);
}

static void check_want(const uint8_t *p, size_t n)
{
    uint8_t out[MW_WANT_SIZE];
    struct mw_want want;

    if (mw_want_decode(&want, p, n))
        return;
    CHECK(want.upto > want.have && want.upto - want.have <= MW_WANT_MAX && want.waits <= 1);
    mw_want_encode(out, &want);
    CHECK(n == sizeof out && memcmp(out, p, n) == 0);
}

static void check_file(const uint8_t *p, size_t n)
{
    uint8_t out[MW_FILE_SIZE];
    struct mw_file_part part;

    if (mw_file_decode(&part, p, n))
        return;
    CHECK(part.offset >= 0 && part.n >= 1 && part.offset <= INT64_MAX - part.n);
    mw_file_encode(out, &part);
    CHECK(n == sizeof out && memcmp(out, p, n) == 0);
}

static void check_body_file(const uint8_t *p, size_t n)
{
    uint8_t out[MW_BODY_FILE_SIZE];
    int64_t length;

    if (mw_body_file_decode(&length, p, n))
        return;
    CHECK(length >= 1);
    mw_body_file_encode(out, length);
    CHECK(n == sizeof out && memcmp(out, p, n) == 0);
}

static void check_log(const uint8_t *p, size_t n)
{
    struct mw_str text;
    struct mw_mark m;

    if (mw_logline_decode(&m, &text, p, n))
        return;
    CHECK(m.level >= MW_LOG_CRIT && m.level <= MW_LOG_TRACE1);
    CHECK(n == text.n + m.file.n + 10 && p[0] == m.level);
    CHECK(m.file.n <= MW_MARK_FILE_MAX && m.file.p[m.file.n] == '\0');
    CHECK(text.n == 0 || text.p == (const char *)p + n - text.n);
}

static void check_body_end(const uint8_t *p, size_t n)
{
    uint8_t v;

    if (mw_u8_decode(&v, MW_BODY_END_LAST, p, n))
        return;
    CHECK(n == 1 && v == p[0] && v <= MW_BODY_END_LAST);
    CHECK((int)mw_body_end_of(mw_body_end_error((enum mw_body_end)v)) == v);
}

static void check_end(const uint8_t *p, size_t n)
{
    uint8_t v;

    if (mw_u8_decode(&v, MW_END_LAST, p, n))
        return;
    CHECK(n == 1 && v == p[0]);
    CHECK(strcmp(mw_end_name((enum mw_end)v), "unknown") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0]) {
    case MW_F_WANT:
        check_want(data + 1, size - 1);
        break;
    case MW_F_FILE:
        check_file(data + 1, size - 1);
        break;
    case MW_F_BODY_FILE:
        check_body_file(data + 1, size - 1);
        break;
    case MW_F_BODY_END:
        check_body_end(data + 1, size - 1);
        break;
    case MW_F_LOG:
        check_log(data + 1, size - 1);
        break;
    case MW_F_END:
        check_end(data + 1, size - 1);
        break;
    default:
        check_hello(data + 1, size - 1);
        break;
    }
    return 0;
}
