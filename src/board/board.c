/*
 * board.c: the segment: made, mapped and checked; slots, members and figures. Claims and the queue
 * are in queue.c, the layout in shm.h, the protocol in docs/internals/board.md.
 *
 * Called in httpd's processes, in the supervisor and in workers, by any thread. Never blocks.
 */
#include "board.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "clock.h"
#include "io.h"
#include "shm.h"

/* -- segment -- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t slot_stride(const struct mw_board_size *z)
{
    return round_up(sizeof(struct mw_shm_slot) + z->threads * sizeof(uint32_t), MW_SHM_LINE);
}

static int check_size(const struct mw_board_size *z)
{
    if (z->slots == 0 || z->threads == 0 || z->members == 0 || z->cells == 0) {
        return MW_EINVAL;
    }
    if (z->slots > MW_BOARD_SLOTS_MAX || z->threads > MW_BOARD_THREADS_MAX ||
        z->members > MW_BOARD_MEMBERS_MAX || z->cells > MW_BOARD_CELLS_MAX / z->members ||
        z->queue > MW_BOARD_CELLS_MAX) {
        return MW_ELIMIT;
    }
    return MW_OK;
}

/* Where each part of a segment of checked size begins; the one place that knows. */
struct layout {
    size_t gate, ticket, slots, members, cells, places, end;
};

static struct layout layout_of(const struct mw_board_size *z)
{
    struct layout l;
    l.gate = round_up(sizeof(struct mw_shm_head), MW_SHM_LINE);
    l.ticket = l.gate + round_up(sizeof(struct mw_shm_gate), MW_SHM_LINE);
    l.slots = l.ticket + MW_SHM_LINE;
    l.members = l.slots + z->slots * slot_stride(z);
    l.cells = l.members + round_up(z->members * sizeof(uint32_t), MW_SHM_LINE);
    l.places = l.cells + round_up((size_t)z->members * z->cells * sizeof(uint64_t), MW_SHM_LINE);
    l.end = l.places + round_up(z->queue * sizeof(uint64_t), MW_SHM_LINE);
    return l;
}

static void set_pointers(struct mw_board *b)
{
    struct layout l = layout_of(&b->size);
    char *base = b->map;
    b->gate = (struct mw_shm_gate *)(void *)(base + l.gate);
    b->ticket = (_Atomic uint64_t *)(void *)(base + l.ticket);
    b->slots = base + l.slots;
    b->members = (_Atomic uint32_t *)(void *)(base + l.members);
    b->cells = (_Atomic uint64_t *)(void *)(base + l.cells);
    b->places = (_Atomic uint64_t *)(void *)(base + l.places);
}

/* Map fd, which has room for a board of this (checked) size. Takes fd in any case. */
static int open_handle(struct mw_board **out, int fd, const struct mw_board_size *size)
{
    int rv = MW_ENOMEM;
    struct mw_board *b = calloc(1, sizeof *b);
    if (b == NULL) {
        mw_io_close(&fd);
        goto out;
    }
    b->fd = fd;
    b->map = MAP_FAILED;
    b->map_size = layout_of(size).end;
    b->size = *size;
    b->row = MW_ROW_NONE;
    b->ncells = size->members * size->cells;
    b->block = (b->ncells + MW_SHM_BLOCKS - 1) / MW_SHM_BLOCKS;
    b->blocks_mask = UINT32_MAX >> (MW_SHM_BLOCKS - (b->ncells + b->block - 1) / b->block);
    b->slot_stride = slot_stride(size);
    b->used = calloc((size->cells + 63) / 64, sizeof *b->used);
    if (b->used == NULL) {
        goto out;
    }
    b->map = mmap(NULL, b->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (b->map == MAP_FAILED) {
        rv = MW_EIO;
        goto out;
    }
    set_pointers(b);
    rv = MW_OK;
out:
    if (rv != MW_OK) {
        mw_board_destroy(&b);
    }
    *out = b;
    return rv;
}

int mw_board_create(struct mw_board **out, const struct mw_board_size *size)
{
    int fd = -1;

    *out = NULL;
    int rv = check_size(size);
    if (rv != MW_OK) {
        return rv;
    }
    rv = mw_io_memfd("wsgi-board", layout_of(size).end, &fd);
    if (rv != MW_OK) {
        return rv;
    }
    rv = open_handle(out, fd, size);
    if (rv != MW_OK) {
        return rv;
    }
    /* New memory is zero: every slot empty, every cell idle, nobody waiting, every place nobody's. */
    struct mw_shm_head *head = (*out)->map;
    head->magic = MW_SHM_MAGIC;
    head->version = MW_SHM_VERSION;
    head->slots = size->slots;
    head->threads = size->threads;
    head->members = size->members;
    head->cells = size->cells;
    head->queue = size->queue;
    return MW_OK;
}

/* The head of the segment, if fd is one and as large as it says. Not mapped: read once, into memory
 * that nobody else can change while it is checked. */
static int read_head(int fd, struct mw_board_size *out)
{
    struct mw_shm_head head;
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return MW_EIO;
    }
    void *map = mmap(NULL, sizeof head, PROT_READ, MAP_SHARED, fd, 0);
    if (st.st_size < (off_t)sizeof head || map == MAP_FAILED) {
        if (map != MAP_FAILED) {
            munmap(map, sizeof head);
        }
        return MW_EPROTO;
    }
    head = *(const volatile struct mw_shm_head *)map;
    munmap(map, sizeof head);
    if (head.magic != MW_SHM_MAGIC || head.version != MW_SHM_VERSION) {
        return MW_EPROTO;
    }
    *out = (struct mw_board_size){head.slots, head.threads, head.members, head.cells, head.queue};
    if (check_size(out) != MW_OK || (size_t)st.st_size != layout_of(out).end) {
        return MW_EPROTO;
    }
    return MW_OK;
}

int mw_board_attach(struct mw_board **out, int fd)
{
    struct mw_board_size size;

    *out = NULL;
    int rv = read_head(fd, &size);
    if (rv != MW_OK) {
        mw_io_close(&fd);
        return rv;
    }
    return open_handle(out, fd, &size);
}

void mw_board_destroy(struct mw_board **b)
{
    if (b == NULL || *b == NULL) {
        return;
    }
    if ((*b)->map != MAP_FAILED) {
        munmap((*b)->map, (*b)->map_size);
    }
    mw_io_close(&(*b)->fd);
    free((*b)->used);
    free(*b);
    *b = NULL;
}

int mw_board_fd(const struct mw_board *b)
{
    return b->fd;
}

/* -- members -- */

int mw_board_join(struct mw_board *b, pid_t pid)
{
    if (b->row != MW_ROW_NONE) {
        return MW_ESTATE;
    }
    if (pid <= 0) {
        return MW_EINVAL;
    }
    for (uint32_t row = 0; row < b->size.members; row++) {
        if (mw_shm_cas32(&b->members[row], 0, (uint32_t)pid)) {
            b->row = row;
            return MW_OK;
        }
    }
    return MW_ELIMIT;
}

void mw_board_leave(struct mw_board *b)
{
    atomic_store(&b->left, 1);
    if (b->row != MW_ROW_NONE) {
        mw_queue_wake(b, b->row * b->size.cells, b->size.cells);
    }
}

void mw_board_settle(struct mw_board *b, pid_t pid)
{
    int found = 0;
    for (uint32_t row = 0; pid > 0 && row < b->size.members; row++) {
        if (mw_shm_get32(&b->members[row]) == (uint32_t)pid) {
            mw_queue_settle_row(b, row);
            mw_shm_set32(&b->members[row], 0);
            found = 1;
        }
    }
    if (found) {
        mw_queue_nudge(b);
    }
}

/* -- slots -- */

const char *mw_slot_state_name(enum mw_slot_state s)
{
    switch (s) {
    case MW_SLOT_EMPTY:
        return "empty";
    case MW_SLOT_STARTING:
        return "starting";
    case MW_SLOT_READY:
        return "ready";
    case MW_SLOT_DRAINING:
        return "draining";
    }
    return "unknown";
}

/* All claims of other incarnations are void from now on. The slot must not be ready. */
static void void_claims(struct mw_board *b, struct mw_shm_slot *s, uint32_t incarnation)
{
    for (uint32_t t = 0; t < b->size.threads; t++) {
        mw_shm_set32(&s->owner[t], mw_owner_free(incarnation));
    }
}

uint32_t mw_board_starting(struct mw_board *b, unsigned slot, pid_t pid)
{
    if (slot >= b->size.slots) {
        return 0;
    }
    struct mw_shm_slot *s = mw_shm_slot(b, slot);
    uint32_t incarnation = mw_slot_incarnation(mw_shm_get64(&s->word)) + 1;
    if (incarnation == 0) {
        incarnation = 1;
    }
    mw_shm_set64(&s->word, mw_slot_word(incarnation, MW_SLOT_STARTING));
    void_claims(b, s, incarnation);
    mw_shm_set32(&s->busy, 0);
    mw_shm_set32(&s->served, 0);
    mw_shm_set32(&s->pid, (uint32_t)pid);
    mw_shm_set64(&b->gate->down_until, 0);
    mw_shm_set32(&b->gate->closed, 0);
    return incarnation;
}

static int is_one_of(uint64_t word, unsigned from)
{
    uint32_t state = (uint32_t)word;
    return state <= MW_SLOT_DRAINING && (1u << state & from) != 0;
}

/* Change the state if it is in `from` (bits). 0: it was not. */
static int change_state(struct mw_shm_slot *s, unsigned from, enum mw_slot_state to)
{
    uint64_t word = mw_shm_get64(&s->word);
    while (is_one_of(word, from)) {
        if (mw_shm_cas64(&s->word, word, mw_slot_word(mw_slot_incarnation(word), to))) {
            return 1;
        }
        from &= ~(1u << (uint32_t)word); /* states only advance: no need to try one twice */
        word = mw_shm_get64(&s->word);
    }
    return 0;
}

void mw_board_ready(struct mw_board *b, unsigned slot)
{
    if (slot < b->size.slots &&
        change_state(mw_shm_slot(b, slot), 1u << MW_SLOT_STARTING, MW_SLOT_READY)) {
        mw_queue_nudge(b);
    }
}

void mw_board_draining(struct mw_board *b, unsigned slot)
{
    if (slot < b->size.slots) {
        change_state(mw_shm_slot(b, slot), 1u << MW_SLOT_STARTING | 1u << MW_SLOT_READY,
                     MW_SLOT_DRAINING);
    }
}

void mw_board_empty(struct mw_board *b, unsigned slot)
{
    if (slot >= b->size.slots) {
        return;
    }
    struct mw_shm_slot *s = mw_shm_slot(b, slot);
    uint32_t incarnation = mw_slot_incarnation(mw_shm_get64(&s->word));
    mw_shm_set64(&s->word, mw_slot_word(incarnation, MW_SLOT_EMPTY));
    void_claims(b, s, incarnation);
    mw_shm_set32(&s->busy, 0);
    mw_shm_set32(&s->pid, 0);
}

void mw_board_down(struct mw_board *b, uint64_t until)
{
    mw_shm_set64(&b->gate->down_until, until);
    if (until) {
        mw_queue_wake(b, 0, b->ncells);
    }
}

void mw_board_close(struct mw_board *b)
{
    mw_shm_set32(&b->gate->closed, 1);
    mw_queue_wake(b, 0, b->ncells);
}

void mw_board_busy(struct mw_board *b, unsigned slot, int delta)
{
    if (slot >= b->size.slots) {
        return;
    }
    struct mw_shm_slot *s = mw_shm_slot(b, slot);
    if (delta < 0 && !mw_shm_get32(&s->served)) {
        mw_shm_set32(&s->served, 1);
    }
    uint32_t before = mw_shm_add32(&s->busy, (uint32_t)delta);
    if (delta < 0 && before >= b->size.threads) {
        mw_queue_nudge(b);
    }
}

/* -- figures -- */

int mw_board_slot(const struct mw_board *b, unsigned slot, struct mw_slot_info *out)
{
    if (slot >= b->size.slots) {
        return MW_EINVAL;
    }
    const struct mw_shm_slot *s = mw_shm_slot(b, slot);
    uint64_t word = mw_shm_get64(&s->word);
    out->state = is_one_of(word, ~0u) ? (enum mw_slot_state)(uint32_t)word : MW_SLOT_EMPTY;
    out->incarnation = mw_slot_incarnation(word);
    out->pid = (pid_t)mw_shm_get32(&s->pid);
    out->busy = mw_shm_busy(s);
    out->served = mw_shm_get32(&s->served) != 0;
    out->claimed = 0;
    for (uint32_t t = 0; t < b->size.threads; t++) {
        uint32_t owner = mw_shm_get32(&s->owner[t]);
        out->claimed += mw_owner_of(owner, out->incarnation) && !mw_owner_is_free(owner);
    }
    return MW_OK;
}

unsigned mw_board_slots(const struct mw_board *b)
{
    return b->size.slots;
}

uint64_t mw_board_down_ms(const struct mw_board *b)
{
    uint64_t until = mw_shm_get64(&b->gate->down_until);
    uint64_t now = mw_clock_ms();
    uint64_t left = until > now ? until - now : 0;
    return left < MW_BOARD_DOWN_MAX_MS ? left : MW_BOARD_DOWN_MAX_MS;
}

unsigned mw_board_waiting(const struct mw_board *b)
{
    unsigned n = 0;
    for (uint32_t c = 0; c < b->ncells; c++) {
        n += (unsigned)mw_cell_waits(mw_shm_get64(&b->cells[c]));
    }
    return n;
}
