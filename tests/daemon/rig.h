/*
 * rig.h: a daemon group without httpd. The test process plays the httpd parent and one child: it makes the
 * board, forks the supervisor, claims threads, hands connections over and speaks the wire.
 */
#ifndef MW_TESTS_RIG_H
#define MW_TESTS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "board.h"
#include "chan.h"
#include "link.h"
#include "super.h"

#define RIG_GROUPS 2

struct rig {
    struct mw_spec spec[RIG_GROUPS];
    struct mw_super_group groups[RIG_GROUPS];
    unsigned ngroups;
    char dir[64];       /* world-readable; removed at the end */
    char log_path[128]; /* lines of the supervisor and the workers */
    char worker[1024];
    int log_fd;
    int handover[2];
    int life[2];
    int control; /* listens at control_path */
    char control_path[128];
    pid_t super;
    unsigned fds_before;
};

struct answer {
    unsigned status; /* 0: no head */
    char *body;
    size_t n;
    char log[4096];  /* LOG frames, one per line */
    char links[256]; /* fields of INFORM frames, one value per line */
    int wants;
    int asks;
    int end;    /* enum mw_end; -1: the connection broke */
    int unread; /* it broke before the worker's HELLO */
};

/* A request to send. Zero fields have defaults. */
struct ask {
    unsigned group;
    const char *callable; /* what the fake runtime does */
    const char *script;
    const char *query;
    unsigned flags; /* of the request */
    uint32_t timeout_ms;
    const char *body; /* NULL: none */
    size_t body_n;
    int inline_body; /* sent with the request, not when asked */
    size_t
        body_sent; /* of a body that is sent on WANT: stop after so many bytes, BODY_END(ABORTED) */
    int cut_body;  /* use body_sent */
};

const char *rig_env(const char *name); /* fails the test if it is not set */
double rig_slow(void);                 /* factor for deadlines: sanitizers */

void rig_init(struct rig *r,
              const char *runtime);  /* one group 'test', 1 process, 2 threads; change r->spec */
void rig_start(struct rig *r);       /* fork the supervisor */
void rig_start_ready(struct rig *r); /* and wait until every process is ready */
void rig_fork_super(struct rig *r);  /* another one on the same boards */
/* End by end of file on the life pipe; asserts status 0, no process left, descriptors as before. */
void rig_stop(struct rig *r);
void rig_stopped(struct rig *r, int how_long_ms); /* the second half: wait and assert */
void rig_fini(struct rig *r);
int rig_teardown(void **state); /* of every test: ends what a failed one has left */

/* Slots of group 0 in this state. */
unsigned rig_count(struct rig *r, enum mw_slot_state state);
void rig_wait_count(struct rig *r, enum mw_slot_state state, unsigned n, int ms);
pid_t rig_pid(struct rig *r); /* of the first ready worker of group 0 */

char *rig_log(struct rig *r); /* all of it; free */
int rig_logged(struct rig *r, const char *text);
void rig_wait_log(struct rig *r, const char *text, int ms);
void rig_wait_times(struct rig *r, const char *text, unsigned n, int ms);
unsigned rig_log_times(struct rig *r, const char *text);

void rig_claim(struct rig *r, unsigned group, struct mw_claim *claim);
/* A fresh connection for the claim, HELLO put. */
void rig_connect(struct rig *r, unsigned group, const struct mw_claim *claim, struct mw_link *l);
void rig_hand_over(struct rig *r, const void *msg, size_t n, int fd);
int rig_try_hand_over(struct rig *r, const void *msg, size_t n, int fd);

void rig_block(struct mw_buf *b, const struct ask *a);
void rig_put(struct mw_link *l, const struct ask *a);  /* the request without its body; not sent */
void rig_send(struct mw_link *l, const struct ask *a); /* and sent */
void rig_talk(struct mw_link *l, const struct ask *a,
              struct answer *out); /* one request on a link */
/* Claim, connect, ask, release, close. */
void rig_ask(struct rig *r, const struct ask *a, struct answer *out);
/* As a child would: again if the application has not seen it. */
void rig_ask_patiently(struct rig *r, const struct ask *a, struct answer *out);
void answer_fini(struct answer *a);

/* A group with a connection to a worker of it, and the claim that belongs to the connection. */
struct talk {
    struct rig r;
    struct mw_claim claim;
    struct mw_link l;
};

void talk_begin(struct talk *t, const char *runtime); /* ready, connected */
void talk_end(struct talk *t);
void talk_connect(struct talk *t); /* after a disconnect; HELLO put */
void talk_disconnect(struct talk *t);
/* Receive up to a frame of this type; others may come before it. */
struct mw_frame talk_await(struct talk *t, unsigned type);
void talk_expect_hello(struct talk *t); /* the connection is as good as before */
/* The worker drops the connection and goes on serving on others. */
void talk_expect_dropped(struct talk *t);

#endif
