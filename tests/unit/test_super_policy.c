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
        assert_int_equal(feed(&p, MW_EV_KILL, T0), MW_ACT_KILL);
        return p;
    }
    if (state == MW_POL_ASKED) {
        assert_int_equal(feed(&p, MW_EV_RECYCLE, T0), MW_ACT_NONE);
        return p;
    }
    assert_int_equal(feed(&p, MW_EV_LEAVING, T0), MW_ACT_DRAIN);
    if (state == MW_POL_TERMED)
        assert_int_equal(feed(&p, MW_EV_TICK, p.due), MW_ACT_TERM);
    return p;
}

/* A group of three places, one ROLLING since T0: slot 0 is the old one, slot 1 its successor. */
#define N 3
static void rolling(struct mw_policy slots[N])
{
    unsigned slot;

    for (unsigned i = 0; i < N; i++)
        slots[i] = in_state(MW_POL_IDLE);
    slots[0] = in_state(MW_POL_ASKED);
    assert_int_equal(slots[0].due, T0 + MW_POLICY_RECYCLE_MS);
    assert_int_equal(mw_policy_settle(slots, N, &limits, T0 + MW_POLICY_RECYCLE_MS - 1, &slot),
                     MW_ACT_NONE);
    assert_int_equal(mw_policy_settle(slots, N, &limits, T0 + MW_POLICY_RECYCLE_MS, &slot),
                     MW_ACT_START);
    assert_int_equal(slot, 1);
    assert_int_equal(slots[0].state, MW_POL_ROLLING);
    assert_int_equal(slots[1].state, MW_POL_STARTING);
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
    {MW_POL_IDLE, MW_EV_RETIRE, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_IDLE, MW_EV_TICK, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_IDLE, MW_EV_REPLACE, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_WAITING, MW_EV_REPLACE, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_FOREIGN, MW_EV_REPLACE, MW_ACT_NONE, MW_POL_FOREIGN},
    {MW_POL_TERMED, MW_EV_LEAVING, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_KILLED, MW_EV_REPLACE, MW_ACT_NONE, MW_POL_KILLED},
    {MW_POL_WAITING, MW_EV_TICK, MW_ACT_NONE, MW_POL_WAITING}, /* not yet */
    {MW_POL_WAITING, MW_EV_WANT, MW_ACT_NONE, MW_POL_WAITING},
    {MW_POL_WAITING, MW_EV_STOP, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_WAITING, MW_EV_RETIRE, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_STARTING, MW_EV_READY, MW_ACT_ADMIT, MW_POL_READY},
    {MW_POL_STARTING, MW_EV_FAILED, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_STARTING, MW_EV_RECYCLE, MW_ACT_REFUSE, MW_POL_STARTING},
    {MW_POL_STARTING, MW_EV_LEAVING, MW_ACT_REFUSE, MW_POL_STARTING},
    {MW_POL_STARTING, MW_EV_REPLACE, MW_ACT_NONE, MW_POL_STARTING},
    {MW_POL_STARTING, MW_EV_KILL, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_STARTING, MW_EV_STOP, MW_ACT_TERM, MW_POL_TERMED},
    {MW_POL_STARTING, MW_EV_RETIRE, MW_ACT_TERM, MW_POL_TERMED},
    {MW_POL_STARTING, MW_EV_EXITED, MW_ACT_NONE, MW_POL_WAITING},
    {MW_POL_STARTING, MW_EV_TICK, MW_ACT_NONE, MW_POL_STARTING},
    {MW_POL_READY, MW_EV_READY, MW_ACT_REFUSE, MW_POL_READY},
    {MW_POL_READY, MW_EV_FAILED, MW_ACT_REFUSE, MW_POL_READY},
    {MW_POL_READY, MW_EV_RECYCLE, MW_ACT_NONE, MW_POL_ASKED},
    {MW_POL_READY, MW_EV_REPLACE, MW_ACT_NONE, MW_POL_ASKED},
    {MW_POL_READY, MW_EV_LEAVING, MW_ACT_DRAIN, MW_POL_DRAINING},
    {MW_POL_READY, MW_EV_KILL, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_READY, MW_EV_STOP, MW_ACT_TERM, MW_POL_DRAINING},
    {MW_POL_READY, MW_EV_RETIRE, MW_ACT_DRAIN, MW_POL_DRAINING},
    {MW_POL_READY, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_READY, MW_EV_TICK, MW_ACT_NONE, MW_POL_READY},
    {MW_POL_ASKED, MW_EV_READY, MW_ACT_REFUSE, MW_POL_ASKED},
    {MW_POL_ASKED, MW_EV_FAILED, MW_ACT_REFUSE, MW_POL_ASKED},
    {MW_POL_ASKED, MW_EV_RECYCLE, MW_ACT_NONE, MW_POL_ASKED},
    {MW_POL_ASKED, MW_EV_REPLACE, MW_ACT_NONE, MW_POL_ASKED},
    {MW_POL_ASKED, MW_EV_LEAVING, MW_ACT_DRAIN, MW_POL_DRAINING},
    {MW_POL_ASKED, MW_EV_KILL, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_ASKED, MW_EV_STOP, MW_ACT_TERM, MW_POL_DRAINING},
    {MW_POL_ASKED, MW_EV_RETIRE, MW_ACT_DRAIN, MW_POL_DRAINING},
    {MW_POL_ASKED, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_ASKED, MW_EV_TICK, MW_ACT_NONE, MW_POL_ASKED},
    {MW_POL_DRAINING, MW_EV_READY, MW_ACT_REFUSE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_RECYCLE, MW_ACT_NONE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_LEAVING, MW_ACT_NONE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_REPLACE, MW_ACT_NONE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_KILL, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_DRAINING, MW_EV_STOP, MW_ACT_NONE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_RETIRE, MW_ACT_NONE, MW_POL_DRAINING},
    {MW_POL_DRAINING, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_TERMED, MW_EV_READY, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_TERMED, MW_EV_FAILED, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_TERMED, MW_EV_KILL, MW_ACT_KILL, MW_POL_KILLED},
    {MW_POL_TERMED, MW_EV_STOP, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_TERMED, MW_EV_RETIRE, MW_ACT_NONE, MW_POL_TERMED},
    {MW_POL_TERMED, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_KILLED, MW_EV_KILL, MW_ACT_NONE, MW_POL_KILLED},
    {MW_POL_KILLED, MW_EV_STOP, MW_ACT_NONE, MW_POL_KILLED},
    {MW_POL_KILLED, MW_EV_RETIRE, MW_ACT_NONE, MW_POL_KILLED},
    {MW_POL_KILLED, MW_EV_EXITED, MW_ACT_START, MW_POL_STARTING},
    {MW_POL_FOREIGN, MW_EV_WANT, MW_ACT_NONE, MW_POL_FOREIGN},
    {MW_POL_FOREIGN, MW_EV_EXITED, MW_ACT_NONE, MW_POL_IDLE},
    {MW_POL_FOREIGN, MW_EV_STOP, MW_ACT_NONE, MW_POL_FOREIGN},
    {MW_POL_FOREIGN, MW_EV_RETIRE, MW_ACT_NONE, MW_POL_FOREIGN},
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

static void test_policy_04_retired_slots_finish_and_stay_empty_until_wanted(void **state)
{
    static const enum mw_policy_state from[] = {MW_POL_STARTING, MW_POL_READY,  MW_POL_ASKED,
                                                MW_POL_DRAINING, MW_POL_TERMED, MW_POL_KILLED,
                                                MW_POL_FOREIGN};
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(from); i++) {
        struct mw_policy p = in_state(from[i]);
        (void)!feed(&p, MW_EV_RETIRE, T0);
        if (p.state == MW_POL_DRAINING) /* the requests get as long as in a replacement */
            assert_int_equal(p.due, T0 + 15000 + 5000 + MW_POLICY_SLACK_MS);
        assert_int_equal(feed(&p, MW_EV_EXITED, T0 + 1), MW_ACT_NONE);
        assert_int_equal(p.state, MW_POL_IDLE);
        assert_int_equal(feed(&p, MW_EV_TICK, T0 + YEAR), MW_ACT_NONE);
        assert_int_equal(feed(&p, MW_EV_WANT, T0 + YEAR), MW_ACT_START);
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
    struct mw_policy_limits huge = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    struct mw_policy p;

    (void)state;
    mw_policy_init(&p);
    assert_int_equal(mw_policy_step(&p, &huge, MW_EV_WANT, T0), MW_ACT_START);
    assert_true(p.due == MW_NO_DEADLINE);
    assert_int_equal(mw_policy_step(&p, &huge, MW_EV_READY, T0), MW_ACT_ADMIT);
    assert_true(p.due == MW_NO_DEADLINE);
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
    assert_int_equal(feed(&draining, MW_EV_LEAVING, T0), MW_ACT_DRAIN);
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

/* One that was killed while it worked is replaced at once, however often; one that never got so far, or was
 * killed for what it sent, is not. */
static void test_policy_14_who_has_served_is_replaced_at_once(void **state)
{
    struct mw_policy p = in_state(MW_POL_READY);

    (void)state;
    for (int i = 0; i < 100; i++) {
        if (i % 2) /* its socket was seen to end first */
            assert_int_equal(feed(&p, MW_EV_LOST, T0), MW_ACT_KILL);
        assert_int_equal(feed(&p, MW_EV_SERVED, T0), MW_ACT_NONE);
        assert_int_equal(feed(&p, MW_EV_EXITED, T0), MW_ACT_START);
        assert_int_equal(feed(&p, MW_EV_READY, T0), MW_ACT_ADMIT);
    }
    p.fails = 10;
    assert_int_equal(feed(&p, MW_EV_LOST, T0), MW_ACT_KILL);
    assert_int_equal(feed(&p, MW_EV_EXITED, T0), MW_ACT_NONE);
    assert_int_equal(p.fails, 11);
    p = in_state(MW_POL_READY);
    p.fails = 10;
    assert_int_equal(feed(&p, MW_EV_SERVED, T0), MW_ACT_NONE);
    assert_int_equal(feed(&p, MW_EV_KILL, T0), MW_ACT_KILL);
    assert_int_equal(feed(&p, MW_EV_EXITED, T0), MW_ACT_NONE);
    assert_int_equal(p.state, MW_POL_WAITING);
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
    static const unsigned ms[] = {0,    0,    0,    50,    100,   200,   400,   800,
                                  1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000};
    struct mw_policy p = in_state(MW_POL_READY);
    uint64_t now = T0;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(ms); i++) {
        enum mw_policy_act act = feed(&p, MW_EV_EXITED, now);
        assert_int_equal(act, ms[i] ? MW_ACT_NONE : MW_ACT_START);
        if (ms[i]) {
            assert_int_equal(p.due - now, ms[i]);
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
        assert_int_equal(feed(&p, MW_EV_KILL, T0), MW_ACT_KILL);
        assert_int_equal(feed(&p, MW_EV_EXITED, T0), MW_ACT_START);
        assert_int_equal(feed(&p, MW_EV_READY, T0), MW_ACT_ADMIT);
    }
    assert_int_equal(feed(&p, MW_EV_KILL, T0), MW_ACT_KILL);
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

static enum mw_policy_act settle(struct mw_policy slots[N], uint64_t now, unsigned *slot)
{
    return mw_policy_settle(slots, N, &limits, now, slot);
}

static void test_policy_30_who_leaves_is_followed_at_once_or_a_second_after(void **state)
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
        struct mw_policy s[N] = {in_state(MW_POL_READY), in_state(MW_POL_IDLE),
                                 in_state(MW_POL_IDLE)};
        uint64_t now = T0 + t[i].served;
        unsigned slot;
        s[0].fails = 2;
        assert_int_equal(feed(&s[0], MW_EV_LEAVING, now), MW_ACT_DRAIN);
        assert_int_equal(settle(s, now, &slot), t[i].act);
        assert_true(t[i].act == MW_ACT_NONE || slot == 1);
        assert_int_equal(s[1].fails, 2);
        assert_int_equal(s[1].wanted, 1);
        assert_int_equal(s[1].state, t[i].act == MW_ACT_START ? MW_POL_STARTING : MW_POL_WAITING);
        assert_int_equal(settle(s, now, &slot), MW_ACT_NONE);
        /* and the place is not filled twice */
        assert_int_equal(feed(&s[0], MW_EV_EXITED, now + 1), MW_ACT_NONE);
        assert_int_equal(s[0].state, MW_POL_IDLE);
        assert_int_equal(settle(s, now + 1, &slot), MW_ACT_NONE);
    }
}

static void test_policy_32_the_old_one_goes_when_its_successor_is_ready(void **state)
{
    struct mw_policy s[N];
    uint64_t now = T0 + 5000;
    unsigned slot;

    (void)state;
    rolling(s);
    assert_int_equal(settle(s, now, &slot), MW_ACT_NONE);
    assert_true(mw_policy_serves(&s[0]));
    assert_int_equal(feed(&s[1], MW_EV_READY, now), MW_ACT_ADMIT);
    assert_int_equal(settle(s, now, &slot), MW_ACT_DRAIN);
    assert_int_equal(slot, 0);
    assert_int_equal(s[0].state, MW_POL_DRAINING);
    assert_int_equal(s[1].state, MW_POL_READY);
    assert_int_equal(s[0].wanted + s[1].wanted, 1);
    assert_int_equal(settle(s, now, &slot), MW_ACT_NONE);
    assert_int_equal(feed(&s[0], MW_EV_EXITED, now), MW_ACT_NONE);
    assert_int_equal(s[0].state, MW_POL_IDLE);
}

/* Its successor starts and fails `times` times in a row; returns when the last did. */
static uint64_t fail_successors(struct mw_policy s[N], unsigned times, uint64_t now)
{
    static const unsigned seconds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    unsigned slot;

    for (unsigned i = 0; i < times; i++) {
        assert_int_equal(s[0].state, MW_POL_ROLLING);
        assert_int_equal(feed(&s[1], MW_EV_EXITED, now), MW_ACT_NONE);
        assert_int_equal(settle(s, now, &slot), MW_ACT_KEEP);
        assert_int_equal(slot, 0);
        assert_int_equal(s[0].state, MW_POL_ASKED);
        assert_int_equal(s[0].tries, i + 1);
        assert_int_equal(s[0].due - now, seconds[i] * SECOND);
        if (i + 1 == times)
            break;
        assert_int_equal(settle(s, s[0].due - 1, &slot), MW_ACT_NONE);
        now = s[0].due;
        assert_int_equal(settle(s, now, &slot), MW_ACT_START);
    }
    return now;
}

static void test_policy_33_a_successor_that_fails_is_tried_later_and_later(void **state)
{
    struct mw_policy s[N];

    (void)state;
    rolling(s);
    (void)!feed(&s[1], MW_EV_FAILED, T0 + 2000); /* it said why before it went */
    fail_successors(s, 9, T0 + 2000);
    assert_true(mw_policy_serves(&s[0]));
    assert_int_equal(s[1].fails, 0);
}

static void test_policy_34_something_new_is_tried_at_once(void **state)
{
    static const enum mw_policy_event asks[] = {MW_EV_RECYCLE, MW_EV_REPLACE};
    unsigned slot;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(asks); i++) {
        struct mw_policy s[N];
        rolling(s);
        uint64_t now = fail_successors(s, 6, T0 + 2000) + 1500;
        assert_int_equal(settle(s, now, &slot), MW_ACT_NONE);
        assert_int_equal(feed(&s[0], asks[i], now), MW_ACT_NONE);
        assert_int_equal(settle(s, now, &slot), MW_ACT_START);
        /* while it starts: as soon as it has failed, but not more often than once a second */
        assert_int_equal(feed(&s[0], asks[i], now), MW_ACT_NONE);
        assert_int_equal(feed(&s[1], MW_EV_EXITED, now + 1), MW_ACT_NONE);
        assert_int_equal(settle(s, now + 1, &slot), MW_ACT_KEEP);
        assert_int_equal(s[0].due, now + MW_POLICY_RECYCLE_MS);
        assert_int_equal(settle(s, s[0].due, &slot), MW_ACT_START);
    }
}

static void test_policy_35_one_of_a_group_at_a_time_who_asked_first(void **state)
{
    struct mw_policy s[4];
    unsigned slot;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        s[i] = in_state(i < 2 ? MW_POL_READY : MW_POL_IDLE);
    uint64_t now = T0 + 5000;
    (void)!feed(&s[1], MW_EV_RECYCLE, now - 1);
    (void)!feed(&s[0], MW_EV_RECYCLE, now);
    assert_int_equal(mw_policy_settle(s, 4, &limits, now, &slot), MW_ACT_START);
    assert_int_equal(slot, 2);
    assert_int_equal(s[1].state, MW_POL_ROLLING);
    assert_int_equal(s[0].state, MW_POL_ASKED);
    assert_true(mw_policy_wake(&s[0], now) == MW_NO_DEADLINE); /* not by time */
    assert_int_equal(mw_policy_settle(s, 4, &limits, now, &slot), MW_ACT_NONE);
    (void)!feed(&s[2], MW_EV_READY, now);
    assert_int_equal(mw_policy_settle(s, 4, &limits, now, &slot), MW_ACT_DRAIN);
    assert_int_equal(slot, 1);
    assert_int_equal(mw_policy_settle(s, 4, &limits, now, &slot), MW_ACT_START);
    assert_int_equal(slot, 3);
    assert_int_equal(s[0].state, MW_POL_ROLLING);
}

static void test_policy_36_what_fails_for_one_is_not_tried_for_the_next(void **state)
{
    struct mw_policy s[4];
    unsigned slot;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        s[i] = in_state(i < 2 ? MW_POL_READY : MW_POL_IDLE);
    uint64_t now = T0 + 5000;
    (void)!feed(&s[0], MW_EV_RECYCLE, now);
    (void)!feed(&s[1], MW_EV_RECYCLE, now);
    assert_int_equal(mw_policy_settle(s, 4, &limits, now, &slot), MW_ACT_START);
    (void)!feed(&s[slot], MW_EV_EXITED, now);
    assert_int_equal(mw_policy_settle(s, 4, &limits, now, &slot), MW_ACT_KEEP);
    assert_int_equal(mw_policy_settle(s, 4, &limits, now, &slot), MW_ACT_NONE);
    assert_int_equal(feed(&s[1], MW_EV_RECYCLE, now + 1), MW_ACT_NONE); /* news */
    assert_int_equal(mw_policy_settle(s, 4, &limits, now + 1, &slot), MW_ACT_START);
    assert_int_equal(s[1].state, MW_POL_ROLLING);
}

/* The old one goes while its successor starts, in every way there is. */
static void test_policy_37_a_successor_inherits_what_is_left(void **state)
{
    static const struct {
        enum mw_policy_event ev;
        enum mw_policy_act act;
    } t[] = {{MW_EV_EXITED, MW_ACT_NONE}, {MW_EV_LEAVING, MW_ACT_DRAIN}, {MW_EV_KILL, MW_ACT_KILL}};
    unsigned slot;

    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(t); i++) {
        struct mw_policy s[N];
        uint64_t now = T0 + 2000;
        rolling(s);
        assert_int_equal(feed(&s[0], t[i].ev, now), t[i].act);
        assert_int_equal(settle(s, now, &slot), MW_ACT_NONE);
        assert_int_equal(s[0].wanted, 0);
        assert_int_equal(s[1].wanted, 1);
        struct mw_policy fails = s[1];
        assert_int_equal(feed(&s[1], MW_EV_READY, now), MW_ACT_ADMIT);
        assert_int_equal(settle(s, now, &slot), MW_ACT_NONE);
        /* What it could not do as a successor may do with nothing to lose: at once, then as ever. */
        assert_int_equal(feed(&fails, MW_EV_EXITED, now), MW_ACT_START);
        assert_int_equal(feed(&fails, MW_EV_EXITED, now), MW_ACT_NONE);
        assert_int_equal(fails.due, now + MW_POLICY_BACKOFF_MS);
    }
}

static void test_policy_38_both_gone_at_once(void **state)
{
    struct mw_policy s[N];
    unsigned slot;

    (void)state;
    rolling(s);
    assert_int_equal(feed(&s[0], MW_EV_EXITED, T0 + 2000), MW_ACT_NONE);
    assert_int_equal(feed(&s[1], MW_EV_EXITED, T0 + 2000), MW_ACT_NONE);
    assert_int_equal(settle(s, T0 + 2000, &slot), MW_ACT_START);
    assert_int_equal(slot, 1);
    assert_int_equal(settle(s, T0 + 2000, &slot), MW_ACT_NONE);
}

static void test_policy_39_no_free_slot_no_successor(void **state)
{
    struct mw_policy s[2] = {in_state(MW_POL_ASKED), in_state(MW_POL_DRAINING)};
    unsigned slot;

    (void)state;
    s[1].wanted = 0;
    assert_int_equal(mw_policy_settle(s, 2, &limits, T0 + 5000, &slot), MW_ACT_NONE);
    assert_true(mw_policy_serves(&s[0]));
    assert_int_equal(feed(&s[1], MW_EV_EXITED, T0 + 5000), MW_ACT_NONE);
    assert_int_equal(mw_policy_settle(s, 2, &limits, T0 + 5000, &slot), MW_ACT_START);
    assert_int_equal(slot, 1);
}

static void test_policy_25_age(void **state)
{
    struct mw_policy_limits aging = limits;
    struct mw_policy p;

    (void)state;
    aging.restart_ms = 3600 * SECOND;
    mw_policy_init(&p);
    (void)!mw_policy_step(&p, &aging, MW_EV_WANT, T0);
    assert_int_equal(mw_policy_step(&p, &aging, MW_EV_READY, T0 + 500), MW_ACT_ADMIT);
    assert_int_equal(p.due, T0 + 500 + 3600 * SECOND);
    assert_int_equal(mw_policy_step(&p, &aging, MW_EV_TICK, p.due - 1), MW_ACT_NONE);
    assert_int_equal(p.state, MW_POL_READY);
    assert_int_equal(mw_policy_step(&p, &aging, MW_EV_TICK, p.due), MW_ACT_NONE);
    assert_int_equal(p.state, MW_POL_ASKED);
}

static void test_policy_26_asked_while_it_started(void **state)
{
    struct mw_policy p = in_state(MW_POL_STARTING);

    (void)state;
    assert_int_equal(feed(&p, MW_EV_REPLACE, T0), MW_ACT_NONE);
    assert_int_equal(feed(&p, MW_EV_READY, T0), MW_ACT_ADMIT);
    assert_int_equal(p.state, MW_POL_ASKED);
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

/* What a supervisor would see of a group, kept apart from the policy's own idea of it. */
#define PLACES 3u
#define SLOTS (2 * PLACES)

struct world {
    struct mw_policy p[SLOTS];
    int process[SLOTS];
    int serves[SLOTS];
    int lost[SLOTS]; /* it dies, leaves or was killed by itself: not because of a replacement */
    int stopped;
    uint64_t now;
    uint32_t seed;
    uint64_t starts, drains;
};

static unsigned serving(const struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SLOTS; i++)
        n += w->serves[i] != 0;
    return n;
}

static void act_on(struct world *w, unsigned i, enum mw_policy_act act)
{
    switch (act) {
    case MW_ACT_START:
        assert_false(w->process[i]);
        assert_false(w->stopped);
        w->process[i] = 1;
        w->serves[i] = w->lost[i] = 0;
        w->starts++;
        break;
    case MW_ACT_ADMIT:
        assert_true(w->process[i] && !w->serves[i]);
        w->serves[i] = 1;
        break;
    case MW_ACT_DRAIN:
        assert_true(w->serves[i]);
        w->serves[i] = 0;
        w->drains += !w->lost[i];
        break;
    case MW_ACT_KEEP:
        assert_true(w->serves[i]);
        break;
    case MW_ACT_TERM:
    case MW_ACT_KILL:
        assert_true(w->process[i]);
        w->serves[i] = 0;
        break;
    default:
        break;
    }
}

/* The promises, whenever the group is settled. */
static void check(const struct world *w)
{
    unsigned wanted = 0, rolling = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        const struct mw_policy *p = &w->p[i];
        assert_int_equal(mw_policy_alive(p), w->process[i]);
        assert_int_equal(mw_policy_serves(p), w->serves[i]);
        wanted += p->wanted != 0;
        rolling += p->state == MW_POL_ROLLING;
        /* A process that has been told to leave, or does not start, has a limit. */
        if (w->process[i] && !w->serves[i])
            assert_true(p->due != MW_NO_DEADLINE);
        /* Never stuck: without a process and not stopped, there is a next start. */
        if (!w->process[i] && p->wanted)
            assert_true(p->due != MW_NO_DEADLINE);
        if (p->state == MW_POL_ROLLING) {
            assert_true(p->heir < SLOTS && w->process[p->heir] && !w->serves[p->heir]);
            assert_int_equal(w->p[p->heir].elder, i);
        }
    }
    assert_int_equal(wanted, w->stopped ? 0 : PLACES);
    assert_true(rolling <= 1); /* one of a group at a time */
    /* Nobody waits for a turn that does not come: unless one rolls, it is time, or a slot, that lacks. */
    for (unsigned i = 0; i < SLOTS && !rolling; i++) {
        const struct mw_policy *p = &w->p[i];
        int slot_free = 0, held = 0;
        for (unsigned k = 0; k < SLOTS; k++) {
            slot_free |= w->p[k].state == MW_POL_IDLE && !w->p[k].wanted;
            held |= k != i && w->p[k].state == MW_POL_ASKED && w->p[k].due > w->now;
        }
        if (p->state == MW_POL_ASKED && slot_free)
            assert_true(p->due > w->now || held);
    }
}

static void event(struct world *w, unsigned i, enum mw_policy_event ev)
{
    unsigned slot, before = serving(w);
    uint64_t drains = w->drains;
    enum mw_policy_act act = feed(&w->p[i], ev, w->now);

    w->lost[i] |= ev == MW_EV_EXITED || ev == MW_EV_LEAVING || ev == MW_EV_KILL || ev == MW_EV_STOP;
    act_on(w, i, act);
    if (act == MW_ACT_REFUSE) {
        w->lost[i] = 1;
        act_on(w, i, feed(&w->p[i], MW_EV_KILL, w->now));
    }
    while ((act = mw_policy_settle(w->p, SLOTS, &limits, w->now, &slot)) != MW_ACT_NONE)
        act_on(w, slot, act);
    /* A replacement leaves no fewer than there were: who is admitted, and who drains, are the same number. */
    if (w->drains > drains) {
        assert_int_equal(ev, MW_EV_READY);
        assert_int_equal(w->drains, drains + 1);
        assert_int_equal(serving(w), before);
    }
    check(w);
}

static void random_event(struct world *w)
{
    static const enum mw_policy_event from_worker[] = {
        MW_EV_READY,   MW_EV_READY,   MW_EV_READY,   MW_EV_READY,  MW_EV_READY,   MW_EV_READY,
        MW_EV_RECYCLE, MW_EV_RECYCLE, MW_EV_RECYCLE, MW_EV_FAILED, MW_EV_LEAVING, MW_EV_KILL};
    unsigned i = random_below(&w->seed, SLOTS), k = random_below(&w->seed, 16);

    w->now += random_below(&w->seed, random_below(&w->seed, 64) ? 400 : 120000);
    int leaves = w->process[i] && !w->serves[i] && w->p[i].state != MW_POL_STARTING;
    if (leaves && k < 6) {
        w->process[i] = 0;
        event(w, i, MW_EV_EXITED);
    } else if (k < 6 && w->process[i]) {
        /* Broken workers are tested enough by one message in a hundred. */
        enum mw_policy_event ev = from_worker[random_below(&w->seed, MW_ARRAY_LEN(from_worker))];
        int sound = ev == MW_EV_READY || ev == MW_EV_FAILED ? w->p[i].state == MW_POL_STARTING
                                                            : w->p[i].state != MW_POL_STARTING;
        if (sound || random_below(&w->seed, 100) == 0)
            event(w, i, ev);
    } else if (k == 6 && w->process[i] && random_below(&w->seed, 8) == 0) {
        w->process[i] = w->serves[i] = 0;
        event(w, i, MW_EV_EXITED);
    } else if (k == 7) {
        event(w, i, MW_EV_REPLACE);
    } else {
        for (unsigned s = 0; s < SLOTS; s++)
            event(w, s, MW_EV_TICK);
    }
}

/* Killed in the end, whatever they do; and no other follows. */
static void stop_world(struct world *w)
{
    w->stopped = 1;
    for (unsigned i = 0; i < SLOTS; i++) {
        w->lost[i] = 1;
        act_on(w, i, feed(&w->p[i], MW_EV_STOP, w->now));
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        for (int tries = 0; tries < 5 && w->process[i]; tries++) {
            if (w->p[i].due > w->now)
                w->now = w->p[i].due;
            if (w->p[i].state == MW_POL_KILLED) {
                w->process[i] = 0;
                event(w, i, MW_EV_EXITED);
            } else {
                event(w, i, MW_EV_TICK);
            }
        }
        assert_false(w->process[i]);
        assert_int_equal(w->p[i].state, MW_POL_IDLE);
    }
}

static void test_policy_41_a_million_random_events_keep_the_promises(void **state)
{
    uint64_t drains = 0;

    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct world w = {.now = T0, .seed = seed};

        for (unsigned i = 0; i < SLOTS; i++)
            mw_policy_init(&w.p[i]);
        for (unsigned i = 0; i < PLACES; i++)
            act_on(&w, i, feed(&w.p[i], MW_EV_WANT, w.now));
        for (int i = 0; i < 5000; i++)
            random_event(&w);
        drains += w.drains;
        stop_world(&w);
    }
    if (drains < 10000) /* it did test replacements */
        fail_msg("only %llu replacements", (unsigned long long)drains);
}

/* A script that is touched every hour, and broken every other time until ten minutes later: in ten years no
 * moment with fewer than all places ready. */
static void test_policy_42_ten_years_of_deploying(void **state)
{
    struct world w = {.now = T0};

    (void)state;
    for (unsigned i = 0; i < SLOTS; i++)
        mw_policy_init(&w.p[i]);
    for (unsigned i = 0; i < PLACES; i++)
        act_on(&w, i, feed(&w.p[i], MW_EV_WANT, w.now));
    for (unsigned i = 0; i < PLACES; i++)
        event(&w, i, MW_EV_READY);
    for (unsigned hour = 0; hour < 10 * 365 * 24; hour++) {
        uint64_t begin = T0 + (hour + 1) * 3600 * SECOND, end = begin + 3500 * SECOND;
        uint64_t mended = begin + (hour % 2 ? 600 * SECOND : 0);
        w.now = begin;
        for (unsigned i = 0; i < SLOTS; i++) {
            if (w.serves[i])
                event(&w, i, MW_EV_RECYCLE);
        }
        while (w.now < end) {
            uint64_t next = end;
            for (unsigned i = 0; i < SLOTS; i++) {
                if (w.p[i].state == MW_POL_STARTING && w.now < mended) {
                    w.process[i] = 0;
                    event(&w, i, MW_EV_EXITED);
                } else if (w.p[i].state == MW_POL_STARTING) {
                    event(&w, i, MW_EV_READY);
                } else if (w.p[i].state == MW_POL_DRAINING) {
                    w.process[i] = 0;
                    event(&w, i, MW_EV_EXITED);
                }
                assert_true(serving(&w) >= PLACES);
            }
            for (unsigned i = 0; i < SLOTS; i++) {
                uint64_t at = mw_policy_wake(&w.p[i], w.now);
                int moves = w.p[i].state == MW_POL_STARTING || w.p[i].state == MW_POL_DRAINING;
                if (moves || at < next)
                    next = moves ? w.now + 1 : at;
            }
            w.now = next > w.now ? next : w.now + 1;
            for (unsigned i = 0; i < SLOTS; i++)
                event(&w, i, MW_EV_TICK);
        }
        for (unsigned i = 0; i < SLOTS; i++)
            assert_true(!w.serves[i] || w.p[i].ready_at >= begin); /* all are new */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_01_every_state_answers_as_the_table_says),
        cmocka_unit_test(test_policy_02_stopped_slots_stay_empty),
        cmocka_unit_test(test_policy_03_names),
        cmocka_unit_test(test_policy_04_retired_slots_finish_and_stay_empty_until_wanted),
        cmocka_unit_test(test_policy_10_due_is_the_moment),
        cmocka_unit_test(test_policy_11_no_startup_timeout_means_no_limit),
        cmocka_unit_test(test_policy_12_endless_timeouts_do_not_overflow),
        cmocka_unit_test(test_policy_13_long_service_forgives),
        cmocka_unit_test(test_policy_14_a_stop_grants_no_graceful_timeout),
        cmocka_unit_test(test_policy_14_who_has_served_is_replaced_at_once),
        cmocka_unit_test(test_policy_20_failed_starts_wait_longer_and_longer),
        cmocka_unit_test(test_policy_21_quick_deaths_are_free_at_first),
        cmocka_unit_test(test_policy_22_a_hostile_worker_is_not_forgiven),
        cmocka_unit_test(test_policy_23_leaving_when_told_is_no_failure),
        cmocka_unit_test(test_policy_24_startup_timeout_is_a_failed_start),
        cmocka_unit_test(test_policy_25_age),
        cmocka_unit_test(test_policy_26_asked_while_it_started),
        cmocka_unit_test(test_policy_30_who_leaves_is_followed_at_once_or_a_second_after),
        cmocka_unit_test(test_policy_31_a_foreign_slot_is_used_when_it_is_free),
        cmocka_unit_test(test_policy_32_the_old_one_goes_when_its_successor_is_ready),
        cmocka_unit_test(test_policy_33_a_successor_that_fails_is_tried_later_and_later),
        cmocka_unit_test(test_policy_34_something_new_is_tried_at_once),
        cmocka_unit_test(test_policy_35_one_of_a_group_at_a_time_who_asked_first),
        cmocka_unit_test(test_policy_36_what_fails_for_one_is_not_tried_for_the_next),
        cmocka_unit_test(test_policy_37_a_successor_inherits_what_is_left),
        cmocka_unit_test(test_policy_38_both_gone_at_once),
        cmocka_unit_test(test_policy_39_no_free_slot_no_successor),
        cmocka_unit_test(test_policy_40_ten_years_of_failed_starts),
        cmocka_unit_test(test_policy_41_a_million_random_events_keep_the_promises),
        cmocka_unit_test(test_policy_42_ten_years_of_deploying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
