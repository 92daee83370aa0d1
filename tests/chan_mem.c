/*
 * chan_mem.c: the channel of tests. It is strict: what an engine must not do fails the test at
 * once.
 */
#include "chan_mem.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <cmocka.h>

#define RECORD_MAX (256u << 20)

static struct chan_mem *self(struct mw_chan *c)
{
    return (struct chan_mem *)c;
}

static void die(const char *what)
{
    fprintf(stderr, "chan_mem: %s\n", what);
    abort();
}

/* With no other thread in Python, a current thread state is ours and means that we have the GIL. */
static void check_gil(const struct chan_mem *m)
{
    static void *(*current)(void);

    if (!m->check_gil)
        return;
    if (!current)
        *(void **)&current = dlsym(RTLD_DEFAULT, "PyThreadState_GetUnchecked");
    if (!current)
        *(void **)&current = dlsym(RTLD_DEFAULT, "_PyThreadState_UncheckedGet");
    if (!current)
        die("there is no way to ask for the GIL");
    /* Until Python 3.12 this tells of any thread; what this very thread holds does not change meanwhile. */
    void *held = current();
    for (int i = 0; held && i < 1000 && current() == held; i++)
        usleep(1000);
    if (held && current() == held)
        die("an operation was called with the GIL held");
}

static void event(struct chan_mem *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void event(struct chan_mem *m, const char *fmt, ...)
{
    char text[80];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&m->lock);
    mw_buf_bytes(&m->events, text, (size_t)n);
    pthread_mutex_unlock(&m->lock);
}

/* Count a call; whether it is the one that fails. */
static int fails(struct chan_mem *m, enum chan_mem_op op)
{
    check_gil(m);
    return ++m->calls[op] == m->fail_at[op];
}

static ssize_t op_read(struct mw_chan *c, void *buf, size_t cap)
{
    struct chan_mem *m = self(c);

    if (m->on_read)
        m->on_read(m);
    if (fails(m, CHAN_MEM_READ))
        return m->fail_with;
    if (m->at == m->npieces)
        return 0;
    const struct chan_mem_piece *p = &m->piece[m->at];
    if (p->err)
        return p->err;
    size_t n = p->n - m->off < cap ? p->n - m->off : cap;
    memcpy(buf, p->p + m->off, n);
    m->off += n;
    if (m->off == p->n) {
        m->at++;
        m->off = 0;
    }
    event(m, "read:%zu ", n);
    return (ssize_t)n;
}

static int op_inform(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    struct chan_mem *m = self(c);
    struct mw_cur it = rsp->fields;
    struct mw_str name, value;

    if (fails(m, CHAN_MEM_INFORM))
        return m->fail_with;
    if (!block || n > MW_RSP_INFORM_MAX || rsp->status != 103)
        die("a bad informational response came through");
    while (mw_rsp_next(&it, &name, &value)) {
        mw_buf_bytes(&m->informs, name.p, name.n);
        mw_buf_bytes(&m->informs, ": ", 2);
        mw_buf_bytes(&m->informs, value.p, value.n);
        mw_buf_bytes(&m->informs, "\n", 1);
    }
    mw_buf_bytes(&m->informs, "\n", 1);
    event(m, "inform ");
    return 0;
}

static int op_gone(struct mw_chan *c)
{
    struct chan_mem *m = self(c);
    int gone = fails(m, CHAN_MEM_GONE);

    event(m, "gone ");
    return gone;
}

static int op_head(struct mw_chan *c, const struct mw_rsp *rsp, const void *block, size_t n)
{
    struct chan_mem *m = self(c);

    (void)rsp;
    if (fails(m, CHAN_MEM_HEAD))
        return m->fail_with;
    mw_buf_bytes(&m->answer, block, n);
    if (mw_rsp_view(&m->rsp, mw_buf_data(&m->answer), mw_buf_size(&m->answer), NULL))
        die("a bad head came through");
    event(m, "head ");
    return 0;
}

static int op_data(struct mw_chan *c, const void *p, size_t n, unsigned flags)
{
    struct chan_mem *m = self(c);

    if (fails(m, CHAN_MEM_DATA))
        return m->fail_with;
    mw_buf_bytes(&m->body, p, n);
    event(m, "data%s:%zu ", flags & MW_DATA_MORE ? "+" : "", n);
    return 0;
}

/* "name.py(7) " */
static void put_source(struct chan_mem *m, const struct mw_mark *mark)
{
    char text[64];
    const char *slash = memrchr(mark->file.p, '/', mark->file.n);

    snprintf(text, sizeof text, "%.40s(%u) ", slash ? slash + 1 : mark->file.p, mark->number);
    mw_buf_bytes(&m->log, text, strlen(text));
}

/* Reads the part at once, so that it is in `body` as if it were data. */
static int op_file(struct mw_chan *c, int fd, int64_t offset, int64_t n, unsigned flags)
{
    struct chan_mem *m = self(c);
    int rv = fails(m, CHAN_MEM_FILE) ? m->fail_with : 0;

    if (rv == 0) {
        uint8_t *to = mw_buf_reserve(&m->body, (size_t)n);
        if (!to || pread(fd, to, (size_t)n, (off_t)offset) != n)
            die("the file does not hold what it should");
        mw_buf_commit(&m->body, (size_t)n);
        event(m, "file%s:%lld,%lld ", flags & MW_DATA_MORE ? "+" : "", (long long)offset,
              (long long)n);
    }
    close(fd);
    return rv;
}

static void op_log(struct mw_chan *c, const struct mw_mark *mark, const char *line, size_t n)
{
    struct chan_mem *m = self(c);
    char digit[2] = {(char)('0' + mark->level), ' '};

    check_gil(m);
    if (m->calls[CHAN_MEM_END])
        die("a line was logged after the end");
    if (memchr(line, '\n', n))
        die("a log line holds a newline");
    event(m, "log ");
    pthread_mutex_lock(&m->lock);
    mw_buf_bytes(&m->log, digit, 2);
    if (mark->number)
        put_source(m, mark);
    mw_buf_bytes(&m->log, line, n);
    mw_buf_bytes(&m->log, "\n", 1);
    pthread_mutex_unlock(&m->lock);
}

static int op_end(struct mw_chan *c, enum mw_end how)
{
    struct chan_mem *m = self(c);
    int fail = fails(m, CHAN_MEM_END);

    if (m->calls[CHAN_MEM_END] > 1)
        die("the channel was ended twice");
    m->end = how;
    event(m, "end:%s ", mw_end_name(how));
    return fail ? m->fail_with : 0;
}

static const struct mw_chan_ops ops = {
    .read = op_read,
    .inform = op_inform,
    .head = op_head,
    .data = op_data,
    .file = op_file,
    .gone = op_gone,
    .log = op_log,
    .end = op_end,
};

void chan_mem_init(struct chan_mem *m)
{
    *m = (struct chan_mem){
        .head = {.callable = MW_STR("application"),
                 .app_group = MW_STR(""),
                 .process_group = MW_STR(""),
                 .log_id = MW_STR("")},
        .fail_with = MW_EABORT,
        .check_gil = 1,
    };
    mw_buf_init(&m->block, MW_REQ_BLOCK_MAX);
    mw_buf_init(&m->answer, RECORD_MAX);
    mw_buf_init(&m->body, RECORD_MAX);
    mw_buf_init(&m->log, RECORD_MAX);
    mw_buf_init(&m->informs, RECORD_MAX);
    mw_buf_init(&m->events, RECORD_MAX);
    mw_buf_init(&m->pairs, MW_REQ_BLOCK_MAX);
    pthread_mutex_init(&m->lock, NULL);
}

void chan_mem_fini(struct chan_mem *m)
{
    mw_buf_fini(&m->block);
    mw_buf_fini(&m->answer);
    mw_buf_fini(&m->body);
    mw_buf_fini(&m->log);
    mw_buf_fini(&m->informs);
    mw_buf_fini(&m->events);
    mw_buf_fini(&m->pairs);
    pthread_mutex_destroy(&m->lock);
}

void chan_mem_pair(struct chan_mem *m, const char *key, const char *value)
{
    mw_buf_cstr(&m->pairs, key);
    mw_buf_cstr(&m->pairs, value);
    m->npairs++;
}

void chan_mem_piece(struct chan_mem *m, const char *p, size_t n)
{
    if (m->npieces == CHAN_MEM_PIECES)
        die("too many pieces");
    m->piece[m->npieces++] = (struct chan_mem_piece){.p = p, .n = n};
    m->head.flags |= MW_REQ_BODY;
    if (m->head.content_length >= 0)
        m->head.content_length += (int64_t)n;
}

void chan_mem_body(struct chan_mem *m, const char *text)
{
    chan_mem_piece(m, text, strlen(text));
}

void chan_mem_break(struct chan_mem *m, int err)
{
    if (m->npieces == CHAN_MEM_PIECES)
        die("too many pieces");
    m->piece[m->npieces++] = (struct chan_mem_piece){.err = err};
    m->head.flags |= MW_REQ_BODY;
}

void chan_mem_open(struct chan_mem *m)
{
    size_t at = mw_req_begin(&m->block, &m->head);

    mw_buf_bytes(&m->block, mw_buf_data(&m->pairs), mw_buf_size(&m->pairs));
    if (mw_req_end(&m->block, at, m->npairs) ||
        mw_req_view(&m->req, mw_buf_data(&m->block), mw_buf_size(&m->block)))
        die("the request is bad");
    mw_chan_init(&m->chan, &ops, &m->req);
}

const char *chan_mem_field(const struct chan_mem *m, const char *name, unsigned nth)
{
    struct mw_cur it = m->rsp.fields;
    struct mw_str key, value;

    if (!m->rsp.status)
        return NULL;
    while (mw_rsp_next(&it, &key, &value))
        if (strcasecmp(key.p, name) == 0 && nth-- == 0)
            return value.p;
    return NULL;
}

const char *chan_mem_text(struct mw_buf *b)
{
    uint8_t *end = mw_buf_reserve(b, 1);

    if (!end)
        die("no memory");
    *end = 0;
    return (const char *)mw_buf_data(b);
}
