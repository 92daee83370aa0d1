/*
 * test_board_model.c: the board's protocol under thousands of random schedules.
 *
 * httpd's children, the parent, the supervisor and the workers are coroutines in one thread. Each
 * access to the segment is a point at which any other of them may run, be killed, or time pass, as
 * a seed decides; so a failure comes back with its seed: MW_SEED=n runs that one alone, MW_SEEDS=n
 * runs more than the usual number.
 *
 * When nobody can run any more, and only then, the clock moves to the next time-out. So what the
 * board does in time must be right without the slices of sleep; at that point is checked that
 *   - the board's owners are exactly the claims that living requests hold (nothing lost or leaked),
 *   - nobody waits while a thread is idle,
 *   - each word of the queue is that of a request which waits.
 * Whenever a claim succeeds: nobody else holds that thread, and nobody who slept in the queue since
 * before the call was overtaken. Whenever a request begins to sleep: no more sleep in the queue than may
 * wait; and who is refused had met as many others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

static void step(void);
#define MW_BOARD_STEP() step()

#include "board.c"
#include "queue.c"

#define SEEDS 3000
#define STACK_SIZE (64u << 10)
#define COS_MAX 160u
#define SLOTS 3u
#define THREADS 3u
#define CHILDREN 3u /* at once */
#define CELLS 4u
#define FIRST_PID 100

enum co_state { CO_FREE, CO_RUNS, CO_BLOCKED, CO_SLEEPS };

/* What a request does with its claim. */
enum plan { PLAN_SERVED, PLAN_LEFT, PLAN_UNUSED, PLAN_COUNT };

struct co {
    enum co_state state;
    ucontext_t ctx;
    char *stack;
    void (*main)(struct co *);
    int (*ready)(struct co *); /* BLOCKED: may it go on? */
    unsigned priority;
    int parked;       /* runs again only when nobody else can */
    const void *word; /* SLEEPS: on this one */
    uint64_t until;
    uint64_t asleep_since; /* number of the scheduler's step; valid while SLEEPS */
    int child;             /* index, or -1 */
    int slot;              /* worker's thread: its slot, or -1 */
    struct mw_claim claim;
    int claiming;       /* inside mw_board_claim */
    uint64_t called_at; /* scheduler's step of that call */
    unsigned ended_at;  /* world's `ended` then */
    unsigned job;       /* request: number of its last job; worker's thread: of the one it does */
    int job_done;       /* request: that one */
    int held_back;      /* worker's thread: goes on when all is quiet and this is 0 again */
    struct co *client;  /* worker's thread: who sent the job, if that is still its last one */
};

struct child {
    int alive;
    pid_t pid;
    struct mw_board *board;
};

/* What is true, as opposed to what the board says. */
struct truth {
    int alive;          /* the worker's process runs */
    int restart, drain; /* what the supervisor is to do */
    int draining;       /* it has said so */
    int deserted;       /* and has seen no claim since */
    uint32_t incarnation;
    int holder[THREADS]; /* co + 1 of the request that has it */
    int at_work;         /* its threads that serve something */
};

#define NEVER_OVER UINT64_MAX

struct world {
    uint64_t seed, rnd, steps, now;
    ucontext_t scheduler;
    struct co co[COS_MAX];
    int current;        /* -1: the scheduler */
    unsigned switch_in; /* a step changes coroutine once in so many */
    int by_priority;
    unsigned park_in; /* 0: never */
    unsigned event_in;
    struct mw_board *board; /* parent's, supervisor's and workers' */
    struct child child[CHILDREN];
    pid_t next_pid;
    pid_t settle[64];
    unsigned nsettle;
    struct truth truth[SLOTS];
    uint64_t down_until; /* no worker is started before; 0: the group is not down */
    uint64_t down_ended; /* scheduler's step; NEVER_OVER while it may be said to be down */
    unsigned slots, threads, children, cells, queue;
    unsigned ended;            /* calls of mw_board_claim */
    unsigned events, requests; /* still to come */
    unsigned jobs;
    unsigned served, timeouts, kills, quiets, refused, full;
    char failure[200];
};

static struct world *w; /* of the run; the coroutines have no other way to it */

/* -- chance, failure -- */

static uint64_t rnd(void)
{
    w->rnd ^= w->rnd << 13;
    w->rnd ^= w->rnd >> 7;
    w->rnd ^= w->rnd << 17;
    return w->rnd;
}

static unsigned below(unsigned n)
{
    return (unsigned)((rnd() >> 11) % n);
}

static void broken(const char *fmt, ...) MW_PRINTF(1, 2);
static void broken(const char *fmt, ...)
{
    va_list ap;
    if (w->failure[0]) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(w->failure, sizeof w->failure, fmt, ap);
    va_end(ap);
}

static uint64_t model_clock(void)
{
    return w->now;
}

/* -- coroutines -- */

static void to_scheduler(void)
{
    struct co *c = &w->co[w->current];
    swapcontext(&c->ctx, &w->scheduler);
}

static void step(void)
{
    if (w == NULL || w->current < 0) {
        return;
    }
    int park = w->park_in && below(w->park_in) == 0;
    if (park || below(w->switch_in) == 0) {
        w->co[w->current].parked = park;
        to_scheduler();
    }
}

static void co_main(unsigned i)
{
    w->co[i].main(&w->co[i]);
    w->co[i].state = CO_FREE;
    to_scheduler();
}

static struct co *co_free(void)
{
    for (unsigned i = 0; i < COS_MAX; i++) {
        if (w->co[i].state == CO_FREE && (int)i != w->current) {
            return &w->co[i];
        }
    }
    broken("no coroutine left");
    return &w->co[0];
}

static void give_stack(struct co *c)
{
    ASAN_UNPOISON_MEMORY_REGION(c->stack, STACK_SIZE); /* who was killed on it never returned */
    getcontext(&c->ctx);
    c->ctx.uc_stack.ss_sp = c->stack;
    c->ctx.uc_stack.ss_size = STACK_SIZE;
    makecontext(&c->ctx, (void (*)(void))(void *)co_main, 1, (unsigned)(c - w->co));
}

static struct co *co_start(void (*fn)(struct co *), int child, int slot)
{
    struct co *c = co_free();
    char *stack = c->stack ? c->stack : malloc(STACK_SIZE);
    memset(c, 0, sizeof *c);
    c->stack = stack;
    c->main = fn;
    c->child = child;
    c->slot = slot;
    c->priority = below(1000);
    give_stack(c);
    c->state = CO_RUNS;
    return c;
}

static void block(struct co *c, int (*ready)(struct co *))
{
    c->ready = ready;
    while (!ready(c)) {
        c->state = CO_BLOCKED;
        to_scheduler();
    }
}

/* Of those who sleep in the queue; whoever has been granted a thread has left it. */
static unsigned count_queue(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < COS_MAX; i++) {
        const struct co *c = &w->co[i];
        n += c->state == CO_SLEEPS && mw_cell_waits(*(const uint64_t *)c->word);
    }
    return n;
}

/* In place of wait.c. */
void mw_wait_sleep(const _Atomic uint64_t *word, uint64_t expected, uint64_t timeout_ms)
{
    struct co *c = &w->co[w->current];
    step();
    if ((uint32_t)*word != (uint32_t)expected) {
        return;
    }
    c->state = CO_SLEEPS;
    c->word = word;
    c->until = w->now + timeout_ms;
    c->asleep_since = w->steps;
    if (w->queue && count_queue() > w->queue) {
        broken("%u wait, %u may", count_queue(), w->queue);
    }
    to_scheduler();
}

void mw_wait_wake(const _Atomic uint64_t *word)
{
    step();
    for (unsigned i = 0; i < COS_MAX; i++) {
        if (w->co[i].state == CO_SLEEPS && w->co[i].word == word) {
            w->co[i].state = CO_RUNS;
        }
    }
}

void mw_wait_pause(void)
{
    step();
}

/* -- workers -- */

static int has_idle_thread(struct co *c)
{
    return w->truth[c->slot].at_work < (int)w->threads;
}

static int is_let_go(struct co *c)
{
    return !c->held_back;
}

static void work_main(struct co *c)
{
    struct truth *t = &w->truth[c->slot];
    block(c, has_idle_thread);
    t->at_work++;
    mw_board_busy(w->board, (unsigned)c->slot, 1);
    c->held_back = (int)below(2);
    block(c, is_let_go);
    mw_board_busy(w->board, (unsigned)c->slot, -1);
    t->at_work--;
    if (c->client->job == c->job) {
        c->client->job_done = 1;
    }
}

static void kill_worker(unsigned slot)
{
    struct truth *t = &w->truth[slot];
    for (unsigned i = 0; i < COS_MAX; i++) {
        if (w->co[i].slot == (int)slot) {
            w->co[i].state = CO_FREE;
        }
    }
    t->alive = 0;
    t->at_work = 0;
    t->draining = 0;
    t->deserted = 0;
    t->restart = 1;
    w->kills++;
}

/* -- supervisor and parent -- */

static int supervisor_ready(struct co *c)
{
    (void)c;
    for (unsigned s = 0; s < w->slots; s++) {
        if (w->truth[s].restart || w->truth[s].drain) {
            return 1;
        }
    }
    return 0;
}

static void replace_worker(unsigned slot)
{
    struct truth *t = &w->truth[slot];
    t->restart = 0;
    mw_board_empty(w->board, slot);
    uint32_t incarnation = mw_board_starting(w->board, slot, (pid_t)(1000 + slot));
    if (incarnation == 0) {
        broken("incarnation 0");
    }
    memset(t->holder, 0, sizeof t->holder);
    t->incarnation = incarnation;
    t->alive = 1;
    to_scheduler();
    if (t->alive) {
        mw_board_ready(w->board, slot);
    }
}

static int nobody_holds(const struct truth *t)
{
    for (unsigned k = 0; k < w->threads; k++) {
        if (t->holder[k]) {
            return 0;
        }
    }
    return 1;
}

/* As a worker's end is: when its last claim has been seen to go, or by force at any moment. */
static void drain_worker(unsigned slot)
{
    struct truth *t = &w->truth[slot];
    struct mw_slot_info info = {.claimed = 1};

    t->drain = 0;
    t->draining = 1;
    mw_board_draining(w->board, slot);
    for (unsigned n = below(60); n > 0 && t->alive && info.claimed; n--) {
        to_scheduler();
        if (nobody_holds(t) && mw_board_slot(w->board, slot, &info) != MW_OK) {
            broken("no slot %u", slot);
        }
    }
    if (t->alive && info.claimed == 0) {
        t->deserted = 1;
        for (unsigned n = below(12); n > 0; n--) {
            w->co[w->current].parked = 1;
            to_scheduler();
        }
    }
    if (t->alive) {
        kill_worker(slot);
    }
}

static int down_is_over(struct co *c)
{
    (void)c;
    return w->now >= w->down_until;
}

/* Where no worker is left, the next start may have to wait. */
static void back_off(struct co *c)
{
    for (unsigned s = 0; s < w->slots; s++) {
        if (w->truth[s].alive) {
            return;
        }
    }
    if (below(12)) {
        return;
    }
    for (unsigned s = 0; s < w->slots; s++) {
        mw_board_empty(w->board, s);
    }
    w->down_ended = NEVER_OVER;
    uint64_t until = w->now + below(4000);
    mw_board_down(w->board, until);
    w->down_until = until;
    block(c, down_is_over);
    w->down_until = 0;
    mw_board_down(w->board, 0);
    w->down_ended = w->steps;
}

static void supervisor_main(struct co *c)
{
    for (;;) {
        block(c, supervisor_ready);
        for (unsigned s = 0; s < w->slots; s++) {
            if (w->truth[s].restart) {
                back_off(c);
                w->truth[s].drain = 0;
                replace_worker(s);
            } else if (w->truth[s].drain) {
                drain_worker(s);
            }
        }
    }
}

static int parent_ready(struct co *c)
{
    (void)c;
    return w->nsettle > 0;
}

static void start_child(unsigned i);

static void parent_main(struct co *c)
{
    for (;;) {
        block(c, parent_ready);
        pid_t pid = w->settle[--w->nsettle];
        unsigned i = 0;
        while (w->child[i].pid != pid) {
            i++;
        }
        for (unsigned s = 0; s < w->slots; s++) {
            for (unsigned t = 0; t < w->threads; t++) {
                int h = w->truth[s].holder[t];
                if (h && w->co[h - 1].child == -2 - (int)i) {
                    w->truth[s].holder[t] = 0;
                }
            }
        }
        mw_board_settle(w->board, pid);
        free(w->child[i].board->used);
        free(w->child[i].board);
        for (unsigned k = 0; k < COS_MAX; k++) {
            if (w->co[k].child == -2 - (int)i) {
                w->ended += (unsigned)w->co[k].claiming;
                w->co[k].child = -1;
                w->co[k].state = CO_FREE;
            }
        }
        start_child(i);
    }
}

/* -- children -- */

static int id_of(const struct co *c)
{
    return (int)(c - w->co) + 1;
}

static int is_current(const struct mw_claim *c)
{
    const struct truth *t = &w->truth[c->slot];
    return t->alive && t->incarnation == c->incarnation;
}

/* Somebody who slept in the queue before this one called, and sleeps still. */
static void check_order(const struct co *c)
{
    for (unsigned i = 0; i < COS_MAX; i++) {
        const struct co *o = &w->co[i];
        if (o->state == CO_SLEEPS && o->asleep_since < c->called_at && o->child >= 0 &&
            o->until > w->now && mw_cell_waits(*(const uint64_t *)o->word)) {
            broken("request %d overtook %u", id_of(c), i + 1);
        }
    }
}

static void got(struct co *c)
{
    struct truth *t = &w->truth[c->claim.slot];
    if (c->claim.slot >= w->slots || c->claim.thread >= w->threads) {
        broken("claim of slot %u thread %u", c->claim.slot, c->claim.thread);
        return;
    }
    if (is_current(&c->claim)) {
        if (t->holder[c->claim.thread]) {
            broken("slot %u thread %u: %d has it, %d got it", c->claim.slot, c->claim.thread,
                   t->holder[c->claim.thread], id_of(c));
        }
        if (t->deserted) {
            broken("slot %u was claimed after it had drained", c->claim.slot);
        }
        t->holder[c->claim.thread] = id_of(c);
    }
}

static int work_over(struct co *c)
{
    return !is_current(&c->claim) || c->job_done;
}

static void serve(struct co *c)
{
    enum plan plan = (enum plan)below(PLAN_COUNT + 2);
    if (plan == PLAN_UNUSED || !is_current(&c->claim)) {
        return;
    }
    struct co *work = co_start(work_main, -1, c->claim.slot);
    work->client = c;
    work->job = c->job = ++w->jobs;
    c->job_done = 0;
    if (plan == PLAN_LEFT) {
        to_scheduler();
    } else {
        block(c, work_over);
    }
}

/* As many others claimed at some time during the call as may wait. */
static int met_enough(const struct co *c)
{
    unsigned met = w->ended - c->ended_at;
    for (unsigned i = 0; i < COS_MAX; i++) {
        met += w->co[i].state != CO_FREE && w->co[i].claiming;
    }
    return met >= w->queue;
}

static void one_request(struct co *c, struct mw_board *b)
{
    int waited;
    uint64_t deadline = below(2) ? UINT64_MAX : w->now + below(300);

    c->called_at = w->steps;
    c->ended_at = w->ended;
    c->claiming = 1;
    int rv = mw_board_claim(b, deadline, &c->claim, &waited);
    c->claiming = 0;
    if (rv == MW_ELIMIT && w->queue && met_enough(c)) {
        w->full++;
        w->ended++;
        return;
    }
    w->ended++;
    if (rv == MW_ETIMEOUT && w->now >= deadline) {
        w->timeouts++;
        return;
    }
    if (rv == MW_EDOWN && w->down_ended >= c->called_at) {
        w->refused++;
        return;
    }
    if (rv != MW_OK) {
        if (rv != MW_ELIMIT || w->cells >= 3) {
            broken("claim returned %d", rv);
        }
        return;
    }
    check_order(c);
    got(c);
    serve(c);
    if (is_current(&c->claim) && w->truth[c->claim.slot].holder[c->claim.thread] == id_of(c)) {
        w->truth[c->claim.slot].holder[c->claim.thread] = 0;
    }
    w->served++;
    mw_board_release(b, &c->claim);
}

static void request_main(struct co *c)
{
    struct mw_board *b = w->child[c->child].board;
    while (w->requests > 0) {
        w->requests--;
        one_request(c, b);
        to_scheduler();
    }
}

static void child_main(struct co *c)
{
    struct child *ch = &w->child[c->child];
    if (mw_board_join(ch->board, ch->pid) != MW_OK) {
        broken("child %d could not join", c->child);
        return;
    }
    for (unsigned i = 0; i < 3 && i < w->cells + 1; i++) {
        co_start(request_main, c->child, -1);
    }
}

static struct mw_board *own_handle(void)
{
    struct mw_board *b = malloc(sizeof *b);
    *b = *w->board;
    b->used = calloc((b->size.cells + 63) / 64, sizeof *b->used);
    return b;
}

static void start_child(unsigned i)
{
    w->child[i] = (struct child){1, w->next_pid++, own_handle()};
    co_start(child_main, (int)i, -1);
}

/* Its coroutines keep their claims on the books until the parent settles it. */
static void kill_child(unsigned i)
{
    w->child[i].alive = 0;
    for (unsigned k = 0; k < COS_MAX; k++) {
        if (w->co[k].child == (int)i) {
            if (w->co[k].state == CO_FREE) {
                w->co[k].child = -1;
                continue;
            }
            w->co[k].child = -2 - (int)i;
            w->co[k].state = CO_BLOCKED;
            w->co[k].ready = NULL;
        }
    }
    w->settle[w->nsettle++] = w->child[i].pid;
    w->kills++;
}

/* -- what is checked when nobody can run -- */

static void check_slot(unsigned slot, unsigned sleepers)
{
    struct mw_slot_info info;
    unsigned held = 0;
    const struct truth *t = &w->truth[slot];

    if (mw_board_slot(w->board, slot, &info) != MW_OK || !t->alive || info.state != MW_SLOT_READY) {
        broken("slot %u is %d when all is quiet", slot, (int)info.state);
        return;
    }
    for (unsigned k = 0; k < w->threads; k++) {
        held += t->holder[k] != 0;
    }
    if (held != info.claimed) {
        broken("slot %u: %u claimed, %u held", slot, info.claimed, held);
    }
    if ((int)info.busy != t->at_work) {
        broken("slot %u: %u busy, %d at work", slot, info.busy, t->at_work);
    }
    if (sleepers && info.claimed < w->threads && info.busy < w->threads) {
        broken("%u wait while slot %u has an idle thread", sleepers, slot);
    }
}

static void check_quiet(void)
{
    unsigned sleepers = 0;
    for (unsigned i = 0; i < COS_MAX; i++) {
        if (w->co[i].state == CO_SLEEPS) {
            sleepers++;
            if (w->co[i].child < 0) {
                broken("co %u sleeps outside of a child", i);
            }
        }
    }
    if (sleepers != mw_board_waiting(w->board)) {
        broken("%u sleep, the board says %u", sleepers, mw_board_waiting(w->board));
    }
    for (unsigned c = 0; c < w->board->ncells; c++) {
        if (mw_cell_granted(w->board->cells[c])) {
            broken("cell %u has a grant that nobody takes", c);
        }
    }
    if (w->down_until) {
        if (sleepers && w->down_until > w->now + MW_BOARD_DOWN_MIN_MS) {
            broken("%u wait while the group is down", sleepers);
        }
        return;
    }
    for (unsigned s = 0; s < w->slots; s++) {
        check_slot(s, sleepers);
    }
}

/* -- scheduler -- */

static void random_event(void)
{
    unsigned i = below(w->children);
    unsigned s = below(w->slots);
    switch (below(4)) {
    case 0:
        if (w->child[i].alive) {
            kill_child(i);
        }
        break;
    case 1:
        if (w->truth[s].alive) {
            kill_worker(s);
        }
        break;
    case 2:
        w->truth[s].drain = w->truth[s].alive;
        break;
    default:
        w->now += below(400);
        break;
    }
    w->events--;
}

static void wake_timed_out(void)
{
    for (unsigned i = 0; i < COS_MAX; i++) {
        if (w->co[i].state == CO_SLEEPS && w->co[i].until <= w->now) {
            w->co[i].state = CO_RUNS;
        }
    }
}

static int goes_before(const struct co *a, const struct co *b, unsigned n)
{
    if (a->parked != b->parked) {
        return b->parked;
    }
    return w->by_priority ? a->priority > b->priority : below(n) == 0;
}

/* The next to run, or -1. */
static int choose(void)
{
    struct co *best = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < COS_MAX; i++) {
        struct co *c = &w->co[i];
        if (c->state == CO_BLOCKED && c->ready && c->ready(c)) {
            c->state = CO_RUNS;
        }
        if (c->state == CO_RUNS && (best == NULL || goes_before(c, best, ++n))) {
            best = c;
        }
    }
    if (best == NULL) {
        return -1;
    }
    best->parked = 0;
    if (w->by_priority && below(40) == 0) {
        best->priority = below(1000);
    }
    return (int)(best - w->co);
}

/* One of the jobs that go on only now, so that there are many such moments. */
static int let_go(void)
{
    struct co *chosen = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < COS_MAX; i++) {
        struct co *c = &w->co[i];
        if (c->state == CO_BLOCKED && c->held_back && below(++n) == 0) {
            chosen = c;
        }
    }
    if (chosen) {
        chosen->held_back = 0;
    }
    return chosen != NULL;
}

/* 0: nothing is left to happen. */
static int pass_time(void)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < COS_MAX; i++) {
        if (w->co[i].state == CO_SLEEPS && w->co[i].until < next) {
            next = w->co[i].until;
        }
    }
    if (w->down_until && w->down_until < next) {
        next = w->down_until;
    }
    if (next == UINT64_MAX) {
        return 0;
    }
    w->now = next;
    return 1;
}

static void schedule(void)
{
    while (!w->failure[0]) {
        if (++w->steps > 3000000) {
            broken("no end");
            break;
        }
        if (w->events > 0 && below(w->event_in) == 0) {
            random_event();
        }
        wake_timed_out();
        int i = choose();
        if (i < 0) {
            check_quiet();
            w->quiets++;
            if (below(8) ? !let_go() && !pass_time() : !pass_time() && !let_go()) {
                break;
            }
            continue;
        }
        w->current = i;
        swapcontext(&w->scheduler, &w->co[i].ctx);
        w->current = -1;
    }
}

/* -- one seed -- */

static void prepare(uint64_t seed)
{
    static const unsigned switches[] = {1, 2, 6, 20};
    static const unsigned parks[] = {0, 10, 40, 150};
    static const unsigned events[] = {15, 60, 200, 600};

    w->seed = seed;
    w->rnd = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (unsigned i = 0; i < 8; i++) {
        (void)rnd();
    }
    w->current = -1;
    w->now = 1000;
    w->switch_in = switches[below(4)];
    w->by_priority = (int)below(2);
    w->park_in = parks[below(4)];
    w->event_in = events[below(4)];
    w->events = below(3) ? below(25) : 0;
    w->requests = 12 + below(34);
    w->slots = 1 + below(SLOTS);
    w->threads = 1 + below(THREADS);
    w->children = 1 + below(CHILDREN);
    w->cells = 1 + below(CELLS);
    w->queue = below(3) ? 0 : 1 + below(6);
    w->next_pid = FIRST_PID;
}

static void make_board(void)
{
    struct mw_board_size size = {w->slots, w->threads, w->children, w->cells, w->queue};
    assert_int_equal(mw_board_create(&w->board, &size), 0);
    struct mw_board *b = w->board;
    b->block = 1 + below(4);
    b->blocks_mask = UINT32_MAX >> (32 - (b->ncells + b->block - 1) / b->block);
    *b->ticket = below(2) ? UINT64_MAX - below(20) : rnd();
    for (unsigned s = 0; s < w->slots; s++) {
        mw_shm_slot(b, s)->word = mw_slot_word(UINT32_MAX - below(4), MW_SLOT_EMPTY);
        w->truth[s].restart = 1;
    }
}

static void check_end(void)
{
    check_quiet();
    if (w->requests > 0) {
        broken("%u requests were never made", w->requests);
    }
    for (unsigned i = 0; i < COS_MAX; i++) {
        if (w->co[i].state != CO_FREE && w->co[i].main == request_main) {
            broken("request %u never ended", i + 1);
        }
    }
    for (unsigned s = 0; s < w->slots; s++) {
        struct mw_slot_info info;
        if (mw_board_slot(w->board, s, &info) != MW_OK || info.claimed || info.busy) {
            broken("slot %u: %u claimed, %u busy at the end", s, info.claimed, info.busy);
        }
    }
    for (unsigned i = 0; i < w->children; i++) {
        if (w->child[i].board->used[0] != 0) {
            broken("child %u has cells in use at the end", i);
        }
    }
    for (unsigned p = 0; p < w->queue; p++) {
        if (w->board->places[p] != 0) {
            broken("place %u is somebody's at the end", p);
        }
    }
}

struct totals {
    unsigned served, timeouts, kills, quiets, refused, full;
    uint64_t steps;
};

static void run_seed(uint64_t seed, struct totals *sum)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    w = world;
    prepare(seed);
    make_board();
    co_start(supervisor_main, -1, -1);
    co_start(parent_main, -1, -1);
    for (unsigned i = 0; i < w->children; i++) {
        start_child(i);
    }
    schedule();
    if (!w->failure[0]) {
        check_end();
    }
    for (unsigned i = 0; i < w->children; i++) {
        free(w->child[i].board->used);
        free(w->child[i].board);
    }
    for (unsigned i = 0; i < COS_MAX; i++) {
        free(w->co[i].stack);
    }
    mw_board_destroy(&w->board);
    w = NULL;
    sum->served += world->served;
    sum->timeouts += world->timeouts;
    sum->refused += world->refused;
    sum->full += world->full;
    sum->kills += world->kills;
    sum->quiets += world->quiets;
    sum->steps += world->steps;
    if (world->failure[0]) {
        char text[sizeof world->failure];
        memcpy(text, world->failure, sizeof text);
        free(world);
        fail_msg("seed %llu: %s (MW_SEED=%llu runs it alone)", (unsigned long long)seed, text,
                 (unsigned long long)seed);
    }
    free(world);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    return s && *s ? strtoull(s, NULL, 10) : otherwise;
}

static void test_board_50_keeps_its_promises_under_any_schedule(void **state)
{
    struct totals sum = {0};
    uint64_t only = number_from("MW_SEED", 0);
    uint64_t first = only ? only : 1;
    uint64_t n = only ? 1 : number_from("MW_SEEDS", SEEDS);
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* one thread, on stacks that the sanitizer does not know */
#endif
    mw_clock_replace(model_clock);
    for (uint64_t seed = first; seed < first + n; seed++) {
        run_seed(seed, &sum);
    }
    mw_clock_replace(NULL);
    print_message(
        "%llu schedules: %u served, %u timed out, %u refused, %u found it full, %u killed, "
        "%u quiet, %llu changes\n",
        (unsigned long long)n, sum.served, sum.timeouts, sum.refused, sum.full, sum.kills,
        sum.quiets, (unsigned long long)sum.steps);
    /* The schedules must be worth something. */
    if (n >= 100) {
        assert_true(sum.served > n * 5 && sum.timeouts > n / 8 && sum.kills > n * 3 / 4 &&
                    sum.refused > n / 8 && sum.full > n / 4 && sum.quiets > n * 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_board_50_keeps_its_promises_under_any_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
