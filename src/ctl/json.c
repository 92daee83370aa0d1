/*
 * json.c: see json.h.
 */
#include "json.h"

#include <string.h>

#include "utf8.h"

static void text(struct mw_json *j, struct mw_str s);

static void begin(struct mw_json *j, const char *name)
{
    if (j->comma)
        fputc(',', j->to);
    j->comma = 1;
    if (!name)
        return;
    text(j, (struct mw_str){name, strlen(name)});
    fputc(':', j->to);
}

void mw_json_open(struct mw_json *j, const char *name, char bracket)
{
    begin(j, name);
    fputc(bracket, j->to);
    j->comma = 0;
}

void mw_json_close(struct mw_json *j, char bracket)
{
    fputc(bracket, j->to);
    j->comma = 1;
}

void mw_json_number(struct mw_json *j, const char *name, uint64_t v)
{
    begin(j, name);
    fprintf(j->to, "%llu", (unsigned long long)v);
}

void mw_json_seconds(struct mw_json *j, const char *name, uint64_t ms)
{
    if (ms == MW_JSON_NULL) {
        mw_json_null(j, name);
        return;
    }
    begin(j, name);
    fprintf(j->to, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

void mw_json_flag(struct mw_json *j, const char *name, int v)
{
    begin(j, name);
    fputs(v ? "true" : "false", j->to);
}

void mw_json_null(struct mw_json *j, const char *name)
{
    begin(j, name);
    fputs("null", j->to);
}

static void text(struct mw_json *j, struct mw_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;

    fputc('"', j->to);
    for (size_t i = 0; i < s.n;) {
        size_t n = mw_utf8_length((struct mw_str){s.p + i, s.n - i});
        if (p[i] == '"' || p[i] == '\\')
            fprintf(j->to, "\\%c", p[i]);
        else if (p[i] == '\n')
            fputs("\\n", j->to);
        else if (p[i] < 0x20 || p[i] == 0x7f || n == 0)
            fprintf(j->to, "\\u%04x", p[i]);
        else
            fwrite(p + i, 1, n, j->to);
        i += n ? n : 1;
    }
    fputc('"', j->to);
}

void mw_json_string(struct mw_json *j, const char *name, struct mw_str s)
{
    begin(j, name);
    text(j, s);
}
