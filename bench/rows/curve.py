"""Latency against load: requests arrive at random times at a rate, whatever the answers do; up to the rate at which a
server falls behind."""

import plot
from instance import Failure
from load import latencies, scheduled
from queueing import arrivals
from report import Figure, Section
from servers import ALL, DEBIAN, OURS, UWSGI
from stats import percentile

LINES = (("C handler", OURS, "/c"), ("embedded", OURS, "/embedded"), ("daemon 1x15", OURS, "/one"),
         ("Debian daemon 1x15", DEBIAN, "/one"), ("uWSGI 1x15", UWSGI, "/uwsgi"))
RATES = (500, 1000, 2000, 3000, 4500, 6000, 8000, 11000, 14000, 17000, 21000, 25000, 30000)
IN_TABLE = (3000, 8000)
BEHIND = 0.1  # seconds of p99: it cannot keep up
CONNECTIONS = 64  # as many as httpd has threads; a request that finds none waits in the client
SHARES = (("p50", 0.5), ("p99", 0.99))
TRIES = 3
SEED = 7


def point(lab, server, path, rate, seconds):
    """{p50, p99} in milliseconds; the first third, in which connections are made, is left out."""
    schedule = [(due, path) for due in arrivals(rate, seconds, SEED)]
    found = latencies(scheduled(lab.build, server.httpd.port, schedule, CONNECTIONS, patience=5))
    return {name: percentile(found[len(found) // 3:], share) * 1000 for name, share in SHARES}


def best_point(*arguments):
    """The one of three that was disturbed least; and nobody is out for being disturbed once."""
    return min((point(*arguments) for _ in range(TRIES)), key=lambda found: found["p99"])


def keeps_up(found):
    return found["p99"] < BEHIND * 1000


def measured(lab, servers):
    """({name: {rate: {p50, p99}}}, {name: what failed}); at each rate all servers are asked in turn."""
    lines = {name: {} for name, which, _ in LINES if which in servers}
    up, errors = dict.fromkeys(lines, True), {}
    for rate in RATES[::3] if lab.quick else RATES:
        lab.say("curve: %d requests/s" % rate)
        for name, which, path in LINES:
            if not up.get(name):
                continue
            try:
                servers[which].fetch(path)
                found = best_point(lab, servers[which], path, rate, 0.5 if lab.quick else 1)
            except Failure as failure:
                errors[name] = str(failure).splitlines()[0]
                up[name] = False
                continue
            up[name] = keeps_up(found)
            if up[name]:
                lines[name][rate] = found
    return lines, errors


def summary(name, line):
    cells = {"keeps up with, requests/s": max(line, default=0)}
    for rate in IN_TABLE:
        for share, _ in SHARES:
            if rate in line:
                cells["%s at %d/s, ms" % (share, rate)] = line[rate][share]
    return Figure(name, cells)


def draw(lines):
    panels = [("%s of the latency" % share, {name: [(rate, found[share]) for rate, found in line.items()]
                                             for name, line in lines.items() if line})
              for share, _ in SHARES]
    return plot.svg(panels, "requests per second, arriving at random", "latency, milliseconds")


def measure(lab):
    """Latency against load, as a table and as a plot"""
    columns = [("%s at %d/s, ms" % (share, rate), "%.2f") for rate in IN_TABLE for share, _ in SHARES]
    section = Section("curve", "Latency of a small answer against load",
                      (*columns, ("keeps up with, requests/s", "%d")))
    with lab.servers("hello.py", names=ALL, threads=CONNECTIONS) as servers:
        lines, errors = measured(lab, servers)
    for name, line in lines.items():
        section.figures.append(summary(name, line))
        if name in errors and not line:
            section.figures[-1] = Figure(name, failed=errors[name])
        elif name in errors:
            section.notes.append("%s, above that: %s." % (name, errors[name]))
    section.plot = draw(lines)
    return section
