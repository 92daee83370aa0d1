/*
 * endpoint.c: claims and the pool of connections of one group. Any thread of an httpd child.
 *
 * A connection belongs to one incarnation of one worker. Idle ones are kept in a stack per slot, so
 * that the most recently used, whose buffers are warm, is used next; those of dead incarnations are
 * closed when the stack is looked at.
 */
#include "endpoint.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "io.h"

#define CHANGE_TIMEOUT_MS 100 /* how long a dead worker may look alive on the board */
#define SWEEP_MS 1000         /* between two looks for old idle connections */
#define FILES_KEPT 4          /* of a group */
#define FILES_KEPT_TOTAL 16u  /* of a child */
#define DOUBT_MS 1000 /* a connection that was idle for longer is looked at before its use */
#define BODY_BUFFER (256 << 10) /* bytes of a socket's buffer */
#define ANSWER_BUFFER (512 << 10)

_Static_assert(BODY_BUFFER >= 2 * MW_BODY_WINDOW, "with what the kernel counts beside the bytes");

struct conn {
    struct mw_link link; /* first: a lease names the connection by its link */
    uint32_t incarnation;
    struct conn *next;  /* in a list of idle, leased or stale connections */
    struct conn **back; /* leased: what points to it */
    uint64_t since_ms;  /* idle */
};

struct idle {
    struct conn *top;
    unsigned n;
};

struct mw_endpoint {
    struct mw_endpoint_config cfg;
    pthread_mutex_t lock; /* guards what follows */
    int stopped;
    struct conn *leased;
    struct mw_scratch files[FILES_KEPT]; /* nfiles of them */
    unsigned nfiles;
    uint64_t files_ms;        /* when one was last used */
    struct mw_endpoint *next; /* in the list of all; constant, as is nslots */
    unsigned nslots;
    struct idle slots[];
};

int mw_endpoint_create(struct mw_endpoint **out, const struct mw_endpoint_config *cfg)
{
    unsigned nslots = mw_board_slots(cfg->board);
    struct mw_endpoint *e = calloc(1, sizeof *e + nslots * sizeof e->slots[0]);

    if (!e)
        return MW_ENOMEM;
    e->cfg = *cfg;
    e->nslots = nslots;
    pthread_mutex_init(&e->lock, NULL);
    e->next = cfg->idle->first;
    cfg->idle->first = e;
    *out = e;
    return 0;
}

static void conn_close(struct conn *c)
{
    mw_link_fini(&c->link);
    free(c);
}

static void close_list(struct conn *c)
{
    while (c) {
        struct conn *next = c->next;

        conn_close(c);
        c = next;
    }
}

/* n idle connections more, of all groups together. */
static void count_idle(struct mw_endpoint *e, int n)
{
    __atomic_fetch_add(&e->cfg.idle->n, (unsigned)n, __ATOMIC_RELAXED);
}

/* Under the lock. All connections of the slot are those of a worker that is gone. */
static struct conn *clear_idle(struct mw_endpoint *e, struct idle *s)
{
    struct conn *stale = s->top;

    count_idle(e, -(int)s->n);
    s->top = NULL;
    s->n = 0;
    return stale;
}

/* Under the lock. The idle connection used last, if it is one to this incarnation. A worker's
 * connections all die with it, so a stale one at the top means that all below are stale. */
static struct conn *pop_idle(struct mw_endpoint *e, const struct mw_claim *claim,
                             struct conn **stale_r)
{
    struct idle *s = &e->slots[claim->slot];
    struct conn *c = s->top;

    if (c && c->incarnation != claim->incarnation) {
        *stale_r = clear_idle(e, s);
        return NULL;
    }
    if (c) {
        s->top = c->next;
        s->n--;
        count_idle(e, -1);
    }
    return c;
}

/* Under the lock. Keep c for the next request; NULL, or a list of connections to close. */
static struct conn *push_idle(struct mw_endpoint *e, unsigned slot, struct conn *c, uint64_t now)
{
    struct idle *s = &e->slots[slot];
    struct conn *stale = NULL;

    if (s->top && s->top->incarnation != c->incarnation)
        stale = clear_idle(e, s);
    if (s->n >= e->cfg.pool_max ||
        __atomic_load_n(&e->cfg.idle->n, __ATOMIC_RELAXED) >= e->cfg.idle->max) {
        c->next = stale;
        return c;
    }
    c->since_ms = now;
    c->next = s->top;
    s->top = c;
    s->n++;
    count_idle(e, 1);
    return stale;
}

void mw_scratch_close(struct mw_scratch *s)
{
    mw_memfile_unmap(&s->map);
    mw_io_close(&s->fd);
}

void mw_endpoint_take_file(struct mw_endpoint *e, struct mw_scratch *out)
{
    *out = (struct mw_scratch){.fd = -1};
    pthread_mutex_lock(&e->lock);
    if (e->nfiles > 0) {
        *out = e->files[--e->nfiles];
        __atomic_fetch_sub(&e->cfg.idle->files, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&e->lock);
}

void mw_endpoint_give_file(struct mw_endpoint *e, struct mw_scratch *s)
{
    pthread_mutex_lock(&e->lock);
    if (e->nfiles < FILES_KEPT &&
        __atomic_load_n(&e->cfg.idle->files, __ATOMIC_RELAXED) < FILES_KEPT_TOTAL) {
        e->files[e->nfiles++] = *s;
        e->files_ms = mw_clock_ms();
        __atomic_fetch_add(&e->cfg.idle->files, 1, __ATOMIC_RELAXED);
        *s = (struct mw_scratch){.fd = -1};
    }
    pthread_mutex_unlock(&e->lock);
    mw_scratch_close(s);
}

/* Under the lock. */
static void close_files(struct mw_endpoint *e)
{
    __atomic_fetch_sub(&e->cfg.idle->files, e->nfiles, __ATOMIC_RELAXED);
    while (e->nfiles > 0)
        mw_scratch_close(&e->files[--e->nfiles]);
}

/* Close what nobody has used for long. The stacks are in the order of last use. */
static void sweep(struct mw_endpoint *e, uint64_t now)
{
    struct conn *old = NULL;

    if (e->cfg.idle_ms == 0)
        return;
    pthread_mutex_lock(&e->lock);
    for (unsigned i = 0; i < e->nslots; i++) {
        struct idle *s = &e->slots[i];
        struct conn **p = &s->top;

        while (*p && now - (*p)->since_ms < (uint64_t)e->cfg.idle_ms)
            p = &(*p)->next;
        while (*p) {
            struct conn *c = *p;

            *p = c->next;
            c->next = old;
            old = c;
            s->n--;
            count_idle(e, -1);
        }
    }
    if (e->nfiles > 0 && now - e->files_ms >= (uint64_t)e->cfg.idle_ms)
        close_files(e);
    pthread_mutex_unlock(&e->lock);
    close_list(old);
}

/* Now and then, whoever comes by looks at the connections of all groups. */
static void sweep_all(struct mw_idle *idle, uint64_t now)
{
    uint64_t last = __atomic_load_n(&idle->swept_ms, __ATOMIC_RELAXED);

    if (now - last < SWEEP_MS || !__atomic_compare_exchange_n(&idle->swept_ms, &last, now, 0,
                                                              __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    for (struct mw_endpoint *e = idle->first; e; e = e->next)
        sweep(e, now);
}

/* Under the lock. */
static void add_leased(struct mw_endpoint *e, struct conn *c)
{
    c->next = e->leased;
    c->back = &e->leased;
    if (c->next)
        c->next->back = &c->next;
    e->leased = c;
}

/* Under the lock. */
static void drop_leased(struct conn *c)
{
    *c->back = c->next;
    if (c->next)
        c->next->back = c->back;
    c->next = NULL;
}

/* Send one end of a fresh socket pair to the worker by way of the supervisor. */
static int hand_over(const struct mw_endpoint *e, const struct mw_claim *claim, int fd)
{
    struct mw_ctl m = {.type = MW_CTL_CONNECT,
                       .group = (uint16_t)e->cfg.group,
                       .slot = claim->slot,
                       .incarnation = claim->incarnation,
                       .text = {"", 0}};
    uint8_t bytes[MW_CTL_MAX];
    uint64_t deadline = mw_clock_deadline((uint64_t)e->cfg.connect_ms);
    int n = mw_ctl_encode(bytes, &m);
    int rv = n;

    while (n > 0) {
        rv = mw_io_send_msg(e->cfg.handover_fd, bytes, (size_t)n, fd);
        if (rv != MW_EAGAIN)
            break;
        rv = mw_io_wait(e->cfg.handover_fd, POLLOUT, deadline);
        if (rv)
            break;
    }
    return rv;
}

/* What is larger than the system allows becomes what it allows. A Unix socket's buffer counts with its
 * sender. */
static void set_buffer(int fd, int64_t n)
{
    int value = n > INT_MAX / 2 ? INT_MAX / 2 : (int)n;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof value);
}

/* Towards the worker there is room for all the credit it gives: sending a body must not wait while the
 * worker itself waits for this process to take its answer. */
static void set_buffers(const struct mw_endpoint_config *cfg, const int pair[2])
{
    set_buffer(pair[0], cfg->receive_buffer > BODY_BUFFER ? cfg->receive_buffer : BODY_BUFFER);
    set_buffer(pair[1], cfg->send_buffer ? cfg->send_buffer : ANSWER_BUFFER);
}

static int connect_worker(const struct mw_endpoint *e, const struct mw_claim *claim,
                          struct conn **out)
{
    struct mw_hello hello = {.version = MW_WIRE_VERSION,
                             .pid = (uint32_t)getpid(),
                             .incarnation = 0,
                             .data_max = MW_FRAME_DATA_MAX};
    int pair[2];
    struct conn *c;
    int rv = mw_io_socketpair(SOCK_STREAM, pair);

    if (rv)
        return rv;
    set_buffers(&e->cfg, pair);
    rv = hand_over(e, claim, pair[1]);
    mw_io_close(&pair[1]);
    c = rv ? NULL : calloc(1, sizeof *c);
    if (!c) {
        mw_io_close(&pair[0]);
        return rv ? rv : MW_ENOMEM;
    }
    mw_link_init(&c->link, pair[0], e->cfg.timeout_ms);
    c->incarnation = claim->incarnation;
    rv = mw_link_put_hello(&c->link, &hello);
    if (rv) {
        conn_close(c);
        return rv;
    }
    *out = c;
    return 0;
}

/* Lease c, or if it is NULL an idle connection, if there is one. MW_ECLOSED: leased, and httpd stops. */
static int lease_conn(struct mw_endpoint *e, const struct mw_claim *claim, struct conn **c)
{
    struct conn *stale = NULL;
    int stopped;

    pthread_mutex_lock(&e->lock);
    if (!*c)
        *c = pop_idle(e, claim, &stale);
    if (*c)
        add_leased(e, *c);
    stopped = *c && e->stopped;
    pthread_mutex_unlock(&e->lock);
    close_list(stale);
    return stopped ? MW_ECLOSED : 0;
}

void mw_endpoint_stop(struct mw_endpoint *e)
{
    mw_board_leave(e->cfg.board);
    pthread_mutex_lock(&e->lock);
    e->stopped = 1;
    for (struct conn *c = e->leased; c; c = c->next)
        shutdown(c->link.fd, SHUT_RDWR);
    pthread_mutex_unlock(&e->lock);
}

int mw_endpoint_stopped(struct mw_endpoint *e)
{
    int stopped;

    pthread_mutex_lock(&e->lock);
    stopped = e->stopped;
    pthread_mutex_unlock(&e->lock);
    return stopped;
}

uint64_t mw_endpoint_down_ms(const struct mw_endpoint *e)
{
    return mw_board_down_ms(e->cfg.board);
}

/* Nobody closes an idle connection but a worker that ends, or that was sent nonsense. What has been idle
 * for long is looked at all the same: a request that is sent on a dead one may be lost. */
static int is_doubtful(const struct conn *c)
{
    return mw_clock_ms() - c->since_ms > DOUBT_MS &&
           (mw_io_is_hung_up(c->link.fd) || mw_link_has_input(&c->link));
}

static int lease_pooled(struct mw_endpoint *e, struct mw_lease *out, struct conn **c)
{
    int rv = lease_conn(e, &out->claim, c);

    while (rv == 0 && *c && is_doubtful(*c)) {
        pthread_mutex_lock(&e->lock);
        drop_leased(*c);
        pthread_mutex_unlock(&e->lock);
        conn_close(*c);
        *c = NULL;
        rv = lease_conn(e, &out->claim, c);
    }
    return rv;
}

int mw_endpoint_lease(struct mw_endpoint *e, uint64_t deadline, struct mw_lease *out)
{
    struct conn *c = NULL;
    int rv;

    *out = (struct mw_lease){.waited = 0};
    rv = mw_board_claim(e->cfg.board, deadline, &out->claim, &out->waited);
    if (rv)
        return rv;
    rv = lease_pooled(e, out, &c);
    out->pooled = c != NULL;
    if (!c) {
        rv = connect_worker(e, &out->claim, &c);
        if (rv) {
            out->connecting = 1;
            mw_board_release(e->cfg.board, &out->claim);
            return rv;
        }
        rv = lease_conn(e, &out->claim, &c);
    }
    out->link = &c->link;
    if (rv)
        mw_endpoint_return(e, out, 0);
    return rv;
}

void mw_endpoint_return(struct mw_endpoint *e, struct mw_lease *lease, int reuse)
{
    struct conn *c = (struct conn *)lease->link;
    uint64_t now = mw_clock_ms();

    if (reuse)
        mw_link_trim(&c->link);
    pthread_mutex_lock(&e->lock);
    drop_leased(c);
    if (reuse)
        c = push_idle(e, lease->claim.slot, c, now);
    pthread_mutex_unlock(&e->lock);
    mw_board_release(e->cfg.board, &lease->claim);
    close_list(c);
    lease->link = NULL;
    sweep_all(e->cfg.idle, now);
}

void mw_endpoint_await_change(const struct mw_endpoint *e, const struct mw_claim *claim)
{
    struct mw_slot_info info;

    for (int ms = 0; ms < CHANGE_TIMEOUT_MS; ms++) {
        if (mw_board_slot(e->cfg.board, claim->slot, &info) || info.state != MW_SLOT_READY ||
            info.incarnation != claim->incarnation)
            return;
        usleep(1000);
    }
}
