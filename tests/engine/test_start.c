/*
 * test_start.c: starting and stopping Python, each time in a process of its own. The parent never
 * loads a runtime; a child reports by its exit status and what it writes to standard error.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#undef stop /* a macro of cmocka 2 */

#include "clock.h"
#include "rig.h"

/* -- in a child -- */

#define EXPECT(condition)                                                                    \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\nlog:\n%s\n", __FILE__, __LINE__, #condition, \
                    rig_log());                                                              \
            _exit(1);                                                                        \
        }                                                                                    \
    } while (0)

#define EXPECT_HAS(text, part)                                                             \
    do {                                                                                   \
        if (!strstr(text, part)) {                                                         \
            fprintf(stderr, "%s:%d: no \"%s\" in:\n%s\n", __FILE__, __LINE__, part, text); \
            _exit(1);                                                                      \
        }                                                                                  \
    } while (0)

#define EXPECT_IS(text, whole)                                                               \
    do {                                                                                     \
        if (strcmp(text, whole) != 0) {                                                      \
            fprintf(stderr, "%s:%d: \"%s\", not \"%s\"\n", __FILE__, __LINE__, text, whole); \
            _exit(1);                                                                        \
        }                                                                                    \
    } while (0)

static char why[1024];

static int start(const struct mw_py_config *cfg)
{
    why[0] = 0;
    return rig_runtime()->start(cfg, why, sizeof why);
}

static void start_well(const struct mw_py_config *cfg)
{
    if (start(cfg)) {
        fprintf(stderr, "start: %s\n", why);
        _exit(1);
    }
}

static const char *ask(const char *group, int explicit_group, const char *expr)
{
    static char answer[4096];
    struct chan_mem m;

    rig_request(&m, rig_app("ask.py"), "application");
    chan_mem_pair(&m, "EXPR", expr);
    m.head.app_group = (struct mw_str){group, strlen(group)};
    m.head.flags |= explicit_group ? MW_REQ_GROUP_EXPLICIT : 0;
    m.check_gil = 0;
    chan_mem_open(&m);
    if (rig_runtime()->serve(&m.chan) != MW_END_COMPLETE)
        snprintf(answer, sizeof answer, "failed: %s", chan_mem_text(&m.log));
    else
        snprintf(answer, sizeof answer, "%s", chan_mem_text(&m.body));
    chan_mem_fini(&m);
    return answer;
}

static void serve(const char *script, const char *callable, const char *group)
{
    struct chan_mem m;

    rig_request(&m, rig_app(script), callable);
    m.head.app_group = (struct mw_str){group, strlen(group)};
    m.check_gil = 0;
    chan_mem_open(&m);
    enum mw_end end = rig_runtime()->serve(&m.chan);
    if (end != MW_END_COMPLETE) {
        fprintf(stderr, "%s: %s\n", callable, chan_mem_text(&m.log));
        _exit(1);
    }
    chan_mem_fini(&m);
}

/* Milliseconds that stop took. */
static uint64_t stop(uint64_t budget_ms)
{
    uint64_t before = mw_clock_ms();

    rig_runtime()->stop(budget_ms, "");
    return mw_clock_ms() - before;
}

/* -- in the parent -- */

/* Run `body` in a process of its own, which must exit with 0. */
static void in_child(void (*body)(void))
{
    int fd[2], status = 0;
    char text[8192];
    size_t n = 0;

    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fd[1], 2);
        dup2(fd[1], 1);
        close(fd[0]);
        close(fd[1]);
        alarm(100);
        body();
        _exit(0);
    }
    close(fd[1]);
    for (ssize_t k; n < sizeof text - 1 && (k = read(fd[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)k;
    text[n] = 0;
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("child: status %#x\n%s", status, text);
}

#define IN_CHILD(name)              \
    static void child_##name(void); \
    static void name(void **state)  \
    {                               \
        (void)state;                \
        in_child(child_##name);     \
    }                               \
    static void child_##name(void)

/* -- starting -- */

static void *ask_for_main_thread(void *arg)
{
    EXPECT_IS(ask("", 1,
                  "__import__('threading').current_thread() is "
                  "__import__('threading').main_thread()"),
              "False");
    return arg;
}

/* The standard library and the extensions are those of the Python that the plugin was built with.
 */
IN_CHILD(test_start_01_finds_its_own_prefix)
{
    struct mw_py_config cfg = rig_config();
    char expected[64];

    start_well(&cfg);
    snprintf(expected, sizeof expected, "'%s'", rig_runtime()->version);
    EXPECT_IS(ask("", 1, "'%d.%d' % __import__('sys').version_info[:2]"), expected);
    EXPECT_IS(ask("", 1,
                  "__import__('os').path.dirname(__import__('os').__file__).endswith("
                  "'/lib/python%d.%d' % __import__('sys').version_info[:2])"),
              "True");
    EXPECT_IS(ask("", 1, "__import__('sys').prefix == __import__('sys').base_prefix"), "True");
    EXPECT_IS(ask("", 1, "__import__('hashlib').md5(b'').hexdigest()[:8]"), "'d41d8cd9'");
    EXPECT_IS(ask("", 1, "__import__('ctypes').sizeof(__import__('ctypes').c_char)"), "1");
    EXPECT_IS(rig_log(), "");
}

IN_CHILD(test_start_12_main_thread_is_not_a_serving_one)
{
    struct mw_py_config cfg = rig_config();
    pthread_t thread;

    start_well(&cfg);
    EXPECT(pthread_create(&thread, NULL, ask_for_main_thread, NULL) == 0);
    pthread_join(thread, NULL);
}

IN_CHILD(test_start_02_path_and_working_directory)
{
    struct mw_py_config cfg = rig_config();
    char path[2048], cwd[1024];

    snprintf(path, sizeof path, "%s:/no/such/directory", rig_app("site"));
    snprintf(cwd, sizeof cwd, "%s", rig_app("cwd"));
    cfg.path = path;
    cfg.cwd_path = cwd;
    start_well(&cfg);
    for (int i = 0; i < 2; i++) {
        const char *group = i ? "sub" : "";
        EXPECT_HAS(ask(group, 1, "__import__('sys').path[0]"), "/apps/cwd'");
        EXPECT_HAS(ask(group, 1, "__import__('sys').path[1]"), "/apps/site'");
        EXPECT_IS(ask(group, 1, "__import__('in_site').WHERE"), "'site'");
        EXPECT_IS(ask(group, 1, "__import__('in_cwd').WHERE"), "'cwd'");
        EXPECT_IS(ask(group, 1, "__import__('by_pth').WHERE"), "'pth'"); /* by a .pth file */
    }
}

/* Leaves the process able to say what is wrong, and to go on. */
static void expect_refusal(const char *home, const char *part)
{
    struct mw_py_config cfg = rig_config();

    cfg.home = home;
    EXPECT(start(&cfg) < 0);
    EXPECT_HAS(why, part);
    EXPECT_HAS(why, home);
}

IN_CHILD(test_start_03_home_that_is_not_there)
{
    expect_refusal("/no/such/home", "cannot be used: No such file or directory");
}

IN_CHILD(test_start_04_home_that_is_a_file)
{
    expect_refusal(rig_app("ask.py"), "is not a directory");
}

IN_CHILD(test_start_05_home_without_python)
{
    expect_refusal("/tmp", "is no installation of Python ");
}

static char venv[64];

static void write_file(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", venv, name);
    FILE *f = fopen(path, "we");
    EXPECT(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void make_dir(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", venv, name);
    EXPECT(mkdir(path, 0755) == 0);
}

static void remove_venv(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", venv);
    EXPECT(system(command) == 0);
}

static void make_venv(const char *version, const char *base)
{
    char text[512];

    snprintf(venv, sizeof venv, "/tmp/mw-venv-XXXXXX");
    EXPECT(mkdtemp(venv) != NULL);
    make_dir("bin");
    make_dir("lib");
    snprintf(text, sizeof text, "lib/python%s", version);
    make_dir(text);
    snprintf(text, sizeof text, "lib/python%s/site-packages", version);
    make_dir(text);
    snprintf(text, sizeof text, "home = %s\nversion = %s\n", base, version);
    write_file("pyvenv.cfg", text);
}

IN_CHILD(test_start_06_venv_of_another_version)
{
    make_venv("3.4", "/usr/bin");
    expect_refusal(venv, "is a virtual environment of another Python version");
    remove_venv();
}

IN_CHILD(test_start_07_venv_whose_python_is_gone)
{
    make_venv(rig_runtime()->version, "/no/such/bin");
    expect_refusal(venv, "whose Python in '/no/such/bin' is not there any more");
    remove_venv();
}

/* Where the Python that the plugin was built with has its executable. */
static void find_base(char out[512])
{
    char text[500];
    int fd[2];
    ssize_t n;

    EXPECT(pipe(fd) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct mw_py_config cfg = rig_config();
        start_well(&cfg);
        const char *prefix = ask("", 1, "__import__('sys').base_prefix");
        EXPECT(write(fd[1], prefix, strlen(prefix)) > 0);
        _exit(0);
    }
    close(fd[1]);
    n = read(fd[0], text, sizeof text);
    EXPECT(n > 2);
    snprintf(out, 512, "%.*s/bin", (int)n - 2, text + 1); /* without the quotes of repr */
    close(fd[0]);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}

IN_CHILD(test_start_08_venv)
{
    struct mw_py_config cfg = rig_config();
    char base[512], text[700], link[128];

    find_base(base);
    make_venv(rig_runtime()->version, base);
    snprintf(text, sizeof text, "%s/python%s", base, rig_runtime()->version);
    snprintf(link, sizeof link, "%s/bin/python", venv);
    EXPECT(symlink(text, link) == 0);
    snprintf(text, sizeof text, "lib/python%s/site-packages/in_venv.py", rig_runtime()->version);
    write_file(text, "WHERE = 'venv'\n");
    cfg.home = venv;
    start_well(&cfg);
    snprintf(text, sizeof text, "'%s'", venv);
    EXPECT_IS(ask("", 1, "__import__('sys').prefix"), text);
    EXPECT_IS(ask("", 1, "__import__('in_venv').WHERE"), "'venv'");
    EXPECT_IS(ask("sub", 1, "__import__('in_venv').WHERE"), "'venv'");
    EXPECT_IS(ask("", 1, "__import__('sys').base_prefix != __import__('sys').prefix"), "True");
    EXPECT_IS(ask("", 1, "__import__('hashlib').md5(b'').hexdigest()[:8]"), "'d41d8cd9'");
    remove_venv();
}

IN_CHILD(test_start_09_installation_as_home)
{
    struct mw_py_config cfg = rig_config();
    char base[512];

    find_base(base);
    base[strlen(base) - 4] = 0; /* "/bin" */
    cfg.home = base;
    start_well(&cfg);
    EXPECT_IS(ask("", 1, "__import__('hashlib').md5(b'').hexdigest()[:8]"), "'d41d8cd9'");
}

/* A stdlib that is there but broken: Python's own words, and the process lives. */
IN_CHILD(test_start_10_broken_standard_library)
{
    struct mw_py_config cfg = rig_config();
    char text[128];

    make_venv(rig_runtime()->version, "/usr/bin");
    snprintf(text, sizeof text, "%s/pyvenv.cfg", venv);
    unlink(text);
    snprintf(text, sizeof text, "lib/python%s/os.py", rig_runtime()->version);
    write_file(text, "");
    cfg.home = venv;
    EXPECT(start(&cfg) < 0);
    EXPECT_HAS(why, "does not start with home '");
    remove_venv();
}

IN_CHILD(test_start_11_signals_stay_as_they_are)
{
    struct mw_py_config cfg = rig_config();
    struct sigaction sa;

    start_well(&cfg);
    ask("", 1, "__import__('signal')");
    EXPECT(sigaction(SIGINT, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    EXPECT(sigaction(SIGTERM, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    EXPECT(sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
}

/* -- daemon groups -- */

static struct mw_py_config daemon_config(void)
{
    struct mw_py_config cfg = rig_config();

    cfg.process_group = "blog";
    cfg.main_alias = 1;
    return cfg;
}

IN_CHILD(test_daemon_01_first_group_runs_in_main)
{
    struct mw_py_config cfg = daemon_config();

    start_well(&cfg);
    ask("", 1, "setattr(__import__('sys'), 'mark', 'main')");
    EXPECT_IS(ask("explicit", 1, "getattr(__import__('sys'), 'mark', 'sub')"), "'sub'");
    EXPECT_IS(ask("explicit", 0, "getattr(__import__('sys'), 'mark', 'sub')"), "'sub'");
    EXPECT_IS(ask("www.example.com|", 0, "getattr(__import__('sys'), 'mark', 'sub')"), "'main'");
    EXPECT_IS(ask("second", 0, "getattr(__import__('sys'), 'mark', 'sub')"), "'sub'");
    EXPECT_IS(ask("www.example.com|", 1, "getattr(__import__('sys'), 'mark', 'sub')"), "'main'");
    EXPECT_IS(ask("", 1, "getattr(__import__('sys'), 'mark', 'sub')"), "'main'");
    EXPECT_IS(ask("www.example.com|", 0, "environ['mod_wsgi.application_group']"),
              "'www.example.com|'");
    EXPECT_IS(ask("www.example.com|", 0, "__import__('mod_wsgi').application_group"),
              "'www.example.com|'");
    EXPECT_IS(ask("", 1, "environ['mod_wsgi.application_group']"), "''");
    EXPECT_IS(ask("", 1, "__import__('mod_wsgi').process_group"), "'blog'");
}

IN_CHILD(test_daemon_02_preload_names_main)
{
    struct mw_py_config cfg = daemon_config();
    const char *script = rig_app("ask.py");

    start_well(&cfg);
    EXPECT(rig_runtime()->preload((struct mw_str){script, strlen(script)}, MW_STR("site"), 0,
                                  MW_STR("")) == 0);
    ask("", 1, "setattr(__import__('sys'), 'mark', 'main')");
    EXPECT_IS(ask("site", 0, "getattr(__import__('sys'), 'mark', 'sub')"), "'main'");
}

IN_CHILD(test_daemon_03_serve_does_not_reload)
{
    struct mw_py_config cfg = daemon_config();
    char path[] = "/tmp/mw-script-XXXXXX";
    static const char text[] = "def application(e, s):\n    s('200 OK', [])\n    return [b'%c']\n";
    int fd = mkstemp(path);

    start_well(&cfg);
    for (int i = 0; i < 3; i++) {
        struct timespec t[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        struct chan_mem m;
        char source[128];
        int n = snprintf(source, sizeof source, text, 'a' + i);
        EXPECT(pwrite(fd, source, (size_t)n, 0) == n && futimens(fd, t) == 0);
        rig_request(&m, path, "application");
        m.head.flags |= MW_REQ_RELOAD;
        chan_mem_open(&m);
        EXPECT(rig_runtime()->changed(&m.req) == (i > 0));
        EXPECT(rig_runtime()->serve(&m.chan) == MW_END_COMPLETE);
        EXPECT_IS(chan_mem_text(&m.body), "a");
        chan_mem_fini(&m);
    }
    close(fd);
    unlink(path);
}

IN_CHILD(test_daemon_04_times_of_a_request)
{
    struct mw_py_config cfg = daemon_config();
    struct chan_mem m;

    start_well(&cfg);
    rig_request(&m, rig_app("ask.py"), "application");
    chan_mem_pair(&m, "EXPR",
                  "1e9 < environ['mod_wsgi.daemon_start'] "
                  "<= environ['mod_wsgi.application_start'], "
                  "environ['mod_wsgi.process_group']");
    m.head.process_group = MW_STR("blog");
    chan_mem_open(&m);
    rig_runtime()->serve(&m.chan);
    EXPECT_IS(chan_mem_text(&m.body), "(True, 'blog')");
    chan_mem_fini(&m);
}

/* -- stopping -- */

IN_CHILD(test_stop_01_exit_functions_of_each_interpreter)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "functions", "");
    serve("ending.py", "functions", "one");
    serve("ending.py", "functions", "two");
    EXPECT(stop(5000) < 3000);
    EXPECT_HAS(rig_log(), "3 atexit in ''\n");
    EXPECT_HAS(rig_log(), "3 atexit in 'one'\n");
    EXPECT_HAS(rig_log(), "3 atexit in 'two'\n");
}

IN_CHILD(test_stop_02_exit_function_that_fails)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "failing_function", "");
    EXPECT(stop(5000) < 3000);
    EXPECT_HAS(rig_log(), "atexit went wrong");
    EXPECT_HAS(rig_log(), "3 the other one\n");
}

IN_CHILD(test_stop_03_threads_are_joined_before_exit_functions)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "short_thread", "");
    EXPECT(stop(10000) < 8000);
    EXPECT_HAS(rig_log(), "3 thread done\n3 after the thread\n");
}

IN_CHILD(test_stop_04_endless_thread_is_left_behind)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "endless_thread", "sub");
    serve("ending.py", "functions", "");
    EXPECT(stop(1000) < 3000);
    EXPECT_HAS(rig_log(), "3 atexit all the same\n");
    EXPECT_HAS(rig_log(), "3 atexit in ''\n");
}

IN_CHILD(test_stop_05_endless_exit_function)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "endless_function", "sub");
    serve("ending.py", "functions", "");
    uint64_t ms = stop(1000);
    EXPECT(ms >= 1000 && ms < 3000);
    EXPECT_HAS(rig_log(), "3 atexit in ''\n");
    EXPECT_HAS(rig_log(), "4 WSGI0537: 1 interpreter");
}

IN_CHILD(test_stop_06_executors_are_told_to_end)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "executor", "");
    serve("ending.py", "executor", "sub");
    EXPECT(stop(10000) < 5000);
    EXPECT_IS(rig_log(), "");
}

IN_CHILD(test_stop_07_last_line_without_newline)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "unfinished_line", "");
    stop(5000);
    EXPECT_IS(rig_log(), "3 no newline\n");
}

IN_CHILD(test_stop_08_from_the_thread_that_started)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    EXPECT(stop(0) < 2000);    /* no budget at all */
    EXPECT(stop(1000) < 2000); /* twice does no harm */
}

IN_CHILD(test_stop_09_applications_are_told_why)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("module.py", "subscribe_shutdown", "one");
    serve("module.py", "subscribe_shutdown", "two");
    serve("ending.py", "functions", "one");
    serve("module.py", "thread_until_stopped", "three");
    rig_runtime()->stop(10000, MW_PY_STOP_RELOAD);
    EXPECT_HAS(rig_log(), "3 group two process_stopping [('shutdown_reason', 'script_reload')]\n");
    EXPECT_HAS(rig_log(), "3 the thread was told\n");
    const char *told = strstr(rig_log(), "3 group one process_stopping ");
    EXPECT(told && strstr(told, "3 atexit in 'one'\n")); /* first of all */
    rig_log_clear();
    stop(1000);
    EXPECT_IS(rig_log(), "");
}

IN_CHILD(test_stop_10_unfinished_lines_of_all_threads)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "unfinished_lines_of_threads", "");
    EXPECT_IS(rig_log(), "");
    stop(5000);
    EXPECT_HAS(rig_log(), "3 thread 0 on stdout\n");
    EXPECT_HAS(rig_log(), "3 thread 1 on stdout\n");
    EXPECT_HAS(rig_log(), "3 thread 0 on stderr\n");
    EXPECT_HAS(rig_log(), "3 thread 1 on stderr\n");
    EXPECT_HAS(rig_log(), "3 from atexit\n");
}

/* -- signals -- */

static void wait_for_log(const char *part)
{
    for (int i = 0; i < 1000 && !strstr(rig_log(), part); i++)
        usleep(5000);
    EXPECT_HAS(rig_log(), part);
}

IN_CHILD(test_signal_01_subscribers_of_each_interpreter)
{
    struct mw_py_config cfg = rig_config();

    cfg.process_group = "daemons";
    start_well(&cfg);
    EXPECT_IS(ask("", 0, "__import__('mod_wsgi').process_group"), "'daemons'");
    serve("module.py", "subscribe_signals", "one");
    serve("module.py", "subscribe_signals", "two");
    rig_runtime()->signalled(SIGHUP);
    wait_for_log("3 group two process_signal [('signame', 'SIGHUP'), ('signum', 1)]\n"
                 "3 group two process_signal");
    EXPECT_HAS(rig_log(), "3 group one process_signal [('signame', 'SIGHUP'), ('signum', 1)]\n"
                          "3 group one process_signal");
    rig_log_clear();
    rig_runtime()->signalled(SIGUSR2);
    wait_for_log("3 group two process_signal [('signame', 'SIGUSR2'), ('signum', 12)]\n");
    stop(5000);
}

/* -- interpreters that cannot be made -- */

IN_CHILD(test_interp_01_failure_leaves_the_others_alone)
{
    struct mw_py_config cfg = rig_config();
    struct chan_mem m;

    setenv("PYTHONPATH", rig_app("broken_sub"), 1); /* breaks every interpreter but the first */
    start_well(&cfg);
    for (int i = 0; i < 3; i++) {
        rig_request(&m, rig_app("output.py"), "one");
        m.head.app_group = MW_STR("sub");
        chan_mem_open(&m);
        EXPECT(rig_runtime()->serve(&m.chan) == MW_END_FAILED);
        EXPECT_HAS(chan_mem_text(&m.log), "3 WSGI0102: interpreter 'sub' cannot be made: ");
        chan_mem_fini(&m);
        EXPECT_IS(ask("", 1, "40 + 2"), "42");
    }
    const char *script = rig_app("output.py");
    EXPECT(rig_runtime()->preload((struct mw_str){script, strlen(script)}, MW_STR("sub"), 1,
                                  MW_STR("")) == MW_EIO);
    EXPECT_HAS(rig_log(), "3 WSGI0102: interpreter 'sub' cannot be made: ");
}

/* -- forks -- */

IN_CHILD(test_fork_01_child_leaves_the_request_alone)
{
    struct mw_py_config cfg = rig_config();
    struct chan_mem m;

    start_well(&cfg);
    rig_request(&m, rig_app("forking.py"), "application");
    chan_mem_body(&m, "body");
    chan_mem_open(&m);
    EXPECT(rig_runtime()->serve(&m.chan) == MW_END_COMPLETE);
    EXPECT_IS(chan_mem_text(&m.body), "RuntimeError RuntimeError RuntimeError, status 256");
    EXPECT_IS(chan_mem_text(&m.log), "");
    chan_mem_fini(&m);
}

static void wait_for_the_fork(struct chan_mem *m)
{
    const int *fd = m->baton;
    char byte = 'x';

    (void)!write(fd[0], &byte, 1);
    (void)!read(fd[1], &byte, 1);
}

IN_CHILD(test_fork_02_child_does_not_wait_for_threads_that_it_has_not)
{
    struct mw_py_config cfg = rig_config();
    struct chan_mem m;
    int began[2], go_on[2];
    char fds[32];

    EXPECT(pipe(began) == 0 && pipe(go_on) == 0);
    start_well(&cfg);
    rig_request(&m, rig_app("forking.py"), "reads_meanwhile");
    m.check_gil = 0;
    m.on_read = wait_for_the_fork;
    m.baton = (int[]){began[1], go_on[0]};
    snprintf(fds, sizeof fds, "%d %d", began[0], go_on[1]);
    chan_mem_pair(&m, "QUERY_STRING", fds);
    chan_mem_body(&m, "body");
    chan_mem_open(&m);
    EXPECT(rig_runtime()->serve(&m.chan) == MW_END_COMPLETE);
    EXPECT_IS(chan_mem_text(&m.body), "status 256");
    chan_mem_fini(&m);
}

/* -- what runs beside requests -- */

IN_CHILD(test_log_01_background_threads)
{
    struct mw_py_config cfg = rig_config();

    start_well(&cfg);
    serve("ending.py", "background", "");
    EXPECT_HAS(rig_log(), "3 from a thread\n");
    EXPECT_HAS(rig_log(), "KeyError: 'in a thread'");
    EXPECT_HAS(rig_log(), "3 Traceback");
}

static void *be_busy(void *arg)
{
    (void)arg;
    serve("ending.py", "busy", "");
    return NULL;
}

static void *hold_gil(void *arg)
{
    (void)arg;
    /* One C call that never lets go of the GIL meanwhile. */
    ask("", 1, "len('a' * 40000000 + 'b') and __import__('re').match('(a+)+$', 'a' * 25 + 'b')");
    return NULL;
}

static void expect_dump(const char *part)
{
    char text[16384];
    int fd[2];

    EXPECT(pipe(fd) == 0);
    rig_runtime()->dump(fd[1]);
    close(fd[1]);
    size_t n = 0;
    for (ssize_t k; n < sizeof text - 1 && (k = read(fd[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)k;
    text[n] = 0;
    close(fd[0]);
    EXPECT_HAS(text, part);
}

IN_CHILD(test_dump_01_names_the_function_that_waits)
{
    struct mw_py_config cfg = rig_config();
    pthread_t thread;

    start_well(&cfg);
    EXPECT(pthread_create(&thread, NULL, be_busy, NULL) == 0);
    usleep(700000);
    expect_dump("in wait_in_this_function");
    expect_dump("ending.py");
    pthread_join(thread, NULL);
}

IN_CHILD(test_dump_02_does_not_need_the_gil)
{
    struct mw_py_config cfg = rig_config();
    pthread_t thread;

    start_well(&cfg);
    ask("", 1, "__import__('re')");
    EXPECT(pthread_create(&thread, NULL, hold_gil, NULL) == 0);
    usleep(300000);
    uint64_t before = mw_clock_ms();
    expect_dump("ask.py");
    EXPECT(mw_clock_ms() - before < 1000);
    /* The thread is left to the end of the process. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_01_finds_its_own_prefix),
        cmocka_unit_test(test_start_02_path_and_working_directory),
        cmocka_unit_test(test_start_03_home_that_is_not_there),
        cmocka_unit_test(test_start_04_home_that_is_a_file),
        cmocka_unit_test(test_start_05_home_without_python),
        cmocka_unit_test(test_start_06_venv_of_another_version),
        cmocka_unit_test(test_start_07_venv_whose_python_is_gone),
        cmocka_unit_test(test_start_08_venv),
        cmocka_unit_test(test_start_09_installation_as_home),
        cmocka_unit_test(test_start_10_broken_standard_library),
        cmocka_unit_test(test_start_11_signals_stay_as_they_are),
        cmocka_unit_test(test_start_12_main_thread_is_not_a_serving_one),
        cmocka_unit_test(test_daemon_01_first_group_runs_in_main),
        cmocka_unit_test(test_daemon_02_preload_names_main),
        cmocka_unit_test(test_daemon_03_serve_does_not_reload),
        cmocka_unit_test(test_daemon_04_times_of_a_request),
        cmocka_unit_test(test_stop_01_exit_functions_of_each_interpreter),
        cmocka_unit_test(test_stop_02_exit_function_that_fails),
        cmocka_unit_test(test_stop_03_threads_are_joined_before_exit_functions),
        cmocka_unit_test(test_stop_04_endless_thread_is_left_behind),
        cmocka_unit_test(test_stop_05_endless_exit_function),
        cmocka_unit_test(test_stop_06_executors_are_told_to_end),
        cmocka_unit_test(test_stop_07_last_line_without_newline),
        cmocka_unit_test(test_stop_08_from_the_thread_that_started),
        cmocka_unit_test(test_stop_09_applications_are_told_why),
        cmocka_unit_test(test_stop_10_unfinished_lines_of_all_threads),
        cmocka_unit_test(test_signal_01_subscribers_of_each_interpreter),
        cmocka_unit_test(test_interp_01_failure_leaves_the_others_alone),
        cmocka_unit_test(test_fork_01_child_leaves_the_request_alone),
        cmocka_unit_test(test_fork_02_child_does_not_wait_for_threads_that_it_has_not),
        cmocka_unit_test(test_log_01_background_threads),
        cmocka_unit_test(test_dump_01_names_the_function_that_waits),
        cmocka_unit_test(test_dump_02_does_not_need_the_gil),
    };

    return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
