/*
 * fake_runtime.c: a runtime plugin without Python, so that supervisor and worker can be tested alone. The
 * request's callable names what it does; python-path holds words that make start or stop misbehave.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "ctl.h"
#include "io.h"
#include "log.h"
#include "py.h"

/* What start was told; one per process, as a runtime is. */
static struct {
    char flags[256];
    char script[1024]; /* the one that changed watches: the first that was served */
    struct timespec mtime;
    pthread_mutex_t lock;
    void (*log)(void *ctx, int level, const char *line, size_t n);
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int flag(const char *word)
{
    return strstr(fake.flags, word) != NULL;
}

static void hang(void)
{
    for (;;)
        poll(NULL, 0, -1);
}

/* -- put in front of the C library by LD_PRELOAD: calls that fail, or say they worked -- */

static int is_broken(const char *call, int *rv_r)
{
    const char *what = getenv("FAKE_FAIL");

    if (!what || !strstr(what, call))
        return 0;
    errno = EPERM;
    *rv_r = strncmp(what, call, strlen(call)) == 0 ? -1 : 0;
    return 1;
}

#define EXPORT __attribute__((visibility("default")))

EXPORT int setgroups(size_t n, const gid_t *list)
{
    int rv;
    return is_broken("setgroups", &rv) ? rv : (int)syscall(SYS_setgroups, n, list);
}

EXPORT int setresgid(gid_t r, gid_t e, gid_t s)
{
    int rv;
    return is_broken("setresgid", &rv) ? rv : (int)syscall(SYS_setresgid, r, e, s);
}

EXPORT int setresuid(uid_t r, uid_t e, uid_t s)
{
    int rv;
    return is_broken("setresuid", &rv) ? rv : (int)syscall(SYS_setresuid, r, e, s);
}

EXPORT int setuid(uid_t uid)
{
    int rv;
    return is_broken("setuid", &rv) ? rv : (int)syscall(SYS_setuid, uid);
}

EXPORT int chroot(const char *path)
{
    int rv;
    return is_broken("chroot", &rv) ? rv : (int)syscall(SYS_chroot, path);
}

/* -- answers -- */

static int head(struct mw_chan *c, unsigned status)
{
    struct mw_buf b;

    mw_buf_init(&b, MW_RSP_HEAD_MAX);
    size_t at = mw_rsp_begin(&b, status, MW_STR("OK"));
    mw_rsp_field(&b, MW_STR("Content-Type"), MW_STR("text/plain"));
    int rv = mw_rsp_end(&b, at, 1);
    if (rv == 0)
        rv = mw_chan_head(c, mw_buf_data(&b), mw_buf_size(&b), NULL);
    mw_buf_fini(&b);
    return rv;
}

static enum mw_end text(struct mw_chan *c, const char *s)
{
    int rv = head(c, 200);
    if (rv == 0)
        rv = mw_chan_data(c, s, strlen(s), MW_DATA_MORE);
    return rv ? MW_END_FAILED : MW_END_COMPLETE;
}

static enum mw_end hello(struct mw_chan *c)
{
    return text(c, "hello");
}

static enum mw_end pid(struct mw_chan *c)
{
    char s[32];
    snprintf(s, sizeof s, "%ld", (long)getpid());
    return text(c, s);
}

static enum mw_end echo(struct mw_chan *c)
{
    char buf[10000];
    ssize_t n;
    int rv = head(c, 200);

    while (rv == 0 && (n = mw_chan_read(c, buf, sizeof buf)) > 0)
        rv = mw_chan_data(c, buf, (size_t)n, 0);
    if (rv == 0 && n < 0) {
        mw_chan_log(c, MW_MARK(MW_LOG_ERR), "body broke", 10);
        return MW_END_FAILED;
    }
    return rv ? MW_END_FAILED : MW_END_COMPLETE;
}

/* 100000 bytes, byte i being i mod 251, in a file without a name. */
static int numbered_file(void)
{
    char bytes[100000];
    int fd = memfd_create("numbered", MFD_CLOEXEC);

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i % 251);
    if (fd >= 0 && write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        mw_io_close(&fd);
    return fd;
}

static enum mw_end file(struct mw_chan *c)
{
    int rv = head(c, 200);

    if (rv == 0)
        rv = mw_chan_file(c, numbered_file(), 1000, 90000, MW_DATA_MORE);
    return rv ? MW_END_FAILED : MW_END_COMPLETE;
}

static enum mw_end files_and_data(struct mw_chan *c)
{
    int rv = head(c, 200);

    for (int i = 0; rv == 0 && i < 3; i++) {
        rv = mw_chan_file(c, numbered_file(), i, 1, i == 1 ? 0 : MW_DATA_MORE);
        if (rv == 0)
            rv = mw_chan_data(c, "data", 4, i == 1 ? 0 : MW_DATA_MORE);
    }
    return rv ? MW_END_FAILED : MW_END_COMPLETE;
}

static enum mw_end count_fds(struct mw_chan *c)
{
    DIR *d = opendir("/proc/self/fd");
    char s[32];
    unsigned n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    snprintf(s, sizeof s, "%u", n);
    return text(c, s);
}

static enum mw_end one_byte(struct mw_chan *c)
{
    char b[2] = {0};
    if (mw_chan_read(c, b, 1) != 1)
        return MW_END_FAILED;
    return text(c, b);
}

static enum mw_end in_pieces(struct mw_chan *c)
{
    char *block = calloc(1, 300000);
    int rv = block ? head(c, 200) : MW_ENOMEM;

    for (int i = 0; rv == 0 && i < 8; i++) {
        memset(block, 'a' + i, 300000);
        rv = mw_chan_data(c, block, 300000, i % 2 ? MW_DATA_MORE : 0);
    }
    free(block);
    return rv ? MW_END_FAILED : MW_END_COMPLETE;
}

static enum mw_end stream(struct mw_chan *c)
{
    char block[1000];
    int rv = head(c, 200);

    memset(block, 's', sizeof block);
    while (rv == 0) {
        rv = mw_chan_data(c, block, sizeof block, 0);
        poll(NULL, 0, 2);
    }
    fake.log(NULL, MW_LOG_ERR, "stream stopped", 14);
    return MW_END_ABORTED;
}

static enum mw_end lines(struct mw_chan *c)
{
    mw_chan_log(c, MW_MARK(MW_LOG_ERR), "line one", 8);
    mw_chan_log(c, MW_MARK(MW_LOG_WARNING), "line two", 8);
    return text(c, "logged");
}

/* One informational response with a link to /name. */
static int hint(struct mw_chan *c, unsigned status, const char *name)
{
    char link[64];
    struct mw_buf b;

    int k = snprintf(link, sizeof link, "</%s>", name);
    mw_buf_init(&b, MW_RSP_INFORM_MAX);
    size_t at = mw_rsp_begin(&b, status, MW_STR(""));
    mw_rsp_field(&b, MW_STR("Link"), (struct mw_str){link, (size_t)k});
    int rv = mw_rsp_end(&b, at, 1);
    if (rv == 0)
        rv = mw_chan_inform(c, mw_buf_data(&b), mw_buf_size(&b), NULL);
    mw_buf_fini(&b);
    return rv;
}

static enum mw_end hints(struct mw_chan *c)
{
    if (hint(c, MW_RSP_INFORM_STATUS, "one") || hint(c, 100, "wrong") != MW_EINVAL ||
        hint(c, MW_RSP_INFORM_STATUS, "two"))
        return MW_END_FAILED;
    return text(c, "hinted");
}

/* Until the child says that the client has gone. */
static enum mw_end wait_gone(struct mw_chan *c)
{
    char b;

    mw_chan_log(c, MW_MARK(MW_LOG_INFO), "waiting", 7);
    while (!mw_chan_gone(c))
        poll(NULL, 0, 2);
    if (mw_chan_read(c, &b, 1) != MW_EABORT)
        return MW_END_FAILED;
    fake.log(NULL, MW_LOG_ERR, "client gone", 11);
    return MW_END_ABORTED;
}

static enum mw_end hints_wait_gone(struct mw_chan *c)
{
    return hint(c, MW_RSP_INFORM_STATUS, "one") ? MW_END_FAILED : wait_gone(c);
}

/* Asks again and again while it echoes: no byte of the body may be lost. */
static enum mw_end ask_echo(struct mw_chan *c)
{
    char buf[777];
    ssize_t n = 0;
    int rv = mw_chan_gone(c) ? MW_EABORT : head(c, 200);

    while (rv == 0 && (n = mw_chan_read(c, buf, sizeof buf)) > 0) {
        rv = mw_chan_data(c, buf, (size_t)n, 0);
        if (rv == 0 && mw_chan_gone(c))
            rv = MW_EABORT;
    }
    return rv || n < 0 ? MW_END_FAILED : MW_END_COMPLETE;
}

static enum mw_end control_bytes(struct mw_chan *c)
{
    static const char line[] = "tab\tescape\x1b[2J backslash\\ end";

    fake.log(NULL, MW_LOG_ERR, line, sizeof line - 1);
    return text(c, "logged");
}

static enum mw_end no_head(struct mw_chan *c)
{
    (void)c;
    return MW_END_FAILED;
}

/* The number that is the query. */
static int query_of(const struct mw_chan *c)
{
    struct mw_cur it = c->req->pairs;
    struct mw_str key, value;
    int n = 0;

    while (mw_req_next(&it, &key, &value)) {
        if (strcmp(key.p, "QUERY_STRING") == 0)
            n = (int)strtol(value.p, NULL, 10);
    }
    return n;
}

static enum mw_end sleeper(struct mw_chan *c)
{
    poll(NULL, 0, query_of(c));
    return text(c, "slept");
}

/* Until the file that the query names is there, deaf to everything. */
static enum mw_end stuck(struct mw_chan *c)
{
    struct mw_str key, value, path = {"", 0};
    struct mw_cur it = c->req->pairs;

    while (mw_req_next(&it, &key, &value))
        if (strcmp(key.p, "QUERY_STRING") == 0)
            path = value;
    while (access(path.p, F_OK))
        poll(NULL, 0, 2);
    return text(c, "late");
}

struct talker {
    struct mw_chan *c;
    int ending; /* atomic */
};

static void *talk(void *arg)
{
    struct talker *t = arg;

    while (!__atomic_load_n(&t->ending, __ATOMIC_RELAXED)) {
        mw_chan_log(t->c, MW_MARK(MW_LOG_INFO), "from the background", 19);
        poll(NULL, 0, 1);
    }
    return NULL;
}

/* The same, while another thread writes to the log of the request. */
static enum mw_end stuck_and_talking(struct mw_chan *c)
{
    struct talker t = {.c = c};
    pthread_t id;

    if (pthread_create(&id, NULL, talk, &t))
        return MW_END_FAILED;
    enum mw_end how = stuck(c);
    __atomic_store_n(&t.ending, 1, __ATOMIC_RELAXED);
    pthread_join(id, NULL);
    return how;
}

/* Answers, in pieces, after the milliseconds of the query. */
static enum mw_end slow_pieces(struct mw_chan *c)
{
    struct mw_str key, value;
    struct mw_cur it = c->req->pairs;
    int rv = 0;

    while (mw_req_next(&it, &key, &value))
        if (strcmp(key.p, "QUERY_STRING") == 0)
            poll(NULL, 0, (int)strtol(value.p, NULL, 10));
    rv = head(c, 200);
    for (int i = 0; rv == 0 && i < 5; i++)
        rv = mw_chan_data(c, "piece", 5, 0);
    return rv ? MW_END_FAILED : MW_END_COMPLETE;
}

/* So many megabytes more, for ever. */
static enum mw_end grow(struct mw_chan *c)
{
    size_t n = (size_t)query_of(c) << 20;
    char *p = malloc(n);

    if (!p)
        return MW_END_FAILED;
    memset(p, 1, n);
    __asm__ volatile("" : : "r"(p) : "memory"); /* it is used, as far as the compiler knows */
    return text(c, "grown");
}

static enum mw_end grow_and_sleep(struct mw_chan *c)
{
    enum mw_end how = grow(c);

    poll(NULL, 0, 60000);
    return how;
}

static enum mw_end segv(struct mw_chan *c)
{
    (void)c;
    signal(SIGSEGV, SIG_DFL); /* whatever a sanitizer has put there */
    raise(SIGSEGV);
    return MW_END_FAILED;
}

static enum mw_end leave(struct mw_chan *c)
{
    (void)c;
    _exit(3);
}

/* -- what the process is -- */

static size_t put_fds(char *out, size_t cap)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    size_t n = 0;

    while (d && (e = readdir(d))) {
        char target[256], name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%.20s", e->d_name);
        ssize_t len = readlink(name, target, sizeof target - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        n += (size_t)snprintf(out + n, cap - n, "fd=%.20s %.200s\n", e->d_name, target);
    }
    if (d)
        closedir(d);
    return n;
}

static const char *or_none(const char *s)
{
    return s ? s : "none";
}

static enum mw_end whoami(struct mw_chan *c)
{
    char out[16384], cwd[1024] = "?", title[256] = "?";
    gid_t groups[64];
    uid_t r, e, s;
    size_t n = 0;
    int ng = getgroups(64, groups);
    mode_t mask = umask(0);
    FILE *f = fopen("/proc/self/cmdline", "r");

    umask(mask);
    if (f) {
        title[fread(title, 1, sizeof title - 1, f)] = '\0';
        fclose(f);
    }
    getresuid(&r, &e, &s);
    n += (size_t)snprintf(out + n, sizeof out - n, "uid=%d/%d/%d gid=%d/%d groups=", (int)r, (int)e,
                          (int)s, (int)getgid(), (int)getegid());
    for (int i = 0; i < ng; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%d,", (int)groups[i]);
    n += (size_t)snprintf(out + n, sizeof out - n, "\numask=%04o\ncwd=%s\ntitle=%s\n",
                          (unsigned)mask, getcwd(cwd, sizeof cwd), title);
    n += (size_t)snprintf(out + n, sizeof out - n, "HOME=%s\nUSER=%s\nLC_ALL=%s\nMW_WORKER=%s\n",
                          or_none(getenv("HOME")), or_none(getenv("USER")),
                          or_none(getenv("LC_ALL")), or_none(getenv("MW_WORKER")));
    (void)put_fds(out + n, sizeof out - n);
    return text(c, out);
}

/* -- a worker that turns on its supervisor -- */

static enum mw_end send_junk(struct mw_chan *c)
{
    (void)!send(MW_WFD_CONTROL, "\xff\x00junk", 6, MSG_NOSIGNAL);
    return text(c, "sent");
}

static enum mw_end send_empty(struct mw_chan *c)
{
    (void)!send(MW_WFD_CONTROL, "", 0, MSG_NOSIGNAL);
    return text(c, "sent");
}

static enum mw_end send_ready(struct mw_chan *c)
{
    struct mw_ctl ctl = {.type = MW_CTL_READY};
    uint8_t msg[MW_CTL_MAX];
    int n = mw_ctl_encode(msg, &ctl);

    (void)!send(MW_WFD_CONTROL, msg, (size_t)n, MSG_NOSIGNAL);
    return text(c, "sent");
}

static enum mw_end flood(struct mw_chan *c)
{
    for (int i = 0; i < 100000; i++)
        (void)!send(MW_WFD_CONTROL, "\xff", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return text(c, "sent");
}

static enum mw_end close_control(struct mw_chan *c)
{
    shutdown(MW_WFD_CONTROL, SHUT_RDWR);
    return text(c, "closed");
}

/* One end of a connection with much still to be sent, which lingers. The other end is with a process of
 * its own, *holder_r, which never reads. */
static int lingering_socket(pid_t *holder_r)
{
    static const struct linger longer = {.l_onoff = 1, .l_linger = 30};
    static const char junk[65536];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(l, (struct sockaddr *)&at, n) || listen(l, 1) ||
        getsockname(l, (struct sockaddr *)&at, &n) || connect(fd, (struct sockaddr *)&at, n) ||
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &longer, sizeof longer))
        abort();
    *holder_r = fork();
    if (*holder_r == 0) {
        dup2(l, MW_WFD_FIRST);
        mw_io_close_from(MW_WFD_FIRST + 1);
        for (;;)
            pause();
    }
    close(l);
    while (send(fd, junk, sizeof junk, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    return fd;
}

/* When this process is gone, nobody has the socket but the supervisor. */
static enum mw_end pass_lingering(struct mw_chan *c)
{
    char say[32];
    pid_t holder;
    int fd = lingering_socket(&holder);

    snprintf(say, sizeof say, "%ld", (long)holder);
    enum mw_end how = text(c, say);
    (void)!mw_io_send_msg(MW_WFD_CONTROL, "?", 1, strstr(c->req->script.p, "unread") ? -1 : fd);
    for (int i = 0; i < 3; i++)
        (void)!mw_io_send_msg(MW_WFD_CONTROL, "?", 1, fd);
    close(fd);
    return how;
}

static enum mw_end no_more_files(struct mw_chan *c)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = MW_WFD_FIRST; /* what is open stays so */
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
    return text(c, "done");
}

static const struct {
    const char *name;
    enum mw_end (*fn)(struct mw_chan *c);
} behaviours[] = {
    {"hello", hello},
    {"pid", pid},
    {"echo", echo},
    {"file", file},
    {"files-and-data", files_and_data},
    {"count-fds", count_fds},
    {"one-byte", one_byte},
    {"in-pieces", in_pieces},
    {"stream", stream},
    {"lines", lines},
    {"hints", hints},
    {"wait-gone", wait_gone},
    {"hints-wait-gone", hints_wait_gone},
    {"ask-echo", ask_echo},
    {"control-bytes", control_bytes},
    {"no-head", no_head},
    {"sleep", sleeper},
    {"stuck", stuck},
    {"stuck-and-talking", stuck_and_talking},
    {"slow-pieces", slow_pieces},
    {"grow", grow},
    {"grow-and-sleep", grow_and_sleep},
    {"segv", segv},
    {"exit", leave},
    {"whoami", whoami},
    {"send-junk", send_junk},
    {"send-empty", send_empty},
    {"send-ready", send_ready},
    {"flood", flood},
    {"close-control", close_control},
    {"no-more-files", no_more_files},
    {"pass-lingering", pass_lingering},
};

/* -- the table -- */

static int fake_start(const struct mw_py_config *cfg, char *why, size_t cap)
{
    fake.log = cfg->log;
    snprintf(fake.flags, sizeof fake.flags, "%s", cfg->path ? cfg->path : "");
    if (flag("start-fails") && !flag("late")) {
        snprintf(why, cap, "python-home=/nowhere has no encodings; name another one");
        return MW_ENOENT;
    }
    if (flag("start-crashes")) {
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    fake.log(NULL, MW_LOG_INFO, "fake runtime started", 20);
    if (flag("start-hangs"))
        hang();
    if (flag("start-slow"))
        poll(NULL, 0, 300);
    if (flag("start-fails-late")) {
        snprintf(why, cap, "after all");
        return MW_EIO;
    }
    return 0;
}

/* A script whose text begins with "broken" cannot be imported. */
static int is_broken_script(const char *path)
{
    char text[7] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    int broken = read(fd, text, 6) == 6 && strcmp(text, "broken") == 0;
    close(fd);
    return broken;
}

static int fake_preload(struct mw_str script, struct mw_str app_group, int explicit_group,
                        struct mw_str callable)
{
    (void)callable;
    char line[256];
    int broken = is_broken_script(script.p);
    int n = snprintf(line, sizeof line, "%s %s in '%s'%s",
                     broken ? "could not import" : "preloaded", script.p, app_group.p,
                     explicit_group ? " as configured" : "");
    fake.log(NULL, MW_LOG_ERR, line, (size_t)n);
    if (flag("preload-hangs") && strstr(script.p, "hangs"))
        hang();
    return broken ? MW_EIO : 0;
}

static int mtime_of(const char *path, struct timespec *out)
{
    struct stat st;
    if (stat(path, &st))
        return errno;
    *out = st.st_mtim;
    return 0;
}

/* Each state of the file once. */
static int fake_changed(const struct mw_req *req)
{
    struct timespec now = {0};
    int changed = 0;

    pthread_mutex_lock(&fake.lock);
    if (!fake.script[0] && mtime_of(req->script.p, &fake.mtime) == 0)
        snprintf(fake.script, sizeof fake.script, "%s", req->script.p);
    else if (mtime_of(fake.script, &now) == 0)
        changed = now.tv_sec != fake.mtime.tv_sec || now.tv_nsec != fake.mtime.tv_nsec;
    if (changed)
        fake.mtime = now;
    pthread_mutex_unlock(&fake.lock);
    return changed;
}

/* What a script does is its name. */
static int fake_run(struct mw_str script, struct mw_str app_group)
{
    char line[256];
    int n = snprintf(line, sizeof line, "runs %s in '%s'", script.p, app_group.p);

    fake.log(NULL, MW_LOG_ERR, line, (size_t)n);
    if (strcmp(script.p, "/stays") == 0)
        pause();
    return strcmp(script.p, "/quits") == 0   ? MW_ECLOSED
           : strcmp(script.p, "/fails") == 0 ? MW_EIO
                                             : 0;
}

static enum mw_end fake_serve(struct mw_chan *c)
{
    enum mw_end how = MW_END_NO_SCRIPT;

    for (size_t i = 0; i < MW_ARRAY_LEN(behaviours); i++) {
        if (strcmp(c->req->callable.p, behaviours[i].name) == 0)
            how = behaviours[i].fn(c);
    }
    return mw_chan_end(c, how);
}

static void fake_signalled(int signum)
{
    char line[64];
    int n = snprintf(line, sizeof line, "signal %d", signum);

    fake.log(NULL, MW_LOG_INFO, line, (size_t)n);
}

static void fake_stop(uint64_t budget_ms, const char *reason)
{
    char line[64];
    int n = snprintf(line, sizeof line, "fake runtime stopped: %s", reason);

    (void)budget_ms;
    if (flag("stop-hangs"))
        hang();
    fake.log(NULL, MW_LOG_INFO, line, (size_t)n);
}

static uint64_t fake_expire(void)
{
    return mw_clock_deadline(1000);
}

static void fake_probe(void)
{
    if (flag("probe-hangs"))
        hang();
}

static void fake_dump(int fd)
{
    (void)!write(fd, "fake stack dump\n", 16);
}

EXPORT extern const struct mw_py_runtime mw_py_runtime;
const struct mw_py_runtime mw_py_runtime = {
    .abi = MW_PY_ABI,
    .version = "0.0",
    .start = fake_start,
    .preload = fake_preload,
    .changed = fake_changed,
    .run = fake_run,
    .serve = fake_serve,
    .stop = fake_stop,
    .signalled = fake_signalled,
    .expire = fake_expire,
    .probe = fake_probe,
    .dump = fake_dump,
    .stacks = fake_dump,
};
