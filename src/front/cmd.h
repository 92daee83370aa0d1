/*
 * cmd.h: what directives have in common: complaints, options, flags, names, remarks. Called by
 * directives.c and dirconf.c while httpd reads its configuration, and by any thread of a child that
 * reads an .htaccess. Results live in cmd->pool.
 */
#ifndef MW_FRONT_CMD_H
#define MW_FRONT_CMD_H

#include "config.h"

/* "FILE:LINE" of the directive. */
const char *mw_cmd_where(const cmd_parms *cmd);

/* "WSGIScriptAlias: why" */
const char *mw_cmd_complain(const cmd_parms *cmd, const char *fmt, ...) MW_PRINTF(2, 3);

/* Options of a directive: its rows, the record they fill, and how to speak of them. */
struct mw_cmd_options {
    const struct mw_opt *rows;
    size_t nrows;
    void *base;
    const char *noun;    /* "WSGI daemon process" */
    const char *subject; /* " (group 'blog')", or "" */
};

/* The rest of a line: `name=value` any number of times; a value may be in quotes. NULL or a
 * complaint, as the others. */
const char *mw_cmd_options(const cmd_parms *cmd, const struct mw_cmd_options *o, const char *line);

/* The name, "" for %{GLOBAL}: the only token whose value is known before there is a request. */
const char *mw_cmd_group(const char *name);
struct mw_setting mw_cmd_setting(const cmd_parms *cmd, const char *value, int is_group);

const char *mw_cmd_flag(const cmd_parms *cmd, const char *arg, int *out);
const char *mw_cmd_pass_auth(const cmd_parms *cmd, const char *text, int *out);

/* Absolute, without "//", "/./" or "/../"; a slash at the end stays. NULL if it is no path. */
const char *mw_cmd_path(const cmd_parms *cmd, const char *path);

/* Have "WSGIX (FILE:LINE) has no effect: what" logged when the configuration has been read. Nothing
 * in an .htaccess, which is read for each request. */
void mw_cmd_remark(const cmd_parms *cmd, const char *what);

#endif
