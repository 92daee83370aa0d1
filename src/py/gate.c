/*
 * gate.c: see gate.h. Called by serving threads without the GIL. Makes no system call where nobody sleeps.
 */
#include "gate.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define QUICK_NS 20000u  /* a stay up to this is waited for; what follows costs about as much */
#define SLACK_NS 1000u   /* beyond twice the average stay */
#define SLEEP_NS 100000u /* who was quick until now may have been interrupted */
#define SAMPLE_NS 80000u /* no stay counts for more, so that one slow request is soon forgotten */
#define WEIGHT 8         /* of the average against one sample */
#define PAUSES 8         /* between two looks at the clock */

void mw_py_gate_init(struct mw_py_gate *g, unsigned processors)
{
    *g = (struct mw_py_gate){.spins = processors > 1, .sleep_ns = SLEEP_NS};
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

static int wait_running(struct mw_py_gate *g, uint32_t stay)
{
    uint64_t end = mw_clock_ns() + 2 * (uint64_t)stay + SLACK_NS;
    int mine;

    do {
        for (int i = 0; i < PAUSES && __atomic_load_n(&g->taken, __ATOMIC_RELAXED); i++)
            pause_briefly();
        mine = take(g);
    } while (!mine && mw_clock_ns() < end);
    return mine;
}

/* Whoever leaves sees either this thread in `asleep`, and wakes it, or the kernel sees that the gate is
 * open, and it does not sleep. */
static int wait_asleep(struct mw_py_gate *g)
{
    uint64_t now = mw_clock_ns(), end = now + g->sleep_ns;
    int mine;

    __atomic_fetch_add(&g->asleep, 1, __ATOMIC_SEQ_CST);
    while (!(mine = take(g)) && now < end) {
        struct timespec left = {(time_t)((end - now) / 1000000000u),
                                (long)((end - now) % 1000000000u)};

        (void)syscall(SYS_futex, &g->taken, FUTEX_WAIT_PRIVATE, 1, &left, NULL, 0);
        now = mw_clock_ns();
    }
    __atomic_fetch_sub(&g->asleep, 1, __ATOMIC_RELAXED);
    return mine;
}

int mw_py_gate_enter(struct mw_py_gate *g)
{
    int mine = take(g);
    uint32_t stay = __atomic_load_n(&g->stay_ns, __ATOMIC_RELAXED);

    if (mine || !g->spins || stay > QUICK_NS)
        return mine;
    if (!__atomic_exchange_n(&g->waiting, 1, __ATOMIC_ACQUIRE)) {
        mine = wait_running(g, stay);
        __atomic_store_n(&g->waiting, 0, __ATOMIC_RELEASE);
    }
    if (!mine)
        mine = wait_asleep(g);
    if (!mine)
        count(g, SAMPLE_NS); /* who is inside stays longer than those before */
    return mine;
}

void mw_py_gate_leave(struct mw_py_gate *g, uint64_t stayed_ns)
{
    count(g, stayed_ns < SAMPLE_NS ? (uint32_t)stayed_ns : SAMPLE_NS);
    __atomic_store_n(&g->taken, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&g->asleep, __ATOMIC_SEQ_CST))
        (void)syscall(SYS_futex, &g->taken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
