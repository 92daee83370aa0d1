/*
 * test_interp.c: application groups.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "check.h"

static void test_interp_01_groups_are_interpreters(void **state)
{
    (void)state;
    ask_in("", "setattr(__import__('sys'), 'mark', 'main')");
    ask_in("one", "setattr(__import__('sys'), 'mark', 'one')");
    ask_in("two", "setattr(__import__('sys'), 'mark', 'two')");
    assert_string_equal(ask_in("", "__import__('sys').mark"), "'main'");
    assert_string_equal(ask_in("one", "__import__('sys').mark"), "'one'");
    assert_string_equal(ask_in("two", "__import__('sys').mark"), "'two'");
    assert_string_equal(ask_in("one", "environ['mod_wsgi.application_group']"), "'one'");
    assert_string_equal(ask_in("two", "__import__('mod_wsgi').application_group"), "'two'");
    assert_string_equal(ask_in("two", "environ['wsgi.file_wrapper'] is "
                                      "__import__('mod_wsgi').FileWrapper"),
                        "True");
}

static void test_interp_02_errors_name_the_interpreter(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_request(&m, rig_app("output.py"), "raises");
    m.head.app_group = MW_STR("one");
    chan_mem_open(&m);
    assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_FAILED);
    assert_has(logged(&m), "in interpreter 'one'");
    assert_has(logged(&m), "KeyError: 'before the headers'");
    chan_mem_fini(&m);
}

static void *first_in_group(void *arg)
{
    struct chan_mem m;

    rig_request(&m, rig_app("output.py"), "one");
    m.head.app_group = MW_STR("made by a thread that ends");
    chan_mem_open(&m);
    *(enum mw_end *)arg = rig_runtime()->serve(&m.chan);
    chan_mem_fini(&m);
    return NULL;
}

/* An interpreter outlives every thread that was in it. */
static void test_interp_03_outlives_its_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        enum mw_end end = MW_END_FAILED;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, first_in_group, &end), 0);
        pthread_join(thread, NULL);
        assert_int_equal(end, MW_END_COMPLETE);
    }
    assert_string_equal(ask_in("made by a thread that ends", "1"), "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interp_01_groups_are_interpreters),
        cmocka_unit_test(test_interp_02_errors_name_the_interpreter),
        cmocka_unit_test(test_interp_03_outlives_its_threads),
    };

    return cmocka_run_group_tests_name("interp", tests, rig_start, rig_stop);
}
