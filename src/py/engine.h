/*
 * engine.h: a way of running applications. WSGI is one; what serves requests knows only this row.
 */
#ifndef MW_PY_ENGINE_H
#define MW_PY_ENGINE_H

#include "chan.h"

struct mw_py_interp;

struct mw_py_engine {
    const char *name;

    /* Run the application for c->req in that interpreter and end c on every path. Called without
     * the GIL, which the engine takes and gives up as it needs: the last bytes of an answer need
     * none. reload: the script was found to be out of date. */
    enum mw_end (*serve)(struct mw_py_interp *in, struct mw_chan *c, int reload);
};

extern const struct mw_py_engine mw_py_wsgi; /* wsgi.c */

#endif
