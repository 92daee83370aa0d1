/*
 * admin.c: see admin.h. Pure; supervisor, workers and the operator's tool.
 */
#include "admin.h"

#include <string.h>

#define LIST_MAGIC 0x534c574du   /* the bytes "MWLS" */
#define REPORT_MAGIC 0x5052574du /* the bytes "MWRP" */
#define VERSION 1u

_Static_assert(10 + 4 + MW_ADMIN_TEXT_MAX + 1 <= MW_ADMIN_MAX, "the longest text fits");

static int is_text(struct mw_str s)
{
    return s.n == 0 || !memchr(s.p, 0, s.n);
}

static int is_op(uint8_t op)
{
    return op >= MW_ADMIN_LIST && op <= MW_ADMIN_RESUME;
}

/* Every op but LIST is about a group. */
static int is_ask(const struct mw_admin_ask *a)
{
    return is_op(a->op) && is_text(a->group) && (a->group.n > 0) == (a->op != MW_ADMIN_LIST);
}

static int take(uint8_t out[MW_ADMIN_MAX], struct mw_buf *b)
{
    int rv = b->err;

    if (rv == 0) {
        memcpy(out, mw_buf_data(b), mw_buf_size(b));
        rv = (int)mw_buf_size(b);
    }
    mw_buf_fini(b);
    return rv;
}

int mw_admin_ask_encode(uint8_t out[MW_ADMIN_MAX], const struct mw_admin_ask *a)
{
    struct mw_buf b;

    if (a->group.n > MW_ADMIN_TEXT_MAX)
        return MW_ELIMIT;
    if (!is_ask(a))
        return MW_EINVAL;
    mw_buf_init(&b, MW_ADMIN_MAX);
    mw_buf_u8(&b, VERSION);
    mw_buf_u8(&b, a->op);
    mw_buf_u16(&b, a->slot);
    mw_buf_u32(&b, a->incarnation);
    mw_buf_str(&b, a->group);
    return take(out, &b);
}

int mw_admin_ask_decode(struct mw_admin_ask *out, const void *p, size_t n)
{
    struct mw_cur c;

    if (n > MW_ADMIN_MAX)
        return MW_EPROTO;
    mw_cur_init(&c, p, n);
    unsigned version = mw_cur_u8(&c);
    out->op = mw_cur_u8(&c);
    out->slot = mw_cur_u16(&c);
    out->incarnation = mw_cur_u32(&c);
    out->group = mw_cur_str(&c);
    if (mw_cur_end(&c) || version != VERSION || out->group.n > MW_ADMIN_TEXT_MAX)
        return MW_EPROTO;
    return is_ask(out) ? 0 : MW_EPROTO;
}

int mw_admin_answer_encode(uint8_t out[MW_ADMIN_MAX], const struct mw_admin_answer *a)
{
    struct mw_buf b;

    if (a->text.n > MW_ADMIN_TEXT_MAX)
        return MW_ELIMIT;
    if (!is_op(a->op) || !is_text(a->text) || a->err > 0 || a->err < -UINT8_MAX)
        return MW_EINVAL;
    mw_buf_init(&b, MW_ADMIN_MAX);
    mw_buf_u8(&b, VERSION);
    mw_buf_u8(&b, a->op);
    mw_buf_u8(&b, (uint8_t)-a->err);
    mw_buf_str(&b, a->text);
    return take(out, &b);
}

int mw_admin_answer_decode(struct mw_admin_answer *out, const void *p, size_t n)
{
    struct mw_cur c;

    if (n > MW_ADMIN_MAX)
        return MW_EPROTO;
    mw_cur_init(&c, p, n);
    unsigned version = mw_cur_u8(&c);
    out->op = mw_cur_u8(&c);
    out->err = -(int)mw_cur_u8(&c);
    out->text = mw_cur_str(&c);
    if (mw_cur_end(&c) || version != VERSION || out->text.n > MW_ADMIN_TEXT_MAX)
        return MW_EPROTO;
    return is_op(out->op) ? 0 : MW_EPROTO;
}

/* -- the list -- */

static void head(struct mw_buf *b, uint32_t magic)
{
    mw_buf_u32(b, magic);
    mw_buf_u32(b, VERSION);
}

static void check_head(struct mw_cur *c, uint32_t magic)
{
    if (mw_cur_u32(c) != magic || mw_cur_u32(c) != VERSION)
        c->err = MW_EPROTO;
}

void mw_admin_put_list(struct mw_buf *b, const struct mw_admin_list *l)
{
    head(b, LIST_MAGIC);
    mw_buf_u32(b, l->pid);
    mw_buf_u64(b, l->age_ms);
    mw_buf_u64(b, l->starts);
    mw_buf_u8(b, l->ending);
    mw_buf_u32(b, l->ngroups);
}

void mw_admin_get_list(struct mw_cur *c, struct mw_admin_list *out)
{
    check_head(c, LIST_MAGIC);
    out->pid = mw_cur_u32(c);
    out->age_ms = mw_cur_u64(c);
    out->starts = mw_cur_u64(c);
    out->ending = mw_cur_u8(c);
    out->ngroups = mw_cur_u32(c);
}

void mw_admin_put_group(struct mw_buf *b, const struct mw_admin_group *g)
{
    mw_buf_str(b, g->name);
    mw_buf_u32(b, g->processes);
    mw_buf_u32(b, g->threads);
    mw_buf_u32(b, g->waiting);
    mw_buf_u8(b, g->drained);
    mw_buf_u32(b, g->nworkers);
}

void mw_admin_get_group(struct mw_cur *c, struct mw_admin_group *out)
{
    out->name = mw_cur_str(c);
    out->processes = mw_cur_u32(c);
    out->threads = mw_cur_u32(c);
    out->waiting = mw_cur_u32(c);
    out->drained = mw_cur_u8(c);
    out->nworkers = mw_cur_u32(c);
}

void mw_admin_put_worker(struct mw_buf *b, const struct mw_admin_worker *w)
{
    mw_buf_u16(b, w->slot);
    mw_buf_u32(b, w->incarnation);
    mw_buf_u32(b, w->pid);
    mw_buf_u8(b, w->phase);
    mw_buf_str(b, w->state);
    mw_buf_u64(b, w->started);
    mw_buf_u64(b, w->failed);
    mw_buf_u64(b, w->age_ms);
    mw_buf_u64(b, w->due_ms);
    mw_buf_u32(b, w->claimed);
    mw_buf_u32(b, w->busy);
    mw_buf_u32(b, w->fails);
    mw_buf_str(b, w->why);
}

void mw_admin_get_worker(struct mw_cur *c, struct mw_admin_worker *out)
{
    out->slot = mw_cur_u16(c);
    out->incarnation = mw_cur_u32(c);
    out->pid = mw_cur_u32(c);
    out->phase = mw_cur_u8(c);
    out->state = mw_cur_str(c);
    out->started = mw_cur_u64(c);
    out->failed = mw_cur_u64(c);
    out->age_ms = mw_cur_u64(c);
    out->due_ms = mw_cur_u64(c);
    out->claimed = mw_cur_u32(c);
    out->busy = mw_cur_u32(c);
    out->fails = mw_cur_u32(c);
    out->why = mw_cur_str(c);
}

/* -- the report -- */

void mw_admin_put_report(struct mw_buf *b, const struct mw_admin_report *r)
{
    head(b, REPORT_MAGIC);
    mw_buf_u32(b, r->pid);
    mw_buf_u32(b, r->incarnation);
    mw_buf_u64(b, r->resident);
    mw_buf_u64(b, r->served);
    mw_buf_u32(b, r->nrequests);
}

void mw_admin_get_report(struct mw_cur *c, struct mw_admin_report *out)
{
    check_head(c, REPORT_MAGIC);
    out->pid = mw_cur_u32(c);
    out->incarnation = mw_cur_u32(c);
    out->resident = mw_cur_u64(c);
    out->served = mw_cur_u64(c);
    out->nrequests = mw_cur_u32(c);
}

/* What a client sent may be as long as httpd takes it. */
static void put_cut(struct mw_buf *b, struct mw_str s)
{
    if (s.n > MW_ADMIN_FIELD_MAX)
        s.n = MW_ADMIN_FIELD_MAX;
    mw_buf_str(b, s);
}

void mw_admin_put_request(struct mw_buf *b, const struct mw_admin_request *r)
{
    mw_buf_u32(b, r->thread);
    mw_buf_u64(b, r->ident);
    mw_buf_u64(b, r->age_ms);
    mw_buf_u8(b, r->lost);
    put_cut(b, r->method);
    put_cut(b, r->host);
    put_cut(b, r->url);
    put_cut(b, r->client);
    put_cut(b, r->script);
}

static struct mw_str get_cut(struct mw_cur *c)
{
    struct mw_str s = mw_cur_str(c);

    if (s.n > MW_ADMIN_FIELD_MAX)
        c->err = MW_EPROTO;
    return s;
}

void mw_admin_get_request(struct mw_cur *c, struct mw_admin_request *out)
{
    out->thread = mw_cur_u32(c);
    out->ident = mw_cur_u64(c);
    out->age_ms = mw_cur_u64(c);
    out->lost = mw_cur_u8(c);
    out->method = get_cut(c);
    out->host = get_cut(c);
    out->url = get_cut(c);
    out->client = get_cut(c);
    out->script = get_cut(c);
}
