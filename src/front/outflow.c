/*
 * outflow.c: the rate of the application on one side, the rate of the client on the other.
 *
 * A connection of its own (HTTP/1, TLS or not). httpd's core filter writes what it is given without
 * waiting as long as it holds less than 64 KiB that the socket did not take, and says with
 * data_in_output_filters that it holds something. So as long as it holds nothing it may be given a piece of less
 * than that; otherwise everything is kept here until poll says that the client takes more. A flush bucket
 * would make it wait, and is passed only when the filters hold no more than a little.
 *
 * A stream of HTTP/2. mod_http2 takes what it is given if it holds less than 32 or 64 KiB, files apart; and there
 * is nothing that could be polled. So whatever is more than a little is passed as a file.
 *
 * Order: what the spool holds is older than what is in `out`.
 */
#include "outflow.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <apr_portable.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <mod_core.h>
#include <util_filter.h>

#include "clock.h"
#include "filebucket.h"
#include "io.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define COALESCE_MAX (64u << 10) /* bytes that may wait in `out` for more */
#define PIECE_MAX \
    (60u << 10) /* what the core filter takes without waiting, with a head before it */
#define FULL_PIECE_MAX ((64u << 10) - 256u) /* the same, with a chunk's frame only */
#define DIRECT_MIN (16u << 10) /* less than this is copied, to be passed together with more */
#define LITTLE (4u << 10)      /* a socket that poll calls writable takes this at once */
#define STREAM_LITTLE (16u << 10)
#define FRAME_MAX (64u << 10) /* what one call of mw_outflow_keep may bring */
#define PATIENCE_MS \
    20 /* in all of an answer: a client that is a little behind is faster than the spool */
#define STREAM_FILES_MAX 64u /* that mod_http2 may hold of one answer before its end */
#define STREAM_SLOWER_MAX 5u /* how often the time between two of them is doubled */

/* -- passing on -- */

static conn_rec *conn(const struct mw_outflow *of)
{
    return of->r->connection;
}

static apr_bucket_alloc_t *allocator(const struct mw_outflow *of)
{
    return conn(of)->bucket_alloc;
}

/* As the event MPM does when it finishes an answer: the core filter writes what it holds as far as the
 * socket takes it. */
static int push_core(struct mw_outflow *of)
{
    ap_filter_t *core = conn(of)->output_filters;
    apr_status_t rv;

    while (core->next)
        core = core->next;
    rv = core->frec->filter_func.out_func(core, NULL);
    of->blocked = conn(of)->data_in_output_filters;
    return rv != APR_SUCCESS || conn(of)->aborted ? MW_EABORT : 0;
}

/* Pass `out`, which is empty afterwards. */
static int pass(struct mw_outflow *of)
{
    apr_status_t rv;

    of->passed = 1;
    of->unflushed = 1;
    of->waiting = 0;
    of->file_waits = 0;
    rv = ap_pass_brigade(of->r->output_filters, of->out);
    apr_brigade_cleanup(of->out);
    if (rv != APR_SUCCESS && !conn(of)->aborted)
        of->lost = rv;
    if (rv != APR_SUCCESS || conn(of)->aborted)
        return MW_EABORT;
    /* The core filter does not even try with less than 4 KiB. */
    if (of->keeps && of->fd >= 0 && conn(of)->data_in_output_filters && push_core(of))
        return MW_EABORT;
    if (!of->blocked)
        of->since_ms = 0;
    return 0;
}

static int pass_flush(struct mw_outflow *of)
{
    int rv;

    APR_BRIGADE_INSERT_TAIL(of->out, apr_bucket_flush_create(allocator(of)));
    rv = pass(of);
    of->unflushed = 0;
    of->flushed_ms = mw_clock_ms();
    return rv;
}

static int append(struct mw_outflow *of, const void *p, size_t n)
{
    of->waiting += n;
    return apr_brigade_write(of->out, NULL, NULL, p, n) == APR_SUCCESS ? 0 : MW_ENOMEM;
}

int mw_outflow_write(struct mw_outflow *of, const void *p, size_t n, int more)
{
    if (more && of->waiting + n <= COALESCE_MAX)
        return append(of, p, n);
    if (n > 0)
        APR_BRIGADE_INSERT_TAIL(of->out, apr_bucket_transient_create(p, n, allocator(of)));
    return more ? pass(of) : pass_flush(of);
}

/* -- keeping -- */

/* What waits with a file, and what is older. */
static int pass_file(struct mw_outflow *of);

static int is_writable(const struct mw_outflow *of)
{
    struct pollfd p = {.fd = of->fd, .events = POLLOUT};

    return poll(&p, 1, 0) > 0;
}

/* A piece that is passed now does not wait. */
static int is_flowing(const struct mw_outflow *of)
{
    return of->fd >= 0 && !of->blocked && mw_spool_size(&of->spool) == 0;
}

/* Nearly a whole frame where nobody adds to it: each piece is a call of the system, and mostly wakes the
 * client. TLS and the like may hold some of the piece before. */
static size_t piece_max(const struct mw_outflow *of)
{
    return of->passed && !conn(of)->output_filters->next ? FULL_PIECE_MAX : PIECE_MAX;
}

/* Pass large data uncopied while the client takes it; *p and *n say what is left. */
static int pass_large(struct mw_outflow *of, const char **p, size_t *n)
{
    int rv = 0;

    while (rv == 0 && *n >= DIRECT_MIN && is_flowing(of)) {
        size_t max = piece_max(of);
        size_t room = of->waiting < max ? max - of->waiting : 0;

        if (room >= DIRECT_MIN) {
            size_t k = *n < room ? *n : room;

            APR_BRIGADE_INSERT_TAIL(of->out, apr_bucket_transient_create(*p, k, allocator(of)));
            *p += k;
            *n -= k;
        }
        rv = pass(of);
    }
    return rv;
}

/* One line of the log per request: what the operator can change about it. */
static void tell_unwritable(struct mw_outflow *of)
{
    if (!of->broken++)
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, errno, of->r,
            "WSGI0710: the answer cannot be kept for the slow client in memory or in a file in %s; "
            "the application waits for the client",
            of->limits.spool.dir);
}

/* Move `out` to the spool. What cannot be written stays, and what comes with a file. */
static int spill(struct mw_outflow *of)
{
    while (!of->file_waits && !APR_BRIGADE_EMPTY(of->out)) {
        apr_bucket *b = APR_BRIGADE_FIRST(of->out);
        const char *p;
        apr_size_t n;

        if (apr_bucket_read(b, &p, &n, APR_BLOCK_READ) != APR_SUCCESS)
            return MW_ENOMEM;
        if (n > 0 && mw_spool_put(&of->spool, p, n)) {
            tell_unwritable(of);
            return 0;
        }
        of->waiting -= n;
        apr_bucket_delete(b);
    }
    return 0;
}

static int pass_spooled(struct mw_outflow *of)
{
    int rv = 0;

    while (rv == 0 && !of->blocked && mw_spool_size(&of->spool) > 0) {
        char *piece = malloc(PIECE_MAX);
        ssize_t n = piece ? mw_spool_get(&of->spool, piece, PIECE_MAX) : MW_ENOMEM;
        apr_bucket_brigade *newer = of->out;
        size_t waiting = of->waiting;

        if (n < 0) {
            free(piece);
            return (int)n;
        }
        of->out = apr_brigade_create(of->r->pool, allocator(of));
        APR_BRIGADE_INSERT_TAIL(of->out,
                                apr_bucket_heap_create(piece, (apr_size_t)n, free, allocator(of)));
        rv = pass(of);
        apr_brigade_destroy(of->out);
        of->out = newer;
        of->waiting = waiting;
    }
    return rv;
}

/* The client takes something. */
static int pump(struct mw_outflow *of)
{
    int rv = of->blocked ? push_core(of) : 0;

    of->since_ms = 0;
    return rv ? rv : pass_spooled(of);
}

/* Is the client only a little behind? */
static int catches_up(struct mw_outflow *of)
{
    struct pollfd p = {.fd = of->fd, .events = POLLOUT};
    uint64_t start;
    int n;

    if (of->fd < 0 || !of->blocked || of->patience_ms <= 0 || mw_spool_size(&of->spool) > 0)
        return 0;
    start = mw_clock_ms();
    n = poll(&p, 1, of->patience_ms);
    of->patience_ms -= (int)(mw_clock_ms() - start);
    return n > 0 && pump(of) == 0 && is_flowing(of);
}

static int store(struct mw_outflow *of, const void *p, size_t n)
{
    int rv = 0;

    if (of->waiting + n <= PIECE_MAX)
        return append(of, p, n);
    if (is_flowing(of)) {
        rv = pass(of);
        return rv ? rv : append(of, p, n);
    }
    if (!of->broken)
        rv = spill(of);
    if (rv == 0)
        rv = append(of, p, n);
    /* While the worker goes on nobody else looks after the client. */
    if (rv == 0 && of->fd >= 0 && is_writable(of))
        rv = pump(of);
    return rv;
}

int mw_outflow_keep(struct mw_outflow *of, const void *p, size_t n)
{
    const char *from = p;
    int rv;

    if (conn(of)->aborted || of->lost)
        return MW_EABORT;
    if (n == 0) {
        of->unflushed = 1;
        return 0;
    }
    rv = of->file_waits ? pass_file(of) : 0;
    do {
        if (rv == 0)
            rv = pass_large(of, &from, &n);
    } while (rv == 0 && of->waiting + n > PIECE_MAX && catches_up(of) && n >= DIRECT_MIN);
    return rv || n == 0 ? rv : store(of, from, n);
}

int mw_outflow_is_idle(const struct mw_outflow *of)
{
    return of->waiting == 0 && !of->unflushed && !of->blocked && mw_spool_size(&of->spool) == 0;
}

int mw_outflow_is_full(const struct mw_outflow *of)
{
    if (of->waiting + FRAME_MAX <= COALESCE_MAX)
        return 0;
    return of->broken ? of->waiting > PIECE_MAX
                      : !mw_spool_has_room(&of->spool, of->waiting + FRAME_MAX);
}

/* -- streams of HTTP/2 -- */

/* A descriptor as a bucket that owns it; dup, because only a file that APR opened may change pools. */
static int append_file(struct mw_outflow *of, struct mw_spool_part *part)
{
    apr_file_t *borrowed, *own;
    apr_status_t rv = apr_os_file_put(&borrowed, &part->fd,
                                      APR_FOPEN_READ | APR_FOPEN_SENDFILE_ENABLED, of->r->pool);

    if (rv == APR_SUCCESS)
        rv = apr_file_dup(&own, borrowed, of->r->pool);
    mw_io_close(&part->fd);
    if (rv != APR_SUCCESS)
        return MW_EIO;
    apr_brigade_insert_file(of->out, own, (apr_off_t)part->from, (apr_off_t)(part->to - part->from),
                            of->r->pool);
    return 0;
}

/* Everything as it is, uncopied, into an `out` that begins with the spool. */
static int unspool(struct mw_outflow *of)
{
    apr_bucket_brigade *newer = of->out;
    struct mw_spool_part part;
    int rv = 0;

    if (mw_spool_size(&of->spool) == 0)
        return 0;
    of->out = apr_brigade_create(of->r->pool, allocator(of));
    while (rv == 0 && mw_spool_give(&of->spool, &part)) {
        of->files++;
        rv = append_file(of, &part);
    }
    APR_BRIGADE_CONCAT(of->out, newer);
    apr_brigade_destroy(newer);
    return rv;
}

/* The files that mod_http2 holds are ours to limit: they become fewer and larger, and after so many the
 * stream has to catch up. It has when it takes more of anything else than it holds at once. */
static int stream_catches_up(struct mw_outflow *of)
{
    int rv = pass_spooled(of);

    of->files = 0;
    return rv ? rv : pass_flush(of);
}

static int flush_stream(struct mw_outflow *of)
{
    int rv = 0;

    if (of->files >= STREAM_FILES_MAX)
        return stream_catches_up(of);
    if (!of->broken && (of->waiting > STREAM_LITTLE || mw_spool_size(&of->spool) > 0))
        rv = spill(of);
    if (rv == 0)
        rv = unspool(of);
    return rv ? rv : pass_flush(of);
}

/* When the next flush is due. */
static uint64_t next_flush(const struct mw_outflow *of)
{
    uint64_t delay = (uint64_t)of->limits.flush_delay_ms;

    return of->flushed_ms +
           (delay << (of->files < STREAM_SLOWER_MAX ? of->files : STREAM_SLOWER_MAX));
}

/* -- waiting -- */

/* The client takes something and the worker has nothing. */
static int flush(struct mw_outflow *of)
{
    int rv;

    if (of->fd < 0)
        return flush_stream(of);
    rv = pump(of);
    if (rv == 0 && !of->blocked && of->waiting > LITTLE)
        rv = pass(of);
    return rv || of->blocked ? rv : pass_flush(of);
}

static int give_up(struct mw_outflow *of)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, of->r,
                  "WSGI0120: the client took nothing of the answer for %" APR_INT64_T_FMT
                  " ms (response-socket-timeout); the answer is cut",
                  of->limits.timeout_ms);
    conn(of)->aborted = 1;
    return MW_EABORT;
}

static void tell_full(struct mw_outflow *of)
{
    if (of->told || of->broken)
        return;
    of->told = 1;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, of->r,
                  "WSGI0711: the answer is %" APR_UINT64_T_FMT
                  " bytes ahead of the client; the application "
                  "waits for it (see response-buffer-size=, response-spool-size=)",
                  mw_spool_size(&of->spool) + of->waiting);
}

/* When the client's time is up. */
static uint64_t client_deadline(struct mw_outflow *of, uint64_t now)
{
    if (!of->since_ms)
        of->since_ms = now;
    return of->since_ms + (uint64_t)of->limits.timeout_ms;
}

/* Poll worker and client, either of which may be -1. Bit 0: the worker, bit 1: the client. */
static int poll_both(int worker_fd, int client_fd, short client_events, uint64_t until)
{
    struct pollfd p[2] = {{.fd = worker_fd, .events = POLLIN},
                          {.fd = client_fd, .events = client_events}};
    int n = poll(p, 2, mw_clock_poll_ms(until));

    if (n < 0)
        return errno == EINTR ? 0 : MW_EIO;
    return (p[0].revents ? 1 : 0) | (p[1].revents ? 2 : 0);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int mw_outflow_await(struct mw_outflow *of, int worker_fd, uint64_t deadline)
{
    uint64_t now = mw_clock_ms();
    uint64_t due = next_flush(of);
    uint64_t cut = MW_NO_DEADLINE;
    int full = mw_outflow_is_full(of);
    int wants = full || of->blocked || now >= due || (of->fd >= 0 && mw_spool_size(&of->spool) > 0);
    uint64_t until = wants ? deadline : earlier(due, deadline);
    int got;

    if (full) {
        tell_full(of);
        worker_fd = -1;
        until = MW_NO_DEADLINE;
    }
    if (wants && of->fd >= 0)
        cut = client_deadline(of, now);
    else if (wants) /* a stream: nothing to be polled */
        until = 0;
    got = poll_both(worker_fd, wants ? of->fd : -1, POLLOUT, earlier(until, cut));
    if (got < 0)
        return got;
    if (got & 2)
        of->since_ms = 0;
    if (got & 1)
        return 1;
    if (got & 2 || (wants && of->fd < 0))
        return flush(of);
    now = mw_clock_ms();
    if (now >= cut)
        return give_up(of);
    return !full && now >= deadline ? MW_ETIMEOUT : 0;
}

static int settle(struct mw_outflow *of)
{
    int rv = of->file_waits ? pass_file(of) : 0;

    if (rv == 0 && of->fd < 0)
        return mw_outflow_is_idle(of) ? 0 : flush_stream(of);
    while (rv == 0 && !mw_outflow_is_idle(of)) {
        struct pollfd p = {.fd = of->fd, .events = POLLIN | POLLOUT};
        uint64_t cut = client_deadline(of, mw_clock_ms());

        if (poll(&p, 1, mw_clock_poll_ms(cut)) < 0 && errno != EINTR)
            return MW_EIO;
        if (p.revents & ~POLLIN)
            rv = flush(of);
        else if (!p.revents && mw_clock_ms() >= cut)
            rv = give_up(of);
        if (p.revents & POLLIN)
            break;
    }
    return rv;
}

/* To the application a failure is one of its request's body: it may still end the answer, in which now
 * something is missing. */
int mw_outflow_settle(struct mw_outflow *of)
{
    int rv = settle(of);

    if (rv && !of->lost)
        of->lost = APR_EGENERAL;
    return rv;
}

/* -- the end -- */

/* httpd may finish an answer without this thread (event MPM), with its own Timeout. Where ours is
 * another one the client is waited for here. */
static int drain(struct mw_outflow *of)
{
    int rv = 0;

    while (rv == 0 && !is_flowing(of))
        rv = mw_outflow_await(of, -1, MW_NO_DEADLINE);
    return rv;
}

/* Only a worker that sends more behind a file comes here; this one's own do not. */
static int pass_file(struct mw_outflow *of)
{
    int rv = 0;

    if (of->keeps)
        rv = of->fd >= 0 ? drain(of) : unspool(of);
    return rv ? rv : pass(of);
}

int mw_outflow_file(struct mw_outflow *of, const struct mw_outflow_file *file, int more)
{
    int fd = file->fd;
    int rv = conn(of)->aborted || of->lost ? MW_EABORT : 0;

    if (rv == 0 && of->file_waits) /* one at a time: each holds descriptors */
        rv = pass_file(of);
    if (rv) {
        mw_io_close_given(&fd);
        return rv;
    }
    if (mw_filebucket_append(of->out, fd, (apr_off_t)file->offset, (apr_off_t)file->n,
                             file->with_sendfile))
        return MW_EIO;
    of->file_waits = 1;
    return more || of->keeps ? 0 : pass_flush(of);
}

static int pass_end(struct mw_outflow *of, apr_bucket *last)
{
    if (last)
        APR_BRIGADE_INSERT_TAIL(of->out, last);
    APR_BRIGADE_INSERT_TAIL(of->out, apr_bucket_eos_create(allocator(of)));
    return pass(of);
}

/* What makes the end look like none. */
static apr_bucket *broken_end(struct mw_outflow *of)
{
    conn(of)->keepalive = AP_CONN_CLOSE;
    return ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, of->r->pool, allocator(of));
}

int mw_outflow_finish(struct mw_outflow *of, apr_bucket *last)
{
    int rv = 0;

    if (of->keeps && of->fd >= 0 && !is_flowing(of) &&
        of->limits.timeout_ms != (int64_t)apr_time_as_msec(of->r->server->timeout))
        rv = drain(of);
    /* While httpd holds something it would wait for the client with more, files apart. */
    if (rv == 0 && of->keeps && !is_flowing(of) && of->waiting > LITTLE && !of->broken)
        rv = spill(of);
    if (rv == 0)
        rv = unspool(of);
    if (rv && rv != MW_EABORT) {
        apr_brigade_cleanup(of->out); /* there would be a hole in it */
        last = broken_end(of);
    }
    rv = pass_end(of, last);
    /* A file has become shorter, or a filter has refused it and has not answered itself. */
    if (rv && !conn(of)->aborted && of->lost != AP_FILTER_ERROR)
        (void)pass_end(of, broken_end(of));
    return rv;
}

void mw_outflow_drop(struct mw_outflow *of)
{
    apr_brigade_cleanup(of->out);
    of->waiting = 0;
    of->file_waits = 0;
    of->blocked = of->unflushed = 0;
    mw_spool_fini(&of->spool);
    mw_spool_init(&of->spool, &of->limits.spool);
}

int mw_outflow_is_headless(const struct mw_outflow *of)
{
    const ap_filter_t *f = of->r->output_filters;

    while (f && f->frec != ap_http_header_filter_handle)
        f = f->next; /* it leaves once it has written the head */
    return f != NULL;
}

/* -- life -- */

void mw_outflow_init(struct mw_outflow *of, request_rec *r)
{
    static const struct mw_spool_limits none;

    *of = (struct mw_outflow){.r = r, .fd = -1};
    mw_spool_init(&of->spool, &none);
    of->out = apr_brigade_create(r->pool, r->connection->bucket_alloc);
}

void mw_outflow_keeps(struct mw_outflow *of, const struct mw_outflow_limits *limits)
{
    apr_socket_t *sock = conn(of)->master ? NULL : ap_get_conn_socket(conn(of));
    apr_os_sock_t fd;

    of->keeps = 1;
    of->patience_ms = PATIENCE_MS;
    of->limits = *limits;
    mw_spool_init(&of->spool, &limits->spool);
    if (sock && apr_os_sock_get(&fd, sock) == APR_SUCCESS)
        of->fd = fd;
}

void mw_outflow_fini(struct mw_outflow *of)
{
    mw_spool_fini(&of->spool);
}
