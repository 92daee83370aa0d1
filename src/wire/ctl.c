/*
 * ctl.c: messages of the supervisor. Pure; supervisor, workers and httpd's children.
 *
 * Layout, all little-endian: u8 type, u8 zero, u16 group, u16 slot, u16 zero, u32 incarnation, str
 * text; in RECYCLE and SCRIPT also str script, str app_group, str callable, u8
 * explicit_group.
 */
#include "ctl.h"

#include <string.h>

#include "buf.h"

#define STR_SIZE(n) (4u + (n) + 1u)

_Static_assert(12u + STR_SIZE(MW_CTL_TEXT_MAX) + STR_SIZE(MW_CTL_SCRIPT_MAX) +
                       STR_SIZE(MW_CTL_APP_GROUP_MAX) + STR_SIZE(MW_CTL_CALLABLE_MAX) + 1u <=
                   MW_CTL_MAX,
               "the longest message fits");

static int has_text(uint8_t type)
{
    return (type >= MW_CTL_READY && type <= MW_CTL_RECYCLE) || type == MW_CTL_LEAVING;
}

static int has_script(uint8_t type)
{
    return type == MW_CTL_RECYCLE || type == MW_CTL_SCRIPT;
}

static int has_nul(struct mw_str s)
{
    return s.n && memchr(s.p, 0, s.n) != NULL;
}

static int is_too_long(const struct mw_ctl *c)
{
    return c->text.n > MW_CTL_TEXT_MAX || c->script.n > MW_CTL_SCRIPT_MAX ||
           c->app_group.n > MW_CTL_APP_GROUP_MAX || c->callable.n > MW_CTL_CALLABLE_MAX;
}

static int is_valid(const struct mw_ctl *c)
{
    if (c->type < MW_CTL_CONNECT || c->type > MW_CTL_LAST)
        return 0;
    if (!has_script(c->type) &&
        (c->script.n || c->app_group.n || c->callable.n || c->explicit_group))
        return 0;
    return (c->text.n == 0 || has_text(c->type)) && c->explicit_group <= 1 && !has_nul(c->text) &&
           !has_nul(c->script) && !has_nul(c->app_group) && !has_nul(c->callable);
}

int mw_ctl_encode(uint8_t out[MW_CTL_MAX], const struct mw_ctl *c)
{
    struct mw_buf b;

    if (is_too_long(c))
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
    if (has_script(c->type)) {
        mw_buf_str(&b, c->script);
        mw_buf_str(&b, c->app_group);
        mw_buf_str(&b, c->callable);
        mw_buf_u8(&b, c->explicit_group);
    }
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

    *out = (struct mw_ctl){0};
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
    if (has_script(out->type)) {
        out->script = mw_cur_str(&c);
        out->app_group = mw_cur_str(&c);
        out->callable = mw_cur_str(&c);
        out->explicit_group = mw_cur_u8(&c);
    }
    if (mw_cur_end(&c) || zero || is_too_long(out))
        return MW_EPROTO;
    return is_valid(out) ? 0 : MW_EPROTO;
}
