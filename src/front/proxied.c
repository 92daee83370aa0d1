/*
 * proxied.c: feeds trust.c with a request. Called by reqbuild.c in any thread of an httpd child.
 */
#include "proxied.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "config.h"

/* The address of who made the connection, which mod_remoteip does not change; without the zone of a
 * link-local address. */
static struct mw_str peer_of(const request_rec *r)
{
    const char *ip = r->connection->client_ip ? r->connection->client_ip : "";

    return (struct mw_str){ip, strcspn(ip, "%")};
}

struct gathering {
    struct mw_proxied *out;
    apr_pool_t *pool;
};

/* Header lines of one name are one list (RFC 9110, 5.3). */
static int collect(void *rec, const char *name, const char *value)
{
    struct gathering *in = rec;
    int h = mw_trust_header_find((struct mw_str){name, strlen(name)});

    /* One with '_' in its name is passed to no application, whatever it says. */
    if (h >= 0 && !strchr(name, '_'))
        in->out->given.value[h] = in->out->given.value[h]
                                      ? apr_pstrcat(in->pool, in->out->given.value[h], ", ", value,
                                                    NULL)
                                      : value;
    return 1;
}

static void gather(request_rec *r, struct mw_proxied *out)
{
    struct gathering in = {out, r->pool};

    apr_table_do(collect, &in, r->headers_in, NULL);
    for (int h = 0; h < MW_TRUST_HEADERS; h++) {
        const char *key = mw_trust_header_key((enum mw_trust_header)h);
        if (!out->given.value[h])
            out->given.value[h] = apr_table_get(r->subprocess_env, key); /* SetEnvIf made it up */
    }
}

void mw_proxied_judge(request_rec *r, struct mw_proxied *out)
{
    const struct mw_dir_conf *dir = mw_config_dir(r);
    struct mw_trust t = {.listed = dir->trusted_headers};

    memset(out, 0, sizeof(*out));
    if (!t.listed)
        return;
    if (dir->trusted_proxies) {
        t.nets = (const struct mw_trust_net *)dir->trusted_proxies->elts;
        t.nnets = (size_t)dir->trusted_proxies->nelts;
    }
    out->active = 1;
    out->given.peer = peer_of(r);
    gather(r, out);
    mw_trust_judge(&out->verdict, &t, &out->given, apr_palloc(r->pool, mw_trust_room(&out->given)));
}

int mw_proxied_owns(const struct mw_proxied *px, struct mw_str key)
{
    return px->active && key.n > 5 && memcmp(key.p, "HTTP_", 5) == 0 &&
           mw_trust_header_find((struct mw_str){key.p + 5, key.n - 5}) >= 0;
}

struct mw_str mw_proxied_value(const struct mw_proxied *px, enum mw_trust_header h)
{
    const char *value = px->given.value[h];

    if (!px->active || !value || px->verdict.hidden & 1u << h)
        return (struct mw_str){NULL, 0};
    if (h == MW_TRUST_FORWARDED_FOR && px->verdict.forwarded_for.p)
        return px->verdict.forwarded_for;
    return (struct mw_str){value, strlen(value)};
}
