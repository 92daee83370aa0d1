/*
 * ctlsock.h: the path at which the supervisor of the newest generation listens for the operator's tool.
 * The httpd parent's one thread uses it, and a supervisor at its end.
 *
 * The socket is made under another name and renamed, so that the path answers at any time: an older
 * supervisor keeps its own socket, which nobody finds any more.
 */
#ifndef MW_FRONT_CTLSOCK_H
#define MW_FRONT_CTLSOCK_H

#include <httpd.h>

#include "config.h"

/* Listen at the configured path, or in httpd's runtime directory. *fd_r: -1 if nobody is to listen, or
 * if the default path cannot be used (logged as a warning). MW_EIO: the configured one cannot (logged). A
 * path that an earlier configuration used is removed. */
MW_MUST_CHECK int mw_ctlsock_open(apr_pool_t *p, server_rec *s, const struct mw_config *config,
                                  int *fd_r);

/* httpd stops, or its configuration has no daemon groups any more: remove the path. */
void mw_ctlsock_remove(void);

/* A supervisor ends, and the httpd parent that forked it may have been killed: remove the path in its place,
 * unless it leads to another generation's socket. */
void mw_ctlsock_remove_orphan(void);

#endif
