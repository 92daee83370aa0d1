/*
 * KEY=VALUE by hand and from files: what is taken, what is refused and where, and that no message
 * holds a value.
 */
#include "samples.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env.h"

/* "NAME[value];" of everything that was set. */
struct seen {
    char text[1024];
    int stop_at; /* the how manieth call fails; 0: none */
    int calls;
};

static int note(void *ctx, const char *name, const char *value)
{
    struct seen *s = ctx;
    size_t n = strlen(s->text);

    s->calls++;
    snprintf(s->text + n, sizeof s->text - n, "%s[%s];", name, value);
    return s->calls == s->stop_at ? MW_ENOMEM : 0;
}

static int lines(const char *text, size_t n, struct seen *s, unsigned *line, const char **why)
{
    char *copy = malloc(n + 1);

    assert_non_null(copy);
    memcpy(copy, text, n);
    copy[n] = 0;
    *why = "";
    int rv = mw_env_lines(copy, n, s ? note : NULL, s, line, why);
    free(copy);
    return rv;
}

static void test_env_01_split(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *value; /* value NULL: refused */
    } rows[] = {
        {"A=1", "A", "1"},
        {"A=", "A", ""},
        {"_a9=x=y", "_a9", "x=y"},
        {" A = 1 \r", "A", "1"},
        {"A=$HOME `id` \\n", "A", "$HOME `id` \\n"},
        {"A=\" 1 \"", "A", " 1 "},
        {"A='\"'", "A", "\""},
        {"A=\"\"", "A", ""},
        {"A=it's", "A", "it's"},
        {"A=#1", "A", "#1"},
        {"A=caf\xc3\xa9\xff", "A", "caf\xc3\xa9\xff"},
        {"A", NULL, NULL},
        {"", NULL, NULL},
        {"=1", NULL, NULL},
        {"9A=1", NULL, NULL},
        {"A-B=1", NULL, NULL},
        {"export A=1", NULL, NULL},
        {"\xef\xbb\xbf"
         "A=1",
         NULL, NULL},
        {"A=\"1", NULL, NULL},
        {"A='1\"", NULL, NULL},
        {"A=\"", NULL, NULL},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        char text[64];
        const char *name = NULL, *value = NULL, *why = NULL;
        snprintf(text, sizeof text, "%s", rows[i].text);
        int rv = mw_env_split(text, &name, &value, &why);
        assert_int_equal(rv, rows[i].value ? 0 : MW_EINVAL);
        if (rows[i].value) {
            assert_string_equal(name, rows[i].name);
            assert_string_equal(value, rows[i].value);
        } else {
            assert_true(strlen(why) > 8);
        }
    }
}

static void test_env_02_lines(void **state)
{
    (void)state;
    static const char text[] = "# comment = 1\n\nA=1\r\n  \t\n   # B=2\n C = 3 # not a comment\n"
                               "D='x'\nA=again\nlast=no newline";
    struct seen s = {.text = ""};
    unsigned line;
    const char *why;

    assert_int_equal(lines(text, strlen(text), &s, &line, &why), 0);
    assert_string_equal(s.text, "A[1];C[3 # not a comment];D[x];A[again];last[no newline];");
    assert_int_equal(lines("", 0, &s, &line, &why), 0);
    assert_int_equal(s.calls, 5);
}

static void test_env_03_a_wrong_line_sets_nothing_and_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n; /* 0: strlen */
        unsigned line;
    } rows[] = {
        {"hunter2", 0, 1},
        {"A=1\nhunter2\nB=2\n", 0, 2},
        {"A=1\n\n# x\nB='hunter2\n", 0, 4},
        {"A=1\nB=hunter2\0x\n", 15, 2},
        {"\0A=hunter2", 10, 1},
        {"A=hunter2\n\0", 11, 2},
        {"A=1\nA B=hunter2", 0, 2},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        size_t n = rows[i].n ? rows[i].n : strlen(rows[i].text);
        struct seen s = {.text = ""};
        unsigned line;
        const char *why;
        assert_int_equal(lines(rows[i].text, n, &s, &line, &why), MW_EINVAL);
        assert_int_equal(line, rows[i].line);
        assert_int_equal(s.calls, 0);
        assert_true(strlen(why) > 8);
        assert_null(strstr(why, "hunter2"));
        assert_int_equal(lines(rows[i].text, n, NULL, &line, &why), MW_EINVAL);
        assert_int_equal(line, rows[i].line);
    }
}

static void test_env_04_a_failure_to_set_ends_it(void **state)
{
    (void)state;
    struct seen s = {.text = "", .stop_at = 2};
    unsigned line;
    const char *why;

    assert_int_equal(lines("A=1\nB=2\nC=3\n", 12, &s, &line, &why), MW_ENOMEM);
    assert_int_equal(line, 2);
    assert_string_equal(s.text, "A[1];B[2];");
}

/* -- files -- */

static char *write_file(const char *text, size_t n)
{
    static char path[] = "/tmp/mw-env-XXXXXX";

    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
    return path;
}

static void test_env_05_a_file(void **state)
{
    (void)state;
    struct seen s = {.text = ""};
    char why[256] = "";
    char *path = write_file("A=1\nB=2\n", 8);

    assert_int_equal(mw_env_file(path, note, &s, why, sizeof why), 0);
    assert_string_equal(s.text, "A[1];B[2];");
    assert_string_equal(why, "");
    assert_int_equal(mw_env_file(path, NULL, NULL, why, sizeof why), 0);
    unlink(path);
    assert_int_equal(mw_env_file(path, note, &s, why, sizeof why), MW_EIO);
    assert_non_null(strstr(why, path));
    assert_non_null(strstr(why, "No such file"));
    path = write_file("A=1\nB hunter2\n", 14);
    assert_int_equal(mw_env_file(path, note, &s, why, sizeof why), MW_EINVAL);
    assert_non_null(strstr(why, "line 2 of '"));
    assert_non_null(strstr(why, path));
    assert_null(strstr(why, "hunter2"));
    unlink(path);
    assert_int_equal(s.calls, 2);
}

static void test_env_06_what_is_no_file(void **state)
{
    (void)state;
    char why[256];
    char path[] = "/tmp/mw-fifo-XXXXXX";

    assert_int_equal(mw_env_file("/tmp", note, NULL, why, sizeof why), MW_EINVAL);
    assert_int_equal(mw_env_file("/dev/null", note, NULL, why, sizeof why), MW_EINVAL);
    assert_non_null(mkdtemp(path));
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(mw_env_file(path, note, NULL, why, sizeof why), MW_EINVAL);
    unlink(path);
}

static void test_env_07_the_limit(void **state)
{
    (void)state;
    char *text = malloc(MW_ENV_FILE_MAX + 1);
    char why[256];

    assert_non_null(text);
    memset(text, '#', MW_ENV_FILE_MAX + 1);
    for (size_t n = MW_ENV_FILE_MAX - 1; n <= MW_ENV_FILE_MAX + 1; n++) {
        char *path = write_file(text, n);
        assert_int_equal(mw_env_file(path, note, NULL, why, sizeof why),
                         n > MW_ENV_FILE_MAX ? MW_ELIMIT : 0);
        unlink(path);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_env_01_split),
        cmocka_unit_test(test_env_02_lines),
        cmocka_unit_test(test_env_03_a_wrong_line_sets_nothing_and_is_named),
        cmocka_unit_test(test_env_04_a_failure_to_set_ends_it),
        cmocka_unit_test(test_env_05_a_file),
        cmocka_unit_test(test_env_06_what_is_no_file),
        cmocka_unit_test(test_env_07_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
