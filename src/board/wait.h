/*
 * wait.h: sleep until another process changes a word of shared memory. A futex on Linux; elsewhere
 * a poll. Internal to board/.
 */
#ifndef MW_BOARD_WAIT_H
#define MW_BOARD_WAIT_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleep while the low half of *word is that of `expected`, at most timeout_ms (> 0), or until a
 * wake or a signal: the caller looks at the word again in any case. */
void mw_wait_sleep(const _Atomic uint64_t *word, uint64_t expected, uint64_t timeout_ms);

/* The word was changed: wake who sleeps on it, in whatever process. */
void mw_wait_wake(const _Atomic uint64_t *word);

/* Give others a moment, where waiting in mw_wait_sleep seems not to help. */
void mw_wait_pause(void);

#endif
