/*
 * Bytes that wait for a slow client: order, limits at n-1, n and n+1, room that is used again, files that
 * cannot be written.
 *
 * spool.c is pure but belongs to front/, which is no library, so it is compiled into this program.
 */
#include "samples.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../../src/front/spool.c"

#define MEMORY 1000u
#define FILE_MAX 5000u

struct fixture {
    struct mw_spool s;
    unsigned open_before;
};

static int setup(void **state)
{
    static struct fixture f;
    struct mw_spool_limits limits = {.memory = MEMORY, .file = FILE_MAX, .dir = "/tmp"};

    f.open_before = sample_open_fds();
    mw_spool_init(&f.s, &limits);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mw_spool_fini(&f->s);
    return sample_open_fds() == f->open_before ? 0 : -1;
}

/* The i-th byte of the stream that all tests put. */
static unsigned char byte_at(uint64_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

static int put(struct mw_spool *s, uint64_t at, size_t n)
{
    unsigned char buf[8192];

    assert_true(n <= sizeof buf);
    for (size_t i = 0; i < n; i++)
        buf[i] = byte_at(at + i);
    return mw_spool_put(s, buf, n);
}

/* Takes n bytes and compares them. */
static void take(struct mw_spool *s, uint64_t at, size_t n)
{
    unsigned char buf[8192];

    for (size_t got = 0; got < n;) {
        ssize_t k = mw_spool_get(s, buf, n - got < sizeof buf ? n - got : sizeof buf);

        assert_true(k > 0);
        for (ssize_t i = 0; i < k; i++)
            assert_int_equal(buf[i], byte_at(at + got + (size_t)i));
        got += (size_t)k;
    }
}

static void nothing_is_opened_before_it_is_needed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mw_spool_size(&f->s), 0);
    assert_int_equal(mw_spool_get(&f->s, (char[1]){0}, 1), 0);
    assert_int_equal(sample_open_fds(), f->open_before);
    assert_int_equal(put(&f->s, 0, 1), 0);
    assert_int_equal(sample_open_fds(), f->open_before + 1);
}

static void limits_are_exact(void **state)
{
    struct mw_spool *s = &((struct fixture *)*state)->s;

    assert_int_equal(put(s, 0, MEMORY - 1), 0);
    assert_int_equal(s->part[MW_SPOOL_FILE].fd, -1);
    assert_int_equal(put(s, MEMORY - 1, 1), 0);
    assert_int_equal(s->part[MW_SPOOL_FILE].fd, -1);
    assert_int_equal(put(s, MEMORY, FILE_MAX - 1), 0);
    assert_true(s->part[MW_SPOOL_FILE].fd >= 0);
    assert_true(mw_spool_has_room(s, 1));
    assert_false(mw_spool_has_room(s, 2));
    assert_int_equal(put(s, 0, 2), MW_ELIMIT);
    assert_int_equal(put(s, MEMORY + FILE_MAX - 1, 1), 0);
    assert_false(mw_spool_has_room(s, 1));
    assert_int_equal(put(s, 0, 1), MW_ELIMIT);
    assert_int_equal(mw_spool_size(s), MEMORY + FILE_MAX);
    take(s, 0, MEMORY + FILE_MAX);
    assert_int_equal(mw_spool_size(s), 0);
}

static void a_file_that_ran_empty_is_used_again(void **state)
{
    struct mw_spool *s = &((struct fixture *)*state)->s;
    struct stat st;
    uint64_t at = 0;

    for (int i = 0; i < 20; i++) {
        assert_int_equal(put(s, at, MEMORY), 0);
        assert_int_equal(put(s, at + MEMORY, 3000), 0);
        take(s, at, MEMORY + 3000);
        at += MEMORY + 3000;
    }
    assert_int_equal(fstat(s->part[MW_SPOOL_FILE].fd, &st), 0);
    assert_int_equal(st.st_size, 3000);
}

/* While the file holds something, memory that came free is not used: its bytes would come too early. */
static void order_is_kept(void **state)
{
    struct mw_spool *s = &((struct fixture *)*state)->s;

    assert_int_equal(put(s, 0, 900), 0);
    assert_int_equal(put(s, 900, 200), 0);
    take(s, 0, 900);
    assert_int_equal(put(s, 1100, 100), 0);
    assert_int_equal(s->part[MW_SPOOL_MEMORY].to, 0);
    take(s, 900, 300);
    assert_int_equal(put(s, 1200, 100), 0);
    assert_int_equal(s->part[MW_SPOOL_MEMORY].to, 100);
}

static void any_sizes_in_any_order(void **state)
{
    struct mw_spool *s = &((struct fixture *)*state)->s;
    uint64_t in = 0, out = 0;

    srand(1);
    for (int i = 0; i < 20000; i++) {
        size_t n = 1 + (size_t)rand() % 700;

        if (rand() % 2) {
            int room = mw_spool_has_room(s, n);

            assert_int_equal(put(s, in, n), room ? 0 : MW_ELIMIT);
            in += room ? n : 0;
        } else {
            n = n < in - out ? n : (size_t)(in - out);
            take(s, out, n);
            out += n;
        }
        assert_int_equal(mw_spool_size(s), in - out);
    }
    assert_true(in > 100000);
}

static void a_part_is_given_away(void **state)
{
    struct mw_spool *s = &((struct fixture *)*state)->s;
    struct mw_spool_part part;
    unsigned char c;

    assert_int_equal(mw_spool_give(s, &part), 0);
    assert_int_equal(put(s, 0, MEMORY), 0);
    assert_int_equal(put(s, MEMORY, 10), 0);
    take(s, 0, 4);
    assert_int_equal(mw_spool_give(s, &part), 1);
    assert_int_equal(part.from, 4);
    assert_int_equal(part.to, MEMORY);
    assert_int_equal(mw_io_read_at(part.fd, &c, 1, part.from), 0);
    assert_int_equal(c, byte_at(4));
    mw_io_close(&part.fd);
    assert_int_equal(mw_spool_give(s, &part), 1);
    assert_int_equal(part.to - part.from, 10);
    mw_io_close(&part.fd);
    assert_int_equal(mw_spool_give(s, &part), 0);
    assert_int_equal(put(s, 0, MEMORY), 0);
    take(s, 0, MEMORY);
}

static void no_file_without_a_directory(void **state)
{
    struct mw_spool *s = &((struct fixture *)*state)->s;

    s->limits.dir = "/nonexistent";
    assert_int_equal(put(s, 0, MEMORY), 0);
    assert_int_equal(put(s, MEMORY, 1), MW_EIO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(mw_spool_size(s), MEMORY);
    take(s, 0, MEMORY);
}

static void a_full_disk_takes_nothing(void **state)
{
    struct mw_spool *s = &((struct fixture *)*state)->s;
    struct rlimit old, low;
    int rv;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = (struct rlimit){.rlim_cur = 2000, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_int_equal(put(s, 0, MEMORY), 0);
    assert_int_equal(put(s, MEMORY, 2000), 0);
    rv = put(s, MEMORY + 2000, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rv, MW_EIO);
    assert_int_equal(mw_spool_size(s), MEMORY + 2000);
    assert_int_equal(put(s, MEMORY + 2000, 500), 0);
    take(s, 0, MEMORY + 2500);
}

#define ON(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON(nothing_is_opened_before_it_is_needed),
        ON(limits_are_exact),
        ON(a_file_that_ran_empty_is_used_again),
        ON(order_is_kept),
        ON(any_sizes_in_any_order),
        ON(a_part_is_given_away),
        ON(no_file_without_a_directory),
        ON(a_full_disk_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
