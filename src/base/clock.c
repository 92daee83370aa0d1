/*
 * clock.c: the two clocks. Any thread. The monotonic clock can be replaced by tests; that pointer
 * is the only state and is set before any thread starts.
 */
#include "clock.h"

#include <limits.h>
#include <stddef.h>
#include <time.h>

static uint64_t (*replaced)(void); /* test hook, NULL in every real process */

uint64_t mw_clock_ms(void)
{
    struct timespec ts;

    if (replaced)
        return replaced();
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t mw_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t mw_clock_epoch_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t mw_clock_deadline(uint64_t after_ms)
{
    uint64_t now = mw_clock_ms();

    return after_ms > MW_NO_DEADLINE - now ? MW_NO_DEADLINE : now + after_ms;
}

int mw_clock_poll_ms(uint64_t deadline)
{
    if (deadline == MW_NO_DEADLINE)
        return -1;
    uint64_t now = mw_clock_ms();
    if (deadline <= now)
        return 0;
    uint64_t left = deadline - now;
    return left > INT_MAX ? INT_MAX : (int)left;
}

void mw_clock_replace(uint64_t (*monotonic_ms)(void))
{
    replaced = monotonic_ms;
}
