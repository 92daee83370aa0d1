"""Start, stop, restart, reload, and the death of every process: nothing is lost, nothing is left."""

import contextlib
import os
import signal
import time

import pytest

from conftest import Notes, apps_config
from harness import client, procs, server, wait
from harness.load import Load
from test_50_daemon import background, holding, is_ready, killed, one_group, ready


def config(mode, options="processes=2 threads=3", **kw):
    if mode == "daemon":
        return one_group(options, **kw)
    return dict(vhosts={"a": apps_config()}, **kw)


STOPS = {"stop": signal.SIGTERM, "graceful-stop": signal.SIGWINCH}


@pytest.mark.parametrize("how", STOPS)
def test_lifecycle_01_an_idle_server_stops(own_httpd, mode, how):
    httpd = own_httpd(**config(mode))
    assert httpd.fetch("/hello").status == 200
    begin = client.now()
    httpd.stop(STOPS[how])
    assert client.now() - begin < 6


@pytest.mark.parametrize("how", STOPS)
def test_lifecycle_02_a_server_that_never_served_stops(own_httpd, mode, how):
    httpd = own_httpd(**config(mode))
    begin = client.now()
    httpd.stop(STOPS[how])
    assert client.now() - begin < 6


def test_lifecycle_03_graceful_stop_lets_requests_end(own_httpd, mode):
    httpd = own_httpd(**config(mode))
    with holding(httpd) as hold:
        hold.take(2)
        httpd.note_processes()
        httpd.send_signal(signal.SIGWINCH)
        wait.until(lambda: not client.can_connect(httpd.port()), 10, "closed listener")
        wait.holds(lambda: not hold.requests.responses, 1, "requests in flight")
        hold.notes.tell("out")
        assert [r.status for r in hold.requests.join()] == [200, 200]
    wait.until(lambda: httpd.process.poll() is not None, 15, "end of httpd")
    httpd.assert_gone()


def test_lifecycle_04_stop_does_not_wait_for_ever(own_httpd, mode):
    httpd = own_httpd(**config(mode))
    httpd.log.allow("AH00045", "AH00046", "AH00047", "WSGI")
    with holding(httpd) as hold:
        hold.take(2)
        begin = client.now()
        httpd.stop(signal.SIGTERM, seconds=40)
        assert client.now() - begin < 15
        for rsp in hold.requests.join():
            assert not isinstance(rsp, client.Response) or rsp.status >= 500 or not rsp.complete


def test_lifecycle_05_atexit_functions_run_at_the_end(own_httpd, mode):
    httpd = own_httpd(**config(mode, "processes=1 threads=3") if mode == "daemon" else config(mode))
    notes = Notes(httpd.path("tmp"))
    pid = httpd.fetch(f"/atexit?key={notes.key}").text
    httpd.stop()
    assert notes.read("left").split() == [pid]


def test_lifecycle_06_restart(own_httpd, mode):
    httpd = own_httpd(**config(mode))
    httpd.fetch("/hello")
    before = set(httpd.processes()) - {httpd.pid}
    httpd.restart()
    assert httpd.fetch("/hello").status == 200
    wait.until(lambda: not before & set(httpd.processes()), 10, "end of the old processes")
    httpd.assert_zombie_free()


def test_lifecycle_07_graceful_restart(own_httpd, mode):
    httpd = own_httpd(**config(mode))
    httpd.fetch("/hello")
    before = set(httpd.processes()) - {httpd.pid}
    httpd.graceful()
    assert httpd.fetch("/hello").status == 200
    wait.until(lambda: not before & set(httpd.processes()), 15, "end of the old processes")
    httpd.assert_zombie_free()


@pytest.mark.parametrize("how", ["graceful", "restart"])
def test_lifecycle_08_many_restarts_leak_nothing(own_httpd, how):
    httpd = own_httpd(**config("daemon"))

    def shape():
        ready(httpd, 2)
        httpd.fetch("/hello")
        httpd.assert_zombie_free()
        found = httpd.processes()
        return len(found), sorted(kind(t) for t in procs.fds(httpd.pid).values())

    def settled():
        for _ in range(3):
            getattr(httpd, how)()
            httpd.fetch("/hello")
        wait.until(lambda: len(httpd.supervisors()) == 1 and len(httpd.workers()) == 2, 15, "one generation")
        wait.until(lambda: len(httpd.children()) == usual, 15, "one generation of children")
        return shape()
    usual = len(httpd.children())
    first = settled()
    assert settled() == first
    httpd.assert_zombie_free()


def kind(target):
    """What a descriptor is, without the number that makes it this one."""
    return target.split("[")[0].split(":")[0] if target.startswith(("socket", "pipe", "anon")) else target


@pytest.mark.parametrize("times", [1, 5])
def test_lifecycle_09_no_request_fails_over_a_graceful_restart(own_httpd, mode, times):
    httpd = own_httpd(**config(mode))
    httpd.log.allow("AH00288")
    with Load(httpd) as load:
        for _ in range(times):
            httpd.graceful()
            load.more(20)
        load.more(50)
    assert not load.failures, load.failures[0]
    wait.until(lambda: len(httpd.supervisors()) <= 1, 15, "end of the old supervisor")


def test_lifecycle_10_a_request_outlives_a_graceful_restart(own_httpd, mode):
    """httpd kills registered processes three seconds after a graceful restart; it must not reach ours."""
    httpd = own_httpd(**config(mode))
    with holding(httpd) as hold:
        hold.take(2)
        httpd.graceful()
        assert httpd.fetch("/hello").status == 200
        wait.holds(lambda: not hold.requests.responses, 4.5, "requests in flight")
        hold.notes.tell("out")
        assert [r.status for r in hold.requests.join()] == [200, 200]
    if mode == "daemon":
        wait.until(lambda: len(httpd.supervisors()) == 1, 15, "end of the old supervisor")


DELAYS = [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_lifecycle_11_stop_in_the_middle_of_a_start(own_httpd, sig):
    for delay in DELAYS:
        httpd = own_httpd.make(**config("daemon", "processes=4 threads=2"))
        httpd.launch()
        time.sleep(delay)  # the moment is the subject
        httpd.note_processes()
        httpd.send_signal(sig)
        wait.until(lambda: httpd.process.poll() is not None, 15, f"end after {delay} s")
        httpd.log.allow("WSGI056[1-4]")
        httpd.assert_gone()
        own_httpd.end(httpd)


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.3])
def test_lifecycle_12_restart_in_the_middle_of_a_start(own_httpd, delay):
    httpd = own_httpd(**config("daemon", "processes=4 threads=2"))
    for sig in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1):
        httpd.send_signal(sig)
        time.sleep(delay)  # the moment is the subject
    httpd.log.allow("WSGI056[1-4]", "AH00488")  # a child that httpd forgot over two restarts
    quiet(httpd)
    assert httpd.fetch("/hello").status == 200
    wait.until(lambda: len(httpd.supervisors()) == 1 and len(httpd.workers()) == 4, 20, "one generation")
    httpd.stop()


def quiet(httpd, seconds=1.5):
    """Wait until the log has not grown for this long: httpd forgets a signal that comes in mid-restart."""
    last, since = httpd.log.mark(), client.now()

    def look():
        nonlocal last, since
        if httpd.log.mark() != last:
            last, since = httpd.log.mark(), client.now()
        return client.now() - since >= seconds
    wait.until(look, 30, "quiet log")


def test_lifecycle_13_the_parent_is_killed(own_httpd):
    """Its children go on, as httpd's do; when they are gone, supervisor and workers go by themselves."""
    httpd = own_httpd(**config("daemon"))
    workers = ready(httpd, 2)
    httpd.fetch("/hello")
    children, supers = set(httpd.children()), httpd.supervisors()
    httpd.process.kill()
    httpd.process.wait()
    for _ in range(5):
        assert httpd.fetch("/hello").status == 200
    assert workers <= set(httpd.workers())
    killed(httpd.log)
    for pid in children:
        procs.kill(pid)
    wait.until(lambda: not any(procs.alive(p) for p in [*workers, *supers]), 15, "end of supervisor and workers")
    os.unlink(httpd.path("run", "httpd.pid"))  # the killed parent could not; the control socket is the supervisor's
    httpd.assert_gone()


def test_lifecycle_14_the_supervisor_is_killed(own_httpd):
    httpd = own_httpd(**config("daemon"))
    workers = ready(httpd, 2)
    old = httpd.supervisors().pop()
    httpd.log.allow("WSGI0655", "WSGI0572", "WSGI0146", "AH0")
    procs.kill(old)
    # While no supervisor is there, requests still come through or wait; none fails.
    end = client.now() + 4
    while client.now() < end:
        assert httpd.fetch("/hello", timeout=20).status == 200
    wait.until(lambda: old not in httpd.supervisors() and len(httpd.supervisors()) == 1, 10, "new supervisor")
    wait.until(lambda: not any(procs.alive(p) for p in workers), 15, "end of the old workers")
    wait.until(lambda: len([p for p in httpd.workers() if is_ready(httpd, p)]) == 2, 15, "new workers")
    assert httpd.fetch("/hello").status == 200
    httpd.assert_zombie_free()


def test_lifecycle_15_the_supervisor_is_killed_with_requests_in_flight(own_httpd):
    httpd = own_httpd(**config("daemon"))
    ready(httpd, 2)
    httpd.log.allow("WSGI0655", "WSGI0572", "WSGI0146", "AH0")
    with holding(httpd) as hold:
        hold.take(3)
        procs.kill(httpd.supervisors().pop())
        wait.holds(lambda: not hold.requests.responses, 2, "requests in flight")
        hold.notes.tell("out")
        assert [r.status for r in hold.requests.join()] == [200] * 3
    assert httpd.fetch("/hello", timeout=20).status == 200


def test_lifecycle_16_the_supervisor_is_killed_again_and_again(own_httpd):
    httpd = own_httpd(**config("daemon"))
    httpd.log.allow("WSGI0655", "WSGI0572", "WSGI0146", "AH0")
    for _ in range(2):
        wait.until(lambda: len(httpd.supervisors()) == 1, 10, "one supervisor")
        procs.kill(httpd.supervisors().pop())
        wait.until(lambda: httpd.fetch("/hello", timeout=20).status == 200, 10, "service")
    wait.until(lambda: len(httpd.supervisors()) == 1 and len(httpd.workers()) == 2, 20, "one generation")


def test_lifecycle_17_a_child_is_killed_and_its_claims_are_free(own_httpd):
    httpd = own_httpd(**config("daemon", "processes=1 threads=2"))
    ready(httpd, 1)
    httpd.log.allow("AH00051", "AH00052", "WSGI", traceback=True)
    with holding(httpd) as hold:
        for _ in range(2):
            hold.requests.start(httpd.port(), f"/busy?key={hold.notes.key}")
        wait.until(lambda: len(hold.pids()) == 2, 10, "held threads")
        for pid in httpd.children():
            procs.kill(pid)
        hold.notes.tell("out")
    wait.until(lambda: client.can_connect(httpd.port()), 10, "new children")
    with holding(httpd) as hold:
        assert len(hold.take(2)) == 2  # both threads can be had again


def test_lifecycle_18_a_killed_child_under_load(own_httpd):
    httpd = own_httpd(**config("daemon", "processes=2 threads=2"))
    httpd.log.allow("AH00051", "AH00052", "WSGI", traceback=True)
    for _ in range(5):
        with background() as requests:
            for _ in range(6):
                requests.start(httpd.port(), "/hello")
            for pid in list(httpd.children())[:1]:
                procs.kill(pid)
        wait.until(lambda: client.can_connect(httpd.port()), 10, "new children")
    wait.until(lambda: httpd.fetch("/hello").status == 200, 10, "service")
    with holding(httpd) as hold:
        assert len(hold.take(4)) == 4


def test_lifecycle_19_groups_come_and_go_with_the_configuration(own_httpd):
    groups = "WSGIDaemonProcess {0} processes=1 threads=2\nWSGIDaemonProcess {1} processes=1 threads=2\n"
    httpd = own_httpd(main=groups.format("a", "b"), vhosts={
        "a": "WSGIScriptAlias /1 @apps@/who/wsgi.py process-group=a\n"
             "WSGIScriptAlias /2 @apps@/who/wsgi.py process-group=b\n"})
    first = httpd.fetch("/1").json()
    gone = httpd.fetch("/2").json()
    assert (first["process_group"], gone["process_group"]) == ("a", "b")
    httpd.main = groups.format("c", "a")
    httpd.vhosts["a"].text = httpd.vhosts["a"].text.replace("process-group=b", "process-group=c")
    httpd.write_config()
    httpd.graceful()
    wait.until(lambda: httpd.fetch("/2").json()["process_group"] == "c", 10, "new group")
    assert httpd.fetch("/1").json()["process_group"] == "a"
    wait.until(lambda: gone["pid"] not in httpd.workers() and len(httpd.workers()) == 2, 15, "old workers' end")


def test_lifecycle_20_more_processes_after_a_reload(own_httpd):
    httpd = own_httpd(**config("daemon", "processes=1 threads=1"))
    ready(httpd, 1)
    httpd.main = httpd.main.replace("processes=1", "processes=3")
    httpd.write_config()
    httpd.graceful()
    wait.until(lambda: len(httpd.workers()) == 3, 15, "three workers")
    assert httpd.fetch("/hello").status == 200


def test_lifecycle_21_reload_to_no_group_at_all(own_httpd):
    httpd = own_httpd(**config("daemon"))
    httpd.fetch("/hello")
    httpd.main = ""
    httpd.write_config()
    httpd.graceful()
    assert httpd.fetch("/who").json()["process_group"] == ""
    wait.until(lambda: not httpd.workers() and not httpd.supervisors(), 15, "end of the workers")


def test_lifecycle_22_a_broken_configuration_at_reload_leaves_nothing(own_httpd):
    """httpd ends in this case, as it always did."""
    httpd = own_httpd(**config("daemon"))
    httpd.fetch("/hello")
    httpd.main = "WSGIDaemonProcess g prozesses=2\n"
    httpd.write_config()
    httpd.log.allow("AH", "WSGI")
    httpd.note_processes()
    httpd.send_signal(signal.SIGUSR1)
    wait.until(lambda: httpd.process.poll() is not None, 15, "end of httpd")
    for pid in httpd.children():
        procs.kill(pid, signal.SIGTERM)
    wait.until(lambda: not httpd.processes(), 20, "end of everything")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(httpd.path("run", "httpd.pid"))  # httpd forgets it in this case


def test_lifecycle_23_an_operator_ends_a_worker(own_httpd):
    httpd = own_httpd(**config("daemon"))
    old = ready(httpd, 2)
    with Load(httpd) as load:
        for pid in old:
            procs.kill(pid, signal.SIGTERM)
            wait.until(lambda: pid not in httpd.workers() and len(
                [p for p in httpd.workers() if is_ready(httpd, p)]) == 2, 15, "replaced worker")
            load.more(20)
    assert not load.failures, load.failures[0]
    httpd.log.allow("WSGI0563")


def test_lifecycle_24_children_that_are_recycled_leave_no_claim(own_httpd, mode):
    httpd = own_httpd(**config(mode, "processes=2 threads=2", main="MaxConnectionsPerChild 20\n")
                      if mode == "daemon" else dict(main="MaxConnectionsPerChild 20\n",
                                                    vhosts={"a": apps_config()}))
    for _ in range(200):
        assert httpd.fetch("/hello").status == 200
    if mode == "daemon":
        with holding(httpd) as hold:
            assert len(hold.take(4)) == 4


def test_lifecycle_25_configtest_starts_nothing(own_httpd):
    import subprocess
    httpd = own_httpd.make(**config("daemon"))
    httpd.write_config()
    done = subprocess.run(httpd.command("-t"), capture_output=True, text=True, timeout=20, check=False,
                          env=httpd._environ())
    assert done.returncode == 0 and "Syntax OK" in done.stderr
    assert not httpd.processes()
    httpd.assert_no_ipc()


def test_lifecycle_26_two_servers_side_by_side(own_httpd):
    one, two = own_httpd(**config("daemon")), own_httpd(**config("daemon"))
    first, second = ready(one, 2), ready(two, 2)
    assert not first & second
    one.stop()
    assert two.fetch("/hello").status == 200 and set(two.workers()) == second


@pytest.mark.skipif(not server.ROOT, reason="is about root")
def test_lifecycle_27_unprivileged(own_httpd):
    """The whole thing as an ordinary user: httpd is started by one."""
    httpd = own_httpd.make(**config("daemon"))
    httpd.become(server.USER)
    httpd.start()
    who = httpd.fetch("/who").json()
    assert who["uid"][0] != 0 and who["process_group"] == "g"
    assert {p.uid() for p in httpd.processes().values()} == {who["uid"][0]}
    httpd.graceful()
    assert httpd.fetch("/hello").status == 200
    httpd.stop()


def test_lifecycle_28_a_generation_does_not_inherit_the_one_before(own_httpd):
    """Graceful restarts in a row, with requests of an old generation still running."""
    httpd = own_httpd(**config("daemon"))

    def boards(pid):
        with open(f"/proc/{pid}/maps", encoding="latin-1") as f:
            mapped = sum("/memfd:" in line for line in f)
        return mapped, sum(t.startswith("/memfd:") for t in procs.fds(pid).values())
    ready(httpd, 2)
    usual = {boards(pid) for pid in httpd.children()} | {boards(httpd.supervisors().pop())}
    assert len(usual) == 1
    with holding(httpd) as hold:
        hold.take(1)
        before = set(httpd.processes())
        httpd.graceful()
        assert httpd.fetch("/hello").status == 200
        new = (set(httpd.children()) | httpd.supervisors()) - before
        assert len(new) >= 2 and {boards(pid) for pid in new} == usual


def test_lifecycle_29_the_supervisor_of_an_old_generation_is_killed(own_httpd):
    """A child that still reads a request when httpd restarts needs workers of its own generation for it."""
    httpd = own_httpd(**config("daemon"))
    workers = ready(httpd, 2)
    httpd.log.allow("WSGI0655", "WSGI0572")
    with httpd.conn() as conn:
        conn.send(conn.build("POST", "/echo", [("Content-Length", "8")]) + b"half")
        port = conn.sock.getsockname()[1]
        wait.until(lambda: any(port in procs.client_ports(pid) for pid in httpd.children()), 10, "connection")
        old = httpd.supervisors().pop()
        httpd.graceful()
        wait.holds(lambda: old in httpd.supervisors(), 0.5, "old supervisor")
        procs.kill(old)
        wait.until(lambda: not any(procs.alive(pid) for pid in workers), 15, "end of the old workers")
        conn.send(b"more")
        assert conn.response("POST").status == 200
    wait.until(lambda: len(httpd.supervisors()) == 1 and len(httpd.workers()) == 2, 15, "one generation")
