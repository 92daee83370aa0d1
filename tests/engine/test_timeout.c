/*
 * test_timeout.c: RequestTimeout in requests whose time is over, and in nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#undef stop /* a macro of cmocka 2 */

#include "check.h"
#include "clock.h"

#define INNOCENT "790" /* what the application of that name answers */

/* Looks for requests whose time is over, as often as it can. */
static struct {
    pthread_t thread;
    int ending; /* atomic */
} looker;

static void *look(void *arg)
{
    const struct timespec pause = {.tv_nsec = 100000};

    (void)arg;
    while (!__atomic_load_n(&looker.ending, __ATOMIC_RELAXED)) {
        (void)rig_runtime()->expire();
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int start_all(void **state)
{
    return rig_start(state) || pthread_create(&looker.thread, NULL, look, NULL);
}

static int stop_all(void **state)
{
    __atomic_store_n(&looker.ending, 1, __ATOMIC_RELAXED);
    pthread_join(looker.thread, NULL);
    return rig_stop(state);
}

static enum mw_end serve(struct chan_mem *m, const char *group, const char *callable, uint32_t ms)
{
    rig_request(m, rig_app("timeout.py"), callable);
    m->check_gil = 0; /* others have it now and then */
    m->head.timeout_ms = ms;
    m->head.app_group = (struct mw_str){group, strlen(group)};
    m->head.flags |= *group ? MW_REQ_GROUP_EXPLICIT : 0;
    chan_mem_open(m);
    return rig_runtime()->serve(&m->chan);
}

/* The answer of a request that must be whole. Borrowed until the next call. */
static const char *whole(const char *group, const char *callable)
{
    static _Thread_local char text[200];
    struct chan_mem m;

    if (serve(&m, group, callable, 0) != MW_END_COMPLETE)
        fail_msg("%s ended as %s; log:\n%s", callable, mw_end_name(m.end), logged(&m));
    snprintf(text, sizeof text, "%s", body(&m));
    chan_mem_fini(&m);
    return text;
}

static void test_timeout_01_how_it_ends(void **state)
{
    static const struct {
        const char *callable;
        enum mw_end end;
        const char *body, *log; /* log NULL: nothing */
    } rows[] = {
        {"spins", MW_END_TIMEOUT, "", "3 WSGI0760: RequestTimeout raised by"},
        {"spins_after_start", MW_END_TIMEOUT, "", "the request gets 504"},
        {"spins_in_body", MW_END_TRUNCATED, "first", "the answer is cut"},
        {"closes", MW_END_TRUNCATED, "first", "the answer is cut"},
        {"spins_in_close", MW_END_COMPLETE, "first", "WSGI0194"},
        {"cleans_up", MW_END_TIMEOUT, "", "the request gets 504"},
        {"catches", MW_END_COMPLETE, "caught BaseException", NULL},
        {"catches_exceptions", MW_END_TIMEOUT, "", "in spin"},
        {"spins_in_callback", MW_END_TIMEOUT, "", "WSGI0112: RequestTimeout raised by a callback"},
        {"innocent", MW_END_COMPLETE, INNOCENT, NULL},
    };
    static const char *const groups[] = {"", "sub"};

    (void)state;
    for (size_t g = 0; g < MW_ARRAY_LEN(groups); g++) {
        for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
            struct chan_mem m;
            uint64_t began = mw_clock_ms();
            enum mw_end end = serve(&m, groups[g], rows[i].callable, 50);
            if (end != rows[i].end || strcmp(body(&m), rows[i].body) != 0)
                fail_msg("%s in '%s' ended as %s with '%s'; log:\n%s", rows[i].callable, groups[g],
                         mw_end_name(end), body(&m), logged(&m));
            if (rows[i].log)
                assert_has(logged(&m), rows[i].log);
            else
                assert_string_equal(logged(&m), "");
            assert_true(mw_clock_ms() - began < 15000);
            chan_mem_fini(&m);
            assert_string_equal(whole(groups[g], "innocent"), INNOCENT);
        }
        assert_string_equal(whole(groups[g], "closed"), "2");
        assert_string_equal(whole(groups[g], "cleaned"), "1");
    }
}

static void test_timeout_02_an_import_that_takes_too_long(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("slow_import.py"), "application");
    m.check_gil = 0;
    m.head.timeout_ms = 50;
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_TIMEOUT);
    assert_has(logged(&m), "RequestTimeout");
    chan_mem_fini(&m);
    assert_string_equal(whole("", "innocent"), INNOCENT);
}

static void test_timeout_03_no_limit_no_timeout(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("timeout.py"), "races");
    m.check_gil = 0;
    chan_mem_pair(&m, "QUERY_STRING", "200000");
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
    chan_mem_fini(&m);
}

static void test_timeout_04_expire_says_when_to_come_again(void **state)
{
    (void)state;
    uint64_t now = mw_clock_ms();
    uint64_t next = rig_runtime()->expire();
    assert_true(next > now && next <= mw_clock_ms() + 1000);
}

/* -- requests that end at the moment at which their time is over -- */

struct racer {
    const char *group;
    unsigned rounds;
    unsigned timeouts, in_time;
    char failure[400];
};

static int is_timeout(const struct chan_mem *m)
{
    return m->end == MW_END_TIMEOUT || m->end == MW_END_TRUNCATED;
}

/* One request that ends about when its time is over, in one of several ways. */
static void race(struct racer *rc, unsigned i)
{
    static const char *const callables[] = {"races", "races_in_body", "races_in_c",
                                            "races_and_raises"};
    const char *callable = callables[i % MW_ARRAY_LEN(callables)];
    int raises = callable == callables[3];
    struct chan_mem m;
    char us[20];

    snprintf(us, sizeof us, "%u", 500 + i * 37 % 2000);
    rig_request(&m, rig_app("timeout.py"), callable);
    chan_mem_pair(&m, "QUERY_STRING", us);
    m.check_gil = 0;
    m.head.timeout_ms = 1 + i % 2;
    m.head.app_group = (struct mw_str){rc->group, strlen(rc->group)};
    m.head.flags |= *rc->group ? MW_REQ_GROUP_EXPLICIT : 0;
    chan_mem_open(&m);
    enum mw_end end = rig_runtime()->serve(&m.chan);
    if (is_timeout(&m))
        rc->timeouts++;
    else if (end == MW_END_COMPLETE ? strncmp(body(&m), "in time", 7) == 0
                                    : raises && has(logged(&m), "ValueError: of its own"))
        rc->in_time++;
    else
        snprintf(rc->failure, sizeof rc->failure, "%s ended as %s with '%s': %.200s", callable,
                 mw_end_name(end), body(&m), logged(&m));
    chan_mem_fini(&m);
}

/* The next request of the same thread, which has all the time in the world. */
static void be_innocent(struct racer *rc)
{
    struct chan_mem m;
    enum mw_end end = serve(&m, rc->group, "innocent", 0);

    if (end != MW_END_COMPLETE || strcmp(body(&m), INNOCENT) != 0 || *logged(&m))
        snprintf(rc->failure, sizeof rc->failure, "an innocent request ended as %s: %.200s",
                 mw_end_name(end), logged(&m));
    chan_mem_fini(&m);
}

static void *race_often(void *arg)
{
    struct racer *rc = arg;

    for (unsigned i = 0; i < rc->rounds && !rc->failure[0]; i++) {
        race(rc, i);
        be_innocent(rc);
    }
    return NULL;
}

static void test_timeout_05_the_next_request_is_never_hit(void **state)
{
    struct racer rc[] = {{.group = "", .rounds = 2000}, {.group = "sub", .rounds = 1000}};
    pthread_t thread[MW_ARRAY_LEN(rc)];

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rc); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, race_often, &rc[i]), 0);
    for (size_t i = 0; i < MW_ARRAY_LEN(rc); i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 0; i < MW_ARRAY_LEN(rc); i++) {
        if (rc[i].failure[0])
            fail_msg("%s", rc[i].failure);
        print_message("'%s': %u timeouts, %u in time\n", rc[i].group, rc[i].timeouts,
                      rc[i].in_time);
        assert_true(rc[i].timeouts > 100); /* else it was no race */
        assert_true(rc[i].in_time > 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timeout_01_how_it_ends),
        cmocka_unit_test(test_timeout_02_an_import_that_takes_too_long),
        cmocka_unit_test(test_timeout_03_no_limit_no_timeout),
        cmocka_unit_test(test_timeout_04_expire_says_when_to_come_again),
        cmocka_unit_test(test_timeout_05_the_next_request_is_never_hit),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
