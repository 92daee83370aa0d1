"""Who is to blame for each request that was not answered as it must be; what nobody is to blame for is lost.

A request may fail with the process it was in, if that process was killed, and for nothing else:

- in a worker, known by the journal: an application had begun it there, or by the line of the error log in which
  the httpd child says which worker died with it (the line has the client's port);
- in an httpd child, known by the connections that the child had when it was killed.

No more requests may fail with one worker than it has threads.
"""

import collections
import os
import re

import load

# What a process without descriptors excuses: status -> the ids of which one must be in the log. 500 is the
# application's own open, 507 an upload that httpd has to keep in a file.
NO_DESCRIPTORS = {500: ("WSGI0174",), 507: ("WSGI0712",),
                  503: ("WSGI0651", "WSGI0786", "WSGI0124", "WSGI0084", "WSGI0116", "WSGI0715")}
DEADLY = ("SIGKILL", "SIGSEGV")
BY_LOG = (("WSGI0146", 502, DEADLY, "in a killed worker"),
          ("WSGI0145", 504, ("SIGSTOP",), "in a stopped worker, timed out"))
SLACK = 3.0  # seconds between what happens and what a client sees of it, on a machine that is busy

_CLIENT = re.compile(r"\[client [\d.]+:(\d+)\]")
_WORKER = re.compile(r"worker (\d+) of group '([^']+)'")


def journals(folder):
    """Request id -> [(pid, begun, ended or None)] as the applications wrote it down."""
    runs = collections.defaultdict(dict)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="ascii") as f:
            for line in f:
                what, ident, at = line.split()
                begun, _ = runs[ident].get(int(name), (float(at), None))
                runs[ident][int(name)] = (begun, float(at) if what == "end" else None)
    return {ident: [(pid, *times) for pid, times in by.items()] for ident, by in runs.items()}


class Account:
    def __init__(self, fates, events, runs, lines):
        self.fates, self.events, self.runs = fates, events, runs
        self.lines = collections.defaultdict(list)  # client's port -> lines of the error log
        for line in lines:
            found = _CLIENT.search(line.text)
            if found and line.id:
                self.lines[int(found[1])].append(line)
        self.lost = []  # [(fate, why nobody is to blame)]
        self.excused = collections.Counter()  # reason -> how many
        self.died_with = collections.defaultdict(list)  # event -> fates
        for fate in fates:
            self._judge(fate)
        for event, failed in self.died_with.items():
            if len(failed) > event.threads:
                self.lost += [(fate, f"{len(failed)} requests failed with {event}, which has {event.threads} threads")
                              for fate in failed]

    # -- one request

    def _judge(self, fate):
        if fate.what in (load.RIGHT, load.LEFT):
            return
        for excuse in (self._idle, self._in_child, self._in_worker, self._by_log, self._too_much,
                       self._no_descriptors, self._broken):
            reason = excuse(fate)
            if reason:
                self.excused[reason] += 1
                return
        self.lost.append((fate, "; ".join(
            [f"the application had it in {self.runs.get(fate.id)}"] +
            [line.full for line in self.lines[fate.port][-3:]] +
            [f"{e!r}" for e in self.events if fate.began - SLACK <= (e.until or e.at) and e.at <= fate.ended + SLACK])))

    def _near(self, fate, what):
        """Events of these kinds while the request was under way."""
        return [e for e in self.events if e.what in what
                and fate.began - SLACK <= (e.until or e.at) and e.at <= fate.ended + SLACK]

    def _idle(self, fate):
        """httpd closed the kept connection, and no application has seen the request."""
        if fate.what == load.CLOSED and fate.id not in self.runs:
            return "kept connection closed"
        return None

    def _in_child(self, fate):
        if fate.what in (load.CUT, load.NOTHING, load.CLOSED):
            if any(fate.port in e.ports for e in self._near(fate, ("child",))):
                return "in a killed httpd child"
        return None

    def _in_worker(self, fate):
        """The journal: it had begun, and did not end, in a process that was killed."""
        if fate.what == load.CUT or fate.what == load.STATUS and fate.status == 502:
            begun = {pid for pid, _, ended in self.runs.get(fate.id, ()) if ended is None}
            for event in self._near(fate, DEADLY):
                if event.pid in begun:
                    self.died_with[event].append(fate)
                    return "in a killed worker"
        return None

    def _by_log(self, fate):
        """The child's word: which worker had it, for what the application had not begun or had just ended."""
        for ident, status, kinds, reason in BY_LOG:
            if fate.what != load.CUT and (fate.what, fate.status) != (load.STATUS, status):
                continue
            blamed = self._blamed(fate, ident)
            events = [e for e in self._near(fate, kinds) if (e.slot, e.group) in blamed]
            if events and kinds == DEADLY:  # others may have been killed in that slot shortly before or after
                self.died_with[min(events, key=lambda e: abs(fate.ended - e.at))].append(fate)
            if events:
                return reason
        return None

    def _blamed(self, fate, ident):
        """(slot, group) of the workers that lines of this id name for the client."""
        found = [_WORKER.search(line.text) for line in self.lines[fate.port] if line.id == ident]
        return {(int(m[1]), m[2]) for m in found if m}

    def _too_much(self, fate):
        """Answered with 503 and Retry-After where the queue was full."""
        if fate.what == load.STATUS and fate.status == 503 and fate.detail and fate.mount == "/narrow" and \
                any(line.id == "WSGI0084" for line in self.lines[fate.port]):
            return "queue full, 503"
        return None

    def _no_descriptors(self, fate):
        """An error page, and a line that names the reason, while a process could not open a file."""
        wanted = NO_DESCRIPTORS.get(fate.status, ())
        if fate.what != load.STATUS or fate.status == 500 and fate.kind != "File":
            return None
        if wanted and any(line.id in wanted for line in self.lines[fate.port]) and self._near(
                fate, [e.what for e in self.events if e.what.startswith("descriptors")]):
            return f"no descriptors, {fate.status}"
        return None

    def _broken(self, fate):
        """500 from a script that was broken, and only from that one; 5xx of a full disk."""
        if fate.what == load.STATUS and fate.status == 500:
            if any(e.group == fate.mount and self._deployed(e) for e in self._near(fate, ("broken",))):
                return "broken script, 500"
        if fate.what == load.STATUS and fate.status in (500, 503, 507) and self._near(fate, ("disk",)):
            if any("No space" in line.text for line in self.lines[fate.port]):
                return "no disk space"
        return None

    def _deployed(self, broken):
        """Whether anything ran the broken script: embedded mode, or a worker that did not replace one that served,
        because that was killed or belonged to the generation before."""
        return broken.group == "/embedded" or any(
            e.what in ("supervisor", "graceful") or e.what in DEADLY + ("SIGTERM",) and "/" + e.group == broken.group
            for e in self.events if broken.at - SLACK <= e.at <= broken.until + SLACK)

    # -- what is to be told

    def summary(self):
        answered = sum(f.what == load.RIGHT for f in self.fates)
        words = [f"{answered} answered"] + [f"{n} {reason}" for reason, n in sorted(self.excused.items())]
        return ", ".join(words + [f"{len(self.lost)} LOST"])
