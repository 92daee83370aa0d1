/*
 * config.h (front): what the configuration said, per server and per directory. Built by
 * directives.c in httpd's configuration pool, completed by mw_config_finish in post_config, then
 * immutable.
 */
#ifndef MW_FRONT_CONFIG_H
#define MW_FRONT_CONFIG_H

#include <httpd.h>
#include <http_config.h>

#include "spec.h"
#include "trust.h"

/* A configured text and where it was set, for messages: "/etc/apache2/sites-enabled/x.conf:12". */
struct mw_setting {
    const char *value; /* NULL: not set here */
    const char *where; /* NULL if value is */
};

/* A WSGIDaemonProcess. */
struct mw_group {
    struct mw_spec spec;
    server_rec *server; /* that defined it: its ErrorLog gets the workers' lines */
    const char *where;
    unsigned index;     /* in mw_config.groups */
    int64_t script_uid; /* of script-user= (owner.h); -1: not set */
    int64_t script_gid; /* of script-group=; -1: not set */
};

/* A WSGIScriptAlias or WSGIScriptAliasMatch. */
struct mw_alias {
    const char *url_path; /* as configured; for messages, and to match when regexp is NULL */
    ap_regex_t *regexp;   /* NULL: prefix */
    const char *target;   /* absolute path; Match: may hold $0 to $9 */
    struct mw_setting process_group;
    struct mw_setting application_group;
    struct mw_setting callable;
    int pass_authorization; /* enum mw_pass_auth; MW_PASS_UNSET */
};

/* A WSGIHandlerScript: the script that answers what httpd gives this handler. */
struct mw_handler_script {
    const char *handler;
    const char *script; /* absolute path */
    struct mw_setting process_group;
    struct mw_setting application_group;
    int pass_authorization; /* enum mw_pass_auth */
};

enum mw_pass_auth { MW_PASS_UNSET = -1, MW_PASS_OFF = 0, MW_PASS_ON = 1, MW_PASS_AUTO = 2 };

/* Whether applications see HEAD as GET. MW_MAP_AUTO: where an output filter needs the body to make
 * the header. */
enum mw_map_head { MW_MAP_UNSET = -1, MW_MAP_OFF = 0, MW_MAP_ON = 1, MW_MAP_AUTO = 2 };

/* A script to import when a process starts. */
struct mw_import {
    const char *script;
    const char *process_group; /* "": embedded */
    const char *application_group;
    server_rec *server; /* that asked for it */
    const char *where;
    int from_alias; /* preloading of a WSGIScriptAlias, not a WSGIImportScript */
};

/* Whole server; hangs on the main server's configuration record. */
struct mw_config {
    apr_array_header_t *groups;       /* struct mw_group * */
    apr_array_header_t *imports;      /* struct mw_import */
    struct mw_setting python_home;    /* embedded, and default for groups */
    const char *python_path;          /* ':'-separated or NULL */
    struct mw_pyopts py;              /* eggs and switch interval: of embedded mode */
    struct mw_setting control_socket; /* absolute path; not set: in httpd's runtime directory */
    int no_control_socket;            /* WSGIControlSocket Off */
    int restrict_embedded;            /* -1: not set */
    int limits_requests;              /* there is a WSGIRequestTimeout that is no 0 */
    apr_array_header_t *remarks;      /* const char *: logged at info by mw_config_finish */
    int finished;                     /* mw_config_finish said OK already */
};

/* Per server (main and virtual hosts). */
struct mw_server_conf {
    struct mw_config *global;          /* the same one for all */
    apr_array_header_t *aliases;       /* struct mw_alias; this server's own, in order */
    const struct mw_server_conf *main; /* main server's, after the merge; NULL in it */
};

/* Per directory; the main server's and virtual hosts' values are in their default one. */
struct mw_dir_conf {
    struct mw_setting process_group;
    struct mw_setting application_group;
    struct mw_setting callable;
    int pass_authorization; /* enum mw_pass_auth */
    int script_reloading;   /* -1: not set */
    int chunked_request;    /* -1: not set, as those below */
    int error_override;
    int pass_apache_request;
    int enable_sendfile; /* -1: as httpd's EnableSendfile */
    int ignore_activity;
    int64_t request_timeout_ms;              /* -1: not set */
    int map_head;                            /* enum mw_map_head */
    apr_array_header_t *restrict_process;    /* const char *: groups; NULL: not set */
    apr_array_header_t *handlers;            /* struct mw_handler_script; NULL: none */
    struct mw_trust_listed *trusted_headers; /* NULL: not set */
    apr_array_header_t *trusted_proxies;     /* struct mw_trust_net; NULL: not set */
};

extern const command_rec mw_directives[]; /* directives.c */

void *mw_config_create_server(apr_pool_t *p, server_rec *s);
void *mw_config_merge_server(apr_pool_t *p, void *base, void *add);
void *mw_config_create_dir(apr_pool_t *p, char *dir);
void *mw_config_merge_dir(apr_pool_t *p, void *base, void *add);

struct mw_server_conf *mw_config_server(server_rec *s);
struct mw_dir_conf *mw_config_dir(request_rec *r);
struct mw_config *mw_config_global(server_rec *s);

/* The definition of a handler of that name in this directory, or NULL. */
const struct mw_handler_script *mw_config_handler(const struct mw_dir_conf *dir, const char *name);

/* The group of that name, or NULL. */
const struct mw_group *mw_config_group(const struct mw_config *cfg, const char *name);

/* Whether requests of this server may use the group: it was defined outside of virtual hosts, in
 * this one, or in one with the same ServerName. */
int mw_config_reachable(const struct mw_group *g, const server_rec *s);

/* Complete and check everything that needs the whole configuration: users, homes, runtimes,
 * preloads. Called in the httpd parent, by check_config or post_config; a second call for the
 * same configuration does nothing. Under WSGIRestrictEmbedded On, embedded imports that came from
 * aliases are dropped, so that whatever is left in cfg->imports for "" does need embedded Python.
 * Logs what is wrong (directive, place, what is allowed) and returns HTTP_INTERNAL_SERVER_ERROR,
 * or OK. */
int mw_config_finish(struct mw_config *cfg, apr_pool_t *p, server_rec *s);

/* Path of a file that was built with the module and lies beside it, e.g. "wsgi-worker". */
const char *mw_config_beside(apr_pool_t *p, const char *file);

/* The runtime plugin for a Python home (NULL: the default Python of the build), seen from root: "",
 * or the directory that will be the process's root. On failure NULL
 * and *why is a sentence: which file is missing and how to build it, or what is wrong with the
 * home. */
const char *mw_config_runtime(apr_pool_t *p, const char *root, const char *home, const char **why);

/* The files that a process with this Python home must be able to read, NULL at the end, as it sees
 * them; root: "", or the directory that will be its root. */
const char *const *mw_config_home_files(apr_pool_t *p, const char *root, const char *home);

#endif
