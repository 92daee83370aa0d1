/*
 * resolve.h: request_rec -> target: which script, callable, application group and process group.
 */
#ifndef MW_FRONT_RESOLVE_H
#define MW_FRONT_RESOLVE_H

#include <httpd.h>

#include "config.h"

#define MW_HANDLER_NAME "wsgi-script"
#define MW_HANDLER_TYPE "application/x-httpd-wsgi" /* the MIME type does the same */

struct mw_target {
    const char *script;
    const char *callable;
    const char *application_group;
    const char *process_group;    /* "": embedded */
    const struct mw_group *group; /* NULL: embedded */
    int group_explicit;           /* application_group was configured */
    int pass_authorization;       /* 0, 1 */
    int reload;                   /* 0, 1 */
    const char *handler_script;   /* script, if a WSGIHandlerScript led to it; otherwise "" */
    const char *script_name;      /* SCRIPT_NAME and PATH_INFO, slashes collapsed; never NULL */
    const char *path_info;
};

/* translate_name: map the URI by the aliases. OK (r->filename, r->handler set) or DECLINED. */
int mw_resolve_alias(request_rec *r);

/* Whether the handler that httpd chose for the request is ours. */
int mw_resolve_is_ours(request_rec *r);

/* Admission and resolution of a request for our handler. OK, or the HTTP status to return, already
 * logged. Strings live in r->pool. */
int mw_resolve(request_rec *r, struct mw_target *out);

#endif
