/*
 * base.c: texts of the error codes. Called from everywhere, any thread, no state.
 */
#include "base.h"

const char *mw_err_text(int err)
{
    switch (err) {
    case MW_OK:
        return "success";
    case MW_EPROTO:
        return "malformed or unexpected message";
    case MW_ELIMIT:
        return "over a limit";
    case MW_ENOMEM:
        return "out of memory";
    case MW_EIO:
        return "system call failed";
    case MW_ETIMEOUT:
        return "timed out";
    case MW_ECLOSED:
        return "closed by the peer";
    case MW_ESTATE:
        return "not allowed in this state";
    case MW_EINVAL:
        return "value out of range";
    case MW_EABORT:
        return "client went away";
    case MW_EAGAIN:
        return "nothing to do yet";
    case MW_ENOENT:
        return "does not exist";
    case MW_EDOWN:
        return "down for a while";
    default:
        return "unknown error";
    }
}
