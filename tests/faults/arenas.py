#!/usr/bin/python3
"""What glibc keeps for threads that make and drop large bodies: no httpd and no module of ours.

    arenas.py                                       as glibc is
    MALLOC_TRIM_THRESHOLD_=131072 arenas.py         with fixed thresholds, as soak.py has them
    MALLOC_ARENA_MAX=2 arenas.py                    with fewer arenas

As many threads as a child of the soak has, eight of them at work, with the sizes of load.Sized. Prints the anonymous
resident memory each time that all threads rest and have dropped everything."""

import os
import random
import re
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from application import PIECE, pattern  # noqa: E402

THREADS = 25
AT_WORK = 8
ROUNDS = 8
BODIES = 60  # of a thread, in a round
SIZES = (10000, 70000, 400000, 1500000)
PAUSE = 0.0003  # a piece is on its way


def resident():
    with open("/proc/self/status", encoding="ascii") as f:
        return int(re.search(r"RssAnon:\s*(\d+)", f.read())[1])


def make_one(rng):
    body = pattern("arenas", rng.choice(SIZES))
    for _ in [body[i:i + PIECE] for i in range(0, len(body), PIECE)]:
        time.sleep(PAUSE)


def work(seed, places, rest):
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        for _ in range(BODIES):
            with places:
                make_one(rng)
        rest.wait()  # all have dropped everything
        rest.wait()  # and it was looked at


def main():
    places, rest = threading.Semaphore(AT_WORK), threading.Barrier(THREADS + 1)
    for seed in range(THREADS):
        threading.Thread(target=work, args=(seed, places, rest), daemon=True).start()
    for n in range(1, ROUNDS + 1):
        rest.wait()
        print(f"{n * THREADS * BODIES:6} bodies: {resident():6} KiB", flush=True)
        rest.wait()


if __name__ == "__main__":
    main()
