/*
 * ctl.c: messages of the supervisor. Pure; supervisor, workers and httpd's children.
 *
 * Layout, all little-endian: u8 type, u8 zero, u16 group, u16 slot, u16 zero, u32 incarnation, str
 * text.
 */
#include "ctl.h"

#include <string.h>

#include "buf.h"

_Static_assert(12 + 4 + MW_CTL_TEXT_MAX + 1 <= MW_CTL_MAX, "the longest text fits");

static int has_text(uint8_t type)
{
    return type == MW_CTL_FAILED || type == MW_CTL_RECYCLE;
}

static int is_valid(const struct mw_ctl *c)
{
    if (c->type < MW_CTL_CONNECT || c->type > MW_CTL_STACKS)
        return 0;
    return c->text.n == 0 || (has_text(c->type) && !memchr(c->text.p, 0, c->text.n));
}

int mw_ctl_encode(uint8_t out[MW_CTL_MAX], const struct mw_ctl *c)
{
    struct mw_buf b;

    if (c->text.n > MW_CTL_TEXT_MAX)
        return MW_ELIMIT;
    if (!is_valid(c))
        return MW_EINVAL;
    mw_buf_init(&b, MW_CTL_MAX);
    mw_buf_u8(&b, c->type);
    mw_buf_u8(&b, 0);
    mw_buf_u16(&b, c->group);
    mw_buf_u16(&b, c->slot);
    mw_buf_u16(&b, 0);
    mw_buf_u32(&b, c->incarnation);
    mw_buf_str(&b, c->text);
    int rv = b.err;
    if (rv == 0) {
        memcpy(out, mw_buf_data(&b), mw_buf_size(&b));
        rv = (int)mw_buf_size(&b);
    }
    mw_buf_fini(&b);
    return rv;
}

int mw_ctl_decode(struct mw_ctl *out, const void *p, size_t n)
{
    struct mw_cur c;

    if (n > MW_CTL_MAX)
        return MW_EPROTO;
    mw_cur_init(&c, p, n);
    out->type = mw_cur_u8(&c);
    unsigned zero = mw_cur_u8(&c);
    out->group = mw_cur_u16(&c);
    out->slot = mw_cur_u16(&c);
    zero |= mw_cur_u16(&c);
    out->incarnation = mw_cur_u32(&c);
    out->text = mw_cur_str(&c);
    if (mw_cur_end(&c) || zero || out->text.n > MW_CTL_TEXT_MAX)
        return MW_EPROTO;
    return is_valid(out) ? 0 : MW_EPROTO;
}
