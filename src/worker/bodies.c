/*
 * bodies.c: see bodies.h.
 */
#include "bodies.h"

#include <sys/stat.h>

#include "clock.h"

void mw_bodies_init(struct mw_bodies *b)
{
    *b = (struct mw_bodies){.v = {{.users = 0}}};
    pthread_mutex_init(&b->lock, NULL);
}

void mw_bodies_fini(struct mw_bodies *b)
{
    for (size_t i = 0; i < MW_BODIES_MAX; i++)
        mw_memfile_unmap(&b->v[i].map);
    pthread_mutex_destroy(&b->lock);
}

/* -- under the lock -- */

static int is_same(const struct mw_body_file *f, const struct stat *st)
{
    return f->map.p && f->ino == st->st_ino && f->dev == st->st_dev &&
           f->changed.tv_sec == st->st_ctim.tv_sec && f->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/* Free, or else the one that was left first; NULL: all are in use. */
static struct mw_body_file *find_room(struct mw_bodies *b)
{
    struct mw_body_file *best = NULL;

    for (size_t i = 0; i < MW_BODIES_MAX; i++) {
        struct mw_body_file *f = &b->v[i];

        if (!f->map.p)
            return f;
        if (f->users == 0 && (!best || f->used_ms < best->used_ms))
            best = f;
    }
    return best;
}

static struct mw_body_file *add(struct mw_bodies *b, int fd, const struct stat *st)
{
    struct mw_body_file *f = find_room(b);
    struct mw_memfile map;

    if (!f || mw_memfile_map(&map, fd))
        return NULL;
    mw_memfile_unmap(&f->map);
    *f = (struct mw_body_file){
        .map = map, .dev = st->st_dev, .ino = st->st_ino, .changed = st->st_ctim};
    return f;
}

static struct mw_body_file *find(struct mw_bodies *b, const struct stat *st)
{
    for (size_t i = 0; i < MW_BODIES_MAX; i++)
        if (is_same(&b->v[i], st))
            return &b->v[i];
    return NULL;
}

/* -- */

struct mw_body_file *mw_bodies_take(struct mw_bodies *b, int fd, size_t n)
{
    struct mw_body_file *f;
    struct stat st;

    if (fstat(fd, &st) || st.st_size != (off_t)MW_MEMFILE_SIZE)
        return NULL;
    pthread_mutex_lock(&b->lock);
    f = find(b, &st);
    if (!f)
        f = add(b, fd, &st);
    if (f && mw_memfile_reach(&f->map, n))
        f = NULL;
    if (f)
        f->users++;
    pthread_mutex_unlock(&b->lock);
    return f;
}

void mw_bodies_give(struct mw_bodies *b, struct mw_body_file *f)
{
    pthread_mutex_lock(&b->lock);
    f->users--;
    f->used_ms = mw_clock_ms();
    pthread_mutex_unlock(&b->lock);
}

void mw_bodies_sweep(struct mw_bodies *b, uint64_t now_ms)
{
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < MW_BODIES_MAX; i++) {
        struct mw_body_file *f = &b->v[i];

        if (f->users == 0 && now_ms - f->used_ms >= MW_BODIES_IDLE_MS)
            mw_memfile_unmap(&f->map);
    }
    pthread_mutex_unlock(&b->lock);
}
