"""Under load nothing fails, and when it is over everything is as before."""

import re
import shutil
import subprocess

import pytest

from conftest import apps_config
from harness import procs, server, wait
from test_50_daemon import is_ready, killed, one_group, ready

pytestmark = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")

SECONDS = 2

# Threads for all connections: where they are scarce, httpd closes kept connections, and wrk counts that.
ROOMY = ("StartServers 1\nServerLimit 3\nThreadsPerChild 64\nMaxRequestWorkers 192\n"
         "MinSpareThreads 1\nMaxSpareThreads 192" if server.MPM != "prefork" else
         "StartServers 40\nServerLimit 64\nMaxRequestWorkers 64\nMinSpareServers 1\nMaxSpareServers 64")
SITE = {"mpm_config": ROOMY}


class Wrk:
    def __init__(self, port, path="/hello", connections=16, seconds=SECONDS):
        self.process = subprocess.Popen(
            ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s",
             f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        """Requests, answers other than 2xx and 3xx, socket errors."""
        text = self.process.communicate(timeout=60)[0]
        assert self.process.returncode == 0, text
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        return (int(re.search(r"(\d+) requests in", text)[1]), int(bad[1]) if bad else 0,
                sum(map(int, errors.groups())) if errors else 0)


def memory(pid):
    """Resident KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s*(\d+)", f.read())[1])


def cpu(pid):
    """Clock ticks used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def resting(httpd):
    """Processes and descriptor counts when nothing is going on."""
    last = None

    def look():
        nonlocal last
        now = {pid: len(procs.fds(pid)) for pid in httpd.processes()}
        same, last = now == last, now
        return same
    wait.until(look, 15, "rest", step=0.3)
    return last


def test_load_01_no_request_fails_and_nothing_grows(site, mode):
    port = site.port(mode)
    assert Wrk(port).result()[1:] == (0, 0)
    before = resting(site)
    size = {pid: memory(pid) for pid in before}
    requests, bad, errors = Wrk(port).result()
    assert (bad, errors) == (0, 0) and requests > 100
    after = resting(site)
    assert set(after) >= set(before), "a process was replaced"
    assert set(after) == set(before) or server.MPM == "prefork"
    # A child of prefork may get its first request only now: it loads Python, or connects to the worker.
    fds, kib = (2, 8192) if server.MPM != "prefork" else (len(site.children()) + 2, 20480)
    for pid in before:
        assert after[pid] <= before[pid] + fds, f"descriptors of {pid}: {before[pid]} -> {after[pid]}"
        if not server.sanitized():
            assert memory(pid) <= size[pid] + kib, f"KiB of {pid}: {size[pid]} -> {memory(pid)}"


def test_load_02_streams(site, mode):
    requests, bad, errors = Wrk(site.port(mode), "/output?way=long_blocks", 8).result()
    assert (bad, errors) == (0, 0) and requests > 10


def test_load_03_more_clients_than_threads(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2", mpm_config=ROOMY))
    ready(httpd, 2)
    requests, bad, errors = Wrk(httpd.port(), connections=32).result()
    assert (bad, errors) == (0, 0) and requests > 100


def test_load_04_kill_9_of_a_worker_under_load(own_httpd):
    """The group is whole again within a second; only requests inside that worker failed."""
    httpd = own_httpd(**one_group("processes=4 threads=4", mpm_config=ROOMY))
    workers = ready(httpd, 4)
    killed(httpd.log)
    wrk = Wrk(httpd.port(), seconds=3)
    victim = workers.pop()
    wait.until(lambda: cpu(victim) >= 10, 5, "load")
    procs.kill(victim)
    wait.until(lambda: len([p for p in httpd.workers() if p != victim and is_ready(httpd, p)]) == 4, 2,
               "whole group")
    requests, bad, errors = wrk.result()
    assert requests > 100
    assert bad + errors <= 4, f"{bad} + {errors} requests failed, one worker has 4 threads"


def test_load_05_graceful_under_load(own_httpd, mode):
    """wrk counts a connection closed in mid-request as a socket error; answers must all be good."""
    args = one_group("processes=2 threads=4") if mode == "daemon" else dict(vhosts={"a": apps_config()})
    httpd = own_httpd(**args)
    wrk = Wrk(httpd.port(), seconds=3)
    for _ in range(2):
        httpd.graceful()
    requests, bad, _ = wrk.result()
    assert bad == 0 and requests > 100
    wait.until(lambda: len(httpd.supervisors()) <= 1, 15, "end of the old supervisor")


def test_load_06_requests_under_load_balance(own_httpd):
    """Least busy: with more processes than requests at once, no process is left out for long."""
    httpd = own_httpd(**one_group("processes=3 threads=5", mpm_config=ROOMY))
    pids = ready(httpd, 3)
    before = {pid: cpu(pid) for pid in pids}
    assert Wrk(httpd.port(), connections=12).result()[1:] == (0, 0)
    used = {pid: cpu(pid) - before[pid] for pid in pids}
    assert min(used.values()) > 0, used
