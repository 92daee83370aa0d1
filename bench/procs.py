"""What /proc and strace tell of processes: CPU, memory, descendants, system calls."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

from instance import Failure

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def stats():
    """{pid: fields of /proc/PID/stat behind the name} of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as file:
                    found[int(entry)] = file.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def family(roots, found):
    """The processes of `found` that are among `roots` or descend from them."""
    ours = []
    for pid in found:
        above = pid
        while above not in roots and above in found:
            above = int(found[above][1])
        if above in roots:
            ours.append(pid)
    return ours


def cpu(roots):
    """Seconds that these and their descendants used; those that were waited for are in it."""
    found = stats()
    return sum(sum(map(int, found[pid][11:15])) for pid in family(roots, found)) / TICK


def busy():
    """Seconds that the machine's processors worked, for whomever."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def own():
    """Seconds that this program used, and all that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def resident(roots):
    """Bytes, of these and their descendants."""
    found = stats()
    return sum(int(found[pid][21]) for pid in family(roots, found)) * PAGE


def executing(roots, program):
    """The processes among these and their descendants that execute a file of that name."""
    found = []
    for pid in family(roots, stats()):
        try:
            path = os.readlink("/proc/%d/exe" % pid)
        except OSError:
            continue
        if os.path.basename(path.removesuffix(" (deleted)")) == program:
            found.append(pid)
    return found


def age(pid):
    """Seconds since it was started."""
    with open("/proc/uptime", encoding="ascii") as file:
        up = float(file.read().split()[0])
    return up - int(stats()[pid][19]) / TICK


def memory(text):
    """Megabytes by name, from the text of a smaps_rollup."""
    kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return {"RSS": kilobytes["Rss"] / 1024, "PSS": kilobytes["Pss"] / 1024,
            "private": (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) / 1024}


def memory_of(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        return memory(file.read())


class Calls:
    """Counts the system calls of one process, all its threads, between start and stop, by strace: every call is known
    by its name, but each takes many times its time."""

    def __init__(self, pid):
        if not shutil.which("strace"):
            raise Failure("strace is not installed")
        self.report = tempfile.NamedTemporaryFile(prefix="mw-calls-", mode="r")
        self.process = subprocess.Popen(
            ["strace", "-c", "-f", "-o", self.report.name, "-p", str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()  # one for the process, once all threads are attached
        if "attached" not in line:
            self.end()
            raise Failure("strace could not attach: %s" % line.strip())

    def end(self):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            self.process.communicate()

    def stop(self):
        """{name: count}"""
        self.end()
        with self.report:
            return counts(self.report.read())


class SwiftCalls:
    """The same by the kernel's tracepoints (perf), which hardly slow a process down; of the names only those in NAMES, the
    others together."""

    NAMES = ("futex", "epoll_wait", "epoll_ctl", "poll", "read", "write", "writev", "sendmsg", "recvmsg", "newfstatat")

    def __init__(self, pid):
        events = ["raw_syscalls:sys_enter"] + ["syscalls:sys_enter_" + name for name in self.NAMES]
        ours, theirs = os.pipe(), os.pipe()  # it reads what is to be done from one, and says so in the other
        self.process = subprocess.Popen(
            ["perf", "stat", "-x,", "-D", "-1", "--control", "fd:%d,%d" % (ours[0], theirs[1]), "-p", str(pid)]
            + [word for event in events for word in ("-e", event)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            pass_fds=(ours[0], theirs[1]))
        os.close(ours[0])
        os.close(theirs[1])
        with os.fdopen(ours[1], "w") as tell, os.fdopen(theirs[0]) as told:
            try:
                tell.write("enable\n")
                tell.flush()
                good = "ack" in told.readline()
            except BrokenPipeError:
                good = False
        if not good:
            raise Failure("perf could not attach: %s" % (self.end() or "").strip())

    @staticmethod
    def is_there():
        """Whether this machine lets us: perf, the tracepoints, and the right to use them."""
        command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return False
        return done.returncode == 0 and sum(swift_counts(done.stderr).values()) > 0

    def end(self):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            return self.process.communicate()[1]

    def stop(self):
        """{name: count}"""
        return swift_counts(self.end())


def swift_counts(report):
    """{name: calls} from what perf stat -x, writes; what has no event of its own is "other"."""
    found = {event: int(count) for count, event in re.findall(r"^(\d+),[^,]*,(?:raw_)?syscalls:sys_enter_?(\w*),", report, re.M)}
    found["other"] = found.pop("", 0) - sum(found.values())
    return {name: count for name, count in found.items() if count > 0}


def counts(report):
    """{name: calls} from the table that strace -c writes."""
    found = {}
    for line in report.splitlines():
        words = line.split()
        if len(words) >= 5 and re.fullmatch(r"\d+", words[3]) and words[-1] != "total":
            found[words[-1]] = int(words[3])
    return found
