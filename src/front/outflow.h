/*
 * outflow.h: an answer's body on its way through httpd's output filters to the client. One thread: the one
 * that runs the request.
 *
 * Two ways of use. mw_outflow_write waits for the client and is what embedded mode does: the application
 * runs in this very thread. mw_outflow_keep never waits: what the client does not take now is kept, so
 * that the thread of the daemon process which made it is free for another request; who calls it also
 * calls mw_outflow_await between two pieces.
 */
#ifndef MW_FRONT_OUTFLOW_H
#define MW_FRONT_OUTFLOW_H

#include <httpd.h>
#include <apr_buckets.h>

#include "spool.h"

struct mw_outflow_limits {
    struct mw_spool_limits spool;
    int64_t timeout_ms; /* of each wait for the client */
    int64_t flush_delay_ms;
};

struct mw_outflow {
    request_rec *r;
    apr_bucket_brigade *out; /* data that may wait for more: newer than what the spool holds */
    size_t waiting;          /* bytes of it */
    int file_waits;          /* a part of a file is in it */
    int passed; /* something went to the output filters: the answer has begun for the client */
    int lost; /* what a filter said that refused some of it, though the client is there; 0: none did */

    /* What follows serves mw_outflow_keep. */
    int keeps;
    struct mw_outflow_limits limits;
    struct mw_spool spool;
    int fd;              /* the client's socket; -1: it has none of its own (HTTP/2) */
    int blocked;         /* httpd holds bytes that the socket did not take */
    int unflushed;       /* filters may hold bytes that were passed */
    int broken;          /* the spool's file could not be written */
    int patience_ms;     /* that may still be waited for the client before anything is kept */
    int told;            /* the log knows that the application has to wait */
    uint64_t flushed_ms; /* the last time */
    uint64_t since_ms;   /* how long the client has taken nothing; 0: nobody waits for it */
    unsigned files;      /* that a stream of HTTP/2 got since it last caught up */
};

void mw_outflow_init(struct mw_outflow *of, request_rec *r);
void mw_outflow_fini(struct mw_outflow *of);

/* From now on mw_outflow_keep may be called. */
void mw_outflow_keeps(struct mw_outflow *of, const struct mw_outflow_limits *limits);

/* more: further data follows at once, this need not go out now. MW_EABORT, here and below: the client has gone,
 * or a filter has refused the answer; MW_ENOMEM. */
MW_MUST_CHECK int mw_outflow_write(struct mw_outflow *of, const void *p, size_t n, int more);

/* Not while mw_outflow_is_full. n == 0: push out the head. MW_EABORT, MW_ENOMEM. */
MW_MUST_CHECK int mw_outflow_keep(struct mw_outflow *of, const void *p, size_t n);

struct mw_outflow_file {
    int fd;
    int64_t offset, n; /* n > 0 */
    int with_sendfile; /* httpd may use it */
};

/* A part of a file, in either way of use. It waits for the end, or for what follows, because httpd takes
 * ranges only out of an answer that is all there. Takes the descriptor, also on failure. MW_EABORT,
 * MW_EIO. */
MW_MUST_CHECK int mw_outflow_file(struct mw_outflow *of, const struct mw_outflow_file *file,
                                  int more);

/* Nothing waits for the client. */
int mw_outflow_is_idle(const struct mw_outflow *of);
/* No room for what one more frame may hold. */
int mw_outflow_is_full(const struct mw_outflow *of);

/* Not idle: wait until worker_fd can be read, unless the outflow is full, or the client can be given
 * something; and give it. 1: there is something of the worker; 0: try again; MW_ETIMEOUT: the deadline, which
 * is the worker's, has passed; MW_EABORT: the client has gone, or took nothing for too long (logged). */
MW_MUST_CHECK int mw_outflow_await(struct mw_outflow *of, int worker_fd, uint64_t deadline);

/* Before this thread waits for what the client sends: until it has sent something, or taken everything. 0, or
 * MW_EABORT. */
MW_MUST_CHECK int mw_outflow_settle(struct mw_outflow *of);

/* The rest and `last`, which may be NULL, and the end. */
MW_MUST_CHECK int mw_outflow_finish(struct mw_outflow *of, apr_bucket *last);

/* Forget what was not passed. */
void mw_outflow_drop(struct mw_outflow *of);

/* The head has not gone out: httpd can still make another answer. */
int mw_outflow_is_headless(const struct mw_outflow *of);

#endif
