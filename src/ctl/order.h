/*
 * order.h: orders that change something, and waiting until they are done. What it says on standard output
 * is for people, or JSON.
 */
#ifndef MW_CTL_ORDER_H
#define MW_CTL_ORDER_H

#include "talk.h"

/* What an order is about. Strings are borrowed. */
struct mw_order {
    uint8_t op;         /* MW_ADMIN_RELOAD, RECYCLE, DRAIN, RESUME */
    const char *target; /* group; for RECYCLE also GROUP/SLOT or pid; NULL: every group */
    int json;
    int64_t timeout_ms;
};

/* Give the order and wait until it is done everywhere. 0; MW_ENOENT: nothing of that name; MW_ESTATE: refused,
 * or not all of it done, all of which was said; MW_ETIMEOUT: not done in time, which was said; what
 * mw_client_* return, with c->why. */
MW_MUST_CHECK int mw_order_carry_out(struct mw_client *c, const struct mw_order *o);

#endif
