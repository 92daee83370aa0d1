/*
 * rig.c: loads the plugin and makes requests.
 */
#include "rig.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[1 << 20];
static size_t log_n;

const struct mw_py_runtime *rig_runtime(void)
{
    static const struct mw_py_runtime *py;

    if (py)
        return py;
    const char *path = getenv("MW_RUNTIME");
    void *so = path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
    py = so ? dlsym(so, MW_PY_SYMBOL) : NULL;
    if (!py) {
        fprintf(stderr, "MW_RUNTIME must name a wsgi-python-X.Y.so: %s\n",
                path ? dlerror() : "it is not set");
        exit(2);
    }
    return py;
}

static void keep_line(void *ctx, int level, const char *line, size_t n)
{
    (void)ctx;
    pthread_mutex_lock(&log_lock);
    int k = snprintf(log_text + log_n, sizeof log_text - log_n, "%d %.*s\n", level, (int)n, line);
    if (k > 0 && (size_t)k < sizeof log_text - log_n)
        log_n += (size_t)k;
    pthread_mutex_unlock(&log_lock);
}

const char *rig_log(void)
{
    return log_text;
}

void rig_log_clear(void)
{
    pthread_mutex_lock(&log_lock);
    log_n = 0;
    log_text[0] = 0;
    pthread_mutex_unlock(&log_lock);
}

struct mw_py_config rig_config(void)
{
    struct mw_py_config cfg = {
        .process_group = "",
        .threads = 7,
        .processes = 3,
        .server_version = {2, 4, 57},
        .server_banner = "Apache/2.4.57 (Test)",
        .server_built = "2024-01-01T00:00:00",
        .mpm_name = "event",
        .mpm_threads = 25,
        .mpm_processes = 4,
        .log = keep_line,
    };

    mw_opt_defaults(mw_pyopts_rows, mw_pyopts_nrows, &cfg.opts);
    return cfg;
}

const char *rig_app(const char *name)
{
    static _Thread_local char buffer[8][1024];
    static _Thread_local unsigned next;
    char *path = buffer[next++ % 8];
    const char *top = getenv("MW_SRCDIR");

    snprintf(path, sizeof buffer[0], "%s/tests/engine/apps/%s", top ? top : MW_SRCDIR, name);
    return path;
}

void rig_request(struct chan_mem *m, const char *script, const char *callable)
{
    static const char *const pairs[][2] = {
        {"REQUEST_METHOD", "GET"},
        {"SCRIPT_NAME", ""},
        {"PATH_INFO", "/"},
        {"QUERY_STRING", ""},
        {"SERVER_PROTOCOL", "HTTP/1.1"},
        {"SERVER_NAME", "localhost"},
        {"SERVER_PORT", "80"},
        {"REMOTE_ADDR", "127.0.0.1"},
        {"HTTP_HOST", "localhost"},
        {"DOCUMENT_ROOT", "/var/www"},
    };

    chan_mem_init(m);
    m->head.script = (struct mw_str){script, strlen(script)};
    m->head.callable = (struct mw_str){callable, strlen(callable)};
    m->head.start_us = 1500000;
    for (size_t i = 0; i < MW_ARRAY_LEN(pairs); i++)
        chan_mem_pair(m, pairs[i][0], pairs[i][1]);
}

void rig_serve(struct chan_mem *m, const char *script, const char *callable)
{
    rig_request(m, script, callable);
    chan_mem_open(m);
    rig_runtime()->serve(&m->chan);
}
