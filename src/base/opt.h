/*
 * opt.h: options are rows. One row gives name, type, range, default and documentation; the parser,
 * the specification codec (wire/spec.c) and the table in docs/directives are driven by the rows.
 */
#ifndef MW_OPT_H
#define MW_OPT_H

#include "base.h"

enum mw_opt_type {
    MW_OPT_INT,    /* int64_t */
    MW_OPT_SECS,   /* int64_t, milliseconds; written as seconds, min/max/def in ms */
    MW_OPT_USECS,  /* int64_t, microseconds; written as seconds with decimals, min/max/def in us */
    MW_OPT_OCTAL,  /* int64_t, written in octal; def -1: not set */
    MW_OPT_BYTES,  /* int64_t; K, M or G may follow the number, times 1024 each; 0 if that is def */
    MW_OPT_BUFFER, /* int64_t; auto: MW_OPT_AUTO, off: 0, or as MW_OPT_BYTES */
    MW_OPT_INT_SPREAD,  /* as MW_OPT_INT; "~10%" may follow; the field is read with spread.h */
    MW_OPT_SECS_SPREAD, /* as MW_OPT_SECS; likewise */
    MW_OPT_BOOL,        /* int64_t 0/1; On|Off in any case */
    MW_OPT_STR,         /* const char *; not empty; NULL: not set */
    MW_OPT_DIR,         /* const char *; absolute path */
    MW_OPT_LINES /* as MW_OPT_STR; each use adds a line: whoever parses puts '\n' between them */
};

#define MW_OPT_AUTO (-1) /* the default of MW_OPT_BUFFER */

struct mw_opt {
    const char *name;
    enum mw_opt_type type;
    size_t off;       /* offsetof the field in the structure that the rows describe */
    int64_t min, max; /* inclusive; numbers only */
    int64_t def;      /* numbers only; strings default to NULL */
    const char *doc;  /* one sentence for the manual; the unit is in it */
};

/* Set every field that rows describe to its default. */
void mw_opt_defaults(const struct mw_opt *rows, size_t nrows, void *base);

/* The row of that name, or NULL. */
const struct mw_opt *mw_opt_find(const struct mw_opt *rows, size_t nrows, const char *name);

/* Parse value into base. Strings are borrowed: value must live as long as base. On MW_EINVAL, why
 * says what is allowed, e.g. "must be a whole number from 1 to 1024". Decimal digits only; nothing
 * may follow them. */
MW_MUST_CHECK int mw_opt_set(const struct mw_opt *row, void *base, const char *value, char *why,
                             size_t why_cap);

int mw_opt_is_string(const struct mw_opt *row);

/* Read and write a row's field, a number or a string. Nothing is checked. */
int64_t mw_opt_number(const struct mw_opt *row, const void *base);
const char *mw_opt_string(const struct mw_opt *row, const void *base);
void mw_opt_put_number(const struct mw_opt *row, void *base, int64_t v);
void mw_opt_put_string(const struct mw_opt *row, void *base, const char *v);

/* True if the field is what mw_opt_set or mw_opt_defaults could have put there. For values that
 * came from another process. */
int mw_opt_valid(const struct mw_opt *row, const void *base);

#endif
