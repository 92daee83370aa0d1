"""More requests than threads: who waits, how long, who is refused and how that shows; and the connections that are
kept between requests."""

import os
import re
import resource
import signal

import pytest

from conftest import Notes, apps_config
from harness import client, procs, server, wait
from test_50_daemon import Background, ready

STATUS = "<Location /server-status>\n    SetHandler server-status\n</Location>\n"
FORMAT = ('LogFormat "%>s %{mod_wsgi-queue}n %{mod_wsgi-group}n %{mod_wsgi-pid}n %U%q" queue\n'
          "CustomLog logs/access.txt queue\n")


def one_child(threads=20):
    if server.MPM == "prefork":
        return (f"StartServers {threads}\nServerLimit {threads}\nMaxRequestWorkers {threads}\n"
                f"MinSpareServers 1\nMaxSpareServers {threads}")
    return f"StartServers 1\nServerLimit 1\nThreadsPerChild {threads}\nMaxRequestWorkers {threads}"


def one_group(options, **kw):
    return dict(main=f"WSGIDaemonProcess g {options}\nWSGIProcessGroup g\n{FORMAT}", modules=("status",),
                vhosts={"a": STATUS + apps_config()}, mpm_config=one_child(), **kw)


def handled(httpd):
    """Requests in httpd's threads, without the one that asks."""
    text = httpd.fetch("/server-status?auto").text
    return int(re.search(r"^BusyWorkers: (\d+)", text, re.M)[1]) - 1


def wait_handled(httpd, n):
    """Until n requests are with httpd; then they are in the queue a moment later."""
    wait.until(lambda: handled(httpd) >= n, 10, f"{n} requests in httpd")
    wait.holds(lambda: handled(httpd) >= n, 0.15)


def access(httpd, path):
    """The fields of the last line of the access log for this path."""
    def look():
        with open(httpd.path("logs", "access.txt"), encoding="ascii") as f:
            return [line.split() for line in f if line.split()[-1].startswith(path)]
    return wait.until(look, 5, f"access log line for {path}")[-1]


def hold(httpd, background, notes, tag="", n=1):
    """Requests that keep their threads until notes.tell("out")."""
    for _ in range(n):
        background.start(httpd.port(), f"/busy?key={notes.key}&tag={tag}")
    wait.until(lambda: notes.read("in").count(f"{tag} ") == n, 15, f"{n} busy threads")


# -- the queue

def test_overload_01_queue_max(own_httpd):
    """With room for two, two wait and the third is refused at once; a place that came free is given again."""
    httpd = own_httpd(**one_group("threads=1 queue-max=2"))
    notes, busy = Notes(httpd.path("tmp")), Background()
    hold(httpd, busy, notes)
    waiting = []
    for n in (1, 2):
        waiting.append(busy.start(httpd.port(), "/who"))
        wait_handled(httpd, 1 + n)
    httpd.log.allow("WSGI0713")
    for _ in range(2):
        start = client.now()
        rsp = httpd.fetch("/hello?refused")
        assert rsp.status == 503 and int(rsp.get("Retry-After")) >= 1 and client.now() - start < 2
    found = httpd.log.find("WSGI0713")
    assert len(found) == 2 and found[0].level == "error" and "2 requests of group 'g'" in found[0].text
    assert access(httpd, "/hello?refused")[:3] == ["503", access(httpd, "/hello?refused")[1], "g"]
    notes.tell("out")
    busy.join()
    assert [busy.responses[n].status for n in waiting] == [200, 200]
    assert httpd.fetch("/hello").status == 200


@pytest.mark.parametrize("options,mpm", [("queue-max=1", {}), ("queue-max=7", {}), ("queue-max=3", {"mpm_config": None})])
def test_overload_01_queue_max_at_the_same_moment(own_httpd, options, mpm):
    """However many come at once, to one child or several: exactly so many stay, and are served."""
    httpd = own_httpd(**{**one_group(f"threads=1 {options}"), **mpm})
    may = int(options.split("=")[1])
    notes, busy = Notes(httpd.path("tmp")), Background()
    hold(httpd, busy, notes)
    httpd.log.allow("WSGI0713")
    coming = [busy.start(httpd.port(), "/hello") for _ in range(16)]
    wait.until(lambda: len(httpd.log.find("WSGI0713")) >= 16 - may, 15, "those that are refused")
    notes.tell("out")
    busy.join()
    statuses = [busy.responses[n].status for n in coming]
    assert statuses.count(200) == may and statuses.count(503) == 16 - may


def test_overload_02_a_queue_without_a_limit(own_httpd):
    httpd = own_httpd(**one_group("threads=2"))
    notes, busy = Notes(httpd.path("tmp")), Background()
    hold(httpd, busy, notes, n=2)
    waiting = [busy.start(httpd.port(), "/hello") for _ in range(15)]
    wait_handled(httpd, 17)
    notes.tell("out")
    busy.join()
    assert all(busy.responses[n].status == 200 for n in waiting)


def test_overload_03_queue_timeout(own_httpd):
    """Neither sooner nor much later, and the application has not seen it."""
    httpd = own_httpd(**one_group("threads=1 queue-timeout=1"))
    notes, busy, own = Notes(httpd.path("tmp")), Background(), Notes(httpd.path("tmp"))
    hold(httpd, busy, notes)
    httpd.log.allow("WSGI0084")
    start = client.now()
    rsp = httpd.fetch(f"/partial?key={own.key}&n=1", method="POST", body=b"x")
    waited = client.now() - start
    assert rsp.status == 503 and int(rsp.get("Retry-After")) >= 1 and 1 <= waited < 4
    assert not own.read("started")
    status, queue, group, pid, _ = access(httpd, "/partial")
    assert (status, group, pid) == ("503", "g", "-") and 990000 <= int(queue) < 4e6
    line, = httpd.log.find("WSGI0084")
    assert line.level == "error" and int(re.search(r"after (\d+) ms", line.text)[1]) >= 990
    notes.tell("out")
    busy.join()


def test_overload_04_time_in_the_queue(own_httpd):
    """The application and the access log know it."""
    httpd = own_httpd(**one_group("threads=1"))
    worker, = ready(httpd, 1)
    env = httpd.fetch("/environ?first").json()
    assert env["mod_wsgi.queue_time"][0] == "float" and 0 <= float(env["mod_wsgi.queue_time"][1]) < 5
    assert access(httpd, "/environ?first")[:4] == ["200", "0", "g", str(worker)]
    notes, busy = Notes(httpd.path("tmp")), Background()
    hold(httpd, busy, notes)
    n = busy.start(httpd.port(), "/environ?second")
    wait_handled(httpd, 2)
    wait.holds(lambda: True, 0.5)
    notes.tell("out")
    busy.join()
    waited = float(busy.responses[n].json()["mod_wsgi.queue_time"][1])
    status, queue, group, pid, _ = access(httpd, "/environ?second")
    assert (status, group, pid) == ("200", "g", str(worker))
    assert 0.5 < waited < 15 and abs(waited - int(queue) / 1e6) < 0.5


# -- workers that do not answer

def test_overload_05_connect_timeout(own_httpd):
    """A worker that takes no connection."""
    httpd = own_httpd(**one_group("threads=5 connect-timeout=1 socket-timeout=20"))
    worker, = ready(httpd, 1)
    httpd.log.allow("WSGI0116", "WSGI0744")
    os.kill(worker, signal.SIGSTOP)
    try:
        start = client.now()
        rsp = httpd.fetch("/hello", timeout=10)
        assert rsp.status == 503 and int(rsp.get("Retry-After")) >= 1 and 1 <= client.now() - start < 5
    finally:
        os.kill(worker, signal.SIGCONT)
    line, = httpd.log.find("WSGI0116")
    assert line.level == "error" and "1000 ms" in line.text
    wait.until(lambda: httpd.fetch("/hello").status == 200, 10, "answer")


def test_overload_06_socket_timeout(own_httpd):
    """Each single wait: an application that says something in time may take longer in all."""
    httpd = own_httpd(**one_group("threads=5 socket-timeout=1"))
    notes = Notes(httpd.path("tmp"))
    httpd.log.allow("WSGI0145", "WSGI0576", traceback=True)
    start = client.now()
    with httpd.conn() as conn:
        conn.request("GET", f"/stream?key={notes.key}&n=4")
        pieces = conn.pieces(conn.head())
        for n in range(1, 4):
            next(pieces)
            wait.holds(lambda: True, 0.5)
            notes.tell(f"go{n}")
        assert b"block 3" in b"".join(pieces) and client.now() - start > 1.5
    start = client.now()
    rsp = httpd.fetch(f"/busy?key={notes.key}", timeout=10)
    assert rsp.status == 504 and 1 <= client.now() - start < 5
    notes.tell("out")
    assert httpd.fetch("/hello").status == 200


# -- connections that are kept

def sockets(httpd):
    """Sockets of each httpd child."""
    return sum(target.startswith("socket:") for pid in httpd.children() for target in procs.fds(pid).values())


@pytest.mark.skipif(server.MPM == "prefork", reason="one connection for each child and worker")
def test_overload_07_idle_connections_are_bounded(own_httpd):
    """A quarter of the descriptors that the child may have, whatever the number of groups."""
    groups = 8
    httpd = own_httpd.make(main="".join(f"WSGIDaemonProcess g{n} threads=10\n" for n in range(groups)),
                           vhosts={f"v{n}": f"WSGIProcessGroup g{n}\n" + apps_config() for n in range(groups)},
                           mpm_config=one_child())
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, old[1]))
    try:
        httpd.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    ready(httpd, groups, 40)
    before = sockets(httpd)
    for n in range(groups):
        notes, busy = Notes(httpd.path("tmp")), Background()
        for _ in range(10):
            busy.start(httpd.port(f"v{n}"), f"/busy?key={notes.key}")
        wait.until(lambda: notes.read("in").count("\n") == 10, 20, "ten busy threads")
        notes.tell("out")
        busy.join()
        assert all(rsp.status == 200 for rsp in busy.responses.values())
    wait.until(lambda: sockets(httpd) <= before + 50, 10, "no more than 50 idle connections")
    assert sockets(httpd) >= before + 40


@pytest.mark.skipif(server.MPM == "prefork", reason="one connection for each child and worker")
def test_overload_08_idle_connections_are_closed(own_httpd):
    """By whatever request comes by, of any group."""
    httpd = own_httpd(main="WSGIDaemonProcess g threads=10 connection-idle-timeout=1\n"
                           "WSGIDaemonProcess other threads=1 connection-idle-timeout=1\n",
                      vhosts={n: f"WSGIProcessGroup {n}\n" + apps_config() for n in ("g", "other")},
                      mpm_config=one_child())
    ready(httpd, 2)
    before = sockets(httpd)
    notes, busy = Notes(httpd.path("tmp")), Background()
    hold(httpd, busy, notes, n=10)
    notes.tell("out")
    busy.join()
    assert sockets(httpd) >= before + 10
    wait.until(lambda: httpd.fetch("/hello", "other").status == 200 and sockets(httpd) <= before + 2, 10,
               "the end of idle connections", step=0.2)
    assert httpd.fetch("/hello", "g").status == 200


BREAKER = """
import os, socket

def application(environ, start_response):
    if environ["QUERY_STRING"] == "break":
        for name in os.listdir("/proc/self/fd"):
            try:
                with socket.socket(fileno=os.dup(int(name))) as s:
                    if s.family == socket.AF_UNIX and s.type == socket.SOCK_STREAM:
                        s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]
"""


@pytest.mark.skipif(server.MPM == "prefork", reason="one connection for each child and worker")
@pytest.mark.parametrize("idle", [0, 1.2])
def test_overload_09_a_broken_idle_connection_costs_no_request(own_httpd, idle):
    """Whether it is noticed before the request is sent or because it cannot be sent."""
    httpd = own_httpd.make(**one_group("threads=10"))
    with open(httpd.path("apps", "hello", "wsgi.py"), "w", encoding="utf-8") as f:
        f.write(BREAKER)
    httpd.start()
    notes, busy = Notes(httpd.path("tmp")), Background()
    hold(httpd, busy, notes, n=8)
    notes.tell("out")
    busy.join()
    httpd.log.allow("WSGI0146", "WSGI0576")
    httpd.fetch("/hello?break")  # its own connection, too
    wait.holds(lambda: True, idle + 0.1)
    start = Background()
    for _ in range(8):
        start.start(httpd.port(), "/hello", method="POST", body=b"x")
    start.join()
    assert [rsp.status for rsp in start.responses.values()] == [200] * 8
