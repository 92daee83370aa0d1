/*
 * test_exceptions.c: what the log shows of an exception is what Python's own traceback module prints,
 * and no exception ends more than its request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check.h"

/* Is the runtime's Python at least 3.<minor>? */
static int is_at_least(int minor)
{
    return strtol(rig_runtime()->version + 2, NULL, 10) >= minor;
}

/* The lines of a log at level "error" but for the first, as text. m's log is changed. */
static const char *traceback_of(struct chan_mem *m)
{
    static char text[1 << 20];
    const char *line = strchr(logged(m), '\n');
    size_t n = 0;

    assert_non_null(line);
    for (line++; *line; line = strchr(line, '\n') + 1) {
        size_t len = strcspn(line, "\n") + 1;
        assert_true(n + len < sizeof text);
        assert_memory_equal(line, "3 ", 2);
        memcpy(text + n, line + 2, len - 2);
        n += len - 2;
    }
    text[n] = 0;
    return text;
}

/* An exception of raising.py, its first line in the log, and the end of its request. */
struct raised {
    const char *callable;
    const char *first;
    int since; /* minor version of Python that has it */
};

static void check_raised(const struct raised *row)
{
    struct chan_mem want, got;

    if (!is_at_least(row->since))
        return;
    rig_request(&want, rig_app("raising.py"), "expected");
    chan_mem_pair(&want, "QUERY_STRING", row->callable);
    chan_mem_open(&want);
    rig_runtime()->serve(&want.chan);
    if (want.end != MW_END_COMPLETE)
        fail_msg("%s: %s", row->callable, logged(&want));
    rig_serve(&got, rig_app("raising.py"), row->callable);
    assert_int_equal(got.end, MW_END_FAILED);
    assert_int_equal(got.rsp.status, 0);
    assert_has(logged(&got), row->first);
    const char *text = traceback_of(&got);
    if (strcmp(text, body(&want)) != 0)
        fail_msg("%s: the log has\n%s\nbut should have\n%s", row->callable, text, body(&want));
    chan_mem_fini(&want);
    chan_mem_fini(&got);
}

static void test_exception_01_shown_as_python_does(void **state)
{
    static const struct raised rows[] = {
        {"plain", "3 WSGI0174: KeyError raised by the application of script '", 10},
        {"chained", "3 WSGI0174: ValueError raised by", 10},
        {"in_context", "3 WSGI0174: ValueError raised by", 10},
        {"without_context", "3 WSGI0174: ValueError raised by", 10},
        {"in_a_circle", "3 WSGI0174: KeyError raised by", 10},
        {"grouped", "3 WSGI0174: ExceptionGroup raised by", 11},
        {"base_group", "3 WSGI0174: BaseExceptionGroup raised by", 11},
        {"noted", "3 WSGI0174: KeyError raised by", 11},
        {"not_compiled", "3 WSGI0174: SyntaxError raised by", 10},
        {"needs_arguments", "3 WSGI0174: TypeError raised by", 10},
        {"no_text", "3 WSGI0174: NoText raised by", 10},
        {"odd_module", "3 WSGI0174: Odd raised by", 10},
        {"own_base", "3 WSGI0174: Own raised by", 10},
        {"stops", "3 WSGI0174: StopIteration raised by", 10},
        {"generator_exits", "3 WSGI0174: GeneratorExit raised by", 10},
        {"exits_with_text", "3 WSGI0175: SystemExit raised by", 10},
    };

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        check_raised(&rows[i]);
}

static void test_exception_02_frames_and_causes_are_there(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("raising.py"), "chained");
    assert_has(logged(&m), "raising.py\", line 9, in innermost\n3     raise error\n");
    assert_has(logged(&m), ", in middle\n3     innermost(error)\n");
    assert_has(logged(&m), "3 KeyError: 'the cause'\n");
    assert_has(logged(&m), "3 The above exception was the direct cause of the following exception");
    assert_has(logged(&m), ", in chained\n");
    assert_has(logged(&m), "3 ValueError: the effect\n");
    chan_mem_fini(&m);
    if (!is_at_least(11))
        return;
    rig_serve(&m, rig_app("raising.py"), "grouped");
    assert_has(logged(&m), "ExceptionGroup: outer group (3 sub-exceptions)\n");
    assert_has(logged(&m), "    | KeyError: 'one of them'\n");
    assert_has(logged(&m), "      | OSError: nested\n");
    assert_int_equal(count(logged(&m), ", in innermost\n"), 2);
    chan_mem_fini(&m);
}

/* Deep frames, and texts that no record holds. */
static void test_exception_03_long_ones(void **state)
{
    struct chan_mem m;

    (void)state;
    rig_serve(&m, rig_app("raising.py"), "recursive");
    assert_int_equal(m.end, MW_END_FAILED);
    assert_has(logged(&m), "more times]\n");
    assert_has(logged(&m), "3 RecursionError: maximum recursion depth exceeded");
    chan_mem_fini(&m);
    rig_serve(&m, rig_app("raising.py"), "long");
    assert_int_equal(count(logged(&m), "Q"), 100000 + 1); /* it is in the source, too */
    assert_has(logged(&m), " end of the text\n");
    chan_mem_fini(&m);
    rig_serve(&m, rig_app("raising.py"), "many_lines");
    assert_has(logged(&m), "3 ValueError: first\n3 \n3 third\n3 fourth\\x00nul\n");
    chan_mem_fini(&m);
}

static void test_exception_04_in_the_middle_of_an_answer(void **state)
{
    static const struct row rows[] = {
        {"exits_in_generator",
         0,
         MW_END_TRUNCATED,
         200,
         "block",
         NULL,
         NULL,
         {"3 WSGI0175: SystemExit raised by the response of script", "SystemExit: 4"}},
        {"interrupted_in_generator",
         0,
         MW_END_TRUNCATED,
         200,
         "block",
         NULL,
         NULL,
         {"3 WSGI0174: KeyboardInterrupt", ", in interrupted_in_generator"}},
        {"exits_in_close",
         0,
         MW_END_COMPLETE,
         200,
         "block",
         NULL,
         NULL,
         {"3 WSGI0194: SystemExit raised by close() of the response", "SystemExit: 5"}},
        {"interrupted_in_close",
         0,
         MW_END_COMPLETE,
         200,
         "block",
         NULL,
         NULL,
         {"3 WSGI0194: KeyboardInterrupt", ", in close"}},
        {"fails_in_iter",
         0,
         MW_END_FAILED,
         0,
         "",
         NULL,
         NULL,
         {"3 WSGI0174: LookupError", ", in __iter__", ", in innermost"}},
        {"exits_in_thread", 0, MW_END_COMPLETE, 200, "on its way", "10", NULL, {0}},
    };

    (void)state;
    CHECK_ROWS("raising.py", rows);
}

static void test_exception_05_while_a_script_is_imported(void **state)
{
    static const char *const rows[][3] = {
        {"import sys\nsys.exit('a last word')\n", "3 WSGI0107: SystemExit",
         "SystemExit: a last word"},
        {"raise KeyboardInterrupt\n", "3 WSGI0109: KeyboardInterrupt", "line 1, in <module>"},
        {"class Own(BaseException): pass\nraise Own\n", "3 WSGI0109: Own", "line 2, in <module>"},
        {"def f():\n    1 / 0\ntry:\n    f()\nexcept Exception as e:\n    raise KeyError(1) from e\n",
         "3 WSGI0109: KeyError", "line 2, in f\n3     1 / 0"},
        {"def application(:\n", "3 WSGI0105: SyntaxError", "line 1\n3     def application(:"},
    };
    struct folder *f = *state;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct chan_mem m;
        make_script(f->path, sizeof f->path, f->dir, rows[i][0]);
        assert_int_equal(serve_script(&m, f->path, 0), MW_END_FAILED);
        assert_has(logged(&m), rows[i][1]);
        assert_has(logged(&m), rows[i][2]);
        chan_mem_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exception_01_shown_as_python_does),
        cmocka_unit_test(test_exception_02_frames_and_causes_are_there),
        cmocka_unit_test(test_exception_03_long_ones),
        cmocka_unit_test(test_exception_04_in_the_middle_of_an_answer),
        IN_FOLDER(test_exception_05_while_a_script_is_imported),
    };

    return cmocka_run_group_tests_name("exceptions", tests, rig_start, rig_stop);
}
