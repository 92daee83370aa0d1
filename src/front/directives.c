/*
 * directives.c: the command table, and what each directive puts into the records of config.h.
 *
 * Called by httpd while it reads its configuration, and, for the directives that .htaccess may
 * hold, by any thread of a child. Every complaint names the directive, what is wrong and what is
 * allowed; httpd puts file and line in front of it.
 */
#include "config.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "identity.h"

#define GROUP_GLOBAL "%{GLOBAL}"

static const char *where_is(const cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
}

/* "WSGIScriptAlias: why" */
static const char *complain(const cmd_parms *cmd, const char *fmt, ...) MW_PRINTF(2, 3);
static const char *complain(const cmd_parms *cmd, const char *fmt, ...)
{
    va_list args;
    const char *why;

    va_start(args, fmt);
    why = apr_pvsprintf(cmd->pool, fmt, args);
    va_end(args);
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", why, NULL);
}

/* "a, b, c" of the rows' names. */
static const char *names_of(apr_pool_t *p, const struct mw_opt *rows, size_t nrows)
{
    const char *list = nrows ? rows[0].name : "";

    for (size_t i = 1; i < nrows; i++)
        list = apr_pstrcat(p, list, ", ", rows[i].name, NULL);
    return list;
}

/* Options of a directive: its rows, the record they fill, and how to speak of them. */
struct options {
    const struct mw_opt *rows;
    size_t nrows;
    void *base;
    const char *noun;    /* "WSGI daemon process" */
    const char *subject; /* " (group 'blog')", or "" */
};

static const char *bad_option(const cmd_parms *cmd, const struct options *o, const char *what)
{
    return complain(cmd, "Invalid option to %s definition. %s%s; allowed options are %s", o->noun,
                    what, o->subject, names_of(cmd->pool, o->rows, o->nrows));
}

/* One `name=value`; the value may be in quotes. */
static const char *parse_option(const cmd_parms *cmd, const struct options *o, const char **line)
{
    const char *start = *line;
    const char *end = start;
    const char *name, *value;
    const struct mw_opt *row;
    char why[200];

    while (*end && *end != '=' && !apr_isspace(*end))
        end++;
    name = apr_pstrmemdup(cmd->pool, start, (apr_size_t)(end - start));
    if (*end != '=' || end == start)
        return bad_option(cmd, o,
                          apr_psprintf(cmd->pool, "'%s' is not of the form name=value", name));
    *line = end + 1;
    value = apr_isspace(end[1]) ? "" : ap_getword_conf(cmd->pool, line);
    row = mw_opt_find(o->rows, o->nrows, name);
    if (!row)
        return bad_option(cmd, o, apr_psprintf(cmd->pool, "There is no option '%s'", name));
    if (mw_opt_set(row, o->base, value, why, sizeof(why)))
        return complain(cmd, "Invalid %s for %s%s: '%s' %s", name, o->noun, o->subject, value, why);
    return NULL;
}

static const char *parse_options(const cmd_parms *cmd, const struct options *o, const char *line)
{
    for (;;) {
        const char *err;
        while (apr_isspace(*line))
            line++;
        if (!*line)
            return NULL;
        err = parse_option(cmd, o, &line);
        if (err)
            return err;
    }
}

/* %{GLOBAL} is the only token whose value is known before there is a request. */
static const char *fold_global(const char *name)
{
    return strcmp(name, GROUP_GLOBAL) == 0 ? "" : name;
}

static struct mw_setting setting_of(const cmd_parms *cmd, const char *value, int is_group)
{
    struct mw_setting s = {NULL, NULL};

    if (value) {
        s.value = is_group ? fold_global(value) : value;
        s.where = where_is(cmd);
    }
    return s;
}

/* ---- WSGIDaemonProcess ----------------------------------------------------------------------- */

static const char *check_group_name(const cmd_parms *cmd, const struct mw_config *cfg,
                                    const char *name)
{
    const struct mw_group *other;

    if (!*name)
        return complain(cmd, "Name of WSGI daemon process not supplied. The first argument is the "
                             "name of the group");
    if (*name == '%')
        return complain(cmd,
                        "Invalid name for WSGI daemon process. '%s': a name must not begin with "
                        "'%%'",
                        name);
    for (const char *c = name; *c; c++)
        if (apr_iscntrl(*c))
            return complain(cmd,
                            "Invalid name for WSGI daemon process. A name must not hold control "
                            "characters");
    other = mw_config_group(cfg, name);
    if (other)
        return complain(cmd,
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
    const char *option = "user";
    const char *why = NULL;

    if (spec->user) {
        why = mw_identity_user(cmd->pool, spec->user, &id);
        if (!why && id.uid == 0)
            return complain(cmd,
                            "WSGI process blocked from running as root. user=%s%s has user number "
                            "0; name another user",
                            spec->user, subject);
    }
    if (!why && spec->group) {
        option = "group";
        why = mw_identity_group(cmd->pool, spec->group, &gid);
    }
    if (why)
        return complain(cmd, "Invalid %s for WSGI daemon process%s: %s", option, subject, why);
    if (spec->chroot && geteuid() != 0)
        return complain(cmd, "Cannot chroot WSGI daemon process when not root. chroot=%s%s",
                        spec->chroot, subject);
    return NULL;
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
    struct options o = {mw_spec_opts, mw_spec_nopts, &g->spec, "WSGI daemon process", ""};
    const char *err;

    (void)dir;
    mw_opt_defaults(mw_spec_opts, mw_spec_nopts, &g->spec);
    g->spec.name = ap_getword_conf(cmd->pool, &args);
    g->spec.uid = -1;
    g->spec.gid = -1;
    g->server = cmd->server;
    g->where = where_is(cmd);
    err = check_group_name(cmd, cfg, g->spec.name);
    if (err)
        return err;
    o.subject = apr_psprintf(cmd->pool, " (group '%s')", g->spec.name);
    err = parse_options(cmd, &o, args);
    if (!err)
        err = check_identity(cmd, &g->spec, o.subject);
    if (err)
        return err;
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

static const char *parse_pass_auth(const cmd_parms *cmd, const char *text, int *out)
{
    static const struct {
        const char *name;
        enum mw_pass_auth value;
    } rows[] = {{"On", MW_PASS_ON}, {"Off", MW_PASS_OFF}, {"Auto", MW_PASS_AUTO}};

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++) {
        if (ap_cstr_casecmp(text, rows[i].name) == 0) {
            *out = rows[i].value;
            return NULL;
        }
    }
    return complain(
        cmd, "Invalid value for authorization flag. '%s' must be one of: Off | On | Auto", text);
}

/* Import the script when the group's processes start. */
static const char *add_import(const cmd_parms *cmd, const char *script,
                              const struct script_options *opts, int from_alias)
{
    struct mw_config *cfg = mw_config_global(cmd->server);
    struct mw_import im = {0};

    im.script = script;
    im.process_group = fold_global(opts->process_group);
    im.application_group = fold_global(opts->application_group);
    im.server = cmd->server;
    im.where = where_is(cmd);
    im.from_alias = from_alias;
    if (*im.process_group && !mw_config_group(cfg, im.process_group))
        return complain(cmd,
                        "WSGI process group not yet configured. No WSGIDaemonProcess before this "
                        "line defines '%s', whose processes are to import the script",
                        im.process_group);
    APR_ARRAY_PUSH(cfg->imports, struct mw_import) = im;
    return NULL;
}

/* A name with a token in it has its value only when there is a request. */
static int is_fixed(const char *name)
{
    return name && !strstr(fold_global(name), "%{");
}

static const char *preload_alias(const cmd_parms *cmd, const struct mw_alias *a,
                                 const struct script_options *opts)
{
    if (!is_fixed(opts->process_group) || !is_fixed(opts->application_group) ||
        (a->regexp && strchr(a->target, '$')))
        return NULL;
    return add_import(cmd, a->target, opts, 1);
}

/* Absolute, without "//", "/./" or "/../"; a slash at the end stays. NULL if it is no path. */
static const char *full_path(const cmd_parms *cmd, const char *path)
{
    return ap_server_root_relative(cmd->pool, path);
}

static const char *check_alias(const cmd_parms *cmd, struct mw_alias *a, int is_match)
{
    const char *target = a->target;

    if (!*a->url_path || !*target)
        return complain(cmd, "requires at least two arguments, a %s and the path of a script",
                        is_match ? "regular expression" : "URL path");
    if (is_match) {
        a->regexp = ap_pregcomp(cmd->pool, a->url_path, AP_REG_EXTENDED);
        if (!a->regexp)
            return complain(cmd, "Regular expression could not be compiled. '%s'", a->url_path);
    } else if (*a->url_path != '/')
        return complain(cmd, "The URL path '%s' must begin with '/'", a->url_path);
    if (!(is_match && strchr(target, '$')))
        target = full_path(cmd, target);
    if (!target)
        return complain(cmd, "The path of the script, '%s', is invalid", a->target);
    a->target = target;
    return NULL;
}

static const char *set_script_alias(cmd_parms *cmd, void *dir, const char *args)
{
    struct mw_server_conf *conf = mw_config_server(cmd->server);
    struct script_options opts = {0};
    const struct options o = {script_opts, MW_ARRAY_LEN(script_opts), &opts, "WSGI script alias",
                              ""};
    struct mw_alias a = {0};
    const char *err;

    (void)dir;
    a.url_path = ap_getword_conf(cmd->pool, &args);
    a.target = ap_getword_conf(cmd->pool, &args);
    a.pass_authorization = MW_PASS_UNSET;
    err = check_alias(cmd, &a, cmd->info != NULL);
    if (!err)
        err = parse_options(cmd, &o, args);
    if (!err && opts.pass_authorization)
        err = parse_pass_auth(cmd, opts.pass_authorization, &a.pass_authorization);
    if (!err)
        err = preload_alias(cmd, &a, &opts);
    if (err)
        return err;
    a.process_group = setting_of(cmd, opts.process_group, 1);
    a.application_group = setting_of(cmd, opts.application_group, 1);
    a.callable = setting_of(cmd, opts.callable, 0);
    APR_ARRAY_PUSH(conf->aliases, struct mw_alias) = a;
    return NULL;
}

static const char *set_import_script(cmd_parms *cmd, void *dir, const char *args)
{
    struct script_options opts = {0};
    const struct options o = {script_opts, IMPORT_NOPTS, &opts, "WSGI import script", ""};
    const char *path = ap_getword_conf(cmd->pool, &args);
    const char *script, *err;

    (void)dir;
    if (!*path)
        return complain(cmd,
                        "Location of import script not supplied. The first argument is the path "
                        "of a script");
    script = full_path(cmd, path);
    if (!script)
        return complain(cmd, "The path of the script, '%s', is invalid", path);
    err = parse_options(cmd, &o, args);
    if (err)
        return err;
    if (!opts.process_group)
        return complain(cmd, "Name of WSGI process group required. Add process-group=");
    if (!opts.application_group)
        return complain(cmd, "Name of WSGI application group required. Add application-group=");
    return add_import(cmd, script, &opts, 0);
}

/* ---- per directory --------------------------------------------------------------------------- */

/* A directive with one name: which field, and what the name is called. */
struct name_row {
    size_t off;
    const char *noun;
    int is_group;
};

static const struct name_row process_group_row = {offsetof(struct mw_dir_conf, process_group),
                                                  "process group", 1};
static const struct name_row application_group_row = {
    offsetof(struct mw_dir_conf, application_group), "application group", 1};
static const struct name_row callable_row = {offsetof(struct mw_dir_conf, callable),
                                             "callable object", 0};

static const char *set_name(cmd_parms *cmd, void *dir, const char *arg)
{
    const struct name_row *row = cmd->info;

    if (!*arg)
        return complain(cmd, "Invalid name for WSGI %s. It must not be empty", row->noun);
    *(struct mw_setting *)((char *)dir + row->off) = setting_of(cmd, arg, row->is_group);
    return NULL;
}

static const char *parse_flag(const cmd_parms *cmd, const char *arg, int *out)
{
    if (ap_cstr_casecmp(arg, "On") == 0)
        *out = 1;
    else if (ap_cstr_casecmp(arg, "Off") == 0)
        *out = 0;
    else
        return apr_psprintf(cmd->pool, "%s must be one of: Off | On; '%s' is neither",
                            cmd->cmd->name, arg);
    return NULL;
}

/* cmd->info: the field's offset in struct mw_dir_conf. */
static const char *set_dir_flag(cmd_parms *cmd, void *dir, const char *arg)
{
    return parse_flag(cmd, arg, (int *)((char *)dir + (size_t)cmd->info));
}

static const char *set_pass_authorization(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_dir_conf *conf = dir;

    return parse_pass_auth(cmd, arg, &conf->pass_authorization);
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
    home = *arg ? full_path(cmd, arg) : NULL;
    if (!home)
        return complain(cmd,
                        "The argument must be the prefix of a Python installation or a virtual "
                        "environment");
    cfg->python_home = setting_of(cmd, home, 0);
    return NULL;
}

static const char *set_python_path(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err)
        return err;
    if (!*arg)
        return complain(cmd, "The argument must be directories with ':' between them");
    mw_config_global(cmd->server)->python_path = arg;
    return NULL;
}

static const char *set_restrict_embedded(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return err ? err : parse_flag(cmd, arg, &mw_config_global(cmd->server)->restrict_embedded);
}

/* Directives of mod_wsgi 6.0.5 that ask for what is done another way here: checked, said, not
 * used. */

static void remark(const cmd_parms *cmd, const char *what)
{
    APR_ARRAY_PUSH(mw_config_global(cmd->server)->remarks, const char *) = apr_psprintf(
        cmd->pool, "%s (%s) has no effect: %s", cmd->cmd->name, where_is(cmd), what);
}

static const char *set_socket_prefix(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err)
        return err;
    if (!*arg || !full_path(cmd, arg))
        return apr_psprintf(cmd->pool, "Invalid WSGISocketPrefix '%s'. It must be a path", arg);
    remark(cmd,
           "connections to daemon processes are handed over by the supervisor, no socket file is "
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
        err = parse_flag(cmd, arg, &value);
    if (!err)
        remark(cmd, cmd->info);
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
            remark(cmd, "daemon processes do not accept connections, so there is nothing to lock");
            return NULL;
        }
    }
    return complain(cmd,
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
    AP_INIT_TAKE1("WSGIProcessGroup", set_name, TEXT(&process_group_row), OR_SECTIONS,
                  "name of a daemon process group, or %{GLOBAL}: embedded"),
    AP_INIT_TAKE1("WSGIApplicationGroup", set_name, TEXT(&application_group_row), OR_SECTIONS,
                  "name of an application group, or %{GLOBAL}: main interpreter"),
    AP_INIT_TAKE1("WSGICallableObject", set_name, TEXT(&callable_row), OR_FILEINFO,
                  "name of the application in the script"),
    AP_INIT_TAKE1("WSGIPassAuthorization", set_pass_authorization, NULL, OR_FILEINFO,
                  "On, Off, or Auto: unless httpd authenticates"),
    AP_INIT_TAKE1("WSGIScriptReloading", set_dir_flag, DIR_FIELD(script_reloading), OR_FILEINFO,
                  "On or Off: reload scripts that changed"),
    AP_INIT_TAKE1("WSGIChunkedRequest", set_dir_flag, DIR_FIELD(chunked_request), OR_FILEINFO,
                  "On or Off: accept request bodies of unknown length"),
    AP_INIT_TAKE1("WSGIPythonHome", set_python_home, NULL, RSRC_CONF,
                  "prefix of a Python installation, or a virtual environment"),
    AP_INIT_TAKE1("WSGIPythonPath", set_python_path, NULL, RSRC_CONF,
                  "directories with ':' between them, for embedded mode"),
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
