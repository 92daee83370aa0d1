/*
 * What a hostile peer sends, through a real socket into a link, with and without a descriptor beside it: the
 * first byte of the input says where. Property: the link gives out what the pure parser, the rule of HELLO
 * (first and once) and those of descriptors say, or fails where they do, and stays failed; and no descriptor
 * is left.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "io.h"
#include "link.h"

struct model {
    const uint8_t *p;
    size_t n;
    int greeted;
    int given; /* a descriptor is there that no frame has taken */
};

/* Whether the frame has a descriptor where it needs one. */
static int pairs(struct model *m, const struct mw_frame *f)
{
    int given = m->given;

    if (!mw_frame_has_fd(f->type))
        return 1;
    m->given = 0;
    return given;
}

/* The next frame that a link must give out: 1; 0: more bytes are needed; or the error. */
static int expect(struct model *m, struct mw_frame *f)
{
    for (;;) {
        struct mw_hello h;
        int64_t used = mw_frame_parse(m->p, m->n, f, NULL);
        if (used <= 0)
            return (int)used;
        if (!pairs(m, f) || (f->type == MW_F_HELLO) == m->greeted)
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
            CHECK((l->frame_fd >= 0) == mw_frame_has_fd(got.type));
            CHECK((l->given_fd >= 0) == m->given);
        }
    } while (said == 1);
    CHECK(rv == (said ? said : MW_EAGAIN));
    CHECK(mw_link_recv_now(l, &got) == rv);
    CHECK(mw_link_flush(l) == said);
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    CHECK(fd >= 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mw_link l;
    int fd[2];

    if (size < 2 || size > MW_FD_LEAD_MAX)
        return 0; /* one write, and no descriptor is too far from its frame */
    int null = open_null();
    int lowest = null;
    struct model m = {.p = data + 1, .n = size - 1, .given = data[0] & 1};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)m.p, .iov_len = m.n};
    CHECK(mw_io_socketpair(SOCK_STREAM, fd) == 0);
    CHECK(mw_io_send_all_fd(fd[0], &iov, 1, 0, m.given ? null : -1) == 0);
    mw_link_init(&l, fd[1], 1000);
    compare(&l, &m);
    mw_link_trim(&l);
    mw_link_fini(&l);
    mw_io_close(&fd[0]);
    mw_io_close(&null);
    CHECK(open_null() == lowest); /* nothing is left open */
    CHECK(close(lowest) == 0);
    return 0;
}
