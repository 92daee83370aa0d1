/*
 * proxied.h: request_rec -> what the headers of proxies may change in its environ (trust.h).
 */
#ifndef MW_FRONT_PROXIED_H
#define MW_FRONT_PROXIED_H

#include <httpd.h>

#include "trust.h"

struct mw_proxied {
    int active; /* 0: WSGITrustedProxyHeaders does not apply, nothing below is set */
    struct mw_trust_given given;
    struct mw_trust_verdict verdict;
};

/* Strings live in r->pool. Changes nothing in r. */
void mw_proxied_judge(request_rec *r, struct mw_proxied *out);

/* Whether an environ key is that of such a header, so that only mw_proxied_value gives it a value. */
int mw_proxied_owns(const struct mw_proxied *px, struct mw_str key);

/* The value under which the application sees the header; p is NULL: it does not. */
struct mw_str mw_proxied_value(const struct mw_proxied *px, enum mw_trust_header h);

#endif
