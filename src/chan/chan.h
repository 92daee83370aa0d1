/*
 * chan.h: the request channel, the only thing an engine knows of the world.
 *
 * chan.c owns the state of a response (head once, informational responses before it, data after it,
 * end once) and its framing facts: bytes beyond Content-Length are cut, a response that ends short of
 * it is TRUNCATED, HEAD, 204 and 304 carry no body. Implementations (chan_httpd in httpd, chan_sock in
 * a worker, chan_mem in tests) only move bytes. In daemon mode the frames of a worker are played into
 * the child's chan_httpd, so the same rules hold whatever the worker sends.
 *
 * Threads: one at a time, except log, which may be called by any thread until end returned; the
 * implementation serialises it. Never called with the GIL held.
 */
#ifndef MW_CHAN_H
#define MW_CHAN_H

#include <sys/types.h>

#include "log.h"
#include "req.h"
#include "rsp.h"

/* How a request ended. The numbers are the wire's (END frame). */
enum mw_end {
    MW_END_COMPLETE = 0,   /* the whole answer was given */
    MW_END_FAILED = 1,     /* the application failed; if no head went out: 500 */
    MW_END_TRUNCATED = 2,  /* the answer is cut; must not look complete */
    MW_END_NO_SCRIPT = 3,  /* the script file is not there; no head went out: 404 */
    MW_END_UNREADABLE = 4, /* the script may not be read; no head went out: 403 */
    MW_END_ABORTED = 5,    /* the client went away and the engine stopped for it */
    MW_END_TIMEOUT = 6,    /* the application took longer than it may; no head went out: 504 */
    MW_END_NO_FILE = 7     /* no application has seen it: the body's file could not be received */
};
#define MW_END_LAST MW_END_NO_FILE

enum mw_data_flag {
    /* More data or the end follows at once, without running the application in between: need not be
     * flushed now. */
    MW_DATA_MORE = 1u << 0
};

#define MW_CHAN_INFORMS_MAX 16u /* informational responses of one request */

struct mw_chan;

struct mw_chan_ops {
    /* At least one byte of the body unless it ended (0). MW_EABORT: client went away; MW_ETIMEOUT;
     * MW_ELIMIT: over LimitRequestBody; MW_EIO. Errors repeat. */
    ssize_t (*read)(struct mw_chan *c, void *buf, size_t cap);
    /* An informational response, before the head; goes out at once. rsp borrows. */
    int (*inform)(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n);
    /* rsp borrows; may be kept back until the first data or end. */
    int (*head)(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n);
    /* MW_EABORT: the client went away, stop. n == 0 (never with MW_DATA_MORE): push out what was
     * kept back, and look whether the client is there. Not called again after a failure. */
    int (*data)(struct mw_chan *c, const void *p, size_t n, unsigned flags);
    /* n > 0 bytes of the regular file fd from offset on, in place of data. Takes fd, also on failure. */
    int (*file)(struct mw_chan *c, int fd, int64_t offset, int64_t n, unsigned flags);
    /* 1 if the client has gone, 0 if nothing is known of that. Looks now, takes no byte of the client's
     * and does not wait for it. Not called again once it said 1. */
    int (*gone)(struct mw_chan *c);
    /* One line without its newline, unescaped bytes. */
    void (*log)(struct mw_chan *c, const struct mw_mark *mark, const char *line, size_t n);
    /* Called once. The implementation flushes and, for anything but COMPLETE after a head, makes
     * sure the answer cannot look complete. */
    int (*end)(struct mw_chan *c, enum mw_end how);
};

enum mw_chan_state { MW_CHAN_OPEN, MW_CHAN_HEADED, MW_CHAN_ENDED };

/* Embedded as the first member of an implementation's structure. Fields are chan.c's to change. */
struct mw_chan {
    const struct mw_chan_ops *ops;
    const struct mw_req *req; /* borrowed; outlives the channel */
    void *native; /* the host's own record of the request, for WSGIPassApacheRequest; or NULL */
    enum mw_chan_state state;
    int no_body;      /* HEAD, 204, 304: data is dropped */
    int64_t left;     /* bytes of Content-Length not yet sent; -1: not limited */
    uint64_t sent;    /* body bytes passed on */
    uint64_t excess;  /* body bytes cut because they exceeded Content-Length */
    unsigned informs; /* informational responses passed on */
    int aborted;      /* sticky: an operation that sends said MW_EABORT, or gone said 1 */
    int err;          /* sticky: the first failure to send, or MW_EABORT because of gone */
    enum mw_end how;  /* how it ended, once state is MW_CHAN_ENDED */
};

void mw_chan_init(struct mw_chan *c, const struct mw_chan_ops *ops, const struct mw_req *req);

MW_MUST_CHECK ssize_t mw_chan_read(struct mw_chan *c, void *buf, size_t cap);

/* Check and send a block of status 103 (mw_rsp_view_inform). MW_EINVAL, MW_EPROTO: refused, as for a
 * head. MW_ESTATE: a head was sent already. MW_ELIMIT: MW_CHAN_INFORMS_MAX were sent already; the
 * channel is as before. A client that does not understand 1xx gets nothing. */
MW_MUST_CHECK int mw_chan_inform(struct mw_chan *c, const void *block, size_t n,
                                 enum mw_rsp_fault *fault_r);

/* Check and send a head block (rsp.h). MW_EINVAL, MW_EPROTO: refused, nothing was sent and the
 * channel is as before. MW_ESTATE: a head was sent already. */
MW_MUST_CHECK int mw_chan_head(struct mw_chan *c, const void *block, size_t n,
                               enum mw_rsp_fault *fault_r);

/* MW_ESTATE before the head or after the end; MW_EABORT; any other failure repeats. n == 0 is
 * allowed and does nothing but, without MW_DATA_MORE, push out a head that was kept back. So
 * does data that is dropped because there is no body or Content-Length is reached. */
MW_MUST_CHECK int mw_chan_data(struct mw_chan *c, const void *p, size_t n, unsigned flags);

/* The same with n bytes of a regular file, from offset on: its descriptor goes as far as the bytes would,
 * and whoever sends them reads them then; a file that has become shorter by that time makes the answer
 * look cut. Takes fd, on every path. Nobody else may move its position (mw_io_reopen). MW_EINVAL: a
 * negative number, or one too large. */
MW_MUST_CHECK int mw_chan_file(struct mw_chan *c, int fd, int64_t offset, int64_t n,
                               unsigned flags);

/* 1 once the client is known to have gone, or the channel has ended: nobody waits for an answer. From
 * then on data says MW_EABORT. A client that has only closed its sending side cannot be told from one
 * that has gone. */
MW_MUST_CHECK int mw_chan_gone(struct mw_chan *c);

void mw_chan_log(struct mw_chan *c, const struct mw_mark *mark, const char *line, size_t n);

/* Without a head COMPLETE and TRUNCATED become FAILED. After a head everything but COMPLETE and
 * ABORTED becomes TRUNCATED; COMPLETE does so when bytes of Content-Length are missing or an
 * operation failed, and becomes ABORTED when the client went away. Returns the value that was
 * passed on. A second call does nothing and returns the same. */
enum mw_end mw_chan_end(struct mw_chan *c, enum mw_end how);

const char *mw_end_name(enum mw_end how);

#endif
