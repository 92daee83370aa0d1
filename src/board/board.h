/*
 * board.h: the shared memory of one daemon group, from which an httpd child chooses a worker.
 *
 * Mapped by httpd's processes, the supervisor and the group's own workers. Whatever a worker can
 * write is bounds-checked when read: a compromised application can upset the routing of its own
 * group and nothing else.
 *
 * A claim is the right to send one request to one worker. Every thread of every worker has one
 * owner word; to claim is to change it from 0 to the claimant's cell by compare-and-swap, so that
 * who holds what is readable at every instruction and the crash of any party leaks nothing: there
 * is no count that could be wrong. A cell belongs to one thread of one httpd child at a time. Where
 * no thread is free, a request waits in one queue per group, oldest first, in its cell; who
 * releases a thread while somebody waits hands it over.
 */
#ifndef MW_BOARD_H
#define MW_BOARD_H

#include <sys/types.h>

#include "base.h"

#define MW_BOARD_SLOTS_MAX 2048u   /* workers: twice the processes, for successors */
#define MW_BOARD_THREADS_MAX 1024u /* threads of one worker */
#define MW_BOARD_MEMBERS_MAX 4096u /* httpd children at once */
#define MW_BOARD_CELLS_MAX 65535u  /* in all */
#define MW_BOARD_DOWN_MIN_MS 1000u /* a group that is down for less is waited for */
#define MW_BOARD_DOWN_MAX_MS 60000u

struct mw_board; /* this process's handle; thread-safe */

struct mw_board_size {
    unsigned slots;   /* workers */
    unsigned threads; /* of each worker */
    unsigned members; /* httpd children */
    unsigned cells;   /* of each member: requests it may hold or have waiting at once */
    unsigned queue;   /* requests of all members that may wait; 0: as many as have cells */
};

/* Make the segment (MW_EINVAL: a size is 0; MW_ELIMIT, MW_EIO, MW_ENOMEM). The handle owns
 * descriptor and mapping; a process forked afterwards may use its copy. */
MW_MUST_CHECK int mw_board_create(struct mw_board **out, const struct mw_board_size *size);
/* Map a segment that another process made; takes fd. MW_EPROTO if it is no board. */
MW_MUST_CHECK int mw_board_attach(struct mw_board **out, int fd);
void mw_board_destroy(struct mw_board **b); /* unmaps, closes; NULL-safe */
int mw_board_fd(const struct mw_board *b);  /* borrowed */

enum mw_slot_state {
    MW_SLOT_EMPTY = 0,    /* no process */
    MW_SLOT_STARTING = 1, /* process runs, not ready */
    MW_SLOT_READY = 2,    /* may be claimed */
    MW_SLOT_DRAINING = 3  /* finishes what it has; not to be claimed */
};
const char *mw_slot_state_name(enum mw_slot_state s);

struct mw_claim {
    uint16_t slot;
    uint16_t thread;
    uint32_t incarnation; /* of the worker: connections to another one are stale */
    uint32_t cell;
};

/* -- httpd child -- */

/* Take a member's place for this process; once, after the fork (MW_ESTATE: it has one). MW_ELIMIT:
 * all are taken. */
MW_MUST_CHECK int mw_board_join(struct mw_board *b, pid_t pid);

/* Claim a thread of the least busy ready worker; wait until the deadline if there is none.
 * *waited_r (may be NULL): 1 if it had to wait. A deadline that has passed still gets an idle
 * thread. MW_ETIMEOUT; MW_ELIMIT: as many wait as may, or more claims at once than cells; MW_ECLOSED: the group
 * has shut down; MW_EDOWN: it has no worker, and none is started for a while (mw_board_down_ms); MW_ESTATE: not a
 * member. */
MW_MUST_CHECK int mw_board_claim(struct mw_board *b, uint64_t deadline, struct mw_claim *out,
                                 int *waited_r);
/* Give it back, or hand it to who waits longest. Once per claim. Harmless if the worker died in the
 * meantime. */
void mw_board_release(struct mw_board *b, const struct mw_claim *claim);

/* This process claims no more: its requests that wait, or come later, get MW_ECLOSED. What it has, it
 * keeps until it releases it. */
void mw_board_leave(struct mw_board *b);

/* -- httpd parent -- */

/* The child `pid` is gone: free all it held and its place. No-op if it was no member. */
void mw_board_settle(struct mw_board *b, pid_t pid);

/* -- supervisor -- */

/* A process has been forked for this slot; returns its incarnation, 0 only if there is no such
 * slot. Opens a board again that was closed or down. */
uint32_t mw_board_starting(struct mw_board *b, unsigned slot, pid_t pid);
/* From STARTING only; who waits gets its threads. */
void mw_board_ready(struct mw_board *b, unsigned slot);
/* From STARTING and READY only; also called by the worker itself. No claim succeeds from now on:
 * who then sees no owner left (mw_slot_info.claimed) can rely on it, although a claim that came too
 * late may show for a moment until it takes itself back. */
void mw_board_draining(struct mw_board *b, unsigned slot);
/* The process is gone: claims on it are void. */
void mw_board_empty(struct mw_board *b, unsigned slot);
/* No worker is there, and the next one is started at `until` (mw_clock_ms); 0: this is over. Whoever
 * waits, or comes, when that is more than MW_BOARD_DOWN_MIN_MS away gets MW_EDOWN. */
void mw_board_down(struct mw_board *b, uint64_t until);
/* No worker will come: whoever waits, or comes later, gets MW_ECLOSED. */
void mw_board_close(struct mw_board *b);

/* -- worker -- */

/* The truth about threads at work, also of requests whose child is gone: a worker with as many busy
 * threads as it has is not claimed. Called before the first and after the last thing a thread does
 * for a request (before END is sent, so that the child's release finds it counted out). */
void mw_board_busy(struct mw_board *b, unsigned slot, int delta);

/* -- anyone -- */
struct mw_slot_info {
    enum mw_slot_state state;
    pid_t pid; /* for display: a worker can write anything here, never signal it */
    uint32_t incarnation;
    unsigned claimed; /* threads that are owned now */
    unsigned busy;
    int served; /* it has finished a request */
};
/* MW_EINVAL: no such slot. */
MW_MUST_CHECK int mw_board_slot(const struct mw_board *b, unsigned slot, struct mw_slot_info *out);
unsigned mw_board_slots(const struct mw_board *b);
/* Milliseconds until the next start of a group that is down, at most MW_BOARD_DOWN_MAX_MS; 0: it is not. */
uint64_t mw_board_down_ms(const struct mw_board *b);
/* Requests in the queue now; for a moment, one that is about to be refused may be among them. */
unsigned mw_board_waiting(const struct mw_board *b);

#endif
