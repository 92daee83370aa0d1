/*
 * client.c: sends requests at given times and says how long each took; ./dev bench measures delays with it.
 *
 * An open loop: a request is due when the schedule says so, however slow the answers are, and its
 * latency counts from then on, so that a server which falls behind cannot slow its clients down. One
 * thread, one epoll, connections kept alive; the connection that was used last is used next.
 *
 *   client PORT CONNECTIONS SECONDS [HEADER-FIELD...] <schedule >results
 *
 * A line of the schedule is a time in microseconds and a path, in order of time. A line of the results
 * is the latency in microseconds and the status, in the same order; a status of 0 says that there was no
 * answer: refused, broken off, or not complete SECONDS after the last request was due.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 8192u
#define REQUEST_MAX 16384u
#define EVENTS_MAX 256
#define UNTIL_END UINT64_MAX /* a body without a length */

struct request {
    int64_t due_us;
    int64_t latency_us;
    int status; /* 0 = none yet */
    char *path;
};

struct conn {
    int fd; /* -1 = not open */
    struct request *request;
    bool sent;
    bool reused; /* had an answer before this request */
    bool close;  /* the server will close it after this answer */
    bool in_body;
    uint64_t left; /* of the body */
    size_t nhead;
    char head[HEAD_MAX + 1];
};

struct client {
    int epoll, timer;
    uint16_t port;
    int64_t start_us;
    struct request *requests;
    size_t count, due, started, finished;
    struct conn *conns;
    struct conn **idle; /* a stack; at its bottom those that are not open */
    size_t nidle;
    char fields[REQUEST_MAX];
};

static void fail(const char *what)
{
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void *need(void *memory)
{
    if (!memory)
        fail("memory");
    return memory;
}

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void read_schedule(struct client *cl)
{
    size_t room = 0, size = 0;
    char *line = NULL;
    ssize_t n;
    while ((n = getline(&line, &size, stdin)) > 0) {
        char *path = strchr(line, ' ');
        if (!path || line[n - 1] != '\n') {
            fprintf(stderr, "client: a line of the schedule is a time and a path\n");
            exit(2);
        }
        line[n - 1] = '\0';
        if (cl->count == room) {
            room = room ? room * 2 : 1024;
            cl->requests = need(realloc(cl->requests, room * sizeof *cl->requests));
        }
        struct request rq = {strtoll(line, NULL, 10), 0, 0, need(strdup(path + 1))};
        cl->requests[cl->count++] = rq;
    }
    free(line);
}

/* ---- one connection */

static void conn_close(struct conn *cn)
{
    if (cn->fd >= 0)
        close(cn->fd);
    cn->fd = -1;
}

static void conn_open(struct client *cl, struct conn *cn)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(cl->port)};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (cn->fd < 0)
        fail("socket");
    setsockopt(cn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(cn->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        fail("connect");
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = cn};
    if (epoll_ctl(cl->epoll, EPOLL_CTL_ADD, cn->fd, &ev))
        fail("epoll_ctl");
}

/* A request is smaller than any socket's buffer: it is sent as a whole, or not yet. */
static void conn_send(struct client *cl, struct conn *cn)
{
    char text[2 * REQUEST_MAX];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n",
                     cn->request->path, cl->port, cl->fields);
    if (n < 0 || (size_t)n >= sizeof text) {
        errno = EMSGSIZE;
        fail("request");
    }
    ssize_t sent = send(cn->fd, text, (size_t)n, MSG_NOSIGNAL);
    cn->sent = sent == n;
}

/* Begin `rq` on `cn`, on a new socket unless it has one. */
static void conn_begin(struct client *cl, struct conn *cn, struct request *rq)
{
    cn->request = rq;
    cn->sent = cn->close = cn->in_body = false;
    cn->nhead = 0;
    cn->reused = cn->fd >= 0;
    if (!cn->reused)
        conn_open(cl, cn);
    conn_send(cl, cn);
}

/* The answer is complete, or with status 0 there is none. */
static void conn_finish(struct client *cl, struct conn *cn, int status)
{
    cn->request->status = status;
    cn->request->latency_us = now_us() - cl->start_us - cn->request->due_us;
    cn->request = NULL;
    cl->finished++;
    if (!status || cn->close)
        conn_close(cn);
    if (cl->started < cl->due)
        conn_begin(cl, cn, &cl->requests[cl->started++]);
    else
        cl->idle[cl->nidle++] = cn;
}

/* The other side closed. A connection that was idle may be closed just then: the request is sent again. */
static void conn_ended(struct client *cl, struct conn *cn)
{
    bool whole = cn->in_body && cn->left == UNTIL_END;
    if (!cn->request) {
        conn_close(cn);
    } else if (cn->reused && !cn->nhead && !cn->in_body) {
        conn_close(cn);
        conn_begin(cl, cn, cn->request);
    } else {
        cn->close = true;
        conn_finish(cl, cn, whole ? cn->request->status : 0);
    }
}

/* ---- answers */

static const char *field(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, n) && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return NULL;
}

static int parse_head(struct conn *cn)
{
    int status = 0;
    if (sscanf(cn->head, "HTTP/1.1 %3d", &status) != 1 || field(cn->head, "Transfer-Encoding")) {
        fprintf(stderr, "client: not an answer with a length:\n%s", cn->head);
        exit(2);
    }
    const char *length = field(cn->head, "Content-Length");
    const char *connection = field(cn->head, "Connection");
    cn->close = connection && !strncasecmp(connection, "close", 5);
    cn->left = length ? strtoull(length, NULL, 10) : UNTIL_END;
    cn->in_body = true;
    return status;
}

/* Take n bytes of the head; what lies behind it is counted as body. True when the head is complete. */
static bool feed_head(struct conn *cn, const char *bytes, size_t *n)
{
    size_t had = cn->nhead, take = *n < HEAD_MAX - had ? *n : HEAD_MAX - had;
    memcpy(cn->head + had, bytes, take);
    cn->nhead += take;
    cn->head[cn->nhead] = '\0';
    char *end = strstr(cn->head, "\r\n\r\n");
    if (!end) {
        *n = 0;
        return false;
    }
    *n -= (size_t)(end + 4 - cn->head) - had;
    end[2] = '\0';
    cn->request->status = parse_head(cn);
    return true;
}

static void feed(struct client *cl, struct conn *cn, const char *bytes, size_t n)
{
    if (!cn->request)
        return; /* after its answer: conn_ended will say */
    if (!cn->in_body && !feed_head(cn, bytes, &n))
        return;
    if (cn->left == UNTIL_END)
        return;
    cn->left -= n < cn->left ? n : cn->left;
    if (!cn->left)
        conn_finish(cl, cn, cn->request->status);
}

static void conn_ready(struct client *cl, struct conn *cn)
{
    char bytes[65536];
    if (cn->request && !cn->sent)
        conn_send(cl, cn);
    int fd = cn->fd;
    while (cn->fd >= 0 && cn->fd == fd) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n > 0) {
            feed(cl, cn, bytes, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else {
            conn_ended(cl, cn);
            return;
        }
    }
}

/* ---- the schedule */

static void arm(struct client *cl)
{
    if (cl->due == cl->count)
        return;
    int64_t at = cl->start_us + cl->requests[cl->due].due_us;
    struct itimerspec when = {.it_value = {at / 1000000, at % 1000000 * 1000}};
    if (timerfd_settime(cl->timer, TFD_TIMER_ABSTIME, &when, NULL))
        fail("timerfd_settime");
}

static void launch(struct client *cl)
{
    int64_t passed = now_us() - cl->start_us;
    while (cl->due < cl->count && cl->requests[cl->due].due_us <= passed)
        cl->due++;
    while (cl->started < cl->due && cl->nidle)
        conn_begin(cl, cl->idle[--cl->nidle], &cl->requests[cl->started++]);
    arm(cl);
}

static void run(struct client *cl, int64_t patience_us)
{
    struct epoll_event ev[EVENTS_MAX];
    int64_t last = cl->requests[cl->count - 1].due_us + patience_us;
    launch(cl);
    while (cl->finished < cl->count && now_us() - cl->start_us < last) {
        int n = epoll_wait(cl->epoll, ev, EVENTS_MAX, 100);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr)
                conn_ready(cl, ev[i].data.ptr);
            else
                launch(cl);
        }
    }
}

static void set_up(struct client *cl, size_t connections, char **fields)
{
    size_t n = 0;
    for (; *fields; fields++) {
        int more = snprintf(cl->fields + n, sizeof cl->fields - n, "%s\r\n", *fields);
        if (more < 0 || (size_t)more >= sizeof cl->fields - n) {
            errno = EMSGSIZE;
            fail("header fields");
        }
        n += (size_t)more;
    }
    cl->conns = need(calloc(connections, sizeof *cl->conns));
    cl->idle = need(calloc(connections, sizeof(struct conn *)));
    for (; cl->nidle < connections; cl->nidle++) {
        cl->conns[cl->nidle].fd = -1;
        cl->idle[cl->nidle] = &cl->conns[cl->nidle];
    }
    cl->epoll = epoll_create1(EPOLL_CLOEXEC);
    cl->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
    if (cl->epoll < 0 || cl->timer < 0 || epoll_ctl(cl->epoll, EPOLL_CTL_ADD, cl->timer, &ev))
        fail("epoll");
    cl->start_us = now_us() + 10000;
}

int main(int argc, char **argv)
{
    struct client *cl = need(calloc(1, sizeof *cl));
    if (argc < 4 || atol(argv[1]) < 1 || atol(argv[2]) < 1 || atol(argv[3]) < 1) {
        fprintf(stderr, "usage: client PORT CONNECTIONS SECONDS [HEADER-FIELD...]\n");
        return 2;
    }
    cl->port = (uint16_t)atol(argv[1]);
    read_schedule(cl);
    if (!cl->count)
        return 0;
    set_up(cl, (size_t)atol(argv[2]), argv + 4);
    run(cl, (int64_t)atol(argv[3]) * 1000000);
    for (size_t i = 0; i < cl->count; i++) {
        struct request *rq = &cl->requests[i];
        printf("%lld %d\n", (long long)rq->latency_us, rq->latency_us ? rq->status : 0);
    }
    return 0;
}
