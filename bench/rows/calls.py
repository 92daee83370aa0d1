"""System calls per small request, of the httpd child and of the worker. One after the other they are counted by strace.
Of requests that meet, strace would count the collisions that it makes itself: it keeps each thread many times as long
where the others want to go. So these are counted by the kernel, where it lets us.
"""

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
BY_STRACE = "Requests at once were counted by strace here, too, which makes them collide."


def counted(server, build, mode, pids, load):
    """[{name: calls per request}] of these processes; `load` is (connections, requests per second, requests, counter)."""
    connections, rate, requests, counter = load
    schedule = [(n / rate, "/%s/hello" % mode) for n in range(requests)]
    latencies(scheduled(build, server.httpd.port, schedule[:RATE // 4], connections))  # what is done once
    with ExitStack() as stack:
        watched = []
        for pid in pids:
            watched.append(counter(pid))
            stack.callback(watched[-1].end)
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
    swift = procs.SwiftCalls.is_there()
    with lab.servers("work.py", names=[OURS]) as servers:
        server = servers[OURS]
        pids = server.pid("embedded"), server.pid("one")
        for words_of_load, connections, rate in LOADS:
            lab.say("calls: %s" % words_of_load)
            counter = procs.SwiftCalls if connections > 1 and swift else procs.Calls
            load = (connections, rate, 200 if lab.quick else 1000, counter)
            made, notes = figures(server, lab.build, pids, words_of_load, load)
            section.figures += made
            section.notes += notes
    if not swift:
        section.notes.append(BY_STRACE)
    return section
