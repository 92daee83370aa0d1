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
    /* Descriptors, owned; -1: none. */
    int given_fd;      /* came with bytes whose frame has not been returned yet */
    size_t given_left; /* bytes of frames that may still come before that one */
    int frame_fd;      /* of the last frame returned, unless it was taken */
    int pass_fd;       /* goes with what is put; under send_lock */
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
MW_MUST_CHECK int mw_link_put_want(struct mw_link *l, const struct mw_want *w);
MW_MUST_CHECK int mw_link_put_hello(struct mw_link *l, const struct mw_hello *h);
MW_MUST_CHECK int mw_link_put_log(struct mw_link *l, const struct mw_mark *mark,
                                  struct mw_str text);

/* The same for a frame that a descriptor comes with: mw_link_put_file a FILE (fd: what the answer goes on
 * with), mw_link_put_body_file a BODY_FILE (fd: length bytes from the file's beginning are the whole body;
 * put right after REQUEST, in place of BODY and BODY_END). Takes fd, also on failure, and closes it once
 * it was sent: give it a dup(2), or better mw_io_reopen, of what is still needed. What comes before the
 * frame may wait with it, and does in the ordinary case: HEAD, FILE and END are one system call. */
MW_MUST_CHECK int mw_link_put_file(struct mw_link *l, const struct mw_file_part *f, int fd);
MW_MUST_CHECK int mw_link_put_body_file(struct mw_link *l, int64_t length, int fd);

/* Send what was put, if anything, in one system call where the socket takes it. MW_ECLOSED,
 * MW_ETIMEOUT, MW_EIO: the link is dead and every later call says the same. */
MW_MUST_CHECK int mw_link_flush(struct mw_link *l);

/* Put and flush without copying the payload. The payload may be larger than MW_FRAME_DATA_MAX:
 * it is cut into frames of at most the peer's data_max (BODY, DATA only; for that their sender
 * must be the thread that receives). */
MW_MUST_CHECK int mw_link_send(struct mw_link *l, unsigned type, const void *payload, size_t n);

/* The last frame, sent by another thread than the one that uses the link, which may be stuck anywhere:
 * what was put and not sent is dropped, the frame is sent if the socket takes it now, and the link is
 * dead (MW_ECLOSED) for all who use it, those who wait in it included. Waits no longer than 20 ms. The link's owner
 * must not free it meanwhile. */
void mw_link_cut(struct mw_link *l, unsigned type, uint8_t v);

/* Next frame; waits up to timeout_ms. The frame's payload is borrowed until the next receive
 * call. The first frame must be HELLO; it is checked, kept in l->peer and not returned.
 * MW_ECLOSED (at a frame boundary or not), MW_ETIMEOUT, MW_EPROTO, MW_ELIMIT, MW_EIO. */
MW_MUST_CHECK int mw_link_recv(struct mw_link *l, struct mw_frame *out);

/* The descriptor of the frame returned last, FILE or BODY_FILE: the caller's from now on. Nothing is
 * known of it but that it is open: mw_io_file_size checks it. What is not taken is closed by the next
 * receive call. A descriptor without its frame, a frame without its descriptor: MW_EPROTO. MW_FD_DROPPED:
 * it had one, and this process may have no more. */
int mw_link_take_fd(struct mw_link *l);

/* 1 if that is known of a frame that is still to come: its descriptor came with these bytes and was dropped. */
int mw_link_has_dropped(const struct mw_link *l);

/* As mw_link_recv, but never waits: MW_EAGAIN if no whole frame has come. */
MW_MUST_CHECK int mw_link_recv_now(struct mw_link *l, struct mw_frame *out);

/* True if bytes, or a descriptor, were received that no frame was returned for yet (then do not wait in
 * epoll). */
int mw_link_has_input(const struct mw_link *l);

/* Between two requests: give back large buffers. */
void mw_link_trim(struct mw_link *l);

#endif
