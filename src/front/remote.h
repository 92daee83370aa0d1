/*
 * remote.h: relay one request to a daemon group and its answer back.
 */
#ifndef MW_FRONT_REMOTE_H
#define MW_FRONT_REMOTE_H

#include "chan_httpd.h"
#include "endpoint.h"
#include "resolve.h"

/* block: the request block, req: a view of it, ch: initialised with that; block and view change where the
 * length of the body becomes known. Ends the channel on every path. Returns what the handler returns. */
int mw_remote_serve(struct mw_chan_httpd *ch, const struct mw_target *t, struct mw_endpoint *e,
                    struct mw_buf *block, struct mw_req *req);

#endif
