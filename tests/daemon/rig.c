/*
 * rig.c: see rig.h. Every wait has a deadline; a test that hangs fails.
 */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "io.h"
#include "log.h"

#define CLAIM_MS 20000
#define LINK_MS 20000

const char *rig_env(const char *name)
{
    const char *v = getenv(name);
    if (!v)
        fail_msg("%s is not set", name);
    return v;
}

double rig_slow(void)
{
    const char *v = getenv("MW_SLOW");
    double d = v ? strtod(v, NULL) : 1;
    return d >= 1 ? d : 1;
}

static uint64_t after(int ms)
{
    return mw_clock_deadline((uint64_t)(ms * rig_slow()));
}

static unsigned open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* -- life -- */

/* What the running test has made, for the case that it fails: its pieces must not fail the next one. Its
 * struct rig is gone by then. */
static struct {
    pid_t super;
    int life[2];
    char dir[64];
} left = {.life = {-1, -1}};

static void remove_dir(const char *dir)
{
    char path[512];
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

int rig_teardown(void **state)
{
    uint64_t deadline = after(20000);

    (void)state;
    unsetenv("LD_PRELOAD");
    unsetenv("FAKE_FAIL");
    if (!left.dir[0])
        return 0;
    if (left.super > 0)
        kill(left.super, SIGKILL); /* the workers see that and leave */
    for (int i = 0; i < 2; i++)
        mw_io_close(&left.life[i]);
    while ((waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) && mw_clock_ms() < deadline)
        poll(NULL, 0, 5);
    remove_dir(left.dir);
    left.super = 0;
    left.dir[0] = '\0';
    return 0;
}

void rig_init(struct rig *r, const char *runtime)
{
    memset(r, 0, sizeof *r);
    r->handover[0] = r->handover[1] = r->life[0] = r->life[1] = r->control = -1;
    r->fds_before = open_fds();
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* a process that outlives the supervisor becomes ours */
    snprintf(r->dir, sizeof r->dir, "/tmp/mw-daemon-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    memcpy(left.dir, r->dir, sizeof left.dir);
    assert_int_equal(chmod(r->dir, 0755), 0);
    snprintf(r->log_path, sizeof r->log_path, "%s/error.log", r->dir);
    r->log_fd = open(r->log_path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(r->log_fd >= 0);
    snprintf(r->worker, sizeof r->worker, "%s", rig_env("MW_WORKER"));
    r->ngroups = 1;
    for (unsigned g = 0; g < RIG_GROUPS; g++) {
        struct mw_spec *s = &r->spec[g];
        mw_spec_defaults(s);
        s->name = g ? "other" : "test";
        s->processes = 1;
        s->threads = 2;
        s->uid = s->gid = -1;
        s->log_level = MW_LOG_DEBUG;
        s->runtime = runtime;
        s->graceful_timeout_ms = (int64_t)(5000 * rig_slow());
        s->shutdown_timeout_ms = (int64_t)(2000 * rig_slow());
    }
}

static void open_control(struct rig *r)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    snprintf(r->control_path, sizeof r->control_path, "%s/ctl", r->dir);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", r->control_path);
    r->control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(r->control, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(r->control, 16), 0);
}

/* The supervisor's lines, in the same file as the workers'. */
static void super_line(void *ctx, int level, const char *line)
{
    const struct rig *r = ctx;
    (void)level;
    dprintf(r->log_fd, "[super] %s\n", line);
}

void rig_fork_super(struct rig *r)
{
    r->super = fork();
    assert_true(r->super >= 0);
    left.super = r->super;
    if (r->super > 0)
        return;
    struct mw_super_config cfg = {.groups = r->groups,
                                  .ngroups = r->ngroups,
                                  .handover_fd = r->handover[1],
                                  .life_fd = r->life[0],
                                  .control_fd = r->control,
                                  .worker_path = r->worker};
    close(r->life[1]);
    close(r->handover[0]);
    mw_log_set(super_line, r, MW_LOG_DEBUG);
    _exit(mw_super_run(&cfg));
}

void rig_start(struct rig *r)
{
    assert_int_equal(mw_io_socketpair(SOCK_SEQPACKET, r->handover), 0);
    assert_int_equal(mw_io_pipe(r->life), 0);
    memcpy(left.life, r->life, sizeof left.life);
    open_control(r);
    for (unsigned g = 0; g < r->ngroups; g++) {
        struct mw_board_size size = {.slots = 2 * mw_spec_processes(&r->spec[g]),
                                     .threads = r->spec[g].threads ? (unsigned)r->spec[g].threads
                                                                   : 1,
                                     .members = 4,
                                     .cells = 64};
        r->groups[g].spec = &r->spec[g];
        r->groups[g].log_fd = r->log_fd;
        assert_int_equal(mw_board_create(&r->groups[g].board, &size), 0);
    }
    rig_fork_super(r);
    for (unsigned g = 0; g < r->ngroups; g++)
        assert_int_equal(mw_board_join(r->groups[g].board, getpid()), 0);
}

void rig_start_ready(struct rig *r)
{
    rig_start(r);
    rig_wait_count(r, MW_SLOT_READY, mw_spec_processes(&r->spec[0]), 20000);
}

static void wait_for_super(struct rig *r, int ms)
{
    uint64_t deadline = after(ms);
    int status = -1;

    while (waitpid(r->super, &status, WNOHANG) == 0) {
        if (mw_clock_ms() > deadline) {
            char *log = rig_log(r);
            kill(r->super, SIGKILL);
            fail_msg("the supervisor does not end:\n%s", log);
        }
        poll(NULL, 0, 5);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("the supervisor ended with status 0x%x:\n%s", (unsigned)status, rig_log(r));
    r->super = left.super = 0;
}

void rig_stopped(struct rig *r, int how_long_ms)
{
    wait_for_super(r, how_long_ms);
    /* Orphans would have become children of this process. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    for (unsigned g = 0; g < r->ngroups; g++) {
        struct mw_slot_info info;
        for (unsigned i = 0; i < mw_board_slots(r->groups[g].board); i++) {
            assert_int_equal(mw_board_slot(r->groups[g].board, i, &info), 0);
            assert_int_equal(info.state, MW_SLOT_EMPTY);
        }
    }
}

void rig_fini(struct rig *r)
{
    if (rig_logged(r, "Sanitizer") || rig_logged(r, "runtime error:"))
        fail_msg("a sanitizer reports:\n%s", rig_log(r));
    for (unsigned g = 0; g < r->ngroups; g++)
        mw_board_destroy(&r->groups[g].board);
    for (int i = 0; i < 2; i++) {
        mw_io_close(&r->handover[i]);
        mw_io_close(&r->life[i]);
    }
    mw_io_close(&r->log_fd);
    mw_io_close(&r->control);
    remove_dir(r->dir);
    left.dir[0] = '\0';
    left.life[0] = left.life[1] = -1;
    assert_int_equal(open_fds(), r->fds_before);
}

void rig_stop(struct rig *r)
{
    mw_io_close(&r->life[1]);
    rig_stopped(r, 15000);
    rig_fini(r);
}

/* -- looking -- */

unsigned rig_count(struct rig *r, enum mw_slot_state state)
{
    struct mw_slot_info info;
    unsigned n = 0;

    for (unsigned i = 0; i < mw_board_slots(r->groups[0].board); i++) {
        assert_int_equal(mw_board_slot(r->groups[0].board, i, &info), 0);
        n += info.state == state;
    }
    return n;
}

void rig_wait_count(struct rig *r, enum mw_slot_state state, unsigned n, int ms)
{
    uint64_t deadline = after(ms);

    while (rig_count(r, state) != n) {
        if (mw_clock_ms() > deadline)
            fail_msg("%u slots are %s, not %u:\n%s", rig_count(r, state), mw_slot_state_name(state),
                     n, rig_log(r));
        poll(NULL, 0, 5);
    }
}

pid_t rig_pid(struct rig *r)
{
    struct mw_slot_info info;

    for (unsigned i = 0; i < mw_board_slots(r->groups[0].board); i++) {
        assert_int_equal(mw_board_slot(r->groups[0].board, i, &info), 0);
        if (info.state == MW_SLOT_READY)
            return info.pid;
    }
    fail_msg("no worker is ready");
    return 0;
}

char *rig_log(struct rig *r)
{
    int fd = open(r->log_path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(text);
    assert_true(read(fd, text, (size_t)st.st_size) >= 0);
    close(fd);
    return text;
}

unsigned rig_log_times(struct rig *r, const char *text)
{
    char *log = rig_log(r);
    unsigned n = 0;

    for (const char *p = log; (p = strstr(p, text)); p++)
        n++;
    free(log);
    return n;
}

int rig_logged(struct rig *r, const char *text)
{
    return rig_log_times(r, text) > 0;
}

void rig_wait_times(struct rig *r, const char *text, unsigned n, int ms)
{
    uint64_t deadline = after(ms);

    while (rig_log_times(r, text) < n) {
        if (mw_clock_ms() > deadline)
            fail_msg("\"%s\" is not %u times in:\n%s", text, n, rig_log(r));
        poll(NULL, 0, 5);
    }
}

void rig_wait_log(struct rig *r, const char *text, int ms)
{
    rig_wait_times(r, text, 1, ms);
}

/* -- talking -- */

void rig_claim(struct rig *r, unsigned group, struct mw_claim *claim)
{
    uint64_t deadline = after(CLAIM_MS);
    int rv;

    while ((rv = mw_board_claim(r->groups[group].board, deadline, claim, NULL)) == MW_EDOWN &&
           mw_clock_ms() < deadline)
        poll(NULL, 0, 20); /* as a client does that gets 503 */
    if (rv)
        fail_msg("no thread: %s\n%s", mw_err_text(rv), rig_log(r));
}

int rig_try_hand_over(struct rig *r, const void *msg, size_t n, int fd)
{
    uint64_t deadline = after(5000);
    int rv;

    while ((rv = mw_io_send_msg(r->handover[0], msg, n, fd)) == MW_EAGAIN) {
        rv = mw_io_wait(r->handover[0], POLLOUT, deadline);
        if (rv)
            break;
    }
    return rv;
}

void rig_hand_over(struct rig *r, const void *msg, size_t n, int fd)
{
    assert_int_equal(rig_try_hand_over(r, msg, n, fd), 0);
}

void rig_connect(struct rig *r, unsigned group, const struct mw_claim *claim, struct mw_link *l)
{
    struct mw_ctl ctl = {.type = MW_CTL_CONNECT,
                         .group = (uint16_t)group,
                         .slot = claim->slot,
                         .incarnation = claim->incarnation};
    struct mw_hello hello = {
        .version = MW_WIRE_VERSION, .pid = (uint32_t)getpid(), .data_max = MW_FRAME_DATA_MAX};
    uint8_t msg[MW_CTL_MAX];
    int pair[2];
    int n = mw_ctl_encode(msg, &ctl);

    assert_true(n > 0);
    assert_int_equal(mw_io_socketpair(SOCK_STREAM, pair), 0);
    rig_hand_over(r, msg, (size_t)n, pair[1]);
    close(pair[1]);
    mw_link_init(l, pair[0], (int64_t)(LINK_MS * rig_slow()));
    assert_int_equal(mw_link_put_hello(l, &hello), 0);
}

static struct mw_str str(const char *s)
{
    return (struct mw_str){s, strlen(s)};
}

void rig_block(struct mw_buf *b, const struct ask *a)
{
    struct mw_req head = {.flags = a->flags | (a->body ? MW_REQ_BODY : 0),
                          .content_length = a->body ? (int64_t)a->body_n : 0,
                          .script = str(a->script ? a->script : "/nowhere/app.wsgi"),
                          .callable = str(a->callable ? a->callable : "application"),
                          .timeout_ms = a->timeout_ms,
                          .app_group = str(""),
                          .process_group = str("test"),
                          .log_id = str("")};
    char length[32];
    uint32_t n = 0;

    snprintf(length, sizeof length, "%zu", a->body_n);
    size_t at = mw_req_begin(b, &head);
    mw_req_pair(b, str("REQUEST_METHOD"), str(a->body ? "POST" : "GET")), n++;
    mw_req_pair(b, str("SCRIPT_NAME"), str("")), n++;
    mw_req_pair(b, str("PATH_INFO"), str("/")), n++;
    mw_req_pair(b, str("QUERY_STRING"), str(a->query ? a->query : "")), n++;
    mw_req_pair(b, str("SERVER_NAME"), str("localhost")), n++;
    mw_req_pair(b, str("SERVER_PORT"), str("80")), n++;
    mw_req_pair(b, str("SERVER_PROTOCOL"), str("HTTP/1.1")), n++;
    if (a->body)
        mw_req_pair(b, str("CONTENT_LENGTH"), str(length)), n++;
    assert_int_equal(mw_req_end(b, at, n), 0);
}

/* How far the body of the request has been sent. */
struct progress {
    size_t sent;
    size_t upto;
    int ended;
};

static int answer_want(struct mw_link *l, const struct ask *a, struct progress *t,
                       const struct mw_frame *f)
{
    size_t end = a->cut_body ? a->body_sent : a->body_n;
    struct mw_want want;
    int rv = mw_want_decode(&want, f->payload, f->n);

    if (rv || t->ended)
        return rv; /* a WANT that crossed BODY_END */
    assert_true(want.have <= t->sent && want.upto >= t->upto);
    t->upto = want.upto;
    size_t n = (end < t->upto ? end : t->upto) - t->sent;
    if (n > MW_FRAME_DATA_MAX)
        n = MW_FRAME_DATA_MAX;
    if (n)
        rv = mw_link_put(l, MW_F_BODY, a->body + t->sent, n);
    t->sent += n;
    t->ended = t->sent == end;
    if (rv == 0 && t->ended)
        rv = mw_link_put_u8(l, MW_F_BODY_END, a->cut_body ? MW_BODY_ABORTED : MW_BODY_CLEAN);
    return rv ? rv : mw_link_flush(l);
}

static void keep_data(struct answer *out, const struct mw_frame *f)
{
    out->body = realloc(out->body, out->n + f->n + 1);
    assert_non_null(out->body);
    memcpy(out->body + out->n, f->payload, f->n);
    out->n += f->n;
    out->body[out->n] = '\0';
}

/* The values of an informational response's fields, one per line. */
static void keep_links(struct answer *out, const struct mw_rsp *rsp)
{
    struct mw_cur it = rsp->fields;
    struct mw_str name, value;
    size_t n = strlen(out->links);

    while (mw_rsp_next(&it, &name, &value))
        n += (size_t)snprintf(out->links + n, sizeof out->links - n, "%s\n", value.p);
}

static int on_frame(struct mw_link *l, const struct ask *a, struct progress *t, struct answer *out,
                    const struct mw_frame *f)
{
    struct mw_str line;
    struct mw_rsp rsp;
    uint8_t how;
    struct mw_mark mark;

    switch (f->type) {
    case MW_F_INFORM:
        assert_int_equal(out->status, 0);
        assert_int_equal(mw_rsp_view_inform(&rsp, f->payload, f->n, NULL), 0);
        keep_links(out, &rsp);
        return 0;
    case MW_F_ASK:
        out->asks++;
        return mw_link_send(l, MW_F_ALIVE, NULL, 0);
    case MW_F_HEAD:
        assert_int_equal(mw_rsp_view(&rsp, f->payload, f->n, NULL), 0);
        out->status = rsp.status;
        return 0;
    case MW_F_DATA:
        keep_data(out, f);
        return 0;
    case MW_F_LOG:
        assert_int_equal(mw_logline_decode(&mark, &line, f->payload, f->n), 0);
        snprintf(out->log + strlen(out->log), sizeof out->log - strlen(out->log), "%.*s\n",
                 (int)line.n, line.p);
        return 0;
    case MW_F_WANT:
        out->wants++;
        return answer_want(l, a, t, f);
    case MW_F_END:
        assert_int_equal(mw_u8_decode(&how, MW_END_LAST, f->payload, f->n), 0);
        out->end = how;
        return 1;
    default:
        fail_msg("a worker sent %s", mw_frame_name(f->type));
        return MW_EPROTO;
    }
}

void rig_put(struct mw_link *l, const struct ask *a)
{
    struct mw_buf b;

    mw_buf_init(&b, MW_REQ_BLOCK_MAX);
    rig_block(&b, a);
    assert_int_equal(mw_link_put(l, MW_F_REQUEST, mw_buf_data(&b), mw_buf_size(&b)), 0);
    mw_buf_fini(&b);
}

void rig_send(struct mw_link *l, const struct ask *a)
{
    rig_put(l, a);
    assert_int_equal(mw_link_flush(l), 0);
}

void rig_talk(struct mw_link *l, const struct ask *a, struct answer *out)
{
    struct mw_frame f;
    struct mw_buf b;
    struct progress t = {.ended = a->inline_body, .upto = MW_BODY_INLINE_MAX};

    memset(out, 0, sizeof *out);
    out->end = -1;
    mw_buf_init(&b, MW_REQ_BLOCK_MAX);
    rig_block(&b, a);
    int rv = mw_link_put(l, MW_F_REQUEST, mw_buf_data(&b), mw_buf_size(&b));
    if (rv == 0 && a->body && a->inline_body) {
        rv = a->body_n ? mw_link_put(l, MW_F_BODY, a->body, a->body_n) : 0;
        if (rv == 0)
            rv = mw_link_put_u8(l, MW_F_BODY_END, MW_BODY_CLEAN);
    }
    if (rv == 0)
        rv = mw_link_flush(l);
    while (rv == 0) {
        rv = mw_link_recv(l, &f);
        if (rv == 0)
            rv = on_frame(l, a, &t, out, &f);
    }
    mw_buf_fini(&b);
}

/* The worker of the claim is gone, or the supervisor has not yet noticed that it is. */
static void await_change(struct rig *r, unsigned group, const struct mw_claim *claim)
{
    uint64_t deadline = after(1000);
    struct mw_slot_info info;

    while (mw_clock_ms() < deadline) {
        assert_int_equal(mw_board_slot(r->groups[group].board, claim->slot, &info), 0);
        if (info.state != MW_SLOT_READY || info.incarnation != claim->incarnation)
            return;
        poll(NULL, 0, 1);
    }
}

static void ask_once(struct rig *r, const struct ask *a, struct answer *out, struct mw_claim *claim)
{
    struct mw_link l;

    rig_claim(r, a->group, claim);
    rig_connect(r, a->group, claim, &l);
    rig_talk(&l, a, out);
    out->unread = out->end == -1 && !l.peer_known;
    mw_board_release(r->groups[a->group].board, claim);
    mw_link_fini(&l);
}

void rig_ask(struct rig *r, const struct ask *a, struct answer *out)
{
    struct mw_claim claim;
    ask_once(r, a, out, &claim);
}

void rig_ask_patiently(struct rig *r, const struct ask *a, struct answer *out)
{
    struct mw_claim claim;

    for (int i = 0; i < 10; i++) {
        ask_once(r, a, out, &claim);
        if (!out->unread)
            return;
        await_change(r, a->group, &claim);
        answer_fini(out);
    }
    fail_msg("no worker took the request\n%s", rig_log(r));
}

void answer_fini(struct answer *a)
{
    free(a->body);
    memset(a, 0, sizeof *a);
}

/* -- one connection -- */

void talk_connect(struct talk *t)
{
    rig_claim(&t->r, 0, &t->claim);
    rig_connect(&t->r, 0, &t->claim, &t->l);
}

void talk_disconnect(struct talk *t)
{
    mw_board_release(t->r.groups[0].board, &t->claim);
    mw_link_fini(&t->l);
}

void talk_begin(struct talk *t, const char *runtime)
{
    rig_init(&t->r, runtime);
    rig_start_ready(&t->r);
    talk_connect(t);
}

void talk_end(struct talk *t)
{
    talk_disconnect(t);
    rig_stop(&t->r);
}

struct mw_frame talk_await(struct talk *t, unsigned type)
{
    struct mw_frame f;

    do {
        int rv = mw_link_recv(&t->l, &f);
        if (rv)
            fail_msg("no %s: %s\n%s", mw_frame_name(type), mw_err_text(rv), rig_log(&t->r));
    } while (f.type != type);
    return f;
}

void talk_expect_hello(struct talk *t)
{
    struct answer a;

    rig_talk(&t->l, &(struct ask){.callable = "hello"}, &a);
    assert_int_equal(a.end, MW_END_COMPLETE);
    assert_string_equal(a.body, "hello");
    answer_fini(&a);
}

void talk_expect_dropped(struct talk *t)
{
    struct mw_frame f;
    int rv;

    while ((rv = mw_link_recv(&t->l, &f)) == 0)
        ;
    assert_int_equal(rv, MW_ECLOSED);
    talk_disconnect(t);
    talk_connect(t);
    talk_expect_hello(t);
}
