/*
 * wait.c: sleeping on a word of shared memory; see wait.h.
 *
 * Called by threads of httpd's children, by the supervisor and by workers. Never decides anything:
 * spurious and missed wake-ups are queue.c's business.
 */
#include "wait.h"

#include <limits.h>
#include <time.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define PAUSE_MS 1u
#define POLL_MAX_MS 32u /* without futex: how long a wake-up may go unnoticed by who sleeps long */

static void sleep_ms(uint64_t ms)
{
    struct timespec ts = {0, (long)ms * 1000000L};
    (void)nanosleep(&ts, NULL);
}

#ifdef __linux__

/* A futex is 32 bits: the half with the kind of a cell word. Shared, not private, as processes
 * meet. */
static const uint32_t *low_half(const _Atomic uint64_t *word)
{
    const uint32_t *half = (const uint32_t *)(const void *)word;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half++;
#endif
    return half;
}

void mw_wait_sleep(const _Atomic uint64_t *word, uint64_t expected, uint64_t timeout_ms)
{
    if (timeout_ms > INT_MAX) {
        timeout_ms = INT_MAX;
    }
    struct timespec ts = {(time_t)(timeout_ms / 1000), (long)(timeout_ms % 1000) * 1000000L};
    (void)syscall(SYS_futex, low_half(word), FUTEX_WAIT, (uint32_t)expected, &ts, NULL, 0);
}

void mw_wait_wake(const _Atomic uint64_t *word)
{
    (void)syscall(SYS_futex, low_half(word), FUTEX_WAKE, 1, NULL, NULL, 0);
}

#else

/* Seldom and more seldom, so that thousands may wait. */
void mw_wait_sleep(const _Atomic uint64_t *word, uint64_t expected, uint64_t timeout_ms)
{
    uint64_t ms = PAUSE_MS;
    while (timeout_ms > 0 && (uint32_t)atomic_load(word) == (uint32_t)expected) {
        ms = ms < timeout_ms ? ms : timeout_ms;
        sleep_ms(ms);
        timeout_ms -= ms;
        ms = ms * 2 < POLL_MAX_MS ? ms * 2 : POLL_MAX_MS;
    }
}

void mw_wait_wake(const _Atomic uint64_t *word)
{
    (void)word;
}

#endif

void mw_wait_pause(void)
{
    sleep_ms(PAUSE_MS);
}
