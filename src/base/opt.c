/*
 * opt.c: parse values of options against their rows. Called while a configuration is read; pure.
 *
 * Strict on purpose: "10s", "1e3", " 5" and "" are mistakes of the operator, and the server that
 * silently reads them as something else is the one that is debugged at night.
 */
#include "opt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "spread.h"

#define NUMBER_CHARS_MAX 24 /* of the number before "~10%" */

int mw_opt_is_string(const struct mw_opt *row)
{
    return row->type == MW_OPT_STR || row->type == MW_OPT_DIR || row->type == MW_OPT_LINES;
}

void mw_opt_put_number(const struct mw_opt *row, void *base, int64_t v)
{
    memcpy((char *)base + row->off, &v, sizeof v);
}

void mw_opt_put_string(const struct mw_opt *row, void *base, const char *v)
{
    memcpy((char *)base + row->off, &v, sizeof v);
}

void mw_opt_defaults(const struct mw_opt *rows, size_t nrows, void *base)
{
    for (size_t i = 0; i < nrows; i++) {
        if (mw_opt_is_string(&rows[i]))
            mw_opt_put_string(&rows[i], base, NULL);
        else
            mw_opt_put_number(&rows[i], base, rows[i].def);
    }
}

const struct mw_opt *mw_opt_find(const struct mw_opt *rows, size_t nrows, const char *name)
{
    for (size_t i = 0; i < nrows; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

int64_t mw_opt_number(const struct mw_opt *row, const void *base)
{
    int64_t v;

    memcpy(&v, (const char *)base + row->off, sizeof v);
    return v;
}

const char *mw_opt_string(const struct mw_opt *row, const void *base)
{
    const char *v;

    memcpy(&v, (const char *)base + row->off, sizeof v);
    return v;
}

/* Digits of that radix and nothing else. MW_EINVAL also where the number exceeds int64_t. */
static int parse_digits(const char *s, int radix, int64_t *out)
{
    int64_t v = 0;

    if (!*s)
        return MW_EINVAL;
    for (; *s; s++) {
        int d = *s - '0';
        if (d < 0 || d >= radix || v > (INT64_MAX - d) / radix)
            return MW_EINVAL;
        v = v * radix + d;
    }
    *out = v;
    return 0;
}

/* "0.005" is 5000 millionths. At most six decimals, and no number without a digit. */
static int parse_millionths(const char *s, int64_t *out)
{
    char digits[32];
    size_t n = strcspn(s, ".");
    size_t decimals = s[n] ? strlen(s + n + 1) : 0;

    if (n + decimals == 0 || n > 12 || decimals > 6)
        return MW_EINVAL;
    memcpy(digits, s, n);
    memcpy(digits + n, s + n + 1, decimals);
    memset(digits + n + decimals, '0', 6 - decimals);
    digits[n + 6] = 0;
    return parse_digits(digits, 10, out);
}

/* A sign is read only where the row allows what it means. */
static int parse_whole(const struct mw_opt *row, const char *s, int64_t *out)
{
    int negative = row->type == MW_OPT_INT && row->min < 0 && *s == '-';
    int rv = parse_digits(s + negative, row->type == MW_OPT_OCTAL ? 8 : 10, out);

    if (rv == 0 && negative)
        *out = -*out;
    return rv;
}

/* "64M" is 67108864. */
static int parse_bytes(const char *s, int64_t *out)
{
    static const char units[] = "KMG";
    char digits[NUMBER_CHARS_MAX];
    size_t n = strcspn(s, units);
    unsigned shift = s[n] ? 10 * (unsigned)(strchr(units, s[n]) - units + 1) : 0;
    int64_t v;

    if (n >= sizeof digits || (s[n] && s[n + 1]))
        return MW_EINVAL;
    memcpy(digits, s, n);
    digits[n] = 0;
    if (parse_digits(digits, 10, &v) || v > INT64_MAX >> shift)
        return MW_EINVAL;
    *out = v << shift;
    return 0;
}

/* A size that is not limited, or left to us, can be written as 0 too. */
static int is_zero_default(const struct mw_opt *row, int64_t v)
{
    return v == 0 && row->type == MW_OPT_BYTES && row->def == 0;
}

static int parse_plain(const struct mw_opt *row, const char *s, int64_t *out)
{
    int64_t v = 0;
    int rv;

    if (row->type == MW_OPT_USECS)
        rv = parse_millionths(s, &v);
    else if (row->type == MW_OPT_BYTES || row->type == MW_OPT_BUFFER)
        rv = parse_bytes(s, &v);
    else
        rv = parse_whole(row, s, &v);
    if (rv)
        return rv;
    if (row->type == MW_OPT_SECS || row->type == MW_OPT_SECS_SPREAD) {
        if (v > INT64_MAX / 1000)
            return MW_EINVAL;
        v *= 1000;
    }
    if ((v < row->min || v > row->max) && !is_zero_default(row, v))
        return MW_EINVAL;
    *out = v;
    return 0;
}

static int is_spread(const struct mw_opt *row)
{
    return row->type == MW_OPT_INT_SPREAD || row->type == MW_OPT_SECS_SPREAD;
}

/* What follows the '~': "10%". */
static int parse_percent(const char *s, unsigned *out)
{
    size_t n = strlen(s);
    char digits[4];
    int64_t v;

    if (n < 2 || n > sizeof digits || s[n - 1] != '%')
        return MW_EINVAL;
    memcpy(digits, s, n - 1);
    digits[n - 1] = 0;
    if (parse_digits(digits, 10, &v) || v < 1 || v > MW_SPREAD_PERCENT_MAX)
        return MW_EINVAL;
    *out = (unsigned)v;
    return 0;
}

static int parse_number(const struct mw_opt *row, const char *s, int64_t *out)
{
    const char *tilde = is_spread(row) ? strchr(s, '~') : NULL;
    char number[NUMBER_CHARS_MAX];
    unsigned percent;
    int64_t base;

    if (!tilde)
        return parse_plain(row, s, out);
    size_t n = (size_t)(tilde - s);
    if (n >= sizeof number)
        return MW_EINVAL;
    memcpy(number, s, n);
    number[n] = 0;
    if (parse_plain(row, number, &base) || parse_percent(tilde + 1, &percent))
        return MW_EINVAL;
    *out = mw_spread_pack(base, percent);
    return 0;
}

static int parse_buffer(const struct mw_opt *row, const char *s, int64_t *out)
{
    if (strcasecmp(s, "auto") == 0)
        *out = MW_OPT_AUTO;
    else if (strcasecmp(s, "off") == 0)
        *out = 0;
    else
        return parse_number(row, s, out);
    return 0;
}

static int parse_bool(const char *s, int64_t *out)
{
    if (strcasecmp(s, "on") == 0)
        *out = 1;
    else if (strcasecmp(s, "off") == 0)
        *out = 0;
    else
        return MW_EINVAL;
    return 0;
}

static int spread_valid(const struct mw_opt *row, int64_t v)
{
    return v >= 0 && mw_spread_percent(v) <= MW_SPREAD_PERCENT_MAX &&
           mw_spread_base(v) >= row->min && mw_spread_base(v) <= row->max;
}

int mw_opt_valid(const struct mw_opt *row, const void *base)
{
    if (is_spread(row)) {
        int64_t v = mw_opt_number(row, base);
        return v == row->def || spread_valid(row, v);
    }
    if (!mw_opt_is_string(row)) {
        int64_t v = mw_opt_number(row, base);
        int64_t min = row->type == MW_OPT_BOOL ? 0 : row->min;
        int64_t max = row->type == MW_OPT_BOOL ? 1 : row->max;
        return v == row->def || (v >= min && v <= max);
    }
    const char *s = mw_opt_string(row, base);
    return !s || *s == '/' || (*s && row->type != MW_OPT_DIR);
}

/* Millionths as the operator would write them: "3600", "0.000001". */
static void put_millionths(char out[32], int64_t v)
{
    int n = snprintf(out, 32, "%" PRId64 ".%06" PRId64, v / 1000000, v % 1000000);

    while (out[n - 1] == '0')
        out[--n] = 0;
    if (out[n - 1] == '.')
        out[n - 1] = 0;
}

static void say_micros(const struct mw_opt *row, char *why, size_t cap)
{
    char min[32], max[32];

    put_millionths(min, row->min);
    put_millionths(max, row->max);
    snprintf(why, cap, "must be a number of seconds from %s to %s, with at most 6 decimals", min,
             max);
}

/* In the largest unit that divides it. */
static void put_bytes(char out[32], int64_t v)
{
    static const char units[] = "KMG";
    int unit = -1;

    while (v && v % 1024 == 0 && unit < 2) {
        v /= 1024;
        unit++;
    }
    snprintf(out, 32, "%" PRId64 "%.1s", v, unit < 0 ? "" : units + unit);
}

static void say_buffer(const struct mw_opt *row, char *why, size_t cap)
{
    char max[32];

    put_bytes(max, row->max);
    snprintf(why, cap,
             "must be auto, off or a whole number of bytes up to %s; K, M or G may follow it", max);
}

static void say_bytes(const struct mw_opt *row, char *why, size_t cap)
{
    char min[32], max[32];

    put_bytes(min, row->min);
    put_bytes(max, row->max);
    snprintf(why, cap, "must be %sa whole number of bytes from %s to %s; K, M or G may follow it",
             is_zero_default(row, 0) && row->min > 0 ? "0 or " : "", min, max);
}

static void say_spread(const struct mw_opt *row, char *why, size_t cap)
{
    int secs = row->type == MW_OPT_SECS_SPREAD;

    snprintf(why, cap,
             "must be a whole number%s from %" PRId64 " to %" PRId64
             "; ~1%% to ~%d%% may follow it",
             secs ? " of seconds" : "", secs ? (row->min + 999) / 1000 : row->min,
             secs ? row->max / 1000 : row->max, MW_SPREAD_PERCENT_MAX);
}

static void say_allowed(const struct mw_opt *row, char *why, size_t cap)
{
    switch (row->type) {
    case MW_OPT_INT:
        snprintf(why, cap, "must be a whole number from %" PRId64 " to %" PRId64, row->min,
                 row->max);
        break;
    case MW_OPT_SECS:
        snprintf(why, cap, "must be a whole number of seconds from %" PRId64 " to %" PRId64,
                 (row->min + 999) / 1000, row->max / 1000);
        break;
    case MW_OPT_USECS:
        say_micros(row, why, cap);
        break;
    case MW_OPT_BYTES:
        say_bytes(row, why, cap);
        break;
    case MW_OPT_BUFFER:
        say_buffer(row, why, cap);
        break;
    case MW_OPT_INT_SPREAD:
    case MW_OPT_SECS_SPREAD:
        say_spread(row, why, cap);
        break;
    case MW_OPT_OCTAL:
        snprintf(why, cap, "must be an octal number from %" PRIo64 " to %" PRIo64,
                 (uint64_t)row->min, (uint64_t)row->max);
        break;
    case MW_OPT_BOOL:
        snprintf(why, cap, "must be On or Off");
        break;
    case MW_OPT_STR:
    case MW_OPT_LINES:
        snprintf(why, cap, "must not be empty");
        break;
    case MW_OPT_DIR:
        snprintf(why, cap, "must be an absolute path");
        break;
    }
}

int mw_opt_set(const struct mw_opt *row, void *base, const char *value, char *why, size_t why_cap)
{
    int64_t number = 0;
    int rv = 0;

    switch (row->type) {
    case MW_OPT_INT:
    case MW_OPT_SECS:
    case MW_OPT_USECS:
    case MW_OPT_OCTAL:
    case MW_OPT_BYTES:
    case MW_OPT_INT_SPREAD:
    case MW_OPT_SECS_SPREAD:
        rv = parse_number(row, value, &number);
        break;
    case MW_OPT_BUFFER:
        rv = parse_buffer(row, value, &number);
        break;
    case MW_OPT_BOOL:
        rv = parse_bool(value, &number);
        break;
    case MW_OPT_STR:
    case MW_OPT_LINES:
        rv = *value ? 0 : MW_EINVAL;
        break;
    case MW_OPT_DIR:
        rv = *value == '/' ? 0 : MW_EINVAL;
        break;
    }
    if (rv) {
        say_allowed(row, why, why_cap);
        return rv;
    }
    if (mw_opt_is_string(row))
        mw_opt_put_string(row, base, value);
    else
        mw_opt_put_number(row, base, number);
    return 0;
}
