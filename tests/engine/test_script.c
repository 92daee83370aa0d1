/*
 * test_script.c: script files, how they are loaded and loaded again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "check.h"

#define ANSWER(text)                              \
    "N = globals().get('N', 0) + 1\n"             \
    "def application(environ, start_response):\n" \
    "    start_response('200 OK', [])\n"          \
    "    return [b'" text "%d' % N]\n"

static void test_script_01_reload_when_it_changed(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir, ANSWER("one"));
    touch(f->path, 1000000);
    assert_int_equal(has_changed(f->path), 0); /* not loaded yet */
    check_script(f->path, MW_REQ_RELOAD, "one1");
    assert_int_equal(has_changed(f->path), 0);
    check_script(f->path, MW_REQ_RELOAD, "one1");
    touch(f->path, 2000000);
    assert_int_equal(has_changed(f->path), 1);
    check_script(f->path, 0, "one1");          /* nobody asked */
    assert_int_equal(has_changed(f->path), 0); /* it was told once */
    touch(f->path, 2000001);
    assert_int_equal(has_changed(f->path), 1); /* again another one */
    touch(f->path, 1000000);
    assert_int_equal(has_changed(f->path), 0); /* as it was loaded */
    make_script(f->path, sizeof f->path, f->dir, ANSWER("two"));
    touch(f->path, 500000);                       /* older is different, too */
    check_script(f->path, MW_REQ_RELOAD, "two1"); /* a new module: N starts again */
    assert_int_equal(has_changed(f->path), 0);
    make_script(f->path, sizeof f->path, f->dir, ANSWER("other"));
    touch(f->path, 500000); /* same time, another size */
    check_script(f->path, MW_REQ_RELOAD, "other1");
}

static void test_script_02_failed_reload_is_tried_again(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    make_script(f->path, sizeof f->path, f->dir, ANSWER("good"));
    touch(f->path, 1000000);
    check_script(f->path, MW_REQ_RELOAD, "good1");
    make_script(f->path, sizeof f->path, f->dir, "def application(:\n");
    touch(f->path, 1000001);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(serve_script(&m, f->path, MW_REQ_RELOAD), MW_END_FAILED);
        assert_has(logged(&m), "WSGI0105: SyntaxError raised by script '");
        assert_has(logged(&m), "script.py\", line 1");
        chan_mem_fini(&m);
    }
    make_script(f->path, sizeof f->path, f->dir, ANSWER("again"));
    check_script(f->path, 0, "again1");
}

static void test_script_03_gone_script_goes_on_serving(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir, ANSWER("kept"));
    check_script(f->path, MW_REQ_RELOAD, "kept1");
    unlink(f->path);
    assert_int_equal(has_changed(f->path), 0);
    check_script(f->path, MW_REQ_RELOAD, "kept1");
}

static void test_script_04_missing(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    snprintf(f->path, sizeof f->path, "%s/missing.py", f->dir);
    assert_int_equal(serve_script(&m, f->path, 0), MW_END_NO_SCRIPT);
    assert_has(logged(&m), "WSGI0135: script '");
    assert_int_equal(m.rsp.status, 0);
    chan_mem_fini(&m);
    make_script(f->path, sizeof f->path, f->dir, ANSWER("now"));
    check_script(f->path, 0, "now1");
    assert_int_equal(serve_script(&m, f->dir, 0), MW_END_FAILED); /* a directory */
    assert_has(logged(&m), "cannot be read: Is a directory");
    chan_mem_fini(&m);
}

static void test_script_05_unreadable(void **state)
{
    struct folder *f = *state;
    char closed[128], path[160];
    struct chan_mem m;
    char expected[256];

    snprintf(closed, sizeof closed, "%s/closed", f->dir);
    assert_int_equal(mkdir(closed, 0755), 0);
    make_script(path, sizeof path, closed, ANSWER("x"));
    chmod(path, 0);
    chmod(f->dir, 0755);
    uid_t before = geteuid();
    if (before == 0)
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(serve_script(&m, path, 0), MW_END_UNREADABLE);
    snprintf(expected, sizeof expected, "may not read '%s'", path);
    assert_has(logged(&m), expected);
    chan_mem_fini(&m);
    assert_int_equal(seteuid(before), 0);
    chmod(closed, 0);
    if (before == 0)
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(serve_script(&m, path, 0), MW_END_UNREADABLE);
    snprintf(expected, sizeof expected, "may not enter directory '%s'", closed);
    assert_has(logged(&m), expected);
    chan_mem_fini(&m);
    assert_int_equal(seteuid(before), 0);
    chmod(closed, 0755);
    f->path[0] = 0;
}

static void test_script_06_faults_of_scripts(void **state)
{
    static const struct {
        const char *text;
        const char *log[3];
    } rows[] = {
        {"raise ValueError('at import')\n",
         {"WSGI0109: ValueError raised by script '", "line 1, in <module>",
          "ValueError: at import"}},
        {"import no_such_module_of_ours\n", {"WSGI0109: ModuleNotFoundError", NULL, NULL}},
        {"import sys\nsys.exit(1)\n", {"WSGI0107: SystemExit", NULL, NULL}},
        {"def other(e, s): pass\n", {"WSGI0089: script '", "has no callable 'application'", NULL}},
        {"application = 42\n", {"WSGI0089", "cannot be called", NULL}},
        {"", {"has no callable 'application'", NULL, NULL}},
        {"import sys\nsys.modules[__name__] = None\n",
         {"has no callable 'application'", NULL, NULL}},
        {"# coding: no-such-codec\n", {"WSGI0105: SyntaxError", NULL, NULL}},
    };
    struct folder *f = *state;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct chan_mem m;
        make_script(f->path, sizeof f->path, f->dir, rows[i].text);
        touch(f->path, 3000000 + (long)i);
        assert_int_equal(serve_script(&m, f->path, MW_REQ_RELOAD), MW_END_FAILED);
        for (size_t k = 0; k < 3 && rows[i].log[k]; k++)
            assert_has(logged(&m), rows[i].log[k]);
        chan_mem_fini(&m);
    }
}

static void test_script_07_source_encodings_and_bytes(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    make_script(f->path, sizeof f->path, f->dir,
                "# -*- coding: latin-1 -*-\n"
                "def application(e, start):\n"
                "    start('200 OK', [])\n"
                "    return [ascii('\xe9').encode()]\n");
    assert_int_equal(serve_script(&m, f->path, 0), MW_END_COMPLETE);
    assert_string_equal(body(&m), "'\\xe9'");
    chan_mem_fini(&m);
    FILE *file = fopen(f->path, "we");
    assert_non_null(file);
    fwrite("a = 1\0b\n", 1, 8, file);
    fclose(file);
    touch(f->path, 4000000);
    assert_int_equal(serve_script(&m, f->path, MW_REQ_RELOAD), MW_END_FAILED);
    assert_has(logged(&m), "null bytes");
    chan_mem_fini(&m);
}

static void test_script_08_output_of_an_import_goes_to_the_request(void **state)
{
    struct folder *f = *state;
    struct chan_mem m;

    make_script(f->path, sizeof f->path, f->dir, "print('importing')\n" ANSWER("x"));
    rig_log_clear();
    assert_int_equal(serve_script(&m, f->path, 0), MW_END_COMPLETE);
    assert_string_equal(logged(&m), "3 importing\n");
    assert_string_equal(rig_log(), "");
    chan_mem_fini(&m);
}

static void test_script_09_preload(void **state)
{
    struct folder *f = *state;
    const struct mw_py_runtime *py = rig_runtime();

    make_script(f->path, sizeof f->path, f->dir, "print('preloading')\n" ANSWER("x"));
    struct mw_str path = {f->path, strlen(f->path)};
    rig_log_clear();
    assert_int_equal(py->preload(path, MW_STR(""), 1, MW_STR("")), 0);
    assert_string_equal(rig_log(), "3 preloading\n");
    check_script(f->path, MW_REQ_RELOAD, "x1");
    assert_string_equal(rig_log(), "3 preloading\n");
    assert_int_equal(py->preload(MW_STR("/no/such/script.py"), MW_STR(""), 1, MW_STR("")),
                     MW_ENOENT);
    assert_has(rig_log(), "WSGI0135");
    make_script(f->path, sizeof f->path, f->dir, "1/0\n");
    path = (struct mw_str){f->path, strlen(f->path)};
    assert_int_equal(py->preload(path, MW_STR("elsewhere"), 1, MW_STR("")), MW_EIO);
    assert_has(rig_log(), "WSGI0109: ZeroDivisionError");
    assert_has(rig_log(), "in interpreter 'elsewhere'");
    make_script(f->path, sizeof f->path, f->dir, "other = 1\n");
    path = (struct mw_str){f->path, strlen(f->path)};
    assert_int_equal(py->preload(path, MW_STR("elsewhere"), 1, MW_STR("")), 0);
    assert_int_equal(py->preload(path, MW_STR("elsewhere"), 1, MW_STR("application")), MW_EIO);
    assert_has(rig_log(), "has no callable 'application'");
}

#define ASKING                                    \
    "import sys\n"                                \
    "sys.times = getattr(sys, 'times', 0) + 1\n"  \
    "def reload_required(resource):\n"            \
    "    print('asked about', resource)\n"        \
    "    if resource.endswith('wrong'):\n"        \
    "        raise LookupError(resource)\n"       \
    "    return resource.endswith('changed')\n"   \
    "def application(environ, start_response):\n" \
    "    start_response('200 OK', [])\n"          \
    "    return [b'%d' % sys.times]\n"

static const char *answer_for(const char *path, unsigned flags, const char *resource)
{
    static char answer[32];
    struct chan_mem m;

    rig_request(&m, path, "application");
    m.head.flags |= flags;
    chan_mem_pair(&m, "SCRIPT_FILENAME", resource);
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    snprintf(answer, sizeof answer, "%s", body(&m));
    chan_mem_fini(&m);
    return answer;
}

static void test_script_10_scripts_that_are_asked(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir, ASKING);
    rig_log_clear();
    assert_string_equal(answer_for(f->path, MW_REQ_RELOAD, "/changed"), "1"); /* not loaded yet */
    assert_string_equal(rig_log(), "");
    assert_string_equal(answer_for(f->path, MW_REQ_RELOAD, "/same"), "1");
    assert_string_equal(answer_for(f->path, MW_REQ_RELOAD, "/changed"), "2");
    assert_string_equal(rig_log(), "3 asked about /same\n3 asked about /changed\n");
    rig_log_clear();
    assert_string_equal(answer_for(f->path, 0, "/changed"), "2"); /* WSGIScriptReloading Off */
    assert_string_equal(rig_log(), "");
    assert_string_equal(answer_for(f->path, MW_REQ_RELOAD, "/wrong"), "2");
    assert_has(rig_log(), "3 WSGI0540: LookupError raised by reload_required() of script '");
    assert_has(rig_log(), "3 LookupError: /wrong\n");
    unlink(f->path); /* and now without it */
    rig_log_clear();
    make_script(f->path, sizeof f->path, f->dir, ANSWER("plain"));
    touch(f->path, 1000);
    check_script(f->path, MW_REQ_RELOAD, "plain1");
    check_script(f->path, MW_REQ_RELOAD, "plain1");
    assert_string_equal(rig_log(), "");
}

static uint64_t stamp_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return mw_req_stamp((int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000,
                        st.st_size, st.st_ino, st.st_dev);
}

static int has_changed_for(const char *path, uint64_t stamp)
{
    struct chan_mem m;

    rig_request(&m, path, "application");
    m.head.script_stamp = stamp;
    chan_mem_open(&m);
    int rv = rig_runtime()->changed(&m.req);
    chan_mem_fini(&m);
    return rv;
}

/* httpd has seen the state that is loaded: nobody looks again. Else the file decides, not the stamp, which
 * is an old one if the request has waited. */
static void test_script_11_what_httpd_saw_spares_a_look(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir, ANSWER("one"));
    touch(f->path, 1000000);
    uint64_t loaded = stamp_of(f->path);
    assert_int_equal(has_changed_for(f->path, loaded), 0); /* not loaded yet */
    check_script(f->path, MW_REQ_RELOAD, "one1");
    touch(f->path, 2000000);
    assert_int_equal(has_changed_for(f->path, loaded), 0); /* did not look */
    assert_int_equal(has_changed_for(f->path, stamp_of(f->path)), 1);
    assert_int_equal(has_changed_for(f->path, 0), 0);      /* it was told */
    check_script(f->path, MW_REQ_RELOAD, "one1");          /* again, N starts anew */
    assert_int_equal(has_changed_for(f->path, loaded), 0); /* looked, and it is the same */
    unlink(f->path);
    assert_int_equal(has_changed_for(f->path, loaded), 0);
}

/* reload_required() is asked although the file is the same. */
static void test_script_12_scripts_that_are_asked_are_asked_always(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir, ASKING);
    assert_string_not_equal(answer_for(f->path, MW_REQ_RELOAD, "/same"), "");
    rig_log_clear();
    assert_int_equal(has_changed_for(f->path, stamp_of(f->path)), 0);
    assert_has(rig_log(), "3 asked about ");
}

/* As a library may, to be more than a module. */
static void test_script_13_a_script_that_replaces_its_module(void **state)
{
    struct folder *f = *state;

    make_script(f->path, sizeof f->path, f->dir,
                "import sys\n"
                "class Site:\n"
                "    @staticmethod\n"
                "    def application(environ, start_response):\n"
                "        start_response('200 OK', [])\n"
                "        return [b'of an object']\n"
                "sys.modules[__name__] = Site()\n");
    check_script(f->path, 0, "of an object");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_script_01_reload_when_it_changed),
        IN_FOLDER(test_script_02_failed_reload_is_tried_again),
        IN_FOLDER(test_script_03_gone_script_goes_on_serving),
        IN_FOLDER(test_script_04_missing),
        IN_FOLDER(test_script_05_unreadable),
        IN_FOLDER(test_script_06_faults_of_scripts),
        IN_FOLDER(test_script_07_source_encodings_and_bytes),
        IN_FOLDER(test_script_08_output_of_an_import_goes_to_the_request),
        IN_FOLDER(test_script_09_preload),
        IN_FOLDER(test_script_10_scripts_that_are_asked),
        IN_FOLDER(test_script_11_what_httpd_saw_spares_a_look),
        IN_FOLDER(test_script_12_scripts_that_are_asked_are_asked_always),
        IN_FOLDER(test_script_13_a_script_that_replaces_its_module),
    };

    return cmocka_run_group_tests_name("script", tests, rig_start, rig_stop);
}
