/*
 * test_trouble.c: what the system does to a supervisor and its workers: no processes, no descriptors, full
 * sockets, processes that stand still, memory that runs out; and limits that are to prevent it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask.h"
#include "clock.h"
#include "ctl.h"
#include "io.h"
#include "rig.h"

/* Shared with the supervisor, which is a fork of this program: how many forks are still to fail. */
static volatile int *forks_to_fail;

/* In place of the C library's. */
pid_t fork(void);
pid_t fork(void)
{
    static pid_t (*real)(void);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "fork");
    if (forks_to_fail && *forks_to_fail > 0) {
        --*forks_to_fail;
        errno = EAGAIN;
        return -1;
    }
    return real();
}

static int setup_group(void **state)
{
    (void)state;
    forks_to_fail = mmap(NULL, sizeof *forks_to_fail, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return forks_to_fail == MAP_FAILED;
}

static uint64_t deadline_in(int ms)
{
    return mw_clock_deadline((uint64_t)(ms * rig_slow()));
}

static int claim_in(struct rig *r, int ms, struct mw_claim *c)
{
    return mw_board_claim(r->groups[0].board, mw_clock_deadline((uint64_t)ms), c, NULL);
}

/* -- a group without a process -- */

static void test_trouble_01_nobody_waits_for_a_group_that_is_down(void **state)
{
    struct mw_claim c;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].python_path = "start-fails";
    rig_start(&r);
    rig_wait_log(&r, "next start in 4 s", 20000);
    uint64_t start = mw_clock_ms();
    assert_int_equal(claim_in(&r, 60000, &c), MW_EDOWN);
    assert_true(mw_clock_ms() - start < 1000 * rig_slow());
    uint64_t left = mw_board_down_ms(r.groups[0].board);
    assert_true(left > MW_BOARD_DOWN_MIN_MS && left <= 4000);
    rig_stop(&r);
}

/* Who waits when the group goes down is told, too; and who waits when it is about to start is not. */
static void test_trouble_02_who_waits_is_told(void **state)
{
    struct mw_claim c;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].python_path = "start-slow start-fails-late";
    rig_start(&r);
    rig_wait_log(&r, "next start in 1 s", 20000);
    /* The second start is waited for, fails, and is followed by a wait of two seconds. */
    assert_int_equal(claim_in(&r, 60000, &c), MW_EDOWN);
    assert_true(rig_logged(&r, "next start in 2 s"));
    rig_stop(&r);
}

static void test_trouble_03_one_that_serves_is_enough(void **state)
{
    struct mw_claim c;
    struct rig r;
    char script[256];

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    script_of(&r, script, sizeof script);
    write_script(script, "good");
    (void)ask_pid(&r, MW_REQ_RELOAD, script);
    write_script(script, "broken");
    (void)ask_pid(&r, MW_REQ_RELOAD, script);
    rig_wait_log(&r, "next try in 2 s", 15000);
    assert_int_equal(mw_board_down_ms(r.groups[0].board), 0);
    assert_int_equal(claim_in(&r, 5000, &c), 0);
    mw_board_release(r.groups[0].board, &c);
    rig_stop(&r);
}

/* -- the system refuses -- */

static void test_trouble_10_without_processes(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    pid_t first = rig_pid(&r);
    *forks_to_fail = 2;
    kill(first, SIGKILL);
    rig_wait_log(&r, "WSGI0567: worker 0 of group 'test' could not be forked: Resource temporarily",
                 5000);
    rig_wait_times(&r, "WSGI0567", 2, 10000); /* a second later */
    expect_hello(&r);                         /* and again */
    assert_int_not_equal(rig_pid(&r), first);
    /* A successor that cannot be forked replaces nothing. */
    first = rig_pid(&r);
    *forks_to_fail = 1;
    kill(first, SIGUSR1);
    rig_wait_log(&r, "is not replaced: its successor could not be forked: Resource", 5000);
    assert_int_equal(ask_pid(&r, 0, NULL), first);
    wait_other(&r, 0, NULL, first);
    rig_stop(&r);
}

/* The number that the next descriptor of the process would get. */
static rlim_t next_descriptor(pid_t pid)
{
    char path[64], target[16];

    for (rlim_t n = 0;; n++) {
        snprintf(path, sizeof path, "/proc/%ld/fd/%lu", (long)pid, (unsigned long)n);
        if (readlink(path, target, sizeof target) < 0)
            return n;
    }
}

static rlim_t limit_descriptors(pid_t pid, rlim_t n)
{
    struct rlimit old, new;

    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &old), 0);
    new = old;
    new.rlim_cur = n;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &new, NULL), 0);
    return old.rlim_cur;
}

static void test_trouble_11_a_supervisor_without_descriptors(void **state)
{
    struct mw_claim claim;
    struct mw_link l;
    struct answer a;
    struct rig r;
    int idle[30];

    (void)state;
    rig_init(&r, fake());
    r.spec[0].processes = 2;
    for (size_t i = 0; i < MW_ARRAY_LEN(idle); i++)
        idle[i] = dup(
            r.log_fd); /* for the supervisor: poll takes no more entries than there may be */
    rig_start_ready(&r);
    for (size_t i = 0; i < MW_ARRAY_LEN(idle); i++)
        close(idle[i]);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);

    rlim_t before = limit_descriptors(r.super, next_descriptor(r.super));
    struct mw_slot_info info;
    assert_int_equal(mw_board_slot(r.groups[0].board, claim.slot ^ 1, &info), 0);
    kill(info.pid, SIGKILL);
    rig_wait_log(&r, "could not be forked: Too many open files", 10000);
    /* The other worker serves on over the connections that are there. */
    rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
    mw_link_fini(&l);
    /* A new one cannot be passed on: the child is told by its end. */
    rig_connect(&r, 0, &claim, &l);
    rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
    assert_int_equal(a.end, -1);
    assert_false(l.peer_known); /* so the child knows that nobody has read it */
    answer_fini(&a);
    mw_link_fini(&l);
    mw_board_release(r.groups[0].board, &claim);

    limit_descriptors(r.super, before);
    rig_wait_count(&r, MW_SLOT_READY, 2, 20000);
    expect_hello(&r);
    rig_stop(&r);
}

/* -- processes that stand still -- */

static void test_trouble_20_a_supervisor_that_stands_still(void **state)
{
    struct mw_claim claim;
    struct mw_link l, waiting;
    struct answer a;
    struct rig r;
    uint8_t msg[MW_CTL_MAX];
    int pair[2], sent = 0;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &l);
    rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
    assert_int_equal(kill(r.super, SIGSTOP), 0);

    /* Connections that are there do not need it. */
    rig_talk(&l, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);

    /* New ones wait for it; when its socket is full, who hands over waits too. */
    rig_connect(&r, 0, &claim, &waiting);
    struct mw_ctl ctl = {.type = MW_CTL_CONNECT, .slot = claim.slot, .incarnation = 999};
    int n = mw_ctl_encode(msg, &ctl);
    for (int rv = 0; rv == 0; sent++) {
        assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
        rv = mw_io_send_msg(r.handover[0], msg, (size_t)n, pair[1]);
        close(pair[0]);
        close(pair[1]);
        assert_true(rv == 0 || rv == MW_EAGAIN);
        assert_true(sent < 100000);
    }
    assert_int_equal(mw_io_wait(r.handover[0], POLLOUT, mw_clock_deadline(100)), MW_ETIMEOUT);

    assert_int_equal(kill(r.super, SIGCONT), 0);
    rig_talk(&waiting, &(struct ask){.callable = "hello"}, &a);
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
    mw_link_fini(&waiting);
    mw_link_fini(&l);
    mw_board_release(r.groups[0].board, &claim);
    expect_hello(&r);
    rig_stop(&r);
}

/* What is with it waits; what is not goes to the others; it can go on, and cannot stay for ever. */
static void test_trouble_21_a_worker_that_stands_still(void **state)
{
    struct asker k;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].processes = 2;
    rig_start_ready(&r);
    start_asker(&k, &r, "sleep", "500", 1);
    rig_wait_busy(&r, 1);
    struct mw_slot_info info;
    assert_int_equal(mw_board_slot(r.groups[0].board, 0, &info), 0);
    unsigned slot = info.busy ? 0 : 1;
    assert_int_equal(mw_board_slot(r.groups[0].board, slot, &info), 0);
    pid_t stopped = info.pid;
    kill(stopped, SIGSTOP);
    rig_wait_log(&r, "WSGI0744", 5000);
    assert_int_not_equal(ask_pid(&r, 0, NULL), stopped); /* less busy */
    assert_int_equal(__atomic_load_n(&k.good, __ATOMIC_RELAXED), 0);
    kill(stopped, SIGCONT);
    pthread_join(k.id, NULL);
    assert_int_equal(k.good, 1);
    rig_wait_log(&r, "WSGI0745", 5000);

    kill(stopped, SIGSTOP);
    rig_wait_times(&r, "WSGI0744", 2, 5000);
    mw_io_close(&r.life[1]);
    rig_stopped(&r, 30000); /* killed in the end */
    assert_true(rig_logged(&r, "has not left in time (terminated); killed"));
    rig_fini(&r);
}

/* A worker that does not read its control socket: what it cannot take is kept, then refused, and nothing of
 * this holds up the supervisor. */
static void test_trouble_22_a_worker_that_takes_no_connections(void **state)
{
    struct mw_claim claim;
    struct answer a;
    struct rig r;
    uint8_t msg[MW_CTL_MAX];
    int pair[2], kept[1000], n = 0;

    (void)state;
    rig_init(&r, fake());
    r.ngroups = 2;
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    kill(rig_pid(&r), SIGSTOP);
    rig_wait_log(&r, "WSGI0744", 5000);
    struct mw_ctl ctl = {
        .type = MW_CTL_CONNECT, .slot = claim.slot, .incarnation = claim.incarnation};
    int len = mw_ctl_encode(msg, &ctl);
    for (int refused = 0; !refused; n++) {
        assert_true(n < 1000);
        assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
        rig_hand_over(&r, msg, (size_t)len, pair[1]);
        close(pair[1]);
        kept[n] = pair[0];
        /* The end of this one: more than the socket and the supervisor keep for it. */
        refused = mw_io_wait(pair[0], POLLIN, mw_clock_deadline(n < 100 ? 0 : 20)) == 0;
    }
    assert_true(n > 128);
    rig_ask(&r, &(struct ask){.group = 1, .callable = "hello"}, &a); /* the neighbour */
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
    kill(rig_pid(&r), SIGCONT);
    /* All that were kept are greeted. */
    for (int i = 0; i < n - 1; i++)
        assert_int_equal(mw_io_wait(kept[i], POLLIN, deadline_in(10000)), 0);
    for (int i = 0; i < n; i++)
        close(kept[i]);
    mw_board_release(r.groups[0].board, &claim);
    expect_hello(&r);
    rig_stop(&r);
}

static uint64_t cpu_ms(pid_t pid)
{
    struct timespec t = {0};
    clockid_t clock;

    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &t), 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What was kept for it is kept until it has gone, and the supervisor waits for that without being busy. */
static void test_trouble_23_a_worker_that_never_takes_its_connections(void **state)
{
    struct mw_slot_info info;
    uint8_t msg[MW_CTL_MAX];
    struct rig r;
    int pair[2];

    (void)state;
    rig_init(&r, fake());
    r.spec[0].startup_timeout_ms = 500;
    r.spec[0].python_path = "start-hangs";
    rig_start(&r);
    do
        assert_int_equal(mw_board_slot(r.groups[0].board, 0, &info), 0);
    while (info.state != MW_SLOT_STARTING);
    kill(info.pid, SIGSTOP); /* no SIGTERM ends it */
    struct mw_ctl ctl = {.type = MW_CTL_CONNECT, .incarnation = info.incarnation};
    int len = mw_ctl_encode(msg, &ctl);
    assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
    rig_hand_over(&r, msg, (size_t)len, pair[1]);
    close(pair[1]);
    rig_wait_log(&r, "was not ready within startup-timeout; terminated", 5000);
    uint64_t before = cpu_ms(r.super);
    rig_wait_log(&r, "has not left in time (terminated); killed", 5000);
    assert_true(cpu_ms(r.super) - before < 200);
    assert_int_equal(mw_io_wait(pair[0], POLLIN, deadline_in(5000)), 0); /* its end */
    close(pair[0]);
    rig_stop(&r);
}

/* -- limits -- */

/* For the supervisor, not for this process: time flies. */
static uint64_t fast_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) * 16;
}

static void start_fast(struct rig *r)
{
    r->spec[0].startup_timeout_ms = 0;
    r->spec[0].graceful_timeout_ms *= 16;
    r->spec[0].shutdown_timeout_ms *= 16;
    mw_clock_replace(fast_clock);
    rig_start(r);
    mw_clock_replace(NULL);
    rig_wait_count(r, MW_SLOT_READY, 1, 20000);
}

static void grow(struct rig *r, const char *megabytes)
{
    struct answer a;

    rig_ask_patiently(r, &(struct ask){.callable = "grow", .query = megabytes}, &a);
    answer_fini(&a);
}

static void test_trouble_30_over_the_soft_limit_it_is_replaced(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].memory_soft = (int64_t)(200 * rig_slow()) << 20;
    start_fast(&r);
    pid_t first = ask_pid(&r, 0, NULL);
    poll(NULL, 0, 1000); /* a worker within its limit stays, for more than ten of its seconds */
    assert_int_equal(ask_pid(&r, 0, NULL), first);
    grow(&r, "250");
    if (rig_slow() > 1)
        grow(&r, "1000");
    wait_other(&r, 0, NULL, first);
    assert_true(rig_logged(&r, "is to be replaced: it has "));
    assert_true(rig_logged(&r, "MB of resident memory, more than memory-soft="));
    assert_int_equal(rig_log_times(&r, "WSGI0563"), 0);
    rig_stop(&r);
}

static void test_trouble_31_over_the_hard_limit_it_is_killed(void **state)
{
    struct answer a;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].memory_hard = (int64_t)(200 * rig_slow()) << 20;
    rig_start_ready(&r);
    pid_t first = rig_pid(&r);
    rig_ask(&r, &(struct ask){.callable = "grow-and-sleep", .query = "1500"}, &a);
    assert_int_equal(a.end, -1);
    answer_fini(&a);
    rig_wait_log(&r, "of resident memory, more than memory-hard=; killed", 5000);
    rig_wait_log(&r, "was killed by SIGKILL (9); a new one is started now", 5000);
    assert_int_not_equal(ask_pid(&r, 0, NULL), first);
    rig_stop(&r);
}

static void test_trouble_32_an_old_one_is_replaced(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    r.spec[0].restart_interval_ms = 1200;
    rig_start_ready(&r);
    pid_t first = ask_pid(&r, 0, NULL);
    pid_t second = wait_other(&r, 0, NULL, first);
    wait_other(&r, 0, NULL, second);
    assert_true(rig_logged(&r, "is replaced: it has served for restart-interval"));
    rig_stop(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(test_trouble_01_nobody_waits_for_a_group_that_is_down),
        T(test_trouble_02_who_waits_is_told),
        T(test_trouble_03_one_that_serves_is_enough),
        T(test_trouble_10_without_processes),
        T(test_trouble_11_a_supervisor_without_descriptors),
        T(test_trouble_20_a_supervisor_that_stands_still),
        T(test_trouble_21_a_worker_that_stands_still),
        T(test_trouble_22_a_worker_that_takes_no_connections),
        T(test_trouble_23_a_worker_that_never_takes_its_connections),
        T(test_trouble_30_over_the_soft_limit_it_is_replaced),
        T(test_trouble_31_over_the_hard_limit_it_is_killed),
        T(test_trouble_32_an_old_one_is_replaced),
    };
    const char *only = getenv("MW_ONLY"); /* part of a name */
    if (only)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, setup_group, NULL);
}
