"""The servers that are measured, and the laboratory that starts and stops them.

Each is an httpd of its own with one child (event MPM) and the same limits; the application is at /embedded and,
for each group of processes, at /GROUP. uWSGI is a program behind such an httpd, at /uwsgi.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import instance
from instance import Failure

import procs

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILE_BYTES = 6 * 10**6
ONE = {"one": "processes=1 threads=15"}
ALL = OURS, DEBIAN, UWSGI = "mod_wsgi", "libapache2-mod-wsgi-py3", "mod_proxy_uwsgi, uWSGI"

COMMON = """\
ErrorLog logs/error.log
LogLevel {level}
ListenBacklog 4096
StartServers {children}
ServerLimit {children}
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {all_threads}
MinSpareThreads 1
MaxSpareThreads {all_threads}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
Alias /static {folder}/static
<Directory />
    AllowOverride None
    Require all granted
</Directory>
"""

GROUP = """\
WSGIDaemonProcess {name} {options}
WSGIScriptAlias /{name} {script}
<Location /{name}>
    WSGIProcessGroup {name}
</Location>
"""

MODULE = {
    OURS: """\
LoadModule wsgi_module {build}/mod_wsgi.so
LoadModule bench_hello_module {folder}/mod_bench_hello.so
Alias /mapped {script}
<LocationMatch ^/(c|mapped)$>
    SetHandler bench-hello
</LocationMatch>
WSGIScriptAlias /embedded {script}
""",
    DEBIAN: """\
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/run/wsgi
WSGIScriptAlias /embedded {script}
""",
    UWSGI: """\
ProxyPass /uwsgi unix:{folder}/uwsgi.sock|uwsgi://localhost/
""",
}

UWSGI_COMMAND = ["uwsgi", "--plugin", "python3", "--socket", "{folder}/uwsgi.sock", "--chmod-socket=666",
                 "--master", "--wsgi-file", "{script}", "--disable-logging", "--die-on-term",
                 "--need-app", "--listen=1024"]


class Server:
    """One httpd, and for uWSGI the program behind it. `what` is one of the names above."""

    def __init__(self, facts, build, what, script, groups, **wanted):
        settings = dict(threads=32, children=1, level="warn", more="", workers=(1, 15))
        settings.update(wanted)
        self.name, self.behind = what, None
        self.folder = tempfile.mkdtemp(prefix="mw-bench-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.script = self.place(script)
        self.fill(os.path.join(build, "bench/mod_bench_hello.so"))
        body = self.configuration(facts, build, groups, settings)
        modules = ["alias"] + (["proxy", "proxy_uwsgi"] if what == UWSGI else [])
        self.httpd = instance.Httpd(facts, self.folder, instance.free_port(), modules, body)
        self.output = open(os.path.join(self.folder, "logs/output"), "wb")
        try:
            if what == UWSGI:
                self.start_uwsgi(*settings["workers"])
            self.httpd.start(self.output)
            if not self.httpd.wait_ready():
                raise Failure("%s did not start:\n%s" % (what, self.said()))
        except BaseException:
            self.stop()
            raise

    def place(self, name):
        """A copy of that file of ours where the server's user can read it."""
        copy = os.path.join(self.folder, os.path.basename(name))
        shutil.copy(os.path.join(TOP, "bench", name), copy)
        os.chmod(copy, 0o644)
        return copy

    def fill(self, hello):
        for name in ("logs", "static"):
            os.mkdir(os.path.join(self.folder, name))
            os.chmod(os.path.join(self.folder, name), 0o755)
        with open(os.path.join(self.folder, "static/file.data"), "wb") as file:
            file.write(b"0123456789abcdef" * (FILE_BYTES // 16))
        os.chmod(file.name, 0o644)
        shutil.copy(hello, self.folder)

    def configuration(self, facts, build, groups, settings):
        products = instance.copy_products(build, self.folder) if self.name == OURS else ""
        names = dict(folder=self.folder, script=self.script, build=products, modules=facts["MODULES_DIR"],
                     all_threads=settings["threads"] * settings["children"], **settings)
        body = (COMMON + MODULE[self.name]).format(**names)
        if self.name != UWSGI:
            for name, options in groups.items():
                body += GROUP.format(name=name, options=options, script=self.script)
        return body + settings["more"].format(folder=self.folder)

    def start_uwsgi(self, processes, threads):
        command = [word.format(folder=self.folder, script=self.script) for word in UWSGI_COMMAND]
        command += ["--processes=%d" % processes, "--threads=%d" % threads]
        self.behind = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output,
                                       stderr=self.output, cwd=self.folder)

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

    def fetch(self, path, data=None, seconds=30):
        """The body; a daemon may need a moment to start."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(self.url(path), data, timeout=seconds) as answer:
                    return answer.read()
            except (OSError, urllib.error.HTTPError) as error:
                if time.monotonic() > deadline:
                    raise Failure("%s: %s\n%s" % (self.url(path), error, self.said()))
                time.sleep(0.1)

    def pid(self, mode):
        """The process that answers at /MODE; the script is work.py."""
        return int(self.fetch("/%s/pid" % mode))

    def roots(self):
        return {self.httpd.process.pid} | ({self.behind.pid} if self.behind else set())

    def cpu(self):
        return procs.cpu(self.roots())

    def resident(self):
        return procs.resident(self.roots())

    def stop(self):
        # Nobody asks it any more; and Debian's module may wait for its own threads for ever.
        self.httpd.stop(gently=0, firmly=1 if self.name == DEBIAN else 10)
        if self.behind:
            self.behind.terminate()  # --die-on-term: this means end
            try:
                self.behind.wait(10)
            except subprocess.TimeoutExpired:
                self.behind.kill()
                self.behind.wait()
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Lab:
    """What every row is given: how long to measure, and servers, which end with the `with` they were made in."""

    def __init__(self, build, seconds, rounds, quick):
        self.build, self.seconds, self.rounds, self.quick = build, seconds, rounds, quick
        self.facts = instance.build_facts(build)
        self.absent = []
        if not os.path.exists(os.path.join(self.facts["MODULES_DIR"], "mod_wsgi.so")):
            self.absent.append(DEBIAN)
        if not shutil.which("uwsgi"):
            self.absent.append(UWSGI)

    @contextlib.contextmanager
    def servers(self, script, groups=None, names=None, **settings):
        """{name: Server} of those that are installed; by default all, or in a quick run ours."""
        with contextlib.ExitStack() as stack:
            made = {}
            for name in names or ([OURS] if self.quick else ALL):
                if name not in self.absent:
                    made[name] = Server(self.facts, self.build, name, script, groups or ONE, **settings)
                    stack.callback(made[name].stop)
            yield made

    def say(self, text):
        print(text, file=sys.stderr, flush=True)
