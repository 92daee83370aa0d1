/*
 * test_roll.c: workers that are replaced while they serve: never without a successor that is ready, one of
 * a group at a time, and not by code that cannot be imported.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "clock.h"
#include "io.h"
#include "rig.h"

static void test_roll_01_a_changed_script_replaces_the_process(void **state)
{
    struct asker k;
    char script[256], says[512];
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    script_of(&r, script, sizeof script);
    touch(script);
    pid_t first = ask_pid(&r, MW_REQ_RELOAD, script);
    assert_int_equal(ask_pid(&r, MW_REQ_RELOAD, script), first);
    start_asker(&k, &r, "sleep", "4000", 1);
    rig_wait_busy(&r, 1);
    touch(script);
    pid_t second = wait_other(&r, MW_REQ_RELOAD, script, first);
    /* The new one did not wait for the old one's request, and that was not cut. */
    assert_int_equal(k.good + k.lost, 0);
    assert_int_equal(rig_count(&r, MW_SLOT_DRAINING), 1);
    assert_int_equal(rig_count(&r, MW_SLOT_READY), 1);
    assert_int_equal(ask_pid(&r, MW_REQ_RELOAD, script), second);
    pthread_join(k.id, NULL);
    assert_int_equal(k.good, 1);
    rig_wait_count(&r, MW_SLOT_DRAINING, 0, 5000);
    assert_true(rig_logged(&r, "is to be replaced: script changed: "));
    assert_true(rig_logged(&r, "is replaced: script changed: "));
    assert_true(rig_logged(&r, "exited with status 0, as it was told to"));
    /* The successor was ready only with the script. */
    snprintf(says, sizeof says, "preloaded %s in ''", script);
    assert_true(rig_logged(&r, says));
    assert_int_equal(rig_log_times(&r, "WSGI0741"), 1); /* asked once, not by every request */
    rig_stop(&r);
}

/* Until the askers have got so many answers more. */
static void wait_answers(struct rig *r, const struct asker *k, int n, int more)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)(10000 * rig_slow()));
    int before = -1, now;

    do {
        now = 0;
        for (int i = 0; i < n; i++)
            now += __atomic_load_n(&k[i].good, __ATOMIC_RELAXED);
        before = before < 0 ? now : before;
        if (mw_clock_ms() > deadline)
            fail_msg("no answers any more:\n%s", rig_log(r));
        poll(NULL, 0, 2);
    } while (now < before + more);
}

static void test_roll_02_no_request_is_lost_in_replacements(void **state)
{
    struct asker k[4];
    char script[256];
    struct rig r;
    int stop = 0;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].processes = 2;
    rig_start_ready(&r);
    script_of(&r, script, sizeof script);
    touch(script);
    for (int i = 0; i < 4; i++) {
        k[i] = (struct asker){
            .r = &r,
            .ask = {.callable = "hello", .script = script, .flags = MW_REQ_RELOAD},
            .stop = &stop};
        assert_int_equal(pthread_create(&k[i].id, NULL, ask_often, &k[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        rig_wait_count(&r, MW_SLOT_READY, 2, 10000);
        wait_answers(&r, k, 4, 200); /* each worker has loaded it */
        touch(script);
        rig_wait_times(&r, "is replaced: script changed", (unsigned)i + 1, 10000);
    }
    rig_wait_count(&r, MW_SLOT_READY, 2, 10000);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++) {
        pthread_join(k[i].id, NULL);
        assert_true(k[i].good > 0);
        assert_int_equal(k[i].lost, 0);
    }
    rig_stop(&r);
}

static void test_roll_03_a_signal_to_a_worker_replaces_it(void **state)
{
    static const int signals[] = {SIGUSR1, SIGTERM, SIGINT};
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (size_t i = 0; i < MW_ARRAY_LEN(signals); i++) {
        pid_t pid = ask_pid(&r, 0, NULL);
        kill(pid, signals[i]);
        wait_other(&r, 0, NULL, pid);
        rig_wait_count(&r, MW_SLOT_DRAINING, 0, 5000);
    }
    assert_int_equal(rig_log_times(&r, "WSGI0566"), 3);
    assert_int_equal(rig_log_times(&r, "WSGI0741"), 1); /* the others do not wait */
    assert_int_equal(rig_log_times(&r, "WSGI0563"), 0);
    rig_stop(&r);
}

/* New code that cannot be imported replaces nothing; once it can, it does, without being asked again. */
static void test_roll_04_broken_code_does_not_replace_what_serves(void **state)
{
    char script[256], says[512];
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    script_of(&r, script, sizeof script);
    write_script(script, "good");
    pid_t first = ask_pid(&r, MW_REQ_RELOAD, script);
    write_script(script, "broken");
    assert_int_equal(ask_pid(&r, MW_REQ_RELOAD, script), first);
    rig_wait_log(&r, "WSGI0740", 10000);
    snprintf(says, sizeof says,
             "WSGI0740: worker 0 of group 'test' (pid %ld) is not replaced: its "
             "successor could not preload scripts: '%s' cannot be imported, the log has the reason "
             "above; it exited with status 1; it serves on with what it has, next try in 1 s",
             (long)first, script);
    if (!rig_logged(&r, says))
        fail_msg("not \"%s\" in:\n%s", says, rig_log(&r));
    assert_int_equal(ask_pid(&r, MW_REQ_RELOAD, script), first);
    rig_wait_log(&r, "next try in 2 s", 10000);
    write_script(script, "good again");
    wait_other(&r, 0, script, first); /* no request looks: it is tried again anyway */
    assert_int_equal(rig_log_times(&r, "WSGI0741"), 1);
    assert_int_equal(rig_log_times(&r, "WSGI0562"), 0);
    rig_stop(&r);
}

/* With the file changed again nothing waits for the back-off. */
static void test_roll_05_mended_code_is_tried_at_once(void **state)
{
    char script[256];
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    script_of(&r, script, sizeof script);
    write_script(script, "good");
    pid_t first = ask_pid(&r, MW_REQ_RELOAD, script);
    write_script(script, "broken");
    (void)ask_pid(&r, MW_REQ_RELOAD, script);
    rig_wait_log(&r, "next try in 4 s", 15000);
    write_script(script, "good again");
    uint64_t start = mw_clock_ms();
    wait_other(&r, MW_REQ_RELOAD, script, first);
    assert_true(mw_clock_ms() - start < 3000 * rig_slow());
    rig_stop(&r);
}

/* A script of the group's own that was imported when the old one started must be imported by the new one,
 * whatever the reason; one that was broken all along is no obstacle. */
static void test_roll_06_preloaded_scripts_must_still_load(void **state)
{
    for (int broken_before = 0; broken_before <= 1; broken_before++) {
        char script[256];
        struct mw_preload preload[] = {{{script, 0}, {"", 0}, 0, {"", 0}, 0}};
        struct rig r;

        (void)state;
        rig_init(&r, fake());
        script_of(&r, script, sizeof script);
        preload[0].script.n = strlen(script);
        r.spec[0].preload = preload;
        r.spec[0].npreload = 1;
        write_script(script, broken_before ? "broken" : "good");
        rig_start_ready(&r);
        pid_t first = rig_pid(&r);
        write_script(script, "broken");
        kill(first, SIGUSR1);
        if (broken_before) {
            wait_other(&r, 0, NULL, first);
        } else {
            rig_wait_log(&r, "WSGI0740", 10000);
            assert_int_equal(ask_pid(&r, 0, NULL), first);
            kill(first, SIGKILL); /* now there is nothing to lose */
            rig_wait_log(&r, "was killed by SIGKILL", 5000);
            assert_int_not_equal(ask_pid(&r, 0, NULL), first);
        }
        rig_stop(&r);
    }
}

static void test_roll_07_a_successor_that_hangs_replaces_nothing(void **state)
{
    char script[256];
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].python_path = "preload-hangs";
    r.spec[0].startup_timeout_ms = 500;
    rig_start_ready(&r);
    snprintf(script, sizeof script, "%s/hangs.wsgi", r.dir);
    touch(script);
    pid_t first = ask_pid(&r, MW_REQ_RELOAD, script);
    touch(script);
    (void)ask_pid(&r, MW_REQ_RELOAD, script);
    rig_wait_log(&r, "is not replaced: its successor was killed by SIGTERM (15); it serves on",
                 10000);
    assert_int_equal(ask_pid(&r, 0, script), first);
    assert_int_equal(rig_count(&r, MW_SLOT_READY), 1);
    rig_stop(&r);
}

/* One of a group at a time: never more than one process beyond those that serve. */
static void test_roll_08_one_of_a_group_at_a_time(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].python_path = "start-slow";
    r.spec[0].processes = 3;
    rig_start_ready(&r);
    for (unsigned i = 0; i < 3; i++) {
        struct mw_slot_info info;
        assert_int_equal(mw_board_slot(r.groups[0].board, i, &info), 0);
        kill(info.pid, SIGUSR1);
    }
    uint64_t deadline = mw_clock_deadline((uint64_t)(20000 * rig_slow()));
    while (rig_log_times(&r, "WSGI0566") < 3) {
        assert_true(mw_clock_ms() < deadline);
        unsigned starting = rig_count(&r, MW_SLOT_STARTING);
        assert_true(starting <= 1);
        assert_true(rig_count(&r, MW_SLOT_READY) >= 3);
        poll(NULL, 0, 1);
    }
    rig_wait_count(&r, MW_SLOT_DRAINING, 0, 10000);
    assert_int_equal(rig_count(&r, MW_SLOT_READY), 3);
    rig_stop(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_roll_01_a_changed_script_replaces_the_process),
        T(test_roll_02_no_request_is_lost_in_replacements),
        T(test_roll_03_a_signal_to_a_worker_replaces_it),
        T(test_roll_04_broken_code_does_not_replace_what_serves),
        T(test_roll_05_mended_code_is_tried_at_once),
        T(test_roll_06_preloaded_scripts_must_still_load),
        T(test_roll_07_a_successor_that_hangs_replaces_nothing),
        T(test_roll_08_one_of_a_group_at_a_time),
    };
    const char *only = getenv("MW_ONLY"); /* part of a name */
    if (only)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
