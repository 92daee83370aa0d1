/*
 * talk.c: see talk.h.
 */
#include "talk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"

#define AT_ONCE 32 /* workers that are asked at the same time */
#define SAID_MAX (4u << 20)
#define READ_STEP 65536u

static int MW_PRINTF(3, 4) fail(struct mw_client *c, int err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(c->why, sizeof c->why, fmt, args);
    va_end(args);
    return err;
}

/* -- the supervisor -- */

/* Whoever could put a socket at the path would be asked in its place. */
static int is_trusted(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
           (who.uid == 0 || who.uid == geteuid());
}

int mw_client_connect(struct mw_client *c, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof sa.sun_path)
        return fail(c, MW_EINVAL, "%s: the path is too long for a socket", path);
    memcpy(sa.sun_path, path, strlen(path));
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof sa)) {
        const char *hint = "";
        if (errno == ENOENT)
            hint =
                "; is httpd running with a daemon group? WSGIControlSocket says where it listens";
        else if (errno == EACCES)
            hint = "; only root and the user that started httpd may ask";
        else if (errno == ECONNREFUSED)
            hint = "; nobody listens there any more";
        (void)fail(c, MW_EIO, "%s: %s%s", path, strerror(errno), hint);
        mw_client_close(c);
        return MW_EIO;
    }
    if (!is_trusted(c->fd)) {
        mw_client_close(c);
        return fail(c, MW_EPROTO, "%s: it is another user's, not root's; not used", path);
    }
    return 0;
}

void mw_client_close(struct mw_client *c)
{
    mw_io_close(&c->fd);
}

static const char closed[] =
    "the supervisor has closed the connection: it ends, or does not listen to this user";

/* There is nobody to ask any more. */
static int lost(struct mw_client *c, const char *why)
{
    mw_client_close(c);
    return fail(c, MW_ECLOSED, "%s", why);
}

/* One request and its answer; *fd_r: the descriptor that came with it, or -1. Returns what the answer
 * says. */
static int ask(struct mw_client *c, const struct mw_admin_ask *a, int pass, int *fd_r)
{
    uint8_t msg[MW_ADMIN_MAX];
    struct mw_admin_answer answer;
    int n = mw_admin_ask_encode(msg, a);

    *fd_r = -1;
    if (n < 0)
        return fail(c, n, "the request cannot be made: %s", mw_err_text(n));
    if (mw_io_send_msg(c->fd, msg, (size_t)n, pass))
        return lost(c, closed);
    int rv = mw_io_wait(c->fd, POLLIN, mw_clock_deadline((uint64_t)c->patience_ms));
    if (rv)
        return lost(c, "the supervisor does not answer");
    ssize_t got = mw_io_recv_msg(c->fd, msg, sizeof msg, fd_r);
    if (got < 0)
        return lost(c, closed);
    if (mw_admin_answer_decode(&answer, msg, (size_t)got) || answer.op != a->op) {
        mw_io_close(fd_r);
        return lost(c, "the supervisor is of another version of mod_wsgi");
    }
    if (answer.err)
        (void)fail(c, answer.err, "%s", answer.text.p);
    return answer.err;
}

int mw_client_order(struct mw_client *c, const struct mw_admin_ask *a)
{
    int fd = -1;
    int rv = ask(c, a, -1, &fd);

    mw_io_close(&fd);
    return rv;
}

/* -- the list -- */

static int read_file(int fd, struct mw_buf *b)
{
    struct stat st;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 0 || st.st_size > MW_ADMIN_LIST_MAX)
        return MW_EPROTO;
    size_t left = (size_t)st.st_size;
    uint8_t *to = mw_buf_reserve(b, left ? left : 1);
    if (!to)
        return b->err;
    if (pread(fd, to, left, 0) != (ssize_t)left)
        return MW_EIO;
    mw_buf_commit(b, left);
    return 0;
}

static int decode_group(struct mw_cur *c, struct mw_client_group *g)
{
    mw_admin_get_group(c, &g->g);
    /* A worker's record has some bytes, so the count is not larger than what is left. */
    if (c->err || g->g.nworkers > mw_cur_left(c)) {
        g->g.nworkers = 0;
        return MW_EPROTO;
    }
    g->workers = calloc(g->g.nworkers + 1u, sizeof *g->workers);
    if (!g->workers) {
        g->g.nworkers = 0;
        return MW_ENOMEM;
    }
    for (uint32_t i = 0; i < g->g.nworkers; i++) {
        mw_admin_get_worker(c, &g->workers[i].w);
        g->workers[i].group = g;
        mw_buf_init(&g->workers[i].said, SAID_MAX);
        mw_buf_init(&g->workers[i].stack, SAID_MAX);
    }
    return c->err;
}

static int decode_list(struct mw_client_list *l)
{
    struct mw_cur c;
    int rv = 0;

    mw_cur_init(&c, mw_buf_data(&l->bytes), mw_buf_size(&l->bytes));
    mw_admin_get_list(&c, &l->head);
    if (c.err || l->head.ngroups > mw_cur_left(&c)) {
        l->head.ngroups = 0;
        return MW_EPROTO;
    }
    l->groups = calloc(l->head.ngroups + 1u, sizeof *l->groups);
    if (!l->groups) {
        l->head.ngroups = 0;
        return MW_ENOMEM;
    }
    for (uint32_t i = 0; rv == 0 && i < l->head.ngroups; i++)
        rv = decode_group(&c, &l->groups[i]);
    return rv ? rv : mw_cur_end(&c);
}

int mw_client_list(struct mw_client *c, struct mw_client_list *out)
{
    const struct mw_admin_ask a = {.op = MW_ADMIN_LIST, .group = MW_STR("")};
    int fd = -1;
    int rv = ask(c, &a, -1, &fd);

    *out = (struct mw_client_list){.groups = NULL};
    mw_buf_init(&out->bytes, MW_ADMIN_LIST_MAX);
    if (rv == 0) {
        rv = read_file(fd, &out->bytes);
        if (rv == 0)
            rv = decode_list(out);
        if (rv)
            (void)fail(c, rv, "the supervisor's list cannot be read: %s", mw_err_text(rv));
    }
    mw_io_close(&fd);
    if (rv)
        mw_client_list_fini(out);
    return rv;
}

void mw_client_list_fini(struct mw_client_list *l)
{
    for (uint32_t g = 0; g < l->head.ngroups; g++) {
        for (uint32_t i = 0; i < l->groups[g].g.nworkers; i++) {
            mw_buf_fini(&l->groups[g].workers[i].said);
            mw_buf_fini(&l->groups[g].workers[i].stack);
            free(l->groups[g].workers[i].requests);
        }
        free(l->groups[g].workers);
    }
    free(l->groups);
    mw_buf_fini(&l->bytes);
    *l = (struct mw_client_list){.groups = NULL};
}

/* -- workers -- */

/* Ask the worker to write into a pipe; *fd_r is the other end, or -1 with w->problem. */
static int open_pipe(struct mw_client *c, uint8_t op, struct mw_client_worker *w, int *fd_r)
{
    struct mw_admin_ask a = {
        .op = op, .slot = w->w.slot, .incarnation = w->w.incarnation, .group = w->group->g.name};
    int p[2], none = -1;

    *fd_r = -1;
    if (mw_io_pipe(p))
        return fail(c, MW_EIO, "pipe: %s", strerror(errno));
    /* All of it at once, if we may; the worker does not wait for us. */
    (void)!fcntl(p[1], F_SETPIPE_SZ, (int)MW_ADMIN_REPORT_MAX);
    int rv = ask(c, &a, p[1], &none);
    mw_io_close(&none);
    mw_io_close(&p[1]);
    if (rv == 0)
        rv = mw_io_nonblock(p[0], 1);
    if (rv) {
        mw_io_close(&p[0]);
        w->problem = rv == MW_EAGAIN ? "does not read its messages" : "has gone or is ending";
        w->gone = rv != MW_EAGAIN;
        return rv == MW_ECLOSED && c->fd < 0 ? rv : 0;
    }
    *fd_r = p[0];
    return 0;
}

static struct mw_buf *buffer(struct mw_client_worker *w, uint8_t op)
{
    return op == MW_ADMIN_REPORT ? &w->said : &w->stack;
}

/* Take what is there. 0: more may come. */
static int take(struct mw_buf *to, int fd)
{
    for (;;) {
        uint8_t *at = mw_buf_reserve(to, READ_STEP);
        if (!at)
            return MW_ELIMIT;
        ssize_t n = read(fd, at, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return n < 0 ? MW_EIO : MW_ECLOSED;
        mw_buf_commit(to, (size_t)n);
    }
}

static void listen_to(struct mw_client *c, uint8_t op, struct mw_client_worker **v, int *fd,
                      size_t n)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)c->patience_ms);
    struct pollfd pf[AT_ONCE];

    for (;;) {
        size_t open = 0;
        for (size_t i = 0; i < n; i++) {
            pf[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
            open += fd[i] >= 0;
        }
        if (open == 0)
            return;
        int rc = poll(pf, (nfds_t)n, mw_clock_poll_ms(deadline));
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc <= 0)
            break;
        for (size_t i = 0; i < n; i++) {
            if (fd[i] >= 0 && pf[i].revents && take(buffer(v[i], op), fd[i]))
                mw_io_close(&fd[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (fd[i] < 0)
            continue;
        v[i]->silent = 1;
        mw_io_close(&fd[i]);
    }
}

static int hear_some(struct mw_client *c, uint8_t op, struct mw_client_worker **v, size_t n)
{
    int fd[AT_ONCE];
    int rv = 0;

    for (size_t i = 0; i < n; i++) {
        fd[i] = -1;
        v[i]->problem = NULL;
        v[i]->silent = 0;
        mw_buf_clear(buffer(v[i], op));
        if (rv == 0)
            rv = open_pipe(c, op, v[i], &fd[i]);
    }
    listen_to(c, op, v, fd, n);
    return rv;
}

static int hear(struct mw_client *c, uint8_t op, struct mw_client_worker **v, size_t n)
{
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < n; i += AT_ONCE)
        rv = hear_some(c, op, v + i, n - i < AT_ONCE ? n - i : AT_ONCE);
    return rv;
}

static int decode_report(struct mw_client_worker *w)
{
    struct mw_cur c;

    mw_cur_init(&c, mw_buf_data(&w->said), mw_buf_size(&w->said));
    mw_admin_get_report(&c, &w->report);
    if (c.err || w->report.nrequests > mw_cur_left(&c))
        return MW_EPROTO;
    w->requests = calloc(w->report.nrequests + 1u, sizeof *w->requests);
    if (!w->requests)
        return MW_ENOMEM;
    for (uint32_t i = 0; i < w->report.nrequests; i++)
        mw_admin_get_request(&c, &w->requests[i]);
    return mw_cur_end(&c);
}

int mw_client_reports(struct mw_client *c, struct mw_client_worker **v, size_t n)
{
    int rv = hear(c, MW_ADMIN_REPORT, v, n);

    for (size_t i = 0; i < n; i++) {
        if (v[i]->problem)
            continue;
        if (v[i]->silent || mw_buf_size(&v[i]->said) == 0)
            v[i]->problem = "does not answer";
        else if (decode_report(v[i]))
            v[i]->problem = "answers with what is no report";
        if (v[i]->problem)
            v[i]->report.nrequests = 0;
    }
    return rv;
}

int mw_client_stacks(struct mw_client *c, struct mw_client_worker **v, size_t n)
{
    int rv = hear(c, MW_ADMIN_STACKS, v, n);

    for (size_t i = 0; i < n; i++) {
        if (!v[i]->problem && mw_buf_size(&v[i]->stack) == 0)
            v[i]->problem = "does not answer";
    }
    return rv;
}
