/*
 * A group's specification: the rows of WSGIDaemonProcess, and the encoding for a worker.
 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec.h"
#include "spread.h"

#ifndef MW_SRCDIR
#define MW_SRCDIR "."
#endif

static struct mw_preload preload[] = {
    {{"/srv/a.wsgi", 11}, {"", 0}, 1, {"", 0}, 0},
    {{"/srv/b.wsgi", 11}, {"www.example.com|", 16}, 0, {"app", 3}, 1},
};

static void full_spec(struct mw_spec *s)
{
    *s = (struct mw_spec){.name = "blog"};
    mw_spec_defaults(s);
    s->processes = 4;
    s->threads = 1024;
    s->umask = 0027;
    s->maximum_requests = mw_spread_pack(1000, 10);
    s->restart_interval_ms = 3600000;
    s->memory_soft = 200 << 20;
    s->memory_hard = INT64_C(8) << 30;
    s->user = "#33";
    s->group = "www-data";
    s->supplementary_groups = "#4,#20";
    s->cpu_priority = -20;
    s->memory_limit = INT64_C(1) << 50;
    s->home = "/srv/blog";
    s->lang = "C.UTF-8";
    s->python_path = "/srv/lib:/srv/more";
    s->display_name = "(wsgi:blog)";
    s->env = "A=1\nB=two";
    s->env_file = "/etc/blog.env";
    s->py.eggs = "/var/cache/eggs";
    s->py.switch_interval_us = 10000;
    s->py.optimize = 1;
    s->py.hash_seed = 7;
    s->py.restrict_signal = 0;
    s->py.warnings = "error\nignore::DeprecationWarning";
    s->uid = 33;
    s->gid = 0;
    s->user_name = "www-data";
    s->user_home = "/var/www";
    s->runtime = "/usr/lib/apache2/modules/wsgi-python-3.11.so";
    s->server_root = "/etc/apache2";
    s->server_banner = "Apache/2.4.57 (Debian)";
    s->server_version = 0x020439;
    s->server_built = "2023-04-13T03:26:51";
    s->mpm_name = "event";
    s->mpm_threads = 25;
    s->mpm_processes = 16;
    s->log_level = 6;
    s->preload = preload;
    s->npreload = 2;
}

static void encode(struct mw_buf *b, const struct mw_spec *s)
{
    mw_buf_init(b, MW_SPEC_MAX);
    assert_int_equal(mw_spec_encode(b, s), 0);
}

static void same_string(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_ptr_equal(a, b);
}

static void test_spec_01_everything_comes_back(void **state)
{
    (void)state;
    struct mw_spec s, d;
    struct mw_buf b, again;

    full_spec(&s);
    encode(&b, &s);
    assert_int_equal(mw_spec_decode(&d, mw_buf_data(&b), mw_buf_size(&b)), 0);
    assert_string_equal(d.name, "blog");
    for (size_t i = 0; i < mw_spec_nopts; i++) {
        const struct mw_opt *row = &mw_spec_opts[i];
        if (mw_opt_is_string(row))
            same_string(mw_opt_string(row, &d), mw_opt_string(row, &s));
        else
            assert_true(mw_opt_number(row, &d) == mw_opt_number(row, &s));
    }
    for (size_t i = 0; i < mw_pyopts_nrows; i++) {
        const struct mw_opt *row = &mw_pyopts_rows[i];
        if (mw_opt_is_string(row))
            same_string(mw_opt_string(row, &d.py), mw_opt_string(row, &s.py));
        else
            assert_true(mw_opt_number(row, &d.py) == mw_opt_number(row, &s.py));
    }
    assert_null(d.chroot);
    assert_int_equal(d.uid, 33);
    assert_int_equal(d.gid, 0);
    assert_string_equal(d.user_name, "www-data");
    assert_string_equal(d.user_home, "/var/www");
    assert_string_equal(d.runtime, s.runtime);
    assert_string_equal(d.server_root, "/etc/apache2");
    assert_string_equal(d.server_banner, s.server_banner);
    assert_int_equal(d.server_version, 0x020439);
    assert_string_equal(d.server_built, s.server_built);
    assert_string_equal(d.mpm_name, s.mpm_name);
    assert_int_equal(d.mpm_threads, 25);
    assert_int_equal(d.mpm_processes, 16);
    assert_int_equal(d.log_level, 6);
    assert_int_equal(d.npreload, 2);
    assert_str(d.preload[0].script, "/srv/a.wsgi");
    assert_int_equal(d.preload[0].explicit_group, 1);
    assert_int_equal(d.preload[0].must, 0);
    assert_int_equal(d.preload[1].must, 1);
    assert_str(d.preload[0].callable, "");
    assert_str(d.preload[1].callable, "app");
    assert_str(d.preload[1].app_group, "www.example.com|");
    assert_int_equal(d.preload[1].explicit_group, 0);
    encode(&again, &d);
    assert_int_equal(mw_buf_size(&again), mw_buf_size(&b));
    assert_memory_equal(mw_buf_data(&again), mw_buf_data(&b), mw_buf_size(&b));
    mw_spec_fini(&d);
    assert_null(d.preload);
    mw_spec_fini(&d);
    mw_buf_fini(&again);
    mw_buf_fini(&b);
}

static void test_spec_02_defaults(void **state)
{
    (void)state;
    struct mw_spec s = {.name = "x"}, d;
    struct mw_buf b;

    mw_spec_defaults(&s);
    assert_int_equal(s.uid, -1);
    assert_int_equal(s.gid, -1);
    assert_int_equal(s.py.hash_seed, MW_PYOPTS_SEED_UNSET);
    assert_int_equal(s.py.restrict_signal, 1);
    assert_int_equal(s.py.destroy_interpreter, 1);
    assert_int_equal(s.py.utf8, 1);
    assert_int_equal(s.py.switch_interval_us, 0);
    assert_null(s.env);
    assert_int_equal(s.processes, 0);
    assert_int_equal(mw_spec_processes(&s), 1);
    assert_int_equal(s.threads, 15);
    assert_int_equal(s.umask, -1);
    assert_int_equal(s.stack_size, 0);
    assert_int_equal(s.queue_timeout_ms, 0);
    assert_int_equal(s.socket_timeout_ms, 0);
    assert_int_equal(s.startup_timeout_ms, 60000);
    assert_int_equal(s.graceful_timeout_ms, 15000);
    assert_int_equal(s.shutdown_timeout_ms, 5000);
    assert_int_equal(s.eviction_timeout_ms, 0);
    assert_int_equal(s.request_timeout_ms, 0);
    assert_int_equal(s.interrupt_timeout_ms, 0);
    assert_int_equal(s.inactivity_timeout_ms, 0);
    assert_int_equal(s.deadlock_timeout_ms, 300000);
    assert_int_equal(s.cpu_time_limit_ms, 0);
    assert_int_equal(s.cpu_priority, 0);
    assert_int_equal(s.memory_limit, 0);
    assert_int_equal(s.virtual_memory_limit, 0);
    assert_null(s.supplementary_groups);
    assert_null(s.user);
    assert_null(s.display_name);
    encode(&b, &s);
    assert_int_equal(mw_spec_decode(&d, mw_buf_data(&b), mw_buf_size(&b)), 0);
    assert_int_equal(d.npreload, 0);
    assert_null(d.preload);
    mw_spec_fini(&d);
    mw_buf_fini(&b);
    s.processes = 7;
    assert_int_equal(mw_spec_processes(&s), 7);
}

static void test_spec_03_options_of_the_directive(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *why; /* why NULL: accepted */
    } rows[] = {
        {"processes", "1", NULL},
        {"processes", "1024", NULL},
        {"processes", "0", "must be a whole number from 1 to 1024"},
        {"processes", "1025", "must be a whole number from 1 to 1024"},
        {"threads", "1", NULL},
        {"threads", "1024", NULL},
        {"threads", "0", NULL},
        {"threads", "1025", "must be a whole number from 0 to 1024"},
        {"threads", "abc", "must be a whole number from 0 to 1024"},
        {"umask", "0777", NULL},
        {"umask", "1000", "must be an octal number from 0 to 777"},
        {"umask", "0888", "must be an octal number from 0 to 777"},
        {"stack-size", "131071", "must be a whole number from 131072 to 1073741824"},
        {"stack-size", "131072", NULL},
        {"stack-size", "1073741824", NULL},
        {"stack-size", "1073741825", "must be a whole number from 131072 to 1073741824"},
        {"queue-timeout", "86400", NULL},
        {"queue-timeout", "86401", "must be a whole number of seconds from 0 to 86400"},
        {"socket-timeout", "0", NULL},
        {"startup-timeout", "0", NULL},
        {"graceful-timeout", "15s", "must be a whole number of seconds from 0 to 86400"},
        {"shutdown-timeout", "-1", "must be a whole number of seconds from 0 to 86400"},
        {"request-timeout", "86400", NULL},
        {"request-timeout", "86401", "must be a whole number of seconds from 0 to 86400"},
        {"interrupt-timeout", "0.5", "must be a whole number of seconds from 0 to 86400"},
        {"inactivity-timeout", "0", NULL},
        {"deadlock-timeout", "x", "must be a whole number of seconds from 0 to 86400"},
        {"eviction-timeout", "86401", "must be a whole number of seconds from 0 to 86400"},
        {"cpu-time-limit", "31622400", NULL},
        {"cpu-time-limit", "31622401", "must be a whole number of seconds from 0 to 31622400"},
        {"cpu-priority", "-20", NULL},
        {"cpu-priority", "19", NULL},
        {"cpu-priority", "-21", "must be a whole number from -20 to 19"},
        {"cpu-priority", "20", "must be a whole number from -20 to 19"},
        {"memory-limit", "0", NULL},
        {"memory-limit", "1048576G", NULL},
        {"virtual-memory-limit", "-1",
         "must be a whole number of bytes from 0 to 1048576G; K, M or G may follow it"},
        {"listen-backlog", "100", NULL},
        {"socket-user", "", "must not be empty"},
        {"supplementary-groups", "adm,#12", NULL},
        {"user", "#33", NULL},
        {"user", "", "must not be empty"},
        {"group", "www-data", NULL},
        {"home", "/srv", NULL},
        {"home", "srv", "must be an absolute path"},
        {"lang", "en_GB.UTF-8", NULL},
        {"locale", "en_GB.UTF-8", NULL},
        {"chroot", "jail", "must be an absolute path"},
        {"python-home", "venv", "must be an absolute path"},
        {"python-path", "/a:/b", NULL},
        {"display-name", "%{GROUP}", NULL},
        {"switch-interval", "0.000001", NULL},
        {"switch-interval", "3600", NULL},
        {"switch-interval", "0",
         "must be a number of seconds from 0.000001 to 3600, with at most 6 decimals"},
        {"switch-interval", "3600.000001",
         "must be a number of seconds from 0.000001 to 3600, with at most 6 decimals"},
        {"python-eggs", "eggs", "must be an absolute path"},
        {"env", "A=1", NULL},
        {"env", "", "must not be empty"},
        {"env-file", "blog.env", "must be an absolute path"},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        struct mw_spec s = {.name = "x"};
        char why[100] = "";
        const struct mw_opt *row = mw_opt_find(mw_spec_opts, mw_spec_nopts, rows[i].name);
        assert_non_null(row);
        int rv = mw_opt_set(row, &s, rows[i].value, why, sizeof why);
        assert_int_equal(rv, rows[i].why ? MW_EINVAL : 0);
        assert_string_equal(why, rows[i].why ? rows[i].why : "");
    }
    assert_null(mw_opt_find(mw_spec_opts, mw_spec_nopts, "uid"));
    assert_null(mw_opt_find(mw_spec_opts, mw_spec_nopts, "proxy-buffer-size"));
}

static void test_spec_04_rows_are_usable(void **state)
{
    (void)state;
    for (size_t i = 0; i < mw_spec_nopts; i++) {
        const struct mw_opt *row = &mw_spec_opts[i];
        assert_true(strlen(row->doc) > 20);
        assert_int_equal(row->doc[strlen(row->doc) - 1], '.');
        assert_ptr_equal(mw_opt_find(mw_spec_opts, mw_spec_nopts, row->name), row);
        for (size_t k = 0; k < i; k++)
            assert_true(row->off != mw_spec_opts[k].off);
    }
}

static void test_spec_05_a_value_out_of_range_is_refused_on_both_sides(void **state)
{
    (void)state;
    static const struct {
        size_t off;
        int64_t v;
    } bad[] = {
        {offsetof(struct mw_spec, processes), -1},
        {offsetof(struct mw_spec, processes), 1025},
        {offsetof(struct mw_spec, threads), -1},
        {offsetof(struct mw_spec, threads), 1025},
        {offsetof(struct mw_spec, umask), -2},
        {offsetof(struct mw_spec, umask), 01000},
        {offsetof(struct mw_spec, cpu_priority), 20},
        {offsetof(struct mw_spec, memory_limit), -1},
        {offsetof(struct mw_spec, shutdown_timeout_ms), 86400001},
        {offsetof(struct mw_spec, uid), -2},
        {offsetof(struct mw_spec, uid), UINT32_MAX},
        {offsetof(struct mw_spec, gid), INT64_MAX},
        {offsetof(struct mw_spec, server_version), 0x1000000},
        {offsetof(struct mw_spec, log_level), 16},
        {offsetof(struct mw_spec, py.optimize), 10},
        {offsetof(struct mw_spec, py.hash_seed), MW_PYOPTS_SEED_RANDOM + 1},
        {offsetof(struct mw_spec, py.switch_interval_us), MW_PYOPTS_INTERVAL_MAX_US + 1},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(bad); i++) {
        struct mw_spec s, d;
        struct mw_buf b;
        full_spec(&s);
        memcpy((char *)&s + bad[i].off, &bad[i].v, sizeof(int64_t));
        mw_buf_init(&b, MW_SPEC_MAX);
        assert_int_equal(mw_spec_encode(&b, &s), MW_EINVAL);
        mw_buf_fini(&b);
        /* Find the field's place in a good encoding by what changes there, and put the value. */
        struct mw_buf one, two;
        full_spec(&s);
        encode(&one, &s);
        int64_t other = bad[i].off == offsetof(struct mw_spec, shutdown_timeout_ms) ? 1 : 2;
        memcpy((char *)&s + bad[i].off, &other, sizeof other);
        encode(&two, &s);
        size_t at = 0;
        while (mw_buf_data(&one)[at] == mw_buf_data(&two)[at])
            at++;
        mw_buf_patch_u32(&one, at, (uint32_t)bad[i].v);
        mw_buf_patch_u32(&one, at + 4, (uint32_t)((uint64_t)bad[i].v >> 32));
        assert_int_equal(mw_spec_decode(&d, mw_buf_data(&one), mw_buf_size(&one)), MW_EINVAL);
        assert_null(d.preload);
        mw_buf_fini(&one);
        mw_buf_fini(&two);
    }
}

static void test_spec_06_strings_that_are_refused(void **state)
{
    (void)state;
    struct mw_spec s;
    struct mw_buf b;

    mw_buf_init(&b, MW_SPEC_MAX);
    full_spec(&s);
    s.name = "";
    assert_int_equal(mw_spec_encode(&b, &s), MW_EINVAL);
    s.name = NULL;
    assert_int_equal(mw_spec_encode(&b, &s), MW_EINVAL);
    full_spec(&s);
    s.runtime = "relative.so";
    assert_int_equal(mw_spec_encode(&b, &s), MW_EINVAL);
    full_spec(&s);
    struct mw_preload nul = {.script = {"/a\0b", 4}, .app_group = {"", 0}};
    s.preload = &nul;
    s.npreload = 1;
    assert_int_equal(mw_spec_encode(&b, &s), MW_EINVAL);
    mw_buf_fini(&b);
}

static void test_spec_07_limits(void **state)
{
    (void)state;
    struct mw_preload *many = calloc(MW_SPEC_LIST_MAX + 1, sizeof *many);
    char *path = calloc(1, MW_SPEC_MAX);
    const size_t entry = preload[0].script.n + 5 + 5 + 1;
    struct mw_spec s, d;

    assert_non_null(many);
    assert_non_null(path);
    for (size_t i = 0; i <= MW_SPEC_LIST_MAX; i++)
        many[i] = preload[0];
    for (uint32_t n = MW_SPEC_LIST_MAX - 1; n <= MW_SPEC_LIST_MAX + 1; n++) {
        struct mw_buf b;
        full_spec(&s);
        s.preload = many;
        s.npreload = n;
        mw_buf_init(&b, MW_SPEC_MAX);
        assert_int_equal(mw_spec_encode(&b, &s), n > MW_SPEC_LIST_MAX ? MW_ELIMIT : 0);
        if (n <= MW_SPEC_LIST_MAX) {
            assert_int_equal(mw_spec_decode(&d, mw_buf_data(&b), mw_buf_size(&b)), 0);
            assert_int_equal(d.npreload, n);
            mw_spec_fini(&d);
        }
        if (n == MW_SPEC_LIST_MAX) { /* one more, as only a hostile sender would write it */
            size_t count_at = mw_buf_size(&b) - n * entry - 4;
            mw_buf_patch_u32(&b, count_at, n + 1);
            mw_buf_str(&b, preload[0].script);
            mw_buf_str(&b, preload[0].app_group);
            mw_buf_u8(&b, 1);
            assert_int_equal(b.err, 0);
            assert_int_equal(mw_spec_decode(&d, mw_buf_data(&b), mw_buf_size(&b)), MW_EPROTO);
        }
        mw_buf_fini(&b);
    }
    struct mw_buf b;
    full_spec(&s);
    s.python_path = NULL;
    encode(&b, &s);
    size_t empty = mw_buf_size(&b);
    memset(path, '/', MW_SPEC_MAX - 1);
    s.python_path = path;
    for (size_t size = MW_SPEC_MAX - 1; size <= MW_SPEC_MAX + 1; size++) {
        mw_buf_fini(&b);
        mw_buf_init(&b, 2 * MW_SPEC_MAX);
        path[size - empty] = 0;
        assert_int_equal(mw_spec_encode(&b, &s), size > MW_SPEC_MAX ? MW_ELIMIT : 0);
        path[size - empty] = '/';
        assert_int_equal(mw_buf_size(&b), size);
        int rv = mw_spec_decode(&d, mw_buf_data(&b), size);
        assert_int_equal(rv, size > MW_SPEC_MAX ? MW_EPROTO : 0);
        mw_spec_fini(&d);
    }
    mw_buf_fini(&b);
    free(path);
    free(many);
}

static void test_spec_08_every_truncation_is_refused(void **state)
{
    (void)state;
    struct mw_spec s, d;
    struct mw_buf b;

    full_spec(&s);
    encode(&b, &s);
    for (size_t n = 0; n < mw_buf_size(&b); n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, mw_buf_data(&b), n);
        assert_int_equal(mw_spec_decode(&d, copy, n), MW_EPROTO);
        assert_null(d.preload);
        free(copy);
    }
    mw_buf_u8(&b, 0);
    assert_int_equal(mw_spec_decode(&d, mw_buf_data(&b), mw_buf_size(&b)), MW_EPROTO);
    mw_buf_fini(&b);
}

static void test_spec_09_turned_bits(void **state)
{
    (void)state;
    struct mw_spec s, d;
    struct mw_buf b, again;
    unsigned accepted = 0;

    full_spec(&s);
    encode(&b, &s);
    size_t n = mw_buf_size(&b);
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    memcpy(bytes, mw_buf_data(&b), n);
    for (size_t bit = 0; bit < n * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (mw_spec_decode(&d, bytes, n) == 0) {
            accepted++;
            encode(&again, &d);
            assert_int_equal(mw_buf_size(&again), n);
            assert_memory_equal(mw_buf_data(&again), bytes, n);
            mw_buf_fini(&again);
            mw_spec_fini(&d);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(accepted > 0);
    free(bytes);
    mw_buf_fini(&b);
}

/* A corpus that no decoder accepts finds nothing. */
static void test_spec_10_the_fuzzers_seed_has_the_rows_of_today(void **state)
{
    (void)state;
    const char *top = getenv("MW_SRCDIR");
    char path[4096];
    uint8_t bytes[4096];
    struct mw_spec d;

    snprintf(path, sizeof path, "%s/fuzz/corpus/spec/preload", top ? top : MW_SRCDIR);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    if (mw_spec_decode(&d, bytes, n))
        fail_msg("%s is no specification: fuzz/seeds.py has to follow the format", path);
    assert_int_equal(d.npreload, 2);
    mw_spec_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec_01_everything_comes_back),
        cmocka_unit_test(test_spec_02_defaults),
        cmocka_unit_test(test_spec_03_options_of_the_directive),
        cmocka_unit_test(test_spec_04_rows_are_usable),
        cmocka_unit_test(test_spec_05_a_value_out_of_range_is_refused_on_both_sides),
        cmocka_unit_test(test_spec_06_strings_that_are_refused),
        cmocka_unit_test(test_spec_07_limits),
        cmocka_unit_test(test_spec_08_every_truncation_is_refused),
        cmocka_unit_test(test_spec_09_turned_bits),
        cmocka_unit_test(test_spec_10_the_fuzzers_seed_has_the_rows_of_today),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
