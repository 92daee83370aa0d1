/*
 * test_console.c: the supervisor's control socket: what an operator's tool gets there, and that nothing a
 * client does stops the supervisor or its group. No httpd, no Python.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin.h"
#include "ask.h"
#include "clock.h"
#include "console.h"
#include "io.h"

#define WAIT_MS 5000

static uint64_t soon(void)
{
    return mw_clock_deadline((uint64_t)(WAIT_MS * rig_slow()));
}

static int dial(struct rig *r)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", r->control_path);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void send_ask(int fd, const struct mw_admin_ask *a, int pass)
{
    uint8_t msg[MW_ADMIN_MAX];
    int n = mw_admin_ask_encode(msg, a);

    assert_true(n > 0);
    assert_int_equal(mw_io_send_msg(fd, msg, (size_t)n, pass), 0);
}

/* What the answer says; *fd_r: what came with it. MW_ECLOSED: the supervisor closed instead. */
static int get_answer(int fd, uint8_t op, int *fd_r)
{
    uint8_t msg[MW_ADMIN_MAX];
    struct mw_admin_answer a;

    *fd_r = -1;
    assert_int_equal(mw_io_wait(fd, POLLIN, soon()), 0);
    ssize_t n = mw_io_recv_msg(fd, msg, sizeof msg, fd_r);
    if (n == MW_ECLOSED)
        return MW_ECLOSED;
    assert_true(n > 0);
    assert_int_equal(mw_admin_answer_decode(&a, msg, (size_t)n), 0);
    assert_int_equal(a.op, op);
    return a.err;
}

static int ask(struct rig *r, const struct mw_admin_ask *a, int pass, int *fd_r)
{
    int fd = dial(r);

    send_ask(fd, a, pass);
    int rv = get_answer(fd, a->op, fd_r);
    mw_io_close(&fd);
    return rv;
}

static const struct mw_admin_ask list_ask = {.op = MW_ADMIN_LIST, .group = {"", 0}};

static struct mw_buf read_file(int fd)
{
    struct mw_buf b;
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    mw_buf_init(&b, MW_ADMIN_LIST_MAX);
    uint8_t *to = mw_buf_reserve(&b, (size_t)st.st_size);
    assert_int_equal(read(fd, to, (size_t)st.st_size), st.st_size);
    mw_buf_commit(&b, (size_t)st.st_size);
    return b;
}

/* The first worker of the first group; strings borrow b. */
static void first_worker(const struct mw_buf *b, struct mw_admin_group *g,
                         struct mw_admin_worker *w)
{
    struct mw_admin_list l;
    struct mw_cur c;

    mw_cur_init(&c, mw_buf_data(b), mw_buf_size(b));
    mw_admin_get_list(&c, &l);
    mw_admin_get_group(&c, g);
    assert_true(l.ngroups > 0 && g->nworkers > 0);
    mw_admin_get_worker(&c, w);
    assert_int_equal(c.err, 0);
}

static void look(struct rig *r, struct mw_admin_worker *w)
{
    struct mw_admin_group g;
    int fd;

    assert_int_equal(ask(r, &list_ask, -1, &fd), 0);
    struct mw_buf b = read_file(fd);
    first_worker(&b, &g, w);
    w->state = w->why = MW_STR("");
    mw_buf_fini(&b);
    mw_io_close(&fd);
}

/* The supervisor hears, and its group serves. */
static void expect_well(struct rig *r)
{
    struct mw_admin_worker w;
    struct answer a;

    look(r, &w);
    rig_ask_patiently(r, &(struct ask){.callable = "hello"}, &a);
    assert_int_equal(a.end, MW_END_COMPLETE);
    answer_fini(&a);
}

static size_t drink(int fd, char *out, size_t cap)
{
    size_t n = 0;

    for (;;) {
        assert_int_equal(mw_io_wait(fd, POLLIN, soon()), 0);
        ssize_t got = read(fd, out + n, cap - n);
        assert_true(got >= 0);
        if (got == 0)
            return n;
        n += (size_t)got;
    }
}

/* -- what an operator gets -- */

static void test_console_01_the_list(void **state)
{
    struct mw_admin_group g;
    struct mw_admin_worker w;
    struct rig r;
    int fd;

    (void)state;
    rig_init(&r, fake());
    r.ngroups = 2;
    rig_start_ready(&r);
    assert_int_equal(ask(&r, &list_ask, -1, &fd), 0);
    struct mw_buf b = read_file(fd);
    first_worker(&b, &g, &w);
    assert_int_equal(g.name.n, 4);
    assert_memory_equal(g.name.p, "test", 4);
    assert_int_equal(g.processes, 1);
    assert_int_equal(g.threads, 2);
    assert_int_equal(g.nworkers, 1);
    assert_int_equal(w.pid, rig_pid(&r));
    assert_memory_equal(w.state.p, "ready", 6);
    assert_true(w.age_ms < 60000);
    assert_int_equal(w.incarnation, 1);
    mw_buf_fini(&b);
    mw_io_close(&fd);
    rig_stop(&r);
}

static void report_of(struct rig *r, uint8_t op, char *out, size_t cap, size_t *n_r)
{
    struct mw_admin_worker w;
    int p[2], none;

    look(r, &w);
    const struct mw_admin_ask a = {op, w.slot, w.incarnation, MW_STR("test")};
    assert_int_equal(mw_io_pipe(p), 0);
    assert_int_equal(ask(r, &a, p[1], &none), 0);
    mw_io_close(&p[1]);
    *n_r = drink(p[0], out, cap);
    mw_io_close(&p[0]);
}

static void test_console_02_a_worker_reports_its_requests(void **state)
{
    struct mw_admin_report report;
    struct mw_admin_request q;
    struct mw_claim claim;
    struct mw_link link;
    struct mw_cur c;
    char bytes[4096];
    struct rig r;
    size_t n;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    rig_claim(&r, 0, &claim);
    rig_connect(&r, 0, &claim, &link);
    rig_send(&link, &(struct ask){.callable = "sleep", .query = "1500"});
    uint64_t deadline = soon();
    do {
        report_of(&r, MW_ADMIN_REPORT, bytes, sizeof bytes, &n);
        mw_cur_init(&c, bytes, n);
        mw_admin_get_report(&c, &report);
        assert_int_equal(c.err, 0);
    } while (report.nrequests == 0 && mw_clock_ms() < deadline);
    assert_int_equal(report.nrequests, 1);
    assert_int_equal(report.pid, rig_pid(&r));
    assert_int_equal(report.incarnation, 1);
    assert_true(report.resident > 0);
    mw_admin_get_request(&c, &q);
    assert_int_equal(mw_cur_end(&c), 0);
    assert_memory_equal(q.method.p, "GET", 4);
    assert_true(q.thread > 0);
    mw_link_fini(&link);
    mw_board_release(r.groups[0].board, &claim);
    rig_stop(&r);
}

static void test_console_03_a_worker_writes_its_stacks(void **state)
{
    char bytes[4096];
    struct rig r;
    size_t n;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    report_of(&r, MW_ADMIN_STACKS, bytes, sizeof bytes, &n);
    assert_int_equal(n, 16);
    assert_memory_equal(bytes, "fake stack dump\n", 16);
    rig_stop(&r);
}

static void test_console_04_a_stopped_reader_does_not_stop_a_worker(void **state)
{
    struct mw_admin_worker w;
    int p[2], none;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    look(&r, &w);
    const struct mw_admin_ask a = {MW_ADMIN_REPORT, w.slot, w.incarnation, MW_STR("test")};
    assert_int_equal(mw_io_pipe(p), 0);
    assert_int_equal(mw_io_nonblock(p[1], 1), 0);
    char junk[4096] = {0};
    while (write(p[1], junk, sizeof junk) > 0)
        ;
    assert_int_equal(mw_io_nonblock(p[1], 0), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(&r, &a, p[1], &none), 0);
    expect_well(&r);
    mw_io_close(&p[0]);
    mw_io_close(&p[1]);
    rig_stop(&r);
}

static void test_console_05_recycle(void **state)
{
    struct mw_admin_worker w;
    struct rig r;
    int none;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    look(&r, &w);
    struct mw_admin_ask a = {MW_ADMIN_RECYCLE, MW_ADMIN_ALL, 0, MW_STR("test")};
    assert_int_equal(ask(&r, &a, -1, &none), 0);
    rig_wait_log(&r, "an operator asked for it", WAIT_MS);
    uint64_t deadline = soon();
    while (kill((pid_t)w.pid, 0) == 0 && mw_clock_ms() < deadline)
        poll(NULL, 0, 5);
    rig_wait_count(&r, MW_SLOT_READY, 1, WAIT_MS);
    assert_int_not_equal(rig_pid(&r), w.pid);
    expect_well(&r);
    rig_stop(&r);
}

/* -- what it refuses -- */

static void test_console_10_what_is_not_there(void **state)
{
    static const struct {
        struct mw_admin_ask a;
        int pipe; /* a pipe goes with it */
        int err;
    } rows[] = {
        {{MW_ADMIN_RELOAD, MW_ADMIN_ALL, 0, {"tes", 3}}, 0, MW_ENOENT},
        {{MW_ADMIN_RELOAD, MW_ADMIN_ALL, 0, {"testt", 5}}, 0, MW_ENOENT},
        {{MW_ADMIN_RECYCLE, 7, 0, {"test", 4}}, 0, MW_ENOENT},
        {{MW_ADMIN_RECYCLE, 0, 99, {"test", 4}}, 0, MW_ENOENT},
        {{MW_ADMIN_REPORT, 7, 0, {"test", 4}}, 1, MW_ENOENT},
        {{MW_ADMIN_REPORT, MW_ADMIN_ALL, 0, {"test", 4}}, 1, MW_ENOENT},
        {{MW_ADMIN_REPORT, 0, 99, {"test", 4}}, 1, MW_ENOENT},
        {{MW_ADMIN_REPORT, 0, 0, {"test", 4}}, 0, MW_EINVAL},
    };
    struct rig r;
    int p[2], none;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    assert_int_equal(mw_io_pipe(p), 0);
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        assert_int_equal(ask(&r, &rows[i].a, rows[i].pipe ? p[1] : -1, &none), rows[i].err);
    mw_io_close(&p[0]);
    mw_io_close(&p[1]);
    expect_well(&r);
    rig_stop(&r);
}

/* What is passed is not a pipe: a file, a folder, a socket that would linger, a device. */
static void test_console_11_only_a_pipe_is_passed_on(void **state)
{
    struct rig r;
    int pair[2], none;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    const struct mw_admin_ask a = {MW_ADMIN_REPORT, 0, 0, MW_STR("test")};
    assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
    int fds[] = {open(r.log_path, O_RDWR | O_CLOEXEC), open(r.dir, O_RDONLY | O_CLOEXEC), pair[0],
                 open("/dev/zero", O_RDWR | O_CLOEXEC)};
    for (size_t i = 0; i < MW_ARRAY_LEN(fds); i++) {
        assert_int_equal(ask(&r, &a, fds[i], &none), MW_EINVAL);
        mw_io_close(&fds[i]);
    }
    mw_io_close(&pair[1]);
    expect_well(&r);
    rig_stop(&r);
}

/* -- hostile clients -- */

/* Whatever is not understood closes that client; whoever sends it. */
static void test_console_20_random_bytes(void **state)
{
    uint8_t bytes[MW_ADMIN_MAX + 100];
    unsigned seed = 20261123;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (int i = 0; i < 300; i++) {
        int fd = dial(&r);
        size_t n = (size_t)rand_r(&seed) % sizeof bytes;
        for (size_t k = 0; k < n; k++)
            bytes[k] = (uint8_t)rand_r(&seed);
        if (i % 3 == 0 && n > 2) { /* not lost in the first byte */
            bytes[0] = 1;
            bytes[1] = (uint8_t)(1 + i % 7);
        }
        (void)!send(fd, bytes, n, MSG_NOSIGNAL);
        mw_io_close(&fd);
    }
    int fd = dial(&r), none;
    assert_int_equal(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
    assert_int_equal(get_answer(fd, 0, &none), MW_ECLOSED);
    mw_io_close(&fd);
    expect_well(&r);
    rig_stop(&r);
}

/* Descriptors that nobody asked for, several in a message. */
static void test_console_21_descriptors_are_closed(void **state)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } ctl = {.space = {0}};
    uint8_t msg[MW_ADMIN_MAX];
    int n = mw_admin_ask_encode(msg, &list_ask);
    struct iovec iov = {.iov_base = msg, .iov_len = (size_t)n};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = ctl.space,
                        .msg_controllen = sizeof ctl.space};
    int p[2], none;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    assert_int_equal(mw_io_pipe(p), 0);
    int three[3] = {p[1], p[1], p[1]};
    struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(sizeof three);
    memcpy(CMSG_DATA(cm), three, sizeof three);
    int fd = dial(&r);
    assert_int_equal(sendmsg(fd, &mh, MSG_NOSIGNAL), n);
    assert_int_equal(get_answer(fd, MW_ADMIN_LIST, &none), MW_ECLOSED);
    mw_io_close(&fd);
    fd = dial(&r);
    send_ask(fd, &list_ask, p[1]); /* one, where none belongs: ignored */
    assert_int_equal(get_answer(fd, MW_ADMIN_LIST, &none), 0);
    mw_io_close(&none);
    mw_io_close(&p[1]);
    char c;
    assert_int_equal(mw_io_wait(p[0], POLLIN, soon()), 0);
    assert_int_equal(read(p[0], &c, 1), 0); /* nobody has the other end any more */
    mw_io_close(&p[0]);
    mw_io_close(&fd);
    rig_stop(&r);
}

static void test_console_22_who_does_not_read_is_closed(void **state)
{
    struct rig r;
    int asked = 0;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    int fd = dial(&r);
    uint8_t msg[MW_ADMIN_MAX];
    int n = mw_admin_ask_encode(msg, &list_ask);
    uint64_t deadline = soon();
    while (asked < 100000 && mw_clock_ms() < deadline) {
        int rv = mw_io_send_msg(fd, msg, (size_t)n, -1);
        if (rv == MW_ECLOSED || rv == MW_EIO)
            break;
        asked += rv == 0;
    }
    assert_true(mw_clock_ms() < deadline);
    mw_io_close(&fd);
    expect_well(&r);
    rig_stop(&r);
}

/* At n-1 and n all are heard; the one after takes the place of who was silent longest. */
static void test_console_23_the_limit_of_clients(void **state)
{
    int fd[MW_CONSOLE_CLIENTS_MAX + 1], got;
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    rig_start_ready(&r);
    for (unsigned i = 0; i <= MW_CONSOLE_CLIENTS_MAX; i++) {
        fd[i] = dial(&r);
        send_ask(fd[i], &list_ask, -1);
        assert_int_equal(get_answer(fd[i], MW_ADMIN_LIST, &got), 0);
        mw_io_close(&got);
        poll(NULL, 0, 2); /* the clock that orders them counts milliseconds */
    }
    assert_int_equal(mw_io_wait(fd[0], POLLIN, soon()), 0);
    assert_int_equal(mw_io_is_hung_up(fd[0]), 1);
    for (unsigned i = 1; i <= MW_CONSOLE_CLIENTS_MAX; i++) {
        send_ask(fd[i], &list_ask, -1);
        assert_int_equal(get_answer(fd[i], MW_ADMIN_LIST, &got), 0);
        mw_io_close(&got);
    }
    for (unsigned i = 0; i <= MW_CONSOLE_CLIENTS_MAX; i++)
        mw_io_close(&fd[i]);
    rig_stop(&r);
}

static uint64_t cpu_ms(pid_t pid)
{
    unsigned long user = 0, sys = 0;
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(
        fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys), 2);
    fclose(f);
    return (user + sys) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* Clients wait at the door, and it neither spins nor forgets them. */
static void test_console_24_without_descriptors(void **state)
{
    struct rlimit before, none = {.rlim_cur = 30}; /* poll wants as many as it looks at */
    int got, full[40];
    struct rig r;

    (void)state;
    rig_init(&r, fake());
    for (size_t i = 0; i < MW_ARRAY_LEN(full); i++)
        full[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rig_start_ready(&r);
    for (size_t i = 0; i < MW_ARRAY_LEN(full); i++)
        mw_io_close(&full[i]);
    assert_int_equal(prlimit(r.super, RLIMIT_NOFILE, NULL, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(prlimit(r.super, RLIMIT_NOFILE, &none, NULL), 0);
    int fd = dial(&r);
    send_ask(fd, &list_ask, -1);
    uint64_t cpu = cpu_ms(r.super);
    assert_int_equal(mw_io_wait(fd, POLLIN, mw_clock_deadline(1000)), MW_ETIMEOUT);
    assert_true(cpu_ms(r.super) - cpu < 300);
    assert_int_equal(prlimit(r.super, RLIMIT_NOFILE, &before, NULL), 0);
    assert_int_equal(get_answer(fd, MW_ADMIN_LIST, &got), 0);
    mw_io_close(&got);
    mw_io_close(&fd);
    rig_stop(&r);
}

/* Even if the file's mode let them in. */
static void test_console_25_other_users_are_refused(void **state)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct rig r;
    int none, status;

    (void)state;
    if (geteuid() != 0 || !nobody)
        skip();
    rig_init(&r, fake());
    rig_start_ready(&r);
    assert_int_equal(chmod(r.control_path, 0666), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(nobody->pw_gid) || setuid(nobody->pw_uid))
            _exit(2);
        int fd = dial(&r);
        uint8_t msg[MW_ADMIN_MAX];
        int n = mw_admin_ask_encode(msg, &list_ask);
        (void)!mw_io_send_msg(fd, msg, (size_t)n, -1);
        if (mw_io_wait(fd, POLLIN, soon()))
            _exit(3);
        _exit(mw_io_recv_msg(fd, msg, sizeof msg, &none) == MW_ECLOSED ? 0 : 4);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    rig_wait_log(&r, "WSGI0781", WAIT_MS);
    expect_well(&r);
    rig_stop(&r);
}

#define T(f) cmocka_unit_test_teardown(f, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_console_01_the_list),
        T(test_console_02_a_worker_reports_its_requests),
        T(test_console_03_a_worker_writes_its_stacks),
        T(test_console_04_a_stopped_reader_does_not_stop_a_worker),
        T(test_console_05_recycle),
        T(test_console_10_what_is_not_there),
        T(test_console_11_only_a_pipe_is_passed_on),
        T(test_console_20_random_bytes),
        T(test_console_21_descriptors_are_closed),
        T(test_console_22_who_does_not_read_is_closed),
        T(test_console_23_the_limit_of_clients),
        T(test_console_24_without_descriptors),
        T(test_console_25_other_users_are_refused),
    };
    const char *only = getenv("MW_ONLY"); /* part of a name */
    if (only)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
