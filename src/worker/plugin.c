/*
 * plugin.c: see plugin.h. What is told to Python comes from the specification only.
 */
#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>

#include "log.h"
#include "monitor.h"
#include "service.h"
#include "variables.h"

int mw_plugin_load(const struct mw_py_runtime **rt_r, const struct mw_spec *spec, char *why,
                   size_t cap)
{
    const struct mw_py_runtime *rt;
    void *so;

    if (!spec->runtime) {
        snprintf(why, cap, "the group has no Python runtime");
        return MW_ENOENT;
    }
    so = dlopen(spec->runtime, RTLD_NOW | RTLD_GLOBAL);
    rt = so ? dlsym(so, MW_PY_SYMBOL) : NULL;
    if (!rt) {
        snprintf(why, cap, "%s; build it with ./dev build --python PATH", dlerror());
        return MW_ENOENT;
    }
    if (rt->abi != MW_PY_ABI) {
        snprintf(why, cap, "%s is of another version of this module (%u, not %u); build it again",
                 spec->runtime, rt->abi, MW_PY_ABI);
        return MW_EINVAL;
    }
    *rt_r = rt;
    return 0;
}

static void python_line(void *ctx, int level, const char *line, size_t n)
{
    (void)ctx;
    mw_log(level, NULL, "%.*s", n < MW_LOG_LINE_MAX ? (int)n : MW_LOG_LINE_MAX, line);
}

struct mw_py_config mw_plugin_config(const struct mw_spec *spec)
{
    struct mw_py_config cfg = {.home = spec->python_home,
                               .path = spec->python_path,
                               .cwd_path = spec->home,
                               .process_group = spec->name,
                               .threads = (unsigned)spec->threads,
                               .processes = mw_spec_processes(spec),
                               .service = mw_service_is(spec),
                               .run_once = mw_monitor_serves_once(spec),
                               .main_alias = 1,
                               .server_version = {(unsigned)(spec->server_version >> 16 & 0xff),
                                                  (unsigned)(spec->server_version >> 8 & 0xff),
                                                  (unsigned)(spec->server_version & 0xff)},
                               .server_banner = spec->server_banner,
                               .server_built = spec->server_built,
                               .mpm_name = spec->mpm_name,
                               .mpm_threads = (unsigned)spec->mpm_threads,
                               .mpm_processes = (unsigned)spec->mpm_processes,
                               .opts = spec->py,
                               .log = python_line};

    if (mw_service_is(spec))
        cfg.opts.restrict_signal = 0; /* they are the script's */
    if (mw_variables_other_encoding(spec))
        cfg.opts.utf8 = 0;
    return cfg;
}

int mw_plugin_start(const struct mw_py_runtime *rt, const struct mw_py_config *cfg, char *why,
                    size_t cap)
{
    why[0] = '\0';
    int rv = rt->start(cfg, why, cap);
    if (rv && !why[0])
        snprintf(why, cap, "%s", mw_err_text(rv));
    return rv;
}

int mw_plugin_import(const struct mw_py_runtime *rt, const struct mw_spec *spec,
                     unsigned *missing_r, char *why, size_t cap)
{
    *missing_r = 0;
    for (uint32_t i = 0; i < spec->npreload; i++) {
        const struct mw_preload *p = &spec->preload[i];
        int rv = rt->preload(p->script, p->app_group, p->explicit_group, p->callable);
        if (rv == 0 || (p->must && rv == MW_ENOENT))
            continue; /* one that is gone is no reason to keep the old code */
        if (p->must) {
            snprintf(why, cap, "'%s' cannot be imported, the log has the reason above",
                     p->script.p);
            return MW_ENOENT;
        }
        (*missing_r)++;
    }
    return 0;
}
