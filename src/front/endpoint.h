/*
 * endpoint.h: one daemon group as an httpd child sees it: claims on its board and the pool of
 * connections to its workers. Any thread.
 */
#ifndef MW_FRONT_ENDPOINT_H
#define MW_FRONT_ENDPOINT_H

#include <stdint.h>

#include "board.h"
#include "link.h"
#include "memfile.h"

struct mw_endpoint;

/* The idle connections of all groups of this child: each costs a descriptor. Zeroed but for max; lives as long
 * as the endpoints. */
struct mw_idle {
    unsigned max;
    unsigned n;                /* of all endpoints; atomic, as is what follows */
    unsigned files;            /* likewise, of those that mw_endpoint_take_file gives */
    uint64_t swept_ms;         /* when old ones were last looked for */
    struct mw_endpoint *first; /* all endpoints; changed only before the first request */
};

struct mw_endpoint_config {
    struct mw_board *board; /* borrowed; this process has joined it */
    struct mw_idle *idle;   /* borrowed */
    unsigned group;         /* index for the supervisor */
    int handover_fd;        /* borrowed */
    int64_t timeout_ms;     /* of each wait for a worker */
    int64_t connect_ms;     /* until a new connection is with its worker */
    int64_t idle_ms;        /* how long a connection is kept idle; 0: for ever */
    unsigned pool_max;      /* idle connections kept per worker */
    int64_t send_buffer;    /* bytes the kernel may hold of a worker's answers; 0: a default */
    int64_t receive_buffer; /* and of bodies for it */
};

/* For as long as the process lives. */
MW_MUST_CHECK int mw_endpoint_create(struct mw_endpoint **out,
                                     const struct mw_endpoint_config *cfg);

/* A claimed thread and the connection to its worker. */
struct mw_lease {
    struct mw_claim claim;
    struct mw_link *link;
    int pooled;     /* the connection served a request before */
    int waited;     /* no thread was free at first */
    int connecting; /* after a failure: a thread was claimed, but its worker could not be reached */
};

/* Claim a thread, waiting until the deadline, and get a connection: pooled, or a new one handed to the
 * supervisor. MW_ETIMEOUT: no thread came free (or, connecting: nobody takes the connection); MW_ELIMIT: as
 * many requests wait as may; MW_ECLOSED: the group has shut down; MW_EDOWN: it has no process for some time
 * (mw_endpoint_down_ms); MW_EIO. */
MW_MUST_CHECK int mw_endpoint_lease(struct mw_endpoint *e, uint64_t deadline, struct mw_lease *out);

/* End a lease; reuse: the request ended with END and the connection may serve another. */
void mw_endpoint_return(struct mw_endpoint *e, struct mw_lease *lease, int reuse);

/* A file in memory for a request's body, owned. */
struct mw_scratch {
    int fd; /* -1: none */
    struct mw_memfile map;
};

void mw_scratch_close(struct mw_scratch *s);

/* A used one, if there is one, else fd is -1: it costs far less than a new one, whose pages have to be made. It has old
 * bytes of other requests of this group, which its workers have seen. give: one that no worker reads any more. */
void mw_endpoint_take_file(struct mw_endpoint *e, struct mw_scratch *out);
void mw_endpoint_give_file(struct mw_endpoint *e, struct mw_scratch *s);

/* The child ends without grace: break the connections of all leases, whose requests then end at once, give
 * no more, and let nobody wait for one. */
void mw_endpoint_stop(struct mw_endpoint *e);
int mw_endpoint_stopped(struct mw_endpoint *e);

uint64_t mw_endpoint_down_ms(
    const struct mw_endpoint *e); /* until a worker is started; 0: not down */

/* After a lease that ended because its worker did: until the supervisor has noticed it, the board still
 * offers that worker. Waits for that, at most 100 ms. */
void mw_endpoint_await_change(const struct mw_endpoint *e, const struct mw_claim *claim);

#endif
