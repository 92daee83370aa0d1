/*
 * worker.h: the inside of wsgi-worker: the state of the process, and what its main thread does with it: its
 * start (steps.c), the control socket (control.c), its end (drain.c), and the loop between (main.c).
 *
 * Main thread only, but for `asks`; other threads are given the parts that are theirs. Once it serves,
 * nothing here waits for a request, a GIL or the supervisor.
 */
#ifndef MW_WORKER_H
#define MW_WORKER_H

#include "asks.h"
#include "board.h"
#include "intake.h"
#include "monitor.h"
#include "pool.h"
#include "report.h"
#include "sandbox.h"

struct mw_worker {
    unsigned group, slot;
    uint32_t incarnation;
    struct mw_buf spec_bytes; /* spec borrows them */
    struct mw_spec spec;
    struct mw_sandbox sandbox;
    const struct mw_py_runtime *runtime;
    struct mw_board *board;
    struct mw_intake intake;
    struct mw_running running;
    struct mw_monitor monitor;
    struct mw_pool pool;
    struct mw_report report;
    int signal_r;
    int control; /* -1: closed */
    int life;    /* -1: at its end */

    unsigned missing; /* scripts that could not be preloaded */
    struct mw_asks asks;
    const char *asked; /* MW_PY_STOP_*, why it last asked to be replaced; NULL: it did not */

    uint64_t ready_ms;    /* since when it serves */
    uint64_t drain_since; /* 0: serves */
    uint64_t drain_until;
    const char *reason; /* MW_PY_STOP_*; set with drain_since */
};

/* -- steps.c -- */

/* From nothing to READY. MW_EIO: a step failed, the supervisor has been told which one and why; the process
 * must end. */
MW_MUST_CHECK int mw_steps_run(struct mw_worker *w);

/* -- control.c -- */

/* What type, text and script say, with this process's identity. 0, or MW_E* of encoding and sending:
 * MW_EAGAIN if the socket is full. */
MW_MUST_CHECK int mw_control_send(struct mw_worker *w, const struct mw_ctl *what);
MW_MUST_CHECK int mw_control_tell(struct mw_worker *w, uint8_t type, const char *text);
/* Pass on what has been asked for; what the supervisor cannot take now stays. */
void mw_control_tell_asks(struct mw_worker *w);
/* One message; false when there is none now. */
int mw_control_read(struct mw_worker *w);

/* -- drain.c: from here on no request comes that is not on its way already. Only the first call counts -- */

/* The supervisor wants it to leave. */
void mw_drain_as_told(struct mw_worker *w);
/* The supervisor has gone. */
void mw_drain_alone(struct mw_worker *w);
/* By this process's own decision, which cannot wait for a successor: another one is to be put in its
 * place. `reason` is a MW_PY_STOP_*. */
void mw_drain_by_itself(struct mw_worker *w, const char *why, int64_t limit_ms, const char *reason);
/* The same within the time that `reason` leaves to requests. */
void mw_drain_for(struct mw_worker *w, const char *why, const char *reason);
/* Nothing is left to wait for. Only while it drains. */
int mw_drain_is_over(struct mw_worker *w);
/* Cut what still runs, and stop Python. The process must end then. */
void mw_drain_end(struct mw_worker *w);

#endif
