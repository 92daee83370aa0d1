/*
 * spec.c: the rows of a daemon group's options and the encoding of its specification. Pure. httpd
 * encodes, the worker decodes; a new option is one row here and one field in spec.h.
 *
 * Layout: u32 magic, u32 number of rows, then per row a u64 (numbers) or a str (strings; "" is not
 * set), then str name, u32 npreload and per script: str script, str app_group, str callable, u8 of PRELOAD_* bits.
 */
#include "spec.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x5053574du /* the bytes "MWSP" */
#define DAY_MS (86400 * 1000)
#define YEAR_MS (INT64_C(366) * DAY_MS)
#define SECS(s) ((s)*1000)
#define GIB (1 << 30)
#define ID_MAX (UINT32_MAX - 1) /* (uid_t)-1 means "no change" in system calls */

enum { PRELOAD_EXPLICIT = 1, PRELOAD_MUST = 2 };

#define AT(field) offsetof(struct mw_spec, field)

const struct mw_opt mw_spec_opts[] = {
    {"processes", MW_OPT_INT, AT(processes), 1, 1024, 0,
     "Number of worker processes. Without the option one is started and wsgi.multiprocess is "
     "False; with it, also with 1, wsgi.multiprocess is True."},
    {"threads", MW_OPT_INT, AT(threads), 0, 1024, 15,
     "Number of request threads in each process; 0: a service, whose WSGIImportScript is the program "
     "and which gets no requests."},
    {"umask", MW_OPT_OCTAL, AT(umask), 0, 0777, -1,
     "File creation mask of the processes, in octal; httpd's if not given."},
    {"stack-size", MW_OPT_INT, AT(stack_size), 128 << 10, 1 << 30, 0,
     "Stack of each request thread in bytes; the platform's default if not given."},
    {"queue-timeout", MW_OPT_SECS, AT(queue_timeout_ms), 0, DAY_MS, 0,
     "Seconds a request waits for a free thread before it is answered with 503; 0: as long as "
     "socket-timeout."},
    {"queue-max", MW_OPT_INT, AT(queue_max), 0, 1000000, 0,
     "Requests of the group that may wait for a free thread; one more is answered with 503 at once; 0: any "
     "number."},
    {"connect-timeout", MW_OPT_SECS, AT(connect_timeout_ms), 1000, DAY_MS, SECS(15),
     "Seconds that a worker may take to accept a new connection from httpd; then the request is answered "
     "with 503."},
    {"connection-idle-timeout", MW_OPT_SECS, AT(connection_idle_timeout_ms), 0, DAY_MS, SECS(60),
     "Seconds that a connection between httpd and a worker is kept for the next request; 0: no limit."},
    {"socket-timeout", MW_OPT_SECS, AT(socket_timeout_ms), 0, DAY_MS, 0,
     "Seconds that each single wait between httpd and a worker may take; 0: httpd's Timeout."},
    {"request-buffering", MW_OPT_BUFFER, AT(request_buffering), 0, 1024 * (int64_t)GIB, MW_OPT_AUTO,
     "Which bodies httpd reads whole before a thread is claimed: auto, all; off, none but small ones; or "
     "those of up to so many bytes. The others are sent on as the application reads them."},
    {"response-socket-timeout", MW_OPT_SECS, AT(response_socket_timeout_ms), 0, DAY_MS, 0,
     "Seconds that each single wait for the client may take while it gets the answer; then the answer "
     "is cut; 0: as long as socket-timeout. Over HTTP/2, H2StreamTimeout or Timeout."},
    {"response-buffer-size", MW_OPT_BYTES, AT(response_buffer_size), 64 << 10, GIB, 0,
     "Bytes of an answer that httpd keeps in memory for a client slower than the application; 0: 1M."},
    {"response-spool-size", MW_OPT_BYTES, AT(response_spool_size), 0, 1024 * (int64_t)GIB, GIB,
     "Bytes of an answer that httpd keeps beyond that in a temporary file without a name; then the "
     "application has to wait for the client."},
    {"response-flush-delay", MW_OPT_INT, AT(response_flush_delay_ms), 0, 1000, 5,
     "Milliseconds between two flushes of an answer that comes in pieces: what comes sooner goes out "
     "together with what follows; 0: every piece at once."},
    {"send-buffer-size", MW_OPT_BYTES, AT(send_buffer_size), 512, GIB, 0,
     "Bytes of answers that the kernel holds between a process and httpd (SO_SNDBUF), as far as the system "
     "allows; 0: 512K."},
    {"receive-buffer-size", MW_OPT_BYTES, AT(receive_buffer_size), 512, GIB, 0,
     "The same for bodies of requests on their way to a process; 0, and less than that: 256K."},
    {"header-buffer-size", MW_OPT_BYTES, AT(header_buffer_size), 8192, GIB, 0,
     "Bytes of the longest header line in an answer, name and value; a longer one makes it 500; 0: no limit "
     "but that of the whole head, 256K."},
    {"startup-timeout", MW_OPT_SECS, AT(startup_timeout_ms), 0, DAY_MS, SECS(60),
     "Seconds from the start of a process until its preloaded scripts are imported; then it is "
     "killed and started again later; 0: no limit."},
    {"request-timeout", MW_OPT_SECS, AT(request_timeout_ms), 0, DAY_MS, 0,
     "Seconds a request may take from the moment a thread has it; then mod_wsgi.RequestTimeout is "
     "raised in it; 0: no limit. WSGIRequestTimeout says otherwise for a part of the URLs."},
    {"interrupt-timeout", MW_OPT_SECS, AT(interrupt_timeout_ms), 0, DAY_MS, 0,
     "Seconds that RequestTimeout may take to end a request; then its client gets 504 and its "
     "thread is lost; 0: 5 seconds."},
    {"inactivity-timeout", MW_OPT_SECS, AT(inactivity_timeout_ms), 0, DAY_MS, 0,
     "Seconds without a request, after the first one, until a process is replaced; 0: no limit."},
    {"deadlock-timeout", MW_OPT_SECS, AT(deadlock_timeout_ms), 0, DAY_MS, SECS(300),
     "Seconds in which no thread can get Python's lock (GIL) until a process is replaced; 0: no "
     "limit."},
    {"graceful-timeout", MW_OPT_SECS, AT(graceful_timeout_ms), 0, DAY_MS, SECS(15),
     "Seconds a process that is being replaced may take to finish its requests."},
    {"eviction-timeout", MW_OPT_SECS, AT(eviction_timeout_ms), 0, DAY_MS, 0,
     "Seconds a process that got SIGUSR1 may take to finish its requests; 0: graceful-timeout."},
    {"shutdown-timeout", MW_OPT_SECS, AT(shutdown_timeout_ms), 0, DAY_MS, SECS(5),
     "Seconds a process may take to leave, atexit functions included, before it is killed."},
    {"maximum-requests", MW_OPT_INT_SPREAD, AT(maximum_requests), 0, 1000000000, 0,
     "Requests a process serves before it is replaced; 0: no limit. ~10% after it makes each "
     "process draw its own number, up to so much more or less."},
    {"restart-interval", MW_OPT_SECS_SPREAD, AT(restart_interval_ms), 0, YEAR_MS, 0,
     "Seconds a process serves before it is replaced; 0: no limit. ~10% after it as with "
     "maximum-requests."},
    {"memory-soft", MW_OPT_BYTES, AT(memory_soft), 1 << 20, INT64_C(1) << 50, 0,
     "Bytes of resident memory above which a process is replaced, once it has served for ten "
     "seconds; looked at once a second."},
    {"memory-hard", MW_OPT_BYTES, AT(memory_hard), 1 << 20, INT64_C(1) << 50, 0,
     "Bytes of resident memory above which a process is killed at once; looked at once a second."},
    {"cpu-time-limit", MW_OPT_SECS, AT(cpu_time_limit_ms), 0, YEAR_MS, 0,
     "Seconds of CPU time after which a process is replaced; one that does not leave for it is "
     "killed by the kernel 1 second and shutdown-timeout later; 0: no limit."},
    {"cpu-priority", MW_OPT_INT, AT(cpu_priority), -20, 19, 0,
     "Scheduling priority of the processes, as with nice; a negative one needs httpd started as "
     "root; 0: httpd's."},
    {"memory-limit", MW_OPT_BYTES, AT(memory_limit), 0, INT64_C(1) << 50, 0,
     "Bytes of data, heap included, that a process may have (RLIMIT_DATA), beyond which Python "
     "raises MemoryError; 0: no limit."},
    {"virtual-memory-limit", MW_OPT_BYTES, AT(virtual_memory_limit), 0, INT64_C(1) << 50, 0,
     "Bytes of address space, libraries and stacks included, that a process may have (RLIMIT_AS); "
     "0: no limit."},
    {"listen-backlog", MW_OPT_INT, AT(listen_backlog), 0, INT32_MAX, -1,
     "Accepted, without effect: there is no socket that listens."},
    {"user", MW_OPT_STR, AT(user), 0, 0, 0,
     "User the processes run as, a name or #uid; httpd's User if not given. Needs httpd started as "
     "root."},
    {"group", MW_OPT_STR, AT(group), 0, 0, 0,
     "Primary group the processes run as, a name or #gid; httpd's Group if not given."},
    {"supplementary-groups", MW_OPT_STR, AT(supplementary_groups), 0, 0, 0,
     "Groups of the processes beside the primary one, names or #gid with ',' between them; those "
     "of the user if not given. Needs httpd started as root."},
    {"socket-user", MW_OPT_STR, AT(socket_user), 0, 0, 0,
     "Accepted, without effect: there is no socket file that could have an owner."},
    {"script-user", MW_OPT_STR, AT(script_user), 0, 0, 0,
     "User, a name or #uid, who must own the scripts; a script is refused with 403 if it is "
     "somebody else's, or if group or others may write to it or to its folder."},
    {"script-group", MW_OPT_STR, AT(script_group), 0, 0, 0,
     "Group, a name or #gid, that the scripts must have; a script is refused with 403 if it has "
     "another, or if others may write to it or to its folder."},
    {"home", MW_OPT_DIR, AT(home), 0, 0, 0,
     "Working directory of the processes, also the first entry of sys.path."},
    {"lang", MW_OPT_STR, AT(lang), 0, 0, 0, "Locale name put into the environment as LANG."},
    {"locale", MW_OPT_STR, AT(locale), 0, 0, 0,
     "Locale name put into the environment as LC_ALL and set with setlocale."},
    {"chroot", MW_OPT_DIR, AT(chroot), 0, 0, 0,
     "Directory that becomes the root of the processes before they give up root's rights."},
    {"python-home", MW_OPT_DIR, AT(python_home), 0, 0, 0,
     "Python installation or virtual environment; WSGIPythonHome if not given."},
    {"python-path", MW_OPT_STR, AT(python_path), 0, 0, 0,
     "Directories separated by ':' that are put before the standard module path, their .pth files "
     "included."},
    {"display-name", MW_OPT_STR, AT(display_name), 0, 0, 0,
     "Name of the processes in ps; %{GROUP} stands for (wsgi:NAME)."},
    {"python-eggs", MW_OPT_DIR, AT(py.eggs), 0, 0, 0,
     "Directory in which eggs are unpacked, put into the environment as PYTHON_EGG_CACHE."},
    {"switch-interval", MW_OPT_USECS, AT(py.switch_interval_us), 1, MW_PYOPTS_INTERVAL_MAX_US, 0,
     "Seconds a thread may keep the GIL while others want it, for sys.setswitchinterval."},
    {"env", MW_OPT_LINES, AT(env), 0, 0, 0,
     "KEY=VALUE, a variable of the environment of the processes; may be given many times."},
    {"env-file", MW_OPT_DIR, AT(env_file), 0, 0, 0,
     "File of such variables, a line each, read with httpd's rights when a process starts."},
};
const size_t mw_spec_nopts = MW_ARRAY_LEN(mw_spec_opts);

/* What httpd fills in. */
static const struct mw_opt filled[] = {
    {"uid", MW_OPT_INT, AT(uid), 0, ID_MAX, -1, ""},
    {"gid", MW_OPT_INT, AT(gid), 0, ID_MAX, -1, ""},
    {"user-name", MW_OPT_STR, AT(user_name), 0, 0, 0, ""},
    {"user-home", MW_OPT_STR, AT(user_home), 0, 0, 0, ""},
    {"runtime", MW_OPT_DIR, AT(runtime), 0, 0, 0, ""},
    {"server-root", MW_OPT_DIR, AT(server_root), 0, 0, 0, ""},
    {"server-banner", MW_OPT_STR, AT(server_banner), 0, 0, 0, ""},
    {"server-version", MW_OPT_INT, AT(server_version), 0, 0xffffff, 0, ""},
    {"server-built", MW_OPT_STR, AT(server_built), 0, 0, 0, ""},
    {"mpm-name", MW_OPT_STR, AT(mpm_name), 0, 0, 0, ""},
    {"mpm-threads", MW_OPT_INT, AT(mpm_threads), 0, INT32_MAX, 1, ""},
    {"mpm-processes", MW_OPT_INT, AT(mpm_processes), 0, INT32_MAX, 1, ""},
    {"log-level", MW_OPT_INT, AT(log_level), 0, 15, 4, ""},
};
static const size_t nfilled = MW_ARRAY_LEN(filled);

/* Every row, in the order of the encoding: its table, and where in a specification the structure is
 * that the table describes. */
static const struct {
    const struct mw_opt *rows;
    const size_t *nrows;
    size_t at;
} tables[] = {
    {mw_spec_opts, &mw_spec_nopts, 0},
    {filled, &nfilled, 0},
    {mw_pyopts_rows, &mw_pyopts_nrows, AT(py)},
};

static uint32_t count_rows(void)
{
    size_t n = 0;

    for (size_t i = 0; i < MW_ARRAY_LEN(tables); i++)
        n += *tables[i].nrows;
    return (uint32_t)n;
}

void mw_spec_defaults(struct mw_spec *s)
{
    for (size_t i = 0; i < MW_ARRAY_LEN(tables); i++)
        mw_opt_defaults(tables[i].rows, *tables[i].nrows, (char *)s + tables[i].at);
}

unsigned mw_spec_processes(const struct mw_spec *s)
{
    return s->processes > 0 ? (unsigned)s->processes : 1;
}

static int has_nul(struct mw_str s)
{
    return s.n && memchr(s.p, 0, s.n) != NULL;
}

static int encode_rows(struct mw_buf *b, const struct mw_opt *rows, size_t nrows, const void *base)
{
    for (const struct mw_opt *row = rows; row < rows + nrows; row++) {
        if (!mw_opt_valid(row, base))
            return MW_EINVAL;
        if (mw_opt_is_string(row))
            mw_buf_cstr(b, mw_opt_string(row, base));
        else
            mw_buf_u64(b, (uint64_t)mw_opt_number(row, base));
    }
    return 0;
}

int mw_spec_encode(struct mw_buf *b, const struct mw_spec *s)
{
    size_t from = mw_buf_size(b);

    if (s->npreload > MW_SPEC_LIST_MAX)
        return MW_ELIMIT;
    if (!s->name || !*s->name)
        return MW_EINVAL;
    mw_buf_u32(b, MAGIC);
    mw_buf_u32(b, count_rows());
    for (size_t i = 0; i < MW_ARRAY_LEN(tables); i++) {
        const char *base = (const char *)s + tables[i].at;
        if (encode_rows(b, tables[i].rows, *tables[i].nrows, base))
            return MW_EINVAL;
    }
    mw_buf_cstr(b, s->name);
    mw_buf_u32(b, s->npreload);
    for (uint32_t i = 0; i < s->npreload; i++) {
        if (has_nul(s->preload[i].script) || has_nul(s->preload[i].app_group) ||
            has_nul(s->preload[i].callable))
            return MW_EINVAL;
        mw_buf_str(b, s->preload[i].script);
        mw_buf_str(b, s->preload[i].app_group);
        mw_buf_str(b, s->preload[i].callable);
        mw_buf_u8(b, (uint8_t)((s->preload[i].explicit_group ? PRELOAD_EXPLICIT : 0) |
                               (s->preload[i].must ? PRELOAD_MUST : 0)));
    }
    if (b->err)
        return b->err;
    return mw_buf_size(b) - from > MW_SPEC_MAX ? MW_ELIMIT : 0;
}

/* MW_EINVAL: a value that its row does not allow. */
static int decode_rows(const struct mw_opt *rows, size_t nrows, void *base, struct mw_cur *c)
{
    int rv = 0;

    for (const struct mw_opt *row = rows; row < rows + nrows; row++) {
        if (mw_opt_is_string(row)) {
            struct mw_str s = mw_cur_str(c);
            mw_opt_put_string(row, base, s.n ? s.p : NULL);
        } else {
            mw_opt_put_number(row, base, (int64_t)mw_cur_u64(c));
        }
        if (!c->err && !mw_opt_valid(row, base))
            rv = MW_EINVAL;
    }
    return rv;
}

static int decode_tables(struct mw_spec *out, struct mw_cur *c)
{
    int rv = 0;

    for (size_t i = 0; i < MW_ARRAY_LEN(tables); i++) {
        char *base = (char *)out + tables[i].at;
        if (decode_rows(tables[i].rows, *tables[i].nrows, base, c))
            rv = MW_EINVAL;
    }
    return c->err ? c->err : rv;
}

static int decode_preload(struct mw_spec *out, struct mw_cur *c)
{
    uint32_t n = mw_cur_u32(c);

    if (c->err || n > MW_SPEC_LIST_MAX)
        return MW_EPROTO;
    if (n == 0)
        return 0;
    out->preload = calloc(n, sizeof *out->preload);
    if (!out->preload)
        return MW_ENOMEM;
    out->npreload = n;
    for (uint32_t i = 0; i < n; i++) {
        struct mw_preload *pl = &out->preload[i];
        pl->script = mw_cur_str(c);
        pl->app_group = mw_cur_str(c);
        pl->callable = mw_cur_str(c);
        uint8_t bits = mw_cur_u8(c);
        if (c->err || bits > (PRELOAD_EXPLICIT | PRELOAD_MUST))
            return MW_EPROTO;
        pl->explicit_group = (bits & PRELOAD_EXPLICIT) != 0;
        pl->must = (bits & PRELOAD_MUST) != 0;
    }
    return 0;
}

int mw_spec_decode(struct mw_spec *out, const void *p, size_t n)
{
    struct mw_cur c;
    int rv = MW_EPROTO;

    *out = (struct mw_spec){0};
    if (n > MW_SPEC_MAX)
        return MW_EPROTO;
    mw_cur_init(&c, p, n);
    if (mw_cur_u32(&c) != MAGIC || mw_cur_u32(&c) != count_rows())
        goto out;
    rv = decode_tables(out, &c);
    if (rv)
        goto out;
    out->name = mw_cur_str(&c).p;
    rv = *out->name ? decode_preload(out, &c) : MW_EPROTO;
    if (rv == 0)
        rv = mw_cur_end(&c);
out:
    if (rv)
        mw_spec_fini(out);
    return rv;
}

void mw_spec_fini(struct mw_spec *s)
{
    free(s->preload);
    *s = (struct mw_spec){0};
}
