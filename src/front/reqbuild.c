/*
 * reqbuild.c: request_rec -> request block. Called by any thread of an httpd child, once per
 * request.
 *
 * The CGI variables are written straight into the block, not into r->subprocess_env as httpd's
 * ap_add_common_vars and ap_add_cgi_vars do: those build and sort two tables and run a sub-request
 * for PATH_TRANSLATED, for every request, and half of what they add is not passed on. The values
 * are the same. What the configuration put into r->subprocess_env comes first, so that it can add
 * variables but never replace one that describes the request; where a key occurs twice, the later
 * pair counts.
 */
#include "reqbuild.h"

#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <ap_mpm.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 102)
#include <http_ssl.h>
#else
#include <apr_optional.h>
APR_DECLARE_OPTIONAL_FN(int, ssl_is_https, (conn_rec *));
#endif

#include "front.h"
#include "proxied.h"
#include "reqbody.h"

extern module AP_MODULE_DECLARE_DATA wsgi_module;
APLOG_USE_MODULE(wsgi);

#define KEY_MAX 256             /* bytes of an HTTP_* key that need no allocation */
#define BLOCK_FIRST (16u << 10) /* bytes asked for at first: nearly all requests need no more */

struct writer {
    request_rec *r;
    struct mw_buf *b;
    uint32_t n; /* pairs written */
    struct mw_proxied px;
};

static struct mw_str str(const char *s)
{
    return (struct mw_str){s ? s : "", s ? strlen(s) : 0};
}

static void put(struct writer *w, struct mw_str key, struct mw_str value)
{
    mw_req_pair(w->b, key, value);
    w->n++;
}

/* NULL: the pair is left out. */
static void put_text(struct writer *w, struct mw_str key, const char *value)
{
    if (value)
        put(w, key, str(value));
}

static void put_given(struct writer *w, struct mw_str key, struct mw_str value)
{
    if (value.p)
        put(w, key, value);
}

static void put_number(struct writer *w, struct mw_str key, unsigned long v)
{
    char text[24];
    char *p = text + sizeof(text);

    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    put(w, key, (struct mw_str){p, (size_t)(text + sizeof(text) - p)});
}

/* ---- variables of the configuration ---------------------------------------------------------- */

/* Keys that only this file may give a value, and keys that are passed to no application; sorted. */
static const char *const reserved[] = {
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "CONTEXT_DOCUMENT_ROOT",
    "CONTEXT_PREFIX",
    "DOCUMENT_ROOT",
    "DYLD_LIBRARY_PATH",
    "GATEWAY_INTERFACE",
    "HTTPS",
    "HTTP_PROXY",
    "LD_LIBRARY_PATH",
    "LIBPATH",
    "LIBRARY_PATH",
    "PATH",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_HOST",
    "REMOTE_IDENT",
    "REMOTE_PORT",
    "REQUEST_METHOD",
    "REQUEST_SCHEME",
    "REQUEST_URI",
    "SCRIPT_FILENAME",
    "SCRIPT_NAME",
    "SERVER_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SIGNATURE",
    "SERVER_SOFTWARE",
    "SHLIB_PATH",
};

static int compare_names(const void *key, const void *element)
{
    return strcmp(key, *(const char *const *)element);
}

static int is_reserved(const char *key)
{
    if (strncmp(key, "wsgi.", 5) == 0 || strncmp(key, "mod_wsgi.", 9) == 0 ||
        strncmp(key, "apache.", 7) == 0)
        return 1;
    return bsearch(key, reserved, MW_ARRAY_LEN(reserved), sizeof(reserved[0]), compare_names) !=
           NULL;
}

static void put_environment(struct writer *w)
{
    const apr_array_header_t *list = apr_table_elts(w->r->subprocess_env);
    const apr_table_entry_t *e = (const apr_table_entry_t *)list->elts;

    for (int i = 0; i < list->nelts; i++)
        if (e[i].key && e[i].val && !is_reserved(e[i].key) &&
            !mw_proxied_owns(&w->px, str(e[i].key)))
            put(w, str(e[i].key), str(e[i].val));
}

/* ---- headers --------------------------------------------------------------------------------- */

/* What a character of a header's name becomes; 0: such a header is not passed, because "X_A" would be
 * taken for "X-A", which a proxy in front may have removed or checked. */
static const char cgi_char[256] = {
    ['-'] = '_', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['A'] = 'A', ['B'] = 'B', ['C'] = 'C',
    ['D'] = 'D', ['E'] = 'E', ['F'] = 'F', ['G'] = 'G', ['H'] = 'H', ['I'] = 'I', ['J'] = 'J',
    ['K'] = 'K', ['L'] = 'L', ['M'] = 'M', ['N'] = 'N', ['O'] = 'O', ['P'] = 'P', ['Q'] = 'Q',
    ['R'] = 'R', ['S'] = 'S', ['T'] = 'T', ['U'] = 'U', ['V'] = 'V', ['W'] = 'W', ['X'] = 'X',
    ['Y'] = 'Y', ['Z'] = 'Z', ['a'] = 'A', ['b'] = 'B', ['c'] = 'C', ['d'] = 'D', ['e'] = 'E',
    ['f'] = 'F', ['g'] = 'G', ['h'] = 'H', ['i'] = 'I', ['j'] = 'J', ['k'] = 'K', ['l'] = 'L',
    ['m'] = 'M', ['n'] = 'N', ['o'] = 'O', ['p'] = 'P', ['q'] = 'Q', ['r'] = 'R', ['s'] = 'S',
    ['t'] = 'T', ['u'] = 'U', ['v'] = 'V', ['w'] = 'W', ['x'] = 'X', ['y'] = 'Y', ['z'] = 'Z',
};

/* "HTTP_" and the name as CGI writes it, into out, which has room for it. 0: it is not passed. */
static size_t cgi_name(const char *name, char *out)
{
    size_t n = 5;

    memcpy(out, "HTTP_", 5);
    for (; *name; name++) {
        char c = cgi_char[(unsigned char)*name];
        if (!c)
            return 0;
        out[n++] = c;
    }
    return n;
}

enum header_use { HEADER_PASS, HEADER_DROP, HEADER_AUTH, HEADER_PROXY_AUTH };

/* Headers that are not simply passed. Content-Type and Content-Length have keys of their own; Proxy
 * would become HTTP_PROXY, which HTTP clients read as a setting (httpoxy). */
static enum header_use header_use(const char *key, size_t n)
{
    static const struct {
        struct mw_str key;
        enum header_use use;
    } rows[] = {
        {{"HTTP_PROXY", 10}, HEADER_DROP},
        {{"HTTP_CONTENT_TYPE", 17}, HEADER_DROP},
        {{"HTTP_AUTHORIZATION", 18}, HEADER_AUTH},
        {{"HTTP_CONTENT_LENGTH", 19}, HEADER_DROP},
        {{"HTTP_PROXY_AUTHORIZATION", 24}, HEADER_PROXY_AUTH},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        if (rows[i].key.n == n && memcmp(rows[i].key.p, key, n) == 0)
            return rows[i].use;
    return HEADER_PASS;
}

/* CGIPassAuth On of httpd's core passes both kinds of credentials. */
static int core_passes_auth(request_rec *r)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 44)
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    return core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON;
#else
    (void)r;
    return 0;
#endif
}

static void put_header(struct writer *w, const apr_table_entry_t *e, const struct mw_target *t)
{
    char small[KEY_MAX];
    size_t len = strlen(e->key);
    char *key = len + 5 <= sizeof(small) ? small : apr_palloc(w->r->pool, len + 5);
    size_t n = cgi_name(e->key, key);
    int pass = 0;

    if (!n)
        return;
    switch (header_use(key, n)) {
    case HEADER_PASS:
        pass = !mw_proxied_owns(&w->px, (struct mw_str){key, n});
        break;
    case HEADER_AUTH:
        pass = t->pass_authorization || core_passes_auth(w->r);
        break;
    case HEADER_PROXY_AUTH:
        pass = core_passes_auth(w->r);
        break;
    case HEADER_DROP:
        break;
    }
    if (pass)
        put(w, (struct mw_str){key, n}, str(e->val));
}

static void put_headers(struct writer *w, const struct mw_target *t, const struct mw_req *head)
{
    const apr_array_header_t *list = apr_table_elts(w->r->headers_in);
    const apr_table_entry_t *e = (const apr_table_entry_t *)list->elts;

    for (int i = 0; i < list->nelts; i++)
        if (e[i].key && e[i].val)
            put_header(w, &e[i], t);
    put_text(w, MW_STR("CONTENT_TYPE"), apr_table_get(w->r->headers_in, "Content-Type"));
    if (mw_reqbody_knows_length(w->r, head))
        put_text(w, MW_STR("CONTENT_LENGTH"), apr_table_get(w->r->headers_in, "Content-Length"));
}

/* ---- CGI variables --------------------------------------------------------------------------- */

static void put_server(struct writer *w)
{
    request_rec *r = w->r;

    put_text(w, MW_STR("SERVER_SOFTWARE"), ap_get_server_banner());
    put_text(w, MW_STR("SERVER_NAME"), ap_escape_html(r->pool, ap_get_server_name_for_url(r)));
    put_text(w, MW_STR("SERVER_ADDR"), r->connection->local_ip);
    put_number(w, MW_STR("SERVER_PORT"), ap_get_server_port(r));
    put_text(w, MW_STR("SERVER_ADMIN"), r->server->server_admin);
    put_text(w, MW_STR("DOCUMENT_ROOT"), ap_document_root(r));
    put_text(w, MW_STR("CONTEXT_PREFIX"), ap_context_prefix(r));
    put_text(w, MW_STR("CONTEXT_DOCUMENT_ROOT"), ap_context_document_root(r));
    put_text(w, MW_STR("REQUEST_SCHEME"), ap_http_scheme(r));
}

/* Who is known to ask; after an error document's redirect, who asked at first. */
static void put_client(struct writer *w)
{
    request_rec *r = w->r;

    put_text(w, MW_STR("REMOTE_ADDR"), r->useragent_ip);
    put_number(w, MW_STR("REMOTE_PORT"), r->useragent_addr->port);
    put_text(w, MW_STR("AUTH_TYPE"), r->ap_auth_type);
    if (r->user) {
        put_text(w, MW_STR("REMOTE_USER"), r->user);
        return;
    }
    for (const request_rec *before = r->prev; before; before = before->prev) {
        if (before->user) {
            put_text(w, MW_STR("REDIRECT_REMOTE_USER"), before->user);
            return;
        }
    }
}

/* The request's URI as the client sent it, as part of the request line. */
static struct mw_str original_uri(request_rec *r)
{
    const char *p = r->the_request;
    const char *end;

    if (!p)
        return str("");
    while (*p && !apr_isspace(*p))
        p++;
    while (apr_isspace(*p))
        p++;
    for (end = p; *end && !apr_isspace(*end);)
        end++;
    return (struct mw_str){p, (size_t)(end - p)};
}

/* CGIVar REQUEST_URI current-uri of httpd's core. */
static int wants_current_uri(request_rec *r)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 58)
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *rule = NULL;

    if (core->cgi_var_rules)
        rule = apr_hash_get(core->cgi_var_rules, "REQUEST_URI", APR_HASH_KEY_STRING);
    return rule && strcmp(rule, "current-uri") == 0;
#else
    (void)r;
    return 0;
#endif
}

/* A filter that makes something else of the body, mod_deflate for one, and with it of the header. */
static int has_content_filter(const request_rec *r)
{
    return r->output_filters && r->output_filters->frec->ftype < AP_FTYPE_PROTOCOL;
}

/* WSGIMapHEADToGET */
static int maps_head(request_rec *r)
{
    int how = mw_config_dir(r)->map_head;

    if (!r->header_only || r->method_number != M_GET || how == MW_MAP_OFF)
        return 0;
    return how == MW_MAP_ON || has_content_filter(r);
}

static void put_resource(struct writer *w, const struct mw_target *t)
{
    request_rec *r = w->r;

    put_text(w, MW_STR("REQUEST_METHOD"), maps_head(r) ? "GET" : r->method);
    put_text(w, MW_STR("SERVER_PROTOCOL"), r->protocol);
    put(w, MW_STR("REQUEST_URI"), wants_current_uri(r) ? str(r->uri) : original_uri(r));
    put(w, MW_STR("QUERY_STRING"), str(r->args));
    put(w, MW_STR("SCRIPT_NAME"), str(t->script_name));
    put(w, MW_STR("PATH_INFO"), str(t->path_info));
    put(w, MW_STR("SCRIPT_FILENAME"), str(r->filename));
}

/* QualifyRedirectURL On of httpd's core. */
static int wants_full_redirect(request_rec *r)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 58)
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    return core->qualify_redirect_url == AP_CORE_CONFIG_ON;
#else
    (void)r;
    return 0;
#endif
}

static const char *full_url(request_rec *r)
{
    apr_uri_t uri = r->parsed_uri;

    if (!uri.scheme)
        uri.scheme = apr_pstrdup(r->pool, ap_http_scheme(r));
    if (!uri.port) {
        uri.port = ap_get_server_port(r);
        uri.port_str = apr_psprintf(r->pool, "%u", uri.port);
    }
    if (!uri.hostname)
        uri.hostname = apr_pstrdup(r->pool, ap_get_server_name_for_url(r));
    return apr_uri_unparse(r->pool, &uri, 0);
}

static void put_redirect(struct writer *w)
{
    request_rec *prev = w->r->prev;

    if (!prev)
        return;
    put_text(w, MW_STR("REDIRECT_QUERY_STRING"), prev->args);
    put_text(w, MW_STR("REDIRECT_URL"), wants_full_redirect(w->r) ? full_url(prev) : prev->uri);
}

/* Keys of ours whose values are text; those with other types the engine makes from the block's
 * head. */
static void put_own(struct writer *w, const struct mw_target *t)
{
    request_rec *r = w->r;
    const apr_sockaddr_t *local = r->connection->local_addr;

    put(w, MW_STR("mod_wsgi.request_handler"), str(r->handler));
    put(w, MW_STR("mod_wsgi.handler_script"), str(t->handler_script));
    put(w, MW_STR("mod_wsgi.script_name"), str(t->script_name));
    put(w, MW_STR("mod_wsgi.path_info"), str(t->path_info));
    put(w, MW_STR("mod_wsgi.listener_host"), str(local->hostname));
    put_number(w, MW_STR("mod_wsgi.listener_port"), local->port);
    put_number(w, MW_STR("mod_wsgi.server_pid"), (unsigned long)mw_front()->pid);
    put_text(w, MW_STR("mod_wsgi.request_id"), r->log_id);
    put_text(w, MW_STR("mod_wsgi.connection_id"), r->connection->log_id);
}

/* What proxies that are trusted say of the request that they got. */
static void put_proxied(struct writer *w)
{
    const struct mw_trust_verdict *v = &w->px.verdict;

    if (!w->px.active)
        return;
    for (int h = 0; h < MW_TRUST_HEADERS; h++) {
        struct mw_str value = mw_proxied_value(&w->px, (enum mw_trust_header)h);
        if (value.p)
            put(w, str(mw_trust_header_key((enum mw_trust_header)h)), value);
    }
    put_given(w, MW_STR("REMOTE_ADDR"), v->client);
    put_given(w, MW_STR("HTTP_HOST"), v->host);
    put_given(w, MW_STR("SERVER_NAME"), v->server);
    put_given(w, MW_STR("SERVER_PORT"), v->port);
    if (v->mount.p) {
        char *mount = apr_pstrmemdup(w->r->pool, v->mount.p, v->mount.n);
        ap_no2slash(mount);
        put(w, MW_STR("SCRIPT_NAME"), str(mount));
        put(w, MW_STR("mod_wsgi.mount_point"), str(mount));
    }
}

/* ---- flags ----------------------------------------------------------------------------------- */

static int is_https(request_rec *r)
{
    const char *https = apr_table_get(r->subprocess_env, "HTTPS");

    if (https && (ap_cstr_casecmp(https, "on") == 0 || strcmp(https, "1") == 0))
        return 1;
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 102)
    return ap_ssl_conn_is_ssl(r->connection);
#else
    APR_OPTIONAL_FN_TYPE(ssl_is_https) *ask = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
    return ask && ask(r->connection);
#endif
}

/* An MPM that cannot say is taken for one that has many. */
static int mpm_has_many(int what)
{
    int n = 0;

    return ap_mpm_query(what, &n) != APR_SUCCESS || n != 1;
}

static uint32_t concurrency(const struct mw_target *t)
{
    int threads, processes;

    if (t->group) {
        threads = t->group->spec.threads != 1;
        processes = t->group->spec.processes != 0;
    } else {
        threads = mpm_has_many(AP_MPMQ_MAX_THREADS);
        processes = mpm_has_many(AP_MPMQ_MAX_DAEMONS);
    }
    return (threads ? MW_REQ_MULTITHREAD : 0u) | (processes ? MW_REQ_MULTIPROCESS : 0u);
}

/* What httpd has seen of the script; 0 where it has looked at something else. */
static uint64_t script_stamp(const request_rec *r, const struct mw_target *t)
{
    const apr_int32_t need = APR_FINFO_MTIME | APR_FINFO_SIZE | APR_FINFO_INODE | APR_FINFO_DEV;

    if (t->script != r->filename || (r->finfo.valid & need) != need)
        return 0;
    return mw_req_stamp(r->finfo.mtime, r->finfo.size, (uint64_t)r->finfo.inode,
                        (uint64_t)r->finfo.device);
}

static uint32_t time_limit_ms(request_rec *r, const struct mw_target *t)
{
    int64_t own = mw_config_dir(r)->request_timeout_ms;

    return (uint32_t)(own >= 0 ? own : t->group ? t->group->spec.request_timeout_ms : 0);
}

static void fill_head(const struct writer *w, const struct mw_target *t, struct mw_req *head)
{
    request_rec *r = w->r;
    int https = w->px.active ? w->px.verdict.https : -1;

    head->flags |= concurrency(t);
    /* A filter that decides about the header by the body must get it, and httpd drops it later. */
    if (r->header_only && !(maps_head(r) && has_content_filter(r)))
        head->flags |= MW_REQ_HEAD;
    if (https >= 0 ? https : is_https(r))
        head->flags |= MW_REQ_HTTPS;
    if (t->reload) {
        head->flags |= MW_REQ_RELOAD;
        head->script_stamp = script_stamp(r, t);
    }
    if (t->group_explicit)
        head->flags |= MW_REQ_GROUP_EXPLICIT;
    if (mw_config_dir(r)->ignore_activity == 1)
        head->flags |= MW_REQ_IGNORE_ACTIVITY;
    head->timeout_ms = time_limit_ms(r, t);
    head->start_us = (uint64_t)r->request_time;
    head->script = str(t->script);
    head->callable = str(t->callable);
    head->app_group = str(t->application_group);
    head->process_group = str(t->process_group);
    head->log_id = str(r->log_id);
}

int mw_reqbuild(request_rec *r, const struct mw_target *t, struct mw_buf *b)
{
    struct writer w = {.r = r, .b = b};
    struct mw_req head = {0};
    size_t at;
    int rv = mw_reqbody_describe(r, &head);

    if (rv != OK)
        return rv;
    mw_proxied_judge(r, &w.px);
    fill_head(&w, t, &head);
    mw_buf_reserve(b, BLOCK_FIRST);
    at = mw_req_begin(b, &head);
    put_environment(&w);
    put_server(&w);
    put_client(&w);
    put_redirect(&w);
    put_headers(&w, t, &head);
    put_resource(&w, t);
    put_own(&w, t);
    put_proxied(&w);
    rv = mw_req_end(b, at, w.n);
    if (rv) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0611: the request cannot be passed to the application (%u variables): %s; 500",
            (unsigned)w.n, mw_err_text(rv));
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}
