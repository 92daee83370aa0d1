/*
 * directives.c: the command table, and what each directive puts into the records of config.h.
 *
 * Called by httpd while it reads its configuration, and, for the directives that .htaccess may
 * hold, by any thread of a child. Every complaint names the directive, what is wrong and what is
 * allowed; httpd puts file and line in front of it.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "cmd.h"
#include "dirconf.h"
#include "identity.h"
#include "interpreter.h"

/* ---- WSGIDaemonProcess ----------------------------------------------------------------------- */

static const char *check_group_name(const cmd_parms *cmd, const struct mw_config *cfg,
                                    const char *name)
{
    const struct mw_group *other;

    if (!*name)
        return mw_cmd_complain(
            cmd, "Name of WSGI daemon process not supplied. The first argument is the "
                 "name of the group");
    if (*name == '%')
        return mw_cmd_complain(
            cmd,
            "Invalid name for WSGI daemon process. '%s': a name must not begin with "
            "'%%'",
            name);
    for (const char *c = name; *c; c++)
        if (apr_iscntrl(*c))
            return mw_cmd_complain(
                cmd, "Invalid name for WSGI daemon process. A name must not hold control "
                     "characters");
    other = mw_config_group(cfg, name);
    if (other)
        return mw_cmd_complain(
            cmd,
            "Name duplicates previous WSGI daemon definition. '%s' was defined at %s; "
            "names are unique in the whole server",
            name, other->where);
    return NULL;
}

/* What is wrong with the identity that the options ask for, as far as it is known already; the
 * whole of it is settled by mw_config_finish. */
static const char *check_identity(const cmd_parms *cmd, const struct mw_spec *spec,
                                  const char *subject)
{
    struct mw_identity id;
    int64_t gid;
    const char *list;
    const char *option = "user";
    const char *why = NULL;

    if (spec->user) {
        why = mw_identity_user(cmd->pool, spec->user, &id);
        if (!why && id.uid == 0)
            return mw_cmd_complain(
                cmd,
                "WSGI process blocked from running as root. user=%s%s has user number "
                "0; name another user",
                spec->user, subject);
    }
    if (!why && spec->group) {
        option = "group";
        why = mw_identity_group(cmd->pool, spec->group, &gid);
    }
    if (!why && spec->supplementary_groups) {
        option = "supplementary-groups";
        why = mw_identity_groups(cmd->pool, spec->supplementary_groups, &list);
    }
    if (why)
        return mw_cmd_complain(cmd, "Invalid %s for WSGI daemon process%s: %s", option, subject,
                               why);
    if (spec->chroot && geteuid() != 0)
        return mw_cmd_complain(cmd, "Cannot chroot WSGI daemon process when not root. chroot=%s%s",
                               spec->chroot, subject);
    if (spec->cpu_priority < 0 && geteuid() != 0)
        return mw_cmd_complain(cmd,
                               "Cannot raise the priority of WSGI daemon process when not root. "
                               "cpu-priority=%" APR_INT64_T_FMT
                               "%s; without root it must be from 0 to 19",
                               spec->cpu_priority, subject);
    return NULL;
}

/* script-user= and script-group=: whose scripts the group runs. */
static const char *set_script_owner(const cmd_parms *cmd, struct mw_group *g, const char *subject)
{
    const char *option = "script-user";
    const char *why = NULL;

    g->script_uid = g->script_gid = -1;
    if (g->spec.script_user && g->spec.script_group)
        return mw_cmd_complain(cmd, "Only one of script-user and script-group allowed.%s", subject);
    if (g->spec.script_user) {
        why = mw_identity_owner(cmd->pool, g->spec.script_user, &g->script_uid);
    } else if (g->spec.script_group) {
        option = "script-group";
        why = mw_identity_group(cmd->pool, g->spec.script_group, &g->script_gid);
    }
    return why ? mw_cmd_complain(cmd, "Invalid %s for WSGI daemon process%s: %s", option, subject,
                                 why)
               : NULL;
}

/* What 6.0.5 needs for its sockets. */
static void remark_sockets(const cmd_parms *cmd, const struct mw_spec *spec, const char *subject)
{
    apr_array_header_t *remarks = mw_config_global(cmd->server)->remarks;
    const struct {
        const char *name;
        int given;
        const char *why;
    } rows[] = {
        {"listen-backlog", spec->listen_backlog >= 0,
         "connections are handed over, no socket is made"},
        {"socket-user", spec->socket_user != NULL,
         "connections are handed over, no socket is made"},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        if (rows[i].given)
            APR_ARRAY_PUSH(remarks, const char *) = apr_psprintf(
                cmd->pool, "%s= of %s%s (%s) has no effect: %s", rows[i].name, cmd->cmd->name,
                subject, mw_cmd_where(cmd), rows[i].why);
}

static const char *check_environment(const cmd_parms *cmd, const struct mw_spec *spec,
                                     const char *subject)
{
    const char *why = mw_interpreter_check_env(cmd->pool, spec->env);

    return why ? mw_cmd_complain(cmd, "Invalid env for WSGI daemon process%s: %s", subject, why)
               : NULL;
}

static void expand_display_name(const cmd_parms *cmd, struct mw_spec *spec)
{
    if (spec->display_name && strcmp(spec->display_name, "%{GROUP}") == 0)
        spec->display_name = apr_psprintf(cmd->pool, "(wsgi:%s)", spec->name);
}

static const char *set_daemon_process(cmd_parms *cmd, void *dir, const char *args)
{
    struct mw_config *cfg = mw_config_global(cmd->server);
    struct mw_group *g = apr_pcalloc(cmd->pool, sizeof(*g));
    struct mw_cmd_options o = {mw_spec_opts, mw_spec_nopts, &g->spec, "WSGI daemon process", ""};
    const char *err;

    (void)dir;
    mw_spec_defaults(&g->spec);
    g->spec.name = ap_getword_conf(cmd->pool, &args);
    g->server = cmd->server;
    g->where = mw_cmd_where(cmd);
    err = check_group_name(cmd, cfg, g->spec.name);
    if (err)
        return err;
    o.subject = apr_psprintf(cmd->pool, " (group '%s')", g->spec.name);
    err = mw_cmd_options(cmd, &o, args);
    if (!err)
        err = check_identity(cmd, &g->spec, o.subject);
    if (!err)
        err = set_script_owner(cmd, g, o.subject);
    if (!err)
        err = check_environment(cmd, &g->spec, o.subject);
    if (err)
        return err;
    remark_sockets(cmd, &g->spec, o.subject);
    expand_display_name(cmd, &g->spec);
    g->index = (unsigned)cfg->groups->nelts;
    APR_ARRAY_PUSH(cfg->groups, struct mw_group *) = g;
    return NULL;
}

/* ---- WSGIScriptAlias, WSGIScriptAliasMatch, WSGIImportScript --------------------------------- */

struct script_options {
    const char *process_group;
    const char *application_group;
    const char *callable;
    const char *pass_authorization;
};

/* WSGIImportScript takes the first two, the aliases all of them. */
static const struct mw_opt script_opts[] = {
    {"process-group", MW_OPT_STR, offsetof(struct script_options, process_group), 0, 0, 0,
     "Daemon process group; %{GLOBAL}: embedded."},
    {"application-group", MW_OPT_STR, offsetof(struct script_options, application_group), 0, 0, 0,
     "Application group; %{GLOBAL}: main interpreter."},
    {"callable-object", MW_OPT_STR, offsetof(struct script_options, callable), 0, 0, 0,
     "Name of the application in the script."},
    {"pass-authorization", MW_OPT_STR, offsetof(struct script_options, pass_authorization), 0, 0, 0,
     "On, Off or Auto."},
};
#define IMPORT_NOPTS 2

/* Import the script when the group's processes start. */
static const char *add_import(const cmd_parms *cmd, const char *script,
                              const struct script_options *opts, int from_alias)
{
    struct mw_config *cfg = mw_config_global(cmd->server);
    struct mw_import im = {0};

    im.script = script;
    im.process_group = mw_cmd_group(opts->process_group);
    im.application_group = mw_cmd_group(opts->application_group);
    im.server = cmd->server;
    im.where = mw_cmd_where(cmd);
    im.from_alias = from_alias;
    if (*im.process_group && !mw_config_group(cfg, im.process_group))
        return mw_cmd_complain(
            cmd,
            "WSGI process group not yet configured. No WSGIDaemonProcess before this "
            "line defines '%s', whose processes are to import the script",
            im.process_group);
    APR_ARRAY_PUSH(cfg->imports, struct mw_import) = im;
    return NULL;
}

/* A name with a token in it has its value only when there is a request. */
static int is_fixed(const char *name)
{
    return name && !strstr(mw_cmd_group(name), "%{");
}

static const char *preload_alias(const cmd_parms *cmd, const struct mw_alias *a,
                                 const struct script_options *opts)
{
    if (!is_fixed(opts->process_group) || !is_fixed(opts->application_group) ||
        (a->regexp && strchr(a->target, '$')))
        return NULL;
    return add_import(cmd, a->target, opts, 1);
}

static const char *check_alias(const cmd_parms *cmd, struct mw_alias *a, int is_match)
{
    const char *target = a->target;

    if (!*a->url_path || !*target)
        return mw_cmd_complain(cmd,
                               "requires at least two arguments, a %s and the path of a script",
                               is_match ? "regular expression" : "URL path");
    if (is_match) {
        a->regexp = ap_pregcomp(cmd->pool, a->url_path, AP_REG_EXTENDED);
        if (!a->regexp)
            return mw_cmd_complain(cmd, "Regular expression could not be compiled. '%s'",
                                   a->url_path);
    } else if (*a->url_path != '/')
        return mw_cmd_complain(cmd, "The URL path '%s' must begin with '/'", a->url_path);
    if (!(is_match && strchr(target, '$')))
        target = mw_cmd_path(cmd, target);
    if (!target)
        return mw_cmd_complain(cmd, "The path of the script, '%s', is invalid", a->target);
    a->target = target;
    return NULL;
}

static const char *set_script_alias(cmd_parms *cmd, void *dir, const char *args)
{
    struct mw_server_conf *conf = mw_config_server(cmd->server);
    struct script_options opts = {0};
    const struct mw_cmd_options o = {script_opts, MW_ARRAY_LEN(script_opts), &opts,
                                     "WSGI script alias", ""};
    struct mw_alias a = {0};
    const char *err;

    (void)dir;
    a.url_path = ap_getword_conf(cmd->pool, &args);
    a.target = ap_getword_conf(cmd->pool, &args);
    a.pass_authorization = MW_PASS_UNSET;
    err = check_alias(cmd, &a, cmd->info != NULL);
    if (!err)
        err = mw_cmd_options(cmd, &o, args);
    if (!err && opts.pass_authorization)
        err = mw_cmd_pass_auth(cmd, opts.pass_authorization, &a.pass_authorization);
    if (!err)
        err = preload_alias(cmd, &a, &opts);
    if (err)
        return err;
    a.process_group = mw_cmd_setting(cmd, opts.process_group, 1);
    a.application_group = mw_cmd_setting(cmd, opts.application_group, 1);
    a.callable = mw_cmd_setting(cmd, opts.callable, 0);
    APR_ARRAY_PUSH(conf->aliases, struct mw_alias) = a;
    return NULL;
}

static const char *set_import_script(cmd_parms *cmd, void *dir, const char *args)
{
    struct script_options opts = {0};
    const struct mw_cmd_options o = {script_opts, IMPORT_NOPTS, &opts, "WSGI import script", ""};
    const char *path = ap_getword_conf(cmd->pool, &args);
    const char *script, *err;

    (void)dir;
    if (!*path)
        return mw_cmd_complain(
            cmd, "Location of import script not supplied. The first argument is the path "
                 "of a script");
    script = mw_cmd_path(cmd, path);
    if (!script)
        return mw_cmd_complain(cmd, "The path of the script, '%s', is invalid", path);
    err = mw_cmd_options(cmd, &o, args);
    if (err)
        return err;
    if (!opts.process_group)
        return mw_cmd_complain(cmd, "Name of WSGI process group required. Add process-group=");
    if (!opts.application_group)
        return mw_cmd_complain(cmd,
                               "Name of WSGI application group required. Add application-group=");
    return add_import(cmd, script, &opts, 0);
}

/* ---- whole server ---------------------------------------------------------------------------- */

static const char *set_python_home(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_config *cfg = mw_config_global(cmd->server);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *home;

    (void)dir;
    if (err)
        return err;
    home = *arg ? mw_cmd_path(cmd, arg) : NULL;
    if (!home)
        return mw_cmd_complain(
            cmd, "The argument must be the prefix of a Python installation or a virtual "
                 "environment");
    cfg->python_home = mw_cmd_setting(cmd, home, 0);
    return NULL;
}

static const char *set_python_path(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err)
        return err;
    if (!*arg)
        return mw_cmd_complain(cmd, "The argument must be directories with ':' between them");
    mw_config_global(cmd->server)->python_path = arg;
    return NULL;
}

static const char *set_control_socket(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_config *cfg = mw_config_global(cmd->server);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *path;

    (void)dir;
    if (err)
        return err;
    cfg->no_control_socket = ap_cstr_casecmp(arg, "Off") == 0;
    cfg->control_socket = mw_cmd_setting(cmd, NULL, 0);
    if (cfg->no_control_socket)
        return NULL;
    path = *arg ? ap_runtime_dir_relative(cmd->pool, arg) : NULL;
    if (!path)
        return mw_cmd_complain(cmd, "'%s' must be Off or the path of a socket", arg);
    cfg->control_socket = mw_cmd_setting(cmd, path, 0);
    return NULL;
}

static const char *set_restrict_embedded(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return err ? err : mw_cmd_flag(cmd, arg, &mw_config_global(cmd->server)->restrict_embedded);
}

/* Directives of mod_wsgi 6.0.5 that ask for what is done another way here: checked, said, not
 * used. */

static const char *set_socket_prefix(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err)
        return err;
    if (!*arg || !mw_cmd_path(cmd, arg))
        return apr_psprintf(cmd->pool, "Invalid WSGISocketPrefix '%s'. It must be a path", arg);
    mw_cmd_remark(
        cmd, "connections to daemon processes are handed over by the supervisor, no socket file is "
             "made");
    return NULL;
}

/* cmd->info: what to say about it. */
static const char *set_idle_flag(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    int value;

    (void)dir;
    if (!err)
        err = mw_cmd_flag(cmd, arg, &value);
    if (!err)
        mw_cmd_remark(cmd, cmd->info);
    return err;
}

static const char *set_accept_mutex(cmd_parms *cmd, void *dir, const char *arg)
{
    static const char *const known[] = {"default", "flock",    "fcntl",
                                        "sysvsem", "posixsem", "pthread"};
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err)
        return err;
    for (size_t i = 0; i < MW_ARRAY_LEN(known); i++) {
        if (ap_cstr_casecmp(arg, known[i]) == 0) {
            mw_cmd_remark(
                cmd, "daemon processes do not accept connections, so there is nothing to lock");
            return NULL;
        }
    }
    return mw_cmd_complain(
        cmd,
        "Accept mutex lock mechanism '%s' is invalid. Valid accept mutex mechanisms "
        "are: default, flock, fcntl, sysvsem, posixsem, pthread",
        arg);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Server and sections, but never .htaccess: it says in which process somebody's code runs. */
#define OR_SECTIONS (RSRC_CONF | ACCESS_CONF)
#define DIR_FIELD(f) ((void *)offsetof(struct mw_dir_conf, f))
#define TEXT(s) ((void *)(uintptr_t)(s))

static const char match_form; /* its address says that the directive is the Match form */

const command_rec mw_directives[] = {
    AP_INIT_RAW_ARGS("WSGIScriptAlias", set_script_alias, NULL, RSRC_CONF,
                     "URL path, path of the script or of a directory of scripts, options"),
    AP_INIT_RAW_ARGS("WSGIScriptAliasMatch", set_script_alias, TEXT(&match_form), RSRC_CONF,
                     "regular expression for URL paths, path of the script, options"),
    AP_INIT_RAW_ARGS("WSGIDaemonProcess", set_daemon_process, NULL, RSRC_CONF,
                     "name of the group, options"),
    AP_INIT_RAW_ARGS("WSGIImportScript", set_import_script, NULL, RSRC_CONF,
                     "path of the script, process-group=, application-group="),
    AP_INIT_TAKE1("WSGIProcessGroup", mw_dirconf_name, TEXT(&mw_dirconf_process_group), OR_SECTIONS,
                  "name of a daemon process group, or %{GLOBAL}: embedded"),
    AP_INIT_TAKE1("WSGIApplicationGroup", mw_dirconf_name, TEXT(&mw_dirconf_application_group),
                  OR_SECTIONS, "name of an application group, or %{GLOBAL}: main interpreter"),
    AP_INIT_TAKE1("WSGICallableObject", mw_dirconf_name, TEXT(&mw_dirconf_callable), OR_FILEINFO,
                  "name of the application in the script"),
    AP_INIT_TAKE1("WSGIPassAuthorization", mw_dirconf_pass_auth, NULL, OR_FILEINFO,
                  "On, Off, or Auto: unless httpd authenticates"),
    AP_INIT_TAKE1("WSGIScriptReloading", mw_dirconf_flag, DIR_FIELD(script_reloading), OR_FILEINFO,
                  "On or Off: reload scripts that changed"),
    AP_INIT_TAKE1("WSGIChunkedRequest", mw_dirconf_flag, DIR_FIELD(chunked_request), OR_FILEINFO,
                  "On or Off: accept request bodies of unknown length"),
    AP_INIT_TAKE1("WSGIErrorOverride", mw_dirconf_flag, DIR_FIELD(error_override), OR_FILEINFO,
                  "On or Off: httpd's own pages for 4xx and 5xx of applications"),
    AP_INIT_TAKE1("WSGIMapHEADToGET", mw_dirconf_map_head, NULL, OR_FILEINFO,
                  "On, Off, or Auto: where an output filter needs the body"),
    AP_INIT_ITERATE("WSGIRestrictProcess", mw_dirconf_restrict_process, NULL, OR_SECTIONS,
                    "names of the process groups that may be used, %{GLOBAL}: embedded"),
    AP_INIT_RAW_ARGS("WSGIHandlerScript", mw_dirconf_handler_script, NULL, OR_SECTIONS,
                     "name of the handler, path of the script, options"),
    AP_INIT_TAKE1("WSGIPassApacheRequest", mw_dirconf_flag, DIR_FIELD(pass_apache_request),
                  OR_SECTIONS, "On or Off: apache.request_rec for extensions, embedded mode"),
    AP_INIT_TAKE1("WSGIEnableSendfile", mw_dirconf_flag, DIR_FIELD(enable_sendfile), OR_FILEINFO,
                  "On or Off: sendfile for what wsgi.file_wrapper returns"),
    AP_INIT_TAKE1("WSGIIgnoreActivity", mw_dirconf_flag, DIR_FIELD(ignore_activity), OR_FILEINFO,
                  "On or Off: these requests do not keep a process from inactivity-timeout"),
    AP_INIT_TAKE1(
        "WSGIRequestTimeout", mw_dirconf_request_timeout, NULL, OR_SECTIONS,
        "seconds a request may take, 0: no limit; in place of the group's request-timeout"),
    AP_INIT_ITERATE("WSGITrustedProxyHeaders", mw_dirconf_trusted_header, NULL, OR_FILEINFO,
                    "headers of proxies that may change the environ"),
    AP_INIT_ITERATE("WSGITrustedProxies", mw_dirconf_trusted_proxy, NULL, OR_FILEINFO,
                    "addresses and networks of the proxies whose headers count"),
    AP_INIT_TAKE1("WSGIPythonHome", set_python_home, NULL, RSRC_CONF,
                  "prefix of a Python installation, or a virtual environment"),
    AP_INIT_TAKE1("WSGIPythonPath", set_python_path, NULL, RSRC_CONF,
                  "directories with ':' between them, for embedded mode"),
    MW_INTERPRETER_COMMANDS,
    AP_INIT_TAKE1("WSGIControlSocket", set_control_socket, NULL, RSRC_CONF,
                  "path of the socket at which mod_wsgi-ctl reaches the supervisor, or Off"),
    AP_INIT_TAKE1("WSGIRestrictEmbedded", set_restrict_embedded, NULL, RSRC_CONF,
                  "On or Off: no Python in httpd's own processes"),
    AP_INIT_TAKE1("WSGISocketPrefix", set_socket_prefix, NULL, RSRC_CONF,
                  "accepted, without effect"),
    AP_INIT_TAKE1("WSGISocketRotation", set_idle_flag,
                  TEXT("connections to daemon processes have no socket file"), RSRC_CONF,
                  "accepted, without effect"),
    AP_INIT_TAKE1("WSGIAcceptMutex", set_accept_mutex, NULL, RSRC_CONF, "accepted, without effect"),
    AP_INIT_TAKE1("WSGIVerboseDebugging", set_idle_flag,
                  TEXT("use `LogLevel wsgi:debug` or `LogLevel wsgi:trace1`"), RSRC_CONF,
                  "accepted, without effect"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL},
};
