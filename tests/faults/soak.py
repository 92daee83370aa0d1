"""Mixed traffic for a long time: a server must have afterwards what it had before, and not grow meanwhile.

Small answers, streams, uploads, files, errors, slow clients and such that leave, WebSocket requests and, where h2load
is there, HTTP/2. First some of it to warm up, then a look at the server at rest, then the long part, during which
the resident memory of every role is sampled, then another look at rest.
"""

import os
import shutil
import signal
import statistics
import subprocess
import threading
import time

import load
import rest
import subject
from growth import growth
from harness import procs, server, wait

WARM = 0.25  # part of the time, and at most so many seconds
WARM_MAX = 300
WINDOWS = 10
SAMPLE = 1.0
CLIENTS = 8
WARM_CLIENTS = 40  # enough that every thread of every child has served
GROWTH = 1.0  # per cent, see growth.py
SHORT = 600  # seconds: until then every thread's memory fills for the first time, whatever the warm-up
SHORT_GROWTH = 25.0

# glibc raises the thresholds from which it gives memory back to what the largest freed block would have it: an
# embedded application that makes large bodies leaves megabytes in the arena of each thread, more or less of them by
# chance, in which a leak would not be seen. Its own values from the start, but fixed; costs speed (docs/reliability.md).
FIXED_MALLOC = {"MALLOC_TRIM_THRESHOLD_": "131072"}

CONNECTION = 20  # seconds that one of HTTP/2 lives

FIXED = "StartServers 2\nServerLimit 2\nThreadsPerChild 25\nMaxRequestWorkers 50\nMinSpareThreads 1\nMaxSpareThreads 50"
HTTP2 = "Protocols h2c http/1.1\nH2Direct on\n"
SOCKETS = 25 * 8  # of a process: more than there are requests at once


class Http2(threading.Thread):
    """Two connections at a time, 20 requests a second on each. They are made anew every now and then: httpd 2.4.71 keeps some
    60 bytes for each request of a connection until that ends, for an error page of its own as for an application."""

    def __init__(self, site, seconds, clients):
        super().__init__(daemon=True)
        self.site, self.end, self.patient = site, time.monotonic() + seconds, clients > CLIENTS
        self.failed = None

    def run(self):
        while not self.failed and time.monotonic() < self.end:
            self.failed = self.ask(min(CONNECTION, max(1, self.end - time.monotonic())))

    def ask(self, seconds):
        """None, or what went wrong."""
        try:
            done = subprocess.run(["h2load", "-c", "2", "-m", "4", "-n", str(int(seconds * 40)), "--rps", "20",
                                   f"http://127.0.0.1:{self.site.port}/main/small?id=h2"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=seconds + 40, check=False)
        except subprocess.TimeoutExpired:
            return "h2load does not end"
        words = dict((w.split()[1], int(w.split()[0])) for line in done.stdout.splitlines()
                     if line.startswith("requests:") for w in line[9:].split(",") if len(w.split()) == 2)
        # Where threads are scarce httpd closes kept connections, and h2load does not come again.
        if not words.get("succeeded") or (words.get("failed", 1) and not self.patient):
            return f"h2load: {done.stdout[-1500:]}"
        return None


def traffic(site, seconds, clients=CLIENTS, sample=lambda: None):
    """(requests that were answered right, fates of the others)"""
    other = Http2(site, seconds, clients) if site.http2 else None
    pause = 0.01 * clients / CLIENTS
    with load.Load(site.port, site.mounts, 1, n=clients, pause=pause, brief=True) as running:
        if other:
            other.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(SAMPLE)
            sample()
    if other:
        other.join(CONNECTION + 60)
        if other.failed or other.is_alive():
            raise AssertionError(other.failed or "h2load does not end")
    return running.right, running.fates


class Memory:
    """Resident KiB of each role over time."""

    def __init__(self, site):
        self.site = site
        self.roles = {"parent": [site.httpd.pid], "supervisor": [site.supervisor()],
                      "children": sorted(site.children()), "workers": sorted(site.workers())}
        self.samples = {role: [] for role in self.roles}

    def sample(self):
        for role, pids in self.roles.items():
            self.samples[role].append(sum(rest.memory(pid) for pid in pids))

    def medians(self, role):
        values = self.samples[role]
        step = max(1, len(values) // WINDOWS)
        return [statistics.median(values[i:i + step]) for i in range(0, step * (len(values) // step), step)]

    def rows(self, seconds):
        """(role, KiB in the second quarter, in the last, per cent, KiB per hour)"""
        for role in self.roles:
            early, late, percent = growth(self.samples[role])
            yield role, early, late, percent, (late - early) * 3600 / (seconds / 2)


def look(site):
    """At rest, and what must not grow."""
    wait.until(lambda: not any(procs.client_ports(pid) for pid in site.children()), 30, "end of the connections",
               step=0.2)
    state = rest.Rest(site).look()
    state["processes"] = sorted(site.httpd.processes())
    for pid in state["processes"]:
        sockets = rest.kinds(pid)["socket"]
        if sockets > SOCKETS:
            raise AssertionError(f"{sockets} sockets in {procs.cmdline(pid)} at rest")
    return state


def report(answered, seconds, memory):
    """Print what was measured; the complaints."""
    limit = GROWTH if seconds >= SHORT else SHORT_GROWTH
    bad = []
    print(f"   {answered} requests in {seconds:g} s")
    for role, first, last, percent, slope in memory.rows(seconds):
        print(f"   {role:10} {first / 1024:8.1f} MB -> {last / 1024:8.1f} MB  {percent:+.2f} %  {slope:+.0f} KiB/h")
        print("              " + " ".join(f"{m / 1024:.1f}" for m in memory.medians(role)))
        if percent > limit:
            bad.append(f"the memory of the {role} grew by {percent:.2f} %, which is over {limit:g} %")
    return bad


def measure(site, seconds):
    load.File.content = site.content
    site.settle()
    warm = min(WARM_MAX, seconds * WARM)
    _, failed = traffic(site, warm, WARM_CLIENTS)
    before = look(site)
    memory = Memory(site)
    answered, more = traffic(site, seconds - warm, sample=memory.sample)
    after = look(site)
    bad = report(answered, seconds - warm, memory) + rest.differences(before, after)
    # Where threads are scarce httpd closes kept connections; the request came through on the next one.
    bad += [repr(f) for f in failed + more if f.what not in (load.LEFT, load.CLOSED)][:10]
    return bad


def run(seconds, default_malloc=False):
    """True if all is as it was. default_malloc: glibc may keep what it likes."""
    http2 = bool(shutil.which("h2load")) and server.MPM != "prefork" and \
        os.path.exists(f"{server.MODULES}/mod_http2.so")
    print(f"== soak: {server.MPM}, {seconds:g} s, {'with' if http2 else 'without'} HTTP/2, "
          f"{'glibc as it is' if default_malloc else 'fixed malloc thresholds'}", flush=True)
    site = subject.Site(server.MPM, groups=subject.base()[:2], journal=False, more=HTTP2 if http2 else "",
                        mpm_config=FIXED if server.MPM != "prefork" else None,
                        modules=("http2",) if http2 else ())
    site.http2 = http2
    site.httpd.env.update({} if default_malloc else FIXED_MALLOC)
    try:
        site.httpd.start(60)
        bad = measure(site, seconds)
        site.httpd.stop(signal.SIGWINCH, 60)
    except (AssertionError, server.StartFailed) as e:
        bad = [str(e)]
    finally:
        site.destroy()
    print("\n".join(bad) if bad else "   as before", flush=True)
    return not bad
