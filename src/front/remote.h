/*
 * remote.h: relay one request to a daemon group and its answer back.
 */
#ifndef MW_FRONT_REMOTE_H
#define MW_FRONT_REMOTE_H

#include "chan_httpd.h"
#include "endpoint.h"
#include "resolve.h"

/* block: the request block, ch: initialised with a view of it. Ends the channel on every path. Returns
 * what the handler returns. */
int mw_remote_serve(struct mw_chan_httpd *ch, const struct mw_target *t, struct mw_endpoint *e,
                    uint8_t *block, size_t n);

#endif
