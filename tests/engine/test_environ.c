/*
 * test_environ.c: what an application finds in its environ and in the modules of the server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "check.h"

static void add_facts(struct chan_mem *m)
{
    m->head.flags |= MW_REQ_HTTPS | MW_REQ_MULTITHREAD;
    m->head.log_id = MW_STR("abc123");
    m->head.queue_us = 2500000;
    chan_mem_pair(m, "HTTP_X", "caf\xc3\xa9");
    chan_mem_pair(m, "SCRIPT_FILENAME", "/srv/caf\xc3\xa9/\xff.py");
    chan_mem_pair(m, "wsgi.url_scheme", "gopher");
    chan_mem_pair(m, "EMPTY", "");
    chan_mem_pair(m, "A_NAME_THAT_IS_LONGER_THAN_WHAT_THE_TABLE_OF_NAMES_TAKES_UP_FOR_LATER_USE",
                  "1");
}

static void test_environ_01_keys_of_wsgi(void **state)
{
    static const char *const rows[][2] = {
        {"type(environ) is dict", "True"},
        {"environ['wsgi.version']", "(1, 0)"},
        {"environ['wsgi.url_scheme']", "'https'"},
        {"environ['wsgi.multithread']", "True"},
        {"environ['wsgi.multiprocess']", "False"},
        {"environ['wsgi.run_once']", "False"},
        {"environ['wsgi.input_terminated']", "True"},
        {"environ['wsgi.file_wrapper'].__name__", "'FileWrapper'"},
        {"environ['wsgi.errors'] is errors", "True"},
        {"environ['REQUEST_METHOD']", "'GET'"},
        {"environ['HTTP_X']", "'caf\xc3\x83\xc2\xa9'"}, /* Latin-1, shown as UTF-8 */
        {"environ['SCRIPT_FILENAME']", "'/srv/caf\xc3\xa9/\\udcff.py'"},
        {"environ['EMPTY']", "''"},
        {"[v for k, v in environ.items() if len(k) > 70]", "['1']"},
        {"all(type(k) is str for k in environ)", "True"},
        {"[k for k, v in environ.items() if v is None]", "[]"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), add_facts);
}

static void test_environ_02_keys_of_mod_wsgi(void **state)
{
    static const char *const rows[][2] = {
        {"environ['mod_wsgi.version']", "(6, 0, 5)"},
        {"environ['mod_wsgi.process_group']", "''"},
        {"environ['mod_wsgi.application_group']", "''"},
        {"environ['mod_wsgi.callable_object']", "'application'"},
        {"environ['mod_wsgi.request_start']", "1.5"},
        {"environ['mod_wsgi.queue_start']", "2.5"},
        {"environ['mod_wsgi.daemon_start']", "0.0"},
        {"0 <= __import__('time').time() - environ['mod_wsgi.application_start'] < 60", "True"},
        {"environ['mod_wsgi.request_id']", "'abc123'"},
        {"type(environ['mod_wsgi.thread_id']), environ['mod_wsgi.thread_id'] > 0",
         "(<class 'int'>, True)"},
        {"environ['apache.version']", "(2, 4, 57)"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), add_facts);
}

static void test_environ_03_absent_keys(void **state)
{
    static const char *const rows[][2] = {
        {"'mod_wsgi.request_id' in environ", "False"},
        {"'CONTENT_LENGTH' in environ", "False"},
        {"environ['wsgi.url_scheme'], environ['wsgi.multithread']", "('http', False)"},
        {"'HTTP_X' in environ", "False"}, /* nothing is left of the request before */
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
}

static void test_environ_04_values_do_not_stick(void **state)
{
    static const char *const values[] = {"one", "two", "one", "", "onE", "one"};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(values); i++) {
        struct chan_mem m;
        char expected[16];
        ask(&m, "environ['HTTP_CHANGING'], environ.pop('REQUEST_METHOD')");
        chan_mem_pair(&m, "HTTP_CHANGING", values[i]);
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        snprintf(expected, sizeof expected, "('%s', ", values[i]);
        assert_has(body(&m), expected);
        chan_mem_fini(&m);
    }
}

static void test_environ_05_more_names_than_are_remembered(void **state)
{
    char name[600][16];

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        struct chan_mem m;
        ask(&m, "sum(environ['HTTP_N%d' % i] == 'v%d' % i for i in range(600))");
        for (unsigned i = 0; i < 600; i++) {
            char value[16];
            snprintf(name[i], sizeof name[i], "HTTP_N%u", i);
            snprintf(value, sizeof value, "v%u", i);
            chan_mem_pair(&m, name[i], value);
        }
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        assert_string_equal(body(&m), "600");
        chan_mem_fini(&m);
    }
}

static void test_environ_06_modules(void **state)
{
    static const char *const rows[][2] = {
        {"__import__('mod_wsgi').version", "(6, 0, 5)"},
        {"__import__('mod_wsgi').process_group", "''"},
        {"__import__('mod_wsgi').application_group", "''"},
        {"__import__('mod_wsgi').maximum_processes", "3"},
        {"__import__('mod_wsgi').threads_per_process", "7"},
        {"__import__('mod_wsgi').FileWrapper is environ['wsgi.file_wrapper']", "True"},
        {"__import__('apache').version", "(2, 4, 57)"},
        {"__import__('apache').description", "'Apache/2.4.57 (Test)'"},
        {"__import__('apache').maximum_processes, __import__('apache').threads_per_process",
         "(4, 25)"},
        {"__import__('apache').build_date, __import__('apache').mpm_name",
         "('2024-01-01T00:00:00', 'event')"},
        {"__import__('sys').argv", "['mod_wsgi']"},
        {"__import__('sys').flags.utf8_mode", "1"},
        {"__import__('sys').stderr.encoding, __import__('sys').stdout.errors",
         "('utf-8', 'replace')"},
        {"errors.isatty(), errors.writable(), errors.closed, errors.name",
         "(False, True, False, '<wsgi.errors>')"},
        {"__import__('signal').getsignal(2)", "<Handlers.SIG_DFL: 0>"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
}

static void test_environ_07_script_is_a_module(void **state)
{
    static const char *const rows[][2] = {
        {"(lambda f: f['__name__'] == '_mod_wsgi_' + __import__('hashlib')"
         ".md5(f['__file__'].encode()).hexdigest())(__import__('sys')._getframe(1).f_globals)",
         "True"},
        {"(lambda f: __import__('sys').modules[f['__name__']].application is f['application'])"
         "(__import__('sys')._getframe(1).f_globals)",
         "True"},
    };

    (void)state;
    check_answers(rows, MW_ARRAY_LEN(rows), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environ_01_keys_of_wsgi),
        cmocka_unit_test(test_environ_02_keys_of_mod_wsgi),
        cmocka_unit_test(test_environ_03_absent_keys),
        cmocka_unit_test(test_environ_04_values_do_not_stick),
        cmocka_unit_test(test_environ_05_more_names_than_are_remembered),
        cmocka_unit_test(test_environ_06_modules),
        cmocka_unit_test(test_environ_07_script_is_a_module),
    };

    return cmocka_run_group_tests_name("environ", tests, rig_start, rig_stop);
}
