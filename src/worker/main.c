/*
 * main.c: wsgi-worker, one process of a daemon group. Executed by the supervisor with the descriptors of
 * enum mw_worker_fd and its identity in MW_WORKER; not meant to be called by people.
 *
 * Start-up is a list of steps (steps.c): the first that fails ends the process, and the supervisor logs
 * which one it was and why. Then the main thread waits for connections and for the end, the threads of
 * pool.c do the work. The main thread is Python's main thread; it must never wait for a request.
 */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "clock.h"
#include "service.h"
#include "signalpipe.h"
#include "worker.h"

#define LEAVE_CHECK_MS 20 /* how often a draining worker looks whether it may leave */
#define MESSAGES_AT_ONCE 64

static int drains_on_board(const struct mw_worker *w)
{
    struct mw_slot_info info;

    return mw_board_slot(w->board, w->slot, &info) == 0 && info.state == MW_SLOT_DRAINING;
}

/* From an operator; or from the supervisor, whose message did not get through, after it has told the
 * board. */
static void on_sigusr1(struct mw_worker *w)
{
    if (drains_on_board(w))
        mw_drain_as_told(w);
    else
        mw_asks_put(&w->asks, "it got SIGUSR1",
                    w->spec.eviction_timeout_ms > 0 ? MW_PY_STOP_EVICTION : MW_PY_STOP_GRACEFUL,
                    NULL);
}

static void take_signal(struct mw_worker *w, int sig)
{
    switch (sig) {
    case MW_SIGNALPIPE_WAKE:
        break;
    case SIGHUP:
    case SIGUSR2:
        w->runtime->signalled(sig);
        break;
    case SIGUSR1:
        on_sigusr1(w);
        break;
    case SIGXCPU:
        mw_asks_put(&w->asks, "it has used up its cpu-time-limit", MW_PY_STOP_CPU, NULL);
        break;
    default:
        mw_drain_by_itself(w, "it was told to end by a signal", w->spec.shutdown_timeout_ms,
                           MW_PY_STOP_SIGNAL);
    }
}

static void read_signals(struct mw_worker *w)
{
    unsigned char bytes[64];
    ssize_t n = read(w->signal_r, bytes, sizeof bytes);

    for (ssize_t i = 0; i < n; i++)
        take_signal(w, bytes[i]);
    mw_control_tell_asks(w);
}

static void work(struct mw_worker *w)
{
    struct pollfd pf[3];

    while (!w->drain_since || !mw_drain_is_over(w)) {
        pf[0] = (struct pollfd){.fd = w->signal_r, .events = POLLIN};
        pf[1] = (struct pollfd){.fd = w->control, .events = POLLIN};
        if (mw_asks_peek(&w->asks))
            pf[1].events |= POLLOUT;
        pf[2] = (struct pollfd){.fd = w->life, .events = POLLIN};
        uint64_t next = mw_monitor_look(&w->monitor);
        mw_bodies_sweep(&w->intake.bodies, mw_clock_ms());
        int wait_ms = mw_clock_poll_ms(next);
        if (poll(pf, 3, w->drain_since && wait_ms > LEAVE_CHECK_MS ? LEAVE_CHECK_MS : wait_ms) <= 0)
            continue;
        if (pf[0].revents)
            read_signals(w);
        if (pf[1].revents & POLLOUT)
            mw_control_tell_asks(w);
        for (int i = 0; pf[1].revents && i < MESSAGES_AT_ONCE && w->control >= 0; i++) {
            if (!mw_control_read(w))
                break;
        }
        if (pf[2].revents && w->life >= 0)
            mw_drain_alone(w);
    }
}

static int run_service(struct mw_worker *w)
{
    struct mw_service service = {.spec = &w->spec,
                                 .runtime = w->runtime,
                                 .report = &w->report,
                                 .control = w->control,
                                 .life = w->life};
    int rv = mw_service_run(&service);

    w->runtime->stop((uint64_t)w->spec.shutdown_timeout_ms, NULL);
    return rv ? 1 : 0;
}

int main(void)
{
    struct mw_worker w = {
        .signal_r = -1, .control = -1, .life = -1, .asks.lock = PTHREAD_MUTEX_INITIALIZER};

    signal(SIGPIPE, SIG_IGN);
    if (mw_steps_run(&w))
        _exit(1); /* Python may run: no destructor here either */
    if (mw_service_is(&w.spec))
        _exit(run_service(&w));
    work(&w);
    mw_drain_end(&w);
    /* No destructor, no finaliser: what must be flushed has been. */
    _exit(0);
}
