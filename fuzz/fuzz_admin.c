/*
 * What the supervisor reads of an operator's tool, and what the tool reads of supervisor and workers.
 * The first byte says which. Property: what is accepted has one encoding, the bytes it came from.
 */
#include "admin.h"
#include "check.h"

static void ask(const uint8_t *data, size_t size)
{
    uint8_t out[MW_ADMIN_MAX];
    struct mw_admin_ask a;
    int rv = mw_admin_ask_decode(&a, data, size);

    CHECK(rv == 0 || rv == MW_EPROTO);
    if (rv)
        return;
    CHECK(a.group.p[a.group.n] == 0);
    CHECK(mw_admin_ask_encode(out, &a) == (int)size);
    CHECK(memcmp(out, data, size) == 0);
}

static void answer(const uint8_t *data, size_t size)
{
    uint8_t out[MW_ADMIN_MAX];
    struct mw_admin_answer a;
    int rv = mw_admin_answer_decode(&a, data, size);

    CHECK(rv == 0 || rv == MW_EPROTO);
    if (rv)
        return;
    CHECK(a.text.p[a.text.n] == 0);
    CHECK(mw_admin_answer_encode(out, &a) == (int)size);
    CHECK(memcmp(out, data, size) == 0);
}

static void list(struct mw_cur *c, struct mw_buf *b)
{
    struct mw_admin_list head;

    mw_admin_get_list(c, &head);
    mw_admin_put_list(b, &head);
    for (uint32_t g = 0; !c->err && g < head.ngroups; g++) {
        struct mw_admin_group group;
        mw_admin_get_group(c, &group);
        mw_admin_put_group(b, &group);
        for (uint32_t i = 0; !c->err && i < group.nworkers; i++) {
            struct mw_admin_worker w;
            mw_admin_get_worker(c, &w);
            mw_admin_put_worker(b, &w);
        }
    }
}

static void report(struct mw_cur *c, struct mw_buf *b)
{
    struct mw_admin_report head;

    mw_admin_get_report(c, &head);
    mw_admin_put_report(b, &head);
    for (uint32_t i = 0; !c->err && i < head.nrequests; i++) {
        struct mw_admin_request r;
        mw_admin_get_request(c, &r);
        mw_admin_put_request(b, &r);
    }
}

static void sequence(const uint8_t *data, size_t size,
                     void (*walk)(struct mw_cur *c, struct mw_buf *b))
{
    struct mw_cur c;
    struct mw_buf b;

    mw_cur_init(&c, data, size);
    mw_buf_init(&b, MW_ADMIN_LIST_MAX);
    walk(&c, &b);
    if (mw_cur_end(&c) == 0)
        check_same(&b, data, size);
    mw_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 4) {
    case 0:
        ask(data + 1, size - 1);
        break;
    case 1:
        answer(data + 1, size - 1);
        break;
    case 2:
        sequence(data + 1, size - 1, list);
        break;
    default:
        sequence(data + 1, size - 1, report);
    }
    return 0;
}
