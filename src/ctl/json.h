/*
 * json.h: JSON on standard output, one value after the other; commas come by themselves.
 */
#ifndef MW_CTL_JSON_H
#define MW_CTL_JSON_H

#include <stdio.h>

#include "base.h"

struct mw_json {
    FILE *to;
    int comma; /* something stands before in this object or array */
};

/* name: of the member, or NULL in an array and at the top. */
void mw_json_open(struct mw_json *j, const char *name, char bracket); /* '{' or '[' */
void mw_json_close(struct mw_json *j, char bracket);                  /* '}' or ']' */
void mw_json_number(struct mw_json *j, const char *name, uint64_t v);
void mw_json_seconds(struct mw_json *j, const char *name, uint64_t ms); /* MW_JSON_NULL: null */
void mw_json_flag(struct mw_json *j, const char *name, int v);
void mw_json_null(struct mw_json *j, const char *name);
/* Bytes that are not UTF-8 are shown as the characters of those numbers. */
void mw_json_string(struct mw_json *j, const char *name, struct mw_str s);

#define MW_JSON_NULL UINT64_MAX

#endif
