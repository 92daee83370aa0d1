/*
 * report.c: see report.h. The operator's tool reads it as wire/admin.h has it.
 */
#include "report.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admin.h"
#include "clock.h"
#include "io.h"

#define GIL_WAIT_S 1 /* a thread that runs Python gives it up many times a second */

/* The pipe's other end may be stopped, so nothing here may wait for it. */
static int usable(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && mw_io_nonblock(fd, 1) == 0;
}

static uint64_t resident(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct requests {
    struct mw_buf buf;
    uint32_t n;
};

static int is(struct mw_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static void put_request(void *ctx, const struct mw_running_entry *e)
{
    struct requests *all = ctx;
    struct mw_admin_request out = {.thread = (uint32_t)e->tid,
                                   .ident = (uint64_t)e->ident,
                                   .age_ms = mw_clock_ms() - e->since_ms,
                                   .lost = e->lost != 0,
                                   .script = e->req->script};
    struct mw_cur it = e->req->pairs;
    struct mw_str key, value;

    while (mw_req_next(&it, &key, &value)) {
        if (is(key, "REQUEST_METHOD"))
            out.method = value;
        else if (is(key, "HTTP_HOST"))
            out.host = value;
        else if (is(key, "REQUEST_URI"))
            out.url = value;
        else if (is(key, "REMOTE_ADDR"))
            out.client = value;
    }
    mw_admin_put_request(&all->buf, &out);
    all->n++;
}

static void write_out(int fd, const void *bytes, size_t left)
{
    const uint8_t *p = bytes;

    while (left > 0) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        p += n;
        left -= (size_t)n;
    }
}

static void report_requests(struct mw_report *r, int fd)
{
    struct requests all = {.n = 0};
    struct mw_buf out;

    mw_buf_init(&all.buf, MW_ADMIN_REPORT_MAX);
    mw_buf_init(&out, MW_ADMIN_REPORT_MAX);
    if (usable(fd)) {
        mw_running_each(r->running, put_request, &all);
        struct mw_admin_report head = {.pid = (uint32_t)getpid(),
                                       .incarnation = r->incarnation,
                                       .resident = resident(),
                                       .served = mw_running_served(r->running),
                                       .nrequests = all.n};
        mw_admin_put_report(&out, &head);
        mw_buf_bytes(&out, mw_buf_data(&all.buf), mw_buf_size(&all.buf));
        if (!all.buf.err && !out.err)
            write_out(fd, mw_buf_data(&out), mw_buf_size(&out));
    }
    mw_buf_fini(&all.buf);
    mw_buf_fini(&out);
    mw_io_close(&fd);
}

/* -- stacks -- */

/* Of one question, shared by two threads; freed by the last. `taker` gets the GIL and writes the stacks
 * while none can change; `waiter` passes them on. If the GIL does not come, whoever has it is stuck
 * outside of Python: then nothing changes either, and the stacks can be read without it. */
struct stacks {
    struct mw_report *report;
    int pipe; /* waiter's */
    int file; /* taker writes, waiter reads */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int done;      /* by the taker */
    int abandoned; /* by the waiter: counted in report->stuck */
    int refs;
};

static void let_go(struct stacks *s)
{
    pthread_mutex_lock(&s->lock);
    int last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    mw_io_close(&s->pipe);
    mw_io_close(&s->file);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void *take(void *arg)
{
    struct stacks *s = arg;

    s->report->runtime->stacks(s->file);
    pthread_mutex_lock(&s->lock);
    s->done = 1;
    if (s->abandoned)
        __atomic_sub_fetch(&s->report->stuck, 1, __ATOMIC_RELAXED);
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    let_go(s);
    return NULL;
}

static int wait_for_taker(struct stacks *s)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += GIL_WAIT_S;
    pthread_mutex_lock(&s->lock);
    while (!s->done && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
        ;
    if (!s->done) {
        s->abandoned = 1;
        __atomic_add_fetch(&s->report->stuck, 1, __ATOMIC_RELAXED);
    }
    int done = s->done;
    pthread_mutex_unlock(&s->lock);
    return done;
}

static void copy(int from, int to)
{
    char bytes[8192];
    off_t at = 0;

    for (;;) {
        ssize_t n = pread(from, bytes, sizeof bytes, at);
        if (n <= 0)
            return;
        write_out(to, bytes, (size_t)n);
        at += n;
    }
}

static void dump_as_they_are(struct stacks *s)
{
    static const char head[] =
        "No thread gives up Python's GIL: one keeps it in code that is not Python's.\n";

    write_out(s->pipe, head, sizeof head - 1);
    s->report->runtime->dump(s->pipe);
}

static int launch(struct stacks *s, void *(*fn)(void *))
{
    pthread_t id;

    s->refs++; /* before it can let go */
    if (pthread_create(&id, NULL, fn, s)) {
        s->refs--;
        return MW_EIO;
    }
    pthread_detach(id);
    return 0;
}

static void *wait_and_pass_on(void *arg)
{
    struct stacks *s = arg;
    int stuck = __atomic_load_n(&s->report->stuck, __ATOMIC_RELAXED) > 0;

    pthread_mutex_lock(&s->lock);
    int rv = stuck ? 0 : launch(s, take);
    pthread_mutex_unlock(&s->lock);
    if (rv == 0 && !stuck && wait_for_taker(s))
        copy(s->file, s->pipe);
    else if (rv == 0)
        dump_as_they_are(s);
    mw_io_close(&s->pipe); /* the taker may stay for ever */
    let_go(s);
    return NULL;
}

static struct stacks *new_stacks(struct mw_report *r, int pipe)
{
    struct stacks *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;

    if (!s)
        return NULL;
    s->file = memfd_create("wsgi-stacks", MFD_CLOEXEC);
    if (s->file < 0) {
        free(s);
        return NULL;
    }
    s->report = r;
    s->pipe = pipe;
    s->refs = 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    return s;
}

static void report_stacks(struct mw_report *r, int fd)
{
    struct stacks *s = usable(fd) ? new_stacks(r, fd) : NULL;

    if (!s) {
        mw_io_close(&fd);
        return;
    }
    pthread_mutex_lock(&s->lock);
    (void)launch(s, wait_and_pass_on);
    pthread_mutex_unlock(&s->lock);
    let_go(s);
}

void mw_report_answer(struct mw_report *r, const struct mw_ctl *question, int *fd)
{
    if (*fd < 0)
        return;
    if (question->type == MW_CTL_REPORT)
        report_requests(r, *fd);
    else if (question->type == MW_CTL_STACKS)
        report_stacks(r, *fd);
    else
        return;
    *fd = -1;
}
