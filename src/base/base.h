/*
 * base.h: error codes, attributes and small macros that every directory uses.
 *
 * Pure code returns 0 or a negative MW_E* code and never logs; the edges (front/, worker/main.c,
 * super/loop.c, py/pyerr.c) log once. HTTP status codes appear only in front/, Python exceptions
 * only in py/.
 */
#ifndef MW_BASE_H
#define MW_BASE_H

#include <stddef.h>
#include <stdint.h>

enum mw_err {
    MW_OK = 0,
    MW_EPROTO = -1,   /* malformed bytes, or an event the peer must not send now */
    MW_ELIMIT = -2,   /* over a named limit */
    MW_ENOMEM = -3,   /* allocation failed */
    MW_EIO = -4,      /* a system call failed; errno tells */
    MW_ETIMEOUT = -5, /* the deadline passed */
    MW_ECLOSED = -6,  /* the peer closed, or nobody is there any more */
    MW_ESTATE = -7,   /* this call is not allowed in this state: a programming error upstream */
    MW_EINVAL = -8,   /* an argument or a configured value is out of range */
    MW_EABORT = -9,   /* the HTTP client went away */
    MW_EAGAIN = -10,  /* nothing to do now; not a failure */
    MW_ENOENT = -11,  /* no such name, file or slot */
    MW_EDOWN = -12    /* nobody is there now; somebody will be, later */
};

/* A lower-case phrase for an MW_E* code; never NULL. For MW_EIO the caller adds strerror(errno). */
const char *mw_err_text(int err);

#define MW_MUST_CHECK __attribute__((warn_unused_result))
#define MW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* A borrowed run of bytes; not NUL-terminated unless the function that fills it says so. */
struct mw_str {
    const char *p;
    size_t n;
};

#define MW_STR(literal) ((struct mw_str){(literal), sizeof(literal) - 1})

#endif
