/*
 * trust.h: what the headers of proxies may change in the environ (WSGITrustedProxyHeaders,
 * WSGITrustedProxies). Pure: bytes in, a verdict out; neither httpd nor APR is needed to run it.
 * Any thread.
 *
 * A header counts only if it is listed. Where a list of proxies is given, the peer of the connection
 * must be in it too; otherwise the listed headers and their synonyms are hidden from the application
 * and change nothing.
 */
#ifndef MW_FRONT_TRUST_H
#define MW_FRONT_TRUST_H

#include "base.h"

/* Synonyms stand together; the last that was listed and is present counts. */
enum mw_trust_header {
    MW_TRUST_FORWARDED_FOR,
    MW_TRUST_CLIENT_IP,
    MW_TRUST_REAL_IP,
    MW_TRUST_FORWARDED_HOST,
    MW_TRUST_HOST,
    MW_TRUST_FORWARDED_SERVER,
    MW_TRUST_FORWARDED_PORT,
    MW_TRUST_SCRIPT_NAME,
    MW_TRUST_FORWARDED_SCRIPT_NAME,
    MW_TRUST_FORWARDED_PROTO,
    MW_TRUST_FORWARDED_SCHEME,
    MW_TRUST_SCHEME,
    MW_TRUST_FORWARDED_HTTPS,
    MW_TRUST_FORWARDED_SSL,
    MW_TRUST_HEADERS
};

/* The header of that name in any case, or -1. '_' stands for '-', so that the names of environ
 * keys without their HTTP_ are understood as well. */
int mw_trust_header_find(struct mw_str name);
const char *mw_trust_header_key(enum mw_trust_header h); /* "HTTP_X_FORWARDED_FOR" */

/* What WSGITrustedProxyHeaders lists. All zero: nothing. */
struct mw_trust_listed {
    uint8_t rank[MW_TRUST_HEADERS]; /* 0: not listed; otherwise the higher, the later */
    uint8_t last;
};
void mw_trust_list(struct mw_trust_listed *l, enum mw_trust_header h);

/* An address; of an IPv4-mapped IPv6 address the IPv4 one. */
struct mw_trust_addr {
    uint8_t byte[16]; /* 4 are used of an IPv4 address */
    int is_ipv6;
};
/* An IPv4 address with its four numbers, or an IPv6 address in any case without a zone. MW_EINVAL */
MW_MUST_CHECK int mw_trust_addr_parse(struct mw_trust_addr *out, struct mw_str text);

struct mw_trust_net {
    struct mw_trust_addr addr;
    unsigned bits; /* of addr that count */
};
/* An address, alone or with /bits or an IPv4 /netmask; the first numbers of an IPv4 address ("10.1")
 * stand for all that begin with them. MW_EINVAL */
MW_MUST_CHECK int mw_trust_net_parse(struct mw_trust_net *out, struct mw_str text);
int mw_trust_net_holds(const struct mw_trust_net *net, const struct mw_trust_addr *addr);

struct mw_trust {
    const struct mw_trust_listed *listed;
    const struct mw_trust_net *nets; /* NULL: no list, every peer is trusted */
    size_t nnets;
};

/* A request: who sent it, and the values of the headers; NULL: not sent. */
struct mw_trust_given {
    struct mw_str peer; /* address of the connection's other end */
    const char *value[MW_TRUST_HEADERS];
};

/* A string whose p is NULL: nothing is changed. They borrow the given values and the room. */
struct mw_trust_verdict {
    int trusted;                 /* the peer is */
    uint32_t hidden;             /* 1 << enum mw_trust_header: not shown to the application */
    struct mw_str client;        /* REMOTE_ADDR */
    struct mw_str forwarded_for; /* HTTP_X_FORWARDED_FOR, from the client on */
    struct mw_str host;          /* HTTP_HOST */
    struct mw_str server;        /* SERVER_NAME */
    struct mw_str port;          /* SERVER_PORT */
    struct mw_str mount;         /* SCRIPT_NAME; "" is the root */
    int https;                   /* wsgi.url_scheme: 1 https, 0 http, -1 unchanged */
};

/* Bytes of room that mw_trust_judge needs for these values. */
size_t mw_trust_room(const struct mw_trust_given *given);
void mw_trust_judge(struct mw_trust_verdict *out, const struct mw_trust *t,
                    const struct mw_trust_given *given, char *room);

#endif
