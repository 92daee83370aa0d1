/*
 * resolve.c: which script answers a request, and where it runs. Called by any thread of an httpd
 * child; reads the configuration, allocates from the request's pool, changes only the request.
 */
#include "resolve.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <util_script.h>

#include "owner.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

/* The marks of an alias. The first is what ScriptAlias leaves as well; the second holds the
 * alias's own url_path, and because notes keep the pointer, also where internal redirects merge
 * them, the pointer finds the alias again. Notes cannot be set by a client or an .htaccess. */
#define NOTE_TYPE "alias-forced-type"
#define NOTE_ALIAS "mod_wsgi-alias"

/* Bytes of uri that the alias matches, as Alias of httpd does it: one or more slashes match one or
 * more, and the match ends where a segment ends. 0: none. */
static size_t match_prefix(const char *uri, const char *alias)
{
    const char *u = uri, *a = alias;

    while (*a) {
        if (*a != *u)
            return 0;
        if (*a != '/') {
            a++;
            u++;
            continue;
        }
        a += strspn(a, "/");
        u += strspn(u, "/");
    }
    if (a == alias || (a[-1] != '/' && *u && *u != '/'))
        return 0;
    return (size_t)(u - uri);
}

/* The file name for the request if this alias matches; NULL if not. *rv: an HTTP status on
 * failure. */
static char *match_regexp(request_rec *r, const struct mw_alias *a, int *rv)
{
    ap_regmatch_t m[AP_MAX_REG_MATCH];
    const char *target;

    if (ap_regexec(a->regexp, r->uri, AP_MAX_REG_MATCH, m, 0) != 0)
        return NULL;
    target = ap_pregsub(r->pool, a->target, r->uri, AP_MAX_REG_MATCH, m);
    if (!target) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0610: WSGIScriptAliasMatch %s: the target %s became too long; 500",
                      a->url_path, a->target);
        *rv = HTTP_INTERNAL_SERVER_ERROR;
        return NULL;
    }
    return apr_pstrcat(r->pool, target, r->uri + m[0].rm_eo, NULL);
}

static char *match_alias(request_rec *r, const struct mw_alias *a, int *rv)
{
    size_t n;

    if (a->regexp)
        return match_regexp(r, a, rv);
    n = match_prefix(r->uri, a->url_path);
    if (!n)
        return NULL;
    if (strcmp(a->url_path, "/") == 0)
        n = 0; /* the script is followed by the whole path */
    return apr_pstrcat(r->pool, a->target, r->uri + n, NULL);
}

static int map_by(request_rec *r, const apr_array_header_t *aliases)
{
    for (int i = 0; i < aliases->nelts; i++) {
        const struct mw_alias *a = &APR_ARRAY_IDX(aliases, i, struct mw_alias);
        int rv = DECLINED;
        char *filename = match_alias(r, a, &rv);
        if (rv != DECLINED)
            return rv;
        if (!filename)
            continue;
        r->filename = filename;
        r->handler = MW_HANDLER_NAME;
        apr_table_setn(r->notes, NOTE_TYPE, r->handler);
        apr_table_setn(r->notes, NOTE_ALIAS, a->url_path);
        return OK;
    }
    return DECLINED;
}

int mw_resolve_alias(request_rec *r)
{
    const struct mw_server_conf *conf = mw_config_server(r->server);
    int rv;

    if (r->uri[0] != '/')
        return DECLINED;
    rv = map_by(r, conf->aliases);
    if (rv == DECLINED && conf->main)
        rv = map_by(r, conf->main->aliases);
    return rv;
}

static const struct mw_alias *find_marked(const apr_array_header_t *aliases, const char *mark)
{
    for (int i = 0; i < aliases->nelts; i++) {
        const struct mw_alias *a = &APR_ARRAY_IDX(aliases, i, struct mw_alias);
        if (a->url_path == mark)
            return a;
    }
    return NULL;
}

/* The alias that mapped the request; one that sets nothing if there was none. */
static const struct mw_alias *alias_of(request_rec *r)
{
    static const struct mw_alias none = {.pass_authorization = MW_PASS_UNSET};
    const char *mark = apr_table_get(r->notes, NOTE_ALIAS);
    const struct mw_server_conf *conf;
    const struct mw_alias *a;

    if (!mark)
        return &none;
    conf = mw_config_server(r->server);
    a = find_marked(conf->aliases, mark);
    if (!a && conf->main)
        a = find_marked(conf->main->aliases, mark);
    return a ? a : &none;
}

/* ---- admission ------------------------------------------------------------------------------- */

static int is_aliased(request_rec *r)
{
    const char *type = apr_table_get(r->notes, NOTE_TYPE);

    return type && strcmp(type, MW_HANDLER_NAME) == 0;
}

/* What any client can bring about by its URL is no error, as for httpd's own files. */
static int refuse(request_rec *r, int level, int status, const char *what)
{
    ap_log_rerror(APLOG_MARK, level, 0, r, "%s: %s; %d", what, r->filename, status);
    return status;
}

static int is_script(const request_rec *r)
{
    return strcmp(r->handler, MW_HANDLER_NAME) == 0 || strcmp(r->handler, MW_HANDLER_TYPE) == 0;
}

int mw_resolve_is_ours(request_rec *r)
{
    return r->handler && (is_script(r) || mw_config_handler(mw_config_dir(r), r->handler));
}

static int admit(request_rec *r)
{
    if (!is_aliased(r) && !(ap_allow_options(r) & OPT_EXECCGI))
        return refuse(r, APLOG_ERR, HTTP_FORBIDDEN,
                      "WSGI0134: Options ExecCGI is off in this directory and no WSGIScriptAlias "
                      "led to the script");
    if (r->finfo.filetype == APR_NOFILE)
        return refuse(r, APLOG_INFO, HTTP_NOT_FOUND, "WSGI0135: the script does not exist");
    if (r->finfo.filetype == APR_DIR)
        return refuse(r, APLOG_INFO, HTTP_FORBIDDEN, "WSGI0136: the script is a directory");
    if (r->finfo.filetype != APR_REG)
        return refuse(r, APLOG_ERR, HTTP_FORBIDDEN, "WSGI0136: the script is no regular file");
    if (r->used_path_info == AP_REQ_REJECT_PATH_INFO && r->path_info && *r->path_info)
        return refuse(r, APLOG_INFO, HTTP_NOT_FOUND,
                      "WSGI0137: AcceptPathInfo is off and the URL goes on behind the script");
    return OK;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *no_double_slash(request_rec *r, const char *path)
{
    char *copy;

    if (!strstr(path, "//"))
        return path;
    copy = apr_pstrdup(r->pool, path);
    ap_no2slash(copy);
    return copy;
}

static void split_path(request_rec *r, struct mw_target *out)
{
    const char *name = r->uri;

    out->path_info = r->path_info && *r->path_info ? no_double_slash(r, r->path_info) : "";
    if (*out->path_info && strcmp(r->protocol, "INCLUDED") != 0)
        name = apr_pstrmemdup(r->pool, r->uri, (apr_size_t)ap_find_path_info(r->uri, r->path_info));
    out->script_name = no_double_slash(r, name);
}

static const char *with_port(request_rec *r, const char *host)
{
    unsigned port = ap_get_server_port(r);

    if (port == 80 || port == 443)
        return host;
    return apr_pstrcat(r->pool, host, ":", apr_itoa(r->pool, (int)port), NULL);
}

static const char *server_name(request_rec *r)
{
    return with_port(r, r->server->server_hostname ? r->server->server_hostname : "");
}

static const char *host_name(request_rec *r)
{
    return r->hostname && *r->hostname ? with_port(r, r->hostname) : server_name(r);
}

static const char *resource_name(request_rec *r, const struct mw_target *t)
{
    char *name = apr_pstrcat(r->pool, server_name(r), "|", t->script_name, NULL);

    if (!mw_config_global(r->server)->py.case_sensitive)
        ap_str_tolower(strchr(name, '|'));
    return name;
}

/* The group of who has set none. One script that answers for many resources is still one
 * application, and clients must not be able to create an interpreter for each URL they think of. */
static const char *default_name(request_rec *r, const struct mw_target *t)
{
    if (*t->handler_script)
        return apr_pstrcat(r->pool, server_name(r), "|", t->handler_script, NULL);
    return resource_name(r, t);
}

static int is_env(const char *text)
{
    size_t n = strlen(text);

    return n > 7 && strncmp(text, "%{ENV:", 6) == 0 && text[n - 1] == '}';
}

/* The value behind "%{ENV:name}", or NULL. */
static const char *env_value(request_rec *r, const char *text)
{
    const char *name = apr_pstrmemdup(r->pool, text + 6, strlen(text) - 7);
    const char *value = apr_table_get(r->notes, name);

    if (!value)
        value = apr_table_get(r->subprocess_env, name);
    return value ? value : getenv(name);
}

static const char *expand_token(request_rec *r, const struct mw_target *t, const char *text)
{
    if (strcmp(text, "%{GLOBAL}") == 0)
        return "";
    if (strcmp(text, "%{RESOURCE}") == 0)
        return resource_name(r, t);
    if (strcmp(text, "%{SERVER}") == 0)
        return server_name(r);
    if (strcmp(text, "%{HOST}") == 0)
        return host_name(r);
    return text;
}

/* A configured name for this request. Only a value that is a token as a whole is one; what a
 * variable holds may be one of the other tokens, and is not looked at further. */
static const char *expand(request_rec *r, const struct mw_target *t, const char *text)
{
    if (*text != '%')
        return text;
    if (is_env(text)) {
        const char *value = env_value(r, text);
        if (!value || is_env(value))
            return value ? value : text;
        text = value;
    }
    return expand_token(r, t, text);
}

static struct mw_setting choose(struct mw_setting alias, struct mw_setting dir)
{
    return alias.value ? alias : dir;
}

static void name_application_group(request_rec *r, struct mw_setting set, struct mw_target *out)
{
    out->group_explicit = set.value != NULL;
    out->application_group = set.value ? expand(r, out, set.value) : default_name(r, out);
}

static void name_callable(request_rec *r, const struct mw_alias *a, const struct mw_dir_conf *dir,
                          struct mw_target *out)
{
    const char *name = a->callable.value ? a->callable.value : dir->callable.value;

    if (!a->callable.value && name && is_env(name))
        name = env_value(r, name);
    out->callable = name && *name ? name : "application";
}

/* ---- process group --------------------------------------------------------------------------- */

/* WSGIRestrictProcess: its names count in any case. */
static int is_allowed(const apr_array_header_t *names, const char *group)
{
    for (int i = 0; names && i < names->nelts; i++)
        if (ap_cstr_casecmp(APR_ARRAY_IDX(names, i, const char *), group) == 0)
            return 1;
    return names == NULL;
}

static int restricted_group(request_rec *r, struct mw_setting set, const struct mw_target *t)
{
    ap_log_rerror(
        APLOG_MARK, APLOG_ERR, 0, r,
        "WSGI0149: WSGIRestrictProcess does not allow the process group '%s' for %s (%s); "
        "500",
        *t->process_group ? t->process_group : "%{GLOBAL}", r->filename,
        set.where ? set.where : "no WSGIProcessGroup applies");
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int embedded_group(request_rec *r, const struct mw_config *cfg, struct mw_setting set)
{
    if (cfg->restrict_embedded != 1)
        return OK;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "WSGI0143: %s would run embedded (%s), and WSGIRestrictEmbedded is On; name a "
                  "daemon group with WSGIProcessGroup; 500",
                  r->filename, set.where ? set.where : "no WSGIProcessGroup applies");
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int find_group(request_rec *r, const struct mw_config *cfg, struct mw_setting set,
                      struct mw_target *out)
{
    out->group = mw_config_group(cfg, out->process_group);
    if (!out->group) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0151: no WSGIDaemonProcess defines the process group '%s' of %s, set "
                      "at %s; 500",
                      out->process_group, r->filename, set.where);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!mw_config_reachable(out->group, r->server)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0152: the process group '%s' of %s, set at %s, belongs to a virtual host with "
            "another ServerName (%s); define it outside of virtual hosts to share it; 500",
            out->process_group, r->filename, set.where, out->group->where);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* script-user=, script-group= */
static int check_owner(request_rec *r, const struct mw_target *t)
{
    struct mw_owner_verdict v = mw_owner_check(r->pool, t->group, t->script);

    if (!v.id)
        return OK;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "%s: %s is not run in the process group '%s' (%s): %s; 403", v.id, t->script,
                  t->process_group, t->group->where, v.why);
    return HTTP_FORBIDDEN;
}

static int name_process_group(request_rec *r, struct mw_setting set, struct mw_target *out)
{
    const struct mw_config *cfg = mw_config_global(r->server);
    int rv;

    out->process_group = set.value ? expand(r, out, set.value) : "";
    if (!is_allowed(mw_config_dir(r)->restrict_process, out->process_group))
        return restricted_group(r, set, out);
    if (!*out->process_group) {
        out->group = NULL;
        return embedded_group(r, cfg, set);
    }
    rv = find_group(r, cfg, set, out);
    return rv == OK ? check_owner(r, out) : rv;
}

/* ---- flags ----------------------------------------------------------------------------------- */

/* Unless told, the application sees Authorization only where httpd does not authenticate itself:
 * then the header cannot be meant for anybody else. */
static int passes_authorization(request_rec *r, const struct mw_alias *a,
                                const struct mw_dir_conf *dir)
{
    int pass = a->pass_authorization;

    if (pass == MW_PASS_UNSET)
        pass = dir->pass_authorization;
    if (pass == MW_PASS_UNSET || pass == MW_PASS_AUTO)
        return ap_auth_type(r) == NULL;
    return pass == MW_PASS_ON;
}

/* A WSGIHandlerScript answers for the resource, which need not be there and is not looked at. */
static const struct mw_alias *use_handler_script(request_rec *r, const struct mw_handler_script *h,
                                                 struct mw_target *out)
{
    struct mw_alias *a = apr_pcalloc(r->pool, sizeof(*a));

    a->process_group = h->process_group;
    a->application_group = h->application_group;
    a->callable.value = "handle_request";
    a->pass_authorization = h->pass_authorization;
    out->script = out->handler_script = h->script;
    return a;
}

int mw_resolve(request_rec *r, struct mw_target *out)
{
    const struct mw_dir_conf *dir = mw_config_dir(r);
    const struct mw_alias *a;
    int rv = is_script(r) ? admit(r) : OK;

    if (rv != OK)
        return rv;
    if (is_script(r)) {
        a = alias_of(r);
        out->script = r->filename;
        out->handler_script = "";
    } else {
        a = use_handler_script(r, mw_config_handler(dir, r->handler), out);
    }
    split_path(r, out);
    rv = name_process_group(r, choose(a->process_group, dir->process_group), out);
    if (rv != OK)
        return rv;
    name_application_group(r, choose(a->application_group, dir->application_group), out);
    name_callable(r, a, dir, out);
    out->pass_authorization = passes_authorization(r, a, dir);
    out->reload = dir->script_reloading != 0;
    return OK;
}
