/*
 * spread.h: a number that is to differ from process to process, "1000~10%", so that what begins
 * together does not end together. Packed into one int64_t, as an option's field has it.
 */
#ifndef MW_SPREAD_H
#define MW_SPREAD_H

#include "base.h"

#define MW_SPREAD_PERCENT_MAX 50
#define MW_SPREAD_BASE_MAX ((INT64_C(1) << 48) - 1)

/* base is 0 to MW_SPREAD_BASE_MAX, percent 0 to MW_SPREAD_PERCENT_MAX; without percent it is base. */
int64_t mw_spread_pack(int64_t base, unsigned percent);
int64_t mw_spread_base(int64_t packed);
unsigned mw_spread_percent(int64_t packed);

/* A number from base - percent to base + percent, inclusive, each as likely as the others. The same
 * seed gives the same number; neighbouring seeds give numbers that have nothing to do with each other. */
int64_t mw_spread_pick(int64_t packed, uint64_t seed);

#endif
