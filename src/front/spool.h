/*
 * spool.h: bytes on their way to somebody slower, first in, first out: in memory up to a limit, then in a
 * file without a name. Pure but for the two files. One thread.
 */
#ifndef MW_FRONT_SPOOL_H
#define MW_FRONT_SPOOL_H

#include <sys/types.h>

#include "base.h"

struct mw_spool_limits {
    uint64_t memory; /* bytes */
    uint64_t file;   /* bytes; 0: no file */
    const char *dir; /* of the file */
};

/* What was written and not yet read is from `from` to `to` of the file. */
struct mw_spool_part {
    int fd; /* -1: none yet */
    uint64_t from, to;
};

enum { MW_SPOOL_MEMORY, MW_SPOOL_FILE, MW_SPOOL_PARTS };

struct mw_spool {
    struct mw_spool_limits limits;
    /* The first holds what came first: nothing is put into it while the second has something. */
    struct mw_spool_part part[MW_SPOOL_PARTS];
};

/* Nothing is opened before it is needed. limits->dir is borrowed. */
void mw_spool_init(struct mw_spool *s, const struct mw_spool_limits *limits);
void mw_spool_fini(struct mw_spool *s);

/* All n bytes or none. MW_ELIMIT: no room; MW_EIO: the file cannot be written, errno says why. */
MW_MUST_CHECK int mw_spool_put(struct mw_spool *s, const void *p, size_t n);

/* At most cap bytes; 0: it is empty. MW_EIO. What was taken makes room once a file has run empty. */
MW_MUST_CHECK ssize_t mw_spool_get(struct mw_spool *s, void *buf, size_t cap);

uint64_t mw_spool_size(const struct mw_spool *s);
int mw_spool_has_room(const struct mw_spool *s, size_t n);

/* Give the oldest part away as it is: 1, and its descriptor is the caller's; 0: the spool is empty. */
int mw_spool_give(struct mw_spool *s, struct mw_spool_part *out);

#endif
