/*
 * The headers of proxies: which are listed, whom they are believed, and what they change.
 *
 * trust.c is pure but belongs to front/, which is no library, so it is compiled into this program.
 */
#include "samples.h"

#include <stdio.h>
#include <string.h>

#include "../../src/front/trust.c"

#define NETS_MAX 8
#define ROOM_MAX 512

static struct mw_str str(const char *s)
{
    return (struct mw_str){s, strlen(s)};
}

static int same(struct mw_str got, const char *want)
{
    if (!want)
        return got.p == NULL;
    return got.p && got.n == strlen(want) && memcmp(got.p, want, got.n) == 0;
}

/* A request: "X-Name: value" lines, joined with '|'. */
struct request {
    struct mw_trust_listed listed;
    struct mw_trust_net net[NETS_MAX];
    size_t nnets;
    struct mw_trust_given given;
    char text[ROOM_MAX];
    char room[2 * ROOM_MAX];
    struct mw_trust_verdict v;
};

static void list_all(struct mw_trust_listed *l, const char *names)
{
    char copy[ROOM_MAX], *save = NULL;

    snprintf(copy, sizeof copy, "%s", names);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        int h = mw_trust_header_find(str(w));
        assert_true(h >= 0);
        mw_trust_list(l, (enum mw_trust_header)h);
    }
}

static void put_headers(struct request *rq, const char *lines)
{
    char *save = NULL;

    snprintf(rq->text, sizeof rq->text, "%s", lines);
    for (char *line = strtok_r(rq->text, "|", &save); line; line = strtok_r(NULL, "|", &save)) {
        char *colon = strchr(line, ':');
        assert_non_null(colon);
        int h = mw_trust_header_find((struct mw_str){line, (size_t)(colon - line)});
        assert_true(h >= 0);
        rq->given.value[h] = colon + 1;
    }
}

/* proxies: NULL for no list. */
static void judge(struct request *rq, const char *names, const char *proxies, const char *peer,
                  const char *lines)
{
    char copy[ROOM_MAX], *save = NULL;
    struct mw_trust t = {.listed = &rq->listed};

    memset(rq, 0, sizeof *rq);
    list_all(&rq->listed, names);
    snprintf(copy, sizeof copy, "%s", proxies ? proxies : "");
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        assert_int_equal(mw_trust_net_parse(&rq->net[rq->nnets++], str(w)), 0);
    t.nets = proxies ? rq->net : NULL;
    t.nnets = rq->nnets;
    rq->given.peer = str(peer);
    put_headers(rq, lines);
    size_t room = mw_trust_room(&rq->given);
    assert_true(room < sizeof rq->room);
    memset(rq->room, '#', sizeof rq->room);
    mw_trust_judge(&rq->v, &t, &rq->given, rq->room);
    for (size_t i = room; i < sizeof rq->room; i++)
        assert_int_equal(rq->room[i], '#');
}

static int hidden(const struct request *rq, enum mw_trust_header h)
{
    return (rq->v.hidden & 1u << h) != 0;
}

static void test_trust_01_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int h;
    } rows[] = {
        {"X-Forwarded-For", MW_TRUST_FORWARDED_FOR},
        {"x-forwarded-for", MW_TRUST_FORWARDED_FOR},
        {"X-FORWARDED-FOR", MW_TRUST_FORWARDED_FOR},
        {"X_Forwarded_For", MW_TRUST_FORWARDED_FOR},
        {"X-Client-IP", MW_TRUST_CLIENT_IP},
        {"X-Real-Ip", MW_TRUST_REAL_IP},
        {"X-Forwarded-Host", MW_TRUST_FORWARDED_HOST},
        {"X-Host", MW_TRUST_HOST},
        {"X-Forwarded-Server", MW_TRUST_FORWARDED_SERVER},
        {"X-Forwarded-Port", MW_TRUST_FORWARDED_PORT},
        {"X-Script-Name", MW_TRUST_SCRIPT_NAME},
        {"X-Forwarded-Script-Name", MW_TRUST_FORWARDED_SCRIPT_NAME},
        {"X-Forwarded-Proto", MW_TRUST_FORWARDED_PROTO},
        {"X-Forwarded-Scheme", MW_TRUST_FORWARDED_SCHEME},
        {"X-Scheme", MW_TRUST_SCHEME},
        {"X-Forwarded-HTTPS", MW_TRUST_FORWARDED_HTTPS},
        {"X-Forwarded-SSL", MW_TRUST_FORWARDED_SSL},
        {"Forwarded", -1},
        {"X-Forwarded-Prefix", -1},
        {"X-Forwarded-For ", -1},
        {"X-Forwarded-Fo", -1},
        {"X-Forwarded-Forr", -1},
        {"XX-Forwarded-For", -1},
        {"X", -1},
        {"X-", -1},
        {"", -1},
        {"HTTP_X_FORWARDED_FOR", -1},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        if (mw_trust_header_find(str(rows[i].name)) != rows[i].h)
            fail_msg("%s", rows[i].name);
    for (int h = 0; h < MW_TRUST_HEADERS; h++)
        assert_int_equal(
            mw_trust_header_find(str(mw_trust_header_key((enum mw_trust_header)h) + 5)), h);
}

static void test_trust_02_order_of_the_list(void **state)
{
    (void)state;
    struct mw_trust_listed l = {.last = 0};

    list_all(&l, "X-Real-IP X-Host X-Real-IP X-Scheme");
    assert_int_equal(l.last, 3);
    assert_int_equal(l.rank[MW_TRUST_HOST], 1);
    assert_int_equal(l.rank[MW_TRUST_REAL_IP], 2);
    assert_int_equal(l.rank[MW_TRUST_SCHEME], 3);
    for (int i = 0; i < 1000; i++)
        mw_trust_list(&l, (enum mw_trust_header)(i % MW_TRUST_HEADERS));
    assert_int_equal(l.last, MW_TRUST_HEADERS);
    for (int h = 0; h < MW_TRUST_HEADERS; h++) {
        assert_true(l.rank[h] >= 1 && l.rank[h] <= MW_TRUST_HEADERS);
        for (int g = 0; g < h; g++)
            assert_int_not_equal(l.rank[g], l.rank[h]);
    }
}

static void test_trust_03_networks(void **state)
{
    (void)state;
    static const struct {
        const char *net, *addr;
        int holds;
    } rows[] = {
        {"10.1.2.3", "10.1.2.3", 1},
        {"10.1.2.3", "10.1.2.4", 0},
        {"10.0.0.0/8", "10.255.255.255", 1},
        {"10.0.0.0/8", "11.0.0.0", 0},
        {"10.9.9.9/8", "10.1.1.1", 1},
        {"10/8", "10.1.1.1", 1},
        {"10", "10.200.1.1", 1},
        {"10.", "10.200.1.1", 1},
        {"10.1", "10.1.200.1", 1},
        {"10.1", "10.2.200.1", 0},
        {"10.1.2", "10.1.2.9", 1},
        {"192.168.0.0/255.255.0.0", "192.168.77.1", 1},
        {"192.168.0.0/255.255.0.0", "192.169.77.1", 0},
        {"192.168.1.128/25", "192.168.1.127", 0},
        {"192.168.1.128/25", "192.168.1.128", 1},
        {"192.168.1.1/31", "192.168.1.0", 1},
        {"192.168.1.1/31", "192.168.1.2", 0},
        {"192.168.1.1/32", "192.168.1.0", 0},
        {"0.0.0.0/0", "255.255.255.255", 1},
        {"0.0.0.0/0", "::1", 0},
        {"::/0", "1.2.3.4", 0},
        {"::/0", "2001:db8::1", 1},
        {"::1", "::1", 1},
        {"::1", "0:0:0:0:0:0:0:1", 1},
        {"2001:DB8::/32", "2001:db8:ffff::1", 1},
        {"2001:db8::/32", "2001:DB8:FFFF::1", 1},
        {"2001:db8::/32", "2001:db9::1", 0},
        {"2001:db8::/33", "2001:db8:8000::1", 0},
        {"fe80::/10", "febf::1", 1},
        {"fe80::/10", "fec0::1", 0},
        {"fe80::1/128", "fe80::1", 1},
        {"10.0.0.1", "::ffff:10.0.0.1", 1},
        {"::FFFF:10.0.0.1", "10.0.0.1", 1},
        {"::ffff:10.0.0.0/104", "10.9.9.9", 1},
        {"::ffff:10.0.0.0/104", "11.9.9.9", 0},
        {"::ffff:0:0/96", "9.9.9.9", 1},
        {"::ffff:0:0/95", "9.9.9.9", 0},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_trust_net net;
        struct mw_trust_addr addr;
        if (mw_trust_net_parse(&net, str(rows[i].net)) ||
            mw_trust_addr_parse(&addr, str(rows[i].addr)) ||
            mw_trust_net_holds(&net, &addr) != rows[i].holds)
            fail_msg("%s %s", rows[i].net, rows[i].addr);
    }
}

static void test_trust_04_what_is_no_network(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "x",
        "/8",
        "10/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/x",
        "10/-1",
        "10.0.0.0/08",
        "256.1.1.1",
        "1.2.3.4.5",
        "01.2.3.4",
        "1..2",
        ".1",
        ".",
        "::/129",
        "::1/",
        "::g",
        ":",
        "1.2.3.4/8/8",
        "10.0.0.0/255.0.255.0",
        "localhost",
        "fe80::1%lo",
        "[::1]",
        "1.2.3.4:80",
        "::/255.0.0.0",
        " 10.0.0.1",
        "10.0.0.1 ",
        "1111:2222:3333:4444:5555:6666:7777:8888:1111:2222:3333:4444:5555:6666:7777:8888",
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_trust_net net;
        if (mw_trust_net_parse(&net, str(rows[i])) != MW_EINVAL)
            fail_msg("'%s'", rows[i]);
    }
}

#define CLIENTS "X-Forwarded-For X-Client-IP X-Real-IP"

static void test_trust_05_client(void **state)
{
    (void)state;
    static const struct {
        const char *proxies, *peer, *value;
        const char *client, *rest; /* NULL: unchanged */
    } rows[] = {
        /* the example of the reference */
        {"127.0.0.1 10.0.0.0/8", "127.0.0.1", "1.2.3.4, ,5.6.7.8, 10.1.1.1", "5.6.7.8",
         "5.6.7.8, 10.1.1.1"},
        {"127.0.0.1", "127.0.0.1", "1.2.3.4", "1.2.3.4", "1.2.3.4"},
        {"127.0.0.1", "127.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4", "1.2.3.4"},
        {"127.0.0.1", "127.0.0.1", "6.6.6.6,1.2.3.4", "1.2.3.4", "1.2.3.4"},
        {"127.0.0.1", "127.0.0.1", ",,1.2.3.4,,", "1.2.3.4", "1.2.3.4"},
        {"127.0.0.1", "127.0.0.1", " \t 1.2.3.4\t ", "1.2.3.4", "1.2.3.4"},
        {"127.0.0.1 10/8", "127.0.0.1", "10.0.0.1,10.0.0.2,,10.0.0.3", "10.0.0.1",
         "10.0.0.1, 10.0.0.2, 10.0.0.3"},
        {"127.0.0.1 10/8", "127.0.0.1", "10.0.0.1, unknown, 10.0.0.3", "unknown",
         "unknown, 10.0.0.3"},
        {"127.0.0.1 10/8", "127.0.0.1", "1.1.1.1, 10.0.0.3:80", "10.0.0.3:80", "10.0.0.3:80"},
        {"127.0.0.1 2001:db8::/32", "127.0.0.1", "::9, 2001:DB8::1", "::9", "::9, 2001:DB8::1"},
        {"127.0.0.1 ::1", "::1", "1.2.3.4", "1.2.3.4", "1.2.3.4"},
        {"127.0.0.1", "::ffff:127.0.0.1", "1.2.3.4", "1.2.3.4", "1.2.3.4"},
        {"127.0.0.1", "127.0.0.1", "", NULL, NULL},
        {"127.0.0.1", "127.0.0.1", " , ,, ", NULL, NULL},
        /* peers that are not trusted */
        {"10/8", "127.0.0.1", "1.2.3.4", NULL, NULL},
        {"10/8", "127.0.0.1", "10.0.0.1", NULL, NULL},
        {"127.0.0.1", "::1", "1.2.3.4", NULL, NULL},
        {"127.0.0.1", "", "1.2.3.4", NULL, NULL},
        {"127.0.0.1", "@unix", "1.2.3.4", NULL, NULL},
        /* no list: everybody is trusted, the first counts */
        {NULL, "9.9.9.9", "1.2.3.4, 5.6.7.8", "1.2.3.4", NULL},
        {NULL, "9.9.9.9", ", ,1.2.3.4", "1.2.3.4", NULL},
        {NULL, "9.9.9.9", ", ,", NULL, NULL},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct request rq;
        char lines[ROOM_MAX];
        snprintf(lines, sizeof lines, "X-Forwarded-For:%s", rows[i].value);
        judge(&rq, CLIENTS, rows[i].proxies, rows[i].peer, lines);
        if (!same(rq.v.client, rows[i].client) || !same(rq.v.forwarded_for, rows[i].rest) ||
            hidden(&rq, MW_TRUST_FORWARDED_FOR) != !rows[i].client)
            fail_msg("%zu: %.*s / %.*s", i, (int)rq.v.client.n, rq.v.client.p,
                     (int)rq.v.forwarded_for.n, rq.v.forwarded_for.p);
    }
}

static void test_trust_06_the_last_that_is_listed_and_sent_counts(void **state)
{
    (void)state;
    static const struct {
        const char *listed, *lines, *client;
        int shown; /* of the three, or -1 */
    } rows[] = {
        {CLIENTS, "X-Forwarded-For:1.1.1.1|X-Client-IP:2.2.2.2|X-Real-IP:3.3.3.3", "3.3.3.3",
         MW_TRUST_REAL_IP},
        {CLIENTS, "X-Forwarded-For:1.1.1.1|X-Client-IP:2.2.2.2", "2.2.2.2", MW_TRUST_CLIENT_IP},
        {CLIENTS, "X-Forwarded-For:1.1.1.1", "1.1.1.1", MW_TRUST_FORWARDED_FOR},
        {"X-Real-IP X-Forwarded-For", "X-Forwarded-For:1.1.1.1|X-Real-IP:3.3.3.3", "1.1.1.1",
         MW_TRUST_FORWARDED_FOR},
        {"X-Forwarded-For", "X-Real-IP:3.3.3.3", NULL, -1},
        {"X-Forwarded-For", "X-Client-IP:2.2.2.2|X-Forwarded-For:1.1.1.1", "1.1.1.1",
         MW_TRUST_FORWARDED_FOR},
        {CLIENTS, "X-Forwarded-For:1.1.1.1|X-Real-IP:", "1.1.1.1", MW_TRUST_FORWARDED_FOR},
        {CLIENTS, "X-Forwarded-For:1.1.1.1|X-Real-IP:6.6.6.6, 3.3.3.3", "1.1.1.1",
         MW_TRUST_FORWARDED_FOR},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct request rq;
        judge(&rq, rows[i].listed, NULL, "9.9.9.9", rows[i].lines);
        if (!same(rq.v.client, rows[i].client))
            fail_msg("%zu", i);
        for (int h = MW_TRUST_FORWARDED_FOR; h <= MW_TRUST_REAL_IP; h++)
            if (hidden(&rq, (enum mw_trust_header)h) != (h != rows[i].shown))
                fail_msg("%zu: header %d", i, h);
    }
}

#define SCHEMES "X-Forwarded-Proto X-Forwarded-Scheme X-Scheme X-Forwarded-HTTPS X-Forwarded-SSL"

static void test_trust_07_scheme(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int of_name,
            of_switch; /* what X-Scheme and its like say, and X-Forwarded-SSL and its like */
    } rows[] = {
        {"https", 1, -1},        {"HTTPS", 1, -1}, {"Https", 1, -1},   {"http", 0, -1},
        {"HTTP", 0, -1},         {"on", -1, 1},    {"On", -1, 1},      {"ON", -1, 1},
        {"true", -1, 1},         {"TRUE", -1, 1},  {"1", -1, 1},       {"off", -1, 0},
        {"OFF", -1, 0},          {"false", -1, 0}, {"0", -1, 0},       {"", -1, -1},
        {"https, http", -1, -1}, {"ftp", -1, -1},  {"httpss", -1, -1}, {"http s", -1, -1},
        {"2", -1, -1},           {"yes", -1, -1},  {" https ", 1, -1},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        for (int h = MW_TRUST_FORWARDED_PROTO; h <= MW_TRUST_FORWARDED_SSL; h++) {
            struct request rq;
            char lines[ROOM_MAX];
            int is_switch = h == MW_TRUST_FORWARDED_HTTPS || h == MW_TRUST_FORWARDED_SSL;
            int want = is_switch ? rows[i].of_switch : rows[i].of_name;
            snprintf(lines, sizeof lines, "%s:%s", mw_trust_header_key((enum mw_trust_header)h) + 5,
                     rows[i].value);
            judge(&rq, SCHEMES, "10/8", "10.0.0.1", lines);
            if (rq.v.https != want || hidden(&rq, (enum mw_trust_header)h) != (want < 0))
                fail_msg("header %d, '%s': %d", h, rows[i].value, rq.v.https);
            judge(&rq, SCHEMES, "10/8", "11.0.0.1", lines);
            if (rq.v.https != -1 || !hidden(&rq, (enum mw_trust_header)h))
                fail_msg("not trusted: header %d, '%s'", h, rows[i].value);
        }
    }
}

static void test_trust_08_host_server_port_mount(void **state)
{
    (void)state;
    static const char all[] = "X-Forwarded-Host X-Host X-Forwarded-Server X-Forwarded-Port "
                              "X-Script-Name X-Forwarded-Script-Name";
    static const struct {
        const char *lines, *host, *server, *port, *mount;
    } rows[] = {
        {"X-Forwarded-Host:a.test", "a.test", NULL, NULL, NULL},
        {"X-Host:a.test:81", "a.test:81", NULL, NULL, NULL},
        {"X-Forwarded-Host:a|X-Host:b", "b", NULL, NULL, NULL},
        {"X-Forwarded-Host:", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Server:s", NULL, "s", NULL, NULL},
        {"X-Forwarded-Port:1", NULL, NULL, "1", NULL},
        {"X-Forwarded-Port:65535", NULL, NULL, "65535", NULL},
        {"X-Forwarded-Port:65536", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Port:0", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Port:-1", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Port:80x", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Port:80, 81", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Port:99999999999999999999", NULL, NULL, NULL, NULL},
        {"X-Script-Name:/mnt", NULL, NULL, NULL, "/mnt"},
        {"X-Script-Name:/mnt/", NULL, NULL, NULL, "/mnt"},
        {"X-Script-Name:/", NULL, NULL, NULL, ""},
        {"X-Script-Name:///", NULL, NULL, NULL, ""},
        {"X-Script-Name:mnt", NULL, NULL, NULL, NULL},
        {"X-Forwarded-Script-Name:/b|X-Script-Name:/a", NULL, NULL, NULL, "/b"},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct request rq;
        judge(&rq, all, "127.0.0.1", "127.0.0.1", rows[i].lines);
        if (!same(rq.v.host, rows[i].host) || !same(rq.v.server, rows[i].server) ||
            !same(rq.v.port, rows[i].port) || !same(rq.v.mount, rows[i].mount))
            fail_msg("%s", rows[i].lines);
        judge(&rq, all, "127.0.0.1", "127.0.0.2", rows[i].lines);
        if (rq.v.host.p || rq.v.server.p || rq.v.port.p || rq.v.mount.p || rq.v.client.p)
            fail_msg("not trusted: %s", rows[i].lines);
    }
}

static void test_trust_09_categories_do_not_touch_each_other(void **state)
{
    (void)state;
    struct request rq;

    judge(&rq, "X-Real-IP", NULL, "9.9.9.9",
          "X-Forwarded-Host:h|X-Forwarded-Proto:https|X-Real-IP:1.1.1.1|X-Script-Name:/m");
    assert_true(same(rq.v.client, "1.1.1.1"));
    assert_null(rq.v.host.p);
    assert_null(rq.v.mount.p);
    assert_int_equal(rq.v.https, -1);
    assert_int_equal(rq.v.hidden, 1u << MW_TRUST_FORWARDED_FOR | 1u << MW_TRUST_CLIENT_IP);
}

static void test_trust_10_nothing_of_an_untrusted_peer_counts(void **state)
{
    (void)state;
    static const char *const values[] = {"1.2.3.4", "https", "on", "/m", "81", "a.test"};

    /* Every header alone in the list, and every value that some header takes. */
    for (int h = 0; h < MW_TRUST_HEADERS; h++) {
        for (size_t i = 0; i < MW_ARRAY_LEN(values); i++) {
            struct request rq;
            char lines[ROOM_MAX];
            const char *name = mw_trust_header_key((enum mw_trust_header)h) + 5;
            snprintf(lines, sizeof lines, "%s:%s", name, values[i]);
            judge(&rq, name, "10.0.0.1 2001:db8::1", "10.0.0.2", lines);
            assert_int_equal(rq.v.trusted, 0);
            assert_true(hidden(&rq, (enum mw_trust_header)h));
            assert_int_equal(rq.v.https, -1);
            assert_null(rq.v.client.p);
            assert_null(rq.v.forwarded_for.p);
            assert_null(rq.v.host.p);
            assert_null(rq.v.server.p);
            assert_null(rq.v.port.p);
            assert_null(rq.v.mount.p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust_01_names),
        cmocka_unit_test(test_trust_02_order_of_the_list),
        cmocka_unit_test(test_trust_03_networks),
        cmocka_unit_test(test_trust_04_what_is_no_network),
        cmocka_unit_test(test_trust_05_client),
        cmocka_unit_test(test_trust_06_the_last_that_is_listed_and_sent_counts),
        cmocka_unit_test(test_trust_07_scheme),
        cmocka_unit_test(test_trust_08_host_server_port_mount),
        cmocka_unit_test(test_trust_09_categories_do_not_touch_each_other),
        cmocka_unit_test(test_trust_10_nothing_of_an_untrusted_peer_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
