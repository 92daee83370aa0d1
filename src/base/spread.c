/*
 * spread.c: see spread.h. Pure.
 */
#include "spread.h"

#define BASE_BITS 48

int64_t mw_spread_pack(int64_t base, unsigned percent)
{
    return base | (int64_t)percent << BASE_BITS;
}

int64_t mw_spread_base(int64_t packed)
{
    return packed & MW_SPREAD_BASE_MAX;
}

unsigned mw_spread_percent(int64_t packed)
{
    return (unsigned)((uint64_t)packed >> BASE_BITS);
}

/* The finaliser of splitmix64: every bit of the seed changes half of the result's. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

int64_t mw_spread_pick(int64_t packed, uint64_t seed)
{
    int64_t base = mw_spread_base(packed);
    int64_t most = base / 100 * mw_spread_percent(packed) +
                   base % 100 * mw_spread_percent(packed) / 100; /* base * percent may overflow */

    return base - most + (int64_t)(mix(seed) % (2 * (uint64_t)most + 1));
}
