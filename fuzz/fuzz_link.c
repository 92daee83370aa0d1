/*
 * What a hostile peer sends, through a real socket into a link. Property: the link gives out what the
 * pure parser and the rule of HELLO (first and once) say, or fails where they do, and stays failed.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "io.h"
#include "link.h"

struct model {
    const uint8_t *p;
    size_t n;
    int greeted;
};

/* The next frame that a link must give out: 1; 0: more bytes are needed; or the error. */
static int expect(struct model *m, struct mw_frame *f)
{
    for (;;) {
        struct mw_hello h;
        int64_t used = mw_frame_parse(m->p, m->n, f, NULL);
        if (used <= 0)
            return (int)used;
        if ((f->type == MW_F_HELLO) == m->greeted)
            return MW_EPROTO;
        m->p += used;
        m->n -= (size_t)used;
        if (f->type != MW_F_HELLO)
            return 1;
        if (mw_hello_decode(&h, f->payload, f->n))
            return MW_EPROTO;
        m->greeted = 1;
    }
}

static void compare(struct mw_link *l, struct model *m)
{
    struct mw_frame got, want;
    int said, rv;

    do {
        said = expect(m, &want);
        rv = mw_link_recv_now(l, &got);
        if (said == 1) {
            CHECK(rv == 0);
            CHECK(got.type == want.type && got.n == want.n);
            CHECK(got.n == 0 || memcmp(got.payload, want.payload, got.n) == 0);
        }
    } while (said == 1);
    CHECK(rv == (said ? said : MW_EAGAIN));
    CHECK(mw_link_recv_now(l, &got) == rv);
    CHECK(mw_link_flush(l) == said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mw_link l;
    int fd[2];

    CHECK(mw_io_socketpair(SOCK_STREAM, fd) == 0);
    CHECK(mw_io_nonblock(fd[0], 1) == 0);
    ssize_t sent = write(fd[0], data, size);
    struct model m = {.p = data, .n = sent > 0 ? (size_t)sent : 0};
    mw_link_init(&l, fd[1], 1000);
    compare(&l, &m);
    mw_link_trim(&l);
    mw_link_fini(&l);
    mw_io_close(&fd[0]);
    return 0;
}
