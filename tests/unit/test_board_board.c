/*
 * test_board_board.c: the board's calls one after another: sizes, slots, claims, the queue with a
 * few threads, repair, and segments whose content is hostile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "board.h"
#include "clock.h"
#include "io.h"
#include "shm.h"

#define SLOTS 3u
#define THREADS 2u
#define MEMBERS 2u
#define CELLS 8u
#define SOON 20u    /* ms: a wait that ends with MW_ETIMEOUT */
#define LONG 30000u /* ms: a wait that must not */

static struct mw_board *make(unsigned slots, unsigned threads, unsigned members, unsigned cells)
{
    struct mw_board_size size = {slots, threads, members, cells, 0};
    struct mw_board *b = NULL;
    assert_int_equal(mw_board_create(&b, &size), 0);
    return b;
}

/* Another process's handle of the same board. */
static struct mw_board *attach(const struct mw_board *b)
{
    struct mw_board *other = NULL;
    int fd = dup(mw_board_fd(b));
    assert_true(fd >= 0);
    assert_int_equal(mw_board_attach(&other, fd), 0);
    return other;
}

static void start(struct mw_board *b, unsigned slot)
{
    assert_int_not_equal(mw_board_starting(b, slot, (pid_t)(1000 + slot)), 0);
    mw_board_ready(b, slot);
}

static struct mw_slot_info info_of(const struct mw_board *b, unsigned slot)
{
    struct mw_slot_info info;
    assert_int_equal(mw_board_slot(b, slot, &info), 0);
    return info;
}

/* The usual board: a member, all slots ready. */
static int setup(void **state)
{
    struct mw_board *b = make(SLOTS, THREADS, MEMBERS, CELLS);
    assert_int_equal(mw_board_join(b, 100), 0);
    for (unsigned s = 0; s < SLOTS; s++) {
        start(b, s);
    }
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct mw_board *b = *state;
    mw_board_destroy(&b);
    assert_null(b);
    return 0;
}

/* -- sizes, segments -- */

static void test_board_00_accepts_sizes_up_to_their_limits(void **state)
{
    static const struct {
        struct mw_board_size size;
        int rv;
    } rows[] = {
        {{1, 1, 1, 1, 0}, 0},
        {{0, 1, 1, 1, 0}, MW_EINVAL},
        {{1, 0, 1, 1, 0}, MW_EINVAL},
        {{1, 1, 0, 1, 0}, MW_EINVAL},
        {{1, 1, 1, 0, 0}, MW_EINVAL},
        {{MW_BOARD_SLOTS_MAX - 1, 1, 1, 1, 0}, 0},
        {{MW_BOARD_SLOTS_MAX, 1, 1, 1, 0}, 0},
        {{MW_BOARD_SLOTS_MAX + 1, 1, 1, 1, 0}, MW_ELIMIT},
        {{1, MW_BOARD_THREADS_MAX - 1, 1, 1, 0}, 0},
        {{1, MW_BOARD_THREADS_MAX, 1, 1, 0}, 0},
        {{1, MW_BOARD_THREADS_MAX + 1, 1, 1, 0}, MW_ELIMIT},
        {{1, 1, MW_BOARD_MEMBERS_MAX - 1, 1, 0}, 0},
        {{1, 1, MW_BOARD_MEMBERS_MAX, 15, 0}, 0},
        {{1, 1, MW_BOARD_MEMBERS_MAX + 1, 1, 0}, MW_ELIMIT},
        {{1, 1, MW_BOARD_MEMBERS_MAX, 16, 0}, MW_ELIMIT},
        {{1, 1, 1, MW_BOARD_CELLS_MAX - 1, 0}, 0},
        {{1, 1, 1, MW_BOARD_CELLS_MAX, 0}, 0},
        {{1, 1, 1, MW_BOARD_CELLS_MAX + 1, 0}, MW_ELIMIT},
        {{1, 1, 5, MW_BOARD_CELLS_MAX / 5, 0}, 0},
        {{1, 1, 5, MW_BOARD_CELLS_MAX / 5 + 1, 0}, MW_ELIMIT},
        {{1, 1, UINT32_MAX, UINT32_MAX, 0}, MW_ELIMIT},
        {{1, 1, 1, 1, MW_BOARD_CELLS_MAX - 1}, 0},
        {{1, 1, 1, 1, MW_BOARD_CELLS_MAX}, 0},
        {{1, 1, 1, 1, MW_BOARD_CELLS_MAX + 1}, MW_ELIMIT},
    };
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_board *b = NULL;
        assert_int_equal(mw_board_create(&b, &rows[i].size), rows[i].rv);
        assert_int_equal(b != NULL, rows[i].rv == 0);
        if (b) {
            assert_int_equal(mw_board_slots(b), rows[i].size.slots);
        }
        mw_board_destroy(&b);
    }
}

/* The highest indices of the largest board that has them all at once. */
static void test_board_00_reaches_its_last_slot_thread_and_cell(void **state)
{
    struct mw_board *b = make(MW_BOARD_SLOTS_MAX, MW_BOARD_THREADS_MAX, 1, MW_BOARD_CELLS_MAX);
    struct mw_claim c;
    (void)state;
    assert_int_equal(mw_board_join(b, 100), 0);
    start(b, MW_BOARD_SLOTS_MAX - 1);
    for (unsigned t = 0; t < MW_BOARD_THREADS_MAX; t++) {
        assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
        assert_int_equal(c.slot, MW_BOARD_SLOTS_MAX - 1);
        assert_int_equal(c.thread, t);
    }
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), MW_ETIMEOUT);
    assert_int_equal(info_of(b, MW_BOARD_SLOTS_MAX - 1).claimed, MW_BOARD_THREADS_MAX);
    mw_board_settle(b, 100);
    assert_int_equal(info_of(b, MW_BOARD_SLOTS_MAX - 1).claimed, 0);
    mw_board_destroy(&b);

    b = make(1, 1, 1, MW_BOARD_CELLS_MAX);
    assert_int_equal(mw_board_join(b, 100), 0);
    for (unsigned i = 0; i < MW_BOARD_CELLS_MAX; i++) {
        start(b, 0); /* voids the claim before, whose cell stays in use */
        assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
        assert_int_equal(c.cell, i);
    }
    start(b, 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), MW_ELIMIT);
    mw_board_destroy(&b);
}

static void test_board_00_grant_carries_the_largest_claim(void **state)
{
    static const struct mw_claim rows[] = {
        {0, 0, 1, 0},
        {MW_BOARD_SLOTS_MAX - 2, MW_BOARD_THREADS_MAX - 2, UINT32_MAX - 1, 1},
        {MW_BOARD_SLOTS_MAX - 1, MW_BOARD_THREADS_MAX - 1, UINT32_MAX, MW_BOARD_CELLS_MAX - 1},
        {MW_BOARD_SLOTS_MAX - 1, 0, 0, 0},
        {0, MW_BOARD_THREADS_MAX - 1, 0, 0},
    };
    struct mw_board sizes = {.size = {MW_BOARD_SLOTS_MAX, MW_BOARD_THREADS_MAX, 1, 1, 0}};
    struct mw_claim c;
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        uint64_t word = mw_cell_grant(&rows[i]);
        assert_true(mw_cell_granted(word) && !mw_cell_waits(word));
        assert_true(mw_cell_claim(&sizes, rows[i].cell, word, &c));
        assert_memory_equal(&c, &rows[i], sizeof c);
    }
    sizes.size.slots = MW_BOARD_SLOTS_MAX - 1;
    assert_false(mw_cell_claim(&sizes, 0, mw_cell_grant(&rows[3]), &c));
    sizes.size.threads = MW_BOARD_THREADS_MAX - 1;
    assert_false(mw_cell_claim(&sizes, 0, mw_cell_grant(&rows[4]), &c));
}

static void test_board_00_cannot_be_shrunk_under_its_users(void **state)
{
    struct mw_board *b = *state;
#ifdef F_GET_SEALS
    assert_int_equal(ftruncate(mw_board_fd(b), 0), -1);
    assert_int_equal(ftruncate(mw_board_fd(b), 1 << 20), -1);
#endif
    assert_int_equal(info_of(b, 0).state, MW_SLOT_READY);
    assert_true(fcntl(mw_board_fd(b), F_GETFD) & FD_CLOEXEC);
}

static void test_board_00_refuses_what_is_no_board(void **state)
{
    static const struct {
        size_t size; /* of the file */
        struct mw_shm_head head;
    } rows[] = {
        {0, {0}},
        {sizeof(struct mw_shm_head) - 1, {0}},
        {4096, {0}},
        {4096, {MW_SHM_MAGIC + 1, MW_SHM_VERSION, 1, 1, 1, 1, 0}},
        {4096, {MW_SHM_MAGIC, MW_SHM_VERSION + 1, 1, 1, 1, 1, 0}},
        {4096, {MW_SHM_MAGIC, MW_SHM_VERSION, 0, 1, 1, 1, 0}},
        {4096, {MW_SHM_MAGIC, MW_SHM_VERSION, 1, 1, 1, 1, 0}}, /* too large for its sizes */
        {192, {MW_SHM_MAGIC, MW_SHM_VERSION, 1, 1, 1, 1, 0}},  /* too small */
        {4096, {MW_SHM_MAGIC, MW_SHM_VERSION, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0}},
        {4096, {MW_SHM_MAGIC, MW_SHM_VERSION, 1024, 1024, 1, 65535, 0}},
    };
    struct mw_board *b;
    int fd[2];
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        char path[] = "/tmp/wsgi-board-XXXXXX";
        int file = mkstemp(path);
        assert_true(file >= 0);
        unlink(path);
        assert_int_equal(ftruncate(file, (off_t)rows[i].size), 0);
        if (rows[i].size >= sizeof rows[i].head) {
            assert_int_equal(pwrite(file, &rows[i].head, sizeof rows[i].head, 0),
                             (ssize_t)sizeof rows[i].head);
        }
        assert_int_equal(mw_board_attach(&b, file), MW_EPROTO);
        assert_null(b);
        assert_int_equal(fcntl(file, F_GETFD), -1); /* was taken */
    }
    assert_int_equal(mw_io_pipe(fd), 0);
    assert_int_equal(mw_board_attach(&b, fd[0]), MW_EPROTO);
    close(fd[1]);
    assert_int_equal(mw_board_attach(&b, -1), MW_EIO);
}

static void test_board_00_attached_handle_sees_the_same(void **state)
{
    struct mw_board *b = *state;
    struct mw_board *other = attach(b);
    struct mw_claim c;
    assert_int_equal(mw_board_slots(other), SLOTS);
    assert_int_equal(mw_board_claim(other, 0, &c, NULL), MW_ESTATE);
    assert_int_equal(mw_board_join(other, 101), 0);
    assert_int_equal(mw_board_claim(other, 0, &c, NULL), 0);
    assert_int_equal(info_of(b, 0).claimed, 1);
    mw_board_release(other, &c);
    assert_int_equal(info_of(b, 0).claimed, 0);
    mw_board_destroy(&other);
    mw_board_destroy(&other); /* NULL-safe */
    mw_board_destroy(NULL);
}

/* -- members -- */

static void test_board_50_has_a_place_for_each_member(void **state)
{
    struct mw_board *b = make(1, 1, 2, 1);
    struct mw_board *second = attach(b);
    struct mw_board *third = attach(b);
    (void)state;
    assert_int_equal(mw_board_join(b, 0), MW_EINVAL);
    assert_int_equal(mw_board_join(b, -1), MW_EINVAL);
    assert_int_equal(mw_board_join(b, 100), 0);
    assert_int_equal(mw_board_join(b, 100), MW_ESTATE);
    assert_int_equal(mw_board_join(second, 101), 0);
    assert_int_equal(mw_board_join(third, 102), MW_ELIMIT);
    mw_board_settle(b, 99); /* no member */
    assert_int_equal(mw_board_join(third, 102), MW_ELIMIT);
    mw_board_settle(b, 101);
    assert_int_equal(mw_board_join(third, 102), 0);
    mw_board_destroy(&third);
    mw_board_destroy(&second);
    mw_board_destroy(&b);
}

/* -- claims -- */

static void test_board_50_claims_the_least_busy_first(void **state)
{
    struct mw_board *b = *state;
    struct mw_claim c[SLOTS * THREADS + 1];
    for (unsigned i = 0; i < SLOTS * THREADS; i++) {
        int waited = 7;
        assert_int_equal(mw_board_claim(b, 0, &c[i], &waited), 0);
        assert_int_equal(c[i].slot, i % SLOTS);
        assert_int_equal(c[i].thread, i / SLOTS);
        assert_int_equal(c[i].incarnation, info_of(b, c[i].slot).incarnation);
        assert_int_equal(waited, 0);
    }
    assert_int_equal(mw_board_claim(b, 0, &c[SLOTS * THREADS], NULL), MW_ETIMEOUT);
    mw_board_release(b, &c[4]); /* slot 1 */
    assert_int_equal(mw_board_claim(b, 0, &c[4], NULL), 0);
    assert_int_equal(c[4].slot, 1);
    for (unsigned i = 0; i < SLOTS * THREADS; i++) {
        mw_board_release(b, &c[i]);
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        assert_int_equal(info_of(b, s).claimed, 0);
    }
}

static void test_board_50_claims_ready_slots_only(void **state)
{
    struct mw_board *b = make(1, 1, 1, 2);
    struct mw_claim c;
    (void)state;
    assert_int_equal(mw_board_join(b, 100), 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), MW_ETIMEOUT);
    mw_board_ready(b, 0); /* of nothing */
    mw_board_draining(b, 0);
    assert_int_equal(info_of(b, 0).state, MW_SLOT_EMPTY);
    uint32_t first = mw_board_starting(b, 0, 1000);
    assert_int_equal(info_of(b, 0).state, MW_SLOT_STARTING);
    assert_int_equal(info_of(b, 0).pid, 1000);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), MW_ETIMEOUT);
    mw_board_ready(b, 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    assert_int_equal(c.incarnation, first);
    mw_board_draining(b, 0);
    mw_board_release(b, &c);
    assert_int_equal(info_of(b, 0).claimed, 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), MW_ETIMEOUT);
    mw_board_ready(b, 0); /* too late */
    assert_int_equal(info_of(b, 0).state, MW_SLOT_DRAINING);
    mw_board_empty(b, 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), MW_ETIMEOUT);
    assert_int_equal(mw_board_starting(b, 0, 1001), first + 1);
    mw_board_draining(b, 0); /* before it was ready */
    assert_int_equal(info_of(b, 0).state, MW_SLOT_DRAINING);
    mw_board_destroy(&b);
}

static void test_board_50_has_as_many_claims_as_cells(void **state)
{
    static const unsigned cells[] = {1, 2, 63, 64, 65, 129};
    struct mw_claim c[130];
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(cells); i++) {
        struct mw_board *b = make(2, 100, 2, cells[i]);
        assert_int_equal(mw_board_join(b, 100), 0);
        start(b, 0);
        start(b, 1);
        for (unsigned k = 0; k < cells[i]; k++) {
            assert_int_equal(mw_board_claim(b, 0, &c[k], NULL), 0);
            assert_int_equal(c[k].cell, k);
        }
        assert_int_equal(mw_board_claim(b, 0, &c[cells[i]], NULL), MW_ELIMIT);
        mw_board_release(b, &c[cells[i] - 1]);
        assert_int_equal(mw_board_claim(b, 0, &c[cells[i] - 1], NULL), 0);
        mw_board_destroy(&b);
    }
}

static void test_board_50_claim_of_a_dead_worker_frees_nothing(void **state)
{
    struct mw_board *b = *state;
    struct mw_claim old[SLOTS * THREADS];
    struct mw_claim c[SLOTS * THREADS];
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mw_board_claim(b, 0, &old[i], NULL), 0);
    }
    mw_board_empty(b, 0);
    assert_int_equal(info_of(b, 0).claimed, 0);
    assert_int_equal(info_of(b, 0).pid, 0);
    mw_board_empty(b, 2);
    start(b, 0);
    assert_int_equal(mw_board_claim(b, 0, &c[0], NULL), 0);
    assert_int_equal(c[0].slot, 0);
    assert_int_equal(c[0].thread, old[0].thread);
    assert_int_equal(c[0].incarnation, old[0].incarnation + 1);
    mw_board_release(b, &old[0]);
    assert_int_equal(info_of(b, 0).claimed, 1);
    mw_board_release(b, &old[1]);
    assert_int_equal(info_of(b, 1).claimed, 0);
    mw_board_release(b, &c[0]);
    assert_int_equal(info_of(b, 0).claimed, 0);
}

static void test_board_50_release_of_what_is_not_held_frees_nothing(void **state)
{
    struct mw_board *b = *state;
    struct mw_claim mine;
    struct mw_claim c;
    assert_int_equal(mw_board_claim(b, 0, &mine, NULL), 0);

    c = mine;
    c.cell = mine.cell + 1;
    mw_board_release(b, &c);
    c = mine;
    c.incarnation++;
    c.cell = mine.cell + 1;
    mw_board_release(b, &c);
    c = mine;
    c.slot = SLOTS;
    mw_board_release(b, &c);
    c = mine;
    c.thread = THREADS;
    mw_board_release(b, &c);
    c = mine;
    c.cell = CELLS; /* another member's */
    mw_board_release(b, &c);
    assert_int_equal(info_of(b, mine.slot).claimed, 1);
    mw_board_release(b, &mine);
    assert_int_equal(info_of(b, mine.slot).claimed, 0);
}

static void test_board_50_incarnation_is_never_zero(void **state)
{
    struct mw_board *b = *state;
    struct mw_claim c;
    mw_shm_slot(b, 0)->word = mw_slot_word(UINT32_MAX, MW_SLOT_EMPTY);
    assert_int_equal(mw_board_starting(b, 0, 1), 1);
    assert_int_equal(mw_board_starting(b, SLOTS, 1), 0); /* no such slot */
    mw_board_ready(b, 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    assert_int_equal(c.incarnation, 1);
    mw_board_release(b, &c);
    assert_int_equal(info_of(b, 0).claimed, 0);
}

static void test_board_50_busy_worker_is_not_claimed(void **state)
{
    struct mw_board *b = *state;
    struct mw_claim c[4];
    mw_board_empty(b, 1);
    mw_board_empty(b, 2);
    /* One thread works for a request whose child is gone: one claim more, for the other. */
    mw_board_busy(b, 0, 1);
    assert_int_equal(info_of(b, 0).busy, 1);
    assert_int_equal(mw_board_claim(b, 0, &c[0], NULL), 0);
    mw_board_busy(b, 0, 1);
    assert_int_equal(mw_board_claim(b, 0, &c[1], NULL), MW_ETIMEOUT);
    mw_board_busy(b, 0, -1);
    assert_int_equal(mw_board_claim(b, 0, &c[1], NULL), 0);
    mw_board_release(b, &c[0]);
    mw_board_release(b, &c[1]);
    mw_board_busy(b, 0, -5); /* miscounts: not to its advantage, nor to anybody's harm */
    assert_int_equal(info_of(b, 0).busy, 0);
    assert_int_equal(mw_board_claim(b, 0, &c[0], NULL), 0);
    mw_board_release(b, &c[0]);
    mw_board_busy(b, SLOTS, 1);
}

/* Busy workers come last, also where the board knows of no claim on them. */
static void test_board_50_counts_the_busy_as_claimed(void **state)
{
    struct mw_board *b = *state;
    struct mw_claim c;
    mw_board_busy(b, 0, 1);
    mw_board_busy(b, 1, 1);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    assert_int_equal(c.slot, 2);
}

/* -- the queue -- */

struct request {
    struct mw_board *b;
    uint64_t deadline;
    int rv, waited;
    struct mw_claim claim;
    pthread_t thread;
};

static void *request_main(void *arg)
{
    struct request *r = arg;
    r->rv = mw_board_claim(r->b, r->deadline, &r->claim, &r->waited);
    return NULL;
}

/* In another thread; returns when it waits. */
static void request_start(struct request *r, struct mw_board *b, uint64_t ms)
{
    unsigned before = mw_board_waiting(b);
    *r = (struct request){.b = b, .deadline = mw_clock_deadline(ms)};
    assert_int_equal(pthread_create(&r->thread, NULL, request_main, r), 0);
    for (unsigned i = 0; mw_board_waiting(b) == before; i++) {
        assert_true(i < LONG);
        usleep(1000);
    }
}

static int request_end(struct request *r)
{
    assert_int_equal(pthread_join(r->thread, NULL), 0);
    return r->rv;
}

/* One slot with one thread; a member. */
static struct mw_board *make_narrow(struct mw_claim *c)
{
    struct mw_board *b = make(1, 1, 2, 4);
    assert_int_equal(mw_board_join(b, 100), 0);
    start(b, 0);
    assert_int_equal(mw_board_claim(b, 0, c, NULL), 0);
    return b;
}

static void test_board_50_queue_serves_the_oldest_first(void **state)
{
    struct mw_claim c;
    struct mw_board *b = make_narrow(&c);
    struct mw_board *other = attach(b);
    struct request r[4];
    (void)state;
    assert_int_equal(mw_board_join(other, 101), 0);
    for (unsigned i = 0; i < 4; i++) {
        request_start(&r[i], i % 2 ? other : b, LONG);
    }
    assert_int_equal(mw_board_waiting(b), 4);
    mw_board_release(b, &c);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(request_end(&r[i]), 0);
        assert_int_equal(r[i].waited, 1);
        assert_int_equal(mw_board_waiting(b), 3 - i);
        assert_int_equal(info_of(b, 0).claimed, 1);
        mw_board_release(r[i].b, &r[i].claim);
    }
    assert_int_equal(info_of(b, 0).claimed, 0);
    mw_board_destroy(&other);
    mw_board_destroy(&b);
}

static void test_board_50_newcomer_queues_up_behind_others(void **state)
{
    struct mw_claim c;
    struct mw_claim late;
    struct mw_board *b = make_narrow(&c);
    struct request r;
    int waited;
    (void)state;
    request_start(&r, b, LONG);
    /* The thread becomes idle with nobody to hand it over: the newcomer finds it, and passes it
     * on. */
    mw_shm_slot(b, 0)->owner[0] = mw_owner_free(c.incarnation);
    assert_int_equal(mw_board_claim(b, mw_clock_deadline(SOON), &late, &waited), MW_ETIMEOUT);
    assert_int_equal(waited, 1);
    assert_int_equal(request_end(&r), 0);
    mw_board_release(b, &r.claim);
    assert_int_equal(mw_board_claim(b, 0, &late, &waited), 0);
    assert_int_equal(waited, 0);
    mw_board_destroy(&b);
}

static void test_board_50_wait_ends_at_its_deadline(void **state)
{
    struct mw_claim c;
    struct mw_claim late;
    struct mw_board *b = make_narrow(&c);
    int waited = 0;
    (void)state;
    uint64_t begin = mw_clock_ms();
    assert_int_equal(mw_board_claim(b, begin + SOON, &late, &waited), MW_ETIMEOUT);
    assert_true(mw_clock_ms() >= begin + SOON);
    assert_true(mw_clock_ms() < begin + LONG / 2);
    assert_int_equal(waited, 1);
    assert_int_equal(mw_board_waiting(b), 0);
    mw_board_release(b, &c);
    assert_int_equal(info_of(b, 0).claimed, 0);
    mw_board_destroy(&b);
}

enum relief {
    BY_READY,
    BY_SETTLE,
    BY_BUSY,
    BY_ANOTHER_READY,
    BY_CLOSE,
    BY_LEAVE,
    BY_DOWN,
    RELIEFS
};

/* Whatever makes a thread idle, or hope vain, ends the wait, at once: the time is less than a
 * slice. */
static void test_board_50_wait_ends_whoever_frees_a_thread(void **state)
{
    (void)state;
    for (int how = 0; how < RELIEFS; how++) {
        struct mw_board *b = make(2, 1, 2, 4);
        struct mw_board *other = attach(b);
        struct mw_claim c;
        struct request r;
        assert_int_equal(mw_board_join(b, 100), 0);
        assert_int_equal(mw_board_join(other, 101), 0);
        assert_int_not_equal(mw_board_starting(b, 0, 1000), 0);
        if (how != BY_READY) {
            mw_board_ready(b, 0);
            assert_int_equal(mw_board_claim(other, 0, &c, NULL), 0);
        }
        if (how == BY_BUSY) {
            mw_board_busy(b, 0, 1);
            mw_board_settle(b, 101);
        }
        request_start(&r, b, LONG);
        uint64_t begin = mw_clock_ms();
        switch (how) {
        case BY_READY:
            mw_board_ready(b, 0);
            break;
        case BY_SETTLE:
            mw_board_settle(b, 101);
            break;
        case BY_BUSY:
            mw_board_busy(b, 0, -1);
            break;
        case BY_ANOTHER_READY:
            start(b, 1);
            break;
        case BY_LEAVE:
            mw_board_leave(b);
            break;
        case BY_DOWN:
            mw_board_down(b, mw_clock_deadline(30000));
            break;
        default:
            mw_board_close(b);
            break;
        }
        assert_int_equal(request_end(&r), how == BY_CLOSE || how == BY_LEAVE ? MW_ECLOSED
                                          : how == BY_DOWN                   ? MW_EDOWN
                                                                             : 0);
        assert_true(mw_clock_ms() - begin < 200);
        assert_int_equal(mw_board_waiting(b), 0);
        mw_board_destroy(&other);
        mw_board_destroy(&b);
    }
}

static void test_board_50_closed_board_opens_with_a_worker(void **state)
{
    struct mw_board *b = *state;
    struct mw_claim c;
    mw_board_close(b);
    assert_int_equal(mw_board_claim(b, mw_clock_deadline(LONG), &c, NULL), MW_ECLOSED);
    start(b, 1);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
}

static uint64_t clock_that_stands(void)
{
    return 1000000;
}

/* One below, at, one over what is waited for; who waits already is told as well. */
static void test_board_50_a_group_that_is_down_is_not_waited_for(void **state)
{
    const uint64_t at = 1000000;
    struct mw_board *b = make(2, 1, 1, 4);
    struct mw_claim c;
    int waited;

    (void)state;
    assert_int_equal(mw_board_join(b, 100), 0);
    mw_clock_replace(clock_that_stands);
    for (int by = -1; by <= 1; by++) {
        uint64_t left = by < 0 ? MW_BOARD_DOWN_MIN_MS - 1 : MW_BOARD_DOWN_MIN_MS + (unsigned)by;
        mw_board_down(b, at + left);
        assert_int_equal(mw_board_down_ms(b), left);
        /* A deadline that has passed ends the wait where there is one. */
        assert_int_equal(mw_board_claim(b, at, &c, &waited), by > 0 ? MW_EDOWN : MW_ETIMEOUT);
        assert_int_equal(waited, 0);
    }
    mw_board_down(b, UINT64_MAX);
    assert_int_equal(mw_board_down_ms(b), MW_BOARD_DOWN_MAX_MS);
    mw_board_down(b, 0);
    assert_int_equal(mw_board_down_ms(b), 0);
    assert_int_equal(mw_board_claim(b, at, &c, NULL), MW_ETIMEOUT);
    mw_board_down(b, at + 30000);
    start(b, 1); /* a worker that starts ends it, and one that is ready is always found */
    assert_int_equal(mw_board_down_ms(b), 0);
    mw_board_down(b, at + 30000);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    mw_clock_replace(NULL);
    mw_board_destroy(&b);
}

static void test_board_50_who_leaves_keeps_what_it_has_and_stops_nobody_else(void **state)
{
    struct mw_board *b = make(1, 2, 2, 4);
    struct mw_board *other = attach(b);
    struct mw_claim c, d;

    (void)state;
    assert_int_equal(mw_board_join(b, 100), 0);
    assert_int_equal(mw_board_join(other, 101), 0);
    start(b, 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    mw_board_leave(b);
    assert_int_equal(info_of(b, 0).claimed, 1);
    assert_int_equal(mw_board_claim(b, mw_clock_deadline(LONG), &d, NULL), MW_ECLOSED);
    assert_int_equal(mw_board_claim(other, 0, &d, NULL), 0);
    mw_board_release(b, &c);
    mw_board_release(other, &d);
    assert_int_equal(info_of(b, 0).claimed, 0);
    mw_board_destroy(&other);
    mw_board_destroy(&b);
}

static void test_board_50_thread_that_is_busy_is_not_handed_over(void **state)
{
    struct mw_claim c;
    struct mw_board *b = make_narrow(&c);
    struct request r;
    (void)state;
    mw_board_busy(b, 0, 1);
    request_start(&r, b, LONG);
    mw_board_release(b, &c); /* its client went away; the worker has not noticed yet */
    usleep(2000);
    assert_int_equal(mw_board_waiting(b), 1);
    assert_int_equal(info_of(b, 0).claimed, 0);
    mw_board_busy(b, 0, -1);
    assert_int_equal(request_end(&r), 0);
    mw_board_destroy(&b);
}

static void test_board_50_grant_of_a_dead_worker_keeps_the_place(void **state)
{
    struct mw_claim c;
    struct mw_board *b = make_narrow(&c);
    struct request r[2];
    (void)state;
    request_start(&r[0], b, LONG);
    request_start(&r[1], b, LONG);
    mw_board_empty(b, 0);
    mw_board_release(b, &c);
    assert_int_equal(mw_board_waiting(b), 2);
    start(b, 0);
    assert_int_equal(request_end(&r[0]), 0);
    assert_int_equal(r[0].claim.incarnation, c.incarnation + 1);
    assert_int_equal(mw_board_waiting(b), 1);
    mw_board_release(b, &r[0].claim);
    assert_int_equal(request_end(&r[1]), 0);
    mw_board_destroy(&b);
}

/* Ten thousand wait, as words in their cells; the oldest of them is the one that is found. */
static void test_board_90_many_may_wait(void **state)
{
    enum { N = 10000 };
    struct mw_board *b = make(1, 1, 4, N / 4 + 1);
    struct mw_board *other = attach(b);
    struct mw_claim c;
    struct request r;
    (void)state;
    assert_int_equal(mw_board_join(b, 100), 0);
    assert_int_equal(mw_board_join(other, 101), 0);
    start(b, 0);
    assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    request_start(&r, other, LONG);
    *b->ticket = N + 1;
    for (unsigned i = 1; i < N; i++) {
        unsigned cell = (unsigned)((i * UINT64_C(7919)) % b->ncells);
        if (cell / b->size.cells > 1) {
            b->cells[cell] = (uint64_t)i << 2 | MW_CELL_WAIT;
            b->gate->queue |= UINT64_C(1) << cell / b->block;
        }
    }
    assert_true(mw_board_waiting(b) > N / 3);
    uint64_t begin = mw_clock_ms();
    mw_board_release(b, &c);
    assert_int_equal(request_end(&r), 0);
    assert_true(mw_clock_ms() - begin < 200);
    mw_board_destroy(&other);
    mw_board_destroy(&b);
}

/* -- repair -- */

static void test_board_60_settle_frees_what_the_child_held(void **state)
{
    struct mw_board *b = *state;
    struct mw_board *other = attach(b);
    struct mw_claim theirs;
    struct mw_claim c;
    assert_int_equal(mw_board_join(other, 101), 0);
    assert_int_equal(mw_board_claim(other, 0, &theirs, NULL), 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        assert_int_equal(mw_board_claim(b, 0, &c, NULL), 0);
    }
    mw_board_settle(other, 100);
    assert_int_equal(info_of(b, theirs.slot).claimed, 1);
    unsigned all = 0;
    for (unsigned s = 0; s < SLOTS; s++) {
        all += info_of(b, s).claimed;
    }
    assert_int_equal(all, 1);
    mw_board_release(other, &theirs);
    assert_int_equal(info_of(b, theirs.slot).claimed, 0);
    mw_board_destroy(&other);
}

/* The states in which a crash can leave a hand-over, set by hand; `dead` is row 1, `alive` row
 * 0. */
static void test_board_60_settle_finishes_a_hand_over(void **state)
{
    static const struct {
        int granter_dies; /* else: who was granted */
        int taken;        /* the owner word already names who was granted */
        unsigned claimed; /* after settling */
    } rows[] = {
        {1, 0, 1}, /* handed over to a living request: it keeps it */
        {1, 1, 1},
        {0, 0, 0}, /* granted to the dead: idle again */
        {0, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_board *b = make(1, 1, 2, 2);
        start(b, 0);
        b->members[0] = 100;
        b->members[1] = 101;
        unsigned granter = rows[i].granter_dies ? 2 : 0;
        unsigned granted = rows[i].granter_dies ? 0 : 2;
        struct mw_claim c = {0, 0, info_of(b, 0).incarnation, granted};
        b->cells[granted] = mw_cell_grant(&c);
        mw_shm_slot(b, 0)->owner[0] = mw_owner_word(c.incarnation,
                                                    rows[i].taken ? granted : granter);
        mw_board_settle(b, 101);
        assert_int_equal(info_of(b, 0).claimed, rows[i].claimed);
        assert_int_equal(b->cells[0] != MW_CELL_IDLE, rows[i].granter_dies);
        assert_int_equal(b->cells[2], MW_CELL_IDLE);
        if (rows[i].granter_dies) {
            assert_int_equal(mw_shm_slot(b, 0)->owner[0], mw_owner_word(c.incarnation, 0));
        }
        assert_int_equal(b->members[1], 0);
        mw_board_destroy(&b);
    }
}

static void test_board_60_settle_ends_the_waiting_of_the_dead(void **state)
{
    struct mw_claim c;
    struct mw_board *b = make_narrow(&c);
    struct request r;
    (void)state;
    b->members[1] = 101;
    b->cells[4] = *b->ticket << 2 | MW_CELL_WAIT;
    *b->ticket += 1;
    b->gate->queue |= UINT64_C(1) << 4 / b->block;
    request_start(&r, b, LONG);
    assert_int_equal(mw_board_waiting(b), 2);
    mw_board_settle(b, 101);
    assert_int_equal(mw_board_waiting(b), 1);
    mw_board_release(b, &c);
    assert_int_equal(request_end(&r), 0);
    mw_board_destroy(&b);
}

/* -- hostile content -- */

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* All that follows the head, either any bytes or words that look right. */
static void scribble(struct mw_board *b, uint64_t *x, int plausible)
{
    char *p = (char *)b->gate;
    size_t n = b->map_size - (size_t)(p - (char *)b->map);
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint64_t v = next_random(x);
        memcpy(p + i, &v, 8);
    }
    memset(b->map, (int)next_random(x), sizeof(struct mw_shm_head));
    if (next_random(x) % 4) {
        b->gate->closed = 0;
    }
    if (next_random(x) % 4) {
        b->gate->down_until = 0;
    }
    if (!plausible) {
        return;
    }
    for (unsigned s = 0; s < b->size.slots; s++) {
        struct mw_shm_slot *slot = mw_shm_slot(b, s);
        slot->word = mw_slot_word(1, MW_SLOT_READY);
        slot->busy = 0;
        for (unsigned t = 0; t < b->size.threads; t++) {
            slot->owner[t] = mw_owner_word(1, (uint32_t)(next_random(x) % (b->ncells + 1)) - 1);
        }
    }
}

static void use_all(struct mw_board *b)
{
    struct mw_slot_info info;
    struct mw_claim c;
    struct mw_claim forged = {1, 1, 1, 3};

    for (unsigned s = 0; s <= b->size.slots; s++) {
        if (mw_board_slot(b, s, &info) == 0) {
            assert_true(info.claimed <= b->size.threads);
            assert_non_null(mw_slot_state_name(info.state));
        }
    }
    assert_true(mw_board_waiting(b) <= b->ncells);
    for (int i = 0; i < 3; i++) {
        int rv = mw_board_claim(b, mw_clock_deadline((uint64_t)i), &c, NULL);
        if (rv == 0) {
            assert_true(c.slot < b->size.slots && c.thread < b->size.threads);
            assert_true(c.cell < b->ncells);
            mw_board_busy(b, c.slot, 1);
            mw_board_busy(b, c.slot, -1);
            mw_board_release(b, &c);
        } else {
            assert_true(rv == MW_ETIMEOUT || rv == MW_ECLOSED || rv == MW_EDOWN);
        }
    }
    assert_true(mw_board_down_ms(b) <= MW_BOARD_DOWN_MAX_MS);
    mw_board_release(b, &forged);
    mw_board_settle(b, (pid_t)b->members[1]);
    mw_board_settle(b, 100);
    assert_int_not_equal(mw_board_starting(b, 0, 1), 0);
    mw_board_ready(b, 0);
    mw_board_draining(b, 0);
    mw_board_empty(b, 1);
    mw_board_close(b);
}

static void test_board_90_survives_any_content(void **state)
{
    uint64_t x = 88172645463325252u;
    (void)state;
    for (int round = 0; round < 400; round++) {
        struct mw_board *b = make(1 + (unsigned)round % 5, 1 + (unsigned)round % 17, 2,
                                  4 + (unsigned)round % 90);
        assert_int_equal(mw_board_join(b, 100), 0);
        scribble(b, &x, round & 1);
        use_all(b);
        mw_board_destroy(&b);
    }
}

struct vandal {
    struct mw_board *b;
    atomic_int stop;
    pthread_t thread;
};

/* As a worker that was taken over: writes anything, anywhere, all the time. */
static void *vandal_main(void *arg)
{
    struct vandal *v = arg;
    uint64_t x = 1234567;
    char *p = (char *)v->b->gate;
    size_t words = (v->b->map_size - (size_t)(p - (char *)v->b->map)) / 8;
    while (!atomic_load(&v->stop)) {
        for (int i = 0; i < 64; i++) {
            size_t at = next_random(&x) % words;
            uint64_t words_like[] = {0, next_random(&x), UINT64_C(1) << next_random(&x) % 3};
            atomic_store((_Atomic uint64_t *)(void *)(p + at * 8), words_like[next_random(&x) % 3]);
        }
        usleep(50);
    }
    return NULL;
}

static void test_board_90_survives_a_vandal(void **state)
{
    struct vandal v = {.b = make(2, 3, 2, 40)};
    (void)state;
    struct mw_board *b = attach(v.b);
    assert_int_equal(mw_board_join(b, 100), 0);
    assert_int_equal(pthread_create(&v.thread, NULL, vandal_main, &v), 0);
    for (int i = 0; i < 100; i++) {
        uint64_t begin = mw_clock_ms();
        start(b, (unsigned)i % 2);
        use_all(b);
        assert_true(mw_clock_ms() - begin < 5000);
    }
    atomic_store(&v.stop, 1);
    assert_int_equal(pthread_join(v.thread, NULL), 0);
    mw_board_destroy(&b);
    mw_board_destroy(&v.b);
}

static void test_board_00_names_its_states(void **state)
{
    (void)state;
    assert_string_equal(mw_slot_state_name(MW_SLOT_EMPTY), "empty");
    assert_string_equal(mw_slot_state_name(MW_SLOT_STARTING), "starting");
    assert_string_equal(mw_slot_state_name(MW_SLOT_READY), "ready");
    assert_string_equal(mw_slot_state_name(MW_SLOT_DRAINING), "draining");
    assert_string_equal(mw_slot_state_name((enum mw_slot_state)77), "unknown");
}

#define USUAL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_board_00_names_its_states),
        cmocka_unit_test(test_board_00_accepts_sizes_up_to_their_limits),
        cmocka_unit_test(test_board_00_reaches_its_last_slot_thread_and_cell),
        cmocka_unit_test(test_board_00_grant_carries_the_largest_claim),
        USUAL(test_board_00_cannot_be_shrunk_under_its_users),
        cmocka_unit_test(test_board_00_refuses_what_is_no_board),
        USUAL(test_board_00_attached_handle_sees_the_same),
        cmocka_unit_test(test_board_50_has_a_place_for_each_member),
        USUAL(test_board_50_claims_the_least_busy_first),
        cmocka_unit_test(test_board_50_claims_ready_slots_only),
        cmocka_unit_test(test_board_50_has_as_many_claims_as_cells),
        USUAL(test_board_50_claim_of_a_dead_worker_frees_nothing),
        USUAL(test_board_50_release_of_what_is_not_held_frees_nothing),
        USUAL(test_board_50_incarnation_is_never_zero),
        USUAL(test_board_50_busy_worker_is_not_claimed),
        USUAL(test_board_50_counts_the_busy_as_claimed),
        cmocka_unit_test(test_board_50_queue_serves_the_oldest_first),
        cmocka_unit_test(test_board_50_newcomer_queues_up_behind_others),
        cmocka_unit_test(test_board_50_wait_ends_at_its_deadline),
        cmocka_unit_test(test_board_50_wait_ends_whoever_frees_a_thread),
        USUAL(test_board_50_closed_board_opens_with_a_worker),
        cmocka_unit_test(test_board_50_a_group_that_is_down_is_not_waited_for),
        cmocka_unit_test(test_board_50_who_leaves_keeps_what_it_has_and_stops_nobody_else),
        cmocka_unit_test(test_board_50_thread_that_is_busy_is_not_handed_over),
        cmocka_unit_test(test_board_50_grant_of_a_dead_worker_keeps_the_place),
        cmocka_unit_test(test_board_90_many_may_wait),
        USUAL(test_board_60_settle_frees_what_the_child_held),
        cmocka_unit_test(test_board_60_settle_finishes_a_hand_over),
        cmocka_unit_test(test_board_60_settle_ends_the_waiting_of_the_dead),
        cmocka_unit_test(test_board_90_survives_any_content),
        cmocka_unit_test(test_board_90_survives_a_vandal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
