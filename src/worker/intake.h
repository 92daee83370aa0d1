/*
 * intake.h: the connections of a worker and the question which of them has something to say. The main
 * thread adds, request threads take: a connection that was taken belongs to its thread until it is
 * put back or dropped.
 *
 * The threads wait in the kernel, which wakes the one that began to wait last, so that under light load
 * the same few threads, whose caches are warm, do all the work.
 */
#ifndef MW_INTAKE_H
#define MW_INTAKE_H

#include "chan_sock.h"

#define MW_INTAKE_CONNS_MAX 16384u /* of one worker; more are refused */

struct mw_conn {
    struct mw_link link;
    struct mw_chan_sock sock;
    unsigned state;       /* atomic: who has it; intake.c */
    int quiet;            /* the owner's: nobody is told that something has come */
    struct mw_conn *next; /* in the intake's list of spare ones */
};

struct mw_intake {
    int epoll_fd;
    int stop_r, stop_w;
    unsigned conns;       /* atomic */
    pthread_mutex_t lock; /* guards spare */
    struct mw_conn *spare;
    struct mw_bodies bodies; /* what comes through all of them */
};

MW_MUST_CHECK int mw_intake_init(struct mw_intake *in);
void mw_intake_fini(struct mw_intake *in); /* no thread may be in mw_intake_next */

/* Takes fd, on failure too. Sends HELLO; never waits. MW_EINVAL: no local stream socket; MW_ETIMEOUT: no
 * room for HELLO; MW_ECLOSED; MW_ELIMIT; MW_ENOMEM; MW_EIO. */
MW_MUST_CHECK int mw_intake_add(struct mw_intake *in, int fd, int64_t timeout_ms,
                                struct mw_board *board, unsigned slot,
                                const struct mw_hello *hello);

/* Wait for a connection that can be read. MW_ECLOSED after mw_intake_stop; MW_EIO. */
MW_MUST_CHECK int mw_intake_next(struct mw_intake *in, struct mw_conn **out);

/* The owner will read what comes itself: other threads are not woken for it until the connection is put
 * back. Not worth its system call for a single frame. */
void mw_intake_quiet(struct mw_intake *in, struct mw_conn *c);

/* Either of them ends the caller's turn, but if put_back returns 1 something may have come meanwhile: the
 * connection is still the caller's, who looks for it and puts it back again. */
MW_MUST_CHECK int mw_intake_put_back(struct mw_intake *in, struct mw_conn *c);
void mw_intake_drop(struct mw_intake *in, struct mw_conn *c);

/* All threads leave mw_intake_next, now and for good. */
void mw_intake_stop(struct mw_intake *in);
unsigned mw_intake_conns(const struct mw_intake *in);

#endif
