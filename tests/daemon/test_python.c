/*
 * test_python.c: supervisor, worker and the real Python runtime, still without httpd. How WSGI behaves in
 * all detail is the matter of tests/engine and tests/httpd; here it is what processes add to it.
 */
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"
#include "rig.h"

static const char *runtime(void)
{
    const char *path = getenv("MW_RUNTIME");
    if (!path)
        skip();
    return path;
}

static const char *app(const char *name)
{
    static char path[2048];
    snprintf(path, sizeof path, "%s/tests/daemon/apps/%s", MW_SRCDIR, name);
    return path;
}

/* A copy that every user may read. */
static void copy_app(const struct rig *r, const char *name, char *to, size_t cap)
{
    char text[8192];
    int in = open(app(name), O_RDONLY | O_CLOEXEC);

    snprintf(to, cap, "%s/%s", r->dir, name);
    int out = open(to, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(in >= 0 && out >= 0);
    ssize_t n = read(in, text, sizeof text);
    assert_true(n > 0 && n < (ssize_t)sizeof text);
    assert_int_equal(write(out, text, (size_t)n), n);
    close(in);
    close(out);
}

static void write_script(const struct rig *r, const char *body, char *to, size_t cap)
{
    snprintf(to, cap, "%s/app.py", r->dir);
    int fd = open(to, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_true(dprintf(fd,
                        "def application(environ, start_response):\n"
                        "    start_response('200 OK', [])\n"
                        "    return [b'%s']\n",
                        body) > 0);
    close(fd);
}

static void get(struct rig *r, const char *script, const char *query, struct answer *a)
{
    rig_ask_patiently(r, &(struct ask){.script = script, .query = query, .flags = MW_REQ_RELOAD},
                      a);
}

static void expect_body(struct rig *r, const char *script, const char *query, const char *body)
{
    struct answer a;

    get(r, script, query, &a);
    if (a.end != MW_END_COMPLETE || !a.body || strcmp(a.body, body) != 0)
        fail_msg("end %d, body %s, log %s\n%s", a.end, a.body ? a.body : "none", a.log, rig_log(r));
    assert_int_equal(a.status, 200);
    answer_fini(&a);
}

static void test_python_01_serves(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, runtime());
    rig_start_ready(&r);
    for (int i = 0; i < 50; i++)
        expect_body(&r, app("hello.py"), "", "hello");
    get(&r, app("hello.py"), "raise", &a);
    assert_int_equal(a.end, MW_END_FAILED);
    assert_non_null(strstr(a.log, "KeyError"));
    assert_non_null(strstr(a.log, "what the application says"));
    answer_fini(&a);
    get(&r, app("hello.py"), "stderr", &a);
    assert_int_equal(a.end, MW_END_COMPLETE);
    assert_non_null(strstr(a.log, "a line\n"));
    answer_fini(&a);
    rig_stop(&r);
}

static void test_python_02_bodies_of_all_sizes(void **state)
{
    static const size_t sizes[] = {1, MW_BODY_INLINE_MAX, MW_BODY_INLINE_MAX + 1, 1 << 20};
    static char body[1 << 20];
    struct answer a;
    struct rig r;

    (void)state;
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7 + i / 509);
    rig_init(&r, runtime());
    rig_start_ready(&r);
    for (size_t i = 0; i < MW_ARRAY_LEN(sizes); i++) {
        rig_ask(&r,
                &(struct ask){.script = app("echo.py"),
                              .body = body,
                              .body_n = sizes[i],
                              .inline_body = sizes[i] <= MW_BODY_INLINE_MAX},
                &a);
        assert_int_equal(a.end, MW_END_COMPLETE);
        assert_int_equal(a.n, sizes[i]);
        assert_memory_equal(a.body, body, sizes[i]);
        answer_fini(&a);
    }
    rig_stop(&r);
}

/* The answer of a request is that of the old code until another process has the new one. */
static void wait_body(struct rig *r, const char *script, const char *old, const char *text)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)(20000 * rig_slow()));
    struct answer a;

    for (;;) {
        rig_ask_patiently(r, &(struct ask){.script = script, .flags = MW_REQ_RELOAD}, &a);
        assert_int_equal(a.end, MW_END_COMPLETE);
        int is_new = strcmp(a.body, text) == 0;
        if (!is_new)
            assert_string_equal(a.body, old);
        answer_fini(&a);
        if (is_new)
            return;
        if (mw_clock_ms() > deadline)
            fail_msg("no '%s':\n%s", text, rig_log(r));
        poll(NULL, 0, 10);
    }
}

static void test_python_03_a_changed_script_is_served_by_another_process(void **state)
{
    char script[256], text[16], old[16] = "";
    struct rig r;

    (void)state;
    rig_init(&r, runtime());
    rig_start_ready(&r);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "version %d", i);
        write_script(&r, text, script, sizeof script);
        if (i > 0)
            wait_body(&r, script, old, text);
        expect_body(&r, script, "", text);
        expect_body(&r, script, "", text);
        poll(NULL, 0, 20); /* the clock of file times may be coarse */
        memcpy(old, text, sizeof old);
    }
    assert_int_equal(rig_log_times(&r, "is replaced: script changed: "), 2);
    rig_stop(&r);
}

static void test_python_04_preloads_and_atexit(void **state)
{
    static struct mw_preload preload[2];
    static char first[2048];
    struct rig r;

    (void)state;
    snprintf(first, sizeof first, "%s", app("broken.py"));
    preload[0] = (struct mw_preload){.script = {first, strlen(first)}, .app_group = {"", 0}};
    const char *second = app("atexit_line.py");
    preload[1] = (struct mw_preload){.script = {second, strlen(second)}, .app_group = {"", 0}};
    rig_init(&r, runtime());
    r.spec[0].preload = preload;
    r.spec[0].npreload = 2;
    rig_start_ready(&r);
    assert_true(rig_logged(&r, "broken on purpose"));
    assert_true(rig_logged(&r, "hello from import"));
    expect_body(&r, app("atexit_line.py"), "", "registered");
    assert_int_equal(rig_log_times(&r, "hello from import"), 1);
    mw_io_close(&r.life[1]);
    rig_wait_log(&r, "atexit ran", 10000);
    rig_stop(&r);
}

static void test_python_05_a_home_that_is_none(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, runtime());
    r.spec[0].python_home = "/nowhere";
    rig_start(&r);
    rig_wait_log(&r, "WSGI0562: worker 0 of group 'test'", 20000);
    assert_true(rig_logged(&r, "could not start Python: "));
    assert_true(rig_logged(&r, "/nowhere"));
    assert_true(rig_logged(&r, "next start in 1 s"));
    rig_stop(&r);
}

static void test_python_06_the_application_is_the_user(void **state)
{
    struct passwd *pw = getpwnam("nobody");
    char script[256], ids[128];
    struct rig r;

    (void)state;
    if (geteuid() != 0 || !pw)
        skip();
    rig_init(&r, runtime());
    r.spec[0].uid = pw->pw_uid;
    r.spec[0].gid = pw->pw_gid;
    r.spec[0].user_name = "nobody";
    r.spec[0].user_home = "/";
    copy_app(&r, "hello.py", script, sizeof script);
    rig_start_ready(&r);
    snprintf(ids, sizeof ids, "%d %d [%d]", (int)pw->pw_uid, (int)pw->pw_gid, (int)pw->pw_gid);
    expect_body(&r, script, "uid", ids);
    rig_stop(&r);
}

/* The descriptors 0 to 2 and the one that lists them; no signal blocked; none of our variables. */
static void test_python_07_what_the_application_starts_inherits_nothing_of_ours(void **state)
{
    struct rig r;

    (void)state;
    if (access("/usr/bin/python3", X_OK))
        skip();
    rig_init(&r, runtime());
    rig_start_ready(&r);
    expect_body(&r, app("hello.py"), "child", "[0, 1, 2, 3] set() None");
    rig_stop(&r);
}

static void test_python_08_ends_in_the_middle_of_starts(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct rig r;
        rig_init(&r, runtime());
        r.spec[0].processes = 2;
        rig_start(&r);
        poll(NULL, 0, i * 25);
        rig_stop(&r);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_python_01_serves),
        T(test_python_02_bodies_of_all_sizes),
        T(test_python_03_a_changed_script_is_served_by_another_process),
        T(test_python_04_preloads_and_atexit),
        T(test_python_05_a_home_that_is_none),
        T(test_python_06_the_application_is_the_user),
        T(test_python_07_what_the_application_starts_inherits_nothing_of_ours),
        T(test_python_08_ends_in_the_middle_of_starts),
    };
    const char *only = getenv("MW_ONLY"); /* part of a name */
    if (only)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
