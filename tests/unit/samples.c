/*
 * samples.c: see samples.h.
 */
#include "samples.h"

#include <dirent.h>

uint32_t sample_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

const struct mw_req sample_req_head = {
    .flags = MW_REQ_HTTPS | MW_REQ_BODY | MW_REQ_MULTITHREAD,
    .content_length = 1234567890123,
    .start_us = 1700000000000001,
    .queue_us = 1700000000000777,
    .timeout_ms = 30000,
    .script_stamp = 0xfedcba9876543210,
    .script = {"/srv/app.wsgi", 13},
    .callable = {"application", 11},
    .app_group = {"www.example.com|/blog", 21},
    .process_group = {"blog", 4},
    .log_id = {"ZAbc/1", 6},
};

void sample_req(struct mw_buf *b)
{
    size_t at = mw_req_begin(b, &sample_req_head);

    mw_req_pair(b, MW_STR("REQUEST_METHOD"), MW_STR("POST"));
    mw_req_pair(b, MW_STR("PATH_INFO"), MW_STR("/caf\xc3\xa9"));
    mw_req_pair(b, MW_STR("QUERY_STRING"), MW_STR(""));
    assert_int_equal(mw_req_end(b, at, 3), 0);
}

void sample_rsp(struct mw_buf *b)
{
    size_t at = mw_rsp_begin(b, 404, MW_STR("Not Found"));

    mw_rsp_field(b, MW_STR("Content-Type"), MW_STR("text/plain"));
    mw_rsp_field(b, MW_STR("X-Empty"), MW_STR(""));
    mw_rsp_field(b, MW_STR("Content-Length"), MW_STR("17"));
    assert_int_equal(mw_rsp_end(b, at, 3), 0);
}

void sample_req_rebuild(struct mw_buf *b, const struct mw_req *r)
{
    struct mw_cur it = r->pairs;
    struct mw_str k, v;
    uint32_t n = 0;
    size_t at = mw_req_begin(b, r);

    for (; mw_req_next(&it, &k, &v); n++)
        mw_req_pair(b, k, v);
    assert_int_equal(n, r->npairs);
    assert_int_equal(mw_req_end(b, at, n), 0);
}

void sample_rsp_rebuild(struct mw_buf *b, const struct mw_rsp *r)
{
    struct mw_cur it = r->fields;
    struct mw_str k, v;
    uint32_t n = 0;
    size_t at = mw_rsp_begin(b, r->status, r->reason);

    for (; mw_rsp_next(&it, &k, &v); n++)
        mw_rsp_field(b, k, v);
    assert_int_equal(n, r->nfields);
    assert_int_equal(mw_rsp_end(b, at, n), 0);
}

unsigned sample_open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

struct rlimit sample_no_more_files(void)
{
    struct rlimit old, none;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return old;
}
