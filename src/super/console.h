/*
 * console.h: the operator's side of the supervisor: clients of the control socket, what they ask, and
 * the answers. Used by loop.c only, in the supervisor's one thread.
 *
 * Only root and the user that httpd was started as are heard. Nobody is waited for: a client that sends
 * anything but a request of admin.h, or whose socket takes no answer, is closed.
 */
#ifndef MW_CONSOLE_H
#define MW_CONSOLE_H

#include <poll.h>

#include "admin.h"
#include "fleet.h"

#define MW_CONSOLE_CLIENTS_MAX 8u /* at once; one more takes the place of who was silent longest */
#define MW_CONSOLE_POLLS (1u + MW_CONSOLE_CLIENTS_MAX)

struct mw_console_client {
    int fd;           /* -1: none */
    uint64_t last_ms; /* when it was last heard */
};

struct mw_console {
    struct mw_fleet *fleet;
    uint64_t started_ms;
    int listen_fd;     /* borrowed; -1: no control socket */
    uint64_t pause_ms; /* no connection is accepted before; there were no descriptors */
    struct mw_console_client client[MW_CONSOLE_CLIENTS_MAX];
};

/* Both are borrowed; the fleet is not looked at yet. */
void mw_console_init(struct mw_console *c, int listen_fd, struct mw_fleet *fleet);
void mw_console_fini(struct mw_console *c);

/* Entries for poll; returns when to come back at the latest. */
uint64_t mw_console_fill(struct mw_console *c, struct pollfd pf[MW_CONSOLE_POLLS]);
void mw_console_event(struct mw_console *c, const struct pollfd pf[MW_CONSOLE_POLLS]);

#endif
