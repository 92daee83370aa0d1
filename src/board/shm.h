/*
 * shm.h: the layout of a board's segment, its words, and the only functions that touch them.
 *
 * Internal to board/. Every word is a lock-free C11 atomic, accessed sequentially consistent: the
 * proofs in docs/internals/board.md are of the form "either A sees what B wrote or B sees what A
 * wrote", which weaker orders do not give. Sizes are copied into the process's handle when it is
 * made and never read from shared memory again; whatever is read from there is masked or compared
 * before it is used as an index.
 *
 *   head | gate | tickets | slot 0 .. | members | cells | places
 *
 * slot word   incarnation << 32 | enum mw_slot_state
 * owner word  low 16 bits of the incarnation << 16 | cell + 1, or 0 in the low half: free
 * cell word   see MW_CELL_*
 * place word  a number of its own << 16 | cell + 1; 0: nobody's. Only where the queue has a limit
 * queue word  number of arrivals << 32 | one bit per block of cells in which somebody may wait
 */
#ifndef MW_BOARD_SHM_H
#define MW_BOARD_SHM_H

#include <stdatomic.h>
#include <stdint.h>

#include "board.h"

/* A test may define it, to change to another simulated process before any access. */
#ifndef MW_BOARD_STEP
#define MW_BOARD_STEP() ((void)0)
#endif

#if ATOMIC_LLONG_LOCK_FREE != 2 || ATOMIC_INT_LOCK_FREE != 2
#error "the board needs lock-free 64-bit atomics: they are shared between processes"
#endif

#define MW_SHM_MAGIC 0x4252574du /* the bytes "MWRB" */
#define MW_SHM_VERSION 3u
#define MW_SHM_LINE 64u
#define MW_SHM_BLOCKS 32u /* of cells: bits of the queue word */

struct mw_shm_head {
    uint32_t magic;
    uint32_t version;
    uint32_t slots;
    uint32_t threads;
    uint32_t members;
    uint32_t cells;
    uint32_t queue;
};

/* Read by every claim and release, written only when somebody waits. */
struct mw_shm_gate {
    _Atomic uint64_t queue;
    _Atomic uint64_t down_until; /* of the monotonic clock; read where no thread is idle */
    _Atomic uint32_t closed;
};

struct mw_shm_slot {
    _Atomic uint64_t word;
    _Atomic uint32_t busy;   /* threads at work, by the worker itself */
    _Atomic uint32_t pid;    /* for display only: a worker can write anything here */
    _Atomic uint32_t served; /* has it finished a request? */
    _Atomic uint32_t owner[];
};

/* Kinds of a cell word, its lowest two bits. The lowest bit alone says that its request waits. They
 * differ in the low half of the word, which is what a futex compares. */
enum {
    MW_CELL_IDLE = 0,   /* no request, or one that has its thread */
    MW_CELL_WAIT = 1,   /* | ticket << 2 */
    MW_CELL_GRANT = 2,  /* | slot << 2 | thread << 14 | incarnation << 24 */
    MW_CELL_NUDGED = 3, /* MW_CELL_WAIT, and asked to look for idle threads */
    MW_CELL_KIND = 3
};

#define MW_ROW_NONE UINT32_MAX

struct mw_board {
    int fd;
    void *map;
    size_t map_size;
    struct mw_board_size size;
    uint32_t ncells;      /* of all members */
    uint32_t block;       /* cells per bit of the queue word */
    uint32_t blocks_mask; /* the bits that exist */
    size_t slot_stride;
    struct mw_shm_gate *gate;
    _Atomic uint64_t *ticket;
    char *slots;
    _Atomic uint32_t *members; /* pid per row */
    _Atomic uint64_t *cells;
    _Atomic uint64_t *places; /* size.queue of them */
    uint32_t row;             /* this process's, or MW_ROW_NONE */
    _Atomic uint64_t *used;   /* bit per cell of the row; this process's own memory */
    _Atomic int left;         /* this process claims no more */
};

/* -- accesses -- */

static inline uint32_t mw_shm_get32(const _Atomic uint32_t *p)
{
    MW_BOARD_STEP();
    return atomic_load(p);
}

static inline uint64_t mw_shm_get64(const _Atomic uint64_t *p)
{
    MW_BOARD_STEP();
    return atomic_load(p);
}

static inline void mw_shm_set32(_Atomic uint32_t *p, uint32_t v)
{
    MW_BOARD_STEP();
    atomic_store(p, v);
}

static inline void mw_shm_set64(_Atomic uint64_t *p, uint64_t v)
{
    MW_BOARD_STEP();
    atomic_store(p, v);
}

/* True if *p was `from` and is now `to`. */
static inline int mw_shm_cas32(_Atomic uint32_t *p, uint32_t from, uint32_t to)
{
    MW_BOARD_STEP();
    return atomic_compare_exchange_strong(p, &from, to);
}

static inline int mw_shm_cas64(_Atomic uint64_t *p, uint64_t from, uint64_t to)
{
    MW_BOARD_STEP();
    return atomic_compare_exchange_strong(p, &from, to);
}

static inline uint32_t mw_shm_add32(_Atomic uint32_t *p, uint32_t v)
{
    MW_BOARD_STEP();
    return atomic_fetch_add(p, v);
}

static inline uint64_t mw_shm_add64(_Atomic uint64_t *p, uint64_t v)
{
    MW_BOARD_STEP();
    return atomic_fetch_add(p, v);
}

static inline uint64_t mw_shm_or64(_Atomic uint64_t *p, uint64_t v)
{
    MW_BOARD_STEP();
    return atomic_fetch_or(p, v);
}

/* -- slot and owner words -- */

static inline struct mw_shm_slot *mw_shm_slot(const struct mw_board *b, uint32_t slot)
{
    return (struct mw_shm_slot *)(void *)(b->slots + slot * b->slot_stride);
}

/* A worker that miscounts below zero is not busy. */
static inline uint32_t mw_shm_busy(const struct mw_shm_slot *s)
{
    uint32_t busy = mw_shm_get32(&s->busy);
    return busy > INT32_MAX ? 0 : busy;
}

static inline uint64_t mw_slot_word(uint32_t incarnation, enum mw_slot_state s)
{
    return (uint64_t)incarnation << 32 | (uint32_t)s;
}

static inline uint32_t mw_slot_incarnation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* Half of the incarnation is enough: a release also compares the whole one. */
static inline uint32_t mw_owner_word(uint32_t incarnation, uint32_t cell)
{
    return incarnation << 16 | (cell + 1);
}

static inline uint32_t mw_owner_free(uint32_t incarnation)
{
    return incarnation << 16;
}

static inline int mw_owner_is_free(uint32_t word)
{
    return (word & 0xffffu) == 0;
}

/* Of a word that is not free. May be any number: to be compared only. */
static inline uint32_t mw_owner_cell(uint32_t word)
{
    return (word & 0xffffu) - 1;
}

/* Was the word written for this incarnation? */
static inline int mw_owner_of(uint32_t word, uint32_t incarnation)
{
    return word >> 16 == (incarnation & 0xffffu);
}

/* -- cell words -- */

static inline int mw_cell_waits(uint64_t word)
{
    return (word & 1) != 0;
}

static inline int mw_cell_granted(uint64_t word)
{
    return (word & MW_CELL_KIND) == MW_CELL_GRANT;
}

static inline uint64_t mw_cell_grant(const struct mw_claim *c)
{
    return MW_CELL_GRANT | (uint64_t)c->slot << 2 | (uint64_t)c->thread << 14 |
           (uint64_t)c->incarnation << 24;
}

/* What a grant gives to `cell`; 0 if the word names no thread of this board. */
static inline int mw_cell_claim(const struct mw_board *b, uint32_t cell, uint64_t word,
                                struct mw_claim *out)
{
    out->slot = (uint16_t)(word >> 2 & 0xfff);
    out->thread = (uint16_t)(word >> 14 & 0x3ff);
    out->incarnation = (uint32_t)(word >> 24);
    out->cell = cell;
    return out->slot < b->size.slots && out->thread < b->size.threads;
}

static inline uint64_t mw_place_word(uint64_t number, uint32_t cell)
{
    return number << 16 | (cell + 1);
}

/* Of a word that is not 0. May be any number. */
static inline uint32_t mw_place_cell(uint64_t word)
{
    return (uint32_t)(word & 0xffffu) - 1;
}

static inline _Atomic uint32_t *mw_shm_owner(const struct mw_board *b, const struct mw_claim *c)
{
    return &mw_shm_slot(b, c->slot)->owner[c->thread];
}

/* -- queue.c, for board.c -- */

/* Threads have become idle: have the oldest waiting requests look for them. For callers that have
 * no cell of their own to hand a thread over with. */
void mw_queue_nudge(struct mw_board *b);

/* Have every waiting request of n cells look whether it may go on. */
void mw_queue_wake(struct mw_board *b, uint32_t first, uint32_t n);

/* The member of this row is gone: undo all that its cells have and wait for. */
void mw_queue_settle_row(struct mw_board *b, uint32_t row);

#endif
