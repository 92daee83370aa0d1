/*
 * mod_wsgi.c: the module record and its hooks, nothing else.
 */
#include <httpd.h>
#include <http_config.h>
#include <http_request.h>
#include <mpm_common.h>

#include "config.h"
#include "handler.h"
#include "life.h"
#include "resolve.h"

static void register_hooks(apr_pool_t *p)
{
    /* After mod_alias, so that Alias and Redirect win; before mod_userdir and mod_vhost_alias. */
    static const char *const alias_before[] = {"mod_alias.c", NULL};
    static const char *const alias_after[] = {"mod_userdir.c", "mod_vhost_alias.c", NULL};

    (void)p;
    ap_hook_check_config(mw_life_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(mw_life_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(mw_life_child_init, NULL, NULL, APR_HOOK_MIDDLE);
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 110) /* httpd 2.4.49 */
    ap_hook_child_stopping(mw_life_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
#endif
    ap_hook_child_status(mw_life_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(mw_life_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(mw_resolve_alias, alias_before, alias_after, APR_HOOK_MIDDLE);
    ap_hook_handler(mw_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(wsgi) = {
    STANDARD20_MODULE_STUFF, mw_config_create_dir, mw_config_merge_dir, mw_config_create_server,
    mw_config_merge_server,  mw_directives,        register_hooks,      0, /* flags */
};
