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

#define NAMES 8 /* T_A to T_H */
#define REPLACED "wsgi.run_once"

/* xorshift32 */
static uint32_t roll(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Short, long, or too long to be kept; of one digit, so that many are the same. */
static void make_value(char *out, uint32_t r)
{
    size_t n = r % 7 == 0 ? 300 : r % 7 == 1 ? 40 : 1;

    memset(out, (int)('0' + r / 7 % 3), n);
    out[n] = 0;
}

/* Requests of a few kinds in random order, with random values: each environ is what its own request says,
 * not what another one said that had the same names, or nearly the same. A name may come twice, or be one
 * that cannot be remembered, or that of a constant; and applications destroy their environ. */
static void test_environ_08_of_each_request_its_own(void **state)
{
    static const char *const kinds[] = {"ABCD",  "ABCD+",    "ABDC", "ABCDE", "HGFE",    "ABAB",
                                        "ABCDA", "ABCDEFGH", "",     "CCCC",  "ABCDEF!", "ABC?"};
    uint32_t seed = 4711;

    (void)state;
    for (int turn = 0; turn < 4000; turn++) {
        const char *kind = kinds[roll(&seed) % MW_ARRAY_LEN(kinds)];
        char value[16][301], last[NAMES][301] = {""}, expected[4000];
        int present[NAMES] = {0};
        size_t n = 0;
        struct chan_mem m;
        ask(&m, "(' '.join('%s=%s' % (k, environ[k]) for k in sorted(environ) if k[:2] == 'T_')"
                " + str(environ['wsgi.run_once']) + environ.get('HTTP_COOKIE', '-')"
                " + str(len([v for v in environ.values() if v is None])), environ.clear())[0]");
        m.head.app_group = MW_STR("own"); /* one that has not met too many names yet */
        chan_mem_pair(&m, REPLACED, kind[0] == 'H' ? "replaced" : "False");
        for (size_t i = 0; kind[i]; i++) {
            char name[8] = {'T', '_', kind[i], 0};
            make_value(value[i], roll(&seed));
            if (kind[i] == '+')
                chan_mem_pair(&m, "HTTP_COOKIE", value[i]);
            else if (kind[i] == '!')
                chan_mem_pair(&m,
                              "NOT_REMEMBERED_BECAUSE_IT_IS_LONGER_THAN_ANY_NAME_"
                              "THAT_THE_TABLE_HAS_ROOM_FOR",
                              value[i]);
            else if (kind[i] == '?')
                chan_mem_pair(&m, "wsgi.url_scheme", value[i]); /* as long, and not ours to give */
            else {
                chan_mem_pair(&m, name, value[i]);
                present[kind[i] - 'A'] = 1;
                memcpy(last[kind[i] - 'A'], value[i], sizeof last[0]);
            }
        }
        n += (size_t)snprintf(expected, sizeof expected, "'");
        for (int i = 0; i < NAMES; i++)
            if (present[i])
                n += (size_t)snprintf(expected + n, sizeof expected - n, "%sT_%c=%s",
                                      n > 1 ? " " : "", 'A' + i, last[i]);
        snprintf(expected + n, sizeof expected - n, "%s%s0'", kind[0] == 'H' ? "replaced" : "False",
                 strchr(kind, '+') ? value[4] : "-");
        chan_mem_open(&m);
        assert_int_equal(rig_runtime()->serve(&m.chan), MW_END_COMPLETE);
        assert_string_equal(body(&m), expected);
        chan_mem_fini(&m);
    }
}

/* A cookie is nobody's business once its request is over. */
static void test_environ_09_secrets_are_not_kept(void **state)
{
    static const char count[] =
        "sum(1 for d in __import__('gc').get_objects() if type(d) is dict and d is not environ and"
        " any(type(v) is str and v.startswith('sesame ') for v in list(d.values())))";
    struct chan_mem m;

    (void)state;
    for (int i = 0; i < 30; i++) {
        ask(&m, "environ['HTTP_COOKIE']");
        m.head.app_group = MW_STR("own");
        chan_mem_pair(&m, "HTTP_COOKIE", "sesame opens");
        chan_mem_pair(&m, "HTTP_AUTHORIZATION", "sesame opens");
        chan_mem_open(&m);
        rig_runtime()->serve(&m.chan);
        assert_string_equal(body(&m), "'sesame opens'");
        chan_mem_fini(&m);
    }
    assert_string_equal(ask_in("own", count), "0");
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
        cmocka_unit_test(test_environ_08_of_each_request_its_own),
        cmocka_unit_test(test_environ_09_secrets_are_not_kept),
    };

    return cmocka_run_group_tests_name("environ", tests, rig_start, rig_stop);
}
