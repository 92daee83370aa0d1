/*
 * options.c: prints the options of WSGIDaemonProcess, from the rows that parse them, as a table of the
 * manual. Run by tools/docs.py.
 */
#include <inttypes.h>
#include <stdio.h>

#include "spec.h"

static void print_number(enum mw_opt_type type, int64_t v)
{
    if (type == MW_OPT_SECS && v % 1000)
        printf("%" PRId64 ".%03" PRId64, v / 1000, v % 1000);
    else if (type == MW_OPT_SECS)
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
        printf("text");
        return;
    case MW_OPT_DIR:
        printf("absolute path");
        return;
    case MW_OPT_INT:
    case MW_OPT_SECS:
    case MW_OPT_OCTAL:
        break;
    }
    print_number(row->type, row->min);
    printf(" to ");
    print_number(row->type, row->max);
}

/* A default that the parser would refuse stands for "not given". */
static void print_default(const struct mw_opt *row)
{
    int text = row->type == MW_OPT_STR || row->type == MW_OPT_DIR;

    if (text || row->def < row->min || row->def > row->max)
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
