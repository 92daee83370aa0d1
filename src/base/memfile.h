/*
 * memfile.h: a file in memory that one process writes and others read through mappings, without a system
 * call for its bytes. It has a fixed size; nobody can cut it, make a hole in it or write to it but by the
 * mapping of the one who fixed it. So touching what is mapped, within mw_memfile_reach, kills nobody,
 * whatever the other side does. Never logs, no state; one thread at a time for each mapping.
 *
 * It takes what Linux has since 5.14. Where that is missing everything here says MW_EINVAL, and the file is
 * to be written and read as any other.
 */
#ifndef MW_MEMFILE_H
#define MW_MEMFILE_H

#include <sys/types.h>

#include "base.h"

#define MW_MEMFILE_SIZE (1u << 20) /* bytes of each */

struct mw_memfile {
    char *p;      /* MW_MEMFILE_SIZE bytes; NULL: not mapped */
    size_t there; /* bytes that may be touched */
    int writes;   /* mapped by who fixed it */
};

/* Fix the file of fd, which mw_io_scratch made in memory, and map it for writing. MW_EINVAL: not on this
 * system, and the file may be used on; MW_EIO: another process has done something to the file that it is
 * of no more use. */
MW_MUST_CHECK int mw_memfile_fix(struct mw_memfile *m, int fd);

/* Map a file that was fixed, for reading; anybody may have passed fd. MW_EINVAL: it was not, or only in
 * part; MW_EIO. */
MW_MUST_CHECK int mw_memfile_map(struct mw_memfile *m, int fd);

/* The first n bytes may be touched from now on: their pages are there, and stay. MW_EINVAL: n is too large;
 * MW_EIO: no memory. */
MW_MUST_CHECK int mw_memfile_reach(struct mw_memfile *m, size_t n);

/* If it is mapped. Not inherited by processes that are forked. */
void mw_memfile_unmap(struct mw_memfile *m);

#endif
