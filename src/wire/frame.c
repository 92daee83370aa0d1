/*
 * frame.c: the pure part of the protocol: frame headers and the small payloads. Both ends, any
 * thread. docs/protocol.md is the specification; the rows below are its table of limits.
 */
#include "wire.h"

#include "buf.h"
#include "log.h"
#include "req.h"
#include "rsp.h"

_Static_assert(MW_FRAME_PAYLOAD_MAX == MW_REQ_BLOCK_MAX, "a request block fits a frame exactly");
_Static_assert(MW_RSP_HEAD_MAX <= MW_FRAME_PAYLOAD_MAX, "a response head fits a frame");

struct kind {
    const char *name;
    int32_t min, max; /* bytes of payload; max < 0: not a frame of version 1 */
};

static const struct kind kinds[] = {
    {"0", 0, -1},
    {"HELLO", MW_HELLO_SIZE, MW_HELLO_SIZE},
    {"REQUEST", 1, MW_FRAME_PAYLOAD_MAX},
    {"WANT", MW_WANT_SIZE, MW_WANT_SIZE},
    {"BODY", 1, MW_FRAME_DATA_MAX}, /* never empty: an empty read is the end of a body */
    {"BODY_END", 1, 1},
    {"BODY_FILE", MW_BODY_FILE_SIZE, MW_BODY_FILE_SIZE},
    {"ABORT", 0, 0},
    {"HEAD", 1, MW_RSP_HEAD_MAX},
    {"DATA", 1, MW_FRAME_DATA_MAX},
    {"FILE", MW_FILE_SIZE, MW_FILE_SIZE},
    {"INFORM", 1, MW_RSP_INFORM_MAX},
    {"LOG", 10, MW_FRAME_DATA_MAX},
    {"END", 1, 1},
    {"ASK", 0, 0},
    {"ALIVE", 0, 0},
};
_Static_assert(MW_ARRAY_LEN(kinds) == MW_F_LAST + 1, "one row per type");

int64_t mw_frame_limit(unsigned type)
{
    return type <= MW_F_LAST && kinds[type].max >= 0 ? kinds[type].max : MW_EPROTO;
}

const char *mw_frame_name(unsigned type)
{
    return type >= 1 && type <= MW_F_LAST ? kinds[type].name : "unknown";
}

int mw_frame_has_fd(unsigned type)
{
    return type == MW_F_FILE || type == MW_F_BODY_FILE;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void set_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void set_u64(uint8_t *p, uint64_t v)
{
    set_u32(p, (uint32_t)v);
    set_u32(p + 4, (uint32_t)(v >> 32));
}

void mw_frame_header(uint8_t out[MW_FRAME_HDR], unsigned type, uint32_t n)
{
    set_u32(out, n);
    set_u32(out + 4, type & 0xff);
}

int mw_frame_check(unsigned type, uint64_t n)
{
    int64_t max = mw_frame_limit(type);

    if (max < 0 || n < (uint64_t)kinds[type].min)
        return MW_EPROTO;
    return n > (uint64_t)max ? MW_ELIMIT : 0;
}

int64_t mw_frame_parse(const uint8_t *p, size_t n, struct mw_frame *out, size_t *need_r)
{
    size_t need = MW_FRAME_HDR;

    if (n >= MW_FRAME_HDR) {
        uint32_t len = get_u32(p);
        int rv = mw_frame_check(p[4], len);
        if (rv)
            return rv;
        if (p[5] || p[6] || p[7])
            return MW_EPROTO;
        need += len;
    }
    if (need_r)
        *need_r = need;
    if (n < need || n < MW_FRAME_HDR)
        return 0;
    out->type = p[4];
    out->flags = p[5];
    out->payload = p + MW_FRAME_HDR;
    out->n = (uint32_t)(need - MW_FRAME_HDR);
    return (int64_t)need;
}

/* -- small payloads -- */

void mw_hello_encode(uint8_t out[MW_HELLO_SIZE], const struct mw_hello *h)
{
    set_u32(out, MW_WIRE_MAGIC);
    set_u32(out + 4, h->version);
    set_u32(out + 8, h->pid);
    set_u32(out + 12, h->incarnation);
    set_u32(out + 16, h->data_max);
}

int mw_hello_decode(struct mw_hello *out, const void *p, size_t n)
{
    struct mw_cur c;

    mw_cur_init(&c, p, n);
    uint32_t magic = mw_cur_u32(&c);
    out->version = mw_cur_u32(&c);
    out->pid = mw_cur_u32(&c);
    out->incarnation = mw_cur_u32(&c);
    out->data_max = mw_cur_u32(&c);
    if (mw_cur_end(&c) || magic != MW_WIRE_MAGIC || out->version != MW_WIRE_VERSION)
        return MW_EPROTO;
    return out->data_max >= 1 && out->data_max <= MW_FRAME_DATA_MAX ? 0 : MW_EPROTO;
}

int mw_body_end_error(enum mw_body_end why)
{
    switch (why) {
    case MW_BODY_CLEAN:
        return 0;
    case MW_BODY_ABORTED:
        return MW_EABORT;
    case MW_BODY_TIMEOUT:
        return MW_ETIMEOUT;
    case MW_BODY_LIMIT:
        return MW_ELIMIT;
    case MW_BODY_BROKEN:
        break;
    }
    return MW_EIO;
}

enum mw_body_end mw_body_end_of(int err)
{
    switch (err) {
    case 0:
        return MW_BODY_CLEAN;
    case MW_EABORT:
        return MW_BODY_ABORTED;
    case MW_ETIMEOUT:
        return MW_BODY_TIMEOUT;
    case MW_ELIMIT:
        return MW_BODY_LIMIT;
    default:
        return MW_BODY_BROKEN;
    }
}

int mw_u8_decode(uint8_t *out, uint8_t last, const void *p, size_t n)
{
    struct mw_cur c;

    mw_cur_init(&c, p, n);
    *out = mw_cur_u8(&c);
    return mw_cur_end(&c) || *out > last ? MW_EPROTO : 0;
}

void mw_want_encode(uint8_t out[MW_WANT_SIZE], const struct mw_want *w)
{
    set_u64(out, w->have);
    set_u64(out + 8, w->upto);
    out[16] = w->waits;
}

int mw_want_decode(struct mw_want *out, const void *p, size_t n)
{
    struct mw_cur c;

    mw_cur_init(&c, p, n);
    out->have = mw_cur_u64(&c);
    out->upto = mw_cur_u64(&c);
    out->waits = mw_cur_u8(&c);
    if (mw_cur_end(&c) || out->waits > 1)
        return MW_EPROTO;
    return out->upto > out->have && out->upto - out->have <= MW_WANT_MAX ? 0 : MW_EPROTO;
}

void mw_file_encode(uint8_t out[MW_FILE_SIZE], const struct mw_file_part *f)
{
    set_u64(out, (uint64_t)f->offset);
    set_u64(out + 8, (uint64_t)f->n);
}

int mw_file_decode(struct mw_file_part *out, const void *p, size_t n)
{
    struct mw_cur c;

    mw_cur_init(&c, p, n);
    out->offset = (int64_t)mw_cur_u64(&c);
    out->n = (int64_t)mw_cur_u64(&c);
    if (mw_cur_end(&c) || out->offset < 0 || out->n < 1 || out->n > INT64_MAX - out->offset)
        return MW_EPROTO;
    return 0;
}

void mw_body_file_encode(uint8_t out[MW_BODY_FILE_SIZE], int64_t length)
{
    set_u64(out, (uint64_t)length);
}

int mw_body_file_decode(int64_t *out, const void *p, size_t n)
{
    struct mw_cur c;

    mw_cur_init(&c, p, n);
    *out = (int64_t)mw_cur_u64(&c);
    return mw_cur_end(&c) || *out < 1 ? MW_EPROTO : 0;
}

static int is_mark(const struct mw_mark *m)
{
    if (m->level < MW_LOG_CRIT || m->level > MW_LOG_TRACE1 || m->file.n > MW_MARK_FILE_MAX ||
        m->number > INT32_MAX || (m->number && !m->file.n))
        return 0;
    for (size_t i = 0; i < m->file.n; i++)
        if (m->file.p[i] < ' ' || m->file.p[i] > '~')
            return 0;
    return 1;
}

int mw_logline_decode(struct mw_mark *mark_r, struct mw_str *text_r, const void *p, size_t n)
{
    struct mw_cur c;

    mw_cur_init(&c, p, n);
    mark_r->level = mw_cur_u8(&c);
    mark_r->number = mw_cur_u32(&c);
    mark_r->file = mw_cur_str(&c);
    text_r->n = mw_cur_left(&c);
    text_r->p = (const char *)mw_cur_bytes(&c, text_r->n);
    return c.err || !is_mark(mark_r) ? MW_EPROTO : 0;
}
