/*
 * clock.h: the two clocks. Deadlines are absolute milliseconds of the monotonic clock.
 */
#ifndef MW_CLOCK_H
#define MW_CLOCK_H

#include <stdint.h>

#define MW_NO_DEADLINE UINT64_MAX

uint64_t mw_clock_ms(void);                    /* monotonic, ms */
uint64_t mw_clock_ns(void);                    /* the same in ns; not replaced in tests */
uint64_t mw_clock_epoch_us(void);              /* wall clock, microseconds since 1970 */
uint64_t mw_clock_deadline(uint64_t after_ms); /* now + after_ms, saturating at MW_NO_DEADLINE */

/* Milliseconds left for poll(2): 0 if passed, -1 for MW_NO_DEADLINE, at most INT_MAX. */
int mw_clock_poll_ms(uint64_t deadline);

/* For tests: NULL restores the real monotonic clock. */
void mw_clock_replace(uint64_t (*monotonic_ms)(void));

#endif
