/*
 * config.c: create, merge and complete the configuration records. directives.c fills them.
 *
 * All of it runs in the httpd parent while it reads its configuration, but for
 * mw_config_create_dir and mw_config_merge_dir, which any thread of a child calls for each request
 * that meets an .htaccess or a section; they touch nothing but their arguments.
 */
#include "config.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <unixd.h>

#include "env.h"
#include "identity.h"
#include "interpreter.h"
#include "owner.h"
#include "reach.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

/* The whole-server record hangs on the configuration pool, because a virtual host's record is
 * made before it is told of the main server. The pool is cleared before the configuration is read
 * anew. */
#define GLOBAL_KEY "mod_wsgi configuration"

static struct mw_config *global_of(apr_pool_t *p)
{
    void *data = NULL;
    struct mw_config *cfg;

    apr_pool_userdata_get(&data, GLOBAL_KEY, p);
    if (data)
        return data;
    cfg = apr_pcalloc(p, sizeof(*cfg));
    cfg->groups = apr_array_make(p, 8, sizeof(struct mw_group *));
    cfg->imports = apr_array_make(p, 8, sizeof(struct mw_import));
    cfg->remarks = apr_array_make(p, 4, sizeof(const char *));
    cfg->restrict_embedded = -1;
    mw_opt_defaults(mw_pyopts_rows, mw_pyopts_nrows, &cfg->py);
    apr_pool_userdata_setn(cfg, GLOBAL_KEY, NULL, p);
    return cfg;
}

void *mw_config_create_server(apr_pool_t *p, server_rec *s)
{
    struct mw_server_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)s;
    conf->global = global_of(p);
    conf->aliases = apr_array_make(p, 4, sizeof(struct mw_alias));
    return conf;
}

void *mw_config_merge_server(apr_pool_t *p, void *base, void *add)
{
    const struct mw_server_conf *main_conf = base;
    const struct mw_server_conf *virt = add;
    struct mw_server_conf *conf = apr_pcalloc(p, sizeof(*conf));

    conf->global = main_conf->global;
    conf->aliases = virt->aliases;
    conf->main = main_conf;
    return conf;
}

void *mw_config_create_dir(apr_pool_t *p, char *dir)
{
    struct mw_dir_conf *conf = apr_pcalloc(p, sizeof(*conf));

    (void)dir;
    conf->pass_authorization = MW_PASS_UNSET;
    conf->script_reloading = -1;
    conf->chunked_request = -1;
    conf->error_override = -1;
    conf->pass_apache_request = -1;
    conf->enable_sendfile = -1;
    conf->ignore_activity = -1;
    conf->request_timeout_ms = -1;
    conf->map_head = MW_MAP_UNSET;
    return conf;
}

static struct mw_setting merge_setting(struct mw_setting base, struct mw_setting add)
{
    return add.value ? add : base;
}

static int merge_flag(int base, int add)
{
    return add >= 0 ? add : base;
}

static const struct mw_handler_script *find_handler(const apr_array_header_t *list,
                                                    const char *name)
{
    for (int i = 0; list && i < list->nelts; i++) {
        const struct mw_handler_script *h = &APR_ARRAY_IDX(list, i, struct mw_handler_script);
        if (strcmp(h->handler, name) == 0)
            return h;
    }
    return NULL;
}

/* Those of add, and those of base that have another name. */
static apr_array_header_t *merge_handlers(apr_pool_t *p, apr_array_header_t *base,
                                          apr_array_header_t *add)
{
    apr_array_header_t *list;

    if (!base || !add)
        return add ? add : base;
    list = apr_array_copy(p, add);
    for (int i = 0; i < base->nelts; i++) {
        const struct mw_handler_script *h = &APR_ARRAY_IDX(base, i, struct mw_handler_script);
        if (!find_handler(add, h->handler))
            APR_ARRAY_PUSH(list, struct mw_handler_script) = *h;
    }
    return list;
}

const struct mw_handler_script *mw_config_handler(const struct mw_dir_conf *dir, const char *name)
{
    return find_handler(dir->handlers, name);
}

void *mw_config_merge_dir(apr_pool_t *p, void *base, void *add)
{
    const struct mw_dir_conf *b = base;
    const struct mw_dir_conf *a = add;
    struct mw_dir_conf *conf = apr_palloc(p, sizeof(*conf));

    conf->process_group = merge_setting(b->process_group, a->process_group);
    conf->application_group = merge_setting(b->application_group, a->application_group);
    conf->callable = merge_setting(b->callable, a->callable);
    conf->pass_authorization = merge_flag(b->pass_authorization, a->pass_authorization);
    conf->script_reloading = merge_flag(b->script_reloading, a->script_reloading);
    conf->chunked_request = merge_flag(b->chunked_request, a->chunked_request);
    conf->error_override = merge_flag(b->error_override, a->error_override);
    conf->pass_apache_request = merge_flag(b->pass_apache_request, a->pass_apache_request);
    conf->enable_sendfile = merge_flag(b->enable_sendfile, a->enable_sendfile);
    conf->ignore_activity = merge_flag(b->ignore_activity, a->ignore_activity);
    conf->request_timeout_ms = a->request_timeout_ms >= 0 ? a->request_timeout_ms
                                                          : b->request_timeout_ms;
    conf->map_head = merge_flag(b->map_head, a->map_head);
    conf->restrict_process = a->restrict_process ? a->restrict_process : b->restrict_process;
    conf->handlers = merge_handlers(p, b->handlers, a->handlers);
    conf->trusted_headers = a->trusted_headers ? a->trusted_headers : b->trusted_headers;
    conf->trusted_proxies = a->trusted_proxies ? a->trusted_proxies : b->trusted_proxies;
    return conf;
}

struct mw_server_conf *mw_config_server(server_rec *s)
{
    return ap_get_module_config(s->module_config, &wsgi_module);
}

struct mw_dir_conf *mw_config_dir(request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &wsgi_module);
}

struct mw_config *mw_config_global(server_rec *s)
{
    return mw_config_server(s)->global;
}

const struct mw_group *mw_config_group(const struct mw_config *cfg, const char *name)
{
    for (int i = 0; i < cfg->groups->nelts; i++) {
        const struct mw_group *g = APR_ARRAY_IDX(cfg->groups, i, struct mw_group *);
        if (strcmp(g->spec.name, name) == 0)
            return g;
    }
    return NULL;
}

int mw_config_reachable(const struct mw_group *g, const server_rec *s)
{
    if (!g->server->is_virtual || g->server == s)
        return 1;
    return g->server->server_hostname && s->server_hostname &&
           ap_cstr_casecmp(g->server->server_hostname, s->server_hostname) == 0;
}

/* One complaint about a group. Returns 0, so that a check can end with it. */
static int refuse(const struct mw_group *g, const char *id, const char *why)
{
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, g->server,
                 "%s: WSGIDaemonProcess %s (%s): %s; httpd does not start", id, g->spec.name,
                 g->where, why);
    return 0;
}

static int testing_config(void)
{
    return ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
}

/* httpd is root: the group becomes its user= and group=, or httpd's own User and Group. */
static int identify_root(struct mw_group *g, apr_pool_t *p)
{
    struct mw_spec *spec = &g->spec;
    struct mw_identity id = {0};
    const char *why = NULL;

    spec->gid = (int64_t)ap_unixd_config.group_id;
    if (spec->user)
        why = mw_identity_user(p, spec->user, &id);
    else if (!mw_identity_of(p, (int64_t)ap_unixd_config.user_id, &id))
        why = apr_psprintf(p,
                           "httpd's User %lu has no entry in the user database; name a user with "
                           "user=",
                           (unsigned long)ap_unixd_config.user_id);
    if (!why && spec->group)
        why = mw_identity_group(p, spec->group, &spec->gid);
    if (!why && spec->supplementary_groups)
        why = mw_identity_groups(p, spec->supplementary_groups, &spec->supplementary_groups);
    if (!why && id.uid == 0)
        why = "WSGI process blocked from running as root. Name another user with user=";
    if (why)
        return refuse(g, "WSGI0602", why);
    spec->uid = id.uid;
    spec->user_name = id.name;
    spec->user_home = id.home;
    return 1;
}

/* What the options ask for that only root can give, or NULL. */
static const char *beyond_this_user(const struct mw_spec *spec, apr_pool_t *p)
{
    struct mw_identity wanted = {.uid = (int64_t)geteuid()};
    int64_t gid = (int64_t)getegid();
    const char *why = NULL;

    if (spec->user)
        why = mw_identity_user(p, spec->user, &wanted);
    if (!why && spec->group)
        why = mw_identity_group(p, spec->group, &gid);
    if (why)
        return why;
    if (wanted.uid != (int64_t)geteuid())
        return apr_psprintf(p, "user=%s", spec->user);
    if (gid != (int64_t)getegid())
        return apr_psprintf(p, "group=%s", spec->group);
    if (spec->supplementary_groups)
        return apr_psprintf(p, "supplementary-groups=%s", spec->supplementary_groups);
    if (spec->chroot)
        return apr_psprintf(p, "chroot=%s", spec->chroot);
    if (spec->cpu_priority < 0)
        return apr_psprintf(p, "cpu-priority=%" APR_INT64_T_FMT, spec->cpu_priority);
    return NULL;
}

/* Only root raises what it was given itself. */
static const char *beyond_limits(const struct mw_spec *spec, apr_pool_t *p)
{
    const struct {
        const char *option;
        int resource;
        int64_t wanted;
    } rows[] = {{"cpu-time-limit", RLIMIT_CPU, spec->cpu_time_limit_ms / 1000},
                {"memory-limit", RLIMIT_DATA, spec->memory_limit},
                {"virtual-memory-limit", RLIMIT_AS, spec->virtual_memory_limit}};
    struct rlimit have;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        if (rows[i].wanted <= 0 || getrlimit(rows[i].resource, &have) ||
            have.rlim_max == RLIM_INFINITY || (rlim_t)rows[i].wanted <= have.rlim_max)
            continue;
        return apr_psprintf(p, "%s=%" APR_INT64_T_FMT " (httpd itself has a hard limit of %lu)",
                            rows[i].option, rows[i].wanted, (unsigned long)have.rlim_max);
    }
    return NULL;
}

/* httpd is not root: who it is, is who its workers are; wanting anybody else cannot be met. */
static int identify_plain(struct mw_group *g, apr_pool_t *p)
{
    struct mw_spec *spec = &g->spec;
    const char *what = beyond_this_user(spec, p);
    struct mw_identity id;

    if (mw_identity_of(p, (int64_t)geteuid(), &id)) {
        spec->user_name = id.name;
        spec->user_home = id.home;
    }
    if (!what)
        what = beyond_limits(spec, p);
    if (!what)
        return 1;
    if (testing_config()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, g->server,
                     "WSGI0603: WSGIDaemonProcess %s (%s): %s cannot be had where httpd is not "
                     "started as root; a start by this user (%lu:%lu) will fail",
                     spec->name, g->where, what, (unsigned long)geteuid(),
                     (unsigned long)getegid());
        return 1;
    }
    return refuse(g, "WSGI0603",
                  apr_psprintf(p,
                               "%s cannot be had, because httpd was not started as root but as "
                               "%lu:%lu; start it as root, or drop the option",
                               what, (unsigned long)geteuid(), (unsigned long)getegid()));
}

/* A path as the worker will see it after its chroot, as httpd sees it now. */
static const char *outside(const struct mw_spec *spec, apr_pool_t *p, const char *path)
{
    return spec->chroot && path ? apr_pstrcat(p, spec->chroot, path, NULL) : path;
}

/* A folder that is certainly not there. One that httpd may not look at, on a file server that
 * does not trust its root, may still be there for the worker, which will say so if not. */
static int is_missing_dir(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0)
        return !S_ISDIR(st.st_mode);
    return APR_STATUS_IS_ENOENT(APR_FROM_OS_ERROR(errno)) ||
           APR_STATUS_IS_ENOTDIR(APR_FROM_OS_ERROR(errno));
}

static int check_dirs(const struct mw_group *g, apr_pool_t *p)
{
    const struct mw_spec *spec = &g->spec;

    if (spec->chroot && is_missing_dir(spec->chroot))
        return refuse(g, "WSGI0604", apr_psprintf(p, "chroot=%s is not a directory", spec->chroot));
    if (spec->home && is_missing_dir(outside(spec, p, spec->home)))
        return refuse(g, "WSGI0604",
                      apr_psprintf(p, "home=%s is not a directory%s", spec->home,
                                   spec->chroot ? " inside the chroot" : ""));
    return 1;
}

static int find_runtime(struct mw_group *g, const struct mw_config *cfg, apr_pool_t *p)
{
    struct mw_spec *spec = &g->spec;
    const char *why = NULL;
    const char *from = "";

    if (!spec->python_home && cfg->python_home.value) {
        spec->python_home = cfg->python_home.value;
        from = apr_psprintf(p, " (WSGIPythonHome at %s)", cfg->python_home.where);
    }
    spec->runtime = mw_config_runtime(p, spec->chroot ? spec->chroot : "", spec->python_home, &why);
    if (!spec->runtime)
        return refuse(g, "WSGI0605", apr_pstrcat(p, why, from, NULL));
    return 1;
}

static int is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Workers must get at their Python, and at their environment's packages. */
static int check_reach(const struct mw_group *g, apr_pool_t *p)
{
    const struct mw_spec *spec = &g->spec;
    const struct mw_reach who = {spec->uid, spec->gid, spec->user_name, spec->chroot};
    const char *why;

    if (!spec->python_home)
        return 1;
    why = mw_reach_check(
        p, &who, mw_config_home_files(p, spec->chroot ? spec->chroot : "", spec->python_home));
    return why ? refuse(g, "WSGI0608",
                        apr_psprintf(p, "the Python home '%s': %s", spec->python_home, why))
               : 1;
}

/* A worker reads the file when it starts, and says then what is wrong. A test says it earlier. */
static int check_env_file(const struct mw_group *g)
{
    char why[1024];
    int unsure = geteuid() != 0; /* httpd's parent may be somebody else */

    if (!g->spec.env_file || !testing_config() ||
        mw_env_file(g->spec.env_file, NULL, NULL, why, sizeof(why)) == 0)
        return 1;
    ap_log_error(APLOG_MARK, unsure ? APLOG_WARNING : APLOG_ERR, 0, g->server,
                 "WSGI0609: WSGIDaemonProcess %s (%s): env-file=: %s; the group's processes would "
                 "not start",
                 g->spec.name, g->where, why);
    return unsure;
}

/* What would be refused for a request is not imported ahead of it either. */
static int may_preload(const struct mw_group *g, const struct mw_import *im, apr_pool_t *p)
{
    struct mw_owner_verdict v = mw_owner_check(p, g, im->script);

    if (v.id)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, im->server,
                     "%s: %s: %s is not imported into the process group '%s' (%s): %s", v.id,
                     im->where, im->script, g->spec.name, g->where, v.why);
    return v.id == NULL;
}

static int add_preload(struct mw_group *g, apr_array_header_t *list, const struct mw_import *im,
                       apr_pool_t *p)
{
    struct mw_preload *pre;

    if (!mw_config_reachable(g, im->server)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, im->server,
            "WSGI0606: %s: WSGI process group not accessible. Group '%s' was defined at %s in a "
            "virtual host with another ServerName, to which it belongs; define it outside of "
            "virtual hosts to share it; httpd does not start",
            im->where, g->spec.name, g->where);
        return 0;
    }
    if (im->from_alias && g->spec.threads == 0)
        return 1; /* it is no program */
    if (im->from_alias && is_directory(outside(&g->spec, p, im->script)))
        return 1; /* the URL selects the script, nothing can be imported ahead */
    if (!may_preload(g, im, p))
        return 1;
    if ((uint32_t)list->nelts >= MW_SPEC_LIST_MAX)
        return refuse(
            g, "WSGI0607",
            apr_psprintf(p, "more than %u scripts to import at the start", MW_SPEC_LIST_MAX));
    pre = apr_array_push(list);
    pre->script.p = im->script;
    pre->script.n = strlen(im->script);
    pre->app_group.p = im->application_group;
    pre->app_group.n = strlen(im->application_group);
    pre->explicit_group = 1;
    pre->callable = MW_STR("");
    return 1;
}

/* The imports of this group, in the order of the configuration. */
static int list_preloads(struct mw_group *g, const struct mw_config *cfg, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 4, sizeof(struct mw_preload));

    for (int i = 0; i < cfg->imports->nelts; i++) {
        const struct mw_import *im = &APR_ARRAY_IDX(cfg->imports, i, struct mw_import);
        if (strcmp(im->process_group, g->spec.name) == 0 && !add_preload(g, list, im, p))
            return 0;
    }
    if (g->spec.threads == 0 && list->nelts == 0)
        return refuse(g, "WSGI0766",
                      "threads=0 makes it a service, which runs the scripts that WSGIImportScript "
                      "names for it, and there is none");
    g->spec.preload = (struct mw_preload *)list->elts;
    g->spec.npreload = (uint32_t)list->nelts;
    return 1;
}

static int finish_group(struct mw_group *g, const struct mw_config *cfg, apr_pool_t *p,
                        server_rec *s)
{
    g->spec.server_root = ap_server_root;
    mw_interpreter_inherit(&g->spec.py, &cfg->py);
    g->spec.log_level = ap_get_server_module_loglevel(s, APLOG_MODULE_INDEX);
    return (geteuid() == 0 ? identify_root(g, p) : identify_plain(g, p)) && check_dirs(g, p) &&
           find_runtime(g, cfg, p) && check_reach(g, p) && check_env_file(g) &&
           list_preloads(g, cfg, p);
}

static int check_python_home(const struct mw_config *cfg, apr_pool_t *p, server_rec *s)
{
    const char *why;

    if (!cfg->python_home.value || mw_config_runtime(p, "", cfg->python_home.value, &why))
        return 1;
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                 "WSGI0605: WSGIPythonHome (%s): %s; httpd does not start", cfg->python_home.where,
                 why);
    return 0;
}

/* It may be meant for groups alone, whose users were asked already. */
static void warn_of_reach(const struct mw_config *cfg, apr_pool_t *p, server_rec *s)
{
    struct mw_reach who = {-1, -1, NULL, NULL};
    struct mw_identity id;
    const char *why;

    if (!cfg->python_home.value || cfg->restrict_embedded == 1)
        return;
    if (geteuid() == 0 && mw_identity_of(p, (int64_t)ap_unixd_config.user_id, &id))
        who = (struct mw_reach){id.uid, (int64_t)ap_unixd_config.group_id, id.name, NULL};
    why = mw_reach_check(p, &who, mw_config_home_files(p, "", cfg->python_home.value));
    if (why)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0608: WSGIPythonHome (%s): %s; embedded requests would get 500",
                     cfg->python_home.where, why);
}

/* Under WSGIRestrictEmbedded On, what only an alias asked to preload does not start embedded
 * Python. */
static void drop_embedded_preloads(struct mw_config *cfg, apr_pool_t *p)
{
    apr_array_header_t *kept = apr_array_make(p, cfg->imports->nelts, sizeof(struct mw_import));

    for (int i = 0; i < cfg->imports->nelts; i++) {
        const struct mw_import *im = &APR_ARRAY_IDX(cfg->imports, i, struct mw_import);
        if (*im->process_group || !im->from_alias)
            APR_ARRAY_PUSH(kept, struct mw_import) = *im;
    }
    cfg->imports = kept;
}

int mw_config_finish(struct mw_config *cfg, apr_pool_t *p, server_rec *s)
{
    int ok = 1;

    if (cfg->finished)
        return OK;
    for (int i = 0; i < cfg->remarks->nelts; i++)
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "WSGI0600: %s",
                     APR_ARRAY_IDX(cfg->remarks, i, const char *));
    if (!check_python_home(cfg, p, s))
        return HTTP_INTERNAL_SERVER_ERROR; /* groups would only repeat it */
    warn_of_reach(cfg, p, s);
    /* Every group is looked at, so that one start shows all that is wrong. */
    for (int i = 0; i < cfg->groups->nelts; i++)
        ok = finish_group(APR_ARRAY_IDX(cfg->groups, i, struct mw_group *), cfg, p, s) && ok;
    if (cfg->restrict_embedded == 1)
        drop_embedded_preloads(cfg, p);
    cfg->finished = ok;
    return ok ? OK : HTTP_INTERNAL_SERVER_ERROR;
}
