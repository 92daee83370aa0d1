"""What a process of a group may use, and what becomes of it when it has used that up."""

import grp
import os

import signal
import time

import pytest

from conftest import apps_config
from harness import procs, server, wait
from test_50_daemon import background, holding, one_group, ready, root_only

MB = 1 << 20


def test_limits_01_none_unless_asked_for(own_httpd):
    import resource
    tells = own_httpd(**one_group()).fetch("/limits").json()
    for name, what in (("cpu", resource.RLIMIT_CPU), ("data", resource.RLIMIT_DATA), ("as", resource.RLIMIT_AS)):
        assert tells["limits"][name] == list(resource.getrlimit(what))
    assert tells["priority"] == os.getpriority(os.PRIO_PROCESS, 0)


def test_limits_02_what_the_options_say(own_httpd):
    httpd = own_httpd(**one_group(f"cpu-time-limit=600 shutdown-timeout=7 cpu-priority=5 memory-limit=700M "
                                  f"virtual-memory-limit={3000 * MB}"))
    tells = httpd.fetch("/limits").json()
    assert tells["limits"] == {"cpu": [600, 608], "data": [700 * MB] * 2, "as": [3000 * MB] * 2}
    assert tells["priority"] == 5


@pytest.mark.parametrize("option", ["memory-limit", "virtual-memory-limit"])
def test_limits_03_python_meets_the_memory_limit(own_httpd, option):
    httpd = own_httpd(**one_group(f"{option}={1000 * MB}"))
    assert httpd.fetch(f"/limits?allocate={50 * MB}").json()["did"] == {"allocate": 50 * MB}
    first = httpd.fetch(f"/limits?allocate={1500 * MB}").json()
    assert first["did"] == {"allocate": "MemoryError"}
    assert httpd.fetch("/limits").json()["pid"] == first["pid"]


@root_only
def test_limits_04_supplementary_groups_are_exactly_those(own_httpd):
    adm, main = grp.getgrnam("adm").gr_gid, grp.getgrnam(server.GROUP).gr_gid
    httpd = own_httpd(**one_group("supplementary-groups=adm,#12345"))
    tells = httpd.fetch("/limits").json()
    assert tells["groups"] == sorted({adm, main, 12345})


@root_only
def test_limits_05_a_negative_priority_is_set_while_root(own_httpd):
    assert own_httpd(**one_group("cpu-priority=-3")).fetch("/limits").json()["priority"] == -3


def test_limits_06_options_for_sockets_are_explained(own_httpd):
    httpd = own_httpd(**one_group(f"listen-backlog=500 socket-user={server.USER}"))
    for option in ("listen-backlog", "socket-user"):
        assert httpd.log.find(f"WSGI0600: {option}= .*has no effect")
    assert httpd.fetch("/hello").status == 200


def test_limits_07_cpu_time_limit_replaces_the_process_and_keeps_its_requests(own_httpd):
    httpd = own_httpd(**one_group("cpu-time-limit=2 threads=3"))
    pid = ready(httpd, 1).pop()
    with holding(httpd) as hold, background() as requests:
        assert hold.take() == [pid]
        requests.start(httpd.port(), "/limits?burn=2")
        wait.until(lambda: httpd.log.find(r"WSGI0566.*cpu-time-limit"), 20, "the replacement")
        wait.until(lambda: httpd.fetch("/limits").json()["pid"] != pid, 20, "another process")
        hold.notes.tell("out")
        assert {r.json()["pid"] for r in requests.join()} == {pid}
    wait.until(lambda: not procs.alive(pid), 20, "the old process has left")


@pytest.mark.parametrize("option,waits", [("eviction-timeout=1 graceful-timeout=60", True),
                                          ("eviction-timeout=60 graceful-timeout=1", False),
                                          ("graceful-timeout=1", True)])
def test_limits_08_sigusr1_drains_for_the_eviction_timeout(own_httpd, option, waits):
    httpd = own_httpd(**one_group(f"{option} shutdown-timeout=1 threads=3"))
    pid = ready(httpd, 1).pop()
    httpd.log.allow("WSGI0580", "WSGI0762", "WSGI0146")
    with holding(httpd) as hold:
        hold.take()
        os.kill(pid, signal.SIGUSR1)
        wait.until(lambda: set(httpd.workers()) - {pid}, 20, "a successor")
        if waits:
            wait.until(lambda: not procs.alive(pid), 20, "the end of the drain")
        else:
            wait.holds(lambda: procs.alive(pid), 3, "the process drains for longer")


# ---- requests that take too long --------------------------------------------------------------------


def timed(options, vhost="", **kw):
    return one_group(f"{options} threads=4", vhost=vhost, **kw)


def allow_timeouts(httpd):
    httpd.log.allow("WSGI0760", r"mod_wsgi\.RequestTimeout", traceback=True)


def allow_stacks(httpd, *ids):
    httpd.log.allow(*ids, r'File ".*", line|Thread 0x|Current thread 0x|Interpreter |Garbage-collecting|<no Python frame>|WSGI0764')


@pytest.fixture
def pipe(own_httpd):  # pylint: disable=unused-argument
    """Makes a named pipe; whoever reads it is stuck until it is opened for writing, or the server ends."""
    made = []

    def make(httpd):
        path = httpd.path("tmp", f"pipe{len(made)}")
        os.mkfifo(path)
        os.chmod(path, 0o666)
        made.append(path)
        return path
    yield make
    for path in made:
        free(path)
        os.unlink(path)


def free(path):
    """Let go who reads the pipe."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        pass  # nobody does


def test_limits_20_request_timeout_raises_and_the_process_lives(own_httpd):
    httpd = own_httpd(**timed("request-timeout=1"))
    pid = httpd.fetch("/limits").json()["pid"]
    allow_timeouts(httpd)
    rsp = httpd.fetch("/limits?spin=20")
    assert rsp.status == 504 and rsp.complete
    assert httpd.log.find(r"WSGI0760.*RequestTimeout raised by the server after the 1 s that a request may take")
    assert httpd.log.find("in spin")
    for _ in range(8):
        assert httpd.fetch("/limits?spin=0.2").json()["pid"] == pid


def test_limits_21_after_the_head_the_answer_is_cut(own_httpd):
    httpd = own_httpd(**timed("request-timeout=1"))
    allow_timeouts(httpd)
    rsp = httpd.fetch(f"/limits?streams={httpd.path('tmp', 'never')}")
    assert rsp.status == 200 and not rsp.complete and rsp.body == b"begun\n"


def test_limits_22_each_request_on_its_own_and_not_by_the_number_of_threads(own_httpd):
    httpd = own_httpd(**timed("request-timeout=2"))
    allow_timeouts(httpd)
    never = httpd.path("tmp", "never")
    began = time.monotonic()
    with background() as requests:
        requests.start(httpd.port(), f"/limits?stay={never}")
        assert httpd.fetch("/limits?spin=1").status == 200
        assert [r.status for r in requests.join()] == [504]
    assert 2 <= time.monotonic() - began < 2 + 3 * wait.SLOW


@pytest.mark.parametrize("where", ["server", "vhost", "location"])
def test_limits_23_a_directive_says_otherwise(own_httpd, where):
    one = "WSGIRequestTimeout 1"
    httpd = own_httpd(**timed("request-timeout=60", main=one if where == "server" else "",
                              vhost={"vhost": one, "location": f"<Location /limits/short>\n{one}\n</Location>"}
                              .get(where, "")))
    allow_timeouts(httpd)
    assert httpd.fetch("/limits/short?spin=20").status == 504


def test_limits_24_zero_lifts_the_limit_of_the_group(own_httpd):
    httpd = own_httpd(**timed("request-timeout=1",
                              vhost="<Location /limits/long>\nWSGIRequestTimeout 0\n</Location>"))
    allow_timeouts(httpd)
    assert httpd.fetch("/limits/long?spin=2").json()["did"] == {"spin": 2}
    assert httpd.fetch("/limits?spin=20").status == 504


def test_limits_25_embedded_requests_too(own_httpd):
    httpd = own_httpd(vhosts={"a": apps_config() + "<Location /limits>\nWSGIRequestTimeout 1\n</Location>"})
    allow_timeouts(httpd)
    assert httpd.fetch("/limits?spin=20").status == 504
    assert httpd.fetch("/limits?spin=0.1").status == 200


def test_limits_26_a_stuck_thread_is_given_up(own_httpd, pipe):
    """504 in its place, its neighbours' requests finish, the process stays, the stacks are in the log."""
    httpd = own_httpd(**timed("request-timeout=1 interrupt-timeout=1"))
    path = pipe(httpd)
    pid = httpd.fetch("/limits").json()["pid"]
    allow_stacks(httpd, "WSGI0761")
    allow_timeouts(httpd)
    with holding(httpd) as hold:
        rsp = httpd.fetch(f"/limits?stick={path}")
        assert rsp.status == 504 and rsp.complete
    wait.until(lambda: httpd.log.find(r"WSGI0761.*'GET /limits'.*1 s \(request-timeout\)"), 5, "a line")
    wait.until(lambda: httpd.log.find("in stick"), 10, "the stacks")
    assert len(httpd.log.find("WSGI0761")) == 1
    assert httpd.fetch("/limits").json()["pid"] == pid
    free(path)
    for _ in range(8):  # its thread serves again, on other connections
        assert httpd.fetch("/limits").json()["pid"] == pid


def test_limits_27_too_many_lost_threads_replace_the_process(own_httpd, pipe):
    """And the requests of its other threads finish."""
    httpd = own_httpd(**timed("request-timeout=2 interrupt-timeout=1",
                              vhost="<Location /busy>\nWSGIRequestTimeout 0\n</Location>"))
    pipes = [pipe(httpd), pipe(httpd)]
    pid = httpd.fetch("/limits").json()["pid"]
    allow_stacks(httpd, "WSGI0761")
    httpd.log.allow("WSGI0580", "WSGI0537", "WSGI0563")
    with holding(httpd) as hold, background() as requests:
        assert hold.take() == [pid]
        for path in pipes:
            requests.start(httpd.port(), f"/limits?stick={path}")
        assert [r.status for r in requests.join()] == [504, 504]
        wait.until(lambda: httpd.log.find("WSGI0566.*2 of its 4 threads are lost"), 10, "the replacement")
        other = wait.until(lambda: set(httpd.workers()) - {pid}, 10, "another process").pop()
        assert httpd.fetch("/limits").json()["pid"] == other
        hold.notes.tell("out")
        assert [r.status for r in hold.requests.join()] == [200]
    wait.until(lambda: not procs.alive(pid), 20, "the old process has left")


def test_limits_28_the_client_of_a_cut_request_is_told_in_one_line(own_httpd):
    httpd = own_httpd(**timed("graceful-timeout=1 shutdown-timeout=1"))
    pid = httpd.fetch("/limits").json()["pid"]
    httpd.log.allow("WSGI0580", "WSGI0762", "WSGI0146", "WSGI0537")
    with background() as requests:
        requests.start(httpd.port(), f"/limits?stay={httpd.path('tmp', 'never')}", method="POST")
        wait.until(lambda: ran(httpd, pid), 10, "the request")
        os.kill(pid, signal.SIGUSR1)
        assert [r.status for r in requests.join()] == [502]
    assert httpd.log.find(r"WSGI0762.*'POST /limits'.*graceful_signal")


def ran(httpd, pid):
    """A request is in its application."""
    return procs.alive(pid)


# ---- requests, activity, deadlock -------------------------------------------------------------------


def reason(httpd, pid, seconds=20):
    """What the process told its applications when it ended."""
    path = httpd.path("tmp", f"ended.{pid}")
    wait.until(lambda: os.path.exists(path) and os.path.getsize(path), seconds, f"the end of {pid}")
    with open(path, encoding="ascii") as f:
        return f.read()


def test_limits_40_maximum_requests_is_exact(own_httpd):
    httpd = own_httpd(**one_group("maximum-requests=5 threads=2"))
    pids = [httpd.fetch("/limits").json()["pid"] for _ in range(4)]
    assert len(set(pids)) == 1 and not httpd.log.find("WSGI0566")
    assert httpd.fetch("/limits").json()["pid"] == pids[0]
    wait.until(lambda: httpd.log.find(r"WSGI0566.*it has got 5 requests \(maximum-requests\)"), 10, "the replacement")
    wait.until(lambda: httpd.fetch("/limits").json()["pid"] != pids[0], 10, "another process")
    assert reason(httpd, pids[0]) == "maximum_requests"


def test_limits_41_a_process_for_each_request(own_httpd):
    httpd = own_httpd(**one_group("maximum-requests=1 threads=1"))
    told = [httpd.fetch("/limits").json() for _ in range(3)]
    assert len({t["pid"] for t in told}) == 3
    assert all(t["run_once"] is True for t in told)


def test_limits_42_inactivity_begins_with_the_first_request(own_httpd):
    httpd = own_httpd(**one_group("inactivity-timeout=1",
                                  vhost="<Location /limits/monitor>\nWSGIIgnoreActivity On\n</Location>"))
    pid = ready(httpd, 1).pop()
    wait.holds(lambda: httpd.workers() and procs.alive(pid), 2.5, "nothing happens before a request")
    assert httpd.fetch("/limits/monitor").json()["pid"] == pid
    wait.holds(lambda: procs.alive(pid), 2.5, "requests that are ignored do not arm it")
    assert httpd.fetch("/limits").json()["pid"] == pid
    wait.until(lambda: httpd.log.find(r"WSGI0566.*no request for 1 s \(inactivity-timeout\)"), 10, "the replacement")
    assert reason(httpd, pid) == "inactivity_timeout"


def test_limits_43_activity_and_running_requests_keep_it(own_httpd):
    httpd = own_httpd(**one_group("inactivity-timeout=2 threads=3"))
    pid = ready(httpd, 1).pop()
    with holding(httpd) as hold:
        assert hold.take() == [pid]
        httpd.fetch("/limits")
        wait.holds(lambda: not httpd.log.find("WSGI0566"), 4, "a running request keeps it")
        hold.notes.tell("out")
    for _ in range(5):
        assert httpd.fetch("/limits").json()["pid"] == pid
        wait.holds(lambda: not httpd.log.find("WSGI0566"), 0.8, "requests keep it")


def test_limits_44_ignored_requests_do_not_keep_it(own_httpd):
    httpd = own_httpd(**one_group("inactivity-timeout=2",
                                  vhost="<Location /limits/monitor>\nWSGIIgnoreActivity On\n</Location>"))
    pid = httpd.fetch("/limits").json()["pid"]
    wait.until(lambda: httpd.fetch("/limits/monitor").json()["pid"] != pid, 15, "another process", step=0.3)


def test_limits_45_a_stuck_gil_ends_the_process(own_httpd):
    """Its stacks are in the log, and another process serves."""
    httpd = own_httpd(**one_group("deadlock-timeout=2 shutdown-timeout=1 threads=2"))
    pid = httpd.fetch("/limits").json()["pid"]
    allow_stacks(httpd, "WSGI0763", "WSGI0580", "WSGI0762", "WSGI0146", "WSGI0563", "WSGI0565")
    with background() as requests:
        requests.start(httpd.port(), "/limits?hold_gil=60", method="POST")
        wait.until(lambda: httpd.log.find("WSGI0763.*2 s"), 15, "the line about it")
        wait.until(lambda: not procs.alive(pid), 20, "its end")
        assert [r.status for r in requests.join()] == [502]
    assert httpd.log.find("in hold_gil")
    assert httpd.fetch("/limits").json()["pid"] != pid


def test_limits_46_cpu_and_signals_have_their_reasons(own_httpd):
    httpd = own_httpd(**one_group("cpu-time-limit=1 eviction-timeout=5 graceful-timeout=6"))
    pid = httpd.fetch("/limits?burn=1.2").json()["pid"]
    assert reason(httpd, pid) == "cpu_time_limit"
    pid = wait.until(lambda: set(httpd.workers()) - {pid} and httpd.fetch("/limits").json()["pid"], 10, "another")
    os.kill(pid, signal.SIGUSR1)
    assert reason(httpd, pid) == "eviction_signal"


def test_limits_47_restart_interval_is_a_reason_too(own_httpd):
    httpd = own_httpd(**one_group("restart-interval=2"))
    pid = httpd.fetch("/limits").json()["pid"]
    assert reason(httpd, pid) == "restart_interval"
