/*
 * test_daemon.c: supervisor and worker without httpd and without Python: requests, starts that fail,
 * deaths, replacement, hostile bytes from every side, ends. Each test has a group of its own and checks
 * at its end that no process and no descriptor is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask.h"
#include "clock.h"
#include "ctl.h"
#include "io.h"
#include "rig.h"

/* -- requests -- */

static void test_daemon_01_one_connection_serves_many_requests(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    for (int i = 0; i < 100; i++) {
        rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
        expect(&a, MW_END_COMPLETE, "hello");
        assert_int_equal(a.status, 200);
        answer_fini(&a);
    }
    assert_int_equal(l.peer.incarnation, claim.incarnation);
    assert_int_equal(l.peer.pid, rig_pid(&r));
    mw_board_release(r.groups[0].board, &claim);
    mw_link_fini(&l);
    rig_stop(&r);
}

/* How many bytes of frames of exactly these types, one after the other, are at p. */
static size_t skip_frames(const uint8_t *p, size_t n, const uint8_t *types, size_t ntypes)
{
    struct mw_frame f;
    size_t at = 0;

    for (size_t i = 0; i < ntypes; i++) {
        int64_t used = mw_frame_parse(p + at, n - at, &f, NULL);
        assert_true(used > 0);
        assert_int_equal(f.type, types[i]);
        at += (size_t)used;
    }
    return at;
}

static void test_daemon_02_a_small_answer_is_one_write(void **state)
{
    static const uint8_t first[] = {MW_F_HELLO}, then[] = {MW_F_HEAD, MW_F_DATA, MW_F_END};
    uint8_t bytes[4096];
    struct mw_claim claim;
    struct mw_link l;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    ssize_t n = mw_io_recv(l.fd, bytes, sizeof bytes, mw_clock_deadline(10000));
    assert_true(n > 0); /* as soon as the worker has the connection */
    assert_int_equal(skip_frames(bytes, (size_t)n, first, 1), n);
    rig_send(&l, &(struct ask){.callable = "hello"});
    n = mw_io_recv(l.fd, bytes, sizeof bytes, mw_clock_deadline(10000));
    assert_true(n > 0);
    assert_int_equal(skip_frames(bytes, (size_t)n, then, 3), n);
    mw_board_release(r.groups[0].board, &claim);
    mw_link_fini(&l);
    rig_stop(&r);
}

static void test_daemon_03_bodies_ride_along_or_are_asked_for(void **state)
{
    static const size_t sizes[] = {1,
                                   9999,
                                   10000,
                                   10001,
                                   MW_BODY_INLINE_MAX,
                                   MW_BODY_INLINE_MAX + 1,
                                   MW_FRAME_DATA_MAX - 1,
                                   MW_FRAME_DATA_MAX,
                                   MW_FRAME_DATA_MAX + 1,
                                   1 << 20};
    struct mw_claim claim;
    struct mw_link l;
    struct answer a;
    struct rig r;
    char *body = malloc(1 << 20);

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < 1 << 20; i++)
        body[i] = (char)(i * 31 + i / 251);
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    for (size_t i = 0; i < MW_ARRAY_LEN(sizes); i++) {
        int rides = sizes[i] <= MW_BODY_INLINE_MAX;
        struct ask ask = {
            .callable = "echo", .body = body, .body_n = sizes[i], .inline_body = rides};
        rig_talk(&l, &ask, &a);
        if (a.end != MW_END_COMPLETE)
            fail_msg("%zu bytes: end %d, %d wants, %zu back\n%s", sizes[i], a.end, a.wants, a.n,
                     rig_log(&r));
        assert_int_equal(a.n, sizes[i]);
        assert_memory_equal(a.body, body, sizes[i]);
        if (rides)
            assert_int_equal(a.wants, 0);
        else
            assert_true(a.wants >= (int)(sizes[i] / MW_BODY_WINDOW) && a.wants > 0);
        answer_fini(&a);
    }
    mw_board_release(r.groups[0].board, &claim);
    mw_link_fini(&l);
    free(body);
    rig_stop(&r);
}

static void test_daemon_04_an_unread_body_does_not_spoil_the_next_request(void **state)
{
    static const char *const readers[] = {"hello", "one-byte"};
    static char body[100000];
    struct mw_claim claim;
    struct mw_link l;
    struct answer a;
    struct rig r;

    (void)state;
    memset(body, 'b', sizeof body);
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    for (int i = 0; i < 40; i++) {
        int rides = i / 2 % 2;
        struct ask ask = {.callable = readers[i % 2],
                          .body = body,
                          .body_n = rides ? 16000 : sizeof body,
                          .inline_body = rides};
        rig_talk(&l, &ask, &a);
        expect(&a, MW_END_COMPLETE, i % 2 ? "b" : "hello");
        answer_fini(&a);
    }
    mw_board_release(r.groups[0].board, &claim);
    mw_link_fini(&l);
    rig_stop(&r);
}

static void test_daemon_05_a_broken_body_reaches_the_application(void **state)
{
    static char body[200000];
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_ask(&r,
            &(struct ask){.callable = "echo",
                          .body = body,
                          .body_n = sizeof body,
                          .body_sent = 100000,
                          .cut_body = 1},
            &a);
    assert_int_equal(a.end, MW_END_TRUNCATED);
    assert_int_equal(a.n, 100000);
    assert_string_equal(a.log, "body broke\n");
    answer_fini(&a);
    expect_hello(&r);
    rig_stop(&r);
}

static void test_daemon_06_large_answers_arrive_whole(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_ask(&r, &(struct ask){.callable = "in-pieces"}, &a);
    assert_int_equal(a.end, MW_END_COMPLETE);
    assert_int_equal(a.n, 8 * 300000);
    for (size_t i = 0; i < a.n; i++)
        assert_int_equal(a.body[i], 'a' + (int)(i / 300000));
    answer_fini(&a);
    rig_stop(&r);
}

static void read_some(struct mw_link *l, size_t bytes)
{
    struct mw_frame f;
    size_t n = 0;

    while (n < bytes) {
        assert_int_equal(mw_link_recv(l, &f), 0);
        if (f.type == MW_F_DATA)
            n += f.n;
    }
}

static void start_stream(struct rig *r, struct mw_claim *claim, struct mw_link *l)
{
    rig_claim(r, 0, claim);
    rig_connect(r, 0, claim, l);
    rig_send(l, &(struct ask){.callable = "stream"});
    read_some(l, 5000);
}

static void test_daemon_07_a_stream_stops_when_the_client_goes(void **state)
{
    struct mw_claim claim;
    struct mw_frame f = {0};
    struct mw_link l;
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);

    start_stream(&r, &claim, &l); /* told by ABORT: the connection stays good */
    assert_int_equal(mw_link_send(&l, MW_F_ABORT, NULL, 0), 0);
    while (f.type != MW_F_END)
        assert_int_equal(mw_link_recv(&l, &f), 0);
    assert_int_equal(f.payload[0], MW_END_ABORTED);
    rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
    mw_board_release(r.groups[0].board, &claim);
    mw_link_fini(&l);

    start_stream(&r, &claim, &l); /* told by the end of the connection */
    mw_link_fini(&l);
    mw_board_release(r.groups[0].board, &claim);
    rig_wait_times(&r, "stream stopped", 2, 5000);
    expect_hello(&r);
    rig_stop(&r);
}

static void test_daemon_08_log_lines_go_to_the_child(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_ask(&r, &(struct ask){.callable = "lines"}, &a);
    expect(&a, MW_END_COMPLETE, "logged");
    assert_string_equal(a.log, "line one\nline two\n");
    answer_fini(&a);
    assert_false(rig_logged(&r, "line one"));
    rig_stop(&r);
}

static void test_daemon_09_ends_say_what_was_wrong(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_ask(&r, &(struct ask){.callable = "no-head"}, &a);
    assert_int_equal(a.end, MW_END_FAILED);
    assert_int_equal(a.status, 0);
    answer_fini(&a);
    rig_ask(&r, &(struct ask){.callable = "no such thing"}, &a);
    assert_int_equal(a.end, MW_END_NO_SCRIPT);
    answer_fini(&a);
    rig_stop(&r);
}

static void test_daemon_10_threads_work_at_the_same_time(void **state)
{
    struct asker k[4];
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].threads = 4;
    rig_start_ready(&r);
    uint64_t start = mw_clock_ms();
    for (int i = 0; i < 4; i++)
        start_asker(&k[i], &r, "sleep", "500", 1);
    for (int i = 0; i < 4; i++)
        pthread_join(k[i].id, NULL);
    uint64_t took = mw_clock_ms() - start;
    for (int i = 0; i < 4; i++)
        assert_int_equal(k[i].good, 1);
    assert_true(took >= 500 && took < (uint64_t)(1500 * rig_slow()));
    rig_stop(&r);
}

/* -- start -- */

static void test_daemon_20_a_start_that_fails_is_tried_again_later(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].python_path = "start-fails";
    rig_start(&r);
    rig_wait_log(&r, "next start in 2 s", 10000);
    assert_true(rig_logged(&r, "WSGI0562: worker 0 of group 'test'"));
    assert_true(rig_logged(&r,
                           "could not start Python: python-home=/nowhere has no encodings; name "
                           "another one; it exited with status 1; next start in 1 s"));
    assert_int_equal(rig_log_times(&r, "WSGI0560"), 2);
    rig_stop(&r);
}

static void test_daemon_21_every_reason_is_named(void **state)
{
    static const struct {
        const char *what, *flags, *home, *runtime, *worker;
        const char *says;
    } t[] = {
        {"runtime", NULL, NULL, "/nowhere/wsgi-python-9.9.so", NULL,
         "could not load the Python runtime: /nowhere/wsgi-python-9.9.so: cannot open shared object"},
        {"runtime of something else", NULL, NULL, "libm.so.6", NULL,
         "could not load the Python runtime"},
        {"worker", NULL, NULL, NULL, "/nowhere/wsgi-worker",
         "could not execute /nowhere/wsgi-worker: No such file or directory"},
        {"crash", "start-crashes", NULL, NULL, NULL, "was killed by SIGABRT (6)"},
        {"home", NULL, "/nowhere/at/all", NULL, NULL,
         "could not enter the working directory: home=/nowhere/at/all cannot be entered: /nowhere: No "
         "such file or directory"},
    };

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(t); i++) {
        struct rig r;
        char path[256];
        rig_init(&r, fake());
        r.spec[0].python_path = t[i].flags;
        r.spec[0].home = t[i].home;
        if (t[i].runtime) {
            snprintf(path, sizeof path, "%s%s",
                     t[i].runtime[0] == '/' ? "" : "/lib/x86_64-linux-gnu/", t[i].runtime);
            r.spec[0].runtime = path;
        }
        if (t[i].worker)
            snprintf(r.worker, sizeof r.worker, "%s", t[i].worker);
        rig_start(&r);
        rig_wait_log(&r, t[i].says, 10000);
        assert_true(rig_logged(&r, "next start in 1 s"));
        rig_stop(&r);
    }
}

static void test_daemon_22_a_start_that_hangs_is_ended(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].python_path = "start-hangs";
    r.spec[0].startup_timeout_ms = 300;
    rig_start(&r);
    rig_wait_log(&r, "was not ready within startup-timeout; terminated", 10000);
    rig_wait_log(&r, "was killed by SIGTERM (15); next start in 1 s", 10000);
    rig_stop(&r);
}

static void test_daemon_23_preloads_come_before_ready(void **state)
{
    static struct mw_preload preload[] = {
        {.script = {"/srv/a.wsgi", 11}, .app_group = {"", 0}},
        {.script = {"/srv/b.wsgi", 11}, .app_group = {"blue", 4}, .explicit_group = 1},
    };
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].preload = preload;
    r.spec[0].npreload = 2;
    rig_start_ready(&r);
    assert_true(rig_logged(&r, "preloaded /srv/a.wsgi in ''"));
    assert_true(rig_logged(&r, "preloaded /srv/b.wsgi in 'blue' as configured"));
    rig_stop(&r);
}

static void whoami(struct rig *r, struct answer *a)
{
    rig_ask(r, &(struct ask){.callable = "whoami"}, a);
    if (a->end != MW_END_COMPLETE)
        fail_msg("no answer:\n%s", rig_log(r));
}

static void expect_in(const struct answer *a, const char *text)
{
    if (!strstr(a->body, text))
        fail_msg("no \"%s\" in:\n%s", text, a->body);
}

static void test_daemon_24_a_worker_has_what_it_needs_and_no_more(void **state)
{
    struct answer a;
    struct rig r;
    unsigned sockets = 0, files = 0;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].umask = 027;
    r.spec[0].home = r.dir;
    rig_start_ready(&r);
    whoami(&r, &a);
    expect_in(&a, "umask=0027\n");
    expect_in(&a, "title=wsgi-worker (wsgi:test)\n");
    expect_in(&a, "MW_WORKER=none\n");
    expect_in(&a, "fd=0 /dev/null\n");
    expect_in(&a, "error.log\n");
    expect_in(&a, r.dir);
    for (const char *p = a.body; (p = strstr(p, "socket:")); p++)
        sockets++;
    for (const char *p = a.body; (p = strstr(p, "memfd:")); p++)
        files++;
    assert_int_equal(sockets, 2); /* control and this connection */
    assert_int_equal(files, 1);   /* the board; the specification is closed */
    answer_fini(&a);
    rig_stop(&r);
}

static void test_daemon_25_display_name(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].display_name = "my own name";
    rig_start_ready(&r);
    whoami(&r, &a);
    expect_in(&a, "title=my own name\n");
    answer_fini(&a);
    rig_stop(&r);
}

/* -- identity; these need root -- */

static struct passwd *somebody(void)
{
    struct passwd *pw = getpwnam("nobody");
    if (geteuid() != 0 || !pw)
        skip();
    return pw;
}

static void become(struct rig *r, const struct passwd *pw)
{
    r->spec[0].uid = pw->pw_uid;
    r->spec[0].gid = pw->pw_gid;
    r->spec[0].user_name = pw->pw_name;
    r->spec[0].user_home = "/tmp";
}

static void test_daemon_30_identity_is_given_up_for_good(void **state)
{
    struct passwd *pw = somebody();
    char ids[128];
    struct answer a;
    struct rig r;
    int u = (int)pw->pw_uid, g = (int)pw->pw_gid;

    (void)state;
    rig_init(&r, fake());
    become(&r, pw);
    rig_start_ready(&r);
    whoami(&r, &a);
    snprintf(ids, sizeof ids, "uid=%d/%d/%d gid=%d/%d groups=%d,\n", u, u, u, g, g, g);
    expect_in(&a, ids);
    expect_in(&a, "HOME=/tmp\n");
    expect_in(&a, "USER=nobody\n");
    answer_fini(&a);
    rig_stop(&r);
}

static void test_daemon_31_chroot_comes_before_the_user(void **state)
{
    struct passwd *pw = somebody();
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    become(&r, pw);
    r.spec[0].chroot = r.dir;
    rig_start_ready(&r);
    whoami(&r, &a);
    expect_in(&a, "cwd=/\n");
    answer_fini(&a);
    rig_stop(&r);
}

static void test_daemon_32_the_directory_that_stops_the_user_is_named(void **state)
{
    struct passwd *pw = somebody();
    char locked[128], home[160], says[512];
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    become(&r, pw);
    snprintf(locked, sizeof locked, "%s/locked", r.dir);
    snprintf(home, sizeof home, "%s/site", locked);
    assert_int_equal(mkdir(locked, 0700), 0);
    assert_int_equal(mkdir(home, 0755), 0);
    r.spec[0].home = home;
    rig_start(&r);
    snprintf(says, sizeof says, "home=%s cannot be entered: %s: Permission denied; give the user",
             home, locked);
    rig_wait_log(&r, says, 10000);
    rmdir(home);
    rmdir(locked);
    rig_stop(&r);
}

/* A system call that fails, and one that says it worked and did nothing (fake_runtime.c). */
static void test_daemon_33_no_python_without_the_identity_asked_for(void **state)
{
    static const struct {
        const char *fails, *says;
    } t[] = {
        {"setgroups", "could not drop privileges: setgroups: Operation not permitted"},
        {"setresgid", "could not drop privileges: setresgid: Operation not permitted"},
        {"setresuid", "could not drop privileges: setresuid: Operation not permitted"},
        {"chroot", "could not enter the chroot: chroot="},
        {"lying-setgroups", "could not drop privileges: the process has not got the identity"},
        {"lying-setresgid", "could not drop privileges: the process has not got the identity"},
        {"lying-setresuid", "could not drop privileges: the process has not got the identity"},
        {"regaining-setuid", "could not drop privileges: the process could become root again"},
    };
    struct passwd *pw = somebody();
    gid_t before[64], extra[] = {0, 1, 2, 3};
    int n = getgroups(64, before);

    (void)state;
    if (getenv("MW_SLOW")) /* a sanitizer's library wants to be the first */
        skip();
    assert_true(n >= 0);
    assert_int_equal(setgroups(4, extra), 0); /* something to lose */
    setenv("LD_PRELOAD", fake(), 1);
    for (size_t i = 0; i < MW_ARRAY_LEN(t); i++) {
        struct rig r;
        rig_init(&r, fake());
        become(&r, pw);
        r.spec[0].chroot = "/";
        setenv("FAKE_FAIL", t[i].fails, 1);
        rig_start(&r);
        rig_wait_log(&r, t[i].says, 10000);
        assert_false(rig_logged(&r, "fake runtime started"));
        rig_stop(&r);
    }
    unsetenv("FAKE_FAIL");
    unsetenv("LD_PRELOAD");
    assert_int_equal(setgroups((size_t)n, before), 0);
}

/* -- deaths -- */

static void test_daemon_40_a_killed_worker_is_replaced_within_a_second(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (int i = 0; i < 3; i++) {
        pid_t pid = rig_pid(&r);
        assert_int_equal(kill(pid, SIGKILL), 0);
        uint64_t start = mw_clock_ms();
        while (rig_count(&r, MW_SLOT_READY) == 0 || rig_pid(&r) == pid) {
            assert_true(mw_clock_ms() - start < (uint64_t)(1000 * rig_slow()));
            poll(NULL, 0, 2);
        }
        expect_hello(&r);
    }
    assert_int_equal(rig_log_times(&r, "was killed by SIGKILL (9); a new one is started now"), 3);
    rig_stop(&r);
}

static void test_daemon_41_deaths_are_decoded(void **state)
{
    static const struct {
        const char *what, *says;
    } t[] = {{"segv", "was killed by SIGSEGV (11)"}, {"exit", "exited with status 3"}};
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (size_t i = 0; i < MW_ARRAY_LEN(t); i++) {
        rig_ask(&r, &(struct ask){.callable = t[i].what}, &a);
        assert_int_equal(a.end, -1);
        answer_fini(&a);
        rig_wait_log(&r, t[i].says, 5000);
        expect_hello(&r);
    }
    rig_stop(&r);
}

static void test_daemon_44_one_that_has_served_is_replaced_at_once(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (unsigned i = 0; i < 8; i++) {
        expect_hello(&r);
        kill(rig_pid(&r), SIGKILL);
        rig_wait_times(&r, "was killed by SIGKILL", i + 1, 5000);
        rig_wait_count(&r, MW_SLOT_READY, 1, 5000);
    }
    assert_false(rig_logged(&r, "next start in"));
    rig_stop(&r);
}

static void test_daemon_42_crashing_again_and_again_is_slowed_down(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (int i = 0; i < 4; i++) {
        rig_ask(&r, &(struct ask){.callable = "exit"}, &a);
        assert_int_equal(a.end, -1);
        answer_fini(&a);
        rig_wait_times(&r, "exited with status 3", (unsigned)i + 1, 5000);
    }
    assert_true(rig_logged(&r, "exited with status 3; next start in 50 ms"));
    expect_hello(&r);
    rig_stop(&r);
}

static void test_daemon_43_under_load_only_the_killed_lose_requests(void **state)
{
    struct asker k[4];
    struct rig r;
    int lost = 0, stop = 0;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].processes = 2;
    r.spec[0].threads = 2;
    rig_start_ready(&r);
    for (int i = 0; i < 4; i++) {
        k[i] = (struct asker){.r = &r, .ask = {.callable = "hello"}, .stop = &stop};
        assert_int_equal(pthread_create(&k[i].id, NULL, ask_often, &k[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        rig_wait_count(&r, MW_SLOT_READY, 2, 10000);
        poll(NULL, 0, 20);
        kill(rig_pid(&r), SIGKILL);
        rig_wait_times(&r, "was killed by SIGKILL", (unsigned)i + 1, 10000);
    }
    poll(NULL, 0, 50);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++) {
        pthread_join(k[i].id, NULL);
        assert_true(k[i].good > 0);
        lost += k[i].lost;
    }
    assert_true(lost <= 3 * 2); /* at most what the killed threads had */
    rig_wait_count(&r, MW_SLOT_READY, 2, 10000);
    rig_stop(&r);
}

static void test_daemon_53_a_request_over_graceful_timeout_is_cut(void **state)
{
    struct asker k;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].graceful_timeout_ms = 300;
    rig_start_ready(&r);
    start_asker(&k, &r, "sleep", "60000", 1);
    poll(NULL, 0, 200);
    kill(rig_pid(&r), SIGUSR1);
    pthread_join(k.id, NULL);
    assert_int_equal(k.lost, 1);
    rig_wait_log(&r, "WSGI0580: 1 request is still running after the time to finish", 5000);
    expect_hello(&r);
    rig_stop(&r);
}

static void test_daemon_54_a_worker_that_hangs_in_its_end_dumps_and_goes(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].python_path = "stop-hangs";
    r.spec[0].shutdown_timeout_ms = 200;
    r.spec[0].graceful_timeout_ms = 200;
    rig_start_ready(&r);
    mw_io_close(&r.life[1]);
    rig_wait_log(&r, "has not left in time (draining); terminated", 10000);
    rig_wait_log(&r, "fake stack dump", 10000);
    rig_stop(&r);
}

/* -- hostile bytes -- */

static void expect_closed(int fd)
{
    char byte;
    ssize_t n = mw_io_recv(fd, &byte, 1, mw_clock_deadline((uint64_t)(5000 * rig_slow())));
    while (n > 0)
        n = mw_io_recv(fd, &byte, 1, mw_clock_deadline((uint64_t)(5000 * rig_slow())));
    assert_int_equal(n, MW_ECLOSED);
}

/* Send msg with one end of a new pair; the other end must see the end. */
static void offer(struct rig *r, const void *msg, size_t n)
{
    int pair[2];

    assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
    rig_hand_over(r, msg, n, pair[1]);
    close(pair[1]);
    expect_closed(pair[0]);
    close(pair[0]);
}

static size_t connect_message(uint8_t *msg, unsigned group, unsigned slot, uint32_t incarnation)
{
    struct mw_ctl ctl = {.type = MW_CTL_CONNECT,
                         .group = (uint16_t)group,
                         .slot = (uint16_t)slot,
                         .incarnation = incarnation};
    int n = mw_ctl_encode(msg, &ctl);
    assert_true(n > 0);
    return (size_t)n;
}

static void send_two_fds(int to, const void *msg, size_t n, int fd)
{
    char space[CMSG_SPACE(2 * sizeof(int))] = {0};
    char copy[MW_CTL_MAX];
    struct iovec iov = {copy, n};
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
    int both[2] = {fd, fd};

    memcpy(copy, msg, n);
    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(sizeof both);
    memcpy(CMSG_DATA(cm), both, sizeof both);
    assert_true(sendmsg(to, &mh, MSG_NOSIGNAL) > 0);
}

static void test_daemon_60_bad_handovers_close_their_own_connection(void **state)
{
    static const char junk[MW_CTL_MAX + 100];
    uint8_t msg[MW_CTL_MAX];
    struct mw_claim claim;
    struct rig r;
    int pair[2];
    size_t n;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    mw_board_release(r.groups[0].board, &claim);
    for (size_t len = 1; len < sizeof junk; len += 37)
        offer(&r, junk, len);
    offer(&r, msg, connect_message(msg, 7, 0, claim.incarnation));
    offer(&r, msg, connect_message(msg, 0, 999, claim.incarnation));
    offer(&r, msg, connect_message(msg, 0, claim.slot, claim.incarnation + 1));
    offer(&r, msg, connect_message(msg, 0, claim.slot ^ 1, 0)); /* nobody there */
    n = connect_message(msg, 0, claim.slot, claim.incarnation);
    msg[0] = MW_CTL_READY;
    offer(&r, msg, n);
    n = connect_message(msg, 0, claim.slot, claim.incarnation);
    rig_hand_over(&r, msg, n, -1);                                 /* no descriptor */
    rig_hand_over(&r, msg, n, STDIN_FILENO);                       /* one of another kind */
    assert_int_equal(send(r.handover[0], "", 0, MSG_NOSIGNAL), 0); /* looks like the end */
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(tcp >= 0);
    rig_hand_over(&r, msg, n, tcp);
    close(tcp);
    assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
    send_two_fds(r.handover[0], msg, n, pair[1]);
    close(pair[1]);
    expect_closed(pair[0]);
    close(pair[0]);
    expect_hello(&r);
    /* Loud, but not as loud as somebody who sends a thousand of them wants it. */
    assert_true(rig_log_times(&r, "WSGI0568") >= 1);
    assert_true(rig_log_times(&r, "WSGI0568") <= 5);
    rig_stop(&r);
}

static void put_frame(struct mw_buf *b, unsigned type, const void *p, size_t n)
{
    uint8_t hdr[MW_FRAME_HDR];
    mw_frame_header(hdr, type, (uint32_t)n);
    mw_buf_bytes(b, hdr, sizeof hdr);
    mw_buf_bytes(b, p, n);
}

static void put_hello(struct mw_buf *b)
{
    struct mw_hello hello = {.version = MW_WIRE_VERSION, .pid = 1, .data_max = MW_FRAME_DATA_MAX};
    uint8_t bytes[MW_HELLO_SIZE];
    mw_hello_encode(bytes, &hello);
    put_frame(b, MW_F_HELLO, bytes, sizeof bytes);
}

static void put_request(struct mw_buf *b, const struct ask *a)
{
    struct mw_buf block;
    mw_buf_init(&block, MW_REQ_BLOCK_MAX);
    rig_block(&block, a);
    put_frame(b, MW_F_REQUEST, mw_buf_data(&block), mw_buf_size(&block));
    mw_buf_fini(&block);
}

enum { HOSTILE_CASES = 16 };

/* Bytes of a child that no child sends. */
static void hostile_bytes(struct mw_buf *b, int i)
{
    static const struct ask body = {.callable = "echo", .body = "x", .body_n = 70000};
    static const uint8_t clean = MW_BODY_CLEAN, bad_end = 99, zeros[70000];

    if (i == 0) {
        mw_buf_bytes(b, "GET / HTTP/1.1\r\n\r\n", 18);
        return;
    }
    if (i == 1) {
        put_request(b, &body); /* no HELLO */
        return;
    }
    put_hello(b);
    switch (i) {
    case 2:
        put_hello(b);
        break;
    case 3:
        put_frame(b, MW_F_BODY, zeros, 10);
        break;
    case 4:
        put_frame(b, MW_F_BODY_END, &clean, 1);
        break;
    case 5:
        put_frame(b, MW_F_ABORT, NULL, 0);
        break;
    case 6:
        put_frame(b, MW_F_END, &clean, 1);
        break;
    case 7:
        put_frame(b, MW_F_REQUEST, zeros, 300);
        break;
    case 8:
        put_frame(b, 200, zeros, 3);
        break;
    case 9:
        mw_buf_bytes(b, "\xff\xff\xff\xff\x02\x00\x00\x00", 8);
        break;
    default:
        put_request(b, &body);
        break;
    }
    switch (i) {
    case 10:
        put_request(b, &body);
        break; /* while the first runs */
    case 11:
        put_frame(b, MW_F_BODY, zeros, MW_BODY_INLINE_MAX + 1);
        break; /* not asked for */
    case 12:
        put_frame(b, MW_F_BODY_END, &bad_end, 1);
        break;
    case 13:
        put_frame(b, MW_F_BODY, zeros, 0);
        break;
    case 14:
        put_frame(b, MW_F_HEAD, zeros, 20);
        break;
    case 15:
        put_frame(b, MW_F_BODY_END, &clean, 1), put_frame(b, MW_F_BODY, zeros, 5);
        break;
    default:
        break;
    }
}

static void test_daemon_61_hostile_children_lose_their_connection_only(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct mw_buf b;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    pid_t pid = rig_pid(&r);
    mw_buf_init(&b, 1 << 20);
    for (int i = 0; i < HOSTILE_CASES; i++) {
        unsigned before = rig_log_times(&r, "WSGI0576");
        rig_claim(&r, 0, &claim);
        rig_connect(&r, 0, &claim, &l);
        mw_buf_clear(&b);
        hostile_bytes(&b, i);
        assert_int_equal(b.err, 0);
        assert_true(send(l.fd, mw_buf_data(&b), mw_buf_size(&b), MSG_NOSIGNAL) > 0);
        expect_closed(l.fd);
        mw_board_release(r.groups[0].board, &claim);
        mw_link_fini(&l);
        rig_wait_times(&r, "WSGI0576", before + 1, 5000);
        expect_hello(&r);
    }
    assert_int_equal(rig_pid(&r), pid);
    mw_buf_fini(&b);
    rig_stop(&r);
}

static void test_daemon_62_half_a_frame_holds_no_thread(void **state)
{
    struct mw_claim claim[2];
    struct mw_link l[2];
    struct mw_buf b;
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    mw_buf_init(&b, 1 << 20);
    put_hello(&b);
    put_request(&b, &(struct ask){.callable = "hello"});
    for (int i = 0; i < 2; i++) { /* as many as there are threads */
        rig_claim(&r, 0, &claim[i]);
        rig_connect(&r, 0, &claim[i], &l[i]);
        assert_true(send(l[i].fd, mw_buf_data(&b), mw_buf_size(&b) / 2 + 10, MSG_NOSIGNAL) > 0);
    }
    poll(NULL, 0, 100);
    for (int i = 0; i < 2; i++)
        mw_board_release(r.groups[0].board, &claim[i]);
    rig_ask(&r, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
    for (int i = 0; i < 2; i++)
        mw_link_fini(&l[i]);
    mw_buf_fini(&b);
    rig_stop(&r);
}

static void test_daemon_63_random_bytes(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct rig r;
    uint32_t seed = 1;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    pid_t pid = rig_pid(&r);
    for (int i = 0; i < 200; i++) {
        uint8_t bytes[300];
        for (size_t k = 0; k < sizeof bytes; k++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[k] = (uint8_t)(seed >> (i % 2 ? 24 : 28)); /* also many small values */
        }
        rig_claim(&r, 0, &claim);
        rig_connect(&r, 0, &claim, &l);
        if (i % 3)
            assert_int_equal(mw_link_flush(&l), 0); /* HELLO first */
        (void)!send(l.fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        shutdown(l.fd, SHUT_WR);
        expect_closed(l.fd);
        mw_board_release(r.groups[0].board, &claim);
        mw_link_fini(&l);
    }
    assert_int_equal(rig_pid(&r), pid);
    expect_hello(&r);
    rig_stop(&r);
}

static void test_daemon_64_a_worker_that_attacks_its_supervisor_is_killed(void **state)
{
    static const char *const attacks[] = {"send-junk", "send-ready", "flood", "close-control",
                                          "send-empty"};
    struct answer a;
    struct rig r;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(attacks); i++) {
        rig_init(&r, fake());
        r.ngroups = 2;
        rig_start_ready(&r);
        pid_t super = r.super, pid = rig_pid(&r);
        rig_ask(&r, &(struct ask){.callable = attacks[i]}, &a);
        answer_fini(&a);
        uint64_t start = mw_clock_ms();
        while (rig_count(&r, MW_SLOT_READY) == 0 || rig_pid(&r) == pid) {
            if (mw_clock_ms() - start > (uint64_t)(5000 * rig_slow()))
                fail_msg("%s: not replaced\n%s", attacks[i], rig_log(&r));
            poll(NULL, 0, 5);
        }
        assert_int_equal(kill(super, 0), 0);
        expect_hello(&r);
        rig_ask(&r, &(struct ask){.group = 1, .callable = "hello"}, &a); /* the neighbour */
        expect(&a, MW_END_COMPLETE, "hello");
        answer_fini(&a);
        rig_stop(&r);
    }
}

static void test_daemon_65_a_stale_incarnation_is_refused(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    kill(rig_pid(&r), SIGKILL);
    rig_wait_log(&r, "SIGKILL", 5000);
    rig_wait_count(&r, MW_SLOT_READY, 1, 5000);
    rig_connect(&r, 0, &claim, &l);
    rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
    assert_int_equal(a.end, -1);
    answer_fini(&a);
    mw_link_fini(&l);
    mw_board_release(r.groups[0].board, &claim);
    expect_hello(&r);
    rig_stop(&r);
}

/* Wait until the worker has the connection. */
static void expect_greeting(struct mw_link *l)
{
    assert_int_equal(mw_io_wait(l->fd, POLLIN, mw_clock_deadline((uint64_t)(5000 * rig_slow()))),
                     0);
}

/* A descriptor whose last close waits must not be one that the supervisor closes. */
static void test_daemon_66_a_passed_socket_does_not_stop_the_supervisor(void **state)
{
    static const char *const scripts[] = {"/srv/read.wsgi", "/srv/unread.wsgi"};
    struct mw_claim claim;
    struct mw_link l;
    struct answer a;
    struct rig r;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(scripts); i++) {
        rig_init(&r, fake());
        rig_start_ready(&r);
        pid_t pid = rig_pid(&r);
        rig_claim(&r, 0, &claim);
        rig_connect(&r, 0, &claim, &l);
        expect_greeting(&l);
        /* It finds the messages when the worker has let go of the socket. */
        assert_int_equal(kill(r.super, SIGSTOP), 0);
        rig_talk(&l, &(struct ask){.callable = "pass-lingering", .script = scripts[i]}, &a);
        assert_int_equal(a.end, MW_END_COMPLETE);
        mw_link_fini(&l);
        mw_board_release(r.groups[0].board, &claim);
        pid_t holder = (pid_t)strtol(a.body, NULL, 10);
        answer_fini(&a);
        poll(NULL, 0, 200);
        assert_int_equal(kill(r.super, SIGCONT), 0);
        uint64_t start = mw_clock_ms();
        while (rig_count(&r, MW_SLOT_READY) == 0 || rig_pid(&r) == pid) {
            if (mw_clock_ms() - start > (uint64_t)(5000 * rig_slow()))
                fail_msg("%s: the supervisor hangs\n%s", scripts[i], rig_log(&r));
            poll(NULL, 0, 5);
        }
        expect_hello(&r);
        assert_int_equal(kill(holder, SIGKILL), 0);
        assert_int_equal(waitpid(holder, NULL, 0), holder); /* its parent is dead: it is ours now */
        rig_stop(&r);
    }
}

/* The worker's main thread greets each connection, and must not wait for one that takes no greeting. */
static void test_daemon_67_a_full_connection_does_not_stop_a_worker(void **state)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_claim claim;
    char junk[4096] = "";
    struct rig r;
    int pair[2];

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
    while (send(pair[1], junk, sizeof junk, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        ;
    rig_hand_over(&r, msg, connect_message(msg, 0, claim.slot, claim.incarnation), pair[1]);
    close(pair[1]);
    mw_board_release(r.groups[0].board, &claim);
    uint64_t start = mw_clock_ms();
    expect_hello(&r);
    assert_true(mw_clock_ms() - start < 5000 * rig_slow());
    expect_closed(pair[0]);
    close(pair[0]);
    rig_stop(&r);
}

static void test_daemon_68_a_worker_without_descriptors_says_so(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    pid_t pid = rig_pid(&r);
    rig_ask(&r, &(struct ask){.callable = "no-more-files"}, &a);
    expect(&a, MW_END_COMPLETE, "done");
    answer_fini(&a);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    expect_closed(l.fd);
    mw_link_fini(&l);
    mw_board_release(r.groups[0].board, &claim);
    rig_wait_log(&r, "WSGI0579", 5000);
    assert_int_equal(rig_pid(&r), pid);
    rig_stop(&r);
}

/* -- ends -- */

/* Until END; 1 if the head said 200. */
static int read_answer(struct mw_link *l)
{
    unsigned status = 0;
    struct mw_frame f;
    struct mw_rsp rsp;

    do {
        assert_int_equal(mw_link_recv(l, &f), 0);
        if (f.type == MW_F_HEAD && mw_rsp_view(&rsp, f.payload, f.n, NULL) == 0)
            status = rsp.status;
    } while (f.type != MW_F_END);
    return status == 200;
}

/* Requests come in two pieces, cut at another place on each connection and in each round, those of all
 * connections mixed, some of them as soon as the last answer has begun: nobody is forgotten. */
static void test_daemon_69_many_connections_in_pieces(void **state)
{
    enum { CONNS = 24, ROUNDS = 20 };
    struct mw_link l[CONNS];
    struct mw_claim claim;
    struct mw_buf b;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    for (int i = 0; i < CONNS; i++) {
        rig_connect(&r, 0, &claim, &l[i]);
        assert_int_equal(mw_link_flush(&l[i]), 0);
    }
    mw_buf_init(&b, 1 << 20);
    put_request(&b, &(struct ask){.callable = "hello"});
    const uint8_t *p = mw_buf_data(&b);
    size_t n = mw_buf_size(&b);
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < CONNS; i++) {
            size_t cut = 1 + (round * CONNS + i) * 7 % (n - 1);
            assert_int_equal(send(l[i].fd, p, cut, MSG_NOSIGNAL), cut);
        }
        for (size_t k = 0; k < CONNS; k++) {
            size_t i = k * 5 % CONNS, cut = 1 + (round * CONNS + i) * 7 % (n - 1);
            assert_int_equal(send(l[i].fd, p + cut, n - cut, MSG_NOSIGNAL), n - cut);
        }
        for (size_t i = 0; i < CONNS; i++) {
            assert_true(read_answer(&l[i]));
            if (i % 3)
                continue;
            assert_int_equal(send(l[i].fd, p, n, MSG_NOSIGNAL), n);
            assert_true(read_answer(&l[i]));
        }
    }
    mw_board_release(r.groups[0].board, &claim);
    for (int i = 0; i < CONNS; i++)
        mw_link_fini(&l[i]);
    mw_buf_fini(&b);
    rig_stop(&r);
}

static void test_daemon_70_an_end_in_the_middle_of_a_start(void **state)
{
    static const char *const flags[] = {NULL, "start-slow", "start-hangs", "start-fails"};

    (void)state;
    for (size_t i = 0; i < 4 * MW_ARRAY_LEN(flags); i++) {
        struct rig r;
        rig_init(&r, fake());
        r.spec[0].processes = 3;
        r.spec[0].python_path = flags[i / 4];
        rig_start(&r);
        poll(NULL, 0, (int)(i % 4) * 15);
        rig_stop(&r);
    }
}

static void test_daemon_71_sigterm_ends_it_too(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].processes = 2;
    rig_start_ready(&r);
    uint64_t start = mw_clock_ms();
    kill(r.super, SIGTERM);
    rig_stopped(&r, 10000);
    assert_true(mw_clock_ms() - start <
                (uint64_t)(1000 * rig_slow())); /* idle ones leave at once */
    struct mw_claim claim;
    assert_int_equal(mw_board_claim(r.groups[0].board, mw_clock_deadline(1000), &claim, NULL),
                     MW_ECLOSED);
    rig_fini(&r);
}

static void test_daemon_72_the_end_lets_requests_finish(void **state)
{
    struct asker k;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    start_asker(&k, &r, "sleep", "700", 1);
    poll(NULL, 0, 200);
    mw_io_close(&r.life[1]);
    pthread_join(k.id, NULL);
    assert_int_equal(k.good, 1);
    rig_stop(&r);
}

static void test_daemon_73_bytes_in_the_life_pipe_mean_nothing(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (int i = 0; i < 20; i++)
        assert_int_equal(write(r.life[1], "end end end", 11), 11);
    expect_hello(&r);
    rig_stop(&r);
}

static void test_daemon_74_a_dead_supervisor_takes_no_worker_with_it_for_long(void **state)
{
    struct mw_claim claim;
    struct mw_frame f = {0};
    struct mw_link l;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].processes = 2;
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    rig_send(&l, &(struct ask){.callable = "sleep", .query = "1000"});
    assert_int_equal(mw_io_wait(l.fd, POLLIN, mw_clock_deadline(10000)),
                     0); /* HELLO: it is there */
    kill(r.super, SIGKILL);
    assert_int_equal(waitpid(r.super, NULL, 0), r.super);
    rig_fork_super(&r); /* as httpd does; what the old one left finishes beside the new ones */
    rig_wait_count(&r, MW_SLOT_READY, 2, 10000);
    while (f.type != MW_F_END)
        assert_int_equal(mw_link_recv(&l, &f), 0);
    assert_int_equal(f.payload[0], MW_END_COMPLETE);
    mw_link_fini(&l);
    mw_board_release(r.groups[0].board, &claim);
    expect_hello(&r);
    /* The orphans are this process's children here. */
    uint64_t start = mw_clock_ms();
    int orphans = 0;
    while (orphans < 2 && mw_clock_ms() - start < (uint64_t)(10000 * rig_slow())) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        orphans += pid > 0 && pid != r.super;
        poll(NULL, 0, 5);
    }
    assert_int_equal(orphans, 2);
    rig_stop(&r);
}

static void test_daemon_75_no_worker_without_descriptors_of_its_supervisor(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int null_fd = open("/dev/null", O_RDWR);
        dup2(null_fd, STDERR_FILENO);
        execl(rig_env("MW_WORKER"), "wsgi-worker", (char *)NULL);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

/* poll refuses more entries than the process may have files: those of empty slots must not count. */
static void test_daemon_76_more_slots_than_descriptors(void **state)
{
    struct rlimit before, few;
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].processes = 60;
    rig_start_ready(&r);
    assert_int_equal(prlimit(r.super, RLIMIT_NOFILE, NULL, &before), 0);
    few = before;
    few.rlim_cur = 100;
    assert_int_equal(prlimit(r.super, RLIMIT_NOFILE, &few, NULL), 0);
    kill(rig_pid(&r), SIGKILL);
    rig_wait_times(&r, "was killed by SIGKILL", 1, 10000);
    rig_wait_count(&r, MW_SLOT_READY, 60, 10000);
    rig_ask(&r, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
    few.rlim_cur = 8; /* fewer than it has: it waits until that has passed */
    assert_int_equal(prlimit(r.super, RLIMIT_NOFILE, &few, NULL), 0);
    kill(r.super, SIGCHLD);
    assert_int_equal(poll(NULL, 0, 200), 0);
    assert_int_equal(prlimit(r.super, RLIMIT_NOFILE, &before, NULL), 0);
    kill(rig_pid(&r), SIGKILL);
    rig_wait_times(&r, "was killed by SIGKILL", 2, 10000);
    rig_stop(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_daemon_01_one_connection_serves_many_requests),
        T(test_daemon_02_a_small_answer_is_one_write),
        T(test_daemon_03_bodies_ride_along_or_are_asked_for),
        T(test_daemon_04_an_unread_body_does_not_spoil_the_next_request),
        T(test_daemon_05_a_broken_body_reaches_the_application),
        T(test_daemon_06_large_answers_arrive_whole),
        T(test_daemon_07_a_stream_stops_when_the_client_goes),
        T(test_daemon_08_log_lines_go_to_the_child),
        T(test_daemon_09_ends_say_what_was_wrong),
        T(test_daemon_10_threads_work_at_the_same_time),
        T(test_daemon_20_a_start_that_fails_is_tried_again_later),
        T(test_daemon_21_every_reason_is_named),
        T(test_daemon_22_a_start_that_hangs_is_ended),
        T(test_daemon_23_preloads_come_before_ready),
        T(test_daemon_24_a_worker_has_what_it_needs_and_no_more),
        T(test_daemon_25_display_name),
        T(test_daemon_30_identity_is_given_up_for_good),
        T(test_daemon_31_chroot_comes_before_the_user),
        T(test_daemon_32_the_directory_that_stops_the_user_is_named),
        T(test_daemon_33_no_python_without_the_identity_asked_for),
        T(test_daemon_40_a_killed_worker_is_replaced_within_a_second),
        T(test_daemon_41_deaths_are_decoded),
        T(test_daemon_44_one_that_has_served_is_replaced_at_once),
        T(test_daemon_42_crashing_again_and_again_is_slowed_down),
        T(test_daemon_43_under_load_only_the_killed_lose_requests),
        T(test_daemon_53_a_request_over_graceful_timeout_is_cut),
        T(test_daemon_54_a_worker_that_hangs_in_its_end_dumps_and_goes),
        T(test_daemon_60_bad_handovers_close_their_own_connection),
        T(test_daemon_61_hostile_children_lose_their_connection_only),
        T(test_daemon_62_half_a_frame_holds_no_thread),
        T(test_daemon_63_random_bytes),
        T(test_daemon_64_a_worker_that_attacks_its_supervisor_is_killed),
        T(test_daemon_65_a_stale_incarnation_is_refused),
        T(test_daemon_66_a_passed_socket_does_not_stop_the_supervisor),
        T(test_daemon_67_a_full_connection_does_not_stop_a_worker),
        T(test_daemon_68_a_worker_without_descriptors_says_so),
        T(test_daemon_69_many_connections_in_pieces),
        T(test_daemon_70_an_end_in_the_middle_of_a_start),
        T(test_daemon_71_sigterm_ends_it_too),
        T(test_daemon_72_the_end_lets_requests_finish),
        T(test_daemon_73_bytes_in_the_life_pipe_mean_nothing),
        T(test_daemon_74_a_dead_supervisor_takes_no_worker_with_it_for_long),
        T(test_daemon_75_no_worker_without_descriptors_of_its_supervisor),
        T(test_daemon_76_more_slots_than_descriptors),
    };
    const char *only = getenv("MW_ONLY"); /* part of a name */
    if (only)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
