"""The server under faults: its groups, their scripts, its variants of configuration, its processes by role."""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "httpd"))

from harness import client, procs, server, wait  # noqa: E402

FILE_SIZE = 300000
DISK_SIZE = 16 << 20

# Room for children of several generations side by side, and for every client in one of them.
MPM_CONFIG = {
    "event": "StartServers 2\nServerLimit 16\nThreadsPerChild 25\nMaxRequestWorkers 100\n"
             "MinSpareThreads 10\nMaxSpareThreads 100\nAsyncRequestWorkerFactor 4",
    "worker": "StartServers 2\nServerLimit 16\nThreadsPerChild 25\nMaxRequestWorkers 100\n"
              "MinSpareThreads 10\nMaxSpareThreads 100",
    "prefork": "StartServers 10\nServerLimit 100\nMaxRequestWorkers 60\nMinSpareServers 5\nMaxSpareServers 60",
}


class Group:
    """A daemon group and where it is mounted."""

    def __init__(self, name, processes, threads, options="", home=None):
        self.name, self.processes, self.threads, self.options = name, processes, threads, options
        self.mount = f"/{name}"
        self.home = home or name  # the group that serves the mount

    def directive(self):
        return f"WSGIDaemonProcess {self.name} processes={self.processes} threads={self.threads} {self.options}"


def base():
    """main has most of the traffic, second is small, strict gives up early, narrow gets too much."""
    return [Group("main", 2, 4, "queue-timeout=30 socket-timeout=30"),
            Group("second", 1, 3, "queue-timeout=30 socket-timeout=30"),
            Group("strict", 1, 4, "queue-timeout=30 socket-timeout=2"),
            Group("narrow", 1, 1, "queue-timeout=1 socket-timeout=30")]


def added():
    return base() + [Group("extra", 1, 2)]


def resized():
    groups = base()
    groups[0].processes, groups[0].threads, groups[1].processes = 3, 2, 2
    return groups


def removed():
    """Its mount is served by another group."""
    groups = base()
    groups[1].home = "main"
    return groups


def recycling():
    groups = base()
    groups[0].options += " maximum-requests=100~20%"
    groups[1].options += " maximum-requests=50"
    groups[2].options += " restart-interval=2~50%"
    return groups


VARIANTS = {"base": base, "recycling": recycling, "added": added, "resized": resized, "removed": removed}


class Site:
    """A server with the application in each group and embedded."""

    def __init__(self, mpm="event", user=None, groups=None, more="", journal=True, mpm_config=None, modules=()):
        self.groups = groups or base()
        self.more = f"SetEnv FAULTS_JOURNAL {'on' if journal else 'off'}\n{more}"
        self.httpd = server.Httpd(vhosts={"a": ""}, mpm=mpm, mpm_config=mpm_config or MPM_CONFIG[mpm],
                                  modules=modules)
        if user:
            self.httpd.become(user)
        self.ballast = self._mount()
        self.ready = set()
        self.looked_at = 0
        self.mounts = [g.mount for g in self.groups] + ["/embedded"]
        os.mkdir(self.path("journal"))
        os.chmod(self.path("journal"), 0o1777)
        self.content = os.urandom(FILE_SIZE)
        with open(self.path("file"), "wb") as f:
            f.write(self.content)
        os.chmod(self.path("file"), 0o644)
        for mount in self.mounts:
            self.write_script(mount)
        self.configure(self.groups)

    def _mount(self):
        """A small disk for temporary files; where it would be filled, or None if only root could make it."""
        os.mkdir(self.path("disk"))
        os.chmod(self.path("disk"), 0o1777)
        self.httpd.env["TMPDIR"] = self.path("disk")
        made = server.ROOT and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE},mode=1777", "faults", self.path("disk")],
            stderr=subprocess.DEVNULL, check=False).returncode == 0
        return self.path("disk/ballast") if made else None

    def destroy(self):
        """After the server has stopped."""
        if self.ballast:
            subprocess.run(["umount", "-l", self.path("disk")], check=False)
        self.httpd.destroy()

    def path(self, name):
        return self.httpd.path("tmp", name)

    @property
    def port(self):
        return self.httpd.port()

    # -- scripts

    def script(self, mount):
        return self.httpd.path("apps", mount.strip("/") + ".wsgi")

    def write_script(self, mount, text=None):
        """Put it in place at once, as a deployment should."""
        new = self.script(mount) + ".new"
        if text is None:
            shutil.copyfile(os.path.join(HERE, "application.py"), new)
        else:
            with open(new, "w", encoding="utf-8") as f:
                f.write(text)
        os.chmod(new, 0o644)
        os.rename(new, self.script(mount))

    # -- configuration

    def configure(self, groups):
        self.groups = groups
        self.httpd.main = "\n".join(g.directive() for g in groups if g.home == g.name) + "\n" + self.more
        lines = [f"SetEnv FAULTS_FOLDER {self.httpd.path('tmp')}", "WSGIScriptAlias /embedded @apps@/embedded.wsgi"]
        for g in groups:
            if not os.path.exists(self.script(g.mount)):
                self.write_script(g.mount)
            lines.append(f"WSGIScriptAlias {g.mount} @apps@/{g.name}.wsgi process-group={g.home} "
                         "application-group=%{GLOBAL}")
        self.httpd.vhosts["a"].text = "\n".join(lines)
        if self.httpd.process:
            self.httpd.write_config()

    def served(self):
        """The groups that have processes."""
        return [g for g in self.groups if g.home == g.name]

    # -- processes

    def supervisor(self):
        """The newest: older ones are ending. None if there is none at the moment."""
        found = [p for p in self.httpd.processes().values() if p.comm == "wsgi-supervisor" and p.state not in "ZX"]
        return max(found, key=lambda p: (p.start, p.pid)).pid if found else None

    def workers(self, group=None):
        """Of the newest supervisor: pid -> group name."""
        chief = self.supervisor()
        found = {}
        for pid, p in self.httpd.workers().items():
            name = procs.cmdline(pid).partition("(wsgi:")[2].rstrip(")")
            if p.ppid == chief and group in (None, name):
                found[pid] = name
        return found

    def children(self):
        """httpd's own that serve, of any generation."""
        return [pid for pid, p in self.httpd.processes().items()
                if p.ppid == self.httpd.pid and p.comm != "wsgi-supervisor" and not p.is_worker
                and p.state not in "ZX"]

    def whole(self):
        """Whether one supervisor has all its workers, all ready, and nobody else is left."""
        chief = self.supervisor()
        workers = self.httpd.workers()
        if not chief or any(p.ppid != chief for p in workers.values()):
            return False
        return sorted(self.workers().values()) == sorted(
            g.name for g in self.served() for _ in range(g.processes)) and all(map(self.is_ready, workers))

    def is_ready(self, pid):
        lines = self.httpd.log.refresh()
        for line in lines[self.looked_at:]:
            if line.id == "WSGI0561":
                self.ready.add(int(re.search(r"\(pid (\d+)\)", line.text)[1]))
        self.looked_at = len(lines)
        return pid in self.ready

    def settle(self, seconds=60):
        try:
            wait.until(self.whole, seconds, "whole groups", step=0.2)
        except AssertionError as e:
            left = "\n".join(map(repr, self.httpd.processes().values()))
            raise AssertionError(f"{e}; there is\n{left}\n{self.httpd.tail()}") from None
