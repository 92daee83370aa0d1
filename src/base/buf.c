/*
 * buf.c: capped byte buffer and reading cursor.
 *
 * Every length that comes from another process is compared here, and only here, with what is really
 * there. Lengths are compared by subtraction from the larger side, never by addition, so no sum can
 * wrap. Never logs, never makes a system call but for memory.
 */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 256u /* smallest allocation */

static const uint8_t nothing[1] = {0}; /* mw_buf_data of a buffer without memory */

/* -- buffer -- */

void mw_buf_init(struct mw_buf *b, size_t max)
{
    *b = (struct mw_buf){.max = max};
}

void mw_buf_fini(struct mw_buf *b)
{
    free(b->p);
    mw_buf_init(b, b->max);
}

void mw_buf_clear(struct mw_buf *b)
{
    b->pos = b->len = 0;
    b->err = 0;
}

void mw_buf_trim(struct mw_buf *b, size_t keep)
{
    if (b->pos != b->len || b->cap <= keep)
        return;
    free(b->p);
    b->p = NULL;
    b->pos = b->len = b->cap = 0;
}

size_t mw_buf_size(const struct mw_buf *b)
{
    return b->len - b->pos;
}

const uint8_t *mw_buf_data(const struct mw_buf *b)
{
    return b->p ? b->p + b->pos : nothing;
}

/* Move the unread bytes to the front. */
static void compact(struct mw_buf *b)
{
    if (b->pos == 0)
        return;
    memmove(b->p, b->p + b->pos, b->len - b->pos);
    b->len -= b->pos;
    b->pos = 0;
}

/* Make the capacity at least `need` (<= max), doubling so that appending stays linear. */
static int grow(struct mw_buf *b, size_t need)
{
    size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;

    if (cap < FIRST_CAP)
        cap = FIRST_CAP < b->max ? FIRST_CAP : b->max;
    if (cap < need)
        cap = need;
    uint8_t *p = realloc(b->p, cap);
    if (!p) {
        b->err = MW_ENOMEM;
        return MW_ENOMEM;
    }
    b->p = p;
    b->cap = cap;
    return 0;
}

uint8_t *mw_buf_reserve(struct mw_buf *b, size_t n)
{
    if (b->err)
        return NULL;
    if (n > b->max - mw_buf_size(b)) {
        b->err = MW_ELIMIT;
        return NULL;
    }
    if (n > b->cap - b->len) {
        compact(b);
        if (n > b->cap - b->len && grow(b, b->len + n))
            return NULL;
    }
    /* Zero bytes of an empty buffer: there may be no memory yet, and NULL would mean an error. */
    if (!b->p && grow(b, 0))
        return NULL;
    return b->p + b->len;
}

void mw_buf_commit(struct mw_buf *b, size_t n)
{
    if (b->err)
        return;
    if (n > b->cap - b->len) {
        b->err = MW_ELIMIT;
        return;
    }
    b->len += n;
}

void mw_buf_consume(struct mw_buf *b, size_t n)
{
    if (n > mw_buf_size(b))
        n = mw_buf_size(b);
    b->pos += n;
    if (b->pos == b->len)
        b->pos = b->len = 0;
}

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static void append_le(struct mw_buf *b, uint64_t v, size_t n)
{
    uint8_t *p = mw_buf_reserve(b, n);

    if (!p)
        return;
    put_le(p, v, n);
    b->len += n;
}

void mw_buf_u8(struct mw_buf *b, uint8_t v)
{
    append_le(b, v, 1);
}

void mw_buf_u16(struct mw_buf *b, uint16_t v)
{
    append_le(b, v, 2);
}

void mw_buf_u32(struct mw_buf *b, uint32_t v)
{
    append_le(b, v, 4);
}

void mw_buf_u64(struct mw_buf *b, uint64_t v)
{
    append_le(b, v, 8);
}

void mw_buf_bytes(struct mw_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *to = mw_buf_reserve(b, n);
    if (!to)
        return;
    memcpy(to, p, n);
    b->len += n;
}

static uint8_t *set_str(uint8_t *to, struct mw_str s)
{
    put_u32(to, (uint32_t)s.n);
    if (s.n)
        memcpy(to + 4, s.p, s.n);
    to[4 + s.n] = 0;
    return to + 5 + s.n;
}

void mw_buf_str(struct mw_buf *b, struct mw_str s)
{
    if (s.n > UINT32_MAX - 5) {
        if (!b->err)
            b->err = MW_ELIMIT;
        return;
    }
    uint8_t *to = mw_buf_reserve(b, s.n + 5);
    if (!to)
        return;
    set_str(to, s);
    b->len += s.n + 5;
}

void mw_buf_strs(struct mw_buf *b, struct mw_str s, struct mw_str t)
{
    if (s.n > UINT32_MAX / 4 || t.n > UINT32_MAX / 4) {
        if (!b->err)
            b->err = MW_ELIMIT;
        return;
    }
    uint8_t *to = mw_buf_reserve(b, s.n + t.n + 10);
    if (!to)
        return;
    set_str(set_str(to, s), t);
    b->len += s.n + t.n + 10;
}

void mw_buf_cstr(struct mw_buf *b, const char *s)
{
    mw_buf_str(b, (struct mw_str){s ? s : "", s ? strlen(s) : 0});
}

void mw_buf_patch_u32(struct mw_buf *b, size_t at, uint32_t v)
{
    if (b->err)
        return;
    if (at > mw_buf_size(b) || mw_buf_size(b) - at < 4) {
        b->err = MW_ELIMIT;
        return;
    }
    put_u32(b->p + b->pos + at, v);
}

/* -- cursor -- */

/* In this form compilers make one load of it. */
static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void mw_cur_init(struct mw_cur *c, const void *p, size_t n)
{
    c->p = n ? p : nothing;
    c->end = c->p + n;
    c->err = 0;
}

const uint8_t *mw_cur_bytes(struct mw_cur *c, size_t n)
{
    if (c->err || n > (size_t)(c->end - c->p)) {
        c->err = MW_EPROTO;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += n;
    return p;
}

static uint64_t take_le(struct mw_cur *c, size_t n)
{
    const uint8_t *p = mw_cur_bytes(c, n);
    uint64_t v = 0;

    if (!p)
        return 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint8_t mw_cur_u8(struct mw_cur *c)
{
    return (uint8_t)take_le(c, 1);
}

uint16_t mw_cur_u16(struct mw_cur *c)
{
    return (uint16_t)take_le(c, 2);
}

uint32_t mw_cur_u32(struct mw_cur *c)
{
    return (uint32_t)take_le(c, 4);
}

uint64_t mw_cur_u64(struct mw_cur *c)
{
    return take_le(c, 8);
}

/* Written out, not made of getters: a request has a hundred of these. */
struct mw_str mw_cur_span(struct mw_cur *c)
{
    size_t left = mw_cur_left(c);

    if (left >= 5) {
        size_t n = get_u32(c->p);
        if (n <= left - 5 && c->p[4 + n] == 0) {
            struct mw_str s = {(const char *)c->p + 4, n};
            c->p += n + 5;
            return s;
        }
    }
    c->err = MW_EPROTO;
    return (struct mw_str){"", 0};
}

struct mw_str mw_cur_str(struct mw_cur *c)
{
    struct mw_str s = mw_cur_span(c);

    if (s.n && memchr(s.p, 0, s.n)) {
        c->err = MW_EPROTO;
        return (struct mw_str){"", 0};
    }
    return s;
}

size_t mw_cur_left(const struct mw_cur *c)
{
    return c->err ? 0 : (size_t)(c->end - c->p);
}

int mw_cur_end(const struct mw_cur *c)
{
    return c->err || c->p != c->end ? MW_EPROTO : 0;
}
