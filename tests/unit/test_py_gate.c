/*
 * The gate before the GIL: who may pass, who waits how long, and when nobody waits any more.
 *
 * gate.c is pure but belongs to py/, which is no library, so it is compiled into this program.
 */
#include "samples.h"

#include <pthread.h>
#include <sched.h>

#include "../../src/py/gate.c"

#define THREADS 4
#define TURNS 20000
#define SOON_NS 1000000000u /* an upper limit for what takes some microseconds */

static void test_gate_01_the_first_passes_and_the_second_does_not(void **state)
{
    struct mw_py_gate g;

    (void)state;
    mw_py_gate_init(&g, 2);
    assert_int_equal(mw_py_gate_enter(&g), 1);
    assert_int_equal(mw_py_gate_enter(&g), 0);
    mw_py_gate_leave(&g, 100);
    assert_int_equal(mw_py_gate_enter(&g), 1);
}

static void test_gate_02_waiting_ends_though_nobody_leaves(void **state)
{
    struct mw_py_gate g;

    (void)state;
    mw_py_gate_init(&g, 2);
    assert_int_equal(mw_py_gate_enter(&g), 1);
    g.stay_ns = QUICK_NS;
    uint64_t begin = mw_clock_ns();
    assert_int_equal(mw_py_gate_enter(&g), 0);
    uint64_t took = mw_clock_ns() - begin;
    assert_true(took >= 2 * QUICK_NS + SLACK_NS + SLEEP_NS); /* it did wait, in both ways */
    assert_true(took < SOON_NS);
    assert_int_equal(g.waiting, 0);
    assert_int_equal(g.asleep, 0);
}

/* Returns whether an attempt on the closed gate waits: it then counts the one inside as slow. */
static int waits(struct mw_py_gate *g)
{
    uint32_t before = g->stay_ns;

    assert_int_equal(mw_py_gate_enter(g), 0);
    return g->stay_ns != before;
}

static void test_gate_03_only_quick_stays_are_waited_for(void **state)
{
    struct mw_py_gate g;

    (void)state;
    mw_py_gate_init(&g, 2);
    assert_int_equal(mw_py_gate_enter(&g), 1);
    g.stay_ns = QUICK_NS - 1;
    assert_true(waits(&g));
    g.stay_ns = QUICK_NS;
    assert_true(waits(&g));
    g.stay_ns = QUICK_NS + 1;
    assert_false(waits(&g));
}

static void test_gate_04_one_processor_never_waits(void **state)
{
    struct mw_py_gate g;

    (void)state;
    mw_py_gate_init(&g, 1);
    assert_int_equal(mw_py_gate_enter(&g), 1);
    assert_false(waits(&g));
    mw_py_gate_init(&g, 0);
    assert_int_equal(mw_py_gate_enter(&g), 1);
    assert_false(waits(&g));
}

static void test_gate_05_a_second_one_only_sleeps(void **state)
{
    struct mw_py_gate g;

    (void)state;
    mw_py_gate_init(&g, 2);
    assert_int_equal(mw_py_gate_enter(&g), 1);
    g.waiting = 1;
    uint64_t begin = mw_clock_ns();
    assert_true(waits(&g));
    assert_true(mw_clock_ns() - begin >= SLEEP_NS);
    assert_int_equal(g.waiting, 1); /* still the other's */
    assert_int_equal(g.asleep, 0);
}

/* A request that stays for ever must not cost all others their wait. */
static void test_gate_06_a_long_stay_is_noticed_by_those_who_wait(void **state)
{
    struct mw_py_gate g;
    int waited = 0;

    (void)state;
    mw_py_gate_init(&g, 2);
    assert_int_equal(mw_py_gate_enter(&g), 1);
    while (waits(&g))
        assert_true(++waited < 10);
    assert_true(waited > 0);
}

static void test_gate_07_slow_requests_are_forgotten(void **state)
{
    struct mw_py_gate g;
    int turns = 0;

    (void)state;
    mw_py_gate_init(&g, 2);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(mw_py_gate_enter(&g), 1);
        mw_py_gate_leave(&g, UINT64_C(5000000000));
    }
    assert_in_range(g.stay_ns, QUICK_NS + 1, SAMPLE_NS);
    for (; g.stay_ns > QUICK_NS; turns++) {
        assert_int_equal(mw_py_gate_enter(&g), 1);
        mw_py_gate_leave(&g, 5000);
    }
    assert_in_range(turns, 1, 20);
}

struct crowd {
    struct mw_py_gate gate;
    unsigned inside; /* atomic */
    unsigned wrong;  /* atomic: somebody was there */
};

static void *visit(void *arg)
{
    struct crowd *c = arg;

    for (int i = 0; i < TURNS; i++) {
        if (!mw_py_gate_enter(&c->gate))
            continue;
        if (__atomic_add_fetch(&c->inside, 1, __ATOMIC_RELAXED) != 1)
            __atomic_add_fetch(&c->wrong, 1, __ATOMIC_RELAXED);
        __atomic_sub_fetch(&c->inside, 1, __ATOMIC_RELAXED);
        mw_py_gate_leave(&c->gate, 200);
    }
    return NULL;
}

static void test_gate_08_of_many_threads_one_is_inside(void **state)
{
    struct crowd c = {.inside = 0};
    pthread_t id[THREADS];

    (void)state;
    mw_py_gate_init(&c.gate, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&id[i], NULL, visit, &c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(id[i], NULL);
    assert_int_equal(c.wrong, 0);
    assert_int_equal(c.gate.taken, 0);
    assert_int_equal(c.gate.waiting, 0);
}

static void *pass(void *arg)
{
    struct mw_py_gate *g = arg;

    assert_int_equal(mw_py_gate_enter(g), 1);
    mw_py_gate_leave(g, 200);
    return NULL;
}

static void test_gate_09_who_leaves_wakes_a_sleeper(void **state)
{
    struct mw_py_gate g;
    pthread_t id;

    (void)state;
    mw_py_gate_init(&g, 2);
    g.sleep_ns = UINT32_MAX; /* longer than the test may take */
    g.waiting = 1;           /* so that it sleeps at once */
    assert_int_equal(mw_py_gate_enter(&g), 1);
    assert_int_equal(pthread_create(&id, NULL, pass, &g), 0);
    while (!__atomic_load_n(&g.asleep, __ATOMIC_SEQ_CST))
        sched_yield();
    uint64_t begin = mw_clock_ns();
    mw_py_gate_leave(&g, 200);
    pthread_join(id, NULL);
    assert_true(mw_clock_ns() - begin < SOON_NS);
    assert_int_equal(g.asleep, 0);
    assert_int_equal(g.taken, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_01_the_first_passes_and_the_second_does_not),
        cmocka_unit_test(test_gate_02_waiting_ends_though_nobody_leaves),
        cmocka_unit_test(test_gate_03_only_quick_stays_are_waited_for),
        cmocka_unit_test(test_gate_04_one_processor_never_waits),
        cmocka_unit_test(test_gate_05_a_second_one_only_sleeps),
        cmocka_unit_test(test_gate_06_a_long_stay_is_noticed_by_those_who_wait),
        cmocka_unit_test(test_gate_07_slow_requests_are_forgotten),
        cmocka_unit_test(test_gate_08_of_many_threads_one_is_inside),
        cmocka_unit_test(test_gate_09_who_leaves_wakes_a_sleeper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
