/*
 * A response head, final and informational. Properties: what is accepted has one encoding, the bytes it
 * came from, and when it is written as HTTP/1.1 its lines are exactly its fields; what is accepted as one
 * of the two is refused as the other.
 */
#include "check.h"
#include "rsp.h"

/* No byte of it can end a line or the head. */
static void check_line(struct mw_str s)
{
    CHECK(s.n == 0 || (!memchr(s.p, '\r', s.n) && !memchr(s.p, '\n', s.n) && !memchr(s.p, 0, s.n)));
}

/* Nothing in an informational response frames the final one. */
static void check_inform(const struct mw_rsp *r, size_t size)
{
    struct mw_str k, v;

    CHECK(r->status == 103 && r->content_length == -1 && size <= MW_RSP_INFORM_MAX);
    for (struct mw_cur it = r->fields; mw_rsp_next(&it, &k, &v);) {
        CHECK(!mw_rsp_is_hop_by_hop(k));
        CHECK(k.n + v.n + 4 <= 8192);
    }
}

static void check_accepted(const struct mw_rsp *r, const uint8_t *data, size_t size)
{
    struct mw_buf b;
    struct mw_str k, v;
    uint32_t n = 0;
    unsigned lengths = 0;

    check_line(r->reason);
    mw_buf_init(&b, size);
    size_t at = mw_rsp_begin(&b, r->status, r->reason);
    for (struct mw_cur it = r->fields; mw_rsp_next(&it, &k, &v); n++) {
        CHECK(k.n > 0 && !memchr(k.p, ':', k.n) && !memchr(k.p, ' ', k.n));
        check_line(k);
        check_line(v);
        lengths += k.n == 14 && (k.p[0] | 32) == 'c' && (k.p[13] | 32) == 'h' && k.p[7] == '-' &&
                   (k.p[8] | 32) == 'l';
        mw_rsp_field(&b, k, v);
    }
    CHECK(n == r->nfields && n <= MW_RSP_FIELDS_MAX);
    CHECK(r->content_length < 0 || lengths >= 1);
    CHECK(mw_rsp_end(&b, at, n) == 0);
    check_same(&b, data, size);
    mw_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum mw_rsp_fault fault;
    struct mw_rsp r;

    int rv = mw_rsp_view(&r, data, size, &fault);
    CHECK(rv == 0 || rv == MW_EPROTO || rv == MW_EINVAL);
    CHECK((rv == MW_EINVAL) == (fault != MW_RSP_FINE));
    if (rv == 0) {
        CHECK(r.status >= 200 && r.status <= 999);
        check_accepted(&r, data, size);
    }
    int inform = mw_rsp_view_inform(&r, data, size, &fault);
    CHECK(inform == 0 || inform == MW_EPROTO || inform == MW_EINVAL);
    CHECK((inform == MW_EINVAL) == (fault != MW_RSP_FINE));
    CHECK(inform != 0 || rv != 0);
    if (inform == 0) {
        check_inform(&r, size);
        check_accepted(&r, data, size);
    }
    return 0;
}
