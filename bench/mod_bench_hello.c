/*
 * mod_bench_hello.c: the least that a module can do for an answer; what ./dev bench holds mod_wsgi against.
 */
#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

static const char hello[] = "Hello, world!\n";

static int handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "bench-hello") != 0)
        return DECLINED;
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, sizeof hello - 1);
    ap_rwrite(hello, sizeof hello - 1, r);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA bench_hello_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0,
};
