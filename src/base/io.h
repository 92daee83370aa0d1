/*
 * io.h: system calls that are safe against EINTR and short counts, and descriptor passing.
 * Every wait has a deadline (clock.h). Descriptors made or received here are close-on-exec.
 */
#ifndef MW_IO_H
#define MW_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base.h"

/* Wait until fd has one of `events` (POLLIN, POLLOUT) or hangs up. MW_ETIMEOUT, MW_EIO. */
MW_MUST_CHECK int mw_io_wait(int fd, short events, uint64_t deadline);

/* Send all of iov (which is changed). SIGPIPE is never raised. fd may be blocking or not.
 * MW_ECLOSED (EPIPE, ECONNRESET), MW_ETIMEOUT (also SO_SNDTIMEO), MW_EIO. */
MW_MUST_CHECK int mw_io_send_all(int fd, struct iovec *iov, int iovcnt, uint64_t deadline);

/* The same; the first byte carries descriptor `pass`, which is borrowed. */
MW_MUST_CHECK int mw_io_send_all_fd(int fd, struct iovec *iov, int iovcnt, uint64_t deadline,
                                    int pass);

/* At least one byte, at most cap. MW_ECLOSED at end of file or reset; MW_ETIMEOUT; MW_EIO. */
MW_MUST_CHECK ssize_t mw_io_recv(int fd, void *buf, size_t cap, uint64_t deadline);

/* As mw_io_recv but never waits: MW_EAGAIN if there is nothing. */
MW_MUST_CHECK ssize_t mw_io_recv_now(int fd, void *buf, size_t cap);

/* In place of a descriptor that came and was lost, because this process may have no more (EMFILE). */
#define MW_FD_DROPPED (-2)

/* The same on a local stream, with the descriptor that came with the bytes in *pass_r, or -1, or
 * MW_FD_DROPPED. One call never brings bytes from beyond a descriptor's own write. More than one at once: all
 * are closed (mw_io_close_given), MW_EPROTO. */
MW_MUST_CHECK ssize_t mw_io_recv_fd(int fd, void *buf, size_t cap, uint64_t deadline, int *pass_r);
MW_MUST_CHECK ssize_t mw_io_recv_fd_now(int fd, void *buf, size_t cap, int *pass_r);

/* 1 if the peer has closed the connection or its sending side, or the connection broke; takes no byte
 * from it. Where the system has no POLLRDHUP, 0 as long as bytes wait to be read. */
int mw_io_is_hung_up(int fd);

/* One message of a SOCK_SEQPACKET socket; pass < 0: no descriptor. Never waits: MW_EAGAIN. */
MW_MUST_CHECK int mw_io_send_msg(int fd, const void *msg, size_t n, int pass);

/* One whole message; *pass_r gets the descriptor or -1. More than one descriptor, one that was dropped, or a
 * cut message: all closed (mw_io_close_given), MW_EPROTO. Never waits: MW_EAGAIN. Returns the message's length. */
MW_MUST_CHECK ssize_t mw_io_recv_msg(int fd, void *buf, size_t cap, int *pass_r);

MW_MUST_CHECK int mw_io_socketpair(int type, int fd_r[2]); /* AF_UNIX, SOCK_CLOEXEC */
MW_MUST_CHECK int mw_io_pipe(int fd_r[2]);                 /* O_CLOEXEC */
MW_MUST_CHECK int mw_io_nonblock(int fd, int on);
void mw_io_close(int *fd); /* if >= 0: close and set to -1; keeps errno */
/* The same for a descriptor that another process chose: a socket is kept from lingering, which would make
 * close wait as long as that process wanted. */
void mw_io_close_given(int *fd);

/* The size of a regular file that can be read. MW_EINVAL: it is something else, or lies in a file system
 * that some process serves (FUSE), which may let a reader wait for ever; MW_EIO. */
MW_MUST_CHECK int mw_io_file_size(int fd, int64_t *size_r);

/* Open the file of fd again, for reading only: a descriptor with a position of its own, which nobody
 * else moves. -1 where that is not possible (no /proc, or the file may not be read any more). */
MW_MUST_CHECK int mw_io_reopen(int fd);

int mw_io_is_local_stream(int fd); /* a SOCK_STREAM socket of AF_UNIX */

/* Anonymous shared memory of n bytes with a name for /proc/PID/fd; memfd_create, or an unlinked
 * POSIX shared memory object where there is none. */
MW_MUST_CHECK int mw_io_memfd(const char *name, size_t n, int *fd_r);

/* The same with these n bytes in it, its offset at 0. */
MW_MUST_CHECK int mw_io_file_of(const char *name, const void *p, size_t n, int *fd_r);

/* An empty file without a name that may grow: in memory where dir is NULL, else in that directory. MW_EIO. */
MW_MUST_CHECK int mw_io_scratch(const char *dir, int *fd_r);

/* All of n bytes at that place. MW_EIO: errno says why (a full disk, a limit). */
MW_MUST_CHECK int mw_io_write_at(int fd, const void *p, size_t n, uint64_t at);
/* MW_EIO, also where the file ends earlier. */
MW_MUST_CHECK int mw_io_read_at(int fd, void *p, size_t n, uint64_t at);

/* Close every descriptor >= low. */
void mw_io_close_from(int low);
/* The same but for those named in `keep`, which is sorted by this; -1 and the like do no harm. */
void mw_io_close_but(int low, int *keep, size_t n);

#endif
