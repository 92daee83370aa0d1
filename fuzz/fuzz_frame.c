/*
 * A stream of frames. The first byte chooses how the rest is split. Properties: the frames are the
 * same however the stream arrives, the first error too, and frames encode to the bytes they came from.
 */
#include "check.h"
#include "wire.h"

/* Append a frame's encoding. */
static void put(struct mw_buf *b, const struct mw_frame *f)
{
    uint8_t hdr[MW_FRAME_HDR];

    mw_frame_header(hdr, f->type, f->n);
    mw_buf_bytes(b, hdr, sizeof hdr);
    mw_buf_bytes(b, f->payload, f->n);
}

/* Parse what `in` holds into `out`; the parser's last word. */
static int64_t take_frames(struct mw_buf *in, struct mw_buf *out)
{
    for (;;) {
        struct mw_frame f;
        size_t need = 0;
        int64_t used = mw_frame_parse(mw_buf_data(in), mw_buf_size(in), &f, &need);
        if (used == 0)
            CHECK(need > mw_buf_size(in));
        if (used <= 0)
            return used;
        CHECK((size_t)used == MW_FRAME_HDR + f.n);
        CHECK(f.flags == 0);
        CHECK(mw_frame_check(f.type, f.n) == 0);
        CHECK((int64_t)f.n <= mw_frame_limit(f.type));
        put(out, &f);
        mw_buf_consume(in, (size_t)used);
    }
}

static int64_t parse_split(const uint8_t *p, size_t n, uint32_t seed, struct mw_buf *out)
{
    struct mw_buf in;
    int64_t rv = 0;

    mw_buf_init(&in, n);
    for (size_t at = 0; at < n && rv == 0;) {
        seed = seed * 1664525 + 1013904223;
        size_t k = seed == 0 ? n : 1 + (seed >> 16) % 64;
        k = k < n - at ? k : n - at;
        mw_buf_bytes(&in, p + at, k);
        at += k;
        rv = take_frames(&in, out);
    }
    mw_buf_fini(&in);
    return rv;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mw_buf whole, split, in;

    if (size == 0)
        return 0;
    mw_buf_init(&whole, size);
    mw_buf_init(&split, size);
    mw_buf_init(&in, size);
    mw_buf_bytes(&in, data + 1, size - 1);
    int64_t rv = take_frames(&in, &whole);
    CHECK(rv == 0 || rv == MW_EPROTO || rv == MW_ELIMIT);
    CHECK(parse_split(data + 1, size - 1, data[0], &split) == rv);
    check_same(&whole, data + 1, size - 1 - mw_buf_size(&in));
    check_same(&split, mw_buf_data(&whole), mw_buf_size(&whole));
    mw_buf_fini(&in);
    mw_buf_fini(&split);
    mw_buf_fini(&whole);
    return 0;
}
