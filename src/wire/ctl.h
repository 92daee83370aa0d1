/*
 * ctl.h: messages of the supervisor, each one SOCK_SEQPACKET message.
 *
 * Handover: httpd child -> supervisor -> worker, with the descriptor of a fresh connection.
 * Control: worker <-> supervisor.
 */
#ifndef MW_CTL_H
#define MW_CTL_H

#include "base.h"

#define MW_CTL_MAX 512u /* bytes of the largest message */
#define MW_CTL_TEXT_MAX 480u

/* The descriptors of an executed worker. */
enum mw_worker_fd {
    MW_WFD_CONTROL = 3, /* SOCK_SEQPACKET to the supervisor */
    MW_WFD_LIFE = 4,    /* end of file when the supervisor is gone */
    MW_WFD_BOARD = 5,   /* the group's shared memory */
    MW_WFD_SPEC = 6,    /* the group's specification (spec.h), read to its end */
    MW_WFD_COUNT = 4,
    MW_WFD_FIRST = 3
};

enum mw_ctl_type {
    MW_CTL_CONNECT = 1, /* child -> supervisor, with a descriptor */
    MW_CTL_SERVE = 2,   /* supervisor -> worker, with a descriptor */
    MW_CTL_DRAIN = 3,   /* supervisor -> worker: finish what runs, then leave */
    MW_CTL_READY = 4,   /* worker -> supervisor: preloaded, threads started */
    MW_CTL_FAILED = 5,  /* worker -> supervisor: start step failed; text says which and why */
    MW_CTL_RECYCLE = 6, /* worker -> supervisor: replace me; text says why */
    MW_CTL_REPORT = 7,  /* supervisor -> worker, with an operator's pipe: write a report into it */
    MW_CTL_STACKS = 8   /* the same for the Python stacks */
};

struct mw_ctl {
    uint8_t type;
    uint16_t group;       /* index in the generation's list of groups */
    uint16_t slot;        /* worker's place in its group */
    uint32_t incarnation; /* of the worker that is meant; a stale one is refused */
    struct mw_str text;   /* FAILED, RECYCLE; borrows the message */
};

/* Bytes written to out, or MW_ELIMIT (text too long; the caller cuts), or MW_EINVAL (no such
 * type, or a text where none belongs or with a NUL in it). */
MW_MUST_CHECK int mw_ctl_encode(uint8_t out[MW_CTL_MAX], const struct mw_ctl *c);
MW_MUST_CHECK int mw_ctl_decode(struct mw_ctl *out, const void *p, size_t n);

#endif
