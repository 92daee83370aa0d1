/*
 * dirconf.c: directives that count for a server, a section, and some of them for an .htaccess. Called
 * by httpd while it reads its configuration, or by any thread of a child that reads an .htaccess;
 * each touches only the record that it is given.
 */
#include "dirconf.h"

#include <string.h>

#include <apr_strings.h>

#include "cmd.h"

const struct mw_dirconf_name mw_dirconf_process_group = {
    offsetof(struct mw_dir_conf, process_group), "process group", 1};
const struct mw_dirconf_name mw_dirconf_application_group = {
    offsetof(struct mw_dir_conf, application_group), "application group", 1};
const struct mw_dirconf_name mw_dirconf_callable = {offsetof(struct mw_dir_conf, callable),
                                                    "callable object", 0};

const char *mw_dirconf_name(cmd_parms *cmd, void *dir, const char *arg)
{
    const struct mw_dirconf_name *row = cmd->info;

    if (!*arg)
        return mw_cmd_complain(cmd, "Invalid name for WSGI %s. It must not be empty", row->noun);
    *(struct mw_setting *)((char *)dir + row->off) = mw_cmd_setting(cmd, arg, row->is_group);
    return NULL;
}

const char *mw_dirconf_flag(cmd_parms *cmd, void *dir, const char *arg)
{
    return mw_cmd_flag(cmd, arg, (int *)((char *)dir + (size_t)cmd->info));
}

const char *mw_dirconf_pass_auth(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_dir_conf *conf = dir;

    return mw_cmd_pass_auth(cmd, arg, &conf->pass_authorization);
}

/* Read as the option of a group is, whose value it replaces. */
const char *mw_dirconf_request_timeout(cmd_parms *cmd, void *dir, const char *arg)
{
    static const struct mw_opt row = {"seconds",
                                      MW_OPT_SECS,
                                      offsetof(struct mw_dir_conf, request_timeout_ms),
                                      0,
                                      86400 * 1000,
                                      -1,
                                      "Seconds a request may take."};
    char why[200];

    if (mw_opt_set(&row, dir, arg, why, sizeof(why)))
        return mw_cmd_complain(cmd, "'%s' %s; 0 means no limit", arg, why);
    if (mw_opt_number(&row, dir) > 0)
        mw_config_global(cmd->server)->limits_requests = 1;
    return NULL;
}

const char *mw_dirconf_map_head(cmd_parms *cmd, void *dir, const char *arg)
{
    static const struct {
        const char *name;
        enum mw_map_head value;
    } rows[] = {{"Off", MW_MAP_OFF}, {"On", MW_MAP_ON}, {"Auto", MW_MAP_AUTO}};
    struct mw_dir_conf *conf = dir;

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        if (ap_cstr_casecmp(arg, rows[i].name) == 0) {
            conf->map_head = rows[i].value;
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "%s must be one of: Off | On | Auto; '%s' is none of them",
                        cmd->cmd->name, arg);
}

const char *mw_dirconf_restrict_process(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_dir_conf *conf = dir;

    if (!conf->restrict_process)
        conf->restrict_process = apr_array_make(cmd->pool, 4, sizeof(const char *));
    APR_ARRAY_PUSH(conf->restrict_process, const char *) = mw_cmd_group(arg);
    return NULL;
}

/* ---- WSGIHandlerScript ----------------------------------------------------------------------- */

struct handler_options {
    const char *process_group;
    const char *application_group;
    const char *pass_authorization;
};

static const struct mw_opt handler_opts[] = {
    {"process-group", MW_OPT_STR, offsetof(struct handler_options, process_group), 0, 0, 0,
     "Daemon process group; %{GLOBAL}: embedded."},
    {"application-group", MW_OPT_STR, offsetof(struct handler_options, application_group), 0, 0, 0,
     "Application group; %{GLOBAL}: main interpreter."},
    {"pass-authorization", MW_OPT_STR, offsetof(struct handler_options, pass_authorization), 0, 0,
     0, "On, Off or Auto."},
};

/* A second definition in one scope replaces the first. */
static void define_handler(apr_pool_t *p, struct mw_dir_conf *conf,
                           const struct mw_handler_script *h)
{
    struct mw_handler_script *old;

    if (!conf->handlers)
        conf->handlers = apr_array_make(p, 2, sizeof(struct mw_handler_script));
    old = (struct mw_handler_script *)mw_config_handler(conf, h->handler);
    if (!old)
        old = apr_array_push(conf->handlers);
    *old = *h;
}

const char *mw_dirconf_handler_script(cmd_parms *cmd, void *dir, const char *args)
{
    struct handler_options opts = {0};
    const struct mw_cmd_options o = {handler_opts, MW_ARRAY_LEN(handler_opts), &opts,
                                     "WSGI handler script", ""};
    struct mw_handler_script h = {.pass_authorization = MW_PASS_UNSET};
    const char *path, *err;

    h.handler = ap_getword_conf(cmd->pool, &args);
    path = ap_getword_conf(cmd->pool, &args);
    if (!*h.handler)
        return mw_cmd_complain(cmd, "Name for handler script not supplied. The first argument is "
                                    "the name of the handler");
    if (!*path)
        return mw_cmd_complain(cmd, "Location of handler script not supplied. The second argument "
                                    "is the path of the script");
    h.script = mw_cmd_path(cmd, path);
    if (!h.script)
        return mw_cmd_complain(cmd, "The path of the script, '%s', is invalid", path);
    err = mw_cmd_options(cmd, &o, args);
    if (!err && opts.pass_authorization)
        err = mw_cmd_pass_auth(cmd, opts.pass_authorization, &h.pass_authorization);
    if (err)
        return err;
    h.process_group = mw_cmd_setting(cmd, opts.process_group, 1);
    h.application_group = mw_cmd_setting(cmd, opts.application_group, 1);
    define_handler(cmd->pool, dir, &h);
    return NULL;
}

/* ---- WSGITrustedProxyHeaders, WSGITrustedProxies ---------------------------------------------- */

const char *mw_dirconf_trusted_header(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_dir_conf *conf = dir;
    int h = mw_trust_header_find((struct mw_str){arg, strlen(arg)});

    if (!conf->trusted_headers)
        conf->trusted_headers = apr_pcalloc(cmd->pool, sizeof(*conf->trusted_headers));
    if (h >= 0)
        mw_trust_list(conf->trusted_headers, (enum mw_trust_header)h);
    else
        mw_cmd_remark(cmd, apr_psprintf(cmd->pool, "the header '%s' has no meaning here", arg));
    return NULL;
}

const char *mw_dirconf_trusted_proxy(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_dir_conf *conf = dir;
    struct mw_trust_net net;

    if (mw_trust_net_parse(&net, (struct mw_str){arg, strlen(arg)}))
        return mw_cmd_complain(cmd,
                               "Unable to parse trusted proxy IP address/subnet of \"%s\". It must "
                               "be an IPv4 or IPv6 address, alone or with /BITS behind it",
                               arg);
    if (!conf->trusted_proxies)
        conf->trusted_proxies = apr_array_make(cmd->pool, 4, sizeof(struct mw_trust_net));
    APR_ARRAY_PUSH(conf->trusted_proxies, struct mw_trust_net) = net;
    return NULL;
}
