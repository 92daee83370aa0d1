/*
 * System call wrappers: deadlines, short counts, interrupted calls, descriptor passing, and that
 * nothing stays open.
 */
#include "samples.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "io.h"

struct pair {
    int fd[2];
    unsigned open_before;
};

static int open_pair(void **state, int type)
{
    static struct pair p;

    p.open_before = sample_open_fds();
    *state = &p;
    return mw_io_socketpair(type, p.fd);
}

static int stream(void **state)
{
    return open_pair(state, SOCK_STREAM);
}

static int packets(void **state)
{
    return open_pair(state, SOCK_SEQPACKET);
}

static int nothing_left_open(void **state)
{
    struct pair *p = *state;

    mw_io_close(&p->fd[0]);
    mw_io_close(&p->fd[1]);
    return sample_open_fds() == p->open_before ? 0 : -1;
}

static int send_bytes(int fd, const char *p, size_t n, uint64_t deadline)
{
    char copy[64];
    struct iovec iov = {copy, n};

    memcpy(copy, p, n);
    return mw_io_send_all(fd, &iov, 1, deadline);
}

static void test_io_01_wait_keeps_its_deadline(void **state)
{
    struct pair *p = *state;
    uint64_t t0 = mw_clock_ms();

    assert_int_equal(mw_io_wait(p->fd[0], POLLIN, mw_clock_deadline(30)), MW_ETIMEOUT);
    assert_true(mw_clock_ms() - t0 >= 30);
    assert_int_equal(mw_io_wait(p->fd[0], POLLIN, 0), MW_ETIMEOUT);
    assert_int_equal(mw_io_wait(p->fd[0], POLLOUT, MW_NO_DEADLINE), 0);
    mw_io_close(&p->fd[1]);
    assert_int_equal(mw_io_wait(p->fd[0], POLLIN, MW_NO_DEADLINE), 0); /* hung up */
    assert_int_equal(mw_io_wait(1000000, POLLIN, MW_NO_DEADLINE), MW_EIO);
}

static void test_io_02_recv_says_how_it_ended(void **state)
{
    struct pair *p = *state;
    char buf[8];

    assert_int_equal(mw_io_recv_now(p->fd[0], buf, sizeof buf), MW_EAGAIN);
    assert_int_equal(mw_io_recv(p->fd[0], buf, sizeof buf, mw_clock_deadline(20)), MW_ETIMEOUT);
    assert_int_equal(mw_io_recv(p->fd[0], buf, 0, 0), MW_EINVAL);
    assert_int_equal(mw_io_recv_now(p->fd[0], buf, 0), MW_EINVAL);
    assert_int_equal(send_bytes(p->fd[1], "hello", 5, MW_NO_DEADLINE), 0);
    assert_int_equal(mw_io_recv(p->fd[0], buf, 3, mw_clock_deadline(1000)), 3);
    assert_int_equal(mw_io_recv_now(p->fd[0], buf, sizeof buf), 2);
    mw_io_close(&p->fd[1]);
    assert_int_equal(mw_io_recv(p->fd[0], buf, sizeof buf, MW_NO_DEADLINE), MW_ECLOSED);
    assert_int_equal(mw_io_recv_now(p->fd[0], buf, sizeof buf), MW_ECLOSED);
    mw_io_close(&p->fd[0]);
    assert_int_equal(mw_io_recv_now(p->fd[0], buf, sizeof buf), MW_EIO);
    assert_int_equal(errno, EBADF);
}

static void test_io_03_the_sockets_own_timeout_counts(void **state)
{
    struct pair *p = *state;
    struct timeval tv = {.tv_usec = 30000};
    static char big[1 << 20];
    struct iovec iov = {big, sizeof big};
    char buf[8];

    assert_int_equal(setsockopt(p->fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv), 0);
    assert_int_equal(setsockopt(p->fd[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv), 0);
    assert_int_equal(mw_io_recv(p->fd[0], buf, sizeof buf, MW_NO_DEADLINE), MW_ETIMEOUT);
    assert_int_equal(mw_io_send_all(p->fd[0], &iov, 1, MW_NO_DEADLINE), MW_ETIMEOUT);
}

static void test_io_04_send_to_nobody_is_closed_without_a_signal(void **state)
{
    struct pair *p = *state;

    mw_io_close(&p->fd[1]);
    assert_int_equal(send_bytes(p->fd[0], "x", 1, MW_NO_DEADLINE), MW_ECLOSED);
    assert_int_equal(send_bytes(p->fd[0], "x", 1, mw_clock_deadline(10)), MW_ECLOSED);
}

static void test_io_05_send_gives_up_at_its_deadline(void **state)
{
    struct pair *p = *state;
    static char big[4 << 20];
    struct iovec iov = {big, sizeof big};
    uint64_t t0 = mw_clock_ms();

    assert_int_equal(mw_io_send_all(p->fd[0], &iov, 1, mw_clock_deadline(30)), MW_ETIMEOUT);
    assert_true(mw_clock_ms() - t0 >= 30);
}

static void test_io_06_send_of_nothing(void **state)
{
    struct pair *p = *state;
    struct iovec iov[3] = {{"", 0}, {NULL, 0}, {"", 0}};

    assert_int_equal(mw_io_send_all(p->fd[0], iov, 3, 0), 0);
    assert_int_equal(mw_io_send_all(p->fd[0], NULL, 0, 0), 0);
    char c;
    assert_int_equal(mw_io_recv_now(p->fd[1], &c, 1), MW_EAGAIN);
}

#define BIG (3u << 20)

struct reader {
    int fd;
    uint32_t sum;
    size_t n;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    uint8_t buf[5000];
    ssize_t n;

    while ((n = mw_io_recv(r->fd, buf, sizeof buf, mw_clock_deadline(10000))) > 0)
        for (ssize_t i = 0; i < n; i++)
            r->sum += (uint32_t)buf[i] * (uint32_t)(++r->n % 251);
    return NULL;
}

/* Four pieces of awkward sizes, an empty one among them, through small socket buffers. */
static void send_big(struct pair *p, uint64_t deadline)
{
    struct reader r = {.fd = p->fd[1]};
    uint8_t *bytes = malloc(BIG);
    struct iovec iov[] = {{bytes, 1}, {bytes + 1, 70001}, {NULL, 0}, {bytes + 70002, BIG - 70002}};
    uint32_t sum = 0, seed = 99;
    pthread_t t;

    assert_non_null(bytes);
    for (size_t i = 0; i < BIG; i++) {
        bytes[i] = (uint8_t)sample_random(&seed);
        sum += (uint32_t)bytes[i] * (uint32_t)((i + 1) % 251);
    }
    assert_int_equal(pthread_create(&t, NULL, read_all, &r), 0);
    assert_int_equal(mw_io_send_all(p->fd[0], iov, 4, deadline), 0);
    mw_io_close(&p->fd[0]);
    pthread_join(t, NULL);
    assert_int_equal(r.n, BIG);
    assert_int_equal(r.sum, sum);
    free(bytes);
}

static void test_io_07_send_survives_short_counts(void **state)
{
    struct pair *p = *state;
    int small = 4096;

    assert_int_equal(setsockopt(p->fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    send_big(p, MW_NO_DEADLINE);
}

static void test_io_08_send_on_a_nonblocking_socket(void **state)
{
    struct pair *p = *state;

    assert_int_equal(mw_io_nonblock(p->fd[0], 1), 0);
    assert_int_equal(mw_io_nonblock(p->fd[1], 1), 0);
    send_big(p, MW_NO_DEADLINE);
}

static void test_io_09_send_with_a_deadline(void **state)
{
    send_big(*state, mw_clock_deadline(20000));
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void test_io_10_an_interrupted_call_goes_on(void **state)
{
    struct pair *p = *state;
    struct sigaction old, sa = {.sa_handler = on_alarm}; /* without SA_RESTART */
    struct itimerval off = {0}, every = {{0, 5000}, {0, 5000}};
    struct timeval limit = {.tv_usec = 60000};
    char c;

    assert_int_equal(setsockopt(p->fd[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    uint64_t t0 = mw_clock_ms();
    int waited = mw_io_wait(p->fd[0], POLLIN, mw_clock_deadline(60));
    uint64_t took = mw_clock_ms() - t0;
    ssize_t got = mw_io_recv(p->fd[0], &c, 1, mw_clock_deadline(20));
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_int_equal(waited, MW_ETIMEOUT);
    assert_true(took >= 60);
    assert_int_equal(got, MW_ETIMEOUT);
}

static void test_io_20_an_interrupted_send_goes_on(void **state)
{
    struct pair *p = *state;
    struct sigaction old, sa = {.sa_handler = on_alarm};
    struct itimerval once = {{0, 0}, {0, 20000}};
    struct timeval limit = {.tv_usec = 80000};
    static char big[4 << 20];
    struct iovec iov = {big, sizeof big};

    assert_int_equal(setsockopt(p->fd[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(mw_io_send_all(p->fd[0], &iov, 1, 0), MW_ETIMEOUT); /* now it is full */
    assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &once, NULL), 0);
    int rv = send_bytes(p->fd[0], "x", 1, MW_NO_DEADLINE);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_int_equal(rv, MW_ETIMEOUT);
}

/* Signals that come faster than a socket's timeout must not make the wait endless. */
static void test_io_21_signals_do_not_lengthen_a_sockets_timeout(void **state)
{
    struct pair *p = *state;
    struct sigaction old, sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval off = {0}, every = {{0, 10000}, {0, 10000}};
    struct timeval limit = {.tv_usec = 80000};
    static char big[4 << 20];
    struct iovec iov = {big, sizeof big};
    char c;

    assert_int_equal(setsockopt(p->fd[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(p->fd[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(mw_io_send_all(p->fd[0], &iov, 1, 0), MW_ETIMEOUT); /* now it is full */
    assert_int_equal(sigaction(SIGALRM, &sa, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    uint64_t t0 = mw_clock_ms();
    ssize_t got = mw_io_recv(p->fd[0], &c, 1, MW_NO_DEADLINE);
    uint64_t t1 = mw_clock_ms();
    int sent = send_bytes(p->fd[0], "x", 1, MW_NO_DEADLINE);
    uint64_t t2 = mw_clock_ms();
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_int_equal(got, MW_ETIMEOUT);
    assert_int_equal(sent, MW_ETIMEOUT);
    assert_true(t1 - t0 >= 80 && t2 - t1 >= 80);
}

static void test_io_22_a_peer_that_hung_up(void **state)
{
    struct pair *p = *state;
    char c;

    assert_false(mw_io_is_hung_up(p->fd[0]));
    assert_int_equal(send_bytes(p->fd[1], "x", 1, MW_NO_DEADLINE), 0);
    assert_false(mw_io_is_hung_up(p->fd[0])); /* bytes are no end */
    assert_int_equal(shutdown(p->fd[1], SHUT_WR), 0);
#ifdef POLLRDHUP
    assert_true(mw_io_is_hung_up(p->fd[0])); /* bytes do not hide it */
#endif
    assert_int_equal(mw_io_recv_now(p->fd[0], &c, 1), 1); /* and none was taken */
    assert_true(mw_io_is_hung_up(p->fd[0]));
    mw_io_close(&p->fd[1]);
    assert_true(mw_io_is_hung_up(p->fd[0]));
    mw_io_close(&p->fd[0]);
}

static int is_cloexec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void test_io_11_messages_keep_their_borders(void **state)
{
    struct pair *p = *state;
    char buf[16];
    int fd = 7;

    assert_int_equal(mw_io_recv_msg(p->fd[1], buf, sizeof buf, &fd), MW_EAGAIN);
    assert_int_equal(fd, -1);
    assert_int_equal(mw_io_send_msg(p->fd[0], "one", 3, -1), 0);
    assert_int_equal(mw_io_send_msg(p->fd[0], "two", 3, -1), 0);
    assert_int_equal(mw_io_recv_msg(p->fd[1], buf, sizeof buf, &fd), 3);
    assert_memory_equal(buf, "one", 3);
    assert_int_equal(fd, -1);
    assert_int_equal(mw_io_recv_msg(p->fd[1], buf, 3, &fd), 3);
    assert_memory_equal(buf, "two", 3);
    mw_io_close(&p->fd[0]);
    assert_int_equal(mw_io_recv_msg(p->fd[1], buf, sizeof buf, &fd), MW_ECLOSED);
    assert_int_equal(mw_io_send_msg(p->fd[1], "x", 1, -1), MW_ECLOSED);
}

static void test_io_12_a_descriptor_rides_along(void **state)
{
    struct pair *p = *state;
    int ends[2], fd;
    char buf[16];

    assert_int_equal(mw_io_pipe(ends), 0);
    assert_int_equal(mw_io_send_msg(p->fd[0], "pipe", 4, ends[1]), 0);
    mw_io_close(&ends[1]);
    assert_int_equal(mw_io_recv_msg(p->fd[1], buf, sizeof buf, &fd), 4);
    assert_true(fd >= 0);
    assert_true(is_cloexec(fd));
    assert_int_equal(write(fd, "y", 1), 1);
    assert_int_equal(read(ends[0], buf, 1), 1);
    assert_int_equal(buf[0], 'y');
    mw_io_close(&fd);
    mw_io_close(&ends[0]);
}

static void test_io_13_a_cut_message_is_refused_with_its_descriptor(void **state)
{
    struct pair *p = *state;
    char buf[3];
    int fd;

    assert_int_equal(mw_io_send_msg(p->fd[0], "four", 4, p->fd[0]), 0);
    assert_int_equal(mw_io_recv_msg(p->fd[1], buf, sizeof buf, &fd), MW_EPROTO);
    assert_int_equal(fd, -1);
}

/* What a hostile process may do: several descriptors, more than there is room for, or no bytes. */
static void send_fds(int fd, unsigned count, size_t n)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(16 * sizeof(int))];
    } ctl = {0};
    struct iovec iov = {"x", n};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.space};
    struct cmsghdr *cm = &ctl.align;
    int fds[16];

    for (unsigned i = 0; i < count; i++)
        fds[i] = fd;
    mh.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(cm), fds, count * sizeof(int));
    assert_int_equal(sendmsg(fd, &mh, 0), n);
}

static void test_io_14_more_than_one_descriptor_is_refused(void **state)
{
    struct pair *p = *state;
    static const unsigned counts[] = {2, 4, 5, 16};
    unsigned before = sample_open_fds();
    char buf[8];
    int fd;

    for (size_t i = 0; i < MW_ARRAY_LEN(counts); i++) {
        send_fds(p->fd[0], counts[i], 1);
        assert_int_equal(mw_io_recv_msg(p->fd[1], buf, sizeof buf, &fd), MW_EPROTO);
        assert_int_equal(fd, -1);
        assert_int_equal(sample_open_fds(), before);
    }
    send_fds(p->fd[0], 1, 0);
    assert_int_equal(mw_io_recv_msg(p->fd[1], buf, sizeof buf, &fd), MW_ECLOSED);
    assert_int_equal(fd, -1);
    assert_int_equal(sample_open_fds(), before);
}

static void test_io_15_a_full_socket_says_again(void **state)
{
    struct pair *p = *state;
    int rv = 0, sent = 0;

    while ((rv = mw_io_send_msg(p->fd[0], "x", 1, -1)) == 0)
        sent++;
    assert_int_equal(rv, MW_EAGAIN);
    assert_true(sent > 0);
}

static void test_io_16_new_descriptors_close_on_exec(void **state)
{
    struct pair *p = *state;
    int ends[2];

    assert_true(is_cloexec(p->fd[0]) && is_cloexec(p->fd[1]));
    assert_int_equal(mw_io_pipe(ends), 0);
    assert_true(is_cloexec(ends[0]) && is_cloexec(ends[1]));
    assert_int_equal(mw_io_nonblock(ends[0], 1), 0);
    assert_true(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(mw_io_nonblock(ends[0], 0), 0);
    assert_false(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    mw_io_close(&ends[0]);
    mw_io_close(&ends[1]);
    assert_int_equal(mw_io_nonblock(-1, 1), MW_EIO);
    assert_int_equal(mw_io_socketpair(-1, ends), MW_EIO);
    assert_int_equal(ends[0], -1);
}

static void test_io_17_close_keeps_errno(void **state)
{
    (void)state;
    int fd = 1000000;

    errno = ENOENT;
    mw_io_close(&fd);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fd, -1);
    mw_io_close(&fd);
}

static void test_io_18_shared_memory_has_a_fixed_size(void **state)
{
    (void)state;
    struct stat st;
    int fd;

    assert_int_equal(mw_io_memfd("test", 10000, &fd), 0);
    assert_true(is_cloexec(fd));
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 10000);
    assert_int_equal(pwrite(fd, "x", 1, 9999), 1);
#ifdef MFD_ALLOW_SEALING
    assert_int_equal(ftruncate(fd, 0), -1); /* would kill whoever has it mapped */
    assert_int_equal(ftruncate(fd, 20000), -1);
#endif
    mw_io_close(&fd);
    assert_int_equal(mw_io_memfd("test", (size_t)-1, &fd), MW_EIO);
    assert_int_equal(fd, -1);
}

static void test_io_19_close_from_closes_the_rest(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int ok = dup2(0, 20) == 20 && dup2(0, 21) == 21 && dup2(0, 200) == 200;
        mw_io_close_from(21);
        ok = ok && fcntl(20, F_GETFD) >= 0 && fcntl(21, F_GETFD) < 0 && fcntl(200, F_GETFD) < 0;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_io_19_close_but_keeps_what_is_named(void **state)
{
    int keep[] = {40, -1, 22, 30, 22, 3}; /* in any order, twice, none, below the first */
    int status;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        int ok = 1;
        for (int fd = 20; fd <= 50; fd++)
            ok = ok && dup2(0, fd) == fd;
        mw_io_close_but(21, keep, MW_ARRAY_LEN(keep));
        for (int fd = 20; fd <= 50; fd++) {
            int kept = fd == 20 || fd == 22 || fd == 30 || fd == 40;
            ok = ok && (fcntl(fd, F_GETFD) >= 0) == kept;
        }
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_io_23_a_descriptor_in_a_stream(void **state)
{
    struct pair *p = *state;
    int ends[2], fd;
    char buf[64];
    struct iovec iov[2] = {{"one", 3}, {"two", 3}};

    assert_int_equal(mw_io_pipe(ends), 0);
    assert_int_equal(mw_io_recv_fd_now(p->fd[1], buf, sizeof buf, &fd), MW_EAGAIN);
    assert_int_equal(fd, -1);
    assert_int_equal(send_bytes(p->fd[0], "first", 5, 0), 0);
    assert_int_equal(mw_io_send_all_fd(p->fd[0], iov, 2, 0, ends[1]), 0);
    assert_int_equal(send_bytes(p->fd[0], "last", 4, 0), 0);
    mw_io_close(&ends[1]);
    /* Never beyond the write that the descriptor came with. */
    assert_int_equal(mw_io_recv_fd(p->fd[1], buf, sizeof buf, mw_clock_deadline(1000), &fd), 11);
    assert_memory_equal(buf, "firstonetwo", 11);
    assert_true(is_cloexec(fd));
    assert_int_equal(write(fd, "y", 1), 1);
    mw_io_close(&fd);
    assert_int_equal(mw_io_recv_fd_now(p->fd[1], buf, sizeof buf, &fd), 4);
    assert_int_equal(fd, -1);
    send_fds(p->fd[0], 2, 1);
    assert_int_equal(mw_io_recv_fd_now(p->fd[1], buf, sizeof buf, &fd), MW_EPROTO);
    assert_int_equal(fd, -1);
    mw_io_close(&ends[0]);
}

/* It goes with the first byte, however many calls the rest takes. */
static void test_io_24_a_descriptor_goes_once(void **state)
{
    struct pair *p = *state;
    static char much[1 << 20];
    struct iovec iov = {much, sizeof much};
    unsigned before = sample_open_fds();
    int fd, fds = 0;
    size_t got = 0;
    char *buf = malloc(sizeof much);

    assert_non_null(buf);
    pid_t pid = fork();
    if (pid == 0)
        _exit(mw_io_send_all_fd(p->fd[0], &iov, 1, mw_clock_deadline(10000), p->fd[0]) ? 1 : 0);
    while (got < sizeof much) {
        ssize_t n = mw_io_recv_fd(p->fd[1], buf, sizeof much, mw_clock_deadline(10000), &fd);
        assert_true(n > 0);
        got += (size_t)n;
        fds += fd >= 0;
        mw_io_close_given(&fd);
    }
    assert_int_equal(fds, 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(sample_open_fds(), before);
    free(buf);
}

/* The descriptor is lost, the bytes are not; a message without its descriptor is none. */
static void test_io_25_no_room_for_a_descriptor(void **state)
{
    struct pair *p = *state;
    struct rlimit old;
    char buf[8];
    int fd, none;

    send_fds(p->fd[0], 1, 1);
    old = sample_no_more_files();
    ssize_t n = mw_io_recv_fd_now(p->fd[1], buf, sizeof buf, &fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(n, 1);
    assert_int_equal(fd, MW_FD_DROPPED);
    mw_io_close(&fd);
    assert_int_equal(fd, -1);

    send_fds(p->fd[0], 1, 1);
    old = sample_no_more_files();
    n = mw_io_recv_msg(p->fd[1], buf, sizeof buf, &none);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(n, MW_EPROTO);
    assert_int_equal(none, -1);
}

static void test_io_26_files_that_can_be_read(void **state)
{
    char name[] = "/tmp/mw-io-XXXXXX";
    int64_t size = -1;
    int fd = mkstemp(name);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(mw_io_file_size(fd, &size), 0);
    assert_int_equal(size, 3);
    static const struct {
        const char *path;
        int flags, rv;
    } rows[] = {{NULL, O_RDONLY, 0},
                {NULL, O_WRONLY, MW_EINVAL},
                {NULL, O_PATH, MW_EINVAL},
                {"/dev/null", O_RDONLY, MW_EINVAL},
                {"/tmp", O_RDONLY, MW_EINVAL}};
    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        int other = open(rows[i].path ? rows[i].path : name, rows[i].flags | O_CLOEXEC);
        assert_true(other >= 0);
        assert_int_equal(mw_io_file_size(other, &size), rows[i].rv);
        close(other);
    }
    assert_int_equal(mw_io_file_size(((struct pair *)*state)->fd[0], &size), MW_EINVAL);
    assert_int_equal(mw_io_file_size(-1, &size), MW_EIO);
    unlink(name);
    close(fd);
}

static void test_io_27_a_position_of_its_own(void **state)
{
    char name[] = "/tmp/mw-io-XXXXXX";
    int fd = mkstemp(name);
    char c;

    (void)state;
    assert_true(fd >= 0);
    unlink(name); /* which does not matter */
    assert_int_equal(write(fd, "abc", 3), 3);
    int other = mw_io_reopen(fd);
    assert_true(other >= 0);
    assert_true(is_cloexec(other));
    assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
    assert_int_equal(read(other, &c, 1), 1);
    assert_int_equal(c, 'a');
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 1);
    assert_int_equal(write(other, "x", 1), -1);
    close(other);
    close(fd);
    assert_int_equal(mw_io_reopen(fd), -1);
}

#define ON(kind, name) cmocka_unit_test_setup_teardown(name, kind, nothing_left_open)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(stream, test_io_01_wait_keeps_its_deadline),
        ON(stream, test_io_02_recv_says_how_it_ended),
        ON(stream, test_io_03_the_sockets_own_timeout_counts),
        ON(stream, test_io_04_send_to_nobody_is_closed_without_a_signal),
        ON(stream, test_io_05_send_gives_up_at_its_deadline),
        ON(stream, test_io_06_send_of_nothing),
        ON(stream, test_io_07_send_survives_short_counts),
        ON(stream, test_io_08_send_on_a_nonblocking_socket),
        ON(stream, test_io_09_send_with_a_deadline),
        ON(stream, test_io_10_an_interrupted_call_goes_on),
        ON(packets, test_io_11_messages_keep_their_borders),
        ON(packets, test_io_12_a_descriptor_rides_along),
        ON(packets, test_io_13_a_cut_message_is_refused_with_its_descriptor),
        ON(packets, test_io_14_more_than_one_descriptor_is_refused),
        ON(packets, test_io_15_a_full_socket_says_again),
        ON(stream, test_io_16_new_descriptors_close_on_exec),
        ON(stream, test_io_17_close_keeps_errno),
        ON(stream, test_io_18_shared_memory_has_a_fixed_size),
        ON(stream, test_io_19_close_from_closes_the_rest),
        ON(stream, test_io_19_close_but_keeps_what_is_named),
        ON(stream, test_io_20_an_interrupted_send_goes_on),
        ON(stream, test_io_21_signals_do_not_lengthen_a_sockets_timeout),
        ON(stream, test_io_22_a_peer_that_hung_up),
        ON(stream, test_io_23_a_descriptor_in_a_stream),
        ON(stream, test_io_24_a_descriptor_goes_once),
        ON(stream, test_io_25_no_room_for_a_descriptor),
        ON(stream, test_io_26_files_that_can_be_read),
        ON(stream, test_io_27_a_position_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
