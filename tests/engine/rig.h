/*
 * rig.h: the runtime plugin under test, and requests for it. One process starts it once.
 */
#ifndef RIG_H
#define RIG_H

#include "chan_mem.h"
#include "py.h"

/* dlopen what the environment's MW_RUNTIME names; ends the program if that is not possible. */
const struct mw_py_runtime *rig_runtime(void);

/* A configuration for embedded mode whose log goes to the text below. */
struct mw_py_config rig_config(void);

/* What was logged outside of requests since the last rig_log_clear, as "level text\n". Borrowed. */
const char *rig_log(void);
void rig_log_clear(void);

/* "<source>/tests/engine/apps/<name>". The result is one of a few buffers of this thread. */
const char *rig_app(const char *name);

/* Prepare a request for one of the applications with the pairs that every request has. */
void rig_request(struct chan_mem *m, const char *script, const char *callable);

/* rig_request, chan_mem_open, serve. */
void rig_serve(struct chan_mem *m, const char *script, const char *callable);

#endif
