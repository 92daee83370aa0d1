"""Processes of one server, found in /proc by what they have open, whoever their parent is by now."""

import contextlib
import os
import signal
import subprocess


class Proc:
    """A snapshot of one process."""

    def __init__(self, pid):
        self.pid = pid
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            text = f.read()
        rest = text[text.rindex(")") + 2:].split()
        self.comm = text[text.index("(") + 1:text.rindex(")")]
        self.state = rest[0]
        self.ppid = int(rest[1])
        self.start = int(rest[19])
        self.exe = _link(f"/proc/{pid}/exe")

    @property
    def is_worker(self):
        return os.path.basename(self.exe.removesuffix(" (deleted)")) == "wsgi-worker"

    def uid(self):
        return self.ids("Uid")[0]

    def ids(self, key):
        """All numbers of a line of /proc/PID/status: Uid, Gid, Groups."""
        with open(f"/proc/{self.pid}/status", encoding="latin-1") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return [int(word) for word in line.split()[1:]]
        raise KeyError(key)

    def __repr__(self):
        return f"{self.comm}[{self.pid}] parent {self.ppid} state {self.state} {cmdline(self.pid)}"


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode("latin-1").strip()
    except OSError:
        return ""


def fds(pid):
    """Descriptor number -> target of a process; empty if it is gone."""
    found = {}
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            found[int(name)] = _link(f"/proc/{pid}/fd/{name}")
    except OSError:
        pass
    return found


def limit_files(pid, soft, hard=""):
    """As its own user: to limit somebody else's process takes more than being root."""
    with contextlib.suppress(OSError, KeyError):
        who = Proc(pid)
        subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={soft}:{hard}"], stderr=subprocess.DEVNULL,
                       check=False, **({"user": who.ids("Uid")[0], "group": who.ids("Gid")[0], "extra_groups": []}
                                       if os.geteuid() == 0 else {}))


@contextlib.contextmanager
def no_more_files(pid):
    """It keeps what it has open, and can open and receive nothing."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        before = next(line for line in f if line.startswith("Max open files")).split()[3]
    have = fds(pid)
    limit_files(pid, next(n for n in range(len(have) + 1) if n not in have))
    try:
        yield
    finally:
        limit_files(pid, before)


def client_ports(pid):
    """The clients' ports of the TCP connections that a process has accepted."""
    inodes = {target[8:-1] for target in fds(pid).values() if target.startswith("socket:[")}
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return {int(row[2].partition(":")[2], 16) for row in rows if row[9] in inodes and row[3] != "0A"}


def alive(pid):
    try:
        return Proc(pid).state not in "ZX"
    except OSError:
        return False


def stopped(pid):
    """Whether every thread stands still, or is gone."""
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="latin-1") as f:
            states.append(f.read().rpartition(")")[2].split()[0])
    return set(states) <= set("TZX")


def _belongs(pid, marker, folder):
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            if marker in f.read():
                return True
        if _link(f"/proc/{pid}/exe").startswith(folder):
            return True
        with open(f"/proc/{pid}/maps", "rb") as f:
            return folder.encode() in f.read()
    except OSError:
        return False


def scan(marker, folder):
    """Every process that has the marker in its environment or runs or maps a file of the folder, and
    all their children. Zombies count only below one of them: an orphan's is init's business."""
    procs = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                procs[int(name)] = Proc(int(name))
            except (OSError, ValueError):
                pass
    ours = {pid for pid in procs if _belongs(pid, marker.encode(), folder)}
    grown = True
    while grown:
        more = {pid for pid, p in procs.items() if p.ppid in ours and pid not in ours}
        ours |= more
        grown = bool(more)
    return {pid: procs[pid] for pid in sorted(ours)}


def kill(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass
