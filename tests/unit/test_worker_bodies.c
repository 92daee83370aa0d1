/*
 * Bodies in files that come again and again: known again by whatever descriptor, never taken for another
 * one, so many at most, and given back when nobody uses them.
 */
#include "samples.h"

#include <string.h>
#include <unistd.h>

#include "bodies.h"
#include "clock.h"
#include "io.h"

struct source {
    int fd;
    struct mw_memfile w;
};

static uint64_t now = 1000000;

static uint64_t test_clock(void)
{
    return now;
}

struct fixture {
    struct mw_bodies b;
    unsigned open_before;
};

static int setup(void **state)
{
    static struct fixture f;

    f.open_before = sample_open_fds();
    mw_bodies_init(&f.b);
    mw_clock_replace(test_clock);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mw_clock_replace(NULL);
    mw_bodies_fini(&f->b);
    return sample_open_fds() == f->open_before ? 0 : -1;
}

static void source_init(struct source *s, char c)
{
    assert_int_equal(mw_io_scratch(NULL, &s->fd), 0);
    int rv = mw_memfile_fix(&s->w, s->fd);
    if (rv == MW_EINVAL) {
        mw_io_close(&s->fd);
        skip();
    }
    assert_int_equal(rv, 0);
    assert_int_equal(mw_memfile_reach(&s->w, 100), 0);
    memset(s->w.p, c, 100);
}

static void source_fini(struct source *s)
{
    mw_memfile_unmap(&s->w);
    mw_io_close(&s->fd);
}

static unsigned mapped(const struct mw_bodies *b)
{
    unsigned n = 0;

    for (size_t i = 0; i < MW_BODIES_MAX; i++)
        n += b->v[i].map.p != NULL;
    return n;
}

static void test_bodies_01_known_again(void **state)
{
    struct mw_bodies *b = &((struct fixture *)*state)->b;
    struct source s[2];

    source_init(&s[0], 'a');
    source_init(&s[1], 'b');
    for (int i = 0; i < 3; i++) {
        int fd = dup(s[0].fd);
        struct mw_body_file *x = mw_bodies_take(b, fd, 100);
        mw_io_close(&fd);
        struct mw_body_file *y = mw_bodies_take(b, s[1].fd, 100);
        struct mw_body_file *again = mw_bodies_take(b, s[0].fd, MW_MEMFILE_SIZE);

        assert_non_null(x);
        assert_non_null(y);
        assert_ptr_not_equal(x, y);
        assert_ptr_equal(again, x);
        assert_int_equal(x->map.p[99], 'a' + 2 * i);
        assert_int_equal(y->map.p[99], 'b' + 2 * i);
        memset(s[0].w.p, 'a' + 2 * (i + 1), 100);
        memset(s[1].w.p, 'b' + 2 * (i + 1), 100);
        mw_bodies_give(b, x);
        mw_bodies_give(b, again);
        mw_bodies_give(b, y);
    }
    assert_int_equal(mapped(b), 2);
    source_fini(&s[0]);
    source_fini(&s[1]);
}

static void test_bodies_02_files_that_are_to_be_read(void **state)
{
    struct mw_bodies *b = &((struct fixture *)*state)->b;
    int fd, p[2];

    assert_int_equal(mw_io_scratch(NULL, &fd), 0);
    assert_int_equal(ftruncate(fd, MW_MEMFILE_SIZE), 0);
    assert_null(mw_bodies_take(b, fd, 1));
    mw_io_close(&fd);
    assert_int_equal(mw_io_pipe(p), 0);
    assert_null(mw_bodies_take(b, p[0], 1));
    assert_null(mw_bodies_take(b, -1, 1));
    mw_io_close(&p[0]);
    mw_io_close(&p[1]);
    assert_int_equal(mapped(b), 0);
}

static void test_bodies_03_so_many_at_most(void **state)
{
    struct mw_bodies *b = &((struct fixture *)*state)->b;
    struct source s[MW_BODIES_MAX + 1];
    struct mw_body_file *f[MW_BODIES_MAX];

    for (size_t i = 0; i <= MW_BODIES_MAX; i++)
        source_init(&s[i], 'a');
    for (size_t i = 0; i < MW_BODIES_MAX; i++) {
        f[i] = mw_bodies_take(b, s[i].fd, 1);
        assert_non_null(f[i]);
    }
    assert_null(mw_bodies_take(b, s[MW_BODIES_MAX].fd, 1));
    assert_ptr_equal(mw_bodies_take(b, s[3].fd, 1), f[3]);
    mw_bodies_give(b, f[3]);
    assert_null(mw_bodies_take(b, s[MW_BODIES_MAX].fd, 1)); /* it has another user */
    for (size_t i = 0; i < MW_BODIES_MAX; i++) {
        now++;
        mw_bodies_give(b, f[(i + 5) % MW_BODIES_MAX]);
    }
    assert_ptr_equal(mw_bodies_take(b, s[MW_BODIES_MAX].fd, 1), f[5]); /* which was left first */
    assert_int_equal(mapped(b), MW_BODIES_MAX);
    mw_bodies_give(b, f[5]);
    for (size_t i = 0; i <= MW_BODIES_MAX; i++)
        source_fini(&s[i]);
}

static void test_bodies_04_given_back_when_idle(void **state)
{
    struct mw_bodies *b = &((struct fixture *)*state)->b;
    struct source s[2];

    source_init(&s[0], 'a');
    source_init(&s[1], 'b');
    struct mw_body_file *x = mw_bodies_take(b, s[0].fd, 1);
    struct mw_body_file *y = mw_bodies_take(b, s[1].fd, 1);
    assert_non_null(x);
    assert_non_null(y);
    mw_bodies_give(b, x);
    now += MW_BODIES_IDLE_MS - 1;
    mw_bodies_sweep(b, now);
    assert_int_equal(mapped(b), 2);
    now++;
    mw_bodies_sweep(b, now);
    assert_int_equal(mapped(b), 1);
    assert_int_equal(y->map.p[0], 'b'); /* in use */
    mw_bodies_give(b, y);
    x = mw_bodies_take(b, s[0].fd, 1);
    assert_int_equal(x->map.p[0], 'a');
    mw_bodies_give(b, x);
    source_fini(&s[0]);
    source_fini(&s[1]);
}

#define ON(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(test_bodies_01_known_again),
        ON(test_bodies_02_files_that_are_to_be_read),
        ON(test_bodies_03_so_many_at_most),
        ON(test_bodies_04_given_back_when_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
