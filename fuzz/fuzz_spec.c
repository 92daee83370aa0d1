/*
 * A group's specification. Property: what is accepted has one encoding, the bytes it came from.
 */
#include "check.h"
#include "spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mw_spec s;
    struct mw_buf b;

    int rv = mw_spec_decode(&s, data, size);
    CHECK(rv == 0 || rv == MW_EPROTO || rv == MW_EINVAL);
    if (rv)
        return 0;
    CHECK(mw_spec_processes(&s) >= 1 && mw_spec_processes(&s) <= 1024);
    mw_buf_init(&b, MW_SPEC_MAX);
    CHECK(mw_spec_encode(&b, &s) == 0);
    check_same(&b, data, size);
    mw_buf_fini(&b);
    mw_spec_fini(&s);
    CHECK(s.preload == NULL);
    return 0;
}
