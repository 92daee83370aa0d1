"""Whether processes grow with the requests they have served. bench/memory.py looks at more kinds of requests."""

from instance import Failure
from load import MANY_HEADERS, wrk
from report import Figure, Section
from servers import OURS

FIRST, ALL, LIMIT_MB = 10000, 100000, 1.0
CONNECTIONS = 16


def growth(server, path, headers, quick):
    """(requests, megabytes that all processes have more after all of them than after the first)."""
    done = first = 0
    while done < (ALL // 5 if quick else ALL):
        done += wrk(server.url(path), 1, CONNECTIONS, headers)[0]
        if not first and done >= FIRST:
            first = server.resident()
    return done, (server.resident() - first) / 2**20


def measure(lab):
    """Memory after 10,000 and after 100,000 requests"""
    figures = []
    with lab.servers("hello.py", names=[OURS]) as servers:
        for mode, path in (("embedded", "/embedded"), ("daemon", "/one")):
            for more, headers in (("", ()), (" + headers", MANY_HEADERS)):
                lab.say("growth: %s%s" % (mode, more))
                made = Figure(mode + more, target=LIMIT_MB, unit="MB")
                try:
                    made.cells["requests"], made.reached = growth(servers[OURS], path, headers, lab.quick)
                except Failure as failure:
                    made.failed = str(failure).splitlines()[0]
                figures.append(made)
    return Section("growth", "Memory of all processes, more after all requests than after the first %d" % FIRST,
                   (("requests", "%d"),), figures)
