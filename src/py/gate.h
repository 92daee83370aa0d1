/*
 * gate.h: serving threads wait here before they wait for the GIL.
 *
 * Two threads that meet at the GIL cost each other several system calls and a change of threads, which
 * is more than a small request takes. So a thread that finds another one inside waits for it, if those
 * inside have lately been quick: one thread running, for about as long as they stay, others and then that
 * one asleep, which is still cheaper here than at the GIL. It is advice, never a lock: who has waited long
 * enough goes on to the GIL. An application that computes or waits is none of those, and nobody waits for
 * it here.
 */
#ifndef MW_PY_GATE_H
#define MW_PY_GATE_H

#include <stdint.h>

/* All words are atomic. Zeroed, it is open, and made for one processor: nobody waits. */
struct mw_py_gate {
    unsigned taken;    /* 1: a thread is inside that has not left */
    unsigned waiting;  /* 1: a thread runs and waits */
    unsigned asleep;   /* threads that sleep until `taken` is 0 */
    uint32_t stay_ns;  /* how long they stay inside, a moving average */
    unsigned spins;    /* waiting makes sense: there is more than one processor */
    uint32_t sleep_ns; /* at most, at once */
};

void mw_py_gate_init(struct mw_py_gate *g, unsigned processors);

/* 1: this thread took the gate and must leave it. 0: it was not to be had, and the thread goes on. */
int mw_py_gate_enter(struct mw_py_gate *g);
void mw_py_gate_leave(struct mw_py_gate *g, uint64_t stayed_ns);

#endif
