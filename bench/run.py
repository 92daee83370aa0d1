"""./dev bench: CPU per request and requests per second, side by side, in one run.

Each server is an httpd of its own with one child of 32 threads (event MPM), asked by wrk over 16
connections. CPU is what all processes of that server used, from /proc; wrk's own is not counted.
Rounds are interleaved, so that whatever else the machine does meets all of them. Each round gives a
ratio to the row that a target is about; what is shown is the median of the rounds.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tools"))

import instance  # noqa: E402
from instance import Failure  # noqa: E402

CONNECTIONS = 16
TICK = os.sysconf("SC_CLK_TCK")
BASELINE = "C handler"
# As a browser behind two proxies sends: 30 header fields, one of them a cookie of 2 KB.
MANY_HEADERS = ["X-Field-%02d: value %02d of a request" % (n, n) for n in range(29)]
MANY_HEADERS.append("Cookie: session=" + "0123456789abcdef" * 128)

# Name, path, target, the row that the target is about, header fields of the request.
OUR_ROWS = (
    ("embedded", "/embedded", 1.4, BASELINE, ()),
    ("embedded + headers", "/embedded", 1.2, "embedded", MANY_HEADERS),
    ("daemon 1x15", "/one", 2.6, BASELINE, ()),
    ("daemon 1x15 + headers", "/one", None, BASELINE, MANY_HEADERS),
    ("daemon 3x5", "/three", 2.6, BASELINE, ()),
    ("C handler + headers", "/c", None, BASELINE, MANY_HEADERS),
)
MEMORY_ROWS = ("embedded", "embedded + headers", "daemon 1x15", "daemon 1x15 + headers")
MEMORY_FIRST, MEMORY_ALL, MEMORY_MB = 10000, 100000, 1.0

COMMON = """\
ErrorLog logs/error.log
LogLevel warn
StartServers 1
ServerLimit 1
ThreadsPerChild 32
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
<Directory />
    AllowOverride None
    Require all granted
</Directory>
"""

OURS = """\
LoadModule wsgi_module {build}/mod_wsgi.so
LoadModule bench_hello_module {folder}/mod_bench_hello.so
WSGIDaemonProcess one processes=1 threads=15
WSGIDaemonProcess three processes=3 threads=5
WSGIScriptAlias /embedded {script}
WSGIScriptAlias /one {script}
WSGIScriptAlias /three {script}
<Location /c>
    SetHandler bench-hello
</Location>
<Location /one>
    WSGIProcessGroup one
</Location>
<Location /three>
    WSGIProcessGroup three
</Location>
"""

DEBIAN = """\
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/run/wsgi
WSGIDaemonProcess one processes=1 threads=15
WSGIScriptAlias /embedded {script}
WSGIScriptAlias /one {script}
<Location /one>
    WSGIProcessGroup one
</Location>
"""

UWSGI = """\
ProxyPass /uwsgi unix:{folder}/uwsgi.sock|uwsgi://localhost/
"""


class Server:
    """One httpd, and for uWSGI the program behind it."""

    def __init__(self, facts, name, modules, body, behind=None):
        self.folder = tempfile.mkdtemp(prefix="mw-bench-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        os.mkdir(os.path.join(self.folder, "logs"))
        self.script = os.path.join(self.folder, "hello.py")
        shutil.copy(os.path.join(TOP, "bench/hello.py"), self.script)
        os.chmod(self.script, 0o644)
        build = os.path.join(TOP, "build")
        hello = os.path.join(build, "bench/mod_bench_hello.so")
        shutil.copy(hello, self.folder)
        body = COMMON + body.format(folder=self.folder, script=self.script,
                                    build=instance.copy_products(build, self.folder),
                                    modules=facts["MODULES_DIR"])
        self.name, self.behind = name, None
        self.httpd = instance.Httpd(facts, self.folder, instance.free_port(), modules, body)
        self.output = open(os.path.join(self.folder, "logs/output"), "wb")
        if behind:
            command = [word.format(folder=self.folder, script=self.script) for word in behind]
            self.behind = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output,
                                           stderr=self.output, cwd=self.folder)
        self.httpd.start(self.output)
        if not self.httpd.wait_ready():
            raise Failure("%s did not start:\n%s" % (name, self.said()))

    def said(self):
        text = ""
        for log in ("output", "error.log"):
            path = os.path.join(self.folder, "logs", log)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    text += file.read()
        return text[-3000:]

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.httpd.port, path)

    def usage(self):
        """(seconds of CPU, bytes of memory) of all its processes; CPU of those waited for, too."""
        roots = {self.httpd.process.pid} | ({self.behind.pid} if self.behind else set())
        parent, ticks, pages = {}, {}, {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open("/proc/%s/stat" % entry) as file:
                        fields = file.read().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                parent[int(entry)] = int(fields[1])
                ticks[int(entry)] = sum(map(int, fields[11:15]))
                pages[int(entry)] = int(fields[21])
        ours = []
        for pid in parent:
            above = pid
            while above not in roots and above in parent:
                above = parent[above]
            if above in roots:
                ours.append(pid)
        return (sum(ticks[pid] for pid in ours) / TICK,
                sum(pages[pid] for pid in ours) * os.sysconf("SC_PAGE_SIZE"))

    def stop(self):
        self.httpd.stop()
        if self.behind:
            self.behind.terminate()  # uWSGI is told by --die-on-term that this means: end
            try:
                self.behind.wait(10)
            except subprocess.TimeoutExpired:
                self.behind.kill()
                self.behind.wait()
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Case:
    """One row of the table."""

    def __init__(self, name, server, path, target=None, of=None, headers=()):
        self.name, self.server, self.path = name, server, path
        self.target, self.of, self.headers = target, of, headers
        self.cpu, self.rate = [], []

    def url(self):
        return self.server.url(self.path)

    def check(self):
        """The right bytes, before anything is measured; a daemon may need a moment to start."""
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(self.url(), timeout=10) as answer:
                    if answer.read() == b"Hello, world!\n":
                        return
                    raise Failure("%s: wrong answer" % self.name)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Failure("%s: %s\n%s" % (self.name, error, self.server.said()))
                time.sleep(0.2)

    def load(self, seconds):
        """(requests answered, requests per second); no failed request is tolerated."""
        command = ["wrk", "-t1", "-c%d" % CONNECTIONS, "-d%ds" % seconds]
        for header in self.headers:
            command += ["-H", header]
        out = subprocess.run(command + [self.url()], capture_output=True, text=True,
                             check=True).stdout
        count = re.search(r"(\d+) requests in", out)
        rate = re.search(r"Requests/sec:\s*([\d.]+)", out)
        if not count or not rate or "Non-2xx" in out or "Socket errors" in out:
            raise Failure("%s: requests failed under load\n%s\n%s"
                          % (self.name, out, self.server.said()))
        return int(count.group(1)), float(rate.group(1))

    def measure(self, seconds):
        before, _ = self.server.usage()
        requests, rate = self.load(seconds)
        self.cpu.append((self.server.usage()[0] - before) / requests)
        self.rate.append(rate)

    def growth(self):
        """Megabytes that its server has more after MEMORY_ALL requests than after MEMORY_FIRST."""
        done = first = 0
        while done < MEMORY_ALL:
            done += self.load(1)[0]
            if not first and done >= MEMORY_FIRST:
                first = self.server.usage()[1]
        return (self.server.usage()[1] - first) / 2**20


def ratio(case, base):
    """The median over the rounds, each of them with what the other had in the same round."""
    return statistics.median(a / b for a, b in zip(case.cpu, base.cpu))


def table(cases):
    base = cases[0]
    rows = [("", "requests/s", "CPU us/request", "x C handler", "target", "")]
    for case in cases:
        target = verdict = ""
        if case.target:
            reached = ratio(case, case.of or base)
            target = "%.2f of <= %.1f x %s" % (reached, case.target, (case.of or base).name)
            verdict = "reached" if reached <= case.target else "missed"
        rows.append((case.name, "%.0f" % statistics.median(case.rate),
                     "%.1f" % (statistics.median(case.cpu) * 1e6), "%.2f" % ratio(case, base),
                     target, verdict))
    print_rows(rows)


def memory(cases):
    rows = [("", "MB more after %d requests than after %d" % (MEMORY_ALL, MEMORY_FIRST), "target", "")]
    for case in cases:
        if case.name in MEMORY_ROWS:
            more = case.growth()
            rows.append((case.name, "%.2f" % more, "<= %.1f" % MEMORY_MB,
                         "reached" if more <= MEMORY_MB else "missed"))
    if len(rows) > 1:
        print_rows(rows)


def print_rows(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())


def servers(facts, only):
    """(cases, servers, what is not there)."""
    made, cases, absent = [], [], []

    def wanted(*names):
        return [name for name in names if not only or name in only]

    try:
        ours = Server(facts, "mod_wsgi", ["alias"], OURS)
        made.append(ours)
        cases.append(Case(BASELINE, ours, "/c"))
        known = {BASELINE: cases[0]}
        for name, path, target, of, headers in OUR_ROWS:
            if wanted(name) and of in known:
                known[name] = Case(name, ours, path, target, known[of], headers)
                cases.append(known[name])
        if wanted("debian embedded", "debian daemon"):
            if os.path.exists(os.path.join(facts["MODULES_DIR"], "mod_wsgi.so")):
                debian = Server(facts, "libapache2-mod-wsgi-py3", ["alias"], DEBIAN)
                made.append(debian)
                for name, path in (("debian embedded", "/embedded"), ("debian daemon", "/one")):
                    if wanted(name):
                        cases.append(Case(name, debian, path))
            else:
                absent.append("libapache2-mod-wsgi-py3")
        if wanted("uwsgi"):
            if shutil.which("uwsgi"):
                made.append(Server(
                    facts, "mod_proxy_uwsgi", ["proxy", "proxy_uwsgi"], UWSGI,
                    ["uwsgi", "--plugin", "python3", "--socket", "{folder}/uwsgi.sock",
                     "--chmod-socket=666", "--master", "--processes=1", "--threads=15",
                     "--wsgi-file", "{script}", "--disable-logging", "--die-on-term",
                     "--need-app", "--listen=100"]))
                cases.append(Case("uwsgi", made[-1], "/uwsgi"))
            else:
                absent.append("uwsgi")
    except BaseException:
        stop(made)
        raise
    return cases, made, absent


def stop(made):
    for server in made:
        server.stop()


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=3, help="of load for each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[],
                        help="names of rows, with commas; '%s' is always there" % BASELINE)
    options = parser.parse_args()
    if options.seconds < 1 or options.rounds < 1:
        parser.error("--seconds and --rounds take numbers from 1")
    made = []
    try:
        facts = instance.build_facts(os.path.join(TOP, "build"))
        cases, made, absent = servers(facts, options.only)
        for case in cases:
            case.check()
            case.load(1)
        for number in range(options.rounds):
            print("round %d of %d" % (number + 1, options.rounds), file=sys.stderr, flush=True)
            for case in cases:
                case.measure(options.seconds)
        print("Hello world, %d connections, event MPM, median of %d rounds of %d s, %d CPUs\n"
              % (CONNECTIONS, options.rounds, options.seconds, os.cpu_count()))
        table(cases)
        print()
        memory(cases)
        for name in absent:
            print("not measured: %s is not installed" % name)
    except Failure as failure:
        print("dev: %s" % failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        stop(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
