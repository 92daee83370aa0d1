/*
 * remote.c: one request to a daemon group. Called by the thread that runs the request.
 *
 * The child follows the worker: it sends the request, then does what the frames ask for (body bytes,
 * head, data, log lines) until END. A request that has not reached an application is tried on another
 * worker; one that may have is tried again only if its method is idempotent (RFC 9110, 9.2.2) and
 * nothing of its body was used up.
 */
#include "remote.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "bodybuf.h"
#include "clock.h"
#include "front.h"
#include "io.h"
#include "log.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define ATTEMPTS_MAX 5
#define ONE_PIECE_MAX (16u << 10) /* bytes that a Unix socket takes whole or not at all */
#define RETRY_AFTER "5"           /* seconds, with 503 */
/* A larger request block might leave before the frame with the body's file: an application could have the
 * request when the worker finds that it cannot have the file. */
#define BLOCK_WITH_FILE_MAX (32u << 10)

_Static_assert(BLOCK_WITH_FILE_MAX <= MW_FD_LEAD_MAX / 2,
               "one write, with HELLO and the file's frame");

struct remote {
    struct mw_chan_httpd *ch;
    const struct mw_target *t;
    struct mw_endpoint *e;
    const struct mw_lease *lease; /* during an attempt */
    struct mw_buf *block;
    struct mw_req *req;       /* the view of it */
    struct mw_bodybuf *taken; /* of the body, before a thread was claimed */
    char *body;               /* room for one BODY frame */
    uint64_t sent;            /* bytes of the body that have gone to this worker, */
    uint64_t upto;            /* and how far it takes them */
    int in_pieces;  /* the body is in a file, and is streamed to this worker all the same */
    int body_used;  /* streamed bytes have gone to a worker and cannot be sent again */
    int body_ended; /* the end of a streamed body has been sent */
    int abort_sent;
    int suspect;  /* a worker died with it: it is tried once more, not on all workers in turn */
    int answered; /* by one worker, and no other had seen the request */
    uint64_t queued_us; /* when it began to wait for a thread; epoch microseconds */
    /* How the channel is to be ended once the worker's thread is given back: that may wait for the client. */
    enum mw_end how;
    int status; /* instead of 500, where nothing has been answered; 0: none */
};

enum outcome {
    OUT_MORE,  /* go on receiving */
    OUT_DONE,  /* END came; the connection is free */
    OUT_LOST,  /* the request is over, the connection is not to be used again */
    OUT_AGAIN, /* the application has not answered: try another worker */
    OUT_UNSENT /* the same; it was the kept connection that was dead, which says nothing of the worker */
};

static const char *group_name(const struct remote *rm)
{
    return rm->t->group->spec.name;
}

static int64_t socket_timeout_ms(const struct mw_group *g)
{
    return g->spec.socket_timeout_ms ? g->spec.socket_timeout_ms
                                     : (int64_t)apr_time_as_msec(mw_front()->server->timeout);
}

/* -- towards the worker -- */

static int put_request(struct remote *rm, struct mw_link *l)
{
    int rv = mw_link_put(l, MW_F_REQUEST, mw_buf_data(rm->block), mw_buf_size(rm->block));

    rm->sent = rm->taken->small_n;
    rm->upto = MW_BODY_INLINE_MAX;
    rm->body_ended = 0;
    mw_bodybuf_rewind(rm->taken);
    if (rv == 0 && !rm->in_pieces)
        rv = mw_bodybuf_put(rm->taken, l);
    if (rv == MW_EAGAIN) {
        rm->in_pieces = 1;
        rv = 0;
    }
    if (rv == 0)
        rv = mw_link_flush(l);
    return rv;
}

/* -- frames of the worker -- */

typedef enum outcome frame_fn(struct remote *rm, struct mw_link *l, const struct mw_frame *f);

/* This side's or the worker's failure, with a status of our own if the answer has not begun. */
static enum outcome end_lost(struct remote *rm, int status)
{
    rm->how = rm->ch->chan.state == MW_CHAN_OPEN ? MW_END_FAILED : MW_END_TRUNCATED;
    rm->status = status;
    return OUT_LOST;
}

static enum outcome bad_frame(struct remote *rm, const struct mw_frame *f, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, rm->ch->r,
                  "WSGI0148: worker %u of group '%s' sent a wrong %s frame (%s); its connection is "
                  "closed",
                  rm->lease->claim.slot, group_name(rm), mw_frame_name(f->type), why);
    return end_lost(rm, HTTP_BAD_GATEWAY);
}

/* Some of the body, or MW_EAGAIN; waits: never that. A client may first have to take what the application
 * has already answered. */
static ssize_t read_streamed(struct remote *rm, size_t cap, int waits)
{
    struct mw_outflow *of = &rm->ch->flow;
    ssize_t rest = mw_bodybuf_rest(rm->taken, rm->body, cap);

    if (rest)
        return rest;
    if (!waits || !mw_outflow_is_idle(of)) {
        ssize_t n = mw_chan_httpd_read_now(rm->ch, rm->body, cap);

        if (n != MW_EAGAIN || !waits)
            return n;
        n = mw_outflow_settle(of);
        if (n)
            return n;
    }
    return mw_chan_read(&rm->ch->chan, rm->body, cap);
}

/* Send one BODY, the end of the body, or both. waits: for the client, until there is something to send.
 * Returns whether there may be more to send at once. */
static int send_body(struct remote *rm, struct mw_link *l, int waits)
{
    uint64_t credit = rm->upto - rm->sent;
    size_t cap = credit < MW_FRAME_DATA_MAX ? (size_t)credit : MW_FRAME_DATA_MAX;
    ssize_t n = read_streamed(rm, cap, waits);
    int rv = 0;

    if (n == MW_EAGAIN)
        return 0;
    if (n > 0)
        rv = mw_link_put(l, MW_F_BODY, rm->body, (size_t)n);
    rm->body_ended = n <= 0 || (rm->ch->in_end == 1 && !mw_bodybuf_has_rest(rm->taken));
    if (rv == 0 && rm->body_ended)
        rv = mw_link_put_u8(l, MW_F_BODY_END, mw_body_end_of(n < 0 ? (int)n : 0));
    if (rv == 0)
        rv = mw_link_flush(l);
    if (n > 0)
        rm->sent += (uint64_t)n;
    /* A dead connection shows at the next receive. */
    return rv == 0 && !rm->body_ended && (size_t)n == cap && rm->sent < rm->upto;
}

/* Where the worker waits and nothing is on its way to it, one wait for the client answers it; beyond that,
 * what is there is sent as far as the credit goes. A wait too many could be for ever: the client may itself
 * wait for the answer. */
static enum outcome on_want(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    struct mw_want want;
    int rv = mw_want_decode(&want, f->payload, f->n);
    int more;

    if (rv)
        return bad_frame(rm, f, mw_err_text(rv));
    if ((rm->taken->whole && !rm->in_pieces) || rm->body_ended)
        return OUT_MORE; /* it crossed our BODY_END or BODY_FILE on its way */
    if (want.have > rm->sent || want.upto < rm->upto)
        return bad_frame(rm, f, "its positions are not those of the body");
    rm->upto = want.upto;
    if (rm->sent == rm->upto)
        return OUT_MORE; /* it has not seen all of it yet */
    if (!rm->body)
        rm->body = apr_palloc(rm->ch->r->pool, MW_FRAME_DATA_MAX);
    rm->body_used = !rm->in_pieces;
    more = send_body(rm, l, want.waits && want.have == rm->sent);
    while (more)
        more = send_body(rm, l, 0);
    return OUT_MORE;
}

/* Tell the worker once that the client has gone; then its frames are discarded until END, so that the
 * connection stays good. */
static enum outcome send_abort(struct remote *rm, struct mw_link *l)
{
    if (!rm->abort_sent) {
        rm->abort_sent = 1;
        (void)!mw_link_send(l, MW_F_ABORT, NULL,
                            0); /* a dead connection shows at the next receive */
    }
    return OUT_MORE;
}

static enum outcome on_ask(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    (void)f;
    if (rm->abort_sent)
        return OUT_MORE; /* it crossed our ABORT on its way */
    if (mw_chan_gone(&rm->ch->chan))
        return send_abort(rm, l);
    (void)!mw_link_send(l, MW_F_ALIVE, NULL, 0);
    return OUT_MORE;
}

static enum outcome on_inform(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    enum mw_rsp_fault fault = MW_RSP_FINE;
    int rv = mw_chan_inform(&rm->ch->chan, f->payload, f->n, &fault);

    if (rv == MW_EABORT)
        return send_abort(rm, l);
    if (rv == 0 || rv == MW_ELIMIT) /* a worker before this one may have used up some of them */
        return OUT_MORE;
    return bad_frame(rm, f, rv == MW_EINVAL ? mw_rsp_fault_text(fault) : mw_err_text(rv));
}

/* The first line of a head that is over header-buffer-size: its name; or NULL. */
static const char *find_long_line(const struct remote *rm, const struct mw_frame *f)
{
    uint64_t max = (uint64_t)rm->t->group->spec.header_buffer_size;
    struct mw_rsp rsp;
    struct mw_str name, value;

    if (max == 0 || mw_rsp_view(&rsp, f->payload, f->n, NULL))
        return NULL;
    while (mw_rsp_next(&rsp.fields, &name, &value))
        if (name.n + value.n + sizeof ": " - 1 > max)
            return name.p;
    return NULL;
}

static enum outcome on_head(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    enum mw_rsp_fault fault = MW_RSP_FINE;
    const char *name = find_long_line(rm, f);
    int rv;

    if (name && rm->ch->chan.state == MW_CHAN_OPEN) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, rm->ch->r,
                      "WSGI0144: the line '%.100s' of the answer's header is longer than "
                      "header-buffer-size, %" APR_INT64_T_FMT " bytes; 500",
                      name, rm->t->group->spec.header_buffer_size);
        return end_lost(rm, HTTP_INTERNAL_SERVER_ERROR);
    }
    rv = mw_chan_head(&rm->ch->chan, f->payload, f->n, &fault);

    (void)l;
    if (rv)
        return bad_frame(rm, f, rv == MW_EINVAL ? mw_rsp_fault_text(fault) : mw_err_text(rv));
    return OUT_MORE;
}

static enum outcome on_data(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    /* More frames are here already: no need to look for the client before. */
    unsigned flags = mw_link_has_input(l) ? MW_DATA_MORE : 0;
    int rv = mw_chan_data(&rm->ch->chan, f->payload, f->n, flags);

    if (rv == MW_EABORT)
        return send_abort(rm, l);
    return rv ? bad_frame(rm, f, mw_err_text(rv)) : OUT_MORE;
}

/* Why not to send this file, or NULL. The worker may have been anybody's: nothing is known of what it
 * passed. */
static const char *refuse_file(int fd, const struct mw_file_part *part)
{
    int64_t size;
    int rv = mw_io_file_size(fd, &size);

    if (rv)
        return rv == MW_EINVAL ? "its descriptor is no regular file that may be sent"
                               : "its file cannot be looked at";
    return size < part->offset + part->n ? "its file is shorter than it says" : NULL;
}

/* The worker has done what it should: what this process cannot take is its own trouble. */
static enum outcome on_untaken(struct remote *rm, int err)
{
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, err, rm->ch->r,
        "WSGI0715: the answer of worker %u of group '%s' is a file, which this httpd process "
        "cannot take; %s (if it has too many open files, see ulimit -n of httpd)",
        rm->lease->claim.slot, group_name(rm), rm->ch->flow.passed ? "the answer is cut" : "503");
    apr_table_setn(rm->ch->r->err_headers_out, "Retry-After", RETRY_AFTER);
    return end_lost(rm, HTTP_SERVICE_UNAVAILABLE);
}

static enum outcome on_file(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    unsigned flags = mw_link_has_input(l) ? MW_DATA_MORE : 0;
    struct mw_file_part part;
    const char *why;
    int fd, rv = mw_file_decode(&part, f->payload, f->n);

    if (rv)
        return bad_frame(rm, f, mw_err_text(rv));
    fd = mw_link_take_fd(l);
    if (fd == MW_FD_DROPPED)
        return on_untaken(rm, EMFILE);
    why = refuse_file(fd, &part);
    if (why) {
        mw_io_close_given(&fd);
        return bad_frame(rm, f, why);
    }
    rv = mw_chan_file(&rm->ch->chan, fd, part.offset, part.n, flags);
    if (rv == MW_EABORT)
        return send_abort(rm, l);
    if (rv == MW_EIO)
        return on_untaken(rm, errno);
    return rv ? bad_frame(rm, f, mw_err_text(rv)) : OUT_MORE;
}

static enum outcome on_log(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    struct mw_str text;
    struct mw_mark mark;
    int rv = mw_logline_decode(&mark, &text, f->payload, f->n);

    (void)l;
    if (rv)
        return bad_frame(rm, f, mw_err_text(rv));
    mw_chan_log(&rm->ch->chan, &mark, text.p, text.n);
    return OUT_MORE;
}

static enum outcome send_request(struct remote *rm, struct mw_link *l);

/* The worker has lost the file beside the request, and nothing of its threads has seen the request. It can
 * have the bytes: no other one, which might be as badly off, and no new turn in the queue are needed. */
static enum outcome on_no_file(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    if (rm->in_pieces || !mw_bodybuf_is_file(rm->taken) || rm->ch->chan.state != MW_CHAN_OPEN)
        return bad_frame(rm, f, "no file was sent that it could have lost");
    if (rm->abort_sent) {
        rm->how = MW_END_ABORTED;
        return OUT_DONE;
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, rm->ch->r,
                  "WSGI0714: worker %u of group '%s' may have no more open files (ulimit -n), and "
                  "cannot be given the request's body as one; it gets the body in pieces",
                  rm->lease->claim.slot, group_name(rm));
    rm->in_pieces = 1;
    return send_request(rm, l);
}

static enum outcome on_end(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    uint8_t how;
    int rv = mw_u8_decode(&how, MW_END_LAST, f->payload, f->n);

    if (rv)
        return bad_frame(rm, f, mw_err_text(rv));
    if (mw_link_has_input(l))
        return bad_frame(rm, f, "bytes follow it");
    if (how == MW_END_NO_FILE)
        return on_no_file(rm, l, f);
    rm->how = (enum mw_end)how;
    /* Often it was not the thread itself that said so: nobody reads its connection any more. */
    return how == MW_END_TIMEOUT ? OUT_LOST : OUT_DONE;
}

static enum outcome on_frame(struct remote *rm, struct mw_link *l, const struct mw_frame *f)
{
    static frame_fn *const handlers[MW_F_LAST + 1] = {
        [MW_F_WANT] = on_want, [MW_F_INFORM] = on_inform, [MW_F_HEAD] = on_head,
        [MW_F_DATA] = on_data, [MW_F_LOG] = on_log,       [MW_F_END] = on_end,
        [MW_F_ASK] = on_ask,   [MW_F_FILE] = on_file,
    };
    frame_fn *fn = f->type <= MW_F_LAST ? handlers[f->type] : NULL;

    if (!fn)
        return bad_frame(rm, f, "not one that a worker sends");
    return fn(rm, l, f);
}

/* -- one attempt -- */

static int is_idempotent(const request_rec *r)
{
    switch (r->method_number) {
    case M_GET: /* and HEAD */
    case M_PUT:
    case M_DELETE:
    case M_OPTIONS:
    case M_TRACE:
        return 1;
    default:
        return 0;
    }
}

/* mw_endpoint_stop broke it: no fault of the worker's, and often the client has its answer already. */
static enum outcome on_stop(struct remote *rm)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, rm->ch->r,
                  "WSGI0656: httpd stops before worker %u of group '%s' has finished the answer",
                  rm->lease->claim.slot, group_name(rm));
    return end_lost(rm, HTTP_SERVICE_UNAVAILABLE);
}

/* The supervisor's line about that pid has the signal or the status. */
static void log_broken(const struct remote *rm, int rv, const char *now, int level)
{
    request_rec *r = rm->ch->r;
    const struct mw_link *l = rm->lease->link;

    ap_log_rerror(
        APLOG_MARK, level, 0, r, "%s: request '%s %s': worker %u of group '%s' (pid %lu) %s; %s",
        rv == MW_ETIMEOUT ? "WSGI0145" : "WSGI0146", r->method, r->uri, rm->lease->claim.slot,
        group_name(rm), l->peer_known ? (unsigned long)l->peer.pid : 0,
        rv == MW_ECLOSED    ? "died or closed the connection before the answer was complete"
        : rv == MW_ETIMEOUT ? "gave no answer within the socket timeout"
                            : mw_err_text(rv),
        now);
}

/* The connection broke before END. */
static enum outcome on_broken(struct remote *rm, int rv)
{
    request_rec *r = rm->ch->r;
    int begun = rm->ch->chan.state != MW_CHAN_OPEN;
    /* Without its HELLO the worker has not read the request. */
    int unread = !rm->lease->link->peer_known;
    int again = rv == MW_ECLOSED && !begun && !rm->body_used &&
                (unread || (is_idempotent(r) && !rm->suspect));

    if (mw_endpoint_stopped(rm->e))
        return on_stop(rm);
    if (again && !unread)
        rm->suspect = 1;
    if (rm->abort_sent) { /* nobody is there to be told */
        rm->how = MW_END_ABORTED;
        return OUT_LOST;
    }
    log_broken(rm, rv,
               again               ? "the request is tried on another worker"
               : begun             ? "the answer is cut"
               : rv == MW_ETIMEOUT ? "504"
                                   : "502",
               again ? APLOG_WARNING : APLOG_ERR);
    if (again)
        return OUT_AGAIN;
    return end_lost(rm, rv == MW_ETIMEOUT ? HTTP_GATEWAY_TIME_OUT : HTTP_BAD_GATEWAY);
}

/* The next frame. Until it comes the client gets what those before it have brought. */
static int next_frame(struct remote *rm, struct mw_link *l, struct mw_frame *f)
{
    struct mw_outflow *of = &rm->ch->flow;
    uint64_t deadline = 0;
    int ready = mw_link_has_input(l);
    int rv;

    while (!mw_outflow_is_idle(of)) {
        if (ready && !mw_outflow_is_full(of)) {
            rv = mw_link_recv_now(l, f);
            if (rv != MW_EAGAIN)
                return rv;
        }
        if (!deadline)
            deadline = l->timeout_ms ? mw_clock_deadline((uint64_t)l->timeout_ms) : MW_NO_DEADLINE;
        rv = mw_outflow_await(of, l->fd, deadline);
        if (rv == MW_EABORT) {
            mw_outflow_drop(of);
            (void)send_abort(rm, l);
        } else if (rv < 0) {
            return rv;
        }
        ready = rv == 1 || mw_link_has_input(l);
    }
    return mw_link_recv(l, f);
}

/* A worker says HELLO as soon as it has a connection. One that does not may still read the request later,
 * so no other gets it. */
static int await_hello(struct remote *rm)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)rm->t->group->spec.connect_timeout_ms);

    if (mw_io_wait(rm->lease->link->fd, POLLIN, deadline) != MW_ETIMEOUT)
        return 0;
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, 0, rm->ch->r,
        "WSGI0116: worker %u of group '%s' has not accepted a connection within %" APR_INT64_T_FMT
        " ms (connect-timeout); 503",
        rm->lease->claim.slot, group_name(rm), rm->t->group->spec.connect_timeout_ms);
    apr_table_setn(rm->ch->r->err_headers_out, "Retry-After", RETRY_AFTER);
    (void)end_lost(rm, HTTP_SERVICE_UNAVAILABLE);
    return 1;
}

static enum outcome send_request(struct remote *rm, struct mw_link *l)
{
    int rv = put_request(rm, l);

    if (rv == MW_ECLOSED && mw_buf_size(rm->block) + rm->taken->small_n <= ONE_PIECE_MAX)
        return rm->lease->pooled ? OUT_UNSENT : OUT_AGAIN; /* none of it has arrived */
    return rv ? on_broken(rm, rv) : OUT_MORE;
}

static enum outcome attempt(struct remote *rm, const struct mw_lease *lease)
{
    struct mw_frame f;
    enum outcome out;

    rm->lease = lease;
    rm->in_pieces = mw_bodybuf_is_file(rm->taken) && mw_buf_size(rm->block) > BLOCK_WITH_FILE_MAX;
    out = send_request(rm, lease->link);
    if (out == OUT_MORE && !lease->pooled && await_hello(rm))
        return OUT_LOST;
    while (out == OUT_MORE) {
        int rv = next_frame(rm, lease->link, &f);

        out = rv ? on_broken(rm, rv) : on_frame(rm, lease->link, &f);
    }
    return out;
}

/* The group's processes cannot start, or die all the time: there is none, and the next is not started for a
 * while. */
static int refuse_down(struct remote *rm)
{
    request_rec *r = rm->ch->r;
    uint64_t seconds = (mw_endpoint_down_ms(rm->e) + 999) / 1000;

    if (seconds == 0)
        seconds = 1; /* it has just passed */
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, 0, r,
        "WSGI0743: group '%s' has no process, because those before ended or could not start "
        "(the log says why), and the next one is started in %" APR_UINT64_T_FMT " s; 503",
        group_name(rm), seconds);
    apr_table_setn(r->err_headers_out, "Retry-After",
                   apr_psprintf(r->pool, "%" APR_UINT64_T_FMT, seconds));
    mw_chan_end(&rm->ch->chan, MW_END_FAILED);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* For the access log: %{mod_wsgi-queue}n and the like. */
static void note(struct remote *rm, const char *key, const char *value)
{
    apr_table_setn(rm->ch->r->notes, key, value);
}

static void note_queue(struct remote *rm, int waited)
{
    uint64_t now = waited ? mw_clock_epoch_us() : 0;
    uint64_t since = rm->queued_us;

    note(rm, "mod_wsgi-group", group_name(rm));
    note(rm, "mod_wsgi-queue",
         now > since ? apr_psprintf(rm->ch->r->pool, "%" APR_UINT64_T_FMT, now - since) : "0");
}

/* An answer that says when to come again. */
static int unavailable(struct remote *rm)
{
    apr_table_setn(rm->ch->r->err_headers_out, "Retry-After", RETRY_AFTER);
    mw_chan_end(&rm->ch->chan, MW_END_FAILED);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* The board is closed: by an operator, or because the generation ends. No fault of anybody. */
static int refuse_closed(struct remote *rm)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, rm->ch->r,
                  "WSGI0786: group '%s' takes no request: it is drained until mod_wsgi-ctl "
                  "resume, or httpd stops; 503",
                  group_name(rm));
    return unavailable(rm);
}

static int refuse_full(struct remote *rm)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, rm->ch->r,
                  "WSGI0713: %" APR_INT64_T_FMT " requests of group '%s' wait for a thread already "
                  "(queue-max); 503",
                  rm->t->group->spec.queue_max, group_name(rm));
    return unavailable(rm);
}

static int refuse_unreached(struct remote *rm, int rv, unsigned slot)
{
    ap_log_rerror(
        APLOG_MARK, mw_endpoint_stopped(rm->e) ? APLOG_INFO : APLOG_ERR, rv == MW_EIO ? errno : 0,
        rm->ch->r,
        "WSGI0116: no connection to worker %u of group '%s': %s; 503 (see connect-timeout)", slot,
        group_name(rm), mw_err_text(rv));
    return unavailable(rm);
}

/* No worker could be had. */
static int refuse(struct remote *rm, int rv, const struct mw_lease *lease)
{
    request_rec *r = rm->ch->r;

    note_queue(rm, 1);
    if (rv == MW_EDOWN)
        return refuse_down(rm);
    if (lease->connecting)
        return refuse_unreached(rm, rv, lease->claim.slot);
    if (rv == MW_ECLOSED && !mw_endpoint_stopped(rm->e))
        return refuse_closed(rm);
    if (rv == MW_ELIMIT && rm->t->group->spec.queue_max > 0)
        return refuse_full(rm);
    ap_log_rerror(APLOG_MARK, mw_endpoint_stopped(rm->e) ? APLOG_INFO : APLOG_ERR, 0, r,
                  "%s: no thread of group '%s' for this request after %" APR_UINT64_T_FMT
                  " ms: %s; 503 (see threads=, processes=, queue-timeout= of WSGIDaemonProcess)",
                  rv == MW_ETIMEOUT ? "WSGI0084" : "WSGI0651", group_name(rm),
                  (mw_clock_epoch_us() - rm->queued_us) / 1000, mw_err_text(rv));
    return unavailable(rm);
}

static void keep_answer(struct mw_chan_httpd *ch, const struct mw_group *g)
{
    const struct mw_spec *spec = &g->spec;
    struct mw_outflow_limits limits = {
        .spool = {.memory = spec->response_buffer_size ? (uint64_t)spec->response_buffer_size
                                                       : MW_RESPONSE_BUFFER,
                  .file = (uint64_t)spec->response_spool_size,
                  .dir = mw_front()->temp_dir},
        .timeout_ms = spec->response_socket_timeout_ms ? spec->response_socket_timeout_ms
                      : spec->socket_timeout_ms        ? spec->socket_timeout_ms
                                                : (int64_t)apr_time_as_msec(ch->r->server->timeout),
        .flush_delay_ms = spec->response_flush_delay_ms,
    };

    mw_outflow_keeps(&ch->flow, &limits);
}

/* The body before the thread. */
static int take_body(struct remote *rm)
{
    const struct mw_spec *spec = &rm->t->group->spec;
    int rv = mw_bodybuf_take(rm->taken, rm->ch, spec->request_buffering, mw_front()->temp_dir);
    int err;

    if (rv != OK || !rm->taken->whole || rm->req->content_length >= 0)
        return rv;
    err = mw_req_set_length(rm->block, rm->req, mw_bodybuf_length(rm->taken));
    if (err == 0)
        err = mw_req_view_own(rm->req, mw_buf_data(rm->block), mw_buf_size(rm->block));
    if (err == 0)
        return OK;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, rm->ch->r, "WSGI0650: request block: %s; 500",
                  mw_err_text(err));
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* Claim, send, follow, until a worker has answered. */
static int serve(struct remote *rm)
{
    struct mw_chan_httpd *ch = rm->ch;
    const struct mw_spec *spec = &rm->t->group->spec;
    int64_t wait_ms = spec->queue_timeout_ms ? spec->queue_timeout_ms
                                             : socket_timeout_ms(rm->t->group);
    uint64_t deadline = mw_clock_deadline((uint64_t)wait_ms);
    enum outcome out = OUT_AGAIN;

    keep_answer(ch, rm->t->group);
    rm->queued_us = mw_clock_epoch_us();
    mw_req_patch_queue_us(rm->block->p + rm->block->pos, rm->queued_us);
    for (int i = 0; out >= OUT_AGAIN && i < ATTEMPTS_MAX; i += out != OUT_UNSENT) {
        struct mw_lease lease;
        int rv = mw_endpoint_lease(rm->e, deadline, &lease);

        if (rv)
            return refuse(rm, rv, &lease);
        if (out != OUT_UNSENT && i == 0)
            note_queue(rm, lease.waited);
        out = attempt(rm, &lease);
        if (lease.link->peer_known)
            note(rm, "mod_wsgi-pid", apr_psprintf(ch->r->pool, "%u", lease.link->peer.pid));
        rm->answered = i == 0 && out == OUT_DONE;
        mw_endpoint_return(rm->e, &lease, out == OUT_DONE);
        if (out == OUT_AGAIN)
            mw_endpoint_await_change(rm->e, &lease.claim);
    }
    if (out == OUT_AGAIN) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, ch->r,
                      "WSGI0124: %d workers of group '%s' in turn ended before they answered; 503",
                      ATTEMPTS_MAX, spec->name);
        apr_table_setn(ch->r->err_headers_out, "Retry-After", RETRY_AFTER);
        (void)end_lost(rm, HTTP_SERVICE_UNAVAILABLE);
    }
    mw_chan_end(&ch->chan, rm->how);
    if (rm->status && ch->status != OK)
        ch->status = rm->status;
    return ch->status;
}

int mw_remote_serve(struct mw_chan_httpd *ch, const struct mw_target *t, struct mw_endpoint *e,
                    struct mw_buf *block, struct mw_req *req)
{
    struct mw_bodybuf taken;
    struct remote rm = {.ch = ch, .t = t, .e = e, .block = block, .req = req, .taken = &taken};
    int rv;

    mw_bodybuf_init(&taken, e, ch->r->pool);
    rv = take_body(&rm);
    if (rv == OK)
        rv = serve(&rm);
    else
        mw_chan_end(&ch->chan, MW_END_FAILED);
    mw_bodybuf_fini(&taken, rm.answered);
    return rv;
}
