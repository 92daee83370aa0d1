/*
 * handler.h: the content handler: resolve, build the request block, embedded or remote.
 */
#ifndef MW_FRONT_HANDLER_H
#define MW_FRONT_HANDLER_H

#include <httpd.h>

int mw_handler(request_rec *r);

#endif
