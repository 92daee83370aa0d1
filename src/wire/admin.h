/*
 * admin.h: what the operator's tool and the supervisor say to each other over the control socket, and
 * what a worker reports to the tool. Pure.
 *
 * A request is one SOCK_SEQPACKET message, and so is its answer; the list of all workers comes as a
 * descriptor in the answer, the report of a worker through a pipe of the tool's. So nothing that is
 * said here is larger than a message, and nobody waits for anybody's socket buffer.
 */
#ifndef MW_ADMIN_H
#define MW_ADMIN_H

#include "buf.h"

#define MW_ADMIN_MAX 1024u /* bytes of the largest message */
#define MW_ADMIN_TEXT_MAX 900u
#define MW_ADMIN_LIST_MAX (4u << 20)   /* bytes of a list */
#define MW_ADMIN_REPORT_MAX (1u << 20) /* bytes of a report */
#define MW_ADMIN_FIELD_MAX 512u        /* bytes of a string in a report; the worker cuts */
#define MW_ADMIN_ALL 0xffffu           /* every slot */
#define MW_ADMIN_NEVER UINT64_MAX

enum mw_admin_op {
    MW_ADMIN_LIST = 1,    /* the answer has a descriptor: a list */
    MW_ADMIN_REPORT = 2,  /* with a pipe: the worker writes a report into it */
    MW_ADMIN_STACKS = 3,  /* with a pipe: the worker writes its Python stacks into it */
    MW_ADMIN_RELOAD = 4,  /* replace every worker of the group, one after the other */
    MW_ADMIN_RECYCLE = 5, /* replace this worker, or every one */
    MW_ADMIN_DRAIN = 6,   /* finish what runs and start no other until RESUME */
    MW_ADMIN_RESUME = 7
};

struct mw_admin_ask {
    uint8_t op;
    uint16_t slot;        /* of the worker that is meant, or MW_ADMIN_ALL */
    uint32_t incarnation; /* of that worker; 0: whichever is there */
    struct mw_str group;  /* name; borrows the message */
};

struct mw_admin_answer {
    uint8_t op;         /* that was asked */
    int err;            /* 0 or MW_E* */
    struct mw_str text; /* what is wrong; borrows the message */
};

/* Bytes written, or MW_ELIMIT (text too long), MW_EINVAL. Decoders: 0 or MW_EPROTO. */
MW_MUST_CHECK int mw_admin_ask_encode(uint8_t out[MW_ADMIN_MAX], const struct mw_admin_ask *a);
MW_MUST_CHECK int mw_admin_ask_decode(struct mw_admin_ask *out, const void *p, size_t n);
MW_MUST_CHECK int mw_admin_answer_encode(uint8_t out[MW_ADMIN_MAX],
                                         const struct mw_admin_answer *a);
MW_MUST_CHECK int mw_admin_answer_decode(struct mw_admin_answer *out, const void *p, size_t n);

/* -- the list: head, then per group its record and its workers -- */

struct mw_admin_list {
    uint32_t pid;    /* of the supervisor */
    uint64_t age_ms; /* of the supervisor */
    uint64_t starts; /* so many workers has it started */
    uint8_t ending;  /* httpd stops, or has another supervisor */
    uint32_t ngroups;
};

struct mw_admin_group {
    struct mw_str name;
    uint32_t processes; /* configured */
    uint32_t threads;   /* of each */
    uint32_t waiting;   /* requests in the queue */
    uint8_t drained;    /* by an operator */
    uint32_t nworkers;
};

/* What a worker's state means to who waits for an order. */
enum mw_admin_phase {
    MW_ADMIN_ABSENT, /* no process, or another supervisor's */
    MW_ADMIN_STARTS,
    MW_ADMIN_SERVES,
    MW_ADMIN_LEAVES
};

struct mw_admin_worker {
    uint16_t slot;
    uint32_t incarnation;
    uint32_t pid;        /* 0: no process */
    uint8_t phase;       /* enum mw_admin_phase */
    struct mw_str state; /* mw_policy_state_name */
    uint64_t started;    /* which start it was, from 1; 0: another supervisor's */
    uint64_t failed;     /* which start was the last that should have replaced it, and failed */
    uint64_t age_ms;     /* of the process; MW_ADMIN_NEVER: none */
    uint64_t due_ms;     /* until the next start, or until it is ended; MW_ADMIN_NEVER: no limit */
    uint32_t claimed;    /* threads that httpd's children hold */
    uint32_t busy;       /* threads at work, as the worker says */
    uint32_t fails;      /* quick deaths and failed starts in a row */
    struct mw_str why;   /* what its FAILED or RECYCLE said, or "" */
};

/* Errors stick in the buffer and in the cursor. */
void mw_admin_put_list(struct mw_buf *b, const struct mw_admin_list *l);
void mw_admin_put_group(struct mw_buf *b, const struct mw_admin_group *g);
void mw_admin_put_worker(struct mw_buf *b, const struct mw_admin_worker *w);
void mw_admin_get_list(struct mw_cur *c, struct mw_admin_list *out);
void mw_admin_get_group(struct mw_cur *c, struct mw_admin_group *out);
void mw_admin_get_worker(struct mw_cur *c, struct mw_admin_worker *out);

/* -- the report of a worker: head, then its requests. The worker may be hostile -- */

struct mw_admin_report {
    uint32_t pid;
    uint32_t incarnation;
    uint64_t resident; /* bytes; 0: unknown */
    uint64_t served;   /* requests since it was ready */
    uint32_t nrequests;
};

struct mw_admin_request {
    uint32_t thread; /* as the system numbers it */
    uint64_t ident;  /* as Python does */
    uint64_t age_ms; /* since it came to the worker */
    uint8_t lost;    /* its time was over, its client has an answer, and it still runs */
    struct mw_str method;
    struct mw_str host;
    struct mw_str url;
    struct mw_str client;
    struct mw_str script;
};

void mw_admin_put_report(struct mw_buf *b, const struct mw_admin_report *r);
void mw_admin_put_request(struct mw_buf *b, const struct mw_admin_request *r); /* cuts strings */
void mw_admin_get_report(struct mw_cur *c, struct mw_admin_report *out);
void mw_admin_get_request(struct mw_cur *c, struct mw_admin_request *out);

#endif
