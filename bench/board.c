/*
 * board.c: what the board costs a request. Prints nanoseconds per claim and release.
 *
 *   gcc -O2 -D_GNU_SOURCE -iquote src/base -iquote src/board -o /tmp/bench-board -pthread \
 *       bench/board.c $(find src/base src/board -name '*.c') && /tmp/bench-board
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "board.h"
#include "clock.h"
#include "shm.h"

#define ROUNDS 2000000u
#define HELD_MAX 2048u

static void must(int rv)
{
    if (rv != MW_OK) {
        fprintf(stderr, "bench-board: %s\n", mw_err_text(rv));
        exit(1);
    }
}

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct mw_board *make(unsigned slots, unsigned threads, unsigned members, unsigned cells)
{
    struct mw_board_size size = {slots, threads, members, cells, 0};
    struct mw_board *b;
    must(mw_board_create(&b, &size));
    must(mw_board_join(b, getpid()));
    for (unsigned s = 0; s < slots; s++) {
        (void)mw_board_starting(b, s, (pid_t)s + 1);
        mw_board_ready(b, s);
    }
    return b;
}

static void pairs(struct mw_board *b, unsigned n)
{
    struct mw_claim c;
    for (unsigned i = 0; i < n; i++) {
        must(mw_board_claim(b, 0, &c, NULL));
        mw_board_release(b, &c);
    }
}

/* One thread, while `held` of the group's threads are claimed. */
static void alone(unsigned slots, unsigned threads, unsigned held)
{
    struct mw_board *b = make(slots, threads, 1, HELD_MAX);
    struct mw_claim c;
    for (unsigned i = 0; i < held; i++) {
        must(mw_board_claim(b, 0, &c, NULL));
    }
    unsigned n = ROUNDS / (slots * threads / 60 + 1);
    double begin = now_ns();
    pairs(b, n);
    printf("%3u x %2u threads, %4u claimed: %7.0f ns\n", slots, threads, held,
           (now_ns() - begin) / n);
    mw_board_destroy(&b);
}

static void *pairs_main(void *arg)
{
    pairs(arg, ROUNDS);
    return NULL;
}

static void contended(unsigned clients)
{
    struct mw_board *b = make(4, 15, 1, 64);
    pthread_t thread[16];
    double begin = now_ns();
    for (unsigned i = 0; i < clients; i++) {
        must(pthread_create(&thread[i], NULL, pairs_main, b) ? MW_EIO : MW_OK);
    }
    for (unsigned i = 0; i < clients; i++) {
        pthread_join(thread[i], NULL);
    }
    printf("  4 x 15 threads, %u clients at once: %4.0f ns\n", clients,
           (now_ns() - begin) / ROUNDS);
    mw_board_destroy(&b);
}

/* A release that has to find the oldest of n; they wait as words only, nobody sleeps on them. */
static void hand_over(unsigned n)
{
    enum { HAND_OVERS = 200 };
    struct mw_board *b = make(1, 1, 2, n);
    double sum = 0;
    for (unsigned i = 0; i < HAND_OVERS; i++) {
        struct mw_claim c;
        must(mw_board_claim(b, 0, &c, NULL));
        for (unsigned k = 0; k < n; k++) {
            b->cells[n + k] = ((uint64_t)k * 7919 % n) << 2 | MW_CELL_WAIT;
        }
        *b->ticket = n;
        b->gate->queue |= b->blocks_mask;
        double begin = now_ns();
        mw_board_release(b, &c);
        sum += now_ns() - begin;
        for (unsigned k = 0; k < n; k++) {
            b->cells[n + k] = MW_CELL_IDLE;
        }
        (void)mw_board_starting(b, 0, 1);
        mw_board_ready(b, 0);
    }
    printf("hand-over with %5u waiting:    %7.0f ns\n", n, sum / HAND_OVERS);
    mw_board_destroy(&b);
}

int main(void)
{
    alone(1, 1, 0);
    alone(4, 15, 0);
    alone(4, 15, 30);
    alone(4, 15, 59);
    alone(32, 64, 1024);
    contended(1);
    contended(2);
    hand_over(10);
    hand_over(400);
    hand_over(10000);
    return 0;
}
