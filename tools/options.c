/*
 * options.c: prints the options of WSGIDaemonProcess, from the rows that parse them, as a table of the
 * manual. Run by tools/docs.py.
 */
#include <inttypes.h>
#include <stdio.h>

#include "spec.h"
#include "spread.h"

/* As seconds, without zeros at the end. */
static void print_micros(int64_t v)
{
    int digits = 6;

    for (; digits && v % 10 == 0; digits--)
        v /= 10;
    int64_t unit = 1;
    for (int i = 0; i < digits; i++)
        unit *= 10;
    printf("%" PRId64, v / unit);
    if (digits)
        printf(".%0*" PRId64, digits, v % unit);
}

/* In the largest unit that divides it. */
static void print_bytes(int64_t v)
{
    static const char units[] = "KMG";
    int unit = -1;

    for (; v && v % 1024 == 0 && unit < 2; unit++)
        v /= 1024;
    printf("%" PRId64 "%.1s", v, unit < 0 ? "" : units + unit);
}

static void print_number(enum mw_opt_type type, int64_t v)
{
    if (type == MW_OPT_USECS)
        print_micros(v);
    else if (type == MW_OPT_BYTES)
        print_bytes(v);
    else if (type == MW_OPT_SECS && v % 1000)
        printf("%" PRId64 ".%03" PRId64, v / 1000, v % 1000);
    else if (type == MW_OPT_SECS || type == MW_OPT_SECS_SPREAD)
        printf("%" PRId64, v / 1000);
    else if (type == MW_OPT_OCTAL)
        printf("%04" PRIo64, (uint64_t)v);
    else
        printf("%" PRId64, v);
}

static void print_values(const struct mw_opt *row)
{
    switch (row->type) {
    case MW_OPT_BOOL:
        printf("`On`, `Off`");
        return;
    case MW_OPT_STR:
    case MW_OPT_LINES:
        printf("text");
        return;
    case MW_OPT_DIR:
        printf("absolute path");
        return;
    case MW_OPT_BUFFER:
        printf("`auto`, `off`, up to ");
        print_bytes(row->max);
        return;
    case MW_OPT_INT:
    case MW_OPT_SECS:
    case MW_OPT_USECS:
    case MW_OPT_OCTAL:
    case MW_OPT_BYTES:
    case MW_OPT_INT_SPREAD:
    case MW_OPT_SECS_SPREAD:
        break;
    }
    print_number(row->type, row->min);
    printf(" to ");
    print_number(row->type, row->max);
    if (row->type == MW_OPT_INT_SPREAD || row->type == MW_OPT_SECS_SPREAD)
        printf(", `~1%%` to `~%d%%`", MW_SPREAD_PERCENT_MAX);
}

/* A default that the parser would refuse stands for "not given". */
static void print_default(const struct mw_opt *row)
{
    if (row->type == MW_OPT_BUFFER && row->def == MW_OPT_AUTO)
        printf("`auto`");
    else if (mw_opt_is_string(row) || row->def < row->min || row->def > row->max)
        printf("not set");
    else if (row->type == MW_OPT_BOOL)
        printf(row->def ? "`On`" : "`Off`");
    else
        print_number(row->type, row->def);
}

int main(void)
{
    printf("| option | values | default | meaning |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < mw_spec_nopts; i++) {
        const struct mw_opt *row = &mw_spec_opts[i];
        printf("| `%s` | ", row->name);
        print_values(row);
        printf(" | ");
        print_default(row);
        printf(" | %s |\n", row->doc);
    }
    return 0;
}
