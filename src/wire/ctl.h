/*
 * ctl.h: messages of the supervisor, each one SOCK_SEQPACKET message.
 *
 * Handover: httpd child -> supervisor -> worker, with the descriptor of a fresh connection.
 * Control: worker <-> supervisor.
 */
#ifndef MW_CTL_H
#define MW_CTL_H

#include "base.h"

#define MW_CTL_MAX 6144u /* bytes of the largest message */
#define MW_CTL_TEXT_MAX 480u
#define MW_CTL_SCRIPT_MAX 4095u    /* bytes of a path */
#define MW_CTL_APP_GROUP_MAX 1024u /* bytes of an application group's name */
#define MW_CTL_CALLABLE_MAX 256u   /* bytes of the name of a callable */

/* Where an executed worker finds who it is: "group slot incarnation", decimal. It removes it. */
#define MW_WORKER_ENV "MW_WORKER"

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
    /* worker -> supervisor: threads started; with a text: not all of its scripts could be imported */
    MW_CTL_READY = 4,
    MW_CTL_FAILED = 5, /* worker -> supervisor: start step failed; text says which and why */
    /* worker -> supervisor: replace me, I serve until then; text says why, script what has changed */
    MW_CTL_RECYCLE = 6,
    MW_CTL_REPORT = 7, /* supervisor -> worker, with an operator's pipe: write a report into it */
    MW_CTL_STACKS = 8, /* the same for the Python stacks */
    /* worker -> supervisor: I finish what runs and leave, put another in my place; text says why */
    MW_CTL_LEAVING = 9,
    /* worker -> supervisor: I have loaded this script; a successor must be able to, too */
    MW_CTL_SCRIPT = 10
};
#define MW_CTL_LAST MW_CTL_SCRIPT

struct mw_ctl {
    uint8_t type;
    uint16_t group;       /* index in the generation's list of groups */
    uint16_t slot;        /* worker's place in its group */
    uint32_t incarnation; /* of the worker that is meant; a stale one is refused */
    struct mw_str
        text; /* READY, FAILED, RECYCLE, LEAVING; borrows the message, as do those below */
    /* RECYCLE and SCRIPT only: a script that the successor must be able to import; "" is none. */
    struct mw_str script;
    struct mw_str app_group;
    struct mw_str callable; /* that it must have */
    uint8_t explicit_group; /* 0 or 1 */
};

/* Bytes written to out, or MW_ELIMIT (a string is too long; the caller cuts the text, and leaves out the
 * script), or MW_EINVAL (no such type, or a string where none belongs or with a NUL in it). A string
 * that is not set is empty. */
MW_MUST_CHECK int mw_ctl_encode(uint8_t out[MW_CTL_MAX], const struct mw_ctl *c);
MW_MUST_CHECK int mw_ctl_decode(struct mw_ctl *out, const void *p, size_t n);

#endif
