/*
 * reqbuild.h: request_rec -> request block (chan/req.h): CGI variables (RFC 3875), our keys,
 * headers.
 */
#ifndef MW_FRONT_REQBUILD_H
#define MW_FRONT_REQBUILD_H

#include <httpd.h>

#include "req.h"
#include "resolve.h"

/* Append the block to b. OK, or the HTTP status to return, already logged (400: bad Content-Length,
 * 411, 413, 500: over MW_REQ_BLOCK_MAX). */
int mw_reqbuild(request_rec *r, const struct mw_target *t, struct mw_buf *b);

#endif
