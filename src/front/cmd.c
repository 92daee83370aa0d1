/*
 * cmd.c: helpers of directives. See cmd.h for who calls them.
 */
#include "cmd.h"

#include <stdarg.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define GROUP_GLOBAL "%{GLOBAL}"

const char *mw_cmd_where(const cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
}

const char *mw_cmd_complain(const cmd_parms *cmd, const char *fmt, ...)
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

static const char *bad_option(const cmd_parms *cmd, const struct mw_cmd_options *o,
                              const char *what)
{
    return mw_cmd_complain(cmd, "Invalid option to %s definition. %s%s; allowed options are %s",
                           o->noun, what, o->subject, names_of(cmd->pool, o->rows, o->nrows));
}

/* A value of MW_OPT_LINES is often itself a pair: KEY="two words". It ends at a blank that is not in
 * quotes, which stay where they are unless they are around it all. */
static const char *take_line(const cmd_parms *cmd, const char **line)
{
    const char *start = *line;
    const char *end = start;
    char quote = 0;

    if (*start == '"' || *start == '\'')
        return ap_getword_conf(cmd->pool, line);
    for (; *end && (quote || !apr_isspace(*end)); end++) {
        if (*end == quote)
            quote = 0;
        else if (!quote && (*end == '"' || *end == '\'') && end > start && end[-1] == '=')
            quote = *end;
    }
    *line = end;
    return apr_pstrmemdup(cmd->pool, start, (apr_size_t)(end - start));
}

/* Each use of such an option adds a line. No message shows one: it may hold a secret. */
static const char *add_line(const cmd_parms *cmd, const struct mw_cmd_options *o,
                            const struct mw_opt *row, const char *value)
{
    const char *before = mw_opt_string(row, o->base);
    char why[200];

    if (mw_opt_set(row, o->base, value, why, sizeof(why)))
        return mw_cmd_complain(cmd, "Invalid %s for %s%s: it %s", row->name, o->noun, o->subject,
                               why);
    if (before)
        mw_opt_put_string(row, o->base, apr_pstrcat(cmd->pool, before, "\n", value, NULL));
    return NULL;
}

/* Whether a word that is no option may be the rest of a value that must not be shown. */
static int holds_lines(const struct mw_cmd_options *o)
{
    for (size_t i = 0; i < o->nrows; i++)
        if (o->rows[i].type == MW_OPT_LINES && mw_opt_string(&o->rows[i], o->base))
            return 1;
    return 0;
}

/* One `name=value`; the value may be in quotes. */
static const char *parse_option(const cmd_parms *cmd, const struct mw_cmd_options *o,
                                const char **line)
{
    const char *start = *line;
    const char *end = start;
    const char *name, *value;
    const struct mw_opt *row;
    char why[200];

    while (*end && *end != '=' && !apr_isspace(*end))
        end++;
    name = apr_pstrmemdup(cmd->pool, start, (apr_size_t)(end - start));
    if ((*end != '=' || end == start) && holds_lines(o))
        return bad_option(cmd, o,
                          "A word after env= is not of the form name=value; a value with "
                          "blanks in it must be in quotes");
    if (*end != '=' || end == start)
        return bad_option(cmd, o,
                          apr_psprintf(cmd->pool, "'%s' is not of the form name=value", name));
    *line = end + 1;
    row = mw_opt_find(o->rows, o->nrows, name);
    if (row && row->type == MW_OPT_LINES)
        return add_line(cmd, o, row, take_line(cmd, line));
    value = apr_isspace(end[1]) ? "" : ap_getword_conf(cmd->pool, line);
    if (!row)
        return bad_option(cmd, o, apr_psprintf(cmd->pool, "There is no option '%s'", name));
    if (mw_opt_set(row, o->base, value, why, sizeof(why)))
        return mw_cmd_complain(cmd, "Invalid %s for %s%s: '%s' %s", name, o->noun, o->subject,
                               value, why);
    return NULL;
}

const char *mw_cmd_options(const cmd_parms *cmd, const struct mw_cmd_options *o, const char *line)
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

const char *mw_cmd_group(const char *name)
{
    return strcmp(name, GROUP_GLOBAL) == 0 ? "" : name;
}

struct mw_setting mw_cmd_setting(const cmd_parms *cmd, const char *value, int is_group)
{
    struct mw_setting s = {NULL, NULL};

    if (value) {
        s.value = is_group ? mw_cmd_group(value) : value;
        s.where = mw_cmd_where(cmd);
    }
    return s;
}

const char *mw_cmd_flag(const cmd_parms *cmd, const char *arg, int *out)
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

const char *mw_cmd_pass_auth(const cmd_parms *cmd, const char *text, int *out)
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
    return mw_cmd_complain(
        cmd, "Invalid value for authorization flag. '%s' must be one of: Off | On | Auto", text);
}

const char *mw_cmd_path(const cmd_parms *cmd, const char *path)
{
    return ap_server_root_relative(cmd->pool, path);
}

void mw_cmd_remark(const cmd_parms *cmd, const char *what)
{
    if (cmd->pool == cmd->temp_pool)
        return; /* an .htaccess: the list belongs to the whole server, and is long finished */
    APR_ARRAY_PUSH(mw_config_global(cmd->server)->remarks, const char *) = apr_psprintf(
        cmd->pool, "%s (%s) has no effect: %s", cmd->cmd->name, mw_cmd_where(cmd), what);
}
