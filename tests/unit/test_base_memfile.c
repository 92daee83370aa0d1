/*
 * Files in memory that are mapped: what one side writes the other sees, and nothing that either does to the
 * file, before it is fixed or after, makes touching it fatal.
 */
#include "samples.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "memfile.h"

#define PAGE 4096

struct fixture {
    int fd;
    struct mw_memfile w;
    unsigned open_before;
};

static int setup(void **state)
{
    static struct fixture f;

    f.open_before = sample_open_fds();
    f.w = (struct mw_memfile){.p = NULL};
    assert_int_equal(mw_io_scratch(NULL, &f.fd), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    mw_memfile_unmap(&f->w);
    mw_io_close(&f->fd);
    return sample_open_fds() == f->open_before ? 0 : -1;
}

/* Tests end here where the system has no such files. */
static void fix(struct fixture *f)
{
    int rv = mw_memfile_fix(&f->w, f->fd);

    if (rv == MW_EINVAL)
        skip();
    assert_int_equal(rv, 0);
}

static void test_memfile_01_the_reader_sees_what_is_written(void **state)
{
    struct fixture *f = *state;
    struct mw_memfile r;

    fix(f);
    assert_int_equal(mw_memfile_map(&r, f->fd), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mw_memfile_reach(&f->w, MW_MEMFILE_SIZE), 0);
        memset(f->w.p, 'a' + i, MW_MEMFILE_SIZE);
        assert_int_equal(mw_memfile_reach(&r, MW_MEMFILE_SIZE), 0);
        assert_int_equal(r.p[0], 'a' + i);
        assert_int_equal(r.p[MW_MEMFILE_SIZE - 1], 'a' + i);
    }
    mw_memfile_unmap(&r);
    assert_null(r.p);
    mw_memfile_unmap(&r);
}

static void test_memfile_02_what_was_written_before_stays(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mw_io_write_at(f->fd, "before", 6, PAGE - 3), 0);
    fix(f);
    assert_int_equal(mw_memfile_reach(&f->w, 2 * PAGE), 0);
    assert_memory_equal(f->w.p + PAGE - 3, "before", 6);
}

static void test_memfile_03_nobody_can_change_the_file(void **state)
{
    struct fixture *f = *state;

    fix(f);
    assert_int_equal(ftruncate(f->fd, 0), -1);
    assert_int_equal(ftruncate(f->fd, 2 * MW_MEMFILE_SIZE), -1);
    assert_int_equal(pwrite(f->fd, "x", 1, 0), -1);
    assert_ptr_equal(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, f->fd, 0), MAP_FAILED);
    assert_int_equal(
        fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MW_MEMFILE_SIZE), -1);
    assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void test_memfile_04_not_by_an_earlier_mapping_either(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ftruncate(f->fd, PAGE), 0);
    char *early = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    assert_ptr_not_equal(early, MAP_FAILED);
    fix(f);
    assert_int_equal(mw_memfile_reach(&f->w, PAGE), 0);
    f->w.p[0] = 'x';
    assert_int_equal(madvise(early, PAGE, MADV_REMOVE), -1);
    assert_int_equal(f->w.p[0], 'x');
    munmap(early, PAGE);
}

static void test_memfile_05_a_limit_to_reach(void **state)
{
    struct fixture *f = *state;

    fix(f);
    assert_int_equal(f->w.there, 0);
    assert_int_equal(mw_memfile_reach(&f->w, 0), 0);
    assert_int_equal(f->w.there, 0);
    assert_int_equal(mw_memfile_reach(&f->w, 1), 0);
    assert_true(f->w.there >= 1 && f->w.there < MW_MEMFILE_SIZE);
    assert_int_equal(mw_memfile_reach(&f->w, MW_MEMFILE_SIZE - 1), 0);
    assert_int_equal(mw_memfile_reach(&f->w, MW_MEMFILE_SIZE), 0);
    assert_int_equal(mw_memfile_reach(&f->w, MW_MEMFILE_SIZE + 1), MW_EINVAL);
    assert_int_equal(f->w.there, MW_MEMFILE_SIZE);
    f->w.p[MW_MEMFILE_SIZE - 1] = 'x';
}

/* Pages that nobody has written are made for the reader, not missed by it. */
static void test_memfile_06_holes(void **state)
{
    struct fixture *f = *state;
    struct mw_memfile r;

    fix(f);
    assert_int_equal(mw_memfile_map(&r, f->fd), 0);
    assert_int_equal(mw_memfile_reach(&r, MW_MEMFILE_SIZE), 0);
    assert_int_equal(r.p[MW_MEMFILE_SIZE - 1], 0);
    mw_memfile_unmap(&r);
}

static void test_memfile_07_files_that_were_not_fixed(void **state)
{
    struct fixture *f = *state;
    struct mw_memfile r;
    int p[2];

    assert_int_equal(ftruncate(f->fd, MW_MEMFILE_SIZE), 0);
    assert_int_equal(mw_memfile_map(&r, f->fd), MW_EINVAL);
    assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(mw_memfile_map(&r, f->fd), MW_EINVAL);
    assert_null(r.p);
    assert_int_equal(mw_io_pipe(p), 0);
    assert_int_equal(mw_memfile_map(&r, p[0]), MW_EINVAL);
    assert_int_equal(mw_memfile_map(&r, -1), MW_EINVAL);
    mw_io_close(&p[0]);
    mw_io_close(&p[1]);
}

/* As a process that wants to be mapped might do it itself: all is right but the size. */
static void test_memfile_08_a_file_that_is_too_short(void **state)
{
    struct fixture *f = *state;
    struct mw_memfile r;

    fix(f); /* or it is skipped */
    mw_memfile_unmap(&f->w);
    mw_io_close(&f->fd);
    assert_int_equal(mw_io_scratch(NULL, &f->fd), 0);
    assert_int_equal(ftruncate(f->fd, MW_MEMFILE_SIZE - 1), 0);
    assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), 0);
    assert_int_equal(mw_memfile_map(&r, f->fd), MW_EINVAL);
}

static void test_memfile_09_others_did_something_to_it_before(void **state)
{
    static const int seals[] = {F_SEAL_SEAL, F_SEAL_WRITE, F_SEAL_GROW, F_SEAL_SHRINK};
    struct fixture *f = *state;

    fix(f);
    for (size_t i = 0; i < MW_ARRAY_LEN(seals); i++) {
        off_t size = seals[i] == F_SEAL_SHRINK ? 2 * MW_MEMFILE_SIZE : PAGE;

        mw_memfile_unmap(&f->w);
        mw_io_close(&f->fd);
        assert_int_equal(mw_io_scratch(NULL, &f->fd), 0);
        assert_int_equal(ftruncate(f->fd, size), 0);
        assert_int_equal(fcntl(f->fd, F_ADD_SEALS, seals[i]), 0);
        assert_int_equal(mw_memfile_fix(&f->w, f->fd), MW_EIO);
        assert_null(f->w.p);
    }
}

/* One that lives for long would keep the memory. */
static void test_memfile_10_a_forked_process_has_it_not(void **state)
{
    struct fixture *f = *state;
    unsigned char here;
    int status;

    fix(f);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(mincore(f->w.p, PAGE, &here) < 0 && errno == ENOMEM ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define ON(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(test_memfile_01_the_reader_sees_what_is_written),
        ON(test_memfile_02_what_was_written_before_stays),
        ON(test_memfile_03_nobody_can_change_the_file),
        ON(test_memfile_04_not_by_an_earlier_mapping_either),
        ON(test_memfile_05_a_limit_to_reach),
        ON(test_memfile_06_holes),
        ON(test_memfile_07_files_that_were_not_fixed),
        ON(test_memfile_08_a_file_that_is_too_short),
        ON(test_memfile_09_others_did_something_to_it_before),
        ON(test_memfile_10_a_forked_process_has_it_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
