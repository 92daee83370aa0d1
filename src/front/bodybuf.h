/*
 * bodybuf.h: a request's body, read before a thread of a daemon process is claimed, so that a client that sends
 * slowly holds none. One thread: the one that runs the request.
 */
#ifndef MW_FRONT_BODYBUF_H
#define MW_FRONT_BODYBUF_H

#include "chan_httpd.h"
#include "endpoint.h"
#include "link.h"

#define MW_BODYBUF_MEMORY MW_MEMFILE_SIZE /* bytes of a body that are kept in memory */

struct mw_bodybuf {
    struct mw_endpoint *e; /* borrowed; has files in memory to be used again */
    apr_pool_t *pool;      /* of the request */
    char *small;           /* up to MW_BODY_INLINE_MAX bytes; these ride along with the request */
    size_t small_n;
    struct mw_scratch file; /* has the bytes of a larger one */
    char *buf; /* for bytes on their way to a file that is not mapped; NULL: there were none */
    int on_disk;
    uint64_t n;  /* bytes in it */
    uint64_t at; /* how many of them were sent one by one, where the body is streamed in the end */
    int whole;   /* the body ends with what is here */
};

void mw_bodybuf_init(struct mw_bodybuf *bb, struct mw_endpoint *e, apr_pool_t *pool);
/* reuse: no worker reads the body any more. */
void mw_bodybuf_fini(struct mw_bodybuf *bb, int reuse);

/* Read the body as far as the policy says (mw_spec.request_buffering); files are made in dir. OK, or the HTTP
 * status to return, already logged. What is not read is to be streamed. */
int mw_bodybuf_take(struct mw_bodybuf *bb, struct mw_chan_httpd *ch, int64_t policy,
                    const char *dir);

/* A whole body that is in a file, so that it goes with its request as BODY_FILE. */
int mw_bodybuf_is_file(const struct mw_bodybuf *bb);

/* Put what goes with a request: BODY and BODY_END, or BODY_FILE. Any number of times. MW_EAGAIN: nothing was
 * put, as this process may have no descriptor more for BODY_FILE. */
MW_MUST_CHECK int mw_bodybuf_put(const struct mw_bodybuf *bb, struct mw_link *l);

/* Bytes of a whole body. */
int64_t mw_bodybuf_length(const struct mw_bodybuf *bb);

/* Of a body that is streamed: what is in the file all the same, and not yet returned; 0: nothing. MW_EIO.
 * rewind: from its beginning again. */
MW_MUST_CHECK ssize_t mw_bodybuf_rest(struct mw_bodybuf *bb, void *buf, size_t cap);
int mw_bodybuf_has_rest(const struct mw_bodybuf *bb);
void mw_bodybuf_rewind(struct mw_bodybuf *bb);

#endif
