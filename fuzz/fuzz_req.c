/*
 * A request block. Property: what is accepted has one encoding, the bytes it came from.
 */
#include "check.h"
#include "req.h"

static void check_text(struct mw_str s)
{
    CHECK(s.p[s.n] == 0);
    CHECK(strlen(s.p) == s.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mw_req r;
    struct mw_buf b;
    struct mw_str k, v;
    uint32_t n = 0;

    int rv = mw_req_view(&r, data, size);
    CHECK(rv == 0 || rv == MW_EPROTO || rv == MW_ELIMIT);
    if (rv)
        return 0;
    check_text(r.script);
    check_text(r.callable);
    check_text(r.app_group);
    check_text(r.process_group);
    check_text(r.log_id);
    mw_buf_init(&b, size);
    size_t at = mw_req_begin(&b, &r);
    for (struct mw_cur it = r.pairs; mw_req_next(&it, &k, &v); n++) {
        check_text(k);
        check_text(v);
        mw_req_pair(&b, k, v);
    }
    CHECK(n == r.npairs);
    CHECK(mw_req_end(&b, at, n) == 0);
    check_same(&b, data, size);
    mw_buf_fini(&b);
    return 0;
}
