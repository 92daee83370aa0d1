/*
 * gate.c: see gate.h. Called by serving threads without the GIL; makes no system call.
 */
#include "gate.h"

#include "clock.h"

#define QUICK_NS 20000u  /* a stay up to this is waited for; what follows costs about as much */
#define SLACK_NS 1000u   /* beyond twice the average stay */
#define SAMPLE_NS 80000u /* no stay counts for more, so that one slow request is soon forgotten */
#define WEIGHT 8         /* of the average against one sample */
#define PAUSES 8         /* between two looks at the clock */

void mw_py_gate_init(struct mw_py_gate *g, unsigned processors)
{
    *g = (struct mw_py_gate){.spins = processors > 1};
}

static int take(struct mw_py_gate *g)
{
    return !__atomic_load_n(&g->taken, __ATOMIC_RELAXED) &&
           !__atomic_exchange_n(&g->taken, 1, __ATOMIC_ACQUIRE);
}

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* Two threads may count at once and one sample be lost. */
static void count(struct mw_py_gate *g, uint32_t sample)
{
    uint32_t stay = __atomic_load_n(&g->stay_ns, __ATOMIC_RELAXED);

    stay = sample > stay ? stay + (sample - stay) / WEIGHT : stay - (stay - sample) / WEIGHT;
    __atomic_store_n(&g->stay_ns, stay, __ATOMIC_RELAXED);
}

static int wait_turn(struct mw_py_gate *g, uint32_t stay)
{
    uint64_t end = mw_clock_ns() + 2 * (uint64_t)stay + SLACK_NS;
    int mine;

    do {
        for (int i = 0; i < PAUSES && __atomic_load_n(&g->taken, __ATOMIC_RELAXED); i++)
            pause_briefly();
        mine = take(g);
    } while (!mine && mw_clock_ns() < end);
    if (!mine)
        count(g, SAMPLE_NS); /* who is inside stays longer than those before */
    return mine;
}

int mw_py_gate_enter(struct mw_py_gate *g)
{
    if (take(g))
        return 1;
    uint32_t stay = __atomic_load_n(&g->stay_ns, __ATOMIC_RELAXED);
    if (!g->spins || stay > QUICK_NS || __atomic_exchange_n(&g->waiting, 1, __ATOMIC_ACQUIRE))
        return 0;
    int mine = wait_turn(g, stay);
    __atomic_store_n(&g->waiting, 0, __ATOMIC_RELEASE);
    return mine;
}

void mw_py_gate_leave(struct mw_py_gate *g, uint64_t stayed_ns)
{
    count(g, stayed_ns < SAMPLE_NS ? (uint32_t)stayed_ns : SAMPLE_NS);
    __atomic_store_n(&g->taken, 0, __ATOMIC_RELEASE);
}
