/*
 * life.c: what httpd calls at configuration, child start and child exit.
 */
#include "life.h"

#include <sys/resource.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <ap_mpm.h>
#include <ap_release.h>
#include <http_core.h>
#include <http_log.h>

#include "aplog.h"
#include "config.h"
#include "ctlsock.h"
#include "embed.h"
#include "endpoint.h"
#include "front.h"
#include "generation.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define IDLE_CONNECTIONS_MAX 64u     /* per worker and child */
#define IDLE_CONNECTIONS_TOTAL 4096u /* per child */

/* Why file scope: httpd's hooks have no argument for it. Set once per httpd child before its first
 * request, in the parent once per configuration. */
static struct mw_front *front;
static struct mw_generation *generation;

const struct mw_front *mw_front(void)
{
    return front;
}

int mw_life_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    return mw_config_finish(mw_config_global(s), pconf, s);
}

/* For the `apache` module in workers. Not before post_config, when the modules' names are in the banner. */
static void describe_server(const struct mw_config *config)
{
    int threads = 1, processes = 1;
    ap_version_t v;

    ap_get_server_revision(&v);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &processes);
    for (int i = 0; i < config->groups->nelts; i++) {
        struct mw_spec *spec = &((struct mw_group **)config->groups->elts)[i]->spec;

        spec->server_banner = ap_get_server_banner();
        spec->server_version = v.major << 16 | v.minor << 8 | v.patch;
        spec->server_built = ap_get_server_built();
        spec->mpm_name = ap_show_mpm();
        spec->mpm_threads = threads;
        spec->mpm_processes = processes;
    }
}

int mw_life_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const struct mw_config *config = mw_config_global(s);

    (void)plog;
    (void)ptemp;
    generation = NULL;
    mw_aplog_install(s);
    mw_generation_monitor(); /* one may have died while the configuration was read */
    ap_add_version_component(pconf, "mod_wsgi/" MW_VERSION);
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    if (config->groups->nelts == 0) {
        mw_ctlsock_remove();
        return OK;
    }
    describe_server(config);
    generation = mw_generation_create(pconf, s, config);
    return generation ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* Connections that wait for a request take at most a quarter of the descriptors that this child may have:
 * clients and files need them too. */
static unsigned idle_max(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 4 * IDLE_CONNECTIONS_TOTAL)
        return IDLE_CONNECTIONS_TOTAL;
    return (unsigned)limit.rlim_cur / 4;
}

static int make_endpoints(apr_pool_t *p, struct mw_front *f, server_rec *s)
{
    unsigned n = generation ? mw_generation_groups(generation) : 0;
    int handover_fd = n > 0 ? mw_generation_enter_child(generation) : -1;
    struct mw_idle *idle = apr_pcalloc(p, sizeof *idle);

    idle->max = idle_max();
    f->endpoints = apr_pcalloc(p, (n + 1) * sizeof *f->endpoints);
    for (unsigned i = 0; i < n; i++) {
        const struct mw_spec *spec = &((struct mw_group **)f->config->groups->elts)[i]->spec;
        struct mw_endpoint_config cfg = {
            .board = mw_generation_board(generation, i),
            .group = i,
            .handover_fd = handover_fd,
            .timeout_ms = spec->socket_timeout_ms ? spec->socket_timeout_ms
                                                  : (int64_t)apr_time_as_msec(s->timeout),
            .idle = idle,
            .connect_ms = spec->connect_timeout_ms,
            .idle_ms = spec->connection_idle_timeout_ms,
            .pool_max = IDLE_CONNECTIONS_MAX,
            .send_buffer = spec->send_buffer_size,
            .receive_buffer = spec->receive_buffer_size,
        };
        int rv = mw_board_join(cfg.board, f->pid);

        if (rv == 0)
            rv = mw_endpoint_create(&f->endpoints[i], &cfg);
        if (rv)
            return rv;
    }
    return 0;
}

void mw_life_child_init(apr_pool_t *pchild, server_rec *s)
{
    struct mw_front *f = apr_pcalloc(pchild, sizeof *f);
    int rv;

    f->server = s;
    f->pid = getpid();
    f->config = mw_config_global(s);
    if (apr_temp_dir_get(&f->temp_dir, pchild) != APR_SUCCESS)
        f->temp_dir = "/tmp";
    mw_generation_leave_others(generation);
    f->embed = mw_embed_create(pchild, s, f->config);
    rv = make_endpoints(pchild, f, s);
    if (rv) {
        ap_log_error(
            APLOG_MARK, APLOG_CRIT, 0, s,
            "WSGI0002: this httpd child cannot join the daemon groups: %s; its WSGI requests "
            "get 500",
            mw_err_text(rv));
        return;
    }
    front = f;
    if (mw_embed_wanted(f->config))
        (void)mw_embed_runtime(f->embed);
}

/* httpd is about to wait for its threads; those that wait for a worker are told not to. A child with one
 * thread ends here and now: this may be a signal handler on top of it, which may hold any lock. */
void mw_life_child_stopping(apr_pool_t *pchild, int graceful)
{
    int threads = 0;

    (void)pchild;
    ap_mpm_query(AP_MPMQ_IS_THREADED, &threads);
    if (!front || graceful || !threads)
        return;
    for (int i = 0; i < front->config->groups->nelts; i++)
        mw_endpoint_stop(front->endpoints[i]);
}

void mw_life_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                          mpm_child_status state)
{
    (void)s;
    (void)gen;
    (void)slot;
    /* A child that lost its slot in the scoreboard still finishes its requests. */
    if (state == MPM_CHILD_EXITED)
        mw_generation_settle(pid);
}

int mw_life_monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    mw_generation_monitor();
    return OK;
}
