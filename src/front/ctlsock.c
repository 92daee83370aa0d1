/*
 * ctlsock.c: see ctlsock.h.
 */
#include "ctlsock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>

#include "aplog.h"
#include "io.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define RETAINED_KEY "mod_wsgi-control-socket"
#define DEFAULT_NAME "wsgi.ctl.sock"
#define BACKLOG 16

/* Survives the module's own reload at a restart. */
struct made {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": none */
    dev_t dev; /* of the socket in the file system, so that nobody else's is removed */
    ino_t ino;
    pid_t owner;
};

static struct made *made(void)
{
    struct made *m = ap_retained_data_get(RETAINED_KEY);

    return m ? m : ap_retained_data_create(RETAINED_KEY, sizeof *m);
}

/* Whether the socket there is one that this process has made, for the configuration before. */
static int is_ours(const char *path, const struct stat *st)
{
    const struct made *m = made();

    return strcmp(m->path, path) == 0 && m->dev == st->st_dev && m->ino == st->st_ino;
}

static void remove_socket(const struct made *m)
{
    struct stat st;

    if (m->path[0] && lstat(m->path, &st) == 0 && is_ours(m->path, &st))
        unlink(m->path);
}

void mw_ctlsock_remove(void)
{
    struct made *m = made();

    if (m->owner == getpid())
        remove_socket(m);
    m->path[0] = '\0';
}

void mw_ctlsock_remove_orphan(void)
{
    const struct made *m = made();

    if (m->owner != getppid())
        remove_socket(m);
}

/* Whatever way httpd ends, also for a configuration that it cannot use after a restart. */
static apr_status_t on_exit_of_httpd(void *arg)
{
    (void)arg;
    if (made()->owner == getpid())
        mw_ctlsock_remove();
    return APR_SUCCESS;
}

/* Whether another httpd than this one listens there. */
static int is_in_use(const struct sockaddr_un *sa)
{
    struct ucred who = {.pid = 0};
    socklen_t n = sizeof who;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int used = 0;

    if (fd < 0)
        return 0;
    if (connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0)
        used = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.pid != getpid() &&
               (kill(who.pid, 0) == 0 || errno != ESRCH);
    else
        used = errno == EAGAIN; /* its queue is full */
    mw_io_close(&fd);
    return used;
}

/* NULL, or why the path cannot be used. */
static const char *look(apr_pool_t *p, const struct sockaddr_un *sa)
{
    struct stat st;

    if (lstat(sa->sun_path, &st))
        return errno == ENOENT ? NULL : apr_pstrdup(p, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return "there is a file of this name, which is no socket";
    if (is_ours(sa->sun_path, &st))
        return NULL;
    return is_in_use(sa) ? "another httpd listens there; name another path with WSGIControlSocket"
                         : NULL;
}

static int bind_private(int fd, const struct sockaddr_un *sa)
{
    mode_t before = umask(0177);
    int rv = bind(fd, (const struct sockaddr *)sa, sizeof *sa);
    int err = errno;

    umask(before);
    errno = err;
    return rv;
}

/* Make the socket beside its path, then give it the name. NULL, or why it cannot be done. */
static const char *make(apr_pool_t *p, const struct sockaddr_un *sa, int *fd_r)
{
    struct sockaddr_un new = {.sun_family = AF_UNIX};
    struct made *m = made();
    const char *why = NULL;
    struct stat st;

    if (apr_snprintf(new.sun_path, sizeof new.sun_path, "%s.%ld", sa->sun_path, (long)getpid()) >=
        (int)sizeof new.sun_path - 1)
        return "the path is too long for a socket";
    *fd_r = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd_r < 0)
        return apr_pstrdup(p, strerror(errno));
    unlink(new.sun_path);
    if (bind_private(*fd_r, &new) || listen(*fd_r, BACKLOG) || lstat(new.sun_path, &st) ||
        rename(new.sun_path, sa->sun_path)) {
        why = apr_pstrdup(p, strerror(errno));
        unlink(new.sun_path);
        mw_io_close(fd_r);
        return why;
    }
    m->dev = st.st_dev;
    m->ino = st.st_ino;
    m->owner = getpid();
    apr_cpystrn(m->path, sa->sun_path, sizeof m->path);
    return NULL;
}

static const char *path_of(apr_pool_t *p, const struct mw_config *config)
{
    if (config->control_socket.value)
        return config->control_socket.value;
    return ap_runtime_dir_relative(p, DEFAULT_NAME);
}

int mw_ctlsock_open(apr_pool_t *p, server_rec *s, const struct mw_config *config, int *fd_r)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const char *path = path_of(p, config), *why;

    *fd_r = -1;
    if (!path || strcmp(made()->path, path) != 0)
        mw_ctlsock_remove();
    if (config->no_control_socket)
        return 0;
    if (!path || strlen(path) >= sizeof sa.sun_path)
        why = "the path is too long for a socket";
    else {
        apr_cpystrn(sa.sun_path, path, sizeof sa.sun_path);
        why = look(p, &sa);
        if (!why)
            why = make(p, &sa, fd_r);
    }
    apr_pool_cleanup_kill(s->process->pool, NULL, on_exit_of_httpd);
    apr_pool_cleanup_register(s->process->pool, NULL, on_exit_of_httpd, apr_pool_cleanup_null);
    if (!why)
        return 0;
    if (config->control_socket.value) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "WSGI0782: WSGIControlSocket %s (%s) cannot be used: %s; httpd does not start",
                     path, config->control_socket.where, why);
        return MW_EIO;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "WSGI0783: the control socket %s cannot be used: %s; mod_wsgi-ctl will not reach "
                 "this server. WSGIControlSocket names another path, or Off",
                 path ? path : DEFAULT_NAME, why);
    return 0;
}
