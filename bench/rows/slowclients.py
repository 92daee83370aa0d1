"""Whether slow clients hold the threads of an application: what a fast client waits, alone and among them."""

import json
import os
import select
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager

from instance import Failure
from load import latencies, scheduled
from report import Figure, Section
from servers import DEBIAN, OURS, TOP, UWSGI
from stats import percentile

BYTES = 1 << 20
KINDS = (("100 clients upload 1 MB at 10 KB/s", "upload", "upload", 100, 10000),
         ("200 clients read 1 MB at 20 KB/s", "download", "download", 200, 20000))
RATE = 200  # requests per second of the fast client
TIMES = 3  # of the unloaded one
# Each slow client may hold one of httpd's own threads; and an answer shall not lie in the kernel's buffers.
HTTPD = dict(threads=400, more="SendBufferSize 65536\n")


@contextmanager
def slow_clients(server, kind, path, count, rate):
    """`count` of them, all begun; on leaving, a Failure if one of them was not served rightly."""
    process = subprocess.Popen(
        [sys.executable, os.path.join(TOP, "bench/slow.py"), kind, str(server.httpd.port), path,
         str(count), str(BYTES), str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        readable, _, _ = select.select([process.stdout], [], [], 20)
        if not readable or process.stdout.readline() != "ready\n":
            raise Failure("not all slow clients were served")
        time.sleep(2)  # those that were ahead have caught up
        yield
        said = json.loads(process.communicate(timeout=20)[0])
        if said["problems"]:
            raise Failure("%d slow clients failed, the first: %s" % (len(said["problems"]), said["problems"][0]))
    except subprocess.TimeoutExpired:
        raise Failure("the slow clients did not end")
    finally:
        process.kill()
        process.communicate()


def p99(lab, server, mode, seconds):
    schedule = [(n / RATE, "/%s/hello" % mode) for n in range(RATE * seconds)]
    return percentile(latencies(scheduled(lab.build, server.httpd.port, schedule, 16, patience=5)), 0.99)


def compared(lab, server, mode, row, kind, rounds):
    """A figure: the fast client alone and among slow ones, in turn."""
    path, count, rate = "/%s/%s" % (mode, kind[2]), kind[3], kind[4]
    seconds, alone, among = 2 if lab.quick else 5, [], []
    server.fetch("/%s/hello" % mode)
    made = Figure(row, unit="x alone")
    try:
        for _ in range(rounds):
            alone.append(p99(lab, server, mode, seconds))
            with slow_clients(server, kind[1], path, count, rate):
                among.append(p99(lab, server, mode, seconds))
    except Failure as failure:
        made.failed = str(failure).splitlines()[0]
        return made
    made.cells = {"p99 alone, ms": statistics.median(alone) * 1000,
                  "p99 among them, ms": statistics.median(among) * 1000}
    made.reached = statistics.median(b / a for a, b in zip(alone, among))
    return made


def measure(lab):
    """What slow clients do to a fast one"""
    groups = {"one": "processes=1 threads=5"}
    rows = ((OURS, "one", "daemon"), (DEBIAN, "one", "Debian daemon"), (UWSGI, "uwsgi", "uWSGI"))
    figures = []
    for kind in KINDS:
        # A server of its own for each: what one kind of client left behind is not the other's.
        with lab.servers("work.py", groups, workers=(1, 5), **HTTPD) as servers:
            for name, mode, row in rows:
                if name in servers:
                    lab.say("slow: %s, %s" % (kind[0], row))
                    rounds = min(3, lab.rounds) if name == OURS else 1
                    made = compared(lab, servers[name], mode, "%s: %s" % (kind[0], row), kind, rounds)
                    made.target = TIMES if name == OURS else None
                    figures.append(made)
    return Section("slow", "A fast client, 200 requests/s, among slow ones; 5 threads",
                   (("p99 alone, ms", "%.2f"), ("p99 among them, ms", "%.2f")), figures)
