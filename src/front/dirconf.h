/*
 * dirconf.h: the directives whose values are in struct mw_dir_conf, for the table in directives.c.
 * The functions have httpd's signatures of commands.
 */
#ifndef MW_FRONT_DIRCONF_H
#define MW_FRONT_DIRCONF_H

#include "config.h"

/* A directive with one name: which field, and what the name is called. cmd->info of
 * mw_dirconf_name. */
struct mw_dirconf_name {
    size_t off;
    const char *noun;
    int is_group;
};
extern const struct mw_dirconf_name mw_dirconf_process_group, mw_dirconf_application_group,
    mw_dirconf_callable;

const char *mw_dirconf_name(cmd_parms *cmd, void *dir, const char *arg);

/* cmd->info: the field's offset in struct mw_dir_conf. */
const char *mw_dirconf_flag(cmd_parms *cmd, void *dir, const char *arg);

const char *mw_dirconf_pass_auth(cmd_parms *cmd, void *dir, const char *arg);

const char *mw_dirconf_request_timeout(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_dirconf_map_head(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_dirconf_handler_script(cmd_parms *cmd, void *dir, const char *args);

/* Called for each argument; the lists of one scope grow. */
const char *mw_dirconf_restrict_process(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_dirconf_trusted_header(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_dirconf_trusted_proxy(cmd_parms *cmd, void *dir, const char *arg);

#endif
