"""What a process of a group may use, and what becomes of it when it has used that up."""

import grp
import os

import signal

import pytest

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
    assert tells["priority"] == os.getpriority(os.PRIO_PROCESS, 0) + 5


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
    tells = own_httpd(**one_group("cpu-priority=-3")).fetch("/limits").json()
    assert tells["priority"] == os.getpriority(os.PRIO_PROCESS, 0) - 3 or os.getpriority(os.PRIO_PROCESS, 0) < -17


def test_limits_06_options_for_sockets_are_explained(own_httpd):
    httpd = own_httpd(**one_group(f"listen-backlog=500 socket-user={server.USER}"))
    assert httpd.log.find("WSGI0600.*socket-user.*no socket")
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
    httpd.log.allow("WSGI0580", "WSGI0146")
    with holding(httpd) as hold:
        hold.take()
        os.kill(pid, signal.SIGUSR1)
        wait.until(lambda: set(httpd.workers()) - {pid}, 20, "a successor")
        if waits:
            wait.until(lambda: not procs.alive(pid), 20, "the end of the drain")
        else:
            wait.holds(lambda: procs.alive(pid), 3, "the process drains for longer")
