/*
 * Connections and the threads that take them: no byte is left lying, wherever it comes between the turns
 * of two threads, and nobody wakes for what is another one's.
 */
#include "samples.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "intake.h"
#include "board.h"
#include "clock.h"
#include "io.h"

#define SECONDS 20 /* after which something hangs */

static const struct mw_hello hello = {.version = 1, .pid = 1, .incarnation = 1, .data_max = 65536};

struct rig {
    struct mw_intake in;
    struct mw_board *board;
};

static int set_up(void **state)
{
    static struct rig r;
    struct mw_board_size size = {.slots = 1, .threads = 1, .members = 1, .cells = 1};

    alarm(SECONDS * 3);
    assert_int_equal(mw_intake_init(&r.in), 0);
    assert_int_equal(mw_board_create(&r.board, &size), 0);
    *state = &r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;

    assert_int_equal(mw_intake_conns(&r->in), 0);
    mw_intake_fini(&r->in);
    mw_board_destroy(&r->board);
    alarm(0);
    return 0;
}

/* A new connection; returns the client's end, from which HELLO was read. */
static int join(struct rig *r)
{
    uint8_t greeting[MW_FRAME_HDR + MW_HELLO_SIZE];
    int pair[2];

    assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
    assert_int_equal(mw_intake_add(&r->in, pair[1], 0, r->board, 0, &hello), 0);
    assert_int_equal(recv(pair[0], greeting, sizeof greeting, MSG_WAITALL), sizeof greeting);
    return pair[0];
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static struct mw_conn *next(struct rig *r)
{
    struct mw_conn *c = NULL;

    assert_int_equal(mw_intake_next(&r->in, &c), 0);
    return c;
}

/* All that has come on the connection. */
static size_t hear(struct mw_conn *c)
{
    char buf[100];
    size_t all = 0;
    ssize_t n;

    while ((n = mw_io_recv_now(c->link.fd, buf, sizeof buf)) > 0)
        all += (size_t)n;
    return all;
}

/* -- a thread with nothing else to do -- */

struct idler {
    pthread_t id;
    struct rig *r;
    struct mw_conn *got;
};

static void *idle(void *arg)
{
    struct idler *t = arg;

    t->got = next(t->r);
    return NULL;
}

static void start(struct idler *t, struct rig *r)
{
    t->r = r;
    assert_int_equal(pthread_create(&t->id, NULL, idle, t), 0);
}

/* It gets this connection, and whatever came before it was reported to that thread, too. */
static void must_get(struct idler *t, int client)
{
    say(client, "!");
    pthread_join(t->id, NULL);
    assert_int_equal(hear(t->got), 1);
    assert_int_equal(mw_intake_put_back(&t->r->in, t->got), 0);
}

static void hang_up(struct rig *r, int client)
{
    close(client);
    mw_intake_drop(&r->in, next(r));
}

/* -- one byte at each moment -- */

static void test_intake_01_before_and_after_a_turn(void **state)
{
    struct rig *r = *state;
    int client = join(r);

    for (int i = 0; i < 3; i++) {
        say(client, "a");
        struct mw_conn *c = next(r);
        assert_int_equal(hear(c), 1);
        assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    }
    hang_up(r, client);
}

/* All threads are busy: the kernel keeps the news until one asks. */
static void test_intake_02_after_the_owner_has_looked(void **state)
{
    struct rig *r = *state;
    int client = join(r);

    say(client, "a");
    struct mw_conn *c = next(r);
    assert_int_equal(hear(c), 1);
    say(client, "b");
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    assert_ptr_equal(next(r), c);
    assert_int_equal(hear(c), 1);
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    hang_up(r, client);
}

/* Another thread gets the news and the owner has to look again. */
static void test_intake_03_while_another_thread_is_idle(void **state)
{
    struct rig *r = *state;
    struct idler t;
    int client = join(r), other = join(r);

    say(client, "a");
    struct mw_conn *c = next(r);
    assert_int_equal(hear(c), 1);
    start(&t, r);
    say(client, "b");
    must_get(&t, other);
    assert_int_equal(mw_intake_put_back(&r->in, c), 1);
    assert_int_equal(hear(c), 1);
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    hang_up(r, client);
    hang_up(r, other);
}

static void test_intake_04_half_of_it(void **state)
{
    struct rig *r = *state;
    int client = join(r);

    for (int i = 0; i < 3; i++) {
        struct mw_frame f;
        uint8_t bytes[MW_FRAME_HDR + 1];
        mw_frame_header(bytes, MW_F_END, 1);
        bytes[MW_FRAME_HDR] = 0;
        if (i == 0) {
            uint8_t greeting[MW_FRAME_HDR + MW_HELLO_SIZE];
            mw_frame_header(greeting, MW_F_HELLO, MW_HELLO_SIZE);
            mw_hello_encode(greeting + MW_FRAME_HDR, &hello);
            assert_int_equal(send(client, greeting, sizeof greeting, 0), sizeof greeting);
        }
        for (size_t k = 0; k < sizeof bytes; k++) {
            assert_int_equal(send(client, bytes + k, 1, 0), 1);
            struct mw_conn *c = next(r);
            int rv = mw_link_recv_now(&c->link, &f);
            assert_int_equal(rv, k + 1 < sizeof bytes ? MW_EAGAIN : 0);
            assert_int_equal(mw_intake_put_back(&r->in, c), 0);
        }
        assert_int_equal(f.type, MW_F_END);
    }
    hang_up(r, client);
}

/* -- quiet -- */

static void test_intake_05_quiet_wakes_nobody(void **state)
{
    struct rig *r = *state;
    struct idler t;
    int client = join(r), other = join(r);

    say(client, "a");
    struct mw_conn *c = next(r);
    assert_int_equal(hear(c), 1);
    unsigned owned = c->state;
    mw_intake_quiet(&r->in, c);
    start(&t, r);
    say(client, "b");
    must_get(&t, other); /* the first thing it is told of */
    assert_int_equal(c->state, owned);
    assert_int_equal(hear(c), 1);
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    say(client, "c"); /* and now it is to be heard again */
    assert_ptr_equal(next(r), c);
    assert_int_equal(hear(c), 1);
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    hang_up(r, client);
    hang_up(r, other);
}

static void test_intake_06_what_came_while_quiet_is_reported(void **state)
{
    struct rig *r = *state;
    int client = join(r);

    say(client, "a");
    struct mw_conn *c = next(r);
    assert_int_equal(hear(c), 1);
    mw_intake_quiet(&r->in, c);
    say(client, "bc");
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    assert_ptr_equal(next(r), c);
    assert_int_equal(hear(c), 2);
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    hang_up(r, client);
}

/* -- ends -- */

static void test_intake_07_a_hang_up_is_reported_in_every_state(void **state)
{
    struct rig *r = *state;
    struct mw_conn *c;
    int client = join(r);

    hang_up(r, client); /* idle */
    for (int quiet = 0; quiet < 2; quiet++) {
        client = join(r);
        say(client, "a");
        c = next(r);
        assert_int_equal(hear(c), 1);
        if (quiet)
            mw_intake_quiet(&r->in, c);
        close(client); /* owned */
        assert_int_equal(mw_intake_put_back(&r->in, c), 0);
        assert_ptr_equal(next(r), c);
        mw_intake_drop(&r->in, c);
    }
}

/* The kernel may have told a thread of a connection that is no more, or is another one by now. */
static void test_intake_08_news_of_one_that_is_gone(void **state)
{
    struct rig *r = *state;
    int client = join(r);

    say(client, "a");
    struct mw_conn *c = next(r);
    mw_intake_drop(&r->in, c);
    close(client);
    unsigned gone = c->state;
    client = join(r); /* in the same memory, as idle as any */
    assert_ptr_equal(r->in.spare, NULL);
    assert_int_not_equal(c->state, gone);
    say(client, "b");
    assert_ptr_equal(next(r), c);
    assert_int_equal(hear(c), 1);
    assert_int_equal(mw_intake_put_back(&r->in, c), 0);
    hang_up(r, client);
    assert_ptr_equal(r->in.spare, c);
}

static void test_intake_09_all_threads_leave_when_it_stops(void **state)
{
    struct rig *r = *state;
    struct mw_conn *c;

    mw_intake_stop(&r->in);
    for (int i = 0; i < 3; i++)
        assert_int_equal(mw_intake_next(&r->in, &c), MW_ECLOSED);
}

static void test_intake_10_what_is_no_local_stream_is_refused(void **state)
{
    struct rig *r = *state;
    int pair[2];

    assert_int_equal(mw_io_socketpair(SOCK_DGRAM, pair), 0);
    assert_int_equal(mw_intake_add(&r->in, pair[1], 0, r->board, 0, &hello), MW_EINVAL);
    close(pair[0]);
    assert_int_equal(mw_io_pipe(pair), 0);
    assert_int_equal(mw_intake_add(&r->in, pair[1], 0, r->board, 0, &hello), MW_EINVAL);
    close(pair[0]);
}

/* -- many of both -- */

#define SERVERS 3
#define CLIENTS 4
#define CONNS 8 /* of each client */
#define TURNS 300

struct crowd {
    struct rig *r;
    pthread_mutex_t join; /* one thread adds, as in a worker */
    unsigned failed;      /* atomic */
};

struct client {
    pthread_t id;
    struct crowd *crowd;
    uint32_t seed;
};

/* Echo what comes, in turns like those of a request thread. */
static void *serve(void *arg)
{
    struct crowd *w = arg;
    struct mw_conn *c;
    unsigned turn = 0;

    while (mw_intake_next(&w->r->in, &c) == 0) {
        ssize_t n;
        do {
            char buf[64];
            if (++turn % 8 == 0)
                mw_intake_quiet(&w->r->in, c);
            while ((n = mw_io_recv_now(c->link.fd, buf, sizeof buf)) > 0)
                if (send(c->link.fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
                    break;
            if (turn % 3 == 0)
                sched_yield();
        } while (n == MW_EAGAIN && mw_intake_put_back(&w->r->in, c));
        if (n != MW_EAGAIN)
            mw_intake_drop(&w->r->in, c);
    }
    return NULL;
}

static int join_crowd(struct crowd *w)
{
    struct timeval limit = {.tv_sec = SECONDS};

    pthread_mutex_lock(&w->join);
    int fd = join(w->r);
    pthread_mutex_unlock(&w->join);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* Bytes in one write or in several, and back; now and then a connection is replaced. */
static int one_turn(struct client *me, int *fd)
{
    uint32_t r = sample_random(&me->seed);
    size_t n = 1 + r % 5;
    char buf[8];

    if (r % 50 == 7) {
        close(*fd);
        *fd = join_crowd(me->crowd);
    }
    for (size_t sent = 0; sent < n; sent++) {
        if (send(*fd, "x", 1, MSG_NOSIGNAL) != 1)
            return 0;
        if (r >> 8 & 1u << sent)
            sched_yield();
    }
    return recv(*fd, buf, n, MSG_WAITALL) == (ssize_t)n;
}

static void *ask(void *arg)
{
    struct client *me = arg;
    int fd[CONNS];

    for (int i = 0; i < CONNS; i++)
        fd[i] = join_crowd(me->crowd);
    for (int turn = 0; turn < TURNS; turn++)
        if (!one_turn(me, &fd[sample_random(&me->seed) % CONNS])) {
            __atomic_add_fetch(&me->crowd->failed, 1, __ATOMIC_RELAXED);
            break;
        }
    for (int i = 0; i < CONNS; i++)
        close(fd[i]);
    return NULL;
}

static void test_intake_11_many_connections_few_threads(void **state)
{
    struct crowd w = {.r = *state, .join = PTHREAD_MUTEX_INITIALIZER};
    struct client client[CLIENTS];
    pthread_t server[SERVERS];
    uint64_t deadline = mw_clock_deadline(SECONDS * 1000);

    for (int i = 0; i < SERVERS; i++)
        assert_int_equal(pthread_create(&server[i], NULL, serve, &w), 0);
    for (int i = 0; i < CLIENTS; i++) {
        client[i] = (struct client){.crowd = &w, .seed = 1000u + (uint32_t)i};
        assert_int_equal(pthread_create(&client[i].id, NULL, ask, &client[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(client[i].id, NULL);
    assert_int_equal(w.failed, 0);
    while (mw_intake_conns(&w.r->in) > 0) { /* all of them were closed, and somebody was told */
        assert_true(mw_clock_ms() < deadline);
        sched_yield();
    }
    mw_intake_stop(&w.r->in);
    for (int i = 0; i < SERVERS; i++)
        pthread_join(server[i], NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_intake_01_before_and_after_a_turn),
        T(test_intake_02_after_the_owner_has_looked),
        T(test_intake_03_while_another_thread_is_idle),
        T(test_intake_04_half_of_it),
        T(test_intake_05_quiet_wakes_nobody),
        T(test_intake_06_what_came_while_quiet_is_reported),
        T(test_intake_07_a_hang_up_is_reported_in_every_state),
        T(test_intake_08_news_of_one_that_is_gone),
        T(test_intake_09_all_threads_leave_when_it_stops),
        T(test_intake_10_what_is_no_local_stream_is_refused),
        T(test_intake_11_many_connections_few_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
