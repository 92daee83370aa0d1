"""What a server has when nobody asks anything of it: taken before and after the faults, it must be the same."""

import collections
import os
import re
import threading
import time

from harness import client, procs, wait

PARENT_KIB = 6144  # httpd's own parent grows a little with each restart
STEP = 0.2
SCRATCH = "/memfd:mod_wsgi-scratch"  # files in memory that a child keeps for the next bodies,
SCRATCH_MAX = 16  # so many of them at most


def memory(pid, key="VmRSS"):
    """KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        found = re.search(rf"^{key}:\s*(\d+)", f.read(), re.M)
    return int(found[1]) if found else 0


def kind(target):
    """What a descriptor is, without the number that makes it this one."""
    if target.startswith(SCRATCH):
        return SCRATCH
    return target.split("[")[0].split(":")[0] if target.startswith(("socket", "pipe", "anon", "/memfd")) else target


def kinds(pid):
    return collections.Counter(kind(t) for t in procs.fds(pid).values())


def mappings(pid):
    """Shared memory of ours that a process has mapped, but for bodies."""
    with open(f"/proc/{pid}/maps", encoding="latin-1") as f:
        return sum("/memfd:" in line and SCRATCH not in line for line in f)


def unlinked(pid):
    """Files that are open and have no name any more, but for shared memory."""
    return [t for t in procs.fds(pid).values()
            if t.endswith(" (deleted)") and not t.startswith(("/memfd:", "/dev/zero"))]


class Rest:
    """A server at rest, under one graceful's new generation."""

    def __init__(self, site):
        self.site = site
        self.httpd = site.httpd

    def take(self):
        """The state, once it is settled: a new generation that has had all its threads at work once."""
        self.httpd.graceful(60)
        self.site.settle()
        self.claim_all()
        wait.until(lambda: not self._busy(), 20, "idle children", step=STEP)
        self.httpd.assert_zombie_free()
        return self.look()

    def _busy(self):
        """Connections of clients that a child still has, and children of older generations."""
        return len(self.httpd.supervisors()) != 1

    def look(self):
        parent, chief = self.httpd.pid, self.site.supervisor()
        state = {
            "supervisors": len(self.httpd.supervisors()),
            "workers": sorted(self.site.workers().values()),
            "descriptors of the parent": kinds(parent),
            "descriptors of the supervisor": kinds(chief),
            "shared memory of the parent": mappings(parent),
            "shared memory of the supervisor": mappings(chief),
            "temporary files": sorted(os.listdir(self.site.path("disk"))),
            "unlinked files": sorted(t for pid in self.httpd.processes() for t in unlinked(pid)),
        }
        for role, pids in (("child", self.site.children()), ("worker", self.site.workers())):
            state[f"files of a {role}"] = sorted({str(sorted(self._files(pid).items())) for pid in pids})
            state[f"shared memory of a {role}"] = sorted({mappings(pid) for pid in pids})
        return state

    def _files(self, pid):
        """Descriptors but sockets, of which there are as many as there were requests at once, and bodies' files."""
        have = kinds(pid)
        assert have[SCRATCH] <= SCRATCH_MAX, f"{have[SCRATCH]} files of bodies in process {pid}"
        return {k: n for k, n in have.items() if k not in ("socket", SCRATCH) and "/journal/" not in k}

    def claim_all(self):
        """Every thread of every group can be had, all at the same time."""
        until = f"until{time.monotonic():.6f}"
        threads = []
        wanted = {g.name: g.processes * g.threads for g in self.site.served()}
        begun = self._begun()
        for g in self.site.served():
            for i in range(wanted[g.name]):
                path = f"{g.mount}/hold?id=hold-{g.name}-{until}-{i}&until={until}"
                threads.append(threading.Thread(target=self._hold, args=(path,), daemon=True))
                threads[-1].start()
        try:
            wait.until(lambda: self._begun() - begun >= sum(wanted.values()), 40,
                       "thread of every worker at once", step=STEP)
        finally:
            with open(self.site.path(until), "w", encoding="ascii"):
                pass
            for t in threads:
                t.join(60)

    def _hold(self, path):
        client.fetch(self.site.port, path, timeout=70)

    def _begun(self):
        """Requests that hold a thread now or did, by the journals."""
        n = 0
        folder = self.site.path("journal")
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="ascii") as f:
                n += sum(line.startswith("begin hold-") for line in f)
        return n


def differences(before, after):
    return [f"{key}: {before[key]} before, {after[key]} after" for key in before if before[key] != after[key]]
