/*
 * link.h: one end of a connection between an httpd child and a worker: frames over a stream socket,
 * with one read buffer and a corked write buffer. The same code serves both ends and the tests.
 *
 * Threads: one receiver at a time; senders are serialised by the link's own lock, so that a log
 * line of another thread may come between two frames but never into one.
 */
#ifndef MW_LINK_H
#define MW_LINK_H

#include <pthread.h>

#include "buf.h"
#include "wire.h"

#define MW_LINK_LOG_MAX (32u << 10) /* bytes of a log line's text that mw_link_put_log keeps */

struct mw_link {
    int fd;             /* owned; blocking */
    int64_t timeout_ms; /* limit of each single wait for the peer; 0: none */
    struct mw_buf in;
    struct mw_buf out;
    size_t last; /* bytes of `in` that the last frame returned still occupies */
    pthread_mutex_t send_lock;
    struct mw_hello peer; /* valid once peer_known */
    int peer_known;
    int err; /* sticky: the first failure of either direction; atomic */
};

void mw_link_init(struct mw_link *l, int fd, int64_t timeout_ms); /* takes fd */
void mw_link_fini(struct mw_link *l);                             /* closes fd */

/* Append a frame to the write buffer; sends only when the buffer would grow over a named limit.
 * A payload that the frame's type does not allow: MW_EINVAL, MW_ELIMIT, and the link lives on.
 * put_log cuts the text and brings the level into its range instead; the mark's file must be what
 * mw_mark says. */
MW_MUST_CHECK int mw_link_put(struct mw_link *l, unsigned type, const void *payload, size_t n);
MW_MUST_CHECK int mw_link_put_u8(struct mw_link *l, unsigned type, uint8_t v);
MW_MUST_CHECK int mw_link_put_want(struct mw_link *l, uint32_t n);
MW_MUST_CHECK int mw_link_put_hello(struct mw_link *l, const struct mw_hello *h);
MW_MUST_CHECK int mw_link_put_log(struct mw_link *l, const struct mw_mark *mark,
                                  struct mw_str text);

/* Send what was put, if anything, in one system call where the socket takes it. MW_ECLOSED,
 * MW_ETIMEOUT, MW_EIO: the link is dead and every later call says the same. */
MW_MUST_CHECK int mw_link_flush(struct mw_link *l);

/* Put and flush without copying the payload. The payload may be larger than MW_FRAME_DATA_MAX:
 * it is cut into frames of at most the peer's data_max (BODY, DATA only; for that their sender
 * must be the thread that receives). */
MW_MUST_CHECK int mw_link_send(struct mw_link *l, unsigned type, const void *payload, size_t n);

/* Next frame; waits up to timeout_ms. The frame's payload is borrowed until the next receive
 * call. The first frame must be HELLO; it is checked, kept in l->peer and not returned.
 * MW_ECLOSED (at a frame boundary or not), MW_ETIMEOUT, MW_EPROTO, MW_ELIMIT, MW_EIO. */
MW_MUST_CHECK int mw_link_recv(struct mw_link *l, struct mw_frame *out);

/* As mw_link_recv, but never waits: MW_EAGAIN if no whole frame has come. */
MW_MUST_CHECK int mw_link_recv_now(struct mw_link *l, struct mw_frame *out);

/* True if bytes were received that no frame was returned for yet (then do not wait in epoll). */
int mw_link_has_input(const struct mw_link *l);

/* Between two requests: give back large buffers. */
void mw_link_trim(struct mw_link *l);

#endif
