"""System calls per small request, of the httpd child and of the worker, counted by strace."""

import os
from contextlib import ExitStack

import procs
from instance import Failure
from load import latencies, scheduled
from report import Figure, Section
from servers import OURS

WORKER_CALLS, CHILD_CALLS = 8, 8
RATE = 200  # requests per second: each is over before the next


def counted(server, build, mode, pids, requests):
    """[{name: calls}] of these processes while so many requests are served, one after the other."""
    schedule = [(n / RATE, "/%s/hello" % mode) for n in range(requests)]
    latencies(scheduled(build, server.httpd.port, schedule[:RATE // 4], 1))  # the connection is there
    with ExitStack() as stack:
        watched = [procs.Calls(pid) for pid in pids]
        for calls in watched:
            stack.callback(calls.end)
        latencies(scheduled(build, server.httpd.port, schedule, 1))
        return [calls.stop() for calls in watched]


def words(calls, requests):
    """What they were, the frequent ones."""
    each = sorted(((count / requests, name) for name, count in calls.items()), reverse=True)
    return ", ".join("%s %.1f" % (name, count) for count, name in each if count >= 0.05)


def measure(lab):
    """System calls per request"""
    requests = 200 if lab.quick else 1000
    columns = (("calls", "%.2f"),)
    section = Section("calls", "System calls per small request, one after the other", columns)
    with lab.servers("work.py", names=[OURS]) as servers:
        server = servers[OURS]
        child, worker = server.pid("embedded"), server.pid("one")
        lab.say("calls")
        try:
            (embedded,) = counted(server, lab.build, "embedded", [child], requests)
            in_child, in_worker = counted(server, lab.build, "one", [child, worker], requests)
        except Failure as failure:
            section.figures.append(Figure("daemon", failed=str(failure)))
            return section
    each = {name: sum(calls.values()) / requests
            for name, calls in (("embedded", embedded), ("child", in_child), ("worker", in_worker))}
    section.figures = [
        Figure("embedded, child", {"calls": each["embedded"]}),
        Figure("daemon, child", {"calls": each["child"]}, each["child"] - each["embedded"], CHILD_CALLS,
               "more than embedded", form="%.1f"),
        Figure("daemon, worker", {"calls": each["worker"]}, each["worker"], WORKER_CALLS, form="%.1f"),
    ]
    section.notes = ["%s: %s." % (name, words(calls, requests))
                     for name, calls in (("Embedded, child", embedded), ("Daemon, child", in_child),
                                         ("Daemon, worker", in_worker))]
    return section
