/*
 * embed.h: the Python runtime of an httpd child: loaded and started at the first embedded request, or at
 * child start when the configuration preloads scripts in embedded mode.
 */
#ifndef MW_FRONT_EMBED_H
#define MW_FRONT_EMBED_H

#include <apr_pools.h>

#include "config.h"
#include "py.h"

struct mw_embed;

/* Stopped when pchild is destroyed. */
struct mw_embed *mw_embed_create(apr_pool_t *pchild, server_rec *s, const struct mw_config *config);

/* The running runtime; starts it if need be (any thread; others wait). NULL: it cannot be started, which
 * has been logged once. */
const struct mw_py_runtime *mw_embed_runtime(struct mw_embed *e);

/* True if the configuration asks for scripts to be imported at child start. */
int mw_embed_wanted(const struct mw_config *config);

#endif
