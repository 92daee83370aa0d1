/*
 * plugin.h: the Python runtime of a worker (py.h), a plugin: how it is loaded, what it is told of the group,
 * which scripts it imports first. Main thread only, each once, in this order.
 */
#ifndef MW_PLUGIN_H
#define MW_PLUGIN_H

#include "py.h"
#include "spec.h"

/* While still root and outside of any chroot; the file is httpd's, as this program is. Runs no Python.
 * MW_ENOENT, MW_EINVAL with `why`. */
MW_MUST_CHECK int mw_plugin_load(const struct mw_py_runtime **rt_r, const struct mw_spec *spec,
                                 char *why, size_t cap);

/* What mw_plugin_start is told of a group; `loaded` and its context
 * are for the caller to set. Borrows spec. */
struct mw_py_config mw_plugin_config(const struct mw_spec *spec);

/* Start Python. MW_E* with `why`. */
MW_MUST_CHECK int mw_plugin_start(const struct mw_py_runtime *rt, const struct mw_py_config *cfg,
                                  char *why, size_t cap);

/* A script that fails is logged by the runtime, and again at each request for it; the others serve. But
 * not where this process is to replace one that has it: that one serves better. *missing_r: how many failed.
 * MW_ENOENT with `why`: one that must not. */
MW_MUST_CHECK int mw_plugin_import(const struct mw_py_runtime *rt, const struct mw_spec *spec,
                                   unsigned *missing_r, char *why, size_t cap);

#endif
