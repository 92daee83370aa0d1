/*
 * ask.c: see ask.h.
 */
#include "ask.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

const char *fake(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/tests/daemon/fake_runtime.so", rig_env("MW_BUILD"));
    return path;
}

void expect(const struct answer *a, int end, const char *body)
{
    assert_int_equal(a->end, end);
    if (!body)
        return;
    assert_non_null(a->body);
    assert_string_equal(a->body, body);
}

void expect_hello(struct rig *r)
{
    struct answer a;

    rig_ask_patiently(r, &(struct ask){.callable = "hello"}, &a);
    if (a.end != MW_END_COMPLETE)
        fail_msg("no answer (end %d):\n%s", a.end, rig_log(r));
    expect(&a, MW_END_COMPLETE, "hello");
    answer_fini(&a);
}

pid_t ask_pid(struct rig *r, unsigned flags, const char *script)
{
    struct answer a;

    rig_ask_patiently(r, &(struct ask){.callable = "pid", .flags = flags, .script = script}, &a);
    expect(&a, MW_END_COMPLETE, NULL);
    pid_t pid = (pid_t)strtol(a.body, NULL, 10);
    answer_fini(&a);
    return pid;
}

void *ask_often(void *arg)
{
    struct asker *k = arg;

    for (int i = 0; k->n ? i < k->n : !__atomic_load_n(k->stop, __ATOMIC_RELAXED); i++) {
        struct answer a;
        rig_ask_patiently(k->r, &k->ask, &a);
        __atomic_add_fetch(a.end == MW_END_COMPLETE ? &k->good : &k->lost, 1, __ATOMIC_RELAXED);
        answer_fini(&a);
    }
    return NULL;
}

void start_asker(struct asker *k, struct rig *r, const char *what, const char *query, int n)
{
    *k = (struct asker){.r = r, .ask = {.callable = what, .query = query}, .n = n};
    assert_int_equal(pthread_create(&k->id, NULL, ask_often, k), 0);
}

void script_of(const struct rig *r, char *path, size_t cap)
{
    snprintf(path, cap, "%s/app.wsgi", r->dir);
}

void touch(const char *path)
{
    struct timespec t[2];

    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    clock_gettime(CLOCK_REALTIME, &t[0]);
    t[1] = t[0];
    assert_int_equal(futimens(fd, t), 0);
    close(fd);
}

void write_script(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    touch(path);
}

/* Ask until another process than `old` answers, which must happen without a request that fails. */
pid_t wait_other(struct rig *r, unsigned flags, const char *script, pid_t old)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)(10000 * rig_slow()));
    pid_t pid;

    while ((pid = ask_pid(r, flags, script)) == old) {
        if (mw_clock_ms() > deadline)
            fail_msg("pid %ld still answers:\n%s", (long)old, rig_log(r));
        poll(NULL, 0, 10);
    }
    return pid;
}

void rig_wait_busy(struct rig *r, unsigned n)
{
    uint64_t deadline = mw_clock_deadline((uint64_t)(5000 * rig_slow()));

    for (;;) {
        struct mw_slot_info info;
        unsigned busy = 0;
        for (unsigned i = 0; i < mw_board_slots(r->groups[0].board); i++) {
            assert_int_equal(mw_board_slot(r->groups[0].board, i, &info), 0);
            busy += info.busy;
        }
        if (busy == n)
            return;
        assert_true(mw_clock_ms() < deadline);
        poll(NULL, 0, 2);
    }
}
