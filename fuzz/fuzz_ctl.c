/*
 * A message of the supervisor. Property: what is accepted has one encoding, the bytes it came from.
 */
#include "check.h"
#include "ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[MW_CTL_MAX];
    struct mw_ctl c;

    int rv = mw_ctl_decode(&c, data, size);
    CHECK(rv == 0 || rv == MW_EPROTO);
    if (rv)
        return 0;
    CHECK(c.text.p[c.text.n] == 0);
    CHECK(!c.script.n || c.script.p[c.script.n] == 0);
    CHECK(!c.callable.n || c.callable.p[c.callable.n] == 0);
    CHECK(!c.app_group.n || c.app_group.p[c.app_group.n] == 0);
    int n = mw_ctl_encode(out, &c);
    CHECK(n > 0 && (size_t)n == size);
    CHECK(memcmp(out, data, size) == 0);
    return 0;
}
