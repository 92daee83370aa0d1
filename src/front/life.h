/*
 * life.h: httpd's life cycle: configuration generations, supervisors, children.
 */
#ifndef MW_FRONT_LIFE_H
#define MW_FRONT_LIFE_H

#include <httpd.h>
#include <http_config.h>
#include <ap_mpm.h>

int mw_life_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
int mw_life_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
void mw_life_child_init(apr_pool_t *pchild, server_rec *s);
void mw_life_child_stopping(apr_pool_t *pchild, int graceful);
void mw_life_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                          mpm_child_status state);
int mw_life_monitor(apr_pool_t *p, server_rec *s);

#endif
