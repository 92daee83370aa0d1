/*
 * test_load.c: many threads, many requests, and what is left of them.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "check.h"

struct worker {
    pthread_t thread;
    unsigned number;
    unsigned failures;
};

/* Requests of several kinds in three interpreters, each thread its own sequence. */
static void *work(void *arg)
{
    static const char *const callables[] = {"one", "generator", "raises", "large", "streams"};
    static const char *const groups[] = {"", "one", "two"};
    struct worker *w = arg;
    const char *script = rig_app("output.py");
    char path[1024];

    snprintf(path, sizeof path, "%s", script);
    for (unsigned i = 0; i < 60; i++) {
        const char *callable = callables[(i + w->number) % MW_ARRAY_LEN(callables)];
        const char *group = groups[(i / 5 + w->number) % MW_ARRAY_LEN(groups)];
        struct chan_mem m;
        rig_request(&m, path, callable);
        m.check_gil = 0;
        m.head.app_group = (struct mw_str){group, strlen(group)};
        chan_mem_open(&m);
        enum mw_end end = rig_runtime()->serve(&m.chan);
        if (end != (strcmp(callable, "raises") == 0 ? MW_END_FAILED : MW_END_COMPLETE))
            w->failures++;
        if (strcmp(callable, "streams") == 0 && !has(logged(&m), "to stderr"))
            w->failures++;
        chan_mem_fini(&m);
    }
    return NULL;
}

static void run_workers(unsigned n)
{
    struct worker w[16] = {0};

    for (unsigned i = 0; i < n; i++) {
        w[i].number = i;
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].failures, 0);
    }
}

/* Thread states of the main interpreter, asked for while nothing else runs. */
static unsigned thread_states(void)
{
    void *(*main_interp)(void), *(*head)(void *), *(*next)(void *);
    unsigned n = 0;

    *(void **)&main_interp = dlsym(RTLD_DEFAULT, "PyInterpreterState_Main");
    *(void **)&head = dlsym(RTLD_DEFAULT, "PyInterpreterState_ThreadHead");
    *(void **)&next = dlsym(RTLD_DEFAULT, "PyThreadState_Next");
    assert_true(main_interp && head && next);
    for (void *ts = head(main_interp()); ts; ts = next(ts))
        n++;
    return n;
}

static void test_threads_01_many_at_once(void **state)
{
    unsigned before = thread_states();

    (void)state;
    run_workers(8);
    assert_int_equal(thread_states(), before); /* threads that end give their states back */
    run_workers(16);
    assert_int_equal(thread_states(), before);
}

struct loader {
    pthread_t thread;
    unsigned flags;
    const char *path;
    char answer[16];
};

static void *load_one(void *arg)
{
    struct loader *l = arg;
    struct chan_mem m;

    rig_request(&m, l->path, "application");
    m.head.flags |= l->flags;
    m.check_gil = 0;
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    snprintf(l->answer, sizeof l->answer, "%s", body(&m));
    chan_mem_fini(&m);
    return NULL;
}

static void make_slow_script(struct folder *f, long second)
{
    make_script(f->path, sizeof f->path, f->dir,
                "import sys, time\n"
                "sys.imports_seen = getattr(sys, 'imports_seen', 0) + 1\n"
                "time.sleep(0.5)\n"
                "def application(environ, start_response):\n"
                "    start_response('200 OK', [])\n"
                "    return [b'%d' % sys.imports_seen]\n");
    touch(f->path, second);
}

static void start_loaders(struct loader *l, size_t n, struct folder *f)
{
    for (size_t i = 0; i < n; i++) {
        l[i].path = f->path;
        l[i].flags = MW_REQ_RELOAD;
        assert_int_equal(pthread_create(&l[i].thread, NULL, load_one, &l[i]), 0);
    }
}

static void join_loaders(struct loader *l, size_t n, const char *answer)
{
    for (size_t i = 0; i < n; i++) {
        pthread_join(l[i].thread, NULL);
        assert_string_equal(l[i].answer, answer);
    }
}

/* Eight requests find the script not loaded, then changed: it is imported once each time, and
 * meanwhile others are served. */
static void test_threads_02_one_import_for_all(void **state)
{
    struct folder *f = *state;
    struct loader l[8];
    struct timespec before, after;

    make_slow_script(f, 1000);
    start_loaders(l, MW_ARRAY_LEN(l), f);
    clock_gettime(CLOCK_MONOTONIC, &before);
    check_row("output.py",
              &(struct row){"late_start", 0, MW_END_COMPLETE, 200, "late", NULL, NULL, {0}});
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                400);
    join_loaders(l, MW_ARRAY_LEN(l), "1");
    touch(f->path, 2000);
    start_loaders(l, MW_ARRAY_LEN(l), f);
    join_loaders(l, MW_ARRAY_LEN(l), "2");
}

static long resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long size = 0, resident = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void serve_mix(unsigned n)
{
    static const char *const callables[] = {
        "one",           "generator", "raises",     "write",        "closing",     "replaced",
        "started_twice", "streams",   "hop_by_hop", "file_wrapper", "str_in_list", "exits"};

    for (unsigned i = 0; i < n; i++) {
        struct chan_mem m;
        rig_request(&m, rig_app("output.py"), callables[i % MW_ARRAY_LEN(callables)]);
        if (i % 7 == 0)
            m.fail_at[CHAN_MEM_DATA] = 1;
        chan_mem_body(&m, "unread");
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        chan_mem_fini(&m);
    }
}

static long objects(void)
{
    return strtol(
        ask_in("", "[__import__('gc').collect(), len(__import__('gc').get_objects())][1]"), NULL,
        10);
}

static void test_load_01_nothing_is_leaked(void **state)
{
    (void)state;
    serve_mix(2000);
    long count_before = objects();
    long before = resident_kb();
    serve_mix(20000);
    long count_after = objects();
    long after = resident_kb();
    if (labs(count_after - count_before) > 20)
        fail_msg("%ld objects became %ld", count_before, count_after);
    if (!getenv("PYTHONMALLOC") && after - before > 1024)
        fail_msg("%ld kB resident became %ld kB", before, after);
}

/* How long a small answer takes; printed, and held against a limit that only a blunder exceeds. */
static void test_load_02_small_answers_are_quick(void **state)
{
    const unsigned n = 50000;
    struct timespec before, after;
    struct chan_mem m;

    (void)state;
    if (getenv("MW_SLOW"))
        skip();
    rig_request(&m, rig_app("output.py"), "one");
    for (unsigned i = 0; i < 20; i++) {
        static char name[20][24];
        snprintf(name[i], sizeof name[i], "HTTP_X_HEADER_%u", i);
        chan_mem_pair(&m, name[i], "some value of a header");
    }
    chan_mem_open(&m);
    m.check_gil = 0;
    const struct mw_chan_ops *ops = m.chan.ops;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (unsigned i = 0; i < n; i++) {
        mw_chan_init(&m.chan, ops, &m.req);
        mw_buf_clear(&m.answer);
        mw_buf_clear(&m.body);
        mw_buf_clear(&m.events);
        m.calls[CHAN_MEM_END] = 0;
        rig_runtime()->serve(&m.chan);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    double us = ((double)(after.tv_sec - before.tv_sec) * 1e9 +
                 (double)(after.tv_nsec - before.tv_nsec)) /
                1e3 / n;
    fprintf(stderr, "small answer: %.2f us\n", us);
    chan_mem_fini(&m);
    assert_true(us < 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_01_many_at_once),
        IN_FOLDER(test_threads_02_one_import_for_all),
        cmocka_unit_test(test_load_01_nothing_is_leaked),
        cmocka_unit_test(test_load_02_small_answers_are_quick),
    };

    return cmocka_run_group_tests_name("load", tests, rig_start, rig_stop);
}
