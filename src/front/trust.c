/*
 * trust.c: which headers of proxies count, and for what. Called by reqbuild.c for each request to
 * which WSGITrustedProxyHeaders applies, and by directives.c to read addresses. Pure.
 *
 * A value that cannot be what its header carries (an empty one, a port that is no number, two
 * addresses where one is meant) counts as not sent: it must not end up in the environ half
 * understood.
 */
#include "trust.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum category { CLIENT, HOST, SERVER, PORT, MOUNT, SCHEME, CATEGORIES };

static const struct {
    struct mw_str key;
    enum category category;
} headers[MW_TRUST_HEADERS] = {
    [MW_TRUST_FORWARDED_FOR] = {{"HTTP_X_FORWARDED_FOR", 20}, CLIENT},
    [MW_TRUST_CLIENT_IP] = {{"HTTP_X_CLIENT_IP", 16}, CLIENT},
    [MW_TRUST_REAL_IP] = {{"HTTP_X_REAL_IP", 14}, CLIENT},
    [MW_TRUST_FORWARDED_HOST] = {{"HTTP_X_FORWARDED_HOST", 21}, HOST},
    [MW_TRUST_HOST] = {{"HTTP_X_HOST", 11}, HOST},
    [MW_TRUST_FORWARDED_SERVER] = {{"HTTP_X_FORWARDED_SERVER", 23}, SERVER},
    [MW_TRUST_FORWARDED_PORT] = {{"HTTP_X_FORWARDED_PORT", 21}, PORT},
    [MW_TRUST_SCRIPT_NAME] = {{"HTTP_X_SCRIPT_NAME", 18}, MOUNT},
    [MW_TRUST_FORWARDED_SCRIPT_NAME] = {{"HTTP_X_FORWARDED_SCRIPT_NAME", 28}, MOUNT},
    [MW_TRUST_FORWARDED_PROTO] = {{"HTTP_X_FORWARDED_PROTO", 22}, SCHEME},
    [MW_TRUST_FORWARDED_SCHEME] = {{"HTTP_X_FORWARDED_SCHEME", 23}, SCHEME},
    [MW_TRUST_SCHEME] = {{"HTTP_X_SCHEME", 13}, SCHEME},
    [MW_TRUST_FORWARDED_HTTPS] = {{"HTTP_X_FORWARDED_HTTPS", 22}, SCHEME},
    [MW_TRUST_FORWARDED_SSL] = {{"HTTP_X_FORWARDED_SSL", 20}, SCHEME},
};

#define PREFIX 5u /* bytes of "HTTP_" */

static char fold(char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return c == '-' ? '_' : c;
}

static int is_header(enum mw_trust_header h, struct mw_str name)
{
    const struct mw_str key = headers[h].key;

    if (key.n - PREFIX != name.n)
        return 0;
    for (size_t i = 0; i < name.n; i++)
        if (fold(name.p[i]) != key.p[PREFIX + i])
            return 0;
    return 1;
}

int mw_trust_header_find(struct mw_str name)
{
    if (name.n < 2 || fold(name.p[0]) != 'X' || fold(name.p[1]) != '_')
        return -1;
    for (int h = 0; h < MW_TRUST_HEADERS; h++)
        if (is_header((enum mw_trust_header)h, name))
            return h;
    return -1;
}

const char *mw_trust_header_key(enum mw_trust_header h)
{
    return headers[h].key.p;
}

void mw_trust_list(struct mw_trust_listed *l, enum mw_trust_header h)
{
    /* One that is listed again counts where it stands last; those behind it move up, so that ranks
     * never exceed the number of headers. */
    for (int i = 0; i < MW_TRUST_HEADERS && l->rank[h]; i++)
        if (l->rank[i] > l->rank[h])
            l->rank[i]--;
    if (!l->rank[h])
        l->last++;
    l->rank[h] = l->last;
}

/* -- addresses -- */

#define ADDR_TEXT_MAX 64u /* more is no address */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* "::ffff:10.0.0.1" is how a socket that takes both families shows 10.0.0.1. */
static int unmap(struct mw_trust_addr *a)
{
    if (!a->is_ipv6 || memcmp(a->byte, mapped, sizeof mapped) != 0)
        return 0;
    memmove(a->byte, a->byte + sizeof mapped, 4);
    memset(a->byte + 4, 0, 12);
    a->is_ipv6 = 0;
    return 1;
}

/* Without the unmapping. */
static int parse_literal(struct mw_trust_addr *out, struct mw_str text)
{
    char copy[ADDR_TEXT_MAX];

    if (text.n >= sizeof copy || memchr(text.p, '\0', text.n))
        return MW_EINVAL;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *out = (struct mw_trust_addr){.is_ipv6 = strchr(copy, ':') != NULL};
    return inet_pton(out->is_ipv6 ? AF_INET6 : AF_INET, copy, out->byte) == 1 ? 0 : MW_EINVAL;
}

int mw_trust_addr_parse(struct mw_trust_addr *out, struct mw_str text)
{
    int rv = parse_literal(out, text);

    if (rv == 0)
        unmap(out);
    return rv;
}

/* Decimal digits without a needless zero in front, at most max; -1 if it is none. */
static int parse_number(struct mw_str s, int max)
{
    int v = 0;

    if (s.n == 0 || (s.n > 1 && s.p[0] == '0'))
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        int d = s.p[i] - '0';
        if (d < 0 || d > 9 || v * 10 + d > max)
            return -1;
        v = v * 10 + d;
    }
    return v;
}

/* One to three numbers with dots between them, and maybe one behind: "10", "10.", "10.1". */
static int parse_partial(struct mw_trust_net *out, struct mw_str text)
{
    unsigned n = 0;

    *out = (struct mw_trust_net){.bits = 0};
    while (text.n > 0) {
        const char *dot = memchr(text.p, '.', text.n);
        size_t len = dot ? (size_t)(dot - text.p) : text.n;
        int v = parse_number((struct mw_str){text.p, len}, 255);
        if (v < 0 || n == 3)
            return MW_EINVAL;
        out->addr.byte[n++] = (uint8_t)v;
        len += dot != NULL;
        text = (struct mw_str){text.p + len, text.n - len};
    }
    out->bits = 8 * n;
    return n > 0 ? 0 : MW_EINVAL;
}

/* The leading ones of a netmask, or -1: ones follow a zero. */
static int netmask_bits(const struct mw_trust_addr *mask)
{
    uint32_t m = (uint32_t)mask->byte[0] << 24 | (uint32_t)mask->byte[1] << 16 |
                 (uint32_t)mask->byte[2] << 8 | mask->byte[3];
    int bits = 0;

    while (bits < 32 && m & 0x80000000u) {
        m <<= 1;
        bits++;
    }
    return m ? -1 : bits;
}

static int parse_mask(struct mw_trust_net *net, struct mw_str text)
{
    struct mw_trust_addr mask;
    int bits = parse_number(text, net->addr.is_ipv6 ? 128 : 32);

    if (bits < 0 && !net->addr.is_ipv6 && parse_literal(&mask, text) == 0 && !mask.is_ipv6)
        bits = netmask_bits(&mask);
    if (bits < 0)
        return MW_EINVAL;
    net->bits = (unsigned)bits;
    return 0;
}

int mw_trust_net_parse(struct mw_trust_net *out, struct mw_str text)
{
    const char *slash = memchr(text.p, '/', text.n);
    struct mw_str addr = {text.p, slash ? (size_t)(slash - text.p) : text.n};
    int rv = parse_literal(&out->addr, addr);

    if (rv == 0)
        out->bits = out->addr.is_ipv6 ? 128 : 32;
    else
        rv = parse_partial(out, addr);
    if (rv == 0 && slash)
        rv = parse_mask(out, (struct mw_str){slash + 1, text.n - addr.n - 1});
    /* A wider net than all mapped addresses stays one of IPv6, which holds no IPv4 address. */
    if (rv == 0 && out->addr.is_ipv6 && out->bits >= 96 && unmap(&out->addr))
        out->bits -= 96;
    return rv;
}

int mw_trust_net_holds(const struct mw_trust_net *net, const struct mw_trust_addr *addr)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (net->addr.is_ipv6 != addr->is_ipv6 || memcmp(net->addr.byte, addr->byte, whole) != 0)
        return 0;
    return rest == 0 || (net->addr.byte[whole] ^ addr->byte[whole]) >> (8 - rest) == 0;
}

static int is_trusted(const struct mw_trust *t, struct mw_str text)
{
    struct mw_trust_addr addr;

    if (!t->nets)
        return 1;
    if (mw_trust_addr_parse(&addr, text))
        return 0; /* what is no address is nobody's */
    for (size_t i = 0; i < t->nnets; i++)
        if (mw_trust_net_holds(&t->nets[i], &addr))
            return 1;
    return 0;
}

/* -- values -- */

static struct mw_str trim(struct mw_str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = (struct mw_str){s.p + 1, s.n - 1};
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* The last element of a list that is not empty, trimmed, and *list without it. 0: there is none. */
static int take_last(struct mw_str *list, struct mw_str *out)
{
    while (list->n > 0) {
        size_t at = list->n;
        while (at > 0 && list->p[at - 1] != ',')
            at--;
        *out = trim((struct mw_str){list->p + at, list->n - at});
        list->n = at > 0 ? at - 1 : 0;
        if (out->n > 0)
            return 1;
    }
    return 0;
}

static int take_first(struct mw_str *list, struct mw_str *out)
{
    while (list->n > 0) {
        const char *comma = memchr(list->p, ',', list->n);
        size_t len = comma ? (size_t)(comma - list->p) : list->n;
        *out = trim((struct mw_str){list->p, len});
        len += comma != NULL;
        *list = (struct mw_str){list->p + len, list->n - len};
        if (out->n > 0)
            return 1;
    }
    return 0;
}

/* The elements of list that are not empty, with ", " between them, into room. */
static struct mw_str join(struct mw_str list, char *room)
{
    struct mw_str item, out = {room, 0};

    while (take_first(&list, &item)) {
        if (out.n > 0) {
            memcpy(room + out.n, ", ", 2);
            out.n += 2;
        }
        memcpy(room + out.n, item.p, item.n);
        out.n += item.n;
    }
    return out;
}

/* Who sent the request to the first proxy that is trusted: from the right, behind every element
 * stands a proxy that is known to tell the truth about who spoke to it. */
static int judge_forwarded_for(struct mw_trust_verdict *out, const struct mw_trust *t,
                               struct mw_str value, char *room)
{
    struct mw_str left = value, item, client = {NULL, 0};

    if (!t->nets) {
        if (take_first(&left, &client))
            out->client = client;
        return out->client.p != NULL;
    }
    while (take_last(&left, &item)) {
        client = item;
        if (!is_trusted(t, item))
            break;
    }
    if (!client.p)
        return 0;
    out->client = client;
    out->forwarded_for = join((struct mw_str){client.p, value.n - (size_t)(client.p - value.p)},
                              room);
    return 1;
}

static int judge_address(struct mw_str value, struct mw_str *out)
{
    if (memchr(value.p, ',', value.n))
        return 0;
    *out = value;
    return 1;
}

static int judge_port(struct mw_str value, struct mw_str *out)
{
    if (parse_number(value, 65535) < 1)
        return 0;
    *out = value;
    return 1;
}

/* PEP 3333: SCRIPT_NAME is empty at the root and does not end with '/'. */
static int judge_mount(struct mw_str value, struct mw_str *out)
{
    if (value.p[0] != '/')
        return 0;
    while (value.n > 0 && value.p[value.n - 1] == '/')
        value.n--;
    *out = value;
    return 1;
}

static int judge_scheme(enum mw_trust_header h, struct mw_str value, int *https)
{
    static const struct {
        const char *text;
        int is_switch; /* of X-Forwarded-HTTPS and -SSL; otherwise the name of a scheme */
        int https;
    } rows[] = {{"https", 0, 1}, {"http", 0, 0}, {"on", 1, 1},    {"true", 1, 1},
                {"1", 1, 1},     {"off", 1, 0},  {"false", 1, 0}, {"0", 1, 0}};
    int is_switch = h == MW_TRUST_FORWARDED_HTTPS || h == MW_TRUST_FORWARDED_SSL;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        if (rows[i].is_switch == is_switch && strlen(rows[i].text) == value.n &&
            strncasecmp(rows[i].text, value.p, value.n) == 0) {
            *https = rows[i].https;
            return 1;
        }
    }
    return 0;
}

/* 1 if the header's value could be used. */
static int judge_header(struct mw_trust_verdict *out, const struct mw_trust *t,
                        enum mw_trust_header h, struct mw_str value, char *room)
{
    if (value.n == 0)
        return 0;
    if (h == MW_TRUST_FORWARDED_FOR)
        return judge_forwarded_for(out, t, value, room);
    switch (headers[h].category) {
    case CLIENT:
        return judge_address(value, &out->client);
    case HOST:
        out->host = value;
        return 1;
    case SERVER:
        out->server = value;
        return 1;
    case PORT:
        return judge_port(value, &out->port);
    case MOUNT:
        return judge_mount(value, &out->mount);
    case SCHEME:
        return judge_scheme(h, value, &out->https);
    case CATEGORIES:
        break;
    }
    return 0;
}

/* -- verdict -- */

static uint32_t bit(int h)
{
    return 1u << h;
}

/* Every header of the categories of which one is listed. */
static uint32_t concerned(const struct mw_trust_listed *l)
{
    unsigned categories = 0;
    uint32_t mask = 0;

    for (int h = 0; h < MW_TRUST_HEADERS; h++)
        if (l->rank[h])
            categories |= 1u << headers[h].category;
    for (int h = 0; h < MW_TRUST_HEADERS; h++)
        if (categories & 1u << headers[h].category)
            mask |= bit(h);
    return mask;
}

/* The header listed at this rank, or -1. */
static int listed_at(const struct mw_trust_listed *l, unsigned rank)
{
    for (int h = 0; h < MW_TRUST_HEADERS; h++)
        if (l->rank[h] == rank)
            return h;
    return -1;
}

size_t mw_trust_room(const struct mw_trust_given *given)
{
    const char *list = given->value[MW_TRUST_FORWARDED_FOR];

    return list ? 2 * strlen(list) + 1 : 1; /* a blank may be added behind each comma */
}

void mw_trust_judge(struct mw_trust_verdict *out, const struct mw_trust *t,
                    const struct mw_trust_given *given, char *room)
{
    unsigned decided = 0;

    *out = (struct mw_trust_verdict){.https = -1, .hidden = concerned(t->listed)};
    out->trusted = is_trusted(t, given->peer);
    if (!out->trusted)
        return;
    for (unsigned rank = t->listed->last; rank > 0; rank--) {
        int h = listed_at(t->listed, rank);
        if (h < 0 || !given->value[h] || decided & 1u << headers[h].category)
            continue;
        struct mw_str value = trim((struct mw_str){given->value[h], strlen(given->value[h])});
        if (judge_header(out, t, (enum mw_trust_header)h, value, room)) {
            decided |= 1u << headers[h].category;
            out->hidden &= ~bit(h);
        }
    }
}
