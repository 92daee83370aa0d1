/*
 * check.h: what the programs of this directory share beyond the rig: applications of apps/ that are
 * asked, and answers that are held against what they must be.
 */
#ifndef CHECK_H
#define CHECK_H

#include <string.h>

#include "rig.h"

/* Start and stop the runtime around a group of tests. */
int rig_start(void **state);
int rig_stop(void **state);

static inline int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

#define assert_has(text, part)                         \
    do {                                               \
        if (!has(text, part))                          \
            fail_msg("no \"%s\" in:\n%s", part, text); \
    } while (0)

#define assert_lacks(text, part)                    \
    do {                                            \
        if (has(text, part))                        \
            fail_msg("\"%s\" in:\n%s", part, text); \
    } while (0)

static inline unsigned count(const char *text, const char *part)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

static inline const char *body(struct chan_mem *m)
{
    return chan_mem_text(&m->body);
}

static inline const char *logged(struct chan_mem *m)
{
    return chan_mem_text(&m->log);
}

static inline const char *events(struct chan_mem *m)
{
    return chan_mem_text(&m->events);
}

/* -- tables of requests -- */

struct row {
    const char *callable;
    unsigned flags;
    enum mw_end end;
    unsigned status; /* 0: no head */
    const char *body;
    const char *length; /* Content-Length field, or NULL: there is none */
    const char *events; /* NULL: any */
    const char *log[4]; /* each must be there */
};

/* A request of an application of apps/<script>. */
void check_row(const char *script, const struct row *row);
void check_rows(const char *script, const struct row *rows, size_t n);
#define CHECK_ROWS(script, rows) check_rows(script, rows, MW_ARRAY_LEN(rows))

/* -- expressions -- */

/* Prepare a request that answers with the repr of a Python expression. */
void ask(struct chan_mem *m, const char *expr);

/* Expressions and their values. prepare, which may be NULL, adds to each request. */
void check_answers(const char *const (*rows)[2], size_t n, void (*prepare)(struct chan_mem *m));

/* The value of an expression in an application group. Borrowed until the next call. */
const char *ask_in(const char *group, const char *expr);

/* -- scripts of a test's own -- */

struct folder {
    char dir[64];
    char path[128];
};

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
int make_folder(void **state);
int remove_folder(void **state);

/* Write <dir>/script.py, whose name is put into path. */
void make_script(char *path, size_t cap, const char *dir, const char *text);

/* A new modification time, whatever the resolution of the file system. */
void touch(const char *path, long second);

enum mw_end serve_script(struct chan_mem *m, const char *path, unsigned flags);
void check_script(const char *path, unsigned flags, const char *expected);
int has_changed(const char *path);

#endif
