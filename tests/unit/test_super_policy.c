/*
 * test_super_policy.c: the supervisor's policy, by table, by limit, and by years of random events.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base.h"
#include "clock.h"
#include "policy.h"

#define SECOND 1000ull
#define YEAR (365ull * 86400 * SECOND)
#define T0 1000000ull

static const struct mw_policy_limits limits = {
    .startup_ms = 60000, .graceful_ms = 15000, .shutdown_ms = 5000};

static enum mw_policy_act feed(struct mw_policy *p, enum mw_policy_event ev, uint64_t now)
{
    return mw_policy_step(p, &limits, ev, now);
}

/* A slot in the given state, reached in the ordinary way; `now` is T0 when it gets there. */
static struct mw_policy in_state(enum mw_policy_state state)
{
    struct mw_policy p;

    mw_policy_init(&p);
    if (state == MW_POL_IDLE)
        return p;
    if (state == MW_POL_FOREIGN) {
        mw_policy_foreign(&p, &limits, T0);
        return p;
    }
    assert_int_equal(feed(&p, MW_EV_WANT, T0), MW_ACT_START);
    if (state == MW_POL_WAITING)
        assert_int_equal(feed(&p, MW_EV_EXITED, T0), MW_ACT_NONE);
    if (state == MW_POL_STARTING || state == MW_POL_WAITING)
        return p;
    assert_int_equal(feed(&p, MW_EV_READY, T0), MW_ACT_ADMIT);
    if (state == MW_POL_READY)
        return p;
    if (state == MW_POL_KILLED) {
        assert_int_equal(feed(&p, MW_EV_HOSTILE, T0), MW_ACT_KILL);
        return p;
    }
    assert_int_equal(feed(&p, MW_EV_RECYCLE, T0), MW_ACT_REPLACE);
    if (state == MW_POL_TERMED)
        assert_int_equal(feed(&p, MW_EV_TICK, p.due), MW_ACT_TERM);
    return p;
}

/* -- the table -- */

struct row {
    enum mw_policy_state from;
    enum mw_policy_event ev;
    enum mw_policy_act act;
    enum mw_policy_state to;
};

static const struct row rows[] = {
    {MW_POL_IDLE, MW_EV_WANT, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_IDLE, MW_EV_STOP, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_IDLE, MW_EV_TICK, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_WAITING, MW_EV_TICK, MW_ACT_NONE, MW_POL_WAITING}, /* not yet */
    {MW_POL_WAITING, MW_EV_WANT, MW_ACT_NONE, MW_POL_WAITING},
    {MW_POL_WAITING, MW_EV_STOP, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_STARTING, MW_EV_READY, MW_ACT_ADMIT, MW_POL_READY},
    {MW_POL_STARTING, MW_EV_FAILED, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_STARTING, MW_EV_RECYCLE, MW_ACT_REFUSE, MW_POL_STARTING},
    {MW_POL_STARTING, MW_EV_HOSTILE, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_STARTING, MW_EV_STOP, MW_ACT_TERM, MW_POL_TERMED},
    {MW_POL_STARTING, MW_EV_EXITED, MW_ACT_NONE, MW_POL_WAITING},
    {MW_POL_STARTING, MW_EV_TICK, MW_ACT_NONE, MW_POL_STARTING},
    {MW_POL_READY, MW_EV_READY, MW_ACT_REFUSE, MW_POL_READY},
    {MW_POL_READY, MW_EV_FAILED, MW_ACT_REFUSE, MW_POL_READY},
    {MW_POL_READY, MW_EV_RECYCLE, MW_ACT_REPLACE, MW_POL_DRAINING},
    {MW_POL_READY, MW_EV_HOSTILE, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_READY, MW_EV_STOP, MW_ACT_TERM, MW_POL_DRAINING},
    {MW_POL_READY, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_READY, MW_EV_TICK, MW_ACT_NONE, MW_POL_READY},
    {MW_POL_DRAINING, MW_EV_READY, MW_ACT_REFUSE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_RECYCLE, MW_ACT_NONE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_HOSTILE, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_DRAINING, MW_EV_STOP, MW_ACT_NONE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_TERMED, MW_EV_READY, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_TERMED, MW_EV_FAILED, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_TERMED, MW_EV_HOSTILE, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_TERMED, MW_EV_STOP, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_TERMED, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_KILLED, MW_EV_HOSTILE, MW_ACT_NONE, MW_POL_KILLED},
    {MW_POL_KILLED, MW_EV_STOP, MW_ACT_NONE, MW_POL_KILLED},
    {MW_POL_KILLED, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_FOREIGN, MW_EV_WANT, MW_ACT_NONE, MW_POL_FOREIGN},
    {MW_POL_FOREIGN, MW_EV_EXITED, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_FOREIGN, MW_EV_STOP, MW_ACT_NONE, MW_POL_FOREIGN},
};

static void test_policy_01_every_state_answers_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_policy p = in_state(rows[i].from);
        enum mw_policy_act act = feed(&p, rows[i].ev, T0);
        if (act != rows[i].act || p.state != rows[i].to)
            fail_msg("%s, event %d: action %d (not %d), then %s (not %s)",
                     mw_policy_state_name(rows[i].from), rows[i].ev, act, rows[i].act,
                     mw_policy_state_name(p.state), mw_policy_state_name(rows[i].to));
    }
}

static void test_policy_02_stopped_slots_stay_empty(void **state)
{
    static const enum mw_policy_state from[] = {MW_POL_STARTING, MW_POL_READY,  MW_POL_DRAINING,
                                                MW_POL_TERMED,   MW_POL_KILLED, MW_POL_FOREIGN};
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(from); i++) {
        struct mw_policy p = in_state(from[i]);
        (void)!feed(&p, MW_EV_STOP, T0);
        assert_int_equal(feed(&p, MW_EV_EXITED, T0 + 1), MW_ACT_NONE);
        assert_int_equal(p.state, MW_POL_IDLE);
        assert_int_equal(feed(&p, MW_EV_TICK, T0 + YEAR), MW_ACT_NONE);
    }
}

static void test_policy_03_names(void **state)
{
    (void)state;
    assert_string_equal(mw_policy_state_name(MW_POL_IDLE), "idle");
    assert_string_equal(mw_policy_state_name(MW_POL_FOREIGN), "foreign");
    assert_string_equal(mw_policy_state_name((enum mw_policy_state)MW_POL_STATES), "?");
}

/* -- limits: one before, at, one after -- */

static void test_policy_10_due_is_the_moment(void **state)
{
    static const struct {
        enum mw_policy_state from;
        uint64_t after; /* ms */
        enum mw_policy_act act;
    } t[] = {
        {MW_POL_WAITING, MW_POLICY_BACKOFF_MS, MW_ACT_START},
        {MW_POL_STARTING, 60000, MW_ACT_TERM},
        {MW_POL_DRAINING, 15000 + 5000 + MW_POLICY_SLACK_MS, MW_ACT_TERM},
        {MW_POL_KILLED, MW_POLICY_KILL_MS, MW_ACT_KILL},
        {MW_POL_FOREIGN, 15000 + 5000 + MW_POLICY_FOREIGN_MS, MW_ACT_NONE},
    };
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(t); i++) {
        struct mw_policy p = in_state(t[i].from);
        assert_int_equal(p.due, T0 + t[i].after);
        assert_int_equal(feed(&p, MW_EV_TICK, T0 + t[i].after - 1), MW_ACT_NONE);
        assert_int_equal(p.state, t[i].from);
        struct mw_policy q = p;
        assert_int_equal(feed(&p, MW_EV_TICK, T0 + t[i].after), t[i].act);
        assert_int_equal(feed(&q, MW_EV_TICK, T0 + t[i].after + 1), t[i].act);
        assert_int_equal(p.state, q.state);
    }
}

static void test_policy_11_no_startup_timeout_means_no_limit(void **state)
{
    struct mw_policy_limits none = limits;
    struct mw_policy p;

    (void)state;
    none.startup_ms = 0;
    mw_policy_init(&p);
    assert_int_equal(mw_policy_step(&p, &none, MW_EV_WANT, T0), MW_ACT_START);
    assert_true(p.due == MW_NO_DEADLINE);
    assert_int_equal(mw_policy_step(&p, &none, MW_EV_TICK, T0 + 100 * YEAR), MW_ACT_NONE);
}

static void test_policy_12_endless_timeouts_do_not_overflow(void **state)
{
    struct mw_policy_limits huge = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    struct mw_policy p;

    (void)state;
    mw_policy_init(&p);
    assert_int_equal(mw_policy_step(&p, &huge, MW_EV_WANT, T0), MW_ACT_START);
    assert_true(p.due == MW_NO_DEADLINE);
    assert_int_equal(mw_policy_step(&p, &huge, MW_EV_READY, T0), MW_ACT_ADMIT);
    assert_int_equal(mw_policy_step(&p, &huge, MW_EV_STOP, T0), MW_ACT_TERM);
    assert_true(p.due == MW_NO_DEADLINE);
}

static void test_policy_14_a_stop_grants_no_graceful_timeout(void **state)
{
    struct mw_policy p;
    uint64_t limit = T0 + 2 * limits.shutdown_ms + MW_POLICY_SLACK_MS;

    (void)state;
    assert_true(limits.graceful_ms > limits.shutdown_ms + MW_POLICY_SLACK_MS);
    mw_policy_init(&p);
    (void)!feed(&p, MW_EV_WANT, T0);
    (void)!feed(&p, MW_EV_READY, T0);
    struct mw_policy draining = p;
    assert_int_equal(feed(&p, MW_EV_STOP, T0), MW_ACT_TERM);
    assert_true(p.due == limit);
    assert_int_equal(feed(&p, MW_EV_TICK, limit), MW_ACT_TERM);
    assert_int_equal(feed(&p, MW_EV_TICK, limit + MW_POLICY_TERM_MS), MW_ACT_KILL);
    assert_int_equal(feed(&draining, MW_EV_RECYCLE, T0), MW_ACT_REPLACE);
    assert_true(draining.due > limit);
    assert_int_equal(feed(&draining, MW_EV_STOP, T0), MW_ACT_NONE);
    assert_true(draining.due == limit);
}

static void test_policy_13_long_service_forgives(void **state)
{
    static const struct {
        uint64_t served;
        enum mw_policy_act act; /* after many quick deaths before */
    } t[] = {{MW_POLICY_SERVED_MS - 1, MW_ACT_NONE},
             {MW_POLICY_SERVED_MS, MW_ACT_START},
             {MW_POLICY_SERVED_MS + 1, MW_ACT_START}};
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(t); i++) {
        struct mw_policy p = in_state(MW_POL_READY);
        p.fails = 10;
        assert_int_equal(feed(&p, MW_EV_EXITED, T0 + t[i].served), t[i].act);
        assert_int_equal(p.fails, t[i].act == MW_ACT_START ? 0 : 11);
    }
}

/* -- back-off -- */

static void test_policy_20_failed_starts_wait_longer_and_longer(void **state)
{
    static const unsigned seconds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60, 60};
    struct mw_policy p;
    uint64_t now = T0;

    (void)state;
    mw_policy_init(&p);
    assert_int_equal(feed(&p, MW_EV_WANT, now), MW_ACT_START);
    for (size_t i = 0; i < MW_ARRAY_LEN(seconds); i++) {
        if (i % 2) /* said why before it went */
            assert_int_equal(feed(&p, MW_EV_FAILED, now), MW_ACT_NONE);
        assert_int_equal(feed(&p, MW_EV_EXITED, now), MW_ACT_NONE);
        assert_int_equal(p.state, MW_POL_WAITING);
        assert_int_equal(p.due - now, seconds[i] * SECOND);
        now = p.due;
        assert_int_equal(feed(&p, MW_EV_TICK, now), MW_ACT_START);
    }
}

static void test_policy_21_quick_deaths_are_free_at_first(void **state)
{
    static const unsigned seconds[] = {0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60};
    struct mw_policy p = in_state(MW_POL_READY);
    uint64_t now = T0;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(seconds); i++) {
        enum mw_policy_act act = feed(&p, MW_EV_EXITED, now);
        assert_int_equal(act, seconds[i] ? MW_ACT_NONE : MW_ACT_START);
        if (seconds[i]) {
            assert_int_equal(p.due - now, seconds[i] * SECOND);
            now = p.due;
            assert_int_equal(feed(&p, MW_EV_TICK, now), MW_ACT_START);
        }
        assert_int_equal(feed(&p, MW_EV_READY, now), MW_ACT_ADMIT);
    }
}

static void test_policy_22_a_hostile_worker_is_not_forgiven(void **state)
{
    struct mw_policy p = in_state(MW_POL_READY);

    (void)state;
    for (unsigned i = 0; i < MW_POLICY_FREE_DEATHS; i++) {
        assert_int_equal(feed(&p, MW_EV_HOSTILE, T0), MW_ACT_KILL);
        assert_int_equal(feed(&p, MW_EV_EXITED, T0), MW_ACT_START);
        assert_int_equal(feed(&p, MW_EV_READY, T0), MW_ACT_ADMIT);
    }
    assert_int_equal(feed(&p, MW_EV_HOSTILE, T0), MW_ACT_KILL);
    assert_int_equal(feed(&p, MW_EV_EXITED, T0), MW_ACT_NONE);
    assert_int_equal(p.state, MW_POL_WAITING);
}

static void test_policy_23_leaving_when_told_is_no_failure(void **state)
{
    struct mw_policy p = in_state(MW_POL_DRAINING);

    (void)state;
    p.fails = 2;
    assert_int_equal(feed(&p, MW_EV_EXITED, T0 + 1), MW_ACT_START);
    assert_int_equal(p.fails, 2);
}

static void test_policy_24_startup_timeout_is_a_failed_start(void **state)
{
    struct mw_policy p = in_state(MW_POL_STARTING);

    (void)state;
    uint64_t now = p.due;
    assert_int_equal(feed(&p, MW_EV_TICK, now), MW_ACT_TERM);
    now += MW_POLICY_TERM_MS;
    assert_int_equal(feed(&p, MW_EV_TICK, now), MW_ACT_KILL);
    assert_int_equal(feed(&p, MW_EV_EXITED, now), MW_ACT_NONE);
    assert_int_equal(p.state, MW_POL_WAITING);
    assert_int_equal(p.due - now, MW_POLICY_BACKOFF_MS);
}

/* -- succession -- */

static void test_policy_30_the_heir_starts_at_once_or_a_second_after(void **state)
{
    static const struct {
        uint64_t served;
        enum mw_policy_act act;
    } t[] = {{0, MW_ACT_NONE},
             {MW_POLICY_RECYCLE_MS - 1, MW_ACT_NONE},
             {MW_POLICY_RECYCLE_MS, MW_ACT_START},
             {MW_POLICY_RECYCLE_MS + 1, MW_ACT_START}};
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(t); i++) {
        struct mw_policy old = in_state(MW_POL_READY), heir = in_state(MW_POL_IDLE);
        uint64_t now = T0 + t[i].served;
        old.fails = 2;
        assert_int_equal(feed(&old, MW_EV_RECYCLE, now), MW_ACT_REPLACE);
        assert_int_equal(mw_policy_succeed(&heir, &old, &limits, now), t[i].act);
        assert_int_equal(heir.fails, 2);
        assert_int_equal(heir.wanted, 1);
        assert_int_equal(heir.state, t[i].act == MW_ACT_START ? MW_POL_STARTING : MW_POL_WAITING);
        /* and the place is not filled twice */
        assert_int_equal(feed(&old, MW_EV_EXITED, now + 1), MW_ACT_NONE);
        assert_int_equal(old.state, MW_POL_IDLE);
    }
}

static void test_policy_31_a_foreign_slot_is_used_when_it_is_free(void **state)
{
    struct mw_policy p = in_state(MW_POL_FOREIGN);

    (void)state;
    assert_false(mw_policy_alive(&p));
    assert_int_equal(feed(&p, MW_EV_WANT, T0), MW_ACT_NONE);
    assert_int_equal(feed(&p, MW_EV_EXITED, T0 + 5), MW_ACT_START);
    assert_true(mw_policy_alive(&p));
}

/* -- years -- */

static unsigned random_below(uint32_t *seed, unsigned n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % n;
}

/* A script that never loads, for ten years: one start per minute at most, for ever. */
static void test_policy_40_ten_years_of_failed_starts(void **state)
{
    struct mw_policy p;
    uint64_t now = T0, starts = 1;

    (void)state;
    mw_policy_init(&p);
    assert_int_equal(feed(&p, MW_EV_WANT, now), MW_ACT_START);
    while (now < T0 + 10 * YEAR) {
        assert_int_equal(feed(&p, MW_EV_EXITED, now), MW_ACT_NONE);
        now = p.due;
        starts += feed(&p, MW_EV_TICK, now) == MW_ACT_START;
    }
    assert_true(starts <= 10 * YEAR / (60 * SECOND) + 10);
    assert_true(starts >= 10 * YEAR / (60 * SECOND) - 1);
}

/* What a supervisor would see of the slot, kept apart from the policy's own idea of it. */
struct world {
    int process;
    int serves;
    int stopped;
    uint64_t starts;
};

static void carry_out(struct world *w, const struct mw_policy *p, enum mw_policy_act act)
{
    switch (act) {
    case MW_ACT_START:
        assert_false(w->process);
        assert_false(w->stopped);
        w->process = 1;
        w->serves = 0;
        w->starts++;
        break;
    case MW_ACT_ADMIT:
        assert_true(w->process && !w->serves);
        w->serves = 1;
        break;
    case MW_ACT_REPLACE:
        assert_true(w->serves);
        break;
    case MW_ACT_TERM:
    case MW_ACT_KILL:
        assert_true(w->process);
        break;
    default:
        break;
    }
    assert_int_equal(mw_policy_alive(p), w->process);
    /* A process that has been told to leave, or does not start, has a limit. */
    if (w->process && p->state != MW_POL_READY)
        assert_true(p->due != MW_NO_DEADLINE);
    /* Never stuck: without a process and not stopped, there is a next start. */
    if (!w->process && p->wanted)
        assert_true(p->due != MW_NO_DEADLINE);
}

static void test_policy_41_random_years_keep_the_invariants(void **state)
{
    static const enum mw_policy_event from_worker[] = {MW_EV_READY, MW_EV_FAILED, MW_EV_RECYCLE,
                                                       MW_EV_HOSTILE};
    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct world w = {0};
        struct mw_policy p;
        uint32_t r = seed;
        uint64_t now = T0;

        mw_policy_init(&p);
        carry_out(&w, &p, feed(&p, MW_EV_WANT, now));
        for (int i = 0; i < 5000; i++) {
            enum mw_policy_event ev = MW_EV_TICK;
            unsigned k = random_below(&r, 10);
            now += random_below(&r, 4) ? random_below(&r, 2000) : random_below(&r, 120000);
            if (k < 4 && w.process)
                ev = from_worker[random_below(&r, 4)];
            else if (k < 6 && w.process)
                ev = MW_EV_EXITED, w.process = 0;
            enum mw_policy_act act = feed(&p, ev, now);
            carry_out(&w, &p, act);
            if (act == MW_ACT_REFUSE)
                carry_out(&w, &p, feed(&p, MW_EV_HOSTILE, now));
        }
        w.stopped = 1;
        carry_out(&w, &p, feed(&p, MW_EV_STOP, now));
        /* Killed in the end, whatever it does; and no other follows. */
        for (int i = 0; i < 5 && w.process; i++) {
            now = p.due;
            if (p.state == MW_POL_KILLED) {
                w.process = 0;
                carry_out(&w, &p, feed(&p, MW_EV_EXITED, now));
            } else {
                carry_out(&w, &p, feed(&p, MW_EV_TICK, now));
            }
        }
        assert_false(w.process);
        assert_int_equal(p.state, MW_POL_IDLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_01_every_state_answers_as_the_table_says),
        cmocka_unit_test(test_policy_02_stopped_slots_stay_empty),
        cmocka_unit_test(test_policy_03_names),
        cmocka_unit_test(test_policy_10_due_is_the_moment),
        cmocka_unit_test(test_policy_11_no_startup_timeout_means_no_limit),
        cmocka_unit_test(test_policy_12_endless_timeouts_do_not_overflow),
        cmocka_unit_test(test_policy_13_long_service_forgives),
        cmocka_unit_test(test_policy_14_a_stop_grants_no_graceful_timeout),
        cmocka_unit_test(test_policy_20_failed_starts_wait_longer_and_longer),
        cmocka_unit_test(test_policy_21_quick_deaths_are_free_at_first),
        cmocka_unit_test(test_policy_22_a_hostile_worker_is_not_forgiven),
        cmocka_unit_test(test_policy_23_leaving_when_told_is_no_failure),
        cmocka_unit_test(test_policy_24_startup_timeout_is_a_failed_start),
        cmocka_unit_test(test_policy_30_the_heir_starts_at_once_or_a_second_after),
        cmocka_unit_test(test_policy_31_a_foreign_slot_is_used_when_it_is_free),
        cmocka_unit_test(test_policy_40_ten_years_of_failed_starts),
        cmocka_unit_test(test_policy_41_random_years_keep_the_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
