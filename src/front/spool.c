/*
 * spool.c: two files without a name, one in memory and one on a disk, as one queue of bytes. Whoever has
 * a request to serve calls it; never waits but for the disk.
 *
 * A file is written onwards until all of it has been read, then from its beginning again: a client that
 * keeps up now and then needs no more room, however long the answer.
 */
#include "spool.h"

#include <string.h>
#include <unistd.h>

#include "io.h"

void mw_spool_init(struct mw_spool *s, const struct mw_spool_limits *limits)
{
    s->limits = *limits;
    memset(s->part, 0, sizeof s->part);
    for (int i = 0; i < MW_SPOOL_PARTS; i++)
        s->part[i].fd = -1;
}

void mw_spool_fini(struct mw_spool *s)
{
    for (int i = 0; i < MW_SPOOL_PARTS; i++)
        mw_io_close(&s->part[i].fd);
}

static uint64_t held(const struct mw_spool_part *p)
{
    return p->to - p->from;
}

uint64_t mw_spool_size(const struct mw_spool *s)
{
    return held(&s->part[MW_SPOOL_MEMORY]) + held(&s->part[MW_SPOOL_FILE]);
}

static int fits_memory(const struct mw_spool *s, size_t n)
{
    return held(&s->part[MW_SPOOL_FILE]) == 0 &&
           s->part[MW_SPOOL_MEMORY].to + n <= s->limits.memory;
}

static int fits_file(const struct mw_spool *s, size_t n)
{
    return s->part[MW_SPOOL_FILE].to + n <= s->limits.file;
}

int mw_spool_has_room(const struct mw_spool *s, size_t n)
{
    return fits_memory(s, n) || fits_file(s, n);
}

static int put_part(struct mw_spool_part *part, const char *dir, const void *p, size_t n)
{
    int rv = part->fd < 0 ? mw_io_scratch(dir, &part->fd) : 0;

    if (rv == 0)
        rv = mw_io_write_at(part->fd, p, n, part->to);
    if (rv == 0)
        part->to += n;
    return rv;
}

int mw_spool_put(struct mw_spool *s, const void *p, size_t n)
{
    if (fits_memory(s, n))
        return put_part(&s->part[MW_SPOOL_MEMORY], NULL, p, n);
    if (fits_file(s, n))
        return put_part(&s->part[MW_SPOOL_FILE], s->limits.dir, p, n);
    return MW_ELIMIT;
}

static struct mw_spool_part *oldest(struct mw_spool *s)
{
    for (int i = 0; i < MW_SPOOL_PARTS; i++)
        if (held(&s->part[i]) > 0)
            return &s->part[i];
    return NULL;
}

ssize_t mw_spool_get(struct mw_spool *s, void *buf, size_t cap)
{
    struct mw_spool_part *part = oldest(s);
    size_t n;
    int rv;

    if (!part)
        return 0;
    n = held(part) < cap ? (size_t)held(part) : cap;
    rv = mw_io_read_at(part->fd, buf, n, part->from);
    if (rv)
        return rv;
    part->from += n;
    if (part->from == part->to)
        part->from = part->to = 0;
    return (ssize_t)n;
}

int mw_spool_give(struct mw_spool *s, struct mw_spool_part *out)
{
    struct mw_spool_part *part = oldest(s);

    if (!part)
        return 0;
    *out = *part;
    *part = (struct mw_spool_part){.fd = -1};
    return 1;
}
