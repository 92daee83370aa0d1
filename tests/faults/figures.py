"""The figures of docs/reliability.md: sixty seconds of one thing under load from sixteen connections, counted.

Each is a function that gets a running site and returns (what was counted, whether it is as promised).
"""

import datetime
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

import account
import load
import subject
from faults import Event, identity
from harness import procs, wait

CONNECTIONS = 16
KILL_EVERY = 0.2
KILL_PAUSE = 0.02  # between a client's requests: what is measured are starts, not who gets the processors
WHOLE_WITHIN = 0.1  # beyond the interpreter's start-up
MIX = ((load.Small, 12), (load.Working, 1), (load.Upload, 1), (load.Stream, 1), (load.Sized, 1))
_LOGGED = re.compile(r"^\[\w{3} (\w{3} \d+ [\d:.]+ \d{4})\]")


class Count:
    """Requests of one figure by their fates."""

    def __init__(self, site, fates, events=()):
        self.account = account.Account(fates, events, account.journals(site.path("journal")),
                                       site.httpd.log.refresh())
        self.answered = sum(f.what == load.RIGHT for f in fates)
        self.closed = self.account.excused.pop("kept connection closed", 0)
        self.inside = sum(self.account.excused.values())
        self.lost = len(self.account.lost)

    def __str__(self):
        return (f"{self.answered} answered, {self.lost + self.inside} failed"
                f" ({self.closed} idle connections closed, their requests sent again)")

    @property
    def why(self):
        return "".join(f"\n     {fate!r}\n     {why}" for fate, why in self.account.lost[:5])


def every(interval, seconds, what):
    """Call what(i) at each interval, whatever it takes itself."""
    begin = time.monotonic()
    for i in range(int(seconds / interval)):
        time.sleep(max(0.0, begin + (i + 1) * interval - time.monotonic()))
        what(i)


def under_load(site, seconds, interval, what, pause=0.0):
    """The fates of all requests while what(i) is done."""
    with load.Load(site.port, ["/main"], 1, n=CONNECTIONS, mix=MIX, keeps=(0.9, 1), pause=pause) as clients:
        every(interval, seconds, what)
    return clients.fates


def graceful(site, seconds):
    """apachectl graceful every second"""
    fates = under_load(site, seconds, 1, lambda _: site.httpd.send_signal(signal.SIGUSR1))
    site.settle()
    count = Count(site, fates)
    return f"{count}{count.why}", count.lost + count.inside == 0


def touched(site, seconds):
    """the script touched every second"""
    fates = under_load(site, seconds, 1, lambda _: site.write_script("/main"))
    count = Count(site, fates)
    return f"{count}{count.why}", count.lost + count.inside == 0


def recycled(site, seconds):
    """maximum-requests=50"""
    fates = under_load(site, seconds, 1, lambda _: None)
    site.settle()
    count = Count(site, fates)
    return (f"{count}; {len(site.ready)} processes{count.why}",
            count.lost + count.inside == 0 and len(site.ready) > 4)


class Starts(threading.Thread):
    """How long Python takes to start and import the same script, in the same load, from the same moments."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site, self.times, self.now, self.ending = site, [], threading.Event(), False

    def run(self):
        text = f"exec(compile(open({self.site.script('/main')!r}).read(), 'main', 'exec'))"
        while self.now.wait() and not self.ending:
            self.now.clear()
            begin = time.monotonic()
            subprocess.run([sys.executable, "-c", text], check=True)
            self.times.append(time.monotonic() - begin)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        self.now.set()
        self.join()


def logged(line):
    return datetime.datetime.strptime(_LOGGED.match(line.full)[1], "%b %d %H:%M:%S.%f %Y").timestamp()


def replacements(site, kills):
    """Seconds from each kill until the next worker in that slot was ready; None: never."""
    ready = [(logged(line), int(re.search(r"worker (\d+)", line.text)[1]))
             for line in site.httpd.log.refresh() if line.id == "WSGI0561"]
    return [next((at - when for at, slot in ready if slot == victim and at > when), None)
            for when, victim in kills]


def killed(site, seconds):
    """kill -9 of a random worker every 200 ms, 4 processes with 4 threads"""
    rng, events, kills, starts = random.Random(1), [], [], Starts(site)

    def kill(i):
        found = sorted(pid for pid in site.workers() if site.is_ready(pid))
        if not found:
            return
        pid = rng.choice(found)
        try:
            slot = identity(pid)[0]
            events.append(Event("SIGKILL", pid, group="main", slot=slot, threads=4))
            kills.append((time.time(), slot))
            os.kill(pid, signal.SIGKILL)
            if i % 5 == 0:
                starts.now.set()
        except (OSError, ProcessLookupError):
            pass
    with starts:
        fates = under_load(site, seconds, KILL_EVERY, kill, KILL_PAUSE)
    site.settle()
    count = Count(site, fates, events)
    times = replacements(site, kills)
    whole = sorted(t for t in times if t is not None)
    start = statistics.median(starts.times)
    middle = statistics.median(whole)
    text = (f"{count}; {len(kills)} killed, {count.inside} failed inside them, {count.lost} outside; whole again after "
            f"{1000 * middle:.0f} ms (median; 90 %: {1000 * whole[int(.9 * len(whole))]:.0f} ms, "
            f"longest {1000 * whole[-1]:.0f} ms), Python's own start {1000 * start:.0f} ms"
            f" (90 %: {1000 * sorted(starts.times)[int(.9 * len(starts.times))]:.0f} ms){count.why}")
    return text, count.lost == 0 and None not in times and middle <= start + WHOLE_WITHIN


LINES = {"graceful": (graceful, ""), "touched": (touched, ""), "recycled": (recycled, "maximum-requests=50"),
         "killed": (killed, "")}


def run(names, seconds):
    """Print each figure; true if all are as promised."""
    good = True
    for name in names or LINES:
        figure, options = LINES[name]
        groups = [subject.Group("main", 4, 4, "queue-timeout=60 socket-timeout=30 " + options)]
        site = subject.Site(groups=groups)
        try:
            site.httpd.start(60)
            site.settle()
            text, kept = figure(site, seconds)
            site.httpd.stop(signal.SIGWINCH, 60)
        finally:
            site.destroy()
        print(f"{name}: {figure.__doc__}, {seconds:g} s, {CONNECTIONS} connections: {text}\n"
              f"     {'as promised' if kept else 'NOT AS PROMISED'}", flush=True)
        good = good and kept
    return good
