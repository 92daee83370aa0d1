/*
 * handover.c: a connection from an httpd child to the worker it names. The messages come from the
 * least trusted side that talks to the supervisor: each is checked, none can make it wait, and the
 * worst that a bad one achieves is that its own connection is closed.
 */
#include "child.h"

#include "io.h"

static int serve(struct mw_child *ch, int fd)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl = {.type = MW_CTL_SERVE,
                         .group = (uint16_t)ch->group,
                         .slot = (uint16_t)ch->slot,
                         .incarnation = ch->incarnation};
    int n = mw_ctl_encode(msg, &ctl);

    if (n < 0)
        return n;
    return mw_io_send_msg(ch->control, msg, (size_t)n, fd);
}

static int listening(const struct mw_child *ch)
{
    return ch->control >= 0 && (mw_policy_serves(ch->pol) || ch->pol->state == MW_POL_DRAINING);
}

int mw_handover_waits(const struct mw_child *ch)
{
    return ch->kept.n > 0 && listening(ch);
}

void mw_handover_flush(struct mw_child *ch)
{
    struct mw_handover *k = &ch->kept;

    while (k->n > 0 && listening(ch)) {
        if (serve(ch, k->fd[k->head]) == MW_EAGAIN)
            return;
        mw_io_close(&k->fd[k->head]); /* sent, or the worker is beyond hearing */
        k->head = (k->head + 1) % MW_HANDOVER_KEPT_MAX;
        k->n--;
    }
}

void mw_handover_drop(struct mw_child *ch)
{
    struct mw_handover *k = &ch->kept;

    for (; k->n > 0; k->n--) {
        mw_io_close(&k->fd[k->head]);
        k->head = (k->head + 1) % MW_HANDOVER_KEPT_MAX;
    }
}

/* Takes fd if it answers MW_HANDED. */
static enum mw_handover_result pass_on(struct mw_child *ch, int fd)
{
    struct mw_handover *k = &ch->kept;
    int waits = ch->pol->state == MW_POL_STARTING;

    if (!waits && !listening(ch))
        return MW_NOT_HANDED;
    if (k->n == MW_HANDOVER_KEPT_MAX)
        return MW_NOT_HANDED;
    k->fd[(k->head + k->n) % MW_HANDOVER_KEPT_MAX] = fd;
    k->n++;
    mw_handover_flush(ch);
    return MW_HANDED;
}

int mw_handover_receive(struct mw_children *cs, int fd, enum mw_handover_result *res_r,
                        const char **why_r)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl;
    struct mw_child *ch;
    int pass = -1;
    ssize_t n = mw_io_recv_msg(fd, msg, sizeof msg, &pass);

    *res_r = MW_HANDOVER_BAD;
    *why_r = "it is cut, or carries more than one descriptor";
    if (n < 0)
        return n == MW_EPROTO ? 0 : (int)n;
    if (mw_ctl_decode(&ctl, msg, (size_t)n) || ctl.type != MW_CTL_CONNECT) {
        *why_r = "it is no request for a connection";
    } else if (pass < 0 || !mw_io_is_local_stream(pass)) {
        *why_r = "it carries no local stream socket";
    } else if (!(ch = mw_child_at(cs, ctl.group, ctl.slot))) {
        *why_r = "there is no such worker";
    } else {
        *res_r = MW_NOT_HANDED;
        if (ctl.incarnation == ch->incarnation)
            *res_r = pass_on(ch, pass);
    }
    if (*res_r != MW_HANDED)
        mw_io_close_given(&pass);
    return 0;
}
