/*
 * io.c: system calls that are safe against EINTR and short counts, and descriptor passing. Any
 * thread, no state. Never logs; errno is the caller's to report.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create, pipe2 */
#endif
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <sys/vfs.h>
#endif

#include "clock.h"

#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

/* Room for as many as the kernel passes at once (SCM_MAX_FD): it closes those without room itself, and
 * lets them linger. */
#define FDS_PER_MESSAGE 253

#define FUSE_MAGIC 0x65735546 /* f_type of statfs */

/* The code for a failed call; MW_EAGAIN where the call would have had to wait. */
static int code_of_errno(void)
{
    switch (errno) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        return MW_EAGAIN;
    case EPIPE:
    case ECONNRESET:
        return MW_ECLOSED;
    default:
        return MW_EIO;
    }
}

int mw_io_wait(int fd, short events, uint64_t deadline)
{
    struct pollfd pf = {.fd = fd, .events = events};

    for (;;) {
        int rc = poll(&pf, 1, mw_clock_poll_ms(deadline));
        if (rc > 0)
            return pf.revents & POLLNVAL ? (errno = EBADF, MW_EIO) : 0;
        if (rc < 0 && errno != EINTR)
            return MW_EIO;
        if (rc == 0 && mw_clock_poll_ms(deadline) == 0)
            return MW_ETIMEOUT;
    }
}

/* After a call said "would wait": 0 to try again, or why not. With no deadline of the caller's, a
 * blocking descriptor says so only when its own SO_RCVTIMEO or SO_SNDTIMEO has passed. */
static int wait_again(int fd, short events, uint64_t deadline)
{
    if (deadline == MW_NO_DEADLINE) {
        int fl = fcntl(fd, F_GETFL);
        if (fl < 0)
            return MW_EIO;
        if (!(fl & O_NONBLOCK))
            return MW_ETIMEOUT;
    }
    return mw_io_wait(fd, events, deadline);
}

/* A signal has interrupted a call that may wait as long as the socket's own timeout `opt`
 * (SO_RCVTIMEO, SO_SNDTIMEO). The kernel would begin anew, so signals that come faster would make it
 * wait for ever: from here on the same time is a deadline. */
static uint64_t after_signal(int fd, int opt, uint64_t deadline)
{
    struct timeval tv = {0};
    socklen_t n = sizeof tv;

    if (deadline != MW_NO_DEADLINE || getsockopt(fd, SOL_SOCKET, opt, &tv, &n) < 0 ||
        (tv.tv_sec == 0 && tv.tv_usec == 0))
        return deadline;
    return mw_clock_deadline((uint64_t)tv.tv_sec * 1000 + (uint64_t)(tv.tv_usec + 999) / 1000);
}

/* With a deadline the call itself must not wait, whatever the descriptor's mode. */
static int wait_flag(uint64_t deadline)
{
    return deadline == MW_NO_DEADLINE ? 0 : MSG_DONTWAIT;
}

/* Drop n sent bytes from the front of msg. */
static void advance(struct msghdr *msg, size_t n)
{
    while (msg->msg_iovlen > 0 && n >= msg->msg_iov->iov_len) {
        n -= msg->msg_iov->iov_len;
        msg->msg_iov++;
        msg->msg_iovlen--;
    }
    if (n > 0) {
        msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
        msg->msg_iov->iov_len -= n;
    }
}

/* Room for the control message of one descriptor. */
union one_fd {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
};

/* Let msg carry descriptor `pass`, if there is one. */
static void attach(struct msghdr *msg, union one_fd *ctl, int pass)
{
    if (pass < 0)
        return;
    memset(ctl, 0, sizeof *ctl);
    msg->msg_control = ctl->space;
    msg->msg_controllen = sizeof ctl->space;
    struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(sizeof pass);
    memcpy(CMSG_DATA(cm), &pass, sizeof pass);
}

int mw_io_send_all(int fd, struct iovec *iov, int iovcnt, uint64_t deadline)
{
    return mw_io_send_all_fd(fd, iov, iovcnt, deadline, -1);
}

int mw_io_send_all_fd(int fd, struct iovec *iov, int iovcnt, uint64_t deadline, int pass)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)(iovcnt > 0 ? iovcnt : 0)};
    union one_fd ctl;
    uint64_t until = deadline; /* of this wait; the socket's own timeout is for each anew */

    advance(&msg, 0);
    attach(&msg, &ctl, pass);
    while (msg.msg_iovlen > 0) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | wait_flag(until));
        if (n >= 0) {
            advance(&msg, (size_t)n);
            msg.msg_control = NULL; /* it went with the first byte */
            msg.msg_controllen = 0;
            until = deadline;
            continue;
        }
        if (errno == EINTR) {
            until = after_signal(fd, SO_SNDTIMEO, until);
            continue;
        }
        int rv = code_of_errno();
        if (rv == MW_EAGAIN)
            rv = wait_again(fd, POLLOUT, until);
        if (rv)
            return rv;
    }
    return 0;
}

/* Collect the descriptors of a message; returns how many there were, the first in *fd_r (or -1),
 * all further ones closed. */
static unsigned take_fds(struct msghdr *mh, int *fd_r)
{
    unsigned count = 0;

    *fd_r = -1;
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cm) + i * sizeof fd, sizeof fd);
            if (count++ == 0)
                *fd_r = fd;
            else
                mw_io_close_given(&fd);
        }
    }
    return count;
}

/* One recvmsg. Control data is cut only where this process may have no more descriptors; the bytes have
 * come all the same. */
static ssize_t recv_msg(int fd, void *buf, size_t cap, int flags, int *pass_r)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(FDS_PER_MESSAGE * sizeof(int))];
    } ctl;
    struct iovec iov = {.iov_base = buf, .iov_len = cap};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = ctl.space,
                        .msg_controllen = sizeof ctl.space};
    ssize_t n = recvmsg(fd, &mh, flags | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return code_of_errno();
    unsigned nfds = mh.msg_controllen ? take_fds(&mh, pass_r) : 0;
    /* An empty message cannot be told from the end, and nobody of ours sends one. */
    if (n == 0 || nfds > 1 || mh.msg_flags & MSG_TRUNC) {
        mw_io_close_given(pass_r);
        errno = 0;
        return n == 0 ? MW_ECLOSED : MW_EPROTO;
    }
    if (mh.msg_flags & MSG_CTRUNC) {
        mw_io_close_given(pass_r);
        *pass_r = MW_FD_DROPPED;
    }
    if (MSG_CMSG_CLOEXEC == 0 && *pass_r >= 0)
        fcntl(*pass_r, F_SETFD, FD_CLOEXEC);
    return n;
}

static ssize_t recv_once(int fd, void *buf, size_t cap, int flags, int *pass_r)
{
    if (pass_r)
        return recv_msg(fd, buf, cap, flags, pass_r);
    ssize_t n = recv(fd, buf, cap, flags);

    if (n == 0)
        return MW_ECLOSED;
    return n > 0 ? n : code_of_errno();
}

/* pass_r: NULL, or where a descriptor goes. */
static ssize_t recv_wait(int fd, void *buf, size_t cap, uint64_t deadline, int *pass_r)
{
    if (cap == 0)
        return MW_EINVAL;
    for (;;) {
        ssize_t n = recv_once(fd, buf, cap, wait_flag(deadline), pass_r);
        if (n == MW_EIO && errno == EINTR) {
            deadline = after_signal(fd, SO_RCVTIMEO, deadline);
            continue;
        }
        if (n != MW_EAGAIN)
            return n;
        int rv = wait_again(fd, POLLIN, deadline);
        if (rv)
            return rv;
    }
}

static ssize_t recv_now(int fd, void *buf, size_t cap, int *pass_r)
{
    ssize_t n;

    if (cap == 0)
        return MW_EINVAL;
    do
        n = recv_once(fd, buf, cap, MSG_DONTWAIT, pass_r);
    while (n == MW_EIO && errno == EINTR);
    return n;
}

ssize_t mw_io_recv(int fd, void *buf, size_t cap, uint64_t deadline)
{
    return recv_wait(fd, buf, cap, deadline, NULL);
}

ssize_t mw_io_recv_now(int fd, void *buf, size_t cap)
{
    return recv_now(fd, buf, cap, NULL);
}

ssize_t mw_io_recv_fd(int fd, void *buf, size_t cap, uint64_t deadline, int *pass_r)
{
    *pass_r = -1;
    return recv_wait(fd, buf, cap, deadline, pass_r);
}

ssize_t mw_io_recv_fd_now(int fd, void *buf, size_t cap, int *pass_r)
{
    *pass_r = -1;
    return recv_now(fd, buf, cap, pass_r);
}

ssize_t mw_io_recv_msg(int fd, void *buf, size_t cap, int *pass_r)
{
    ssize_t n = mw_io_recv_fd_now(fd, buf, cap, pass_r);

    if (*pass_r != MW_FD_DROPPED)
        return n;
    *pass_r = -1;
    return MW_EPROTO;
}

int mw_io_is_hung_up(int fd)
{
#ifdef POLLRDHUP
    struct pollfd pf = {.fd = fd, .events = POLLRDHUP};

    return poll(&pf, 1, 0) > 0;
#else
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
#endif
}

int mw_io_send_msg(int fd, const void *msg, size_t n, int pass)
{
    union {
        const void *in;
        void *iov; /* iovec has no const form */
    } bytes = {.in = msg};
    struct iovec iov = {.iov_base = bytes.iov, .iov_len = n};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    union one_fd ctl;
    ssize_t rc;

    attach(&mh, &ctl, pass);
    do
        rc = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? code_of_errno() : 0;
}

int mw_io_socketpair(int type, int fd_r[2])
{
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fd_r) == 0)
        return 0;
    fd_r[0] = fd_r[1] = -1;
    return MW_EIO;
}

int mw_io_pipe(int fd_r[2])
{
    if (pipe2(fd_r, O_CLOEXEC) == 0)
        return 0;
    fd_r[0] = fd_r[1] = -1;
    return MW_EIO;
}

int mw_io_nonblock(int fd, int on)
{
    int fl = fcntl(fd, F_GETFL);

    if (fl < 0)
        return MW_EIO;
    int want = on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK;
    return want != fl && fcntl(fd, F_SETFL, want) < 0 ? MW_EIO : 0;
}

void mw_io_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd); /* not repeated on EINTR: the descriptor is gone and may be somebody else's */
    *fd = -1;
    errno = saved;
}

void mw_io_close_given(int *fd)
{
    static const struct linger none = {0};
    int saved = errno;

    if (*fd >= 0)
        (void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    errno = saved;
    mw_io_close(fd);
}

int mw_io_is_local_stream(int fd)
{
    int domain = 0, type = 0;
    socklen_t n = sizeof domain;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) || domain != AF_UNIX)
        return 0;
    n = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

/* Whether reads wait for a process that serves the file system. */
static int is_fuse(int fd)
{
#ifdef __linux__
    struct statfs fs;

    return fstatfs(fd, &fs) || fs.f_type == FUSE_MAGIC;
#else
    (void)fd;
    return 0;
#endif
}

static int is_readable(int flags)
{
#ifdef O_PATH
    if (flags & O_PATH)
        return 0;
#endif
    return (flags & O_ACCMODE) != O_WRONLY;
}

int mw_io_file_size(int fd, int64_t *size_r)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fstat(fd, &st))
        return MW_EIO;
    if (!S_ISREG(st.st_mode) || !is_readable(flags) || is_fuse(fd))
        return MW_EINVAL;
    *size_r = (int64_t)st.st_size;
    return 0;
}

int mw_io_reopen(int fd)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

#ifdef MFD_ALLOW_SEALING
static int open_anonymous(const char *name)
{
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* Whoever maps the memory must not be killed by somebody else's ftruncate. */
static int fix_size(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}
#else
static int open_anonymous(const char *name)
{
    char path[64];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/%.32s-%ld-%u", name, (long)getpid(), i);
        int fd = shm_open(path, O_RDWR | O_CREAT | O_EXCL, 0600); /* close-on-exec by POSIX */
        if (fd >= 0)
            shm_unlink(path);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static int fix_size(int fd)
{
    (void)fd;
    return 0;
}
#endif

int mw_io_memfd(const char *name, size_t n, int *fd_r)
{
    int fd = open_anonymous(name);

    *fd_r = -1;
    if (fd < 0)
        return MW_EIO;
    if (ftruncate(fd, (off_t)n) < 0 || fix_size(fd) < 0) {
        mw_io_close(&fd);
        return MW_EIO;
    }
    *fd_r = fd;
    return 0;
}

/* O_TMPFILE never gives the file a name; not every file system has it. */
static int open_nameless(const char *dir)
{
    char path[4096];
    int fd = -1;

#ifdef O_TMPFILE
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
#endif
    if (snprintf(path, sizeof path, "%s/mod_wsgi.XXXXXX", dir) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int mw_io_scratch(const char *dir, int *fd_r)
{
    *fd_r = dir ? open_nameless(dir) : open_anonymous("mod_wsgi-scratch");
    return *fd_r < 0 ? MW_EIO : 0;
}

int mw_io_write_at(int fd, const void *p, size_t n, uint64_t at)
{
    const char *from = p;

    while (n > 0) {
        ssize_t done = pwrite(fd, from, n, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = ENOSPC;
        if (done <= 0)
            return MW_EIO;
        from += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return 0;
}

int mw_io_file_of(const char *name, const void *p, size_t n, int *fd_r)
{
    int rv = mw_io_memfd(name, n, fd_r);

    if (rv == 0)
        rv = mw_io_write_at(*fd_r, p, n, 0);
    if (rv)
        mw_io_close(fd_r);
    return rv;
}

int mw_io_read_at(int fd, void *p, size_t n, uint64_t at)
{
    char *to = p;

    while (n > 0) {
        ssize_t done = pread(fd, to, n, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = ENODATA;
        if (done <= 0)
            return MW_EIO;
        to += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return 0;
}

/* Close what the directory of our descriptors lists; 0 if it could be read. */
static int close_listed(int low)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;

    if (!d)
        return -1;
    while ((e = readdir(d)) != NULL) {
        char *end;
        long fd = strtol(e->d_name, &end, 10);
        if (end != e->d_name && !*end && fd >= low && fd != dirfd(d))
            close((int)fd);
    }
    closedir(d);
    return 0;
}

void mw_io_close_from(int low)
{
    struct rlimit rl;

#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)low, ~0u, 0u) == 0)
        return;
#endif
    if (close_listed(low) == 0)
        return;
    int top = 65536;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < (rlim_t)top)
        top = (int)rl.rlim_cur;
    for (int fd = low; fd < top; fd++)
        close(fd);
}

static int compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void close_between(int low, int high)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)low, (unsigned)high, 0u) == 0)
        return;
#endif
    for (int fd = low; fd <= high; fd++)
        close(fd);
}

void mw_io_close_but(int low, int *keep, size_t n)
{
    qsort(keep, n, sizeof *keep, compare);
    for (size_t i = 0; i < n; i++) {
        if (keep[i] < low)
            continue; /* also one that is named twice */
        if (keep[i] > low)
            close_between(low, keep[i] - 1);
        low = keep[i] + 1;
    }
    mw_io_close_from(low);
}
