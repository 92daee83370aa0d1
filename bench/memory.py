"""Whether processes grow: the resident size of the process that runs Python after some requests of a kind,
and after many more of them. Prints a table; its exit status says whether every row stays within the limit.

usage: memory.py [--first 10000] [--all 100000] [--only KIND,KIND] [--build DIR]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tools"))

import instance  # noqa: E402
from instance import Failure  # noqa: E402

MODES = ("embedded", "daemon")
KINDS = ("small", "post", "generator", "exception", "wrapper", "big")
LIMIT_MB = 1.0
CONNECTIONS = 8

# What is logged of exceptions goes nowhere: it would fill the disk.
BODY = """\
ErrorLog {folder}/logs/error.log
LogLevel warn
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
KeepAlive On
MaxKeepAliveRequests 0
LoadModule wsgi_module {build}/mod_wsgi.so
WSGIDaemonProcess one processes=1 threads=8
<Directory />
    Require all granted
</Directory>
<VirtualHost *>
    ErrorLog /dev/null
    WSGIScriptAlias /embedded {folder}/kinds.py
    WSGIScriptAlias /daemon {folder}/kinds.py process-group=one
</VirtualHost>
"""

POST = """\
wrk.method = "POST"
wrk.body = string.rep("a body of some length ", 200)
"""


class Server:
    """One httpd with the application of kinds.py in both modes."""

    def __init__(self, build):
        self.folder = tempfile.mkdtemp(prefix="mw-memory-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        os.mkdir(os.path.join(self.folder, "logs"))
        shutil.copy(os.path.join(TOP, "bench/kinds.py"), self.folder)
        os.chmod(os.path.join(self.folder, "kinds.py"), 0o644)
        subprocess.run([sys.executable, os.path.join(TOP, "bench/kinds.py"),
                        os.path.join(self.folder, "kinds.data")], check=True)
        self.lua = os.path.join(self.folder, "post.lua")
        with open(self.lua, "w", encoding="ascii") as file:
            file.write(POST)
        body = BODY.format(folder=self.folder, build=instance.copy_products(build, self.folder))
        self.httpd = instance.Httpd(instance.build_facts(build), self.folder, instance.free_port(),
                                    ["alias"], body)
        self.output = open(os.path.join(self.folder, "logs/output"), "wb")
        self.httpd.start(self.output)
        if not self.httpd.wait_ready():
            raise Failure("httpd did not start; see %s/logs" % self.folder)

    def url(self, mode, kind):
        return "http://127.0.0.1:%d/%s/%s" % (self.httpd.port, mode, kind)

    def process(self, mode):
        """The process that answers; a daemon may need a moment to start."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(self.url(mode, "pid"), timeout=10) as answer:
                    return int(answer.read())
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Failure("%s: %s; see %s/logs" % (mode, error, self.folder))
                time.sleep(0.2)

    def load(self, mode, kind):
        """Requests of that kind for a second; how many they were."""
        command = ["wrk", "-t1", "-c%d" % CONNECTIONS, "-d1s"]
        if kind == "post":
            command += ["-s", self.lua]
        out = subprocess.run(command + [self.url(mode, kind)], capture_output=True, text=True,
                             check=True).stdout
        count = int(re.search(r"(\d+) requests in", out)[1])
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        if (int(bad[1]) if bad else 0) != (count if kind == "exception" else 0) or "Socket errors" in out:
            raise Failure("%s, %s: requests failed\n%s" % (mode, kind, out))
        return count

    def stop(self):
        self.httpd.stop()
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def resident(pid):
    """Megabytes."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s*(\d+)", file.read())[1]) / 1024


def measure(server, mode, kind, first, total):
    """(requests, megabytes after the first ones, megabytes after all)."""
    pid, done, before = server.process(mode), 0, 0.0
    while done < total:
        done += server.load(mode, kind)
        if not before and done >= first:
            before = resident(pid)
    if server.process(mode) != pid:
        raise Failure("%s, %s: the process was replaced" % (mode, kind))
    return done, before, resident(pid)


def main():
    parser = argparse.ArgumentParser(prog="memory.py", description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=10000)
    parser.add_argument("--all", type=int, default=100000)
    parser.add_argument("--only", type=lambda text: text.split(","), default=KINDS)
    parser.add_argument("--build", default=os.path.join(TOP, "build"))
    options = parser.parse_args()
    server, failed = None, 0
    try:
        server = Server(os.path.abspath(options.build))
        print("%-10s %-10s %10s %9s %9s %7s" % ("", "kind", "requests", "MB first", "MB all", "more"))
        for mode in MODES:
            for kind in options.only:
                done, before, after = measure(server, mode, kind, options.first, options.all)
                bad = after - before > LIMIT_MB
                failed += bad
                print("%-10s %-10s %10d %9.2f %9.2f %7.2f%s"
                      % (mode, kind, done, before, after, after - before,
                         "  more than %.1f" % LIMIT_MB if bad else ""), flush=True)
    except Failure as failure:
        print("memory.py: %s" % failure, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        if server:
            server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
