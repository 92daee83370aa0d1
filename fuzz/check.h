/*
 * check.h: what every fuzzer needs. The entry point is libFuzzer's; fuzz/driver.c calls it where
 * the compiler has no libFuzzer. A property that does not hold ends the program.
 */
#ifndef MW_FUZZ_CHECK_H
#define MW_FUZZ_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                   \
    do {                                                                              \
        if (!(what)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* The buffer holds exactly these bytes. */
static inline void check_same(const struct mw_buf *b, const uint8_t *p, size_t n)
{
    CHECK(b->err == 0);
    CHECK(mw_buf_size(b) == n);
    CHECK(n == 0 || memcmp(mw_buf_data(b), p, n) == 0);
}

#endif
