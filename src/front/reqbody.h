/*
 * reqbody.h: what a request's header says of its body.
 */
#ifndef MW_FRONT_REQBODY_H
#define MW_FRONT_REQBODY_H

#include <httpd.h>

#include "req.h"

/* Set MW_REQ_BODY and content_length. OK, or the HTTP status to return, already logged. */
int mw_reqbody_describe(request_rec *r, struct mw_req *head);

/* Whether Content-Length is that of the bytes which the application will read: many count on it. A
 * filter decodes where there is something to decode, and otherwise most likely leaves the body as it
 * is. */
int mw_reqbody_knows_length(const request_rec *r, const struct mw_req *head);

#endif
