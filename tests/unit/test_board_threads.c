/*
 * test_board_threads.c: the board under real threads and processes, some of which are killed.
 *
 * What is true is kept beside the board in memory that all processes share: for each thread of each
 * worker the number of those who believe to have it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board.h"
#include "clock.h"
#include "shm.h"

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if !defined(__linux__) /* no futex */
#define MANY 200
#define ROUNDS 300
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MANY 1500
#define ROUNDS 300
#else
#define MANY 10000
#define ROUNDS 2000
#endif
#define SLOTS 3
#define THREADS 2
#define CHILDREN 4
#define CELLS 4
#define KILLS 40
#define WATCHDOG_S 120

struct shared {
    atomic_int holder[SLOTS][THREADS]; /* pid; 0: nobody */
    atomic_uint served;
    atomic_uint doubled; /* claims of what somebody had */
    atomic_uint refused; /* claims of a group that was down, or that waits for as many as may */
    atomic_uint failed;  /* claims that returned another error */
    atomic_int stop;
};

static struct shared *share(void)
{
    struct shared *sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                             -1, 0);
    assert_true(sh != MAP_FAILED);
    memset(sh, 0, sizeof *sh);
    return sh;
}

static struct mw_board *make_limited(const struct mw_board_size *size)
{
    struct mw_board *b = NULL;
    assert_int_equal(mw_board_create(&b, size), 0);
    for (unsigned s = 0; s < size->slots; s++) {
        assert_int_not_equal(mw_board_starting(b, s, (pid_t)(1000 + s)), 0);
        mw_board_ready(b, s);
    }
    return b;
}

static struct mw_board *make(unsigned slots, unsigned threads, unsigned members, unsigned cells)
{
    return make_limited(&(struct mw_board_size){slots, threads, members, cells, 0});
}

static unsigned all_claimed(const struct mw_board *b)
{
    unsigned n = 0;
    for (unsigned s = 0; s < mw_board_slots(b); s++) {
        struct mw_slot_info info;
        assert_int_equal(mw_board_slot(b, s, &info), 0);
        n += info.claimed + info.busy;
    }
    return n;
}

static void assert_idle(const struct mw_board *b)
{
    assert_int_equal(all_claimed(b), 0);
    assert_int_equal(mw_board_waiting(b), 0);
    for (unsigned c = 0; c < b->ncells; c++) {
        assert_int_equal(b->cells[c], MW_CELL_IDLE);
    }
    for (unsigned p = 0; p < b->size.queue; p++) {
        assert_int_equal(b->places[p], 0);
    }
}

/* -- one client: claims and releases -- */

struct client {
    struct mw_board *b;
    struct shared *sh;
    unsigned rounds;
    int check; /* false: workers die, so that two may believe to have the same thread */
    pthread_t thread;
};

static void serve_one(struct client *cl)
{
    struct mw_claim c;
    int expected = 0;

    int rv = mw_board_claim(cl->b, mw_clock_deadline(60000), &c, NULL);
    if (rv == MW_EDOWN || (rv == MW_ELIMIT && cl->b->size.queue)) {
        atomic_fetch_add(&cl->sh->refused, 1);
        usleep(200);
        return;
    }
    if (rv != MW_OK) {
        atomic_fetch_add(&cl->sh->failed, 1);
        return;
    }
    atomic_int *holder = &cl->sh->holder[c.slot][c.thread];
    if (cl->check && !atomic_compare_exchange_strong(holder, &expected, (int)getpid())) {
        atomic_fetch_add(&cl->sh->doubled, 1);
    }
    mw_board_busy(cl->b, c.slot, 1);
    if (atomic_fetch_add(&cl->sh->served, 1) % 3 == 0) {
        sched_yield();
    }
    mw_board_busy(cl->b, c.slot, -1);
    if (cl->check) {
        atomic_store(holder, 0);
    }
    mw_board_release(cl->b, &c);
}

static void *client_main(void *arg)
{
    struct client *cl = arg;
    for (unsigned i = 0; i < cl->rounds && !atomic_load(&cl->sh->stop); i++) {
        serve_one(cl);
    }
    return NULL;
}

/* -- threads -- */

static void start_clients(struct client *cl, int n, const struct client *like)
{
    for (int i = 0; i < n; i++) {
        cl[i] = *like;
        assert_int_equal(pthread_create(&cl[i].thread, NULL, client_main, &cl[i]), 0);
    }
}

static void join_clients(struct client *cl, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(pthread_join(cl[i].thread, NULL), 0);
    }
}

static void test_board_90_threads_share_what_there_is(void **state)
{
    enum { CLIENTS = 12 };
    struct shared *sh = share();
    struct mw_board *b = make(SLOTS, THREADS, 1, CLIENTS);
    struct client cl[CLIENTS];
    (void)state;
    assert_int_equal(mw_board_join(b, getpid()), 0);
    start_clients(cl, CLIENTS, &(struct client){.b = b, .sh = sh, .rounds = ROUNDS, .check = 1});
    join_clients(cl, CLIENTS);
    assert_int_equal(sh->served, CLIENTS * ROUNDS);
    assert_int_equal(sh->doubled, 0);
    assert_int_equal(sh->failed, 0);
    assert_idle(b);
    mw_board_destroy(&b);
    munmap(sh, sizeof *sh);
}

/* Until *n is more than it was, or too much time has gone by. */
static void wait_for_more(const atomic_uint *n)
{
    unsigned before = atomic_load(n);
    uint64_t limit = mw_clock_deadline(20000);

    while (atomic_load(n) == before) {
        assert_true(mw_clock_ms() < limit);
        usleep(200);
    }
}

/* Who waits when the group goes down is told, who comes then too; and all are served when it is up again. */
static void test_board_90_a_group_goes_down_and_up(void **state)
{
    enum { CLIENTS = 12 };
    struct shared *sh = share();
    struct mw_board *b = make(SLOTS, THREADS, 1, CLIENTS);
    struct client cl[CLIENTS];
    (void)state;
    assert_int_equal(mw_board_join(b, getpid()), 0);
    start_clients(cl, CLIENTS, &(struct client){.b = b, .sh = sh, .rounds = UINT32_MAX});
    for (int round = 0; round < 30; round++) {
        wait_for_more(&sh->served);
        for (unsigned s = 0; s < SLOTS; s++) {
            mw_board_empty(b, s);
        }
        mw_board_down(b, mw_clock_deadline(30000));
        wait_for_more(&sh->refused);
        for (unsigned s = 0; s < SLOTS; s++) {
            assert_int_not_equal(mw_board_starting(b, s, 1000), 0);
            mw_board_ready(b, s);
        }
    }
    atomic_store(&sh->stop, 1);
    join_clients(cl, CLIENTS);
    assert_int_equal(sh->failed, 0);
    assert_int_equal(mw_board_waiting(b), 0);
    mw_board_destroy(&b);
    munmap(sh, sizeof *sh);
}

/* The busy count of a worker that is replaced under its clients is not theirs: it may be off. */
static void test_board_90_workers_come_and_go(void **state)
{
    enum { CLIENTS = 6 };
    struct shared *sh = share();
    struct mw_board *b = make(SLOTS, THREADS, 1, CLIENTS);
    struct client cl[CLIENTS];
    (void)state;
    assert_int_equal(mw_board_join(b, getpid()), 0);
    start_clients(cl, CLIENTS, &(struct client){.b = b, .sh = sh, .rounds = UINT32_MAX});
    for (unsigned i = 0; i < 200; i++) {
        if (i % 2) {
            mw_board_draining(b, i % SLOTS);
            usleep(200);
        }
        mw_board_empty(b, i % SLOTS);
        usleep(300);
        assert_int_not_equal(mw_board_starting(b, i % SLOTS, 1), 0);
        mw_board_ready(b, i % SLOTS);
    }
    atomic_store(&sh->stop, 1);
    join_clients(cl, CLIENTS);
    assert_int_equal(sh->failed, 0);
    assert_true(sh->served > 200);
    for (unsigned s = 0; s < SLOTS; s++) {
        assert_int_not_equal(mw_board_starting(b, s, 1), 0);
    }
    assert_idle(b);
    mw_board_destroy(&b);
    munmap(sh, sizeof *sh);
}

/* -- thousands wait -- */

static void *wait_main(void *arg)
{
    struct client *cl = arg;
    serve_one(cl);
    return NULL;
}

static void test_board_90_thousands_wait_for_one_thread(void **state)
{
    struct shared *sh = share();
    struct mw_board *b = make(1, 1, 1, MANY + 1);
    struct client cl = {.b = b, .sh = sh, .check = 1};
    pthread_t *threads = calloc(MANY, sizeof *threads);
    pthread_attr_t small;
    struct mw_claim c;
    unsigned n = 0;
    (void)state;
    assert_non_null(threads);
    assert_int_equal(mw_board_join(b, getpid()), 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, 128 << 10), 0);
    while (n < MANY && pthread_create(&threads[n], &small, wait_main, &cl) == 0) {
        n++;
    }
    assert_true(n >= MANY / 10); /* the machine may not have as many as we want */
    while (mw_board_waiting(b) < n) {
        usleep(1000);
    }
    mw_board_release(b, &c);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(sh->served, n);
    assert_int_equal(sh->doubled, 0);
    assert_int_equal(sh->failed, 0);
    assert_idle(b);
    pthread_attr_destroy(&small);
    free(threads);
    mw_board_destroy(&b);
    munmap(sh, sizeof *sh);
}

/* -- a queue with a limit -- */

struct crowd {
    struct mw_board *b;
    pthread_barrier_t gate;
    atomic_uint served, refused, failed;
};

static void *come_with_the_others(void *arg)
{
    struct crowd *k = arg;
    struct mw_claim c;

    pthread_barrier_wait(&k->gate);
    int rv = mw_board_claim(k->b, mw_clock_deadline(60000), &c, NULL);
    if (rv == MW_OK) {
        mw_board_release(k->b, &c);
    }
    atomic_fetch_add(rv == MW_OK ? &k->served : rv == MW_ELIMIT ? &k->refused : &k->failed, 1);
    return NULL;
}

static unsigned places_taken(const struct mw_board *b)
{
    unsigned n = 0;
    for (unsigned p = 0; p < b->size.queue; p++) {
        n += b->places[p] != 0;
    }
    return n;
}

/* n come at once while no thread is idle: exactly as many stay as may, and those are served. */
static void crowd(struct mw_board *b, unsigned n)
{
    enum { CROWD = 24 };
    struct crowd k = {.b = b};
    unsigned stay = n < b->size.queue ? n : b->size.queue;
    pthread_t threads[CROWD];
    struct mw_claim c, other;

    assert_true(n <= CROWD);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    assert_int_equal(pthread_barrier_init(&k.gate, NULL, n), 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_with_the_others, &k), 0);
    }
    while (atomic_load(&k.refused) < n - stay || places_taken(b) < stay) {
        usleep(50);
    }
    assert_int_equal(mw_board_waiting(b), stay);
    assert_int_equal(mw_board_claim(b, 0, &other, NULL), MW_ETIMEOUT); /* it does not wait */
    if (stay == b->size.queue) {
        assert_int_equal(mw_board_claim(b, mw_clock_deadline(60000), &other, NULL), MW_ELIMIT);
    }
    mw_board_release(b, &c);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(k.served, stay);
    assert_int_equal(k.refused, n - stay);
    assert_int_equal(k.failed, 0);
    assert_idle(b);
    pthread_barrier_destroy(&k.gate);
}

static void test_board_90_as_many_wait_as_may(void **state)
{
    static const unsigned limits[] = {1, 2, 3, 7};
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(limits); i++) {
        struct mw_board *b = make_limited(&(struct mw_board_size){1, 1, 1, 32, limits[i]});
        assert_int_equal(mw_board_join(b, getpid()), 0);
        for (unsigned round = 0; round < ROUNDS / 20; round++) {
            for (unsigned n = limits[i] > 1 ? limits[i] - 1 : 1; n <= limits[i] + 1; n++) {
                crowd(b, n);
            }
            crowd(b, 3 * limits[i]);
        }
        mw_board_destroy(&b);
    }
}

/* As many clients as there are threads and places, again and again, and some more. */
static void test_board_90_a_full_queue_under_load(void **state)
{
    enum { CLIENTS = 12 };
    struct shared *sh = share();
    struct mw_board *b = make_limited(&(struct mw_board_size){1, 2, 1, CLIENTS, 3});
    struct client cl[CLIENTS];
    (void)state;
    assert_int_equal(mw_board_join(b, getpid()), 0);
    start_clients(cl, CLIENTS,
                  &(struct client){.b = b, .sh = sh, .rounds = ROUNDS / 2, .check = 1});
    join_clients(cl, CLIENTS);
    assert_int_equal(sh->served + sh->refused, CLIENTS * (ROUNDS / 2));
    assert_true(sh->served > 0 && sh->refused > 0);
    assert_int_equal(sh->doubled, 0);
    assert_int_equal(sh->failed, 0);
    assert_idle(b);
    mw_board_destroy(&b);
    munmap(sh, sizeof *sh);
}

/* -- processes -- */

static void child_main(struct mw_board *b, struct shared *sh)
{
    struct client cl[CELLS];
    alarm(WATCHDOG_S);
    if (mw_board_join(b, getpid()) != MW_OK) {
        _exit(2);
    }
    for (int i = 0; i < CELLS; i++) {
        cl[i] = (struct client){.b = b, .sh = sh, .rounds = UINT32_MAX, .check = 1};
        if (pthread_create(&cl[i].thread, NULL, client_main, &cl[i]) != 0) {
            _exit(3);
        }
    }
    for (int i = 0; i < CELLS; i++) {
        pthread_join(cl[i].thread, NULL);
    }
    _exit(0);
}

static pid_t child_start(struct mw_board *b, struct shared *sh)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        child_main(b, sh);
    }
    return pid;
}

/* As httpd's parent does, when it has reaped a child. Its row must be clean before another has
 * it. */
static void child_settle(struct mw_board *b, struct shared *sh, pid_t pid)
{
    unsigned row = 0;
    while (row < CHILDREN && b->members[row] != (uint32_t)pid) {
        row++;
    }
    for (int s = 0; s < SLOTS; s++) {
        for (int t = 0; t < THREADS; t++) {
            int theirs = (int)pid;
            atomic_compare_exchange_strong(&sh->holder[s][t], &theirs, 0);
        }
    }
    mw_board_settle(b, pid);
    if (row == CHILDREN) {
        return; /* killed before it joined */
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        for (unsigned t = 0; t < THREADS; t++) {
            uint32_t owner = mw_shm_slot(b, s)->owner[t];
            assert_true(mw_owner_is_free(owner) || mw_owner_cell(owner) / CELLS != row);
        }
    }
    for (unsigned c = row * CELLS; c < (row + 1) * CELLS; c++) {
        assert_int_equal(b->cells[c], MW_CELL_IDLE);
    }
}

/* A worker counts its own busy threads; here the clients do it for it, and those that were killed
 * did not count themselves out. */
static void forget_busy(struct mw_board *b)
{
    for (unsigned s = 0; s < SLOTS; s++) {
        struct mw_slot_info info;
        assert_int_equal(mw_board_slot(b, s, &info), 0);
        mw_board_busy(b, s, -(int)info.busy);
    }
}

static void kill_children(unsigned queue)
{
    struct shared *sh = share();
    struct mw_board *b = make_limited(
        &(struct mw_board_size){SLOTS, THREADS, CHILDREN, CELLS, queue});
    pid_t pid[CHILDREN];
    unsigned seen = 0;
    int status;
    for (int i = 0; i < CHILDREN; i++) {
        pid[i] = child_start(b, sh);
    }
    for (int kills = 0; kills < KILLS; kills++) {
        int i = kills % CHILDREN;
        uint64_t limit = mw_clock_deadline(30000);
        while (atomic_load(&sh->served) < seen + 200) { /* all goes on */
            assert_true(mw_clock_ms() < limit);
            usleep(500);
        }
        assert_int_equal(kill(pid[i], SIGKILL), 0);
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_true(WIFSIGNALED(status));
        child_settle(b, sh, pid[i]);
        forget_busy(b);
        seen = atomic_load(&sh->served);
        pid[i] = child_start(b, sh);
    }
    atomic_store(&sh->stop, 1);
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        child_settle(b, sh, pid[i]);
    }
    forget_busy(b);
    assert_int_equal(sh->doubled, 0);
    assert_int_equal(sh->failed, 0);
    assert_idle(b);
    for (unsigned row = 0; row < CHILDREN; row++) {
        assert_int_equal(b->members[row], 0);
    }
    mw_board_destroy(&b);
    munmap(sh, sizeof *sh);
}

static void test_board_60_killed_children_leave_nothing(void **state)
{
    (void)state;
    kill_children(0);
}

static void test_board_60_killed_children_leave_no_place(void **state)
{
    (void)state;
    kill_children(3);
}

/* All are killed while they wait and hold: the next child finds every thread idle. */
static void test_board_60_all_children_killed_at_once(void **state)
{
    struct shared *sh = share();
    struct mw_board *b = make(SLOTS, THREADS, CHILDREN, CELLS);
    pid_t pid[CHILDREN];
    int status;
    (void)state;
    for (int round = 0; round < 10; round++) {
        unsigned seen = atomic_load(&sh->served);
        for (int i = 0; i < CHILDREN; i++) {
            pid[i] = child_start(b, sh);
        }
        while (atomic_load(&sh->served) < seen + 300) {
            usleep(500);
        }
        for (int i = 0; i < CHILDREN; i++) {
            assert_int_equal(kill(pid[i], SIGKILL), 0);
        }
        for (int i = 0; i < CHILDREN; i++) {
            assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        }
        for (int i = 0; i < CHILDREN; i++) {
            child_settle(b, sh, pid[i]);
        }
        forget_busy(b);
        assert_idle(b);
    }
    assert_int_equal(sh->doubled, 0);
    mw_board_destroy(&b);
    munmap(sh, sizeof *sh);
}

int main(void)
{
    /* Processes first: a sanitizer may not let a process fork that had threads. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_board_60_killed_children_leave_nothing),
        cmocka_unit_test(test_board_60_killed_children_leave_no_place),
        cmocka_unit_test(test_board_60_all_children_killed_at_once),
        cmocka_unit_test(test_board_90_threads_share_what_there_is),
        cmocka_unit_test(test_board_90_workers_come_and_go),
        cmocka_unit_test(test_board_90_a_group_goes_down_and_up),
        cmocka_unit_test(test_board_90_thousands_wait_for_one_thread),
        cmocka_unit_test(test_board_90_as_many_wait_as_may),
        cmocka_unit_test(test_board_90_a_full_queue_under_load),
    };
    alarm(WATCHDOG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
