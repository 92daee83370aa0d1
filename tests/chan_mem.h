/*
 * chan_mem.h: a request channel in memory: the request's body is a script of pieces and errors, and
 * what the engine does is written down.
 *
 *     struct chan_mem m;
 *     chan_mem_init(&m);
 *     m.head.script = ...;  chan_mem_pair(&m, "REQUEST_METHOD", "GET");  chan_mem_body(&m, "abc");
 *     chan_mem_open(&m);  py->serve(&m.chan);  ... look at m ...
 *     chan_mem_fini(&m);
 */
#ifndef CHAN_MEM_H
#define CHAN_MEM_H

#include <pthread.h>

#include "chan.h"

#define CHAN_MEM_PIECES 64

enum chan_mem_op {
    CHAN_MEM_READ,
    CHAN_MEM_INFORM,
    CHAN_MEM_HEAD,
    CHAN_MEM_DATA,
    CHAN_MEM_FILE,
    CHAN_MEM_GONE,
    CHAN_MEM_END,
    CHAN_MEM_OPS
};

struct chan_mem_piece {
    const char *p;
    size_t n;
    int err; /* MW_E*: the body breaks here, for good */
};

struct chan_mem {
    struct mw_chan chan; /* first */

    /* Set before chan_mem_open. */
    struct mw_req head; /* typed fields of the request */
    unsigned
        fail_at[CHAN_MEM_OPS]; /* the n-th call of the operation fails, 1 is the first; 0: none;
                                       that of CHAN_MEM_GONE says that the client has gone */
    int fail_with;             /* MW_E* of that failure */
    void (*on_read)(
        struct chan_mem *m); /* called in each read before anything happens; may be NULL */
    void *baton;             /* for on_read */
    int check_gil; /* fail the test if an operation is called with the GIL held; only where
                                no other thread uses Python */

    /* What happened. */
    struct mw_buf block;  /* the request block */
    struct mw_req req;    /* view of it */
    struct mw_buf answer; /* copy of the head's block */
    struct mw_rsp rsp;    /* view of it; status 0: there was no head */
    struct mw_buf body;
    struct mw_buf log;     /* lines as "level text\n" */
    struct mw_buf informs; /* informational responses: "name: value\n" for each field, then "\n" */
    struct mw_buf
        events;      /* "read:3 gone inform head data:5 data+:5 file+:7,9 log end:complete ", where
                              + is MW_DATA_MORE, 7 the offset and 9 the number of bytes */
    enum mw_end end; /* valid after calls[CHAN_MEM_END] */
    unsigned calls[CHAN_MEM_OPS];

    /* Own. */
    struct mw_buf pairs;
    uint32_t npairs;
    struct chan_mem_piece piece[CHAN_MEM_PIECES];
    unsigned npieces, at; /* at: the piece that is read now */
    size_t off;           /* bytes of it that were read */
    pthread_mutex_t lock; /* log may come from any thread */
};

void chan_mem_init(struct chan_mem *m);
void chan_mem_fini(struct chan_mem *m);

void chan_mem_pair(struct chan_mem *m, const char *key, const char *value);

/* A piece of the body, borrowed: one read never gives bytes of two. Sets MW_REQ_BODY, and adds to
 * content_length unless that is -1. */
void chan_mem_piece(struct chan_mem *m, const char *p, size_t n);
void chan_mem_body(struct chan_mem *m, const char *text);
void chan_mem_break(struct chan_mem *m, int err);

/* Build the block and make the channel ready to be served. */
void chan_mem_open(struct chan_mem *m);

/* The value of a field of the answer, borrowed, or NULL; the n-th of that name. */
const char *chan_mem_field(const struct chan_mem *m, const char *name, unsigned nth);

/* What was written down, as C strings, borrowed until the next call for the same buffer. */
const char *chan_mem_text(struct mw_buf *b);

#endif
