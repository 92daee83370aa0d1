"""CPU and requests per second while clients ask as fast as they are answered: a small answer, a file, a stream, an upload.

CPU is what all processes of a server used; the client's is not counted. Rounds are interleaved, so
that whatever else the machine does meets all rows, and a ratio is the median of the rounds' ratios.
"""

import statistics
from dataclasses import dataclass, field

from instance import Failure
from load import MANY_HEADERS, wrk
from report import Figure, Section
from servers import DEBIAN, FILE_BYTES, OURS, UWSGI
from stats import ratio, spread

SMALL_CONNECTIONS = 16
LARGE_CONNECTIONS = 4
STREAM_PIECES = 256
STREAM_BYTES = STREAM_PIECES * 65536
UPLOAD_BYTES = 1 << 20


@dataclass
class Case:
    """One row. `of` names the case that `target` is about; with `rate_of` requests per second are compared,
    and more is better."""

    name: str
    server: str
    path: str
    target: float = None
    of: str = None
    rate_of: str = None
    headers: tuple = ()
    post: int = 0
    length: int = 14
    connections: int = SMALL_CONNECTIONS
    cpu: list = field(default_factory=list)
    rate: list = field(default_factory=list)
    failed: str = ""

    def check(self, server):
        """The right bytes, before anything is measured."""
        body = server.fetch(self.path, b"x" * self.post if self.post else None)
        good = body == b"%d" % self.post if self.post else len(body) == self.length
        if not good:
            raise Failure("wrong answer: %r" % body[:60])

    def measure(self, server, seconds):
        before = server.cpu()
        requests, rate = wrk(server.url(self.path), seconds, self.connections, self.headers, self.post)
        self.cpu.append((server.cpu() - before) / requests)
        self.rate.append(rate)


def attempt(case, what, *arguments):
    """A row that fails once is out; the others go on."""
    if not case.failed:
        try:
            what(*arguments)
        except Failure as failure:
            case.failed = str(failure).splitlines()[0]


def measure(lab, title, cases, servers):
    cases = [case for case in cases if case.server in servers]
    for case in cases:
        attempt(case, case.check, servers[case.server])
        attempt(case, wrk, servers[case.server].url(case.path), 1, case.connections, case.headers, case.post)
    for number in range(lab.rounds):
        lab.say("%s: round %d of %d" % (title, number + 1, lab.rounds))
        for case in cases:
            attempt(case, case.measure, servers[case.server], lab.seconds)
    return {case.name: case for case in cases}


def figure(case, known):
    if case.failed:
        return Figure(case.name, failed=case.failed)
    made = Figure(case.name, {"requests/s": statistics.median(case.rate),
                              "CPU us/request": statistics.median(case.cpu) * 1e6})
    if len(case.cpu) > 1:
        made.cells["+- %"] = spread(case.cpu) * 100
    base = known.get(case.of)
    if not base:
        return made
    if base.failed:
        made.failed = "%s failed" % base.name
        return made
    made.reached, made.target, made.unit = ratio(case.cpu, base.cpu), case.target, "x " + base.name
    return made


def rate_figure(case, known):
    """A line of its own for what is compared by requests per second."""
    base = known[case.rate_of]
    made = Figure("%s, requests/s" % case.name, target=1.4, unit="x " + base.name, least=True)
    if case.failed or base.failed:
        made.failed = "%s failed" % (case if case.failed else base).name
    else:
        made.reached = ratio(case.rate, base.rate)
    return made


def section(key, title, known, notes=()):
    figures = [figure(case, known) for case in known.values()]
    figures += [rate_figure(case, known) for case in known.values() if case.rate_of in known]
    return Section(key, title, (("requests/s", "%.0f"), ("CPU us/request", "%.1f"), ("+- %", "%.1f")),
                   figures, list(notes))


def small(lab):
    """Hello, world"""
    c, many = "C handler", tuple(MANY_HEADERS)
    cases = [
        Case(c, OURS, "/c"),
        Case("embedded", OURS, "/embedded", 1.25, c),
        Case("daemon 1x15", OURS, "/one", 1.8, c, rate_of="uWSGI 1x15"),
        Case("daemon 3x5", OURS, "/three", 1.8, c),
        Case("C handler + headers", OURS, "/c", None, c, headers=many),
        Case("embedded + headers", OURS, "/embedded", 1.2, "embedded", headers=many),
        Case("daemon 1x15 + headers", OURS, "/one", None, "daemon 1x15", headers=many),
        Case("Debian embedded", DEBIAN, "/embedded", None, c),
        Case("Debian daemon 1x15", DEBIAN, "/one", None, c),
        Case("uWSGI 1x15", UWSGI, "/uwsgi", None, c),
    ]
    groups = {"one": "processes=1 threads=15", "three": "processes=3 threads=5"}
    with lab.servers("hello.py", groups) as servers:
        known = measure(lab, "small", cases, servers)
    return section("small", "Small answer, %d connections" % SMALL_CONNECTIONS, known,
                   ["\"+ headers\": 30 header fields, one of them a cookie of 2 KB."])


def large(lab, key, title, cases, more=""):
    for case in cases:
        case.connections = LARGE_CONNECTIONS
    with lab.servers("work.py", more=more) as servers:
        known = measure(lab, key, cases, servers)
    return section(key, "%s, %d connections" % (title, LARGE_CONNECTIONS), known)


def file(lab, sendfile="On"):
    """6 MB through wsgi.file_wrapper"""
    def case(name, server, path, target=None):
        return Case(name, server, path, target, "httpd's static file", length=FILE_BYTES)

    cases = [
        case("httpd's static file", OURS, "/static/file.data"),
        case("daemon", OURS, "/one/file", 1.1),
        case("embedded", OURS, "/embedded/file"),
        case("Debian daemon", DEBIAN, "/one/file"),
        case("Debian embedded", DEBIAN, "/embedded/file"),
        case("uWSGI", UWSGI, "/uwsgi/file"),
    ]
    cases[0].of = None
    if sendfile == "Off":
        cases = [case for case in cases if case.server == OURS]
    return large(lab, "file" if sendfile == "On" else "file-off",
                 "6 MB through wsgi.file_wrapper, EnableSendfile %s" % sendfile, cases,
                 "EnableSendfile %s\n" % sendfile)


def file_off(lab):
    """The same without sendfile()"""
    return file(lab, "Off")


def both_modes(path, target, **more):
    return [
        Case("embedded", OURS, "/embedded" + path, **more),
        Case("daemon", OURS, "/one" + path, target, "embedded", **more),
        Case("Debian embedded", DEBIAN, "/embedded" + path, None, "embedded", **more),
        Case("Debian daemon", DEBIAN, "/one" + path, None, "embedded", **more),
        Case("uWSGI", UWSGI, "/uwsgi" + path, None, "embedded", **more),
    ]


def stream(lab):
    """16 MB in pieces of 64 KiB"""
    cases = both_modes("/stream?%d" % STREAM_PIECES, 1.5, length=STREAM_BYTES)
    return large(lab, "stream", "16 MB in pieces of 64 KiB", cases)


def upload(lab):
    """1 MB, read in pieces of 64 KiB"""
    return large(lab, "upload", "Upload of 1 MB", both_modes("/upload", 1.5, post=UPLOAD_BYTES))
