/*
 * req.c: build, check and walk the request block. Pure; any thread.
 *
 * Layout, all little-endian:
 *   0 u32 flags   4 u32 npairs   8 i64 content_length   16 u64 start_us   24 u64 queue_us
 *  32 u32 timeout_ms   36 u64 script_stamp
 *  44 str script, str callable, str app_group, str process_group, str log_id
 *     npairs times: str key, str value
 */
#include "req.h"

#include <inttypes.h>
#include <stdio.h>

#define AT_NPAIRS 4u
#define AT_LENGTH 8u
#define AT_QUEUE_US 24u

size_t mw_req_begin(struct mw_buf *b, const struct mw_req *head)
{
    size_t at = mw_buf_size(b);

    mw_buf_u32(b, head->flags);
    mw_buf_u32(b, 0);
    mw_buf_u64(b, (uint64_t)head->content_length);
    mw_buf_u64(b, head->start_us);
    mw_buf_u64(b, head->queue_us);
    mw_buf_u32(b, head->timeout_ms);
    mw_buf_u64(b, head->script_stamp);
    mw_buf_str(b, head->script);
    mw_buf_str(b, head->callable);
    mw_buf_str(b, head->app_group);
    mw_buf_str(b, head->process_group);
    mw_buf_str(b, head->log_id);
    return at;
}

void mw_req_pair(struct mw_buf *b, struct mw_str key, struct mw_str value)
{
    mw_buf_strs(b, key, value);
}

int mw_req_end(struct mw_buf *b, size_t at, uint32_t npairs)
{
    mw_buf_patch_u32(b, at + AT_NPAIRS, npairs);
    if (b->err)
        return b->err;
    if (npairs > MW_REQ_PAIRS_MAX || mw_buf_size(b) - at > MW_REQ_BLOCK_MAX)
        return MW_ELIMIT;
    return 0;
}

/* Spread v over all bits (the finalizer of MurmurHash3): files differ in few of them. */
static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 33) * UINT64_C(0xff51afd7ed558ccd);
    v = (v ^ v >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return v ^ v >> 33;
}

uint64_t mw_req_stamp(int64_t mtime_us, int64_t size, uint64_t ino, uint64_t dev)
{
    uint64_t h = mix(dev + 1);

    h = mix(h ^ ino);
    h = mix(h ^ (uint64_t)size);
    h = mix(h ^ (uint64_t)mtime_us);
    return h ? h : 1;
}

void mw_req_patch_queue_us(uint8_t *block, uint64_t queue_us)
{
    for (size_t i = 0; i < 8; i++)
        block[AT_QUEUE_US + i] = (uint8_t)(queue_us >> (8 * i));
}

int mw_req_set_length(struct mw_buf *block, const struct mw_req *req, int64_t length)
{
    uint32_t npairs = req->npairs + 1;
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, length);

    mw_buf_patch_u32(block, AT_LENGTH, (uint32_t)length);
    mw_buf_patch_u32(block, AT_LENGTH + 4, (uint32_t)((uint64_t)length >> 32));
    mw_req_pair(block, MW_STR("CONTENT_LENGTH"), (struct mw_str){digits, (size_t)n});
    return mw_req_end(block, 0, npairs);
}

static void read_head(struct mw_req *out, struct mw_cur *c)
{
    out->flags = mw_cur_u32(c);
    out->npairs = mw_cur_u32(c);
    out->content_length = (int64_t)mw_cur_u64(c);
    out->start_us = mw_cur_u64(c);
    out->queue_us = mw_cur_u64(c);
    out->timeout_ms = mw_cur_u32(c);
    out->script_stamp = mw_cur_u64(c);
    out->script = mw_cur_str(c);
    out->callable = mw_cur_str(c);
    out->app_group = mw_cur_str(c);
    out->process_group = mw_cur_str(c);
    out->log_id = mw_cur_str(c);
    out->pairs = *c;
}

static int check_head(const struct mw_req *r)
{
    if (r->flags & ~(uint32_t)MW_REQ_FLAGS_ALL || r->content_length < -1)
        return MW_EPROTO;
    if (r->script.n == 0 || r->script.p[0] != '/' || r->callable.n == 0)
        return MW_EPROTO;
    return r->npairs > MW_REQ_PAIRS_MAX ? MW_ELIMIT : 0;
}

/* *c: behind the head. */
static int view_head(struct mw_req *out, const void *block, size_t n, struct mw_cur *c)
{
    if (n > MW_REQ_BLOCK_MAX)
        return MW_ELIMIT;
    mw_cur_init(c, block, n);
    read_head(out, c);
    return c->err ? c->err : check_head(out);
}

int mw_req_view_own(struct mw_req *out, const void *block, size_t n)
{
    struct mw_cur c;

    return view_head(out, block, n, &c);
}

int mw_req_view(struct mw_req *out, const void *block, size_t n)
{
    struct mw_cur c;
    int rv = view_head(out, block, n, &c);

    if (rv)
        return rv;
    for (uint32_t i = 0; i < out->npairs && !c.err; i++) {
        mw_cur_str(&c);
        mw_cur_str(&c);
    }
    return mw_cur_end(&c);
}

int mw_req_next(struct mw_cur *it, struct mw_str *key, struct mw_str *value)
{
    if (mw_cur_left(it) == 0)
        return 0;
    *key = mw_cur_span(it); /* NULs were looked for by mw_req_view */
    *value = mw_cur_span(it);
    return it->err ? 0 : 1;
}
