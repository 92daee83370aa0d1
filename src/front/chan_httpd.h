/*
 * chan_httpd.h: the channel over httpd's filters. In embedded mode the engine drives it; in daemon mode
 * remote.c plays a worker's frames into it. The only place that owns the framing of responses towards
 * clients. One thread: the one that runs the request.
 */
#ifndef MW_FRONT_CHAN_HTTPD_H
#define MW_FRONT_CHAN_HTTPD_H

#include <httpd.h>
#include <apr_buckets.h>

#include "chan.h"
#include "outflow.h"

struct mw_chan_httpd {
    struct mw_chan chan; /* first */
    request_rec *r;
    struct mw_outflow flow; /* of the answer's body */
    apr_bucket_brigade *in; /* NULL until the first read */
    int in_end; /* 0: the body goes on; 1: clean end; < 0: the MW_E* that read repeats */
    int status; /* what the handler returns: OK, or the status of an answer that httpd is to make */
    /* The application's answer is not the one that the client gets; its body is dropped. */
    int replaced;         /* by httpd's own answer of this status; 0: not */
    const char *redirect; /* by what this path of the server says; NULL: not */
};

/* req is borrowed and outlives the channel. */
void mw_chan_httpd_init(struct mw_chan_httpd *ch, request_rec *r, const struct mw_req *req);

void mw_chan_httpd_fini(struct mw_chan_httpd *ch);

/* The path that is to answer instead, if the channel has ended with one (mw_chan_httpd.redirect). */
const char *mw_chan_httpd_redirect(const struct mw_chan_httpd *ch);

/* As mw_chan_read, but never waits for the client: MW_EAGAIN if nothing is there. */
ssize_t mw_chan_httpd_read_now(struct mw_chan_httpd *ch, void *buf, size_t cap);

/* The HTTP status for a request whose body could not be read (a code of mw_chan_read). */
int mw_chan_httpd_read_status(int err);

#endif
