"""System calls per small request, of the httpd child and of the worker, counted by strace."""

from contextlib import ExitStack

import procs
from instance import Failure
from load import latencies, scheduled
from report import Figure, Section
from servers import OURS

WORKER_CALLS, CHILD_CALLS = 8, 8
RATE = 200  # requests per second: each is over before the next
AT_ONCE = 16
LOADS = (("one after the other", 1, RATE), ("%d at once" % AT_ONCE, AT_ONCE, 1e9))


def counted(server, build, mode, pids, load):
    """[{name: calls per request}] of these processes; `load` is (connections, requests per second, requests)."""
    connections, rate, requests = load
    schedule = [(n / rate, "/%s/hello" % mode) for n in range(requests)]
    latencies(scheduled(build, server.httpd.port, schedule[:RATE // 4], connections))  # what is done once
    with ExitStack() as stack:
        watched = [procs.Calls(pid) for pid in pids]
        for calls in watched:
            stack.callback(calls.end)
        latencies(scheduled(build, server.httpd.port, schedule, connections))
        return [{name: count / requests for name, count in calls.stop().items()} for calls in watched]


def words(calls):
    """What they were, the frequent ones."""
    each = sorted(((count, name) for name, count in calls.items()), reverse=True)
    return ", ".join("%s %.1f" % (name, count) for count, name in each if count >= 0.05)


def figures(server, build, pids, words_of_load, load):
    """(figures, notes)"""
    child, worker = pids
    try:
        (embedded,) = counted(server, build, "embedded", [child], load)
        in_child, in_worker = counted(server, build, "one", [child, worker], load)
    except Failure as failure:
        return [Figure(words_of_load, failed=str(failure).splitlines()[0])], []
    base, more, own = (sum(calls.values()) for calls in (embedded, in_child, in_worker))
    made = [Figure("embedded, child, %s" % words_of_load, {"calls": base}),
            Figure("daemon, child, %s" % words_of_load, {"calls": more}, more - base, CHILD_CALLS,
                   "more than embedded", form="%.1f"),
            Figure("daemon, worker, %s" % words_of_load, {"calls": own}, own, WORKER_CALLS, form="%.1f")]
    return made, ["%s: %s." % (figure.name.capitalize(), words(calls))
                  for figure, calls in zip(made, (embedded, in_child, in_worker))]


def measure(lab):
    """System calls per request"""
    section = Section("calls", "System calls per small request", (("calls", "%.2f"),))
    with lab.servers("work.py", names=[OURS]) as servers:
        server = servers[OURS]
        pids = server.pid("embedded"), server.pid("one")
        for words_of_load, connections, rate in LOADS:
            lab.say("calls: %s" % words_of_load)
            load = (connections, rate, 200 if lab.quick else 1000)
            made, notes = figures(server, lab.build, pids, words_of_load, load)
            section.figures += made
            section.notes += notes
    return section
