/*
 * docs/protocol.md is true: its hex examples decode to what it says and encode to the same bytes, and
 * its tables of frames and limits are those of the code.
 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "admin.h"
#include "ctl.h"
#include "link.h"
#include "log.h"
#include "spec.h"
#include "wire.h"

#ifndef MW_SRCDIR
#define MW_SRCDIR "."
#endif

static FILE *open_page(void)
{
    const char *top = getenv("MW_SRCDIR");
    char path[4096];

    snprintf(path, sizeof path, "%s/docs/protocol.md", top ? top : MW_SRCDIR);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    return f;
}

/* -- examples -- */

/* The payload of an example that is one whole frame of this type. */
static struct mw_str payload(const uint8_t *p, size_t n, unsigned type)
{
    uint8_t hdr[MW_FRAME_HDR];
    struct mw_frame f = {0};

    assert_int_equal(mw_frame_parse(p, n, &f, NULL), n);
    assert_int_equal(f.type, type);
    mw_frame_header(hdr, type, f.n);
    assert_memory_equal(hdr, p, sizeof hdr);
    return (struct mw_str){(const char *)f.payload, f.n};
}

static void check_hello(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_HELLO);
    uint8_t again[MW_HELLO_SIZE];
    struct mw_hello h;

    assert_int_equal(mw_hello_decode(&h, s.p, s.n), 0);
    assert_int_equal(h.version, 1);
    assert_int_equal(h.pid, 4711);
    assert_int_equal(h.incarnation, 3);
    assert_int_equal(h.data_max, 65536);
    mw_hello_encode(again, &h);
    assert_memory_equal(again, s.p, sizeof again);
}

static void check_request(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_REQUEST), k, v;
    struct mw_buf b;
    struct mw_req r;

    assert_int_equal(mw_req_view(&r, s.p, s.n), 0);
    assert_int_equal(r.flags, MW_REQ_HTTPS | MW_REQ_MULTITHREAD);
    assert_int_equal(r.content_length, 0);
    assert_true(r.start_us == 1700000000000001);
    assert_int_equal(r.queue_us, 0);
    assert_int_equal(r.timeout_ms, 60000);
    assert_true(r.script_stamp == 0x0102030405060708);
    assert_str(r.script, "/srv/a.wsgi");
    assert_str(r.callable, "application");
    assert_str(r.app_group, "");
    assert_str(r.process_group, "blog");
    assert_str(r.log_id, "");
    struct mw_cur it = r.pairs;
    assert_int_equal(mw_req_next(&it, &k, &v), 1);
    assert_str(k, "REQUEST_METHOD");
    assert_str(v, "POST");
    assert_int_equal(mw_req_next(&it, &k, &v), 1);
    assert_str(k, "QUERY_STRING");
    assert_str(v, "");
    mw_buf_init(&b, 1000);
    sample_req_rebuild(&b, &r);
    assert_int_equal(mw_buf_size(&b), s.n);
    assert_memory_equal(mw_buf_data(&b), s.p, s.n);
    mw_buf_fini(&b);
}

static void check_want(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_WANT);
    struct mw_want want;

    assert_int_equal(mw_want_decode(&want, s.p, s.n), 0);
    assert_true(want.have == 16384 && want.upto == 147456);
    assert_int_equal(want.waits, 1);
}

static void check_body_file(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_BODY_FILE);
    int64_t length;

    assert_int_equal(mw_body_file_decode(&length, s.p, s.n), 0);
    assert_true(length == 100000000);
}

static void check_file(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_FILE);
    struct mw_file_part part;

    assert_int_equal(mw_file_decode(&part, s.p, s.n), 0);
    assert_true(part.offset == 4096);
    assert_true(part.n == 6000000);
}

static void check_body(const uint8_t *p, size_t n)
{
    assert_str(payload(p, n, MW_F_BODY), "hello");
}

static void check_body_end(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_BODY_END);
    uint8_t why;

    assert_int_equal(mw_u8_decode(&why, MW_BODY_END_LAST, s.p, s.n), 0);
    assert_int_equal(why, MW_BODY_CLEAN);
}

static void check_abort(const uint8_t *p, size_t n)
{
    assert_str(payload(p, n, MW_F_ABORT), "");
}

static void check_head(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_HEAD);
    struct mw_buf b;
    struct mw_rsp r;

    assert_int_equal(mw_rsp_view(&r, s.p, s.n, NULL), 0);
    assert_int_equal(r.status, 404);
    assert_str(r.reason, "Not Found");
    assert_int_equal(r.nfields, 1);
    assert_int_equal(r.content_length, 9);
    mw_buf_init(&b, 1000);
    sample_rsp_rebuild(&b, &r);
    assert_int_equal(mw_buf_size(&b), s.n);
    assert_memory_equal(mw_buf_data(&b), s.p, s.n);
    mw_buf_fini(&b);
}

static void check_inform(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_INFORM), k, v;
    struct mw_buf b;
    struct mw_rsp r;

    assert_int_equal(mw_rsp_view_inform(&r, s.p, s.n, NULL), 0);
    assert_int_equal(r.status, 103);
    assert_str(r.reason, "");
    struct mw_cur it = r.fields;
    assert_int_equal(mw_rsp_next(&it, &k, &v), 1);
    assert_str(k, "Link");
    assert_str(v, "</a.css>");
    assert_int_equal(mw_rsp_next(&it, &k, &v), 0);
    mw_buf_init(&b, 1000);
    sample_rsp_rebuild(&b, &r);
    assert_int_equal(mw_buf_size(&b), s.n);
    assert_memory_equal(mw_buf_data(&b), s.p, s.n);
    mw_buf_fini(&b);
}

static void check_ask(const uint8_t *p, size_t n)
{
    assert_str(payload(p, n, MW_F_ASK), "");
}

static void check_alive(const uint8_t *p, size_t n)
{
    assert_str(payload(p, n, MW_F_ALIVE), "");
}

static void check_data(const uint8_t *p, size_t n)
{
    assert_str(payload(p, n, MW_F_DATA), "not here\n");
}

static void check_log(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_LOG), text;
    struct mw_mark mark;

    assert_int_equal(mw_logline_decode(&mark, &text, s.p, s.n), 0);
    assert_int_equal(mark.level, MW_LOG_ERR);
    assert_int_equal(mark.number, 7);
    assert_str(mark.file, "/s/a.py");
    assert_str(text, "oops");
}

static void check_end(const uint8_t *p, size_t n)
{
    struct mw_str s = payload(p, n, MW_F_END);
    uint8_t how;

    assert_int_equal(mw_u8_decode(&how, MW_END_LAST, s.p, s.n), 0);
    assert_int_equal(how, MW_END_COMPLETE);
}

static struct mw_ctl control(const uint8_t *p, size_t n)
{
    uint8_t again[MW_CTL_MAX];
    struct mw_ctl c;

    assert_int_equal(mw_ctl_decode(&c, p, n), 0);
    assert_int_equal(c.group, 1);
    assert_int_equal(c.slot, 2);
    assert_int_equal(c.incarnation, 3);
    assert_int_equal(mw_ctl_encode(again, &c), n);
    assert_memory_equal(again, p, n);
    return c;
}

static void check_ctl_connect(const uint8_t *p, size_t n)
{
    struct mw_ctl c = control(p, n);

    assert_int_equal(c.type, MW_CTL_CONNECT);
    assert_str(c.text, "");
}

static void check_ctl_failed(const uint8_t *p, size_t n)
{
    struct mw_ctl c = control(p, n);

    assert_int_equal(c.type, MW_CTL_FAILED);
    assert_str(c.text, "no such user");
}

static void check_admin_ask(const uint8_t *p, size_t n)
{
    uint8_t again[MW_ADMIN_MAX];
    struct mw_admin_ask a;

    assert_int_equal(mw_admin_ask_decode(&a, p, n), 0);
    assert_int_equal(a.op, MW_ADMIN_STACKS);
    assert_int_equal(a.slot, 2);
    assert_int_equal(a.incarnation, 3);
    assert_str(a.group, "blog");
    assert_int_equal(mw_admin_ask_encode(again, &a), n);
    assert_memory_equal(again, p, n);
}

static void check_admin_answer(const uint8_t *p, size_t n)
{
    uint8_t again[MW_ADMIN_MAX];
    struct mw_admin_answer a;

    assert_int_equal(mw_admin_answer_decode(&a, p, n), 0);
    assert_int_equal(a.op, MW_ADMIN_STACKS);
    assert_int_equal(a.err, MW_ENOENT);
    assert_str(a.text, "no such worker");
    assert_int_equal(mw_admin_answer_encode(again, &a), n);
    assert_memory_equal(again, p, n);
}

static void check_ctl_recycle(const uint8_t *p, size_t n)
{
    struct mw_ctl c = control(p, n);

    assert_int_equal(c.type, MW_CTL_RECYCLE);
    assert_str(c.text, "script changed");
    assert_str(c.script, "/a.py");
    assert_str(c.app_group, "blog");
    assert_str(c.callable, "app");
    assert_int_equal(c.explicit_group, 1);
}

static const struct {
    const char *name;
    void (*check)(const uint8_t *p, size_t n);
} examples[] = {
    {"hello", check_hello},
    {"request", check_request},
    {"want", check_want},
    {"body", check_body},
    {"body-end", check_body_end},
    {"body-file", check_body_file},
    {"file", check_file},
    {"abort", check_abort},
    {"ask", check_ask},
    {"alive", check_alive},
    {"inform", check_inform},
    {"head", check_head},
    {"data", check_data},
    {"log", check_log},
    {"end", check_end},
    {"ctl-connect", check_ctl_connect},
    {"ctl-failed", check_ctl_failed},
    {"ctl-recycle", check_ctl_recycle},
    {"admin-ask", check_admin_ask},
    {"admin-answer", check_admin_answer},
};

/* The bytes of one line, up to its comment. */
static void add_hex(struct mw_buf *b, const char *line)
{
    const char *end = line + strcspn(line, "#\n");

    for (const char *p = line + strspn(line, " "); p < end; p += strspn(p, " ")) {
        char *behind;
        unsigned long v = strtoul(p, &behind, 16);
        if (behind != p + 2)
            fail_msg("no hex byte: %s", p);
        mw_buf_u8(b, (uint8_t)v);
        p = behind;
    }
}

static void read_example(FILE *f, struct mw_buf *b)
{
    char line[400];

    mw_buf_clear(b);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "```", 3) == 0)
            return;
        add_hex(b, line);
    }
    fail_msg("an example has no end");
}

static size_t find_example(const char *name)
{
    size_t i = 0;

    while (i < MW_ARRAY_LEN(examples) && strcmp(examples[i].name, name) != 0)
        i++;
    if (i == MW_ARRAY_LEN(examples))
        fail_msg("example '%s' is not checked", name);
    return i;
}

static void test_doc_01_examples_are_true(void **state)
{
    (void)state;
    unsigned seen[MW_ARRAY_LEN(examples)] = {0};
    char line[400], name[40];
    FILE *f = open_page();
    struct mw_buf b;

    mw_buf_init(&b, 10000);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "```hex %39[a-z-]", name) != 1)
            continue;
        size_t i = find_example(name);
        read_example(f, &b);
        examples[i].check(mw_buf_data(&b), mw_buf_size(&b));
        seen[i]++;
    }
    fclose(f);
    mw_buf_fini(&b);
    for (size_t i = 0; i < MW_ARRAY_LEN(examples); i++)
        if (seen[i] != 1)
            fail_msg("example '%s' is there %u times", examples[i].name, seen[i]);
}

/* -- tables -- */

static void test_doc_02_the_table_of_frames_is_true(void **state)
{
    (void)state;
    unsigned seen = 0, type;
    char line[400], name[40], min[40], max[40];
    FILE *f = open_page();

    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "| %u | %39[A-Z_] | %*[^|]| %39[a-z0-9] | %39[a-z0-9] |", &type, name, min,
                   max) != 4)
            continue;
        assert_int_equal(type, ++seen);
        assert_string_equal(name, mw_frame_name(type));
        assert_true(mw_frame_limit(type) == strtol(max, NULL, 10));
        uint64_t least = strtoul(min, NULL, 10);
        assert_int_equal(mw_frame_check(type, least), 0);
        if (least > 0)
            assert_int_equal(mw_frame_check(type, least - 1), MW_EPROTO);
    }
    fclose(f);
    assert_int_equal(seen, MW_F_LAST);
}

static void test_doc_03_the_table_of_limits_is_true(void **state)
{
    (void)state;
#define ROW(name)   \
    {               \
#name, name \
    }
    static const struct {
        const char *name;
        unsigned long value;
    } limits[] = {
        ROW(MW_FRAME_HDR),        ROW(MW_FRAME_PAYLOAD_MAX), ROW(MW_FRAME_DATA_MAX),
        ROW(MW_BODY_INLINE_MAX),  ROW(MW_WANT_MAX),          ROW(MW_BODY_WINDOW),
        ROW(MW_FD_LEAD_MAX),      ROW(MW_LINK_LOG_MAX),      ROW(MW_REQ_BLOCK_MAX),
        ROW(MW_REQ_PAIRS_MAX),    ROW(MW_RSP_HEAD_MAX),      ROW(MW_RSP_FIELDS_MAX),
        ROW(MW_RSP_INFORM_MAX),   ROW(MW_CHAN_INFORMS_MAX),  ROW(MW_CTL_MAX),
        ROW(MW_CTL_TEXT_MAX),     ROW(MW_CTL_SCRIPT_MAX),    ROW(MW_CTL_APP_GROUP_MAX),
        ROW(MW_CTL_CALLABLE_MAX), ROW(MW_SPEC_MAX),          ROW(MW_SPEC_LIST_MAX),
        ROW(MW_ADMIN_MAX),        ROW(MW_ADMIN_TEXT_MAX),    ROW(MW_ADMIN_LIST_MAX),
        ROW(MW_ADMIN_REPORT_MAX), ROW(MW_ADMIN_FIELD_MAX),
    };
    char line[400], name[40];
    unsigned long value;
    size_t seen = 0;
    FILE *f = open_page();

    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "| %39[A-Z_] | %lu |", name, &value) != 2)
            continue;
        assert_true(seen < MW_ARRAY_LEN(limits));
        assert_string_equal(name, limits[seen].name);
        assert_int_equal(value, limits[seen].value);
        seen++;
    }
    fclose(f);
    assert_int_equal(seen, MW_ARRAY_LEN(limits));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doc_01_examples_are_true),
        cmocka_unit_test(test_doc_02_the_table_of_frames_is_true),
        cmocka_unit_test(test_doc_03_the_table_of_limits_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
