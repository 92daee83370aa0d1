"""What is done to a server under load, and the schedule of it, which depends on the seed alone.

A fault is a method of Faults; its one argument is a generator of random numbers of its own, from which it chooses
its victim and its length, so that what one fault finds does not change what the next one does. What was done to
whom is written down, for account.py.
"""

import contextlib
import os
import random
import re
import resource
import signal
import socket
import threading
import time

from harness import procs, wait
from subject import VARIANTS

BROKEN = ("def application(environ, start_response\n", "import no_such_module_at_all\n",
          "raise RuntimeError('broken on purpose')\n")

# How often each comes, and the ids and texts of log lines that it may cause.
STARTING = "WSGI0562.*was killed by"
STACKS = ('Fatal Python error|Thread 0x|Current thread|File "|<no Python frame>|Extension modules',)
KILLED = ("WSGI0146", "WSGI0563", "WSGI0124", STARTING)
FAULTS = {
    "kill": (6, KILLED),
    "segv": (2, KILLED + STACKS),
    "term": (4, (STARTING,)),
    "usr1": (4, (STARTING,)),
    "stop": (4, ()),
    "stall": (1, ("WSGI0145",)),
    "child": (3, ("AH00051", "AH00052", "WSGI0146")),
    "supervisor": (2, ("WSGI0655", "WSGI0572", "WSGI0146.*tried on another worker")),
    "touch": (6, ()),
    "break_script": (3, ("WSGI0105", "WSGI0109", "WSGI0740")),
    "graceful": (6, ()),
    "reconfigure": (3, ()),
    "crowd": (3, ()),
    "vanish": (4, ()),
    "descriptors": (3, ("WSGI0714", "WSGI0715", "WSGI0579", "WSGI0651", "WSGI0116", "WSGI0712", "WSGI0146", "WSGI0568", "WSGI0562.*(descriptors|Too many open|init_import_site)", "WSGI0740.*(descriptors|Too many open)", "(WSGI0174|WSGI0109): OSError",
                        "WSGI0531", "Too many open files")),
    "disk": (2, ("No space left on device",)),
}


class Event:
    """Something that was done to a process."""

    def __init__(self, what, pid, **more):
        self.at = time.monotonic()
        self.what, self.pid = what, pid
        self.group, self.slot, self.threads = "", -1, 0
        self.ports = ()  # clients' ports that an httpd child had
        self.until = None  # of what lasts
        self.__dict__.update(more)

    def __repr__(self):
        return f"{self.at:.3f} {self.what} {self.pid} {self.group} {self.slot if self.slot >= 0 else ''}".rstrip()


def schedule(seed, seconds, pace=0.7, only=None):
    """[(second, name of the fault, seed of its own)]; with half of the seeds also a graceful every second."""
    rng = random.Random(f"faults {seed}")
    names = only or list(FAULTS)
    weights = [FAULTS[name][0] for name in names]
    plan, at = [], 0.0
    while True:
        at += rng.uniform(0.1, 2 * pace)
        if at >= seconds:
            break
        plan.append((round(at, 2), rng.choices(names, weights)[0], rng.randrange(1 << 30)))
    if rng.random() < 0.5 and not only:
        plan += [(float(second), "graceful", 0) for second in range(1, int(seconds))]
    return sorted(plan)


def identity(pid):
    """(slot, incarnation) of a worker, which its supervisor gave it."""
    with open(f"/proc/{pid}/environ", "rb") as f:
        found = re.search(rb"(?:^|\0)MW_WORKER=(\d+) (\d+) (\d+)", f.read())
    return (int(found[2]), int(found[3])) if found else (-1, 0)


class Faults:
    """Carries out the schedule on a site."""

    def __init__(self, site, load):
        self.site, self.load = site, load
        self.events = []
        self.undo = []  # (when, what) of what lasts a while
        self.threads = []
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)  # the server has inherited it

    # -- the schedule

    def run(self, plan):
        begin = time.monotonic()
        for at, name, seed in plan:
            self._wait(begin + at)
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                getattr(self, name)(random.Random(seed))
        self.end()

    def _wait(self, until):
        while True:
            due = min([when for when, _ in self.undo], default=until)
            time.sleep(max(0.0, min(due, until) - time.monotonic()))
            if due > until or not self.undo:
                return
            self._undo_due(due)

    def _undo_due(self, due):
        late = [what for when, what in self.undo if when <= due]
        self.undo = [(when, what) for when, what in self.undo if when > due]
        for what in late:
            what()

    def end(self):
        """Everything that lasts is over; the configuration is what it was."""
        while self.undo:
            self._wait(max(when for when, _ in self.undo))
        for t in self.threads:
            t.join()

    def after(self, seconds, what):
        self.undo.append((time.monotonic() + seconds, what))

    def note(self, what, pid=0, **more):
        self.events.append(Event(what, pid, **more))
        return self.events[-1]

    # -- workers

    def _worker(self, rng, group=None):
        """(pid, what account.py wants to know of it) of a worker that exists now."""
        found = self.site.workers(group)
        if not found:
            raise ProcessLookupError
        pid = rng.choice(sorted(found))
        slot, incarnation = identity(pid)
        threads = next((g.threads for g in self.site.groups if g.name == found[pid]), 0)
        return pid, dict(group=found[pid], slot=slot, incarnation=incarnation, threads=threads)

    def _signal_worker(self, rng, sig):
        pid, who = self._worker(rng)
        self.note(sig.name, pid, **who)
        os.kill(pid, sig)

    def kill(self, rng):
        self._signal_worker(rng, signal.SIGKILL)

    def segv(self, rng):
        self._signal_worker(rng, signal.SIGSEGV)

    def term(self, rng):
        self._signal_worker(rng, signal.SIGTERM)

    def usr1(self, rng):
        self._signal_worker(rng, signal.SIGUSR1)

    def _freeze(self, pid, who, seconds):
        if not pid:
            return
        event = self.note("SIGSTOP", pid, until=time.monotonic() + seconds, **who)
        os.kill(pid, signal.SIGSTOP)

        def thaw():
            event.until = time.monotonic()
            procs.kill(pid, signal.SIGCONT)
        self.after(seconds, thaw)

    def stop(self, rng):
        """Shorter than any timeout: nobody notices but by the time it takes."""
        role, seconds = rng.choice(["main", "second", "supervisor", "child"]), rng.uniform(0.1, 1.5)
        if role == "supervisor":
            self._freeze(self.site.supervisor() or 0, {}, seconds)
        elif role == "child":
            self._freeze(rng.choice(sorted(self.site.children()) or [0]), {}, seconds)
        else:
            self._freeze(*self._worker(rng, role), seconds)

    def stall(self, rng):
        """Longer than the socket timeout of this group."""
        self._freeze(*self._worker(rng, "strict"), rng.uniform(3, 5))

    # -- httpd's own processes, and the supervisor

    def child(self, rng):
        """It is stopped first, so that its connections can be written down."""
        found = sorted(self.site.children())
        if not found:
            return
        pid = rng.choice(found)
        os.kill(pid, signal.SIGSTOP)
        wait.until(lambda: procs.stopped(pid), 10, "stopped child")
        self.note("child", pid, ports=procs.client_ports(pid))
        os.kill(pid, signal.SIGKILL)

    def supervisor(self, _):
        pid = self.site.supervisor()
        if pid:
            self.note("supervisor", pid)
            os.kill(pid, signal.SIGKILL)

    # -- scripts and configuration

    def touch(self, rng):
        mount = rng.choice(self.site.mounts)
        self.note("touch", group=mount)
        self.site.write_script(mount)

    def break_script(self, rng):
        mount = rng.choice(self.site.mounts)
        event = self.note("broken", group=mount, until=time.monotonic() + 3600)
        self.site.write_script(mount, rng.choice(BROKEN))

        def mend():
            event.until = time.monotonic()
            self.site.write_script(mount)
        self.after(rng.uniform(0.5, 2), mend)

    def graceful(self, _):
        self.note("graceful", self.site.httpd.pid)
        self.site.httpd.note_processes()
        self.site.httpd.send_signal(signal.SIGUSR1)

    def reconfigure(self, rng):
        variant = rng.choice(sorted(VARIANTS))
        self.note(f"configure {variant}")
        self.site.configure(VARIANTS[variant]())
        self.graceful(rng)

    # -- clients

    def crowd(self, rng):
        """More requests for one thread than it can answer in time."""
        self._start(self._crowd, rng.randrange(10, 40))

    def _crowd(self, n):
        with self.load(n=n, mounts=["/narrow"]):
            time.sleep(1.5)

    def vanish(self, rng):
        """Connections that are broken off in any state of a request."""
        self._start(self._vanish, [rng.randrange(600) for _ in range(10)])

    def _vanish(self, lengths):
        body = b"x" * 300
        for n in lengths:
            mount = self.site.mounts[n % len(self.site.mounts)]
            text = (f"POST {mount}/upload?id=gone{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
                    .encode() + body)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.site.port), 10) as s:
                s.sendall(text[:n])
                if n % 3 == 0:  # with a reset
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def _start(self, what, *args):
        self.threads.append(threading.Thread(target=what, args=args, daemon=True))
        self.threads[-1].start()

    # -- resources

    def descriptors(self, rng):
        """A process may open no more files for a while."""
        who = {}
        role = rng.choice(["worker", "child", "supervisor"])
        if role == "worker":
            pid, who = self._worker(rng)
        else:
            found = sorted(self.site.children()) if role == "child" else [self.site.supervisor() or 0]
            pid = rng.choice(found or [0])
        if not pid:
            return
        event = self.note(f"descriptors of {role}", pid, until=time.monotonic() + 3600, **who)
        procs.limit_files(pid, len(procs.fds(pid)), self.files[1])

        def allow():
            event.until = time.monotonic()
            for each in self.site.httpd.processes():  # it may have given the limit to others
                procs.limit_files(each, *self.files)
        self.after(rng.uniform(0.3, 1.5), allow)

    def disk(self, rng):
        """No room for temporary files for a while."""
        ballast = self.site.ballast
        if not ballast:
            return
        event = self.note("disk", until=time.monotonic() + 3600)
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as f:
            while f.write(bytes(65536)):
                pass

        def empty():
            event.until = time.monotonic()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(ballast)
        self.after(rng.uniform(0.5, 2), empty)
