/*
 * queue.c: who gets which thread: claim, release, the queue of those who wait, and the repair after
 * a crash. docs/internals/board.md has the protocol and why it loses nothing.
 *
 * Called by any number of threads of httpd's children at once; mw_queue_* also by the parent, the
 * supervisor and workers. One rule runs through all of it: whoever makes a thread idle, or stops
 * waiting, goes on until it has seen either nobody waiting or no idle thread.
 *
 * Must never trust a word of shared memory as an index or as a loop's end: loops whose end depends
 * on others' writes are bounded, and what a bound leaves undone is found at the end of a slice of
 * sleep.
 */
#include "clock.h"
#include "shm.h"
#include "wait.h"

#define LOOKS_MAX 4u          /* for the oldest; more would only be a little fairer */
#define TRIES_MAX 256u        /* lost races in a row; each is somebody else's success */
#define NUDGE_MAX 16u         /* waiting requests that are woken at once for idle threads */
#define SLICE_MIN_MS 250u     /* of sleep; only a party that crashed makes them matter */
#define SLICE_DOUBLINGS 3u    /* up to 2 s, so that thousands may wait for nothing */
#define RESTLESS_ROUNDS 1000u /* wake-ups of one request after which it pauses between them */

/* -- cells of this process -- */

static int cell_get(struct mw_board *b, uint32_t *cell_r)
{
    uint32_t words = (b->size.cells + 63) / 64;
    for (uint32_t i = 0; i < words; i++) {
        uint64_t v = atomic_load(&b->used[i]);
        while (v != UINT64_MAX) {
            uint32_t bit = (uint32_t)__builtin_ctzll(~v);
            if (i * 64 + bit >= b->size.cells) {
                return 0;
            }
            if (atomic_compare_exchange_weak(&b->used[i], &v, v | UINT64_C(1) << bit)) {
                *cell_r = b->row * b->size.cells + i * 64 + bit;
                return 1;
            }
        }
    }
    return 0;
}

static void cell_put(struct mw_board *b, uint32_t cell)
{
    uint32_t n = cell - b->row * b->size.cells;
    atomic_fetch_and(&b->used[n / 64], ~(UINT64_C(1) << n % 64));
}

/* -- idle threads -- */

/* What is known of one slot in one look. */
struct look {
    uint64_t word; /* the slot's, when the look began */
    uint32_t load; /* threads owned or busy, whichever is more */
    uint32_t free; /* a thread without an owner */
};

/* True if a thread of the slot may be claimed; *out is filled then. */
static int look_at(const struct mw_board *b, uint32_t slot, struct look *out)
{
    const struct mw_shm_slot *s = mw_shm_slot(b, slot);
    uint32_t owned = 0;
    uint32_t first = UINT32_MAX;

    out->word = mw_shm_get64(&s->word);
    if ((uint32_t)out->word != MW_SLOT_READY) {
        return 0;
    }
    uint32_t idle = mw_owner_free(mw_slot_incarnation(out->word));
    for (uint32_t t = b->size.threads; t-- > 0;) {
        if (mw_shm_get32(&s->owner[t]) == idle) {
            first = t;
        } else {
            owned++;
        }
    }
    uint32_t busy = mw_shm_busy(s);
    out->load = busy > owned ? busy : owned;
    out->free = first;
    return out->load < b->size.threads;
}

/* Own an idle thread of the least busy ready worker, of equals the first. 0: none is idle. */
static int take(struct mw_board *b, uint32_t cell, struct mw_claim *out)
{
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        struct look best = {0, UINT32_MAX, 0};
        uint32_t slot = 0;

        for (uint32_t s = 0; s < b->size.slots && best.load > 0; s++) {
            struct look l;
            if (look_at(b, s, &l) && l.load < best.load) {
                best = l;
                slot = s;
            }
        }
        if (best.load == UINT32_MAX) {
            return 0;
        }
        out->slot = (uint16_t)slot;
        out->thread = (uint16_t)best.free;
        out->incarnation = mw_slot_incarnation(best.word);
        out->cell = cell;
        uint32_t mine = mw_owner_word(out->incarnation, cell);
        uint32_t idle = mw_owner_free(out->incarnation);
        if (!mw_shm_cas32(mw_shm_owner(b, out), idle, mine)) {
            continue;
        }
        /* Who drains a slot and then finds no owner relies on it: look again, behind our mark. */
        if (mw_shm_get64(&mw_shm_slot(b, slot)->word) == best.word) {
            return 1;
        }
        mw_shm_cas32(mw_shm_owner(b, out), mine, idle);
    }
    return 0;
}

static void give_up(struct mw_board *b, const struct mw_claim *c)
{
    mw_shm_cas32(mw_shm_owner(b, c), mw_owner_word(c->incarnation, c->cell),
                 mw_owner_free(c->incarnation));
}

static int slot_is(const struct mw_board *b, const struct mw_claim *c, enum mw_slot_state state)
{
    return mw_shm_get64(&mw_shm_slot(b, c->slot)->word) == mw_slot_word(c->incarnation, state);
}

/* May a thread that has an owner be passed on to another one? */
static int passable(const struct mw_board *b, const struct mw_claim *c)
{
    return slot_is(b, c, MW_SLOT_READY) && mw_shm_busy(mw_shm_slot(b, c->slot)) < b->size.threads;
}

/* -- the queue -- */

static uint32_t waiting_blocks(const struct mw_board *b)
{
    return (uint32_t)mw_shm_get64(&b->gate->queue) & b->blocks_mask;
}

/* Show that `cell` waits. The word comes first, then the count of arrivals, then the bit: so a bit
 * is taken away (in find_oldest) only if nobody has come to its block since it was looked
 * through. */
static void enqueue(struct mw_board *b, uint32_t cell, uint64_t word)
{
    mw_shm_set64(&b->cells[cell], word);
    mw_shm_add64(&b->gate->queue, UINT64_C(1) << 32);
    mw_shm_or64(&b->gate->queue, UINT64_C(1) << cell / b->block);
}

struct waiter {
    uint32_t cell;
    uint64_t word;
};

/* Tickets are compared as clocks are: the counter may begin anywhere. */
static int is_before(uint64_t a, uint64_t b)
{
    return (int64_t)((a & ~(uint64_t)MW_CELL_KIND) - (b & ~(uint64_t)MW_CELL_KIND)) < 0;
}

/* Look for a request in block `i` that waits longer than *best (longest of all if it has no word)
 * and not longer than `after` (if not 0). Returns whether any waits there. */
static int oldest_in(const struct mw_board *b, uint32_t i, uint64_t after, struct waiter *best)
{
    uint32_t end = (i + 1) * b->block;
    int any = 0;
    for (uint32_t c = i * b->block; c < end && c < b->ncells; c++) {
        uint64_t word = mw_shm_get64(&b->cells[c]);
        if (!mw_cell_waits(word)) {
            continue;
        }
        any = 1;
        if ((after == 0 || is_before(after, word)) &&
            (best->word == 0 || is_before(word, best->word))) {
            best->word = word;
            best->cell = c;
        }
    }
    return any;
}

/* One look through the blocks in which somebody may wait. */
static void find_oldest(struct mw_board *b, uint64_t after, struct waiter *out)
{
    uint64_t queue = mw_shm_get64(&b->gate->queue);
    uint32_t deserted = 0;

    out->word = 0;
    for (uint32_t left = (uint32_t)queue & b->blocks_mask; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        if (!oldest_in(b, i, after, out)) {
            deserted |= UINT32_C(1) << i;
        }
    }
    if (deserted) {
        mw_shm_cas64(&b->gate->queue, queue, queue & ~(uint64_t)deserted);
    }
}

/* Who waits longest; with `after` not 0: longest of those who came after that word. 0: nobody. If
 * it came while we looked, somebody older may have come to where we had looked already: look
 * again. */
static int oldest(struct mw_board *b, uint64_t after, struct waiter *out)
{
    for (uint32_t looks = 0; looks < LOOKS_MAX; looks++) {
        uint64_t next = mw_shm_get64(b->ticket);
        find_oldest(b, after, out);
        if (out->word == 0 || is_before(out->word, next << 2)) {
            break;
        }
    }
    return out->word != 0;
}

enum passed {
    PASSED_ON, /* a waiting request has it */
    PASSED_UP, /* nobody could take it: it has no owner now */
    KEPT       /* cell itself is next in the queue, and has left it */
};

/* `c` is owned by its cell: give it to who waits longest, or give it up. With `self`, the cell may
 * be waiting too. */
static enum passed pass(struct mw_board *b, const struct mw_claim *c, int self)
{
    struct waiter w;
    for (uint32_t tries = 0; tries < TRIES_MAX && oldest(b, 0, &w) && passable(b, c); tries++) {
        if (w.cell == c->cell) {
            if (mw_shm_cas64(&b->cells[w.cell], w.word, MW_CELL_IDLE) && self) {
                return KEPT;
            }
        } else if (mw_shm_cas64(&b->cells[w.cell], w.word, mw_cell_grant(c))) {
            mw_wait_wake(&b->cells[w.cell]);
            return PASSED_ON;
        }
    }
    give_up(b, c);
    return PASSED_UP;
}

/* Bring idle threads and waiting requests together, in `cell`'s name, until there are none of the
 * one or of the other. If out is not NULL, cell itself waits: 1 as soon as it was its turn. */
static int match(struct mw_board *b, uint32_t cell, struct mw_claim *out)
{
    struct mw_claim c;
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        if (!waiting_blocks(b) || !take(b, cell, &c)) {
            break;
        }
        if (pass(b, &c, out != NULL) == KEPT) {
            *out = c;
            return 1;
        }
    }
    return 0;
}

/* -- places, where the queue has a limit -- */

/* A place is its holder's as long as the holder's cell waits: who has been granted a thread has left the
 * queue, although it may not know yet. The number in front keeps who has seen that from taking a place which
 * was given back and taken again meanwhile. */
struct place {
    uint32_t at;
    uint64_t word; /* 0: none */
};

static int is_held(const struct mw_board *b, uint64_t word)
{
    return word && mw_place_cell(word) < b->ncells &&
           mw_cell_waits(mw_shm_get64(&b->cells[mw_place_cell(word)]));
}

/* Take the place if nobody holds it. */
static int take_at(struct mw_board *b, uint32_t at, uint64_t mine)
{
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        uint64_t word = mw_shm_get64(&b->places[at]);
        if (is_held(b, word)) {
            break;
        }
        if (mw_shm_cas64(&b->places[at], word, mine)) {
            return 1;
        }
    }
    return 0;
}

/* For a cell that waits already, so that nobody takes its place away. 0: all are held. As places are given back
 * about in the order in which they were taken, the next one is mostly free. */
static int take_place(struct mw_board *b, uint32_t cell, struct place *p)
{
    if (p->word || b->size.queue == 0) {
        return 1;
    }
    uint64_t number = mw_shm_add64(b->ticket, 1);
    uint32_t first = (uint32_t)(number % b->size.queue);
    for (uint32_t i = 0; i < b->size.queue; i++) {
        uint32_t at = (first + i) % b->size.queue;
        if (take_at(b, at, mw_place_word(number, cell))) {
            *p = (struct place){at, mw_place_word(number, cell)};
            return 1;
        }
    }
    return 0;
}

/* It may be another one's already. */
static void give_place(struct mw_board *b, struct place *p)
{
    if (p->word) {
        mw_shm_cas64(&b->places[p->at], p->word, 0);
    }
    p->word = 0;
}

/* -- one waiting request -- */

/* Become the owner of what was granted. 0: it is void, as its worker is gone or drains. The cell's
 * word is idle afterwards. The order matters to mw_queue_settle_row: as long as the word says
 * granted, the owner is who granted it or we. */
static int accept_grant(struct mw_board *b, uint32_t cell, uint64_t word, struct mw_claim *out)
{
    int mine = 0;
    if (mw_cell_claim(b, cell, word, out)) {
        for (uint32_t tries = 0; tries < TRIES_MAX && !mine; tries++) {
            uint32_t owner = mw_shm_get32(mw_shm_owner(b, out));
            if (mw_owner_is_free(owner) || !mw_owner_of(owner, out->incarnation)) {
                break;
            }
            mine = mw_shm_cas32(mw_shm_owner(b, out), owner, mw_owner_word(out->incarnation, cell));
        }
    }
    mw_shm_set64(&b->cells[cell], MW_CELL_IDLE);
    if (mine && !slot_is(b, out, MW_SLOT_READY)) {
        give_up(b, out);
        mine = 0;
    }
    return mine;
}

/* `me` is the cell's word as long as it waits. 1: *out is ours and we wait no more. 0: no thread is
 * idle now, or the word has changed again. */
static int try_turn(struct mw_board *b, uint32_t cell, uint64_t me, struct place *place,
                    struct mw_claim *out)
{
    uint64_t word = mw_shm_get64(&b->cells[cell]);
    if (mw_cell_granted(word) && accept_grant(b, cell, word, out)) {
        return 1;
    }
    if (word == (me | MW_CELL_NUDGED)) {
        if (!mw_shm_cas64(&b->cells[cell], word, me)) {
            return 0;
        }
    } else if (word != me) {
        /* The grant was void, or somebody scribbles: it keeps its turn. Others may have seen that it did
         * not wait, and be about to take its place. */
        give_place(b, place);
        enqueue(b, cell, me);
    }
    return match(b, cell, out);
}

/* Wait no more. 1: a thread was granted at the last moment. */
static int leave(struct mw_board *b, uint32_t cell, struct mw_claim *out)
{
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        uint64_t word = mw_shm_get64(&b->cells[cell]);
        if (mw_cell_granted(word)) {
            return accept_grant(b, cell, word, out);
        }
        if (mw_shm_cas64(&b->cells[cell], word, MW_CELL_IDLE)) {
            break;
        }
    }
    return 0;
}

static void sleep_slice(struct mw_board *b, uint32_t cell, uint64_t me, uint64_t deadline,
                        uint32_t round)
{
    uint64_t now = mw_clock_ms();
    uint64_t left_ms = deadline > now ? deadline - now : 1;
    uint64_t ms = (uint64_t)SLICE_MIN_MS << (round < SLICE_DOUBLINGS ? round : SLICE_DOUBLINGS);
    mw_wait_sleep(&b->cells[cell], me, left_ms < ms ? left_ms : ms);
    if (round > RESTLESS_ROUNDS) {
        mw_wait_pause();
    }
}

/* Whether there is nothing to wait for: no worker will come, or this process leaves. */
static int is_over(struct mw_board *b)
{
    return mw_shm_get32(&b->gate->closed) || atomic_load(&b->left);
}

/* Why not to wait any longer, or MW_OK. */
static int end_of_wait(struct mw_board *b, uint64_t deadline)
{
    if (is_over(b)) {
        return MW_ECLOSED;
    }
    if (mw_board_down_ms(b) > MW_BOARD_DOWN_MIN_MS) {
        return MW_EDOWN;
    }
    return mw_clock_ms() >= deadline ? MW_ETIMEOUT : MW_OK;
}

static int wait_turn(struct mw_board *b, uint32_t cell, uint64_t deadline, struct mw_claim *out,
                     int *waited_r)
{
    uint64_t me = mw_shm_add64(b->ticket, 1) << 2 | MW_CELL_WAIT;
    struct place place = {0, 0};
    int rv = MW_OK;

    enqueue(b, cell, me);
    for (uint32_t round = 0; !try_turn(b, cell, me, &place, out); round++) {
        rv = end_of_wait(b, deadline);
        if (rv == MW_OK && !take_place(b, cell, &place)) {
            rv = MW_ELIMIT;
        }
        if (rv != MW_OK) {
            break;
        }
        *waited_r = 1;
        sleep_slice(b, cell, me, deadline, round);
    }
    if (rv != MW_OK && leave(b, cell, out)) {
        rv = MW_OK;
    }
    give_place(b, &place);
    /* We may have been nudged for threads that others are to have. */
    match(b, cell, NULL);
    return rv;
}

int mw_board_claim(struct mw_board *b, uint64_t deadline, struct mw_claim *out, int *waited_r)
{
    uint32_t cell = 0;
    int waited = 0;
    int rv = MW_OK;

    if (b->row == MW_ROW_NONE) {
        return MW_ESTATE;
    }
    if (!cell_get(b, &cell)) {
        return MW_ELIMIT;
    }
    if (is_over(b)) {
        rv = MW_ECLOSED;
    } else if (waiting_blocks(b) || !take(b, cell, out)) {
        rv = wait_turn(b, cell, deadline, out, &waited);
    }
    if (rv != MW_OK) {
        cell_put(b, cell);
    }
    if (waited_r) {
        *waited_r = waited;
    }
    return rv;
}

/* Is the claim what the board says? Not if the worker died. */
static int holds(const struct mw_board *b, const struct mw_claim *c)
{
    uint64_t word = mw_shm_get64(&mw_shm_slot(b, c->slot)->word);
    return mw_slot_incarnation(word) == c->incarnation &&
           mw_shm_get32(mw_shm_owner(b, c)) == mw_owner_word(c->incarnation, c->cell);
}

void mw_board_release(struct mw_board *b, const struct mw_claim *claim)
{
    struct mw_claim c = *claim;
    if (b->row == MW_ROW_NONE || c.cell / b->size.cells != b->row || c.slot >= b->size.slots ||
        c.thread >= b->size.threads) {
        return;
    }
    if (holds(b, &c) && pass(b, &c, 0) == PASSED_UP) {
        match(b, c.cell, NULL);
    }
    cell_put(b, c.cell);
}

/* -- for callers without a cell -- */

static uint32_t idle_threads(const struct mw_board *b)
{
    uint32_t n = 0;
    for (uint32_t s = 0; s < b->size.slots; s++) {
        struct look l;
        if (look_at(b, s, &l)) {
            n += b->size.threads - l.load;
        }
    }
    return n;
}

void mw_queue_nudge(struct mw_board *b)
{
    struct waiter w;
    uint64_t after = 0;

    if (!waiting_blocks(b)) {
        return;
    }
    uint32_t n = idle_threads(b);
    for (uint32_t i = 0; i < n && i < NUDGE_MAX && oldest(b, after, &w); i++) {
        /* If this fails, it is served, has gone, or just begins to look. */
        mw_shm_cas64(&b->cells[w.cell], w.word, w.word | MW_CELL_NUDGED);
        mw_wait_wake(&b->cells[w.cell]);
        after = w.word;
    }
}

void mw_queue_wake(struct mw_board *b, uint32_t first, uint32_t n)
{
    for (uint32_t c = first; c < first + n; c++) {
        uint64_t word = mw_shm_get64(&b->cells[c]);
        if (mw_cell_waits(word)) {
            mw_shm_cas64(&b->cells[c], word, word | MW_CELL_NUDGED);
            mw_wait_wake(&b->cells[c]);
        }
    }
}

/* -- after a crash -- */

/* The cell's process is gone: it waits no more, and what was granted to it is idle. */
static void settle_cell(struct mw_board *b, uint32_t cell)
{
    struct mw_claim c;
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        uint64_t word = mw_shm_get64(&b->cells[cell]);
        if (mw_cell_granted(word) && mw_cell_claim(b, cell, word, &c)) {
            uint32_t owner = mw_shm_get32(mw_shm_owner(b, &c));
            if (mw_owner_of(owner, c.incarnation)) {
                mw_shm_cas32(mw_shm_owner(b, &c), owner, mw_owner_free(c.incarnation));
            }
        }
        if (word == MW_CELL_IDLE || mw_shm_cas64(&b->cells[cell], word, MW_CELL_IDLE)) {
            break;
        }
    }
}

/* If the row granted a thread to this cell of another member and died before that one took it, the
 * board still names the dead as its owner: finish it. The wake-up may be missing too, even of a
 * grant that has become void in the meantime. */
static void settle_grant(struct mw_board *b, uint32_t row, uint32_t cell)
{
    struct mw_claim c;
    uint64_t word = mw_shm_get64(&b->cells[cell]);
    if (!mw_cell_granted(word) || !mw_cell_claim(b, cell, word, &c)) {
        return;
    }
    uint32_t owner = mw_shm_get32(mw_shm_owner(b, &c));
    if (!mw_owner_is_free(owner) && mw_owner_of(owner, c.incarnation) &&
        mw_owner_cell(owner) / b->size.cells == row) {
        mw_shm_cas32(mw_shm_owner(b, &c), owner, mw_owner_word(c.incarnation, cell));
    }
    mw_wait_wake(&b->cells[cell]);
}

static void settle_owners(struct mw_board *b, uint32_t row, uint32_t slot)
{
    struct mw_shm_slot *s = mw_shm_slot(b, slot);
    for (uint32_t t = 0; t < b->size.threads; t++) {
        uint32_t owner = mw_shm_get32(&s->owner[t]);
        if (!mw_owner_is_free(owner) && mw_owner_cell(owner) / b->size.cells == row) {
            mw_shm_cas32(&s->owner[t], owner, owner & ~UINT32_C(0xffff));
        }
    }
}

/* No cell of the row waits any more: not even for its next owner may it have a place. */
static void settle_places(struct mw_board *b, uint32_t row)
{
    for (uint32_t p = 0; p < b->size.queue; p++) {
        uint64_t word = mw_shm_get64(&b->places[p]);
        if (word && mw_place_cell(word) / b->size.cells == row) {
            mw_shm_cas64(&b->places[p], word, 0);
        }
    }
}

void mw_queue_settle_row(struct mw_board *b, uint32_t row)
{
    uint32_t first = row * b->size.cells;

    for (uint32_t i = 0; i < b->size.cells; i++) {
        settle_cell(b, first + i);
    }
    settle_places(b, row);
    for (uint32_t c = 0; c < b->ncells; c++) {
        settle_grant(b, row, c);
    }
    for (uint32_t s = 0; s < b->size.slots; s++) {
        settle_owners(b, row, s);
    }
}
