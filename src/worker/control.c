/*
 * control.c: the worker's end of the control socket: what it says to the supervisor and what it is told. Called
 * by the main thread, see worker.h; never waits. While scripts are imported (startup.c) and in a service
 * (service.c) others read the socket in its place.
 */
#include "worker.h"

#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "io.h"
#include "log.h"

#define SOCKET_TIMEOUT_MS 300000 /* if the specification leaves it to httpd, whose own is shorter */

int mw_control_send(struct mw_worker *w, const struct mw_ctl *what)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl = *what;

    ctl.group = (uint16_t)w->group;
    ctl.slot = (uint16_t)w->slot;
    ctl.incarnation = w->incarnation;
    int n = mw_ctl_encode(msg, &ctl);
    return n < 0 ? n : mw_io_send_msg(w->control, msg, (size_t)n, -1);
}

int mw_control_tell(struct mw_worker *w, uint8_t type, const char *text)
{
    size_t n = strlen(text);
    struct mw_ctl ctl = {.type = type, .text = {text, n < MW_CTL_TEXT_MAX ? n : MW_CTL_TEXT_MAX}};

    return mw_control_send(w, &ctl);
}

void mw_control_tell_asks(struct mw_worker *w)
{
    struct mw_ask *k;

    while ((k = mw_asks_peek(&w->asks))) {
        if (!w->drain_since && w->control >= 0 && mw_control_send(w, &k->ctl) == MW_EAGAIN)
            return;
        if (k->reason)
            w->asked = k->reason;
        mw_asks_drop(&w->asks);
    }
}

static void serve(struct mw_worker *w, int fd)
{
    const struct mw_hello hello = {.version = MW_WIRE_VERSION,
                                   .pid = (uint32_t)getpid(),
                                   .incarnation = w->incarnation,
                                   .data_max = MW_FRAME_DATA_MAX};
    int64_t timeout = w->spec.socket_timeout_ms > 0 ? w->spec.socket_timeout_ms : SOCKET_TIMEOUT_MS;
    int rv = mw_intake_add(&w->intake, fd, timeout, w->board, w->slot, &hello);

    if (rv && rv != MW_ECLOSED) /* which is the ordinary end of a child */
        mw_log(MW_LOG_ERR, "WSGI0579", "a connection from an httpd child was refused: %s",
               mw_err_text(rv));
}

int mw_control_read(struct mw_worker *w)
{
    uint8_t msg[MW_CTL_MAX];
    struct mw_ctl ctl;
    int fd = -1;
    ssize_t n = mw_io_recv_msg(w->control, msg, sizeof msg, &fd);

    if (n == MW_EAGAIN)
        return 0;
    if (n == MW_ECLOSED || n == MW_EIO) { /* the life pipe says the same */
        mw_io_close(&w->control);
        mw_drain_alone(w);
        return 0;
    }
    if (n == MW_EPROTO) /* the supervisor sends what is right: the kernel has cut it */
        mw_log(
            MW_LOG_ERR, "WSGI0579",
            "a connection from an httpd child was lost: this process may have no more open files "
            "(ulimit -n)");
    if (n > 0 && !mw_ctl_decode(&ctl, msg, (size_t)n)) {
        if (ctl.type == MW_CTL_SERVE && fd >= 0) {
            serve(w, fd);
            fd = -1;
        } else if (ctl.type == MW_CTL_DRAIN) {
            mw_drain_as_told(w);
        } else {
            mw_report_answer(&w->report, &ctl, &fd);
        }
    }
    mw_io_close(&fd);
    return 1;
}
