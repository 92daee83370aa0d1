/*
 * spec.h: a daemon group's specification: what WSGIDaemonProcess said, completed by httpd (uid,
 * gid, runtime), and its encoding on the way to an executed worker. Immutable once built.
 */
#ifndef MW_SPEC_H
#define MW_SPEC_H

#include "buf.h"
#include "opt.h"
#include "pyopts.h"

#define MW_SPEC_MAX (1u << 20) /* bytes of an encoded specification */
#define MW_SPEC_LIST_MAX 4096u /* entries of a list */

#define MW_BUFFERING_AUTO MW_OPT_AUTO /* the whole body, whatever its size */
#define MW_BUFFERING_OFF 0
#define MW_RESPONSE_BUFFER (1 << 20)

/* A script to import before the worker is ready (WSGIScriptAlias with both groups). */
struct mw_preload {
    struct mw_str script;
    struct mw_str app_group;
    int explicit_group;
    struct mw_str callable; /* it must have one of that name; "": not looked at */
    int must; /* without it the worker is not ready: it would replace one that has it */
};

struct mw_spec {
    const char *name;

    /* Options of WSGIDaemonProcess: one row of mw_spec_opts each. */
    int64_t processes; /* 0: not given, 1 process, wsgi.multiprocess false */
    int64_t threads;
    int64_t umask;                    /* -1: inherit */
    int64_t stack_size;               /* bytes; 0: the platform's */
    int64_t queue_timeout_ms;         /* 0: socket timeout */
    int64_t socket_timeout_ms;        /* 0: httpd's Timeout */
    int64_t startup_timeout_ms;       /* supervisor's limit for READY */
    int64_t request_timeout_ms;       /* of requests without a WSGIRequestTimeout; 0: none */
    int64_t interrupt_timeout_ms;     /* from there to when it is given up; 0: worker's own */
    int64_t inactivity_timeout_ms;    /* 0: none, as the next */
    int64_t deadlock_timeout_ms;      /* without the GIL */
    int64_t graceful_timeout_ms;      /* drain */
    int64_t eviction_timeout_ms;      /* drain after SIGUSR1; 0: as graceful */
    int64_t shutdown_timeout_ms;      /* after the drain: atexit and threads */
    int64_t maximum_requests;         /* spread.h; 0: no limit */
    int64_t restart_interval_ms;      /* spread.h; 0: no limit */
    int64_t memory_soft;              /* bytes resident; 0: no limit */
    int64_t memory_hard;              /* likewise */
    int64_t cpu_time_limit_ms;        /* whole seconds; 0: none */
    int64_t cpu_priority;             /* as setpriority(2) has it; 0: httpd's */
    int64_t memory_limit;             /* bytes of RLIMIT_DATA; 0: none */
    int64_t virtual_memory_limit;     /* bytes of RLIMIT_AS; 0: none */
    int64_t listen_backlog;           /* accepted, without effect; -1: not given */
    const char *user;                 /* name or #uid; NULL: httpd's User */
    const char *group;                /* name or #gid; NULL: httpd's Group */
    const char *supplementary_groups; /* "#gid,#gid" once httpd has looked them up */
    const char *socket_user;          /* accepted, without effect */
    const char *script_user;          /* name or #uid; httpd sees to it, as to the next */
    const char *script_group;
    const char *home;
    const char *lang;
    const char *locale;
    const char *chroot;
    const char *python_home;
    const char *python_path;  /* ':'-separated */
    const char *display_name; /* %{GROUP} already expanded */
    const char *env;          /* KEY=VALUE, '\n' between them; may hold secrets: never logged */
    const char *env_file;     /* of such lines, read by the worker while it has httpd's rights */

    /* Of the way to a thread. */
    int64_t queue_max;                  /* requests that wait for a thread; 0: any number */
    int64_t connect_timeout_ms;         /* until a new connection is with its worker */
    int64_t connection_idle_timeout_ms; /* 0: kept for ever */

    /* Of the way between httpd and client. */
    int64_t request_buffering; /* bytes of a body that are read before a thread is claimed, or: */
    int64_t response_socket_timeout_ms; /* 0: socket timeout */
    int64_t response_buffer_size;       /* bytes of an answer in memory; 0: MW_RESPONSE_BUFFER */
    int64_t response_spool_size;        /* bytes beyond that in a file; 0: none */
    int64_t response_flush_delay_ms;    /* between two flushes of a stream */

    /* Of the sockets between httpd and the processes; bytes, 0: not given. */
    int64_t send_buffer_size;
    int64_t receive_buffer_size;
    int64_t header_buffer_size; /* of one line, which is httpd's to check */

    /* Of the interpreter: two options, and what the directives said. */
    struct mw_pyopts py;

    /* Filled in by httpd. */
    int64_t uid, gid;          /* -1: httpd is not root, identity stays */
    const char *user_name;     /* of uid, for initgroups */
    const char *user_home;     /* of uid */
    const char *runtime;       /* path of wsgi-python-X.Y.so */
    const char *server_root;   /* ServerRoot */
    const char *server_banner; /* as ServerTokens has it, for apache.description */
    int64_t server_version;    /* of httpd: major << 16 | minor << 8 | patch */
    const char *server_built;  /* when httpd was built, for apache.build_date */
    const char *mpm_name;      /* httpd's, as are its limits */
    int64_t mpm_threads, mpm_processes;
    int64_t log_level;          /* of the `wsgi` module at the main server */
    struct mw_preload *preload; /* npreload of them */
    uint32_t npreload;
};

/* The rows of the options. spec.c has more, for what httpd fills in, and pyopts.h has some; the codec
 * walks them all. */
extern const struct mw_opt mw_spec_opts[];
extern const size_t mw_spec_nopts;

/* Every field that a row describes gets its default. */
void mw_spec_defaults(struct mw_spec *s);

/* Number of processes that are really started: at least 1. */
unsigned mw_spec_processes(const struct mw_spec *s);

/* Appends to b. MW_EINVAL: no name, or a value that a row does not allow; MW_ELIMIT, MW_ENOMEM. */
MW_MUST_CHECK int mw_spec_encode(struct mw_buf *b, const struct mw_spec *s);

/* Strings borrow p; the preload list is allocated, mw_spec_fini frees it. MW_EPROTO, MW_ENOMEM;
 * MW_EINVAL: a value is out of its row's range. */
MW_MUST_CHECK int mw_spec_decode(struct mw_spec *out, const void *p, size_t n);
void mw_spec_fini(struct mw_spec *s);

#endif
