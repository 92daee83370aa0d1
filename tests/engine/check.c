/*
 * check.c: requests that are held against what they must lead to.
 */
#include "check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#undef stop /* a macro of cmocka 2 */

void check_row(const char *script, const struct row *row)
{
    struct chan_mem m;

    rig_request(&m, rig_app(script), row->callable);
    m.head.flags |= row->flags;
    chan_mem_open(&m);
    enum mw_end end = rig_runtime()->serve(&m.chan);
    if (end != row->end || m.end != row->end)
        fail_msg("%s ended as %s, not %s; log:\n%s", row->callable, mw_end_name(end),
                 mw_end_name(row->end), logged(&m));
    if (m.rsp.status != row->status || strcmp(body(&m), row->body) != 0)
        fail_msg("%s answered %u '%s'", row->callable, m.rsp.status, body(&m));
    const char *length = chan_mem_field(&m, "Content-Length", 0);
    if (!length != !row->length || (length && strcmp(length, row->length) != 0) ||
        chan_mem_field(&m, "Content-Length", 1))
        fail_msg("%s: Content-Length %s", row->callable, length ? length : "absent");
    if (row->events && strcmp(events(&m), row->events) != 0)
        fail_msg("%s: events %s", row->callable, events(&m));
    for (size_t i = 0; i < MW_ARRAY_LEN(row->log) && row->log[i]; i++)
        assert_has(logged(&m), row->log[i]);
    if (!row->log[0])
        assert_string_equal(logged(&m), "");
    chan_mem_fini(&m);
}

void check_rows(const char *script, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_row(script, &rows[i]);
}

void ask(struct chan_mem *m, const char *expr)
{
    rig_request(m, rig_app("ask.py"), "application");
    chan_mem_pair(m, "EXPR", expr);
}

void check_answers(const char *const (*rows)[2], size_t n, void (*prepare)(struct chan_mem *m))
{
    for (size_t i = 0; i < n; i++) {
        struct chan_mem m;
        ask(&m, rows[i][0]);
        if (prepare)
            prepare(&m);
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        if (m.end != MW_END_COMPLETE || strcmp(body(&m), rows[i][1]) != 0)
            fail_msg("%s is '%s', not '%s'; log:\n%s", rows[i][0], body(&m), rows[i][1],
                     logged(&m));
        chan_mem_fini(&m);
    }
}

const char *ask_in(const char *group, const char *expr)
{
    static char answer[512];
    struct chan_mem m;

    ask(&m, expr);
    m.head.app_group = (struct mw_str){group, strlen(group)};
    chan_mem_open(&m);
    if (rig_runtime()->serve(&m.chan) != MW_END_COMPLETE)
        fail_msg("%s in '%s':\n%s", expr, group, logged(&m));
    snprintf(answer, sizeof answer, "%s", body(&m));
    chan_mem_fini(&m);
    return answer;
}

void make_script(char *path, size_t cap, const char *dir, const char *text)
{
    snprintf(path, cap, "%s/script.py", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A new modification time, whatever the resolution of the file system. */
void touch(const char *path, long second)
{
    struct timespec t[2] = {{.tv_sec = second}, {.tv_sec = second}};

    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

enum mw_end serve_script(struct chan_mem *m, const char *path, unsigned flags)
{
    rig_request(m, path, "application");
    m->head.flags |= flags;
    chan_mem_open(m);
    return rig_runtime()->serve(&m->chan);
}

int has_changed(const char *path)
{
    struct chan_mem m;

    rig_request(&m, path, "application");
    chan_mem_open(&m);
    int rv = rig_runtime()->changed(&m.req);
    chan_mem_fini(&m);
    return rv;
}

void check_script(const char *path, unsigned flags, const char *expected)
{
    struct chan_mem m;
    enum mw_end end = serve_script(&m, path, flags);

    if (end != MW_END_COMPLETE || strcmp(body(&m), expected) != 0)
        fail_msg("%s: '%s' log:\n%s", mw_end_name(end), body(&m), logged(&m));
    chan_mem_fini(&m);
}

int make_folder(void **state)
{
    static struct folder f;

    snprintf(f.dir, sizeof f.dir, "/tmp/mw-engine-XXXXXX");
    *state = &f;
    return mkdtemp(f.dir) ? 0 : -1;
}

int remove_folder(void **state)
{
    struct folder *f = *state;
    char sub[160];

    unlink(f->path);
    snprintf(sub, sizeof sub, "%s/closed/script.py", f->dir);
    unlink(sub);
    snprintf(sub, sizeof sub, "%s/closed", f->dir);
    rmdir(sub);
    return rmdir(f->dir);
}

/* -- the runtime -- */

int rig_start(void **state)
{
    struct mw_py_config cfg = rig_config();
    char why[1024] = "";

    (void)state;
    if (rig_runtime()->abi != MW_PY_ABI || rig_runtime()->start(&cfg, why, sizeof why)) {
        fprintf(stderr, "start: %s\n", why);
        return -1;
    }
    return 0;
}

int rig_stop(void **state)
{
    (void)state;
    rig_runtime()->stop(5000, "");
    return 0;
}
