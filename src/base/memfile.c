/*
 * memfile.c: see memfile.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* F_ADD_SEALS */
#endif
#include "memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

/* Bytes that are made to be there at once: whole pages, whatever their size. */
#define STEP (64u << 10)

_Static_assert(MW_MEMFILE_SIZE % STEP == 0, "the last step ends with the file");

#if defined(F_SEAL_FUTURE_WRITE) && defined(MADV_POPULATE_WRITE)

/* Together they also forbid to free pages out of the middle. */
#define CANNOT_VANISH (F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE)

static int populate(const struct mw_memfile *m, size_t from, size_t to)
{
    int advice = m->writes ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    int rc;

    do
        rc = madvise(m->p + from, to - from, advice);
    while (rc && errno == EINTR);
    return rc ? (errno == EINVAL ? MW_EINVAL : MW_EIO) : 0;
}

static int map(struct mw_memfile *m, int fd, int prot)
{
    void *p = mmap(NULL, MW_MEMFILE_SIZE, prot, MAP_SHARED, fd, 0);

    *m = (struct mw_memfile){.writes = (prot & PROT_WRITE) != 0};
    if (p == MAP_FAILED)
        return MW_EIO;
    m->p = p;
    (void)madvise(p, MW_MEMFILE_SIZE, MADV_DONTFORK);
    return 0;
}

/* Whoever had the file before may have changed its size, so that counts only once it is fixed. */
static int seal(int fd)
{
    struct stat st;

    if (fcntl(fd, F_ADD_SEALS, CANNOT_VANISH | F_SEAL_GROW | F_SEAL_SEAL))
        return errno == EINVAL ? MW_EINVAL : MW_EIO;
    return fstat(fd, &st) == 0 && st.st_size == (off_t)MW_MEMFILE_SIZE ? 0 : MW_EIO;
}

int mw_memfile_fix(struct mw_memfile *m, int fd)
{
    int rv;

    *m = (struct mw_memfile){.p = NULL};
    if (ftruncate(fd, (off_t)MW_MEMFILE_SIZE))
        return MW_EIO;
    rv = map(m, fd, PROT_READ | PROT_WRITE);
    /* A kernel that cannot do this is to say so before the file can be written by the mapping alone. */
    if (rv == 0)
        rv = populate(m, 0, 1);
    if (rv == 0)
        rv = seal(fd);
    if (rv)
        mw_memfile_unmap(m);
    return rv;
}

/* Not a file of huge pages, whose memory may be short. */
static int is_fixed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct statfs fs;
    struct stat st;

    return seals >= 0 && (seals & CANNOT_VANISH) == CANNOT_VANISH && fstatfs(fd, &fs) == 0 &&
           fs.f_type == TMPFS_MAGIC && fstat(fd, &st) == 0 && st.st_size >= (off_t)MW_MEMFILE_SIZE;
}

int mw_memfile_map(struct mw_memfile *m, int fd)
{
    *m = (struct mw_memfile){.p = NULL};
    return is_fixed(fd) ? map(m, fd, PROT_READ) : MW_EINVAL;
}

int mw_memfile_reach(struct mw_memfile *m, size_t n)
{
    size_t to = (n + STEP - 1) / STEP * STEP;
    int rv;

    if (n <= m->there)
        return 0;
    if (!m->p || n > MW_MEMFILE_SIZE)
        return MW_EINVAL;
    rv = populate(m, m->there, to);
    if (rv == 0)
        m->there = to;
    return rv;
}

void mw_memfile_unmap(struct mw_memfile *m)
{
    int saved = errno;

    if (m->p)
        munmap(m->p, MW_MEMFILE_SIZE);
    *m = (struct mw_memfile){.p = NULL};
    errno = saved;
}

#else

int mw_memfile_fix(struct mw_memfile *m, int fd)
{
    (void)fd;
    *m = (struct mw_memfile){.p = NULL};
    return MW_EINVAL;
}

int mw_memfile_map(struct mw_memfile *m, int fd)
{
    return mw_memfile_fix(m, fd);
}

int mw_memfile_reach(struct mw_memfile *m, size_t n)
{
    return n <= m->there ? 0 : MW_EINVAL;
}

void mw_memfile_unmap(struct mw_memfile *m)
{
    *m = (struct mw_memfile){.p = NULL};
}

#endif
