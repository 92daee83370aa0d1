/*
 * ask.h: what tests of workers and supervisors do again and again: ask the fake runtime for something, once
 * or from many threads, and change its script.
 */
#ifndef MW_TESTS_ASK_H
#define MW_TESTS_ASK_H

#include <pthread.h>
#include <sys/types.h>

#include "rig.h"

const char *fake(void); /* path of the fake runtime */

void expect(const struct answer *a, int end, const char *body); /* body NULL: whatever it is */
void expect_hello(struct rig *r);
pid_t ask_pid(struct rig *r, unsigned flags, const char *script); /* of who answers */
/* Ask until another process than `old` answers; every request must be answered. */
pid_t wait_other(struct rig *r, unsigned flags, const char *script, pid_t old);

/* A client in a thread of its own. */
struct asker {
    struct rig *r;
    struct ask ask;
    int n;           /* requests; 0: until stop */
    const int *stop; /* atomic */
    int good, lost;  /* atomic */
    pthread_t id;
};

void *ask_often(void *asker); /* for pthread_create */
void start_asker(struct asker *k, struct rig *r, const char *what, const char *query, int n);
void rig_wait_busy(struct rig *r, unsigned n); /* until so many threads of group 0 are at work */

void script_of(const struct rig *r, char *path, size_t cap); /* a path in the rig's folder */
void touch(const char *path);                                /* make it, or make it newer */
void write_script(const char *path, const char *text);

#endif
