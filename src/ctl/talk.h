/*
 * talk.h: the operator's tool asks the supervisor, and the workers by way of it. One thread. What
 * comes from a worker is as trustworthy as the application in it.
 */
#ifndef MW_CTL_TALK_H
#define MW_CTL_TALK_H

#include "admin.h"

/* A worker, and what it said of itself. Strings live in struct mw_client_list. */
struct mw_client_worker {
    struct mw_admin_worker w;
    const struct mw_client_group *group;
    struct mw_buf said;  /* its report */
    struct mw_buf stack; /* its Python stacks, as text */
    int silent;          /* it did not write all of it in time */
    const char *problem; /* why nothing is known; NULL: something is */
    int gone;            /* because it ended after the list was made */
    struct mw_admin_report report;
    struct mw_admin_request *requests; /* report.nrequests of them */
};

struct mw_client_group {
    struct mw_admin_group g;
    struct mw_client_worker *workers; /* g.nworkers of them */
};

struct mw_client_list {
    struct mw_buf bytes;
    struct mw_admin_list head;
    struct mw_client_group *groups; /* head.ngroups of them */
};

struct mw_client {
    int fd;
    int64_t patience_ms; /* for an answer of the supervisor, for all that a worker says */
    char why[MW_ADMIN_TEXT_MAX + 256]; /* of the last failure */
};

/* 0 or MW_E* with c->why. */
MW_MUST_CHECK int mw_client_connect(struct mw_client *c, const char *path);
void mw_client_close(struct mw_client *c);
MW_MUST_CHECK int mw_client_list(struct mw_client *c, struct mw_client_list *out);
void mw_client_list_fini(struct mw_client_list *l);
/* Anything but LIST. */
MW_MUST_CHECK int mw_client_order(struct mw_client *c, const struct mw_admin_ask *ask);

/* Have each of these workers say REPORT (decoded) or STACKS (in `stack`). What cannot be had is in
 * worker->problem. Only the loss of the supervisor is a failure. */
MW_MUST_CHECK int mw_client_reports(struct mw_client *c, struct mw_client_worker **v, size_t n);
MW_MUST_CHECK int mw_client_stacks(struct mw_client *c, struct mw_client_worker **v, size_t n);

#endif
