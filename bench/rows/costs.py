"""CPU and requests per second while clients ask as fast as they are answered: a small answer, a file, a stream, an upload.

CPU is what all processes of a server used; the client's is not counted. Rounds are interleaved, so
that whatever else the machine does meets all rows, and a ratio is the median of the rounds' ratios.
"""

import statistics
from dataclasses import dataclass, field

from instance import Failure
from load import MANY_HEADERS, wrk
from report import Figure, Section
from servers import ALL, DEBIAN, FILE_BYTES, OURS, UWSGI
from stats import ratio, spread

SMALL_CONNECTIONS = 16
LARGE_CONNECTIONS = 4
STREAM_PIECES = 256
STREAM_BYTES = STREAM_PIECES * 65536
UPLOAD_BYTES = 1 << 20


@dataclass
class Against:
    """What a case is held against: CPU per request, or with `rate` requests per second, of which more is better."""

    of: str
    target: float = None
    rate: bool = False


@dataclass
class Case:
    """One row; it says the first of what it is held against, the others have lines of their own."""

    name: str
    server: str
    path: str
    against: tuple = ()
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


def figures_of(case, known):
    """Its row, and a line for each further comparison."""
    row = Figure(case.name, failed=case.failed)
    if not case.failed:
        row.cells = {"requests/s": statistics.median(case.rate),
                     "CPU us/request": statistics.median(case.cpu) * 1e6}
        if len(case.cpu) > 1:
            row.cells["+- %"] = spread(case.cpu) * 100
    made = [row]
    for number, against in enumerate(against for against in case.against if against.of in known):
        if number:
            made.append(Figure(case.name + (", requests/s" if against.rate else "")))
        compare(made[-1], case, against, known[against.of])
    return made


def compare(figure, case, against, base):
    """A ratio is not formed of what failed."""
    figure.target, figure.least, figure.unit = against.target, against.rate, "x " + base.name
    if case.failed or base.failed:
        figure.failed = case.failed or "%s failed" % base.name
    else:
        figure.reached = ratio(*((case.rate, base.rate) if against.rate else (case.cpu, base.cpu)))


def section(key, title, known, notes=()):
    figures = [figure for case in known.values() for figure in figures_of(case, known)]
    return Section(key, title, (("requests/s", "%.0f"), ("CPU us/request", "%.1f"), ("+- %", "%.1f")),
                   figures, list(notes))


def small(lab):
    """Hello, world"""
    c, many, mapped = Against("C handler"), tuple(MANY_HEADERS), Against("C handler, mapped URL")
    with_headers = Against("C handler + headers")
    cases = [
        Case("C handler", OURS, "/c"),
        Case("C handler, mapped URL", OURS, "/mapped", (c,)),
        Case("embedded", OURS, "/embedded", (Against("C handler", 1.25), mapped)),
        Case("daemon 1x15", OURS, "/one", (Against("C handler", 1.8), mapped, Against("uWSGI 1x15", 1.4, rate=True))),
        Case("daemon 3x5", OURS, "/three", (Against("C handler", 1.8),)),
        Case("C handler + headers", OURS, "/c", (c,), headers=many),
        Case("embedded + headers", OURS, "/embedded", (Against("embedded", 1.2), with_headers), headers=many),
        Case("daemon 1x15 + headers", OURS, "/one", (Against("daemon 1x15"), with_headers), headers=many),
        Case("Debian embedded", DEBIAN, "/embedded", (c,)),
        Case("Debian daemon 1x15", DEBIAN, "/one", (c,)),
        Case("uWSGI 1x15", UWSGI, "/uwsgi", (c,)),
    ]
    groups = {"one": "processes=1 threads=15", "three": "processes=3 threads=5"}
    with lab.servers("hello.py", groups, ALL) as servers:
        known = measure(lab, "small", cases, servers)
    return section("small", "Small answer, %d connections" % SMALL_CONNECTIONS, known,
                   ["\"+ headers\": 30 header fields, one of them a cookie of 2 KB. \"mapped URL\": an Alias leads to a "
                    "file, as for the applications; for the other URL httpd looks at the file system in vain."])


def large(lab, key, title, cases, more=""):
    for case in cases:
        case.connections = LARGE_CONNECTIONS
    with lab.servers("work.py", more=more) as servers:
        known = measure(lab, key, cases, servers)
    return section(key, "%s, %d connections" % (title, LARGE_CONNECTIONS), known)


# EnableMMAP Off: httpd reads its file, as this module does; what is mapped kills httpd when the file shrinks.
FILE_MORE = """\
EnableSendfile %s
Alias /read {folder}/static
<Location /read>
    EnableMMAP Off
</Location>
"""


def file(lab, sendfile="On"):
    """6 MB through wsgi.file_wrapper"""
    static, unmapped = "httpd's static file", "httpd's static file, EnableMMAP Off"

    def case(name, server, path, *more, target=None):
        return Case(name, server, path, (Against(static, target), *more), length=FILE_BYTES)

    cases = [
        Case(static, OURS, "/static/file.data", length=FILE_BYTES),
        case("daemon", OURS, "/one/file", Against(unmapped), target=1.1),
        case("embedded", OURS, "/embedded/file"),
    ]
    if sendfile == "Off":
        cases.insert(1, case(unmapped, OURS, "/read/file.data"))
    else:
        cases += [
            case("Debian daemon", DEBIAN, "/one/file"),
            case("Debian embedded", DEBIAN, "/embedded/file"),
            case("uWSGI", UWSGI, "/uwsgi/file"),
        ]
    return large(lab, "file" if sendfile == "On" else "file-off",
                 "6 MB through wsgi.file_wrapper, EnableSendfile %s" % sendfile, cases, FILE_MORE % sendfile)


def file_off(lab):
    """The same without sendfile()"""
    return file(lab, "Off")


def both_modes(path, target, **more):
    embedded = (Against("embedded"),)
    return [
        Case("embedded", OURS, "/embedded" + path, **more),
        Case("daemon", OURS, "/one" + path, (Against("embedded", target),), **more),
        Case("Debian embedded", DEBIAN, "/embedded" + path, embedded, **more),
        Case("Debian daemon", DEBIAN, "/one" + path, embedded, **more),
        Case("uWSGI", UWSGI, "/uwsgi" + path, embedded, **more),
    ]


def stream(lab):
    """16 MB in pieces of 64 KiB"""
    cases = both_modes("/stream?%d" % STREAM_PIECES, 1.5, length=STREAM_BYTES)
    return large(lab, "stream", "16 MB in pieces of 64 KiB", cases)


def upload(lab):
    """1 MB, read in pieces of 64 KiB"""
    return large(lab, "upload", "Upload of 1 MB", both_modes("/upload", 1.5, post=UPLOAD_BYTES))
