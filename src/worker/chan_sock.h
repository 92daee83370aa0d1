/*
 * chan_sock.h: the request channel over one connection to an httpd child. One per connection, used for
 * one request after the other, by one thread at a time (mw_chan_log of other threads excepted).
 *
 * Everything the child sends is checked: what does not fit the state of the request breaks the
 * connection (mw_chan_sock_broken), never the process.
 */
#ifndef MW_CHAN_SOCK_H
#define MW_CHAN_SOCK_H

#include <pthread.h>

#include "board.h"
#include "bodies.h"
#include "chan.h"
#include "link.h"

struct mw_chan_sock {
    struct mw_chan chan;    /* first: the engine's handle */
    struct mw_link *link;   /* borrowed */
    struct mw_board *board; /* borrowed */
    unsigned slot;
    struct mw_bodies *bodies; /* borrowed */

    struct mw_buf block; /* the request block; req points into it */
    struct mw_req req;

    int open;       /* BODY and BODY_END may come; stays set after END if the body was not read */
    int begun;      /* one of them, or BODY_FILE, came */
    int asked;      /* a WANT that waits is not answered yet */
    int streams;    /* there was one: from now on credit is given ahead of need */
    int64_t credit; /* body bytes that the child may still send */
    int64_t came;   /* body bytes that it has sent */
    int body_err;   /* once the body is over: 0 or an MW_E* that every read repeats */
    const uint8_t *got; /* bytes of the last BODY not yet read; borrowed from the link */
    size_t got_n;
    /* The body as a file, mapped or open, owned; NULL and -1: it is none, or was read to its end. */
    struct mw_body_file *file;
    int file_fd;
    int64_t file_at, file_left;
    struct mw_buf held; /* body bytes before those of got, moved out of another frame's way */

    int may_abort;      /* one ABORT per request, which may cross our END */
    int client_gone;    /* it came */
    int asking;         /* ALIVE or ABORT is to come */
    unsigned flushes;   /* of this request */
    uint64_t looked_ms; /* when it was last looked for ABORT */
    int broken;         /* MW_E*: the child sent what it must not, or the connection failed */

    int end_taken;            /* atomic: who set it sends END */
    pthread_mutex_t log_lock; /* guards ended: no LOG may follow END */
    int ended;
};

void mw_chan_sock_init(struct mw_chan_sock *cs, struct mw_link *link, struct mw_board *board,
                       unsigned slot, struct mw_bodies *bodies);
void mw_chan_sock_fini(struct mw_chan_sock *cs);

/* Take what has come; never waits. 0: cs->chan is open for a new request and counted on the board.
 * MW_EAGAIN: no whole request yet. MW_ECLOSED: the child has closed the connection. Anything else: the
 * connection is to be dropped. */
MW_MUST_CHECK int mw_chan_sock_accept(struct mw_chan_sock *cs);

/* After the channel's end: 0 if the connection is good for another request, else why not. */
MW_MUST_CHECK int mw_chan_sock_broken(const struct mw_chan_sock *cs);

/* End the request with MW_END_TIMEOUT in place of its thread, whose operations fail from now on, and end
 * the connection. 0: the thread has just ended it itself. Any thread that keeps the channel from being
 * used for another request or freed; waits no longer than mw_link_cut. The thread is counted on the board until it comes
 * back. */
MW_MUST_CHECK int mw_chan_sock_give_up(struct mw_chan_sock *cs);

/* Give back large buffers. */
void mw_chan_sock_trim(struct mw_chan_sock *cs);

#endif
