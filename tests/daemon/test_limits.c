/*
 * test_limits.c: the limits that a worker holds itself to, with a runtime that is not Python and knows no
 * RequestTimeout: what becomes of requests that nothing ends, above all at the moment at which they do
 * end. A worker looks at its requests whenever a signal wakes it; the tests use that to make it look all
 * the time.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "ask.h"
#include "clock.h"

#define SOON_MS 15000 /* deadline of what must happen */

static void init(struct rig *r)
{
    rig_init(r, fake());
    r->spec[0].log_level = 6;
    r->spec[0].interrupt_timeout_ms = 1;
}

static void fini(struct rig *r)
{
    assert_false(rig_logged(r, "WARNING: ThreadSanitizer")); /* of a worker */
    rig_stop(r);
}

static const char *in_dir(const struct rig *r, const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    return path;
}

static void let_go(const struct rig *r)
{
    int fd = open(in_dir(r, "go"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    close(fd);
}

/* The worker's main thread looks at all limits. */
static void wake(pid_t pid)
{
    kill(pid, SIGHUP);
}

static unsigned busy(const struct rig *r)
{
    struct mw_slot_info info;

    assert_int_equal(mw_board_slot(r->groups[0].board, 0, &info), 0);
    return info.busy;
}

static void wait_busy(const struct rig *r, unsigned n)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)(SOON_MS * rig_slow()));

    while (busy(r) != n) {
        if (mw_clock_ms() > deadline)
            fail_msg("%u threads are busy, not %u", busy(r), n);
        poll(NULL, 0, 2);
    }
}

static void expect_end(const struct answer *a, int end)
{
    if (a->end != end)
        fail_msg("it ended as %d, not %d; status %u, log %s", a->end, end, a->status, a->log);
}

static void ask(struct rig *r, const char *callable, const char *query, uint32_t ms, int end)
{
    struct answer a;

    rig_ask(r, &(struct ask){.callable = callable, .query = query, .timeout_ms = ms}, &a);
    expect_end(&a, end);
    answer_fini(&a);
}

static void given_up(const char *callable)
{
    struct rig r;
    struct mw_claim claim;
    struct mw_link l;
    struct mw_frame f;
    struct answer a;

    init(&r);
    r.spec[0].threads = 4;
    rig_start_ready(&r);
    pid_t pid = rig_pid(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    rig_talk(&l, &(struct ask){.callable = callable, .query = in_dir(&r, "go"), .timeout_ms = 50},
             &a);
    expect_end(&a, MW_END_TIMEOUT);
    assert_int_equal(a.status, 0);
    assert_int_equal(mw_link_recv(&l, &f), MW_ECLOSED);
    mw_link_fini(&l);
    mw_board_release(r.groups[0].board, &claim);
    answer_fini(&a);
    rig_wait_log(&r, "WSGI0761: request 'GET ?'", SOON_MS);
    rig_wait_log(&r, "fake stack dump", SOON_MS);
    assert_int_equal(busy(&r), 1); /* the thread is not there for others */
    for (int i = 0; i < 20; i++)
        ask(&r, "hello", NULL, 0, MW_END_COMPLETE);
    let_go(&r);
    wait_busy(&r, 0);
    for (int i = 0; i < 20; i++)
        ask(&r, "hello", NULL, 0, MW_END_COMPLETE);
    assert_int_equal(rig_pid(&r), pid);
    assert_int_equal(rig_log_times(&r, "WSGI0761"), 1);
    fini(&r);
}

static void test_limits_01_a_stuck_request_is_answered_in_its_place(void **state)
{
    (void)state;
    given_up("stuck");
}

static void test_limits_02_also_while_another_thread_writes_to_its_log(void **state)
{
    (void)state;
    given_up("stuck-and-talking");
}

/* The thread waits for a child that reads nothing, in the middle of a frame. */
static void test_limits_03_a_thread_that_cannot_send_is_freed(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct rig r;

    (void)state;
    init(&r);
    r.spec[0].threads = 4;
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    rig_send(&l, &(struct ask){.callable = "stream", .timeout_ms = 500});
    rig_wait_log(&r, "WSGI0761", SOON_MS);
    wait_busy(&r, 0); /* its send failed, and it came back */
    ask(&r, "hello", NULL, 0, MW_END_COMPLETE);
    mw_board_release(r.groups[0].board, &claim);
    mw_link_fini(&l);
    fini(&r);
}

/* -- requests that end at the moment at which they are given up -- */

struct racer {
    struct rig *r;
    unsigned seed, rounds;
    unsigned whole, over; /* answers */
    char failure[200];
    int done; /* atomic */
};

static void *race(void *arg)
{
    struct racer *as = arg;

    for (unsigned i = 0; i < as->rounds && !as->failure[0]; i++) {
        struct mw_claim claim;
        struct mw_link l;
        struct answer a;
        char ms[12];

        as->seed = as->seed * 1103515245u + 12345u;
        snprintf(ms, sizeof ms, "%u", 4 + (as->seed >> 16) % 6);
        rig_claim(as->r, 0, &claim);
        rig_connect(as->r, 0, &claim, &l);
        int more = 1;
        for (unsigned k = 0; k < 3 && more; k++) { /* on one connection as long as it is good */
            rig_talk(&l,
                     &(struct ask){.callable = "slow-pieces",
                                   .query = ms,
                                   .timeout_ms = 5 + (as->seed >> 8) % 3},
                     &a);
            more = a.end == MW_END_COMPLETE;
            if (more && a.n == 25)
                as->whole++;
            else if (a.end == MW_END_TIMEOUT)
                as->over++;
            else
                snprintf(as->failure, sizeof as->failure, "end %d, %zu bytes, log %.80s", a.end,
                         a.n, a.log);
            answer_fini(&a);
        }
        mw_link_fini(&l);
        mw_board_release(as->r->groups[0].board, &claim);
    }
    __atomic_store_n(&as->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void test_limits_04_at_the_moment_of_its_end(void **state)
{
    struct racer as[3] = {{.seed = 1}, {.seed = 2}, {.seed = 3}};
    pthread_t id[MW_ARRAY_LEN(as)];
    struct rig r;
    int left;

    (void)state;
    init(&r);
    r.spec[0].threads = 16; /* so that not half of them are ever lost */
    rig_start_ready(&r);
    pid_t pid = rig_pid(&r);
    for (size_t i = 0; i < MW_ARRAY_LEN(as); i++) {
        as[i].r = &r;
        as[i].rounds = 250;
        assert_int_equal(pthread_create(&id[i], NULL, race, &as[i]), 0);
    }
    do {
        left = 0;
        for (size_t i = 0; i < MW_ARRAY_LEN(as); i++)
            left += !__atomic_load_n(&as[i].done, __ATOMIC_ACQUIRE);
        wake(pid);
        poll(NULL, 0, 1);
    } while (left);
    for (size_t i = 0; i < MW_ARRAY_LEN(as); i++)
        pthread_join(id[i], NULL);
    unsigned whole = 0, over = 0;
    for (size_t i = 0; i < MW_ARRAY_LEN(as); i++) {
        if (as[i].failure[0])
            fail_msg("%s\n%s", as[i].failure, rig_log(&r));
        whole += as[i].whole;
        over += as[i].over;
    }
    print_message("%u whole, %u given up\n", whole, over);
    assert_true(whole > 50);
    assert_true(over > 50);
    wait_busy(&r, 0);
    assert_int_equal(rig_pid(&r), pid);
    fini(&r);
}

/* -- too many of them -- */

static void test_limits_05_half_of_the_threads_lost_is_too_many(void **state)
{
    static const struct {
        unsigned threads, lost;
    } rows[] = {{1, 1}, {2, 1}, {3, 2}, {5, 3}};

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct rig r;
        init(&r);
        r.spec[0].threads = rows[i].threads;
        r.spec[0].graceful_timeout_ms = 60000;
        rig_start_ready(&r);
        pid_t pid = rig_pid(&r);
        for (unsigned k = 0; k < rows[i].lost; k++) {
            assert_int_equal(rig_log_times(&r, "threads are lost"), 0);
            ask(&r, "stuck", in_dir(&r, "go"), 20, MW_END_TIMEOUT);
        }
        rig_wait_log(&r, "threads are lost to requests over their time", SOON_MS);
        rig_wait_log(&r, "fake runtime stopped: request_timeout",
                     SOON_MS); /* not held up by them */
        rig_wait_count(&r, MW_SLOT_READY, 1, SOON_MS);
        assert_int_not_equal(rig_pid(&r), pid);
        ask(&r, "hello", NULL, 0, MW_END_COMPLETE);
        fini(&r);
    }
}

/* -- the others -- */

static void *ask_hello(void *arg)
{
    for (int i = 0; i < 40; i++)
        ask(arg, "hello", NULL, 0, MW_END_COMPLETE);
    return NULL;
}

static void test_limits_06_requests_are_counted_exactly(void **state)
{
    pthread_t id[3];
    struct rig r;

    (void)state;
    init(&r);
    r.spec[0].threads = 3;
    r.spec[0].maximum_requests = 50;
    rig_start_ready(&r);
    for (int i = 0; i < 49; i++)
        ask(&r, "hello", NULL, 0, MW_END_COMPLETE);
    assert_false(rig_logged(&r, "maximum-requests"));
    for (size_t i = 0; i < MW_ARRAY_LEN(id); i++)
        assert_int_equal(pthread_create(&id[i], NULL, ask_hello, &r), 0);
    for (size_t i = 0; i < MW_ARRAY_LEN(id); i++)
        pthread_join(id[i], NULL);
    rig_wait_log(&r, "it has got 50 requests (maximum-requests)", SOON_MS);
    rig_wait_log(&r, "fake runtime stopped: maximum_requests", SOON_MS);
    fini(&r);
}

static void test_limits_07_inactivity_is_armed_by_a_request_that_counts(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    init(&r);
    r.spec[0].inactivity_timeout_ms = 200;
    rig_start_ready(&r);
    rig_ask(&r, &(struct ask){.callable = "hello", .flags = MW_REQ_IGNORE_ACTIVITY}, &a);
    answer_fini(&a);
    poll(NULL, 0, 1500); /* the worker looks at least once in that time */
    assert_false(rig_logged(&r, "inactivity"));
    ask(&r, "hello", NULL, 0, MW_END_COMPLETE);
    rig_wait_log(&r, "(inactivity-timeout)", SOON_MS);
    rig_wait_log(&r, "fake runtime stopped: inactivity_timeout", SOON_MS);
    fini(&r);
}

static void test_limits_08_a_gil_that_cannot_be_had(void **state)
{
    struct rig r;

    (void)state;
    init(&r);
    r.spec[0].deadlock_timeout_ms = 300;
    r.spec[0].python_path = "probe-hangs";
    rig_start_ready(&r);
    rig_wait_log(&r, "WSGI0763", SOON_MS);
    rig_wait_log(&r, "fake stack dump", SOON_MS);
    rig_wait_log(&r, "is replaced: its Python is stuck (deadlock-timeout)", SOON_MS);
    assert_false(rig_logged(&r, "fake runtime stopped")); /* no exit function could run */
    fini(&r);
}

static void test_limits_09_what_is_cut_is_named(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct rig r;

    (void)state;
    init(&r);
    r.spec[0].graceful_timeout_ms = 100;
    rig_start_ready(&r);
    pid_t pid = rig_pid(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    rig_send(&l, &(struct ask){.callable = "stuck", .query = in_dir(&r, "go")});
    wait_busy(&r, 1);
    kill(pid, SIGUSR1);
    rig_wait_log(&r, "WSGI0762: request 'GET ?' (id none) is cut after ", SOON_MS);
    rig_wait_log(&r, "because its process ends: graceful_signal", SOON_MS);
    mw_board_release(r.groups[0].board, &claim);
    mw_link_fini(&l);
    fini(&r);
}

/* Looked at as often as can be, the probe is never late without a reason, not even under the shortest limit
 * there is; and a process that was stopped longer than that is not stuck. */
static void test_limits_12_a_gil_that_can_be_had(void **state)
{
    struct rig r;

    (void)state;
    init(&r);
    r.spec[0].deadlock_timeout_ms = 1000;
    rig_start_ready(&r);
    pid_t pid = rig_pid(&r);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(kill(pid, SIGHUP), 0); /* which wakes its main thread */
        poll(NULL, 0, 10);
    }
    assert_false(rig_logged(&r, "WSGI0763"));
    kill(pid, SIGSTOP);
    rig_wait_log(&r, "WSGI0744", SOON_MS);
    poll(NULL, 0, 2500);
    kill(pid, SIGCONT);
    ask(&r, "hello", NULL, 0, MW_END_COMPLETE);
    poll(NULL, 0, 100);
    assert_false(rig_logged(&r, "WSGI0763"));
    assert_int_equal(rig_pid(&r), pid);
    fini(&r);
}

/* -- services -- */

static void make_service(struct rig *r, struct mw_preload *scripts, uint32_t n)
{
    init(r);
    r->spec[0].threads = 0;
    r->spec[0].preload = scripts;
    r->spec[0].npreload = n;
    r->spec[0].startup_timeout_ms = 500; /* which has nothing to do with how long they run */
}

static void test_limits_10_scripts_of_a_service_run_in_turn(void **state)
{
    struct mw_preload scripts[] = {
        {.script = MW_STR("/first"), .app_group = MW_STR("a")},
        {.script = MW_STR("/stays"), .app_group = MW_STR("a")},
        {.script = MW_STR("/never"), .app_group = MW_STR("a")},
    };
    struct rig r;

    (void)state;
    make_service(&r, scripts, MW_ARRAY_LEN(scripts));
    rig_start_ready(&r);
    rig_wait_log(&r, "runs /first in 'a'", SOON_MS);
    rig_wait_log(&r, "runs /stays in 'a'", SOON_MS);
    poll(NULL, 0, 800);
    assert_int_equal(rig_count(&r, MW_SLOT_READY), 1); /* not held to startup-timeout */
    assert_false(rig_logged(&r, "/never"));
    assert_false(rig_logged(&r, "WSGI0564"));
    fini(&r);
}

static void test_limits_11_a_service_that_ends_is_no_error_and_one_that_fails_is(void **state)
{
    struct mw_preload quits = {.script = MW_STR("/quits"), .app_group = MW_STR("")};
    struct mw_preload fails = {.script = MW_STR("/fails"), .app_group = MW_STR("")};
    struct rig r;

    (void)state;
    make_service(&r, &quits, 1);
    rig_start(&r);
    rig_wait_log(&r, "its service scripts have ended; next start in", SOON_MS);
    assert_false(rig_logged(&r, "WSGI0563"));
    fini(&r);
    make_service(&r, &fails, 1);
    rig_start(&r);
    rig_wait_log(&r, "exited with status 1; next start in", SOON_MS);
    assert_false(rig_logged(&r, "WSGI0768"));
    fini(&r);
}

#define T(f) cmocka_unit_test_teardown(f, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_limits_01_a_stuck_request_is_answered_in_its_place),
        T(test_limits_02_also_while_another_thread_writes_to_its_log),
        T(test_limits_03_a_thread_that_cannot_send_is_freed),
        T(test_limits_04_at_the_moment_of_its_end),
        T(test_limits_05_half_of_the_threads_lost_is_too_many),
        T(test_limits_06_requests_are_counted_exactly),
        T(test_limits_07_inactivity_is_armed_by_a_request_that_counts),
        T(test_limits_08_a_gil_that_cannot_be_had),
        T(test_limits_09_what_is_cut_is_named),
        T(test_limits_10_scripts_of_a_service_run_in_turn),
        T(test_limits_11_a_service_that_ends_is_no_error_and_one_that_fails_is),
        T(test_limits_12_a_gil_that_can_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
