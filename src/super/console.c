/*
 * console.c: see console.h. What a client sends is one message per request, decoded by wire/admin.c; what
 * it gets is one message too, sent at once or not at all.
 */
#include "console.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"
#include "log.h"

#define ACCEPTS_AT_ONCE 4
#define PAUSE_MS 200 /* without descriptors, until the next try to accept */

/* An answer in the making. */
struct reply {
    int err;
    int fd; /* to send along; -1: none */
    char text[MW_ADMIN_TEXT_MAX + 1];
};

static void MW_PRINTF(3, 4) fail(struct reply *r, int err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(r->text, sizeof r->text, fmt, args);
    va_end(args);
    r->err = err;
}

/* -- the list -- */

/* A slot of which there is nothing to say. */
static int is_spare(const struct mw_child *ch)
{
    return ch->pol->state == MW_POL_IDLE && !ch->pol->wanted;
}

static struct mw_str str(const char *s)
{
    return (struct mw_str){s, strlen(s)};
}

/* Why its successor could not start, why it is to be replaced, or why it could not start itself. */
static const char *what_it_says(const struct mw_child *ch)
{
    if (ch->failure[0])
        return ch->failure;
    return ch->cause[0] ? ch->cause : ch->why;
}

static uint8_t phase_of(const struct mw_policy *p)
{
    if (mw_policy_serves(p))
        return MW_ADMIN_SERVES;
    if (p->state == MW_POL_STARTING)
        return MW_ADMIN_STARTS;
    return mw_policy_alive(p) ? MW_ADMIN_LEAVES : MW_ADMIN_ABSENT;
}

static void put_worker(struct mw_buf *b, const struct mw_console *c, const struct mw_child *ch)
{
    uint64_t now = mw_clock_ms();
    struct mw_slot_info info = {.claimed = 0};
    struct mw_admin_worker w = {.slot = (uint16_t)ch->slot,
                                .incarnation = ch->incarnation,
                                .pid = ch->pid > 0 ? (uint32_t)ch->pid : 0,
                                .phase = phase_of(ch->pol),
                                .state = str(mw_policy_state_name(ch->pol->state)),
                                .started = ch->started,
                                .failed = ch->failed,
                                .age_ms = MW_ADMIN_NEVER,
                                .due_ms = MW_ADMIN_NEVER,
                                .fails = ch->pol->fails,
                                .why = str(what_it_says(ch))};

    if (ch->pid > 0 && ch->started_ms)
        w.age_ms = now - ch->started_ms;
    if (ch->pol->due != MW_NO_DEADLINE)
        w.due_ms = ch->pol->due > now ? ch->pol->due - now : 0;
    if (ch->pid > 0 && mw_board_slot(mw_fleet_board(c->fleet, ch), ch->slot, &info) == 0) {
        w.claimed = info.claimed;
        w.busy = info.busy;
    }
    mw_admin_put_worker(b, &w);
}

static void put_group(struct mw_buf *b, const struct mw_console *c, unsigned group)
{
    const struct mw_super_group *sg = &c->fleet->cfg->groups[group];
    struct mw_admin_group g = {.name = str(sg->spec->name),
                               .processes = mw_spec_processes(sg->spec),
                               .threads = (uint32_t)sg->spec->threads,
                               .waiting = mw_board_waiting(sg->board),
                               .drained = (uint8_t)mw_fleet_is_drained(c->fleet, group)};
    size_t from = c->fleet->cs.first[group], to = c->fleet->cs.first[group + 1u];

    for (size_t i = from; i < to; i++)
        g.nworkers += !is_spare(&c->fleet->cs.v[i]);
    mw_admin_put_group(b, &g);
    for (size_t i = from; i < to; i++) {
        if (!is_spare(&c->fleet->cs.v[i]))
            put_worker(b, c, &c->fleet->cs.v[i]);
    }
}

static void list(struct mw_console *c, struct reply *r)
{
    struct mw_admin_list head = {.pid = (uint32_t)getpid(),
                                 .age_ms = mw_clock_ms() - c->started_ms,
                                 .starts = c->fleet->starts,
                                 .ending = c->fleet->ending != 0,
                                 .ngroups = c->fleet->cfg->ngroups};
    struct mw_buf b;

    mw_buf_init(&b, MW_ADMIN_LIST_MAX);
    mw_admin_put_list(&b, &head);
    for (unsigned g = 0; g < c->fleet->cfg->ngroups; g++)
        put_group(&b, c, g);
    int rv = b.err;
    if (rv == 0)
        rv = mw_io_file_of("wsgi-list", mw_buf_data(&b), mw_buf_size(&b), &r->fd);
    if (rv)
        fail(r, rv, "the list cannot be made: %s%s%s", mw_err_text(rv), rv == MW_EIO ? ": " : "",
             rv == MW_EIO ? strerror(errno) : "");
    mw_buf_fini(&b);
}

/* -- one worker -- */

static int find_group(const struct mw_console *c, struct mw_str name)
{
    for (unsigned g = 0; g < c->fleet->cfg->ngroups; g++) {
        const char *have = c->fleet->cfg->groups[g].spec->name;
        if (strlen(have) == name.n && memcmp(have, name.p, name.n) == 0)
            return (int)g;
    }
    return -1;
}

static struct mw_child *find_worker(struct mw_console *c, const struct mw_admin_ask *ask, int group,
                                    struct reply *r)
{
    struct mw_child *ch = mw_child_at(&c->fleet->cs, (unsigned)group, ask->slot);

    if (!ch || ch->pid <= 0 || (ask->incarnation && ask->incarnation != ch->incarnation)) {
        fail(r, MW_ENOENT, "there is no such worker any more");
        return NULL;
    }
    return ch;
}

static int is_pipe(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* The worker writes into the pipe; nothing of that passes through this process. */
static void pass_pipe(struct mw_console *c, const struct mw_admin_ask *ask, int group, int pipe,
                      struct reply *r)
{
    struct mw_child *ch = find_worker(c, ask, group, r);
    uint8_t msg[MW_CTL_MAX];

    if (!ch)
        return;
    struct mw_ctl ctl = {.type = ask->op == MW_ADMIN_REPORT ? MW_CTL_REPORT : MW_CTL_STACKS,
                         .group = (uint16_t)ch->group,
                         .slot = (uint16_t)ch->slot,
                         .incarnation = ch->incarnation};
    int n = mw_ctl_encode(msg, &ctl);

    if (!is_pipe(pipe))
        fail(r, MW_EINVAL, "the request carries no pipe");
    else if (ch->control < 0)
        fail(r, MW_ECLOSED, "the worker cannot be reached; it was left behind, or it is ending");
    else if (n < 0 || mw_io_send_msg(ch->control, msg, (size_t)n, pipe))
        fail(r, MW_EAGAIN, "the worker does not read its messages");
}

/* -- orders -- */

/* Those that serve, or are about to: one that starts may have read old code; one that waits for its next
 * start because others failed is started now. */
static int is_meant(const struct mw_child *ch, const struct mw_admin_ask *ask)
{
    int there = mw_policy_serves(ch->pol) || ch->pol->state == MW_POL_STARTING ||
                ch->pol->state == MW_POL_WAITING;

    return there && (ask->slot == MW_ADMIN_ALL || ask->slot == ch->slot) &&
           (!ask->incarnation || ask->incarnation == ch->incarnation);
}

static void replace(struct mw_console *c, const struct mw_admin_ask *ask, int group,
                    struct reply *r)
{
    const struct mw_children *cs = &c->fleet->cs;
    uint64_t before = c->fleet->starts;
    unsigned n = 0;

    for (size_t i = cs->first[group]; i < cs->first[group + 1]; i++) {
        if (cs->v[i].started > before || !is_meant(&cs->v[i], ask))
            continue; /* or it is what takes another one's place already */
        mw_fleet_replace(c->fleet, &cs->v[i], "an operator asked for it");
        n++;
    }
    if (n)
        mw_log(MW_LOG_NOTICE, "WSGI0780",
               "an operator has asked for new processes in group '%s', in place of %u",
               ask->group.p, n);
    else if (mw_fleet_is_drained(c->fleet, (unsigned)group))
        fail(r, MW_ESTATE, "the group is drained; its next processes come with resume");
    else
        fail(r, MW_ENOENT, "no process is there that could be replaced");
}

static void drain(struct mw_console *c, int group)
{
    if (mw_fleet_is_drained(c->fleet, (unsigned)group))
        return;
    mw_log(MW_LOG_NOTICE, "WSGI0784",
           "an operator has drained group '%s'; its requests get 503 until it is resumed",
           c->fleet->cfg->groups[group].spec->name);
    mw_fleet_drain(c->fleet, (unsigned)group);
}

static void resume(struct mw_console *c, int group)
{
    if (!mw_fleet_is_drained(c->fleet, (unsigned)group))
        return;
    mw_log(MW_LOG_NOTICE, "WSGI0785", "an operator has resumed group '%s'",
           c->fleet->cfg->groups[group].spec->name);
    mw_fleet_want(c->fleet, (unsigned)group);
}

/* Orders are for a server that goes on. */
static void order(struct mw_console *c, const struct mw_admin_ask *ask, int group, struct reply *r)
{
    if (c->fleet->ending)
        fail(r, MW_ESTATE, "httpd is stopping or has been restarted; its workers leave anyway");
    else if (ask->op == MW_ADMIN_DRAIN)
        drain(c, group);
    else if (ask->op == MW_ADMIN_RESUME)
        resume(c, group);
    else
        replace(c, ask, group, r);
}

static void obey(struct mw_console *c, const struct mw_admin_ask *ask, int pass, struct reply *r)
{
    int group = ask->op == MW_ADMIN_LIST ? 0 : find_group(c, ask->group);

    if (group < 0) {
        fail(r, MW_ENOENT, "there is no daemon group of this name");
        return;
    }
    switch (ask->op) {
    case MW_ADMIN_LIST:
        list(c, r);
        break;
    case MW_ADMIN_REPORT:
    case MW_ADMIN_STACKS:
        pass_pipe(c, ask, group, pass, r);
        break;
    default:
        order(c, ask, group, r);
    }
}

/* -- clients -- */

static int may_ask(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
           (who.uid == 0 || who.uid == getuid());
}

static struct mw_console_client *place(struct mw_console *c)
{
    struct mw_console_client *oldest = &c->client[0];

    for (size_t i = 0; i < MW_CONSOLE_CLIENTS_MAX; i++) {
        struct mw_console_client *cl = &c->client[i];
        if (cl->fd < 0)
            return cl;
        if (cl->last_ms < oldest->last_ms)
            oldest = cl;
    }
    mw_io_close_given(&oldest->fd);
    return oldest;
}

static void admit(struct mw_console *c, int fd)
{
    if (!may_ask(fd) || mw_io_nonblock(fd, 1)) {
        mw_log(MW_LOG_WARNING, "WSGI0781",
               "a client of the control socket was refused: it is neither root nor the user that "
               "started httpd");
        mw_io_close_given(&fd);
        return;
    }
    struct mw_console_client *cl = place(c);
    cl->fd = fd;
    cl->last_ms = mw_clock_ms();
}

static void accept_clients(struct mw_console *c)
{
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(c, fd);
            continue;
        }
        /* Whoever waits there stays, and poll would say so for ever. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            c->pause_ms = mw_clock_deadline(PAUSE_MS);
        return;
    }
}

/* 0, or the client is to be closed. */
static int answer(int fd, const struct mw_admin_ask *ask, struct reply *r)
{
    uint8_t msg[MW_ADMIN_MAX];
    struct mw_admin_answer a = {.op = ask->op, .err = r->err, .text = str(r->text)};
    int n = mw_admin_answer_encode(msg, &a);

    return n < 0 ? n : mw_io_send_msg(fd, msg, (size_t)n, r->fd);
}

static void hear(struct mw_console *c, struct mw_console_client *cl)
{
    uint8_t msg[MW_ADMIN_MAX];
    struct reply r = {.fd = -1};
    struct mw_admin_ask ask;
    int pass = -1;
    ssize_t n = mw_io_recv_msg(cl->fd, msg, sizeof msg, &pass);

    if (n == MW_EAGAIN)
        return;
    int rv = n < 0 ? (int)n : mw_admin_ask_decode(&ask, msg, (size_t)n);
    if (rv == 0) {
        cl->last_ms = mw_clock_ms();
        obey(c, &ask, pass, &r);
        rv = answer(cl->fd, &ask, &r);
    }
    mw_io_close(&r.fd);
    mw_io_close_given(&pass);
    if (rv)
        mw_io_close_given(&cl->fd);
}

/* -- for the loop -- */

void mw_console_init(struct mw_console *c, int listen_fd, struct mw_fleet *fleet)
{
    *c = (struct mw_console){.fleet = fleet, .started_ms = mw_clock_ms(), .listen_fd = listen_fd};
    for (size_t i = 0; i < MW_CONSOLE_CLIENTS_MAX; i++)
        c->client[i].fd = -1;
}

void mw_console_fini(struct mw_console *c)
{
    for (size_t i = 0; i < MW_CONSOLE_CLIENTS_MAX; i++)
        mw_io_close_given(&c->client[i].fd);
}

uint64_t mw_console_fill(struct mw_console *c, struct pollfd pf[MW_CONSOLE_POLLS])
{
    int paused = c->pause_ms && mw_clock_ms() < c->pause_ms;

    if (!paused)
        c->pause_ms = 0;
    pf[0] = (struct pollfd){.fd = paused ? -1 : c->listen_fd, .events = POLLIN};
    for (size_t i = 0; i < MW_CONSOLE_CLIENTS_MAX; i++)
        pf[1 + i] = (struct pollfd){.fd = c->client[i].fd, .events = POLLIN};
    return paused ? c->pause_ms : MW_NO_DEADLINE;
}

void mw_console_event(struct mw_console *c, const struct pollfd pf[MW_CONSOLE_POLLS])
{
    for (size_t i = 0; i < MW_CONSOLE_CLIENTS_MAX; i++) {
        if (pf[1 + i].revents && c->client[i].fd == pf[1 + i].fd)
            hear(c, &c->client[i]);
    }
    if (pf[0].revents)
        accept_clients(c);
}
