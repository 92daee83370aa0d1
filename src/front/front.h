/*
 * front.h: what one httpd child knows: struct mw_front, the module's only process-wide state besides
 * the log sink. Set by mw_life_child_init before the first request and constant afterwards.
 */
#ifndef MW_FRONT_FRONT_H
#define MW_FRONT_FRONT_H

#include <httpd.h>

struct mw_config;
struct mw_embed;
struct mw_endpoint;

struct mw_front {
    server_rec *server; /* main server */
    pid_t pid;          /* of this child: asking for it is a system call */
    const struct mw_config *config;
    struct mw_endpoint **endpoints; /* index = mw_group.index */
    const char *temp_dir;           /* for files without a name */
    struct mw_embed *embed;         /* the embedded runtime, started at the first use */
};

/* NULL outside an httpd child. */
const struct mw_front *mw_front(void);

#endif
