/*
 * bodies.h: the files in memory that bodies come in again and again (mw_memfile), kept mapped from one
 * request to the next: reading one then costs neither system calls nor page faults. One for all
 * connections of a worker; any thread.
 *
 * A file is known again by what the kernel says of it, whatever descriptor it comes with.
 */
#ifndef MW_BODIES_H
#define MW_BODIES_H

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#include "memfile.h"

#define MW_BODIES_MAX 16u       /* files that are mapped at a time */
#define MW_BODIES_IDLE_MS 5000u /* one that was not used for so long is given back */

struct mw_body_file {
    struct mw_memfile map; /* not mapped: a free entry */
    dev_t dev;
    ino_t ino;
    struct timespec
        changed; /* numbers of files are used again; not within this time's resolution */
    unsigned users;
    uint64_t used_ms; /* when the last one left */
};

struct mw_bodies {
    pthread_mutex_t lock; /* of all entries; held while one is mapped */
    struct mw_body_file v[MW_BODIES_MAX];
};

void mw_bodies_init(struct mw_bodies *b);
void mw_bodies_fini(struct mw_bodies *b); /* nobody uses one */

/* The file of fd, which stays the caller's, with n bytes to read: in use until it is given back. NULL: it is none
 * of those, or there is no room; fd is to be read. */
struct mw_body_file *mw_bodies_take(struct mw_bodies *b, int fd, size_t n);
void mw_bodies_give(struct mw_bodies *b, struct mw_body_file *f);

/* Unmap what was not used for long: its writer may have closed it. */
void mw_bodies_sweep(struct mw_bodies *b, uint64_t now_ms);

#endif
