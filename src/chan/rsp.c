/*
 * rsp.c: build, check and walk the response head block. Pure; any thread. The checks are the
 * border: what passes mw_rsp_view may be written into an HTTP/1.1 head as it is.
 *
 * Layout, all little-endian:
 *   0 u16 status   2 u16 zero   4 u32 nfields   8 str reason
 *     nfields times: str name, str value
 */
#include "rsp.h"

#include <string.h>
#include <strings.h>

#define AT_NFIELDS 4u

const char *mw_rsp_fault_text(enum mw_rsp_fault fault)
{
    switch (fault) {
    case MW_RSP_FINE:
        return "no fault";
    case MW_RSP_BAD_STATUS:
        return "status code must be a number from 200 to 999";
    case MW_RSP_BAD_REASON:
        return "reason phrase must not contain control characters";
    case MW_RSP_BAD_NAME:
        return "header name must consist of token characters only";
    case MW_RSP_BAD_VALUE:
        return "header value must not contain control characters";
    case MW_RSP_BAD_LENGTH:
        return "Content-Length must be given once, as decimal digits";
    case MW_RSP_TOO_LARGE:
        return "response head is too large";
    case MW_RSP_NOT_INFORM:
        return "an informational response must have status 103";
    case MW_RSP_BAD_INFORM:
        return "an informational response must not have Content-Length nor speak of the connection";
    }
    return "unknown fault";
}

/* -- characters of RFC 9110 -- */

/* 5.6.2: tchar */
static int is_tchar(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return 1;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

/* 5.5, and 4 of RFC 9112 for the reason: HTAB, SP, VCHAR, obs-text */
static int is_text(struct mw_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return 0;
    }
    return 1;
}

static int is_token(struct mw_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_tchar((unsigned char)s.p[i]))
            return 0;
    return s.n > 0;
}

static int same_name(struct mw_str name, const char *lower, size_t n)
{
    return name.n == n && strncasecmp(name.p, lower, n) == 0;
}

enum mw_rsp_fault mw_rsp_check_status(unsigned status, struct mw_str reason)
{
    if (status < 200 || status > 999)
        return MW_RSP_BAD_STATUS;
    return is_text(reason) ? MW_RSP_FINE : MW_RSP_BAD_REASON;
}

/* 8.6: Content-Length = 1*DIGIT; -1 if it is not, or exceeds int64_t. */
static int64_t parse_length(struct mw_str s)
{
    int64_t v = 0;

    if (s.n == 0)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        int d = s.p[i] - '0';
        if (d < 0 || d > 9 || v > (INT64_MAX - d) / 10)
            return -1;
        v = v * 10 + d;
    }
    return v;
}

static int is_content_length(struct mw_str name)
{
    return same_name(name, "content-length", 14);
}

enum mw_rsp_fault mw_rsp_check_field(struct mw_str name, struct mw_str value)
{
    if (!is_token(name))
        return MW_RSP_BAD_NAME;
    if (!is_text(value))
        return MW_RSP_BAD_VALUE;
    if (is_content_length(name) && parse_length(value) < 0)
        return MW_RSP_BAD_LENGTH;
    return MW_RSP_FINE;
}

enum mw_rsp_fault mw_rsp_check_inform_field(struct mw_str name, struct mw_str value)
{
    enum mw_rsp_fault f = mw_rsp_check_field(name, value);

    if (f == MW_RSP_FINE && (is_content_length(name) || mw_rsp_is_hop_by_hop(name)))
        return MW_RSP_BAD_INFORM;
    return f;
}

/* -- build -- */

size_t mw_rsp_begin(struct mw_buf *b, unsigned status, struct mw_str reason)
{
    size_t at = mw_buf_size(b);

    /* Too large for its field: 0 is as wrong, and is refused by whoever views the block. */
    mw_buf_u16(b, status > UINT16_MAX ? 0 : (uint16_t)status);
    mw_buf_u16(b, 0);
    mw_buf_u32(b, 0);
    mw_buf_str(b, reason);
    return at;
}

void mw_rsp_field(struct mw_buf *b, struct mw_str name, struct mw_str value)
{
    mw_buf_str(b, name);
    mw_buf_str(b, value);
}

int mw_rsp_end(struct mw_buf *b, size_t at, uint32_t nfields)
{
    mw_buf_patch_u32(b, at + AT_NFIELDS, nfields);
    if (b->err)
        return b->err;
    if (nfields > MW_RSP_FIELDS_MAX || mw_buf_size(b) - at > MW_RSP_HEAD_MAX)
        return MW_ELIMIT;
    return 0;
}

/* -- check -- */

/* What differs between a final response and an informational one. */
struct rules {
    size_t max; /* bytes of the block */
    enum mw_rsp_fault (*status)(const struct mw_rsp *rsp);
    enum mw_rsp_fault (*field)(struct mw_rsp *rsp, struct mw_str name, struct mw_str value);
};

static enum mw_rsp_fault final_status(const struct mw_rsp *rsp)
{
    return mw_rsp_check_status(rsp->status, rsp->reason);
}

/* Check one field in its place among the others; a Content-Length is kept in out. */
static enum mw_rsp_fault final_field(struct mw_rsp *out, struct mw_str name, struct mw_str value)
{
    enum mw_rsp_fault f = mw_rsp_check_field(name, value);

    if (f != MW_RSP_FINE || !is_content_length(name))
        return f;
    if (out->content_length >= 0)
        return MW_RSP_BAD_LENGTH;
    out->content_length = parse_length(value);
    return MW_RSP_FINE;
}

static enum mw_rsp_fault inform_status(const struct mw_rsp *rsp)
{
    if (rsp->status != MW_RSP_INFORM_STATUS)
        return MW_RSP_NOT_INFORM;
    return is_text(rsp->reason) ? MW_RSP_FINE : MW_RSP_BAD_REASON;
}

static enum mw_rsp_fault inform_field(struct mw_rsp *out, struct mw_str name, struct mw_str value)
{
    (void)out;
    return mw_rsp_check_inform_field(name, value);
}

static const struct rules final_rules = {MW_RSP_HEAD_MAX, final_status, final_field};
static const struct rules inform_rules = {MW_RSP_INFORM_MAX, inform_status, inform_field};

/* Walk the whole block, so that MW_EPROTO is told from a fault; the first fault goes to *fault. */
static int walk(struct mw_rsp *out, struct mw_cur *c, const struct rules *rules,
                enum mw_rsp_fault *fault)
{
    out->status = mw_cur_u16(c);
    unsigned zero = mw_cur_u16(c);
    out->nfields = mw_cur_u32(c);
    out->reason = mw_cur_span(c);
    out->content_length = -1;
    out->fields = *c;
    if (c->err || zero)
        return MW_EPROTO;
    *fault = rules->status(out);
    for (uint32_t i = 0; i < out->nfields; i++) {
        struct mw_str name = mw_cur_span(c);
        struct mw_str value = mw_cur_span(c);
        if (c->err)
            return MW_EPROTO;
        enum mw_rsp_fault f = rules->field(out, name, value);
        if (*fault == MW_RSP_FINE)
            *fault = i < MW_RSP_FIELDS_MAX ? f : MW_RSP_TOO_LARGE;
    }
    return mw_cur_end(c);
}

static int view(struct mw_rsp *out, const void *block, size_t n, const struct rules *rules,
                enum mw_rsp_fault *fault_r)
{
    enum mw_rsp_fault fault = MW_RSP_FINE;
    struct mw_cur c;
    int rv = 0;

    if (n > rules->max) {
        fault = MW_RSP_TOO_LARGE;
    } else {
        mw_cur_init(&c, block, n);
        rv = walk(out, &c, rules, &fault);
    }
    if (rv)
        fault = MW_RSP_FINE;
    if (fault_r)
        *fault_r = fault;
    return rv == 0 && fault != MW_RSP_FINE ? MW_EINVAL : rv;
}

int mw_rsp_view(struct mw_rsp *out, const void *block, size_t n, enum mw_rsp_fault *fault_r)
{
    return view(out, block, n, &final_rules, fault_r);
}

int mw_rsp_view_inform(struct mw_rsp *out, const void *block, size_t n, enum mw_rsp_fault *fault_r)
{
    return view(out, block, n, &inform_rules, fault_r);
}

int mw_rsp_next(struct mw_cur *it, struct mw_str *name, struct mw_str *value)
{
    if (mw_cur_left(it) == 0)
        return 0;
    *name = mw_cur_span(it);
    *value = mw_cur_span(it);
    return it->err ? 0 : 1;
}

/* -- names and codes with a meaning for framing -- */

int mw_rsp_is_hop_by_hop(struct mw_str name)
{
    static const struct mw_str names[] = {
        {"connection", 10}, {"keep-alive", 10},        {"proxy-connection", 16}, {"te", 2},
        {"trailer", 7},     {"transfer-encoding", 17}, {"upgrade", 7},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(names); i++)
        if (same_name(name, names[i].p, names[i].n))
            return 1;
    return 0;
}

int mw_rsp_status_has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}
