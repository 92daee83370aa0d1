/*
 * interpreter.c: see interpreter.h.
 */
#include "interpreter.h"

#include <string.h>

#include <apr_strings.h>

#include "cmd.h"
#include "env.h"

static struct mw_pyopts *options_of(const cmd_parms *cmd)
{
    return &mw_config_global(cmd->server)->py;
}

/* The row of this directive; every one that is in the table has one. */
static const struct mw_opt *row_of(const cmd_parms *cmd)
{
    return mw_opt_find(mw_pyopts_rows, mw_pyopts_nrows, cmd->cmd->name);
}

const char *mw_interpreter_set(cmd_parms *cmd, void *dir, const char *arg)
{
    const struct mw_opt *row = row_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    char why[200];
    int flag;

    (void)dir;
    if (err)
        return err;
    if (row->type == MW_OPT_BOOL) {
        err = mw_cmd_flag(cmd, arg, &flag);
        if (!err)
            mw_opt_put_number(row, options_of(cmd), flag);
        return err;
    }
    if (mw_opt_set(row, options_of(cmd), arg, why, sizeof(why)))
        return mw_cmd_complain(cmd, "'%s' %s", arg, why);
    return NULL;
}

const char *mw_interpreter_hash_seed(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err)
        return err;
    if (mw_pyopts_parse_seed(arg, &options_of(cmd)->hash_seed))
        return mw_cmd_complain(cmd, "'%s' must be random, or a whole number from 0 to 4294967295",
                               arg);
    return NULL;
}

const char *mw_interpreter_warnings(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mw_pyopts *o = options_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err)
        return err;
    if (mw_pyopts_check_warning(arg))
        return mw_cmd_complain(
            cmd,
            "'%s' is no warning filter: it must be action[:message[:category[:module[:line]]]], "
            "the action one of default, error, ignore, always, all, module, once",
            arg);
    o->warnings = o->warnings ? apr_pstrcat(cmd->pool, o->warnings, "\n", arg, NULL) : arg;
    return NULL;
}

const char *mw_interpreter_eggs(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *path = err || !*arg ? NULL : mw_cmd_path(cmd, arg);

    (void)dir;
    if (err)
        return err;
    if (!path)
        return mw_cmd_complain(cmd, "The argument must be a directory");
    options_of(cmd)->eggs = path;
    return NULL;
}

const char *mw_interpreter_switch_interval(cmd_parms *cmd, void *dir, const char *arg)
{
    const struct mw_opt *row = mw_opt_find(mw_spec_opts, mw_spec_nopts, "switch-interval");
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    struct mw_spec as_group;
    char why[200];

    (void)dir;
    if (err)
        return err;
    if (mw_opt_set(row, &as_group, arg, why, sizeof(why)))
        return apr_psprintf(cmd->pool, "%s must be a positive number of seconds. '%s' %s",
                            cmd->cmd->name, arg, why);
    options_of(cmd)->switch_interval_us = as_group.py.switch_interval_us;
    return NULL;
}

void mw_interpreter_inherit(struct mw_pyopts *group, const struct mw_pyopts *server)
{
    for (size_t i = 0; i < mw_pyopts_nrows; i++) {
        const struct mw_opt *row = &mw_pyopts_rows[i];
        if (mw_opt_is_string(row))
            mw_opt_put_string(row, group, mw_opt_string(row, server));
        else
            mw_opt_put_number(row, group, mw_opt_number(row, server));
    }
}

const char *mw_interpreter_check_env(apr_pool_t *p, const char *lines)
{
    unsigned n = 0;

    while (lines && *lines) {
        char *line = ap_getword(p, &lines, '\n');
        const char *name, *value, *why;
        n++;
        if (mw_env_split(line, &name, &value, &why))
            return apr_psprintf(p, "number %u of its env= options %s", n, why);
    }
    return NULL;
}
