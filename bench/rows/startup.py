"""From the death of a process to the next answer, and what an idle process holds; against Python's own."""

import contextlib
import http.client
import os
import signal
import statistics
import subprocess
import time

import procs
from instance import Failure
from report import Figure, Section
from servers import DEBIAN, OURS, UWSGI

ALLOWED_MS, ALLOWED_MB = 20, 3
KILLS = 3  # of one group: the fourth early death in a row is answered with a delay
PYTHON = "/usr/bin/python3"
ROLLUP = "print(open('/proc/self/smaps_rollup').read())"


def python_start():
    """Seconds that Python takes to start and leave."""
    begin = time.perf_counter()
    subprocess.run([PYTHON, "-c", "pass"], check=True)
    return time.perf_counter() - begin


def answer_after_kill(server, mode):
    """Seconds from kill -9 of the process that answers there to the answer of another one."""
    pid = server.pid(mode)
    connection = http.client.HTTPConnection("127.0.0.1", server.httpd.port, timeout=30)
    with contextlib.closing(connection):
        connection.connect()
        begin = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while time.perf_counter() - begin < 30:
            status, body = ask(connection, "/%s/pid" % mode)
            if status == 200 and int(body) != pid:
                return time.perf_counter() - begin
            time.sleep(0.001)  # uWSGI is not yet back, or the dead process was faster than the signal
    raise Failure("no answer within 30 s of kill -9")


def ask(connection, path):
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failure("no answer after kill -9: %s" % error)


def python_and_waits(servers, groups):
    """([seconds], {name: [seconds]}, {name: what failed}), taken in turn."""
    python, waits, errors = [], {name: [] for name in servers}, {}
    for _ in range(KILLS):
        for group in groups:
            python.append(python_start())
            for name, server in servers.items():
                try:
                    waits[name].append(answer_after_kill(server, "uwsgi" if name == UWSGI else group))
                except Failure as failure:
                    errors[name] = str(failure).splitlines()[0]
    return python, waits, errors


def first_answer(lab):
    """Kill -9 of a process, then a request"""
    lab.say("start")
    groups = {"g%d" % n: "processes=1 threads=5" for n in range(2 if lab.quick else 4)}
    with lab.servers("work.py", groups) as servers:
        python, waits, errors = python_and_waits(servers, groups)
    figures = [Figure("python3 -c pass", {"ms": statistics.median(python) * 1000})]
    for name, row, target in ((OURS, "daemon", ALLOWED_MS), (DEBIAN, "Debian daemon", None),
                              (UWSGI, "uWSGI", None)):
        if name in errors:
            figures.append(Figure(row, failed=errors[name]))
        elif name in waits:
            more = statistics.median(wait - start for wait, start in zip(waits[name], python))
            figures.append(Figure(row, {"ms": statistics.median(waits[name]) * 1000}, more * 1000, target,
                                  "ms more", form="%.0f"))
    return Section("start", "First answer after kill -9 of the only process", (("ms", "%.1f"),), figures)


def memory_figure(name, pid, base):
    held = procs.memory_of(pid)
    return Figure(name, held, held["RSS"] - base["RSS"], ALLOWED_MB, "MB of RSS more", form="%.1f")


def idle(lab):
    """Memory of a process that waits"""
    lab.say("idle")
    text = subprocess.run([PYTHON, "-c", ROLLUP], capture_output=True, text=True, check=True).stdout
    base = procs.memory(text)
    figures = [Figure("python3 -c pass", base)]
    with lab.servers("hello.py", names=[OURS]) as servers:
        server = servers[OURS]
        pid = the_worker(server)
        figures.append(memory_figure("daemon, never asked", pid, base))
        server.fetch("/one")
        figures.append(memory_figure("daemon, asked once", pid, base))
    return Section("idle", "Memory of an idle worker of 15 threads, in MB",
                   tuple((name, "%.1f") for name in base), figures)


def the_worker(server, seconds=10):
    """Its only worker, once it has been there for a second: it preloads its script."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = procs.executing(server.roots(), "wsgi-worker")
        if len(found) == 1 and procs.age(found[0]) > 1:
            return found[0]
        time.sleep(0.05)
    raise Failure("there is no worker")
