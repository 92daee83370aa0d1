/*
 * interpreter.h: the directives about the Python interpreter (pyopts.h), for the table in
 * directives.c, and what groups have of them. The functions that take a cmd_parms have httpd's
 * signatures of commands and run while httpd reads its configuration.
 */
#ifndef MW_FRONT_INTERPRETER_H
#define MW_FRONT_INTERPRETER_H

#include "config.h"

/* The directives whose row of mw_pyopts_rows says it all, and those with rules of their own. */
const char *mw_interpreter_set(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_interpreter_hash_seed(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_interpreter_warnings(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_interpreter_eggs(cmd_parms *cmd, void *dir, const char *arg);
const char *mw_interpreter_switch_interval(cmd_parms *cmd, void *dir, const char *arg);

/* What the directives said into a group's record; its own options stay. */
void mw_interpreter_inherit(struct mw_pyopts *group, const struct mw_pyopts *server);

/* NULL, or what is wrong with the variables of env=, as the end of a sentence without a value. */
const char *mw_interpreter_check_env(apr_pool_t *p, const char *lines);

#define MW_INTERPRETER_COMMANDS                                                              \
    AP_INIT_TAKE1("WSGIPythonOptimize", mw_interpreter_set, NULL, RSRC_CONF,                 \
                  "number: as often as python -O"),                                          \
        AP_INIT_TAKE1("WSGIPythonHashSeed", mw_interpreter_hash_seed, NULL, RSRC_CONF,       \
                      "random, or a number from 0 to 4294967295"),                           \
        AP_INIT_TAKE1("WSGIPythonWarnings", mw_interpreter_warnings, NULL, RSRC_CONF,        \
                      "filter as for python -W; may be repeated"),                           \
        AP_INIT_TAKE1("WSGIPythonEggs", mw_interpreter_eggs, NULL, RSRC_CONF,                \
                      "directory in which eggs are unpacked, for embedded mode"),            \
        AP_INIT_TAKE1("WSGIDontWriteBytecode", mw_interpreter_set, NULL, RSRC_CONF,          \
                      "On or Off: write no .pyc files"),                                     \
        AP_INIT_TAKE1("WSGIRestrictStdin", mw_interpreter_set, NULL, RSRC_CONF,              \
                      "On or Off: every use of sys.stdin raises OSError"),                   \
        AP_INIT_TAKE1("WSGIRestrictStdout", mw_interpreter_set, NULL, RSRC_CONF,             \
                      "On or Off: every use of sys.stdout raises OSError"),                  \
        AP_INIT_TAKE1("WSGIRestrictSignal", mw_interpreter_set, NULL, RSRC_CONF,             \
                      "On or Off: keep applications from installing signal handlers"),       \
        AP_INIT_TAKE1("WSGISwitchInterval", mw_interpreter_switch_interval, NULL, RSRC_CONF, \
                      "seconds, for sys.setswitchinterval in embedded mode"),                \
        AP_INIT_TAKE1("WSGIDestroyInterpreter", mw_interpreter_set, NULL, RSRC_CONF,         \
                      "On or Off: join threads and run atexit functions at the end"),        \
        AP_INIT_TAKE1("WSGICaseSensitivity", mw_interpreter_set, NULL, RSRC_CONF,            \
                      "On or Off: whether paths that differ in case are different scripts"), \
        AP_INIT_TAKE1("WSGIPerInterpreterGIL", mw_interpreter_set, NULL, RSRC_CONF,          \
                      "On or Off: a GIL for each sub-interpreter"),                          \
        AP_INIT_TAKE1("WSGIFreeThreading", mw_interpreter_set, NULL, RSRC_CONF,              \
                      "On or Off: no GIL, where Python is built for it")

#endif
