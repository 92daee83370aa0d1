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
