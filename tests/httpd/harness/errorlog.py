"""The error logs of one server: parsed, searched, and held against what a test allowed."""

import os
import re

from . import wait

_LINE = re.compile(
    r"^\[(?P<time>[A-Z][a-z]{2} [^\]]+)\] \[(?P<module>[\w-]*):(?P<level>\w+)\] "
    r"\[pid (?P<pid>\d+)(?::tid (?P<tid>\d+))?\] (?P<text>.*)$")
_ID = re.compile(r"\b(WSGI\d{4}|AH\d{5})\b")
_QUIET = {"notice", "info", "debug"} | {f"trace{n}" for n in range(1, 9)}
_TRACEBACK = re.compile(
    r"(Traceback \(most recent call last\):|  File \"|    |  \[Previous line|"
    r"The above exception was the direct|During handling of the above|"
    r"[\w.]*(Error|Exception|Exit|Interrupt|Warning)(:|$|\s))")

# Not a fault of anybody: said by httpd when load comes and goes.
_ALWAYS = [re.compile(p) for p in (
    r"AH10159",  # within MinSpareThreads of MaxRequestWorkers
    r"AH00286",  # prefork busy: may need to increase StartServers
)]


class Line:
    """One line of an error log. Lines that httpd did not format have level 'raw'."""

    def __init__(self, text, log):
        self.full = text
        self.log = log
        m = _LINE.match(text)
        self.level = m["level"] if m else "raw"
        self.module = m["module"] if m else ""
        self.pid = int(m["pid"]) if m else 0
        self.text = m["text"] if m else text
        ids = _ID.search(self.text)
        self.id = ids.group(1) if ids else ""

    @property
    def loud(self):
        return self.level not in _QUIET

    @property
    def is_traceback(self):
        body = re.sub(r"^(\[[^\]]*\] )*", "", self.text)
        return not self.id and (not body.strip() or bool(_TRACEBACK.match(body)))

    def __repr__(self):
        return f"{os.path.basename(self.log)}: {self.full}"


class ErrorLog:
    """All *.log files of a folder. Lines are taken in once and kept."""

    def __init__(self, folder):
        self.folder = folder
        self.lines = []
        self.checked = 0
        self._offsets = {}
        self._allowed = []
        self._allowed_before = []

    def refresh(self):
        for name in sorted(os.listdir(self.folder)):
            if not name.endswith(".log"):
                continue
            path = os.path.join(self.folder, name)
            with open(path, "rb") as f:
                f.seek(self._offsets.get(name, 0))
                data = f.read()
            whole = data[:data.rfind(b"\n") + 1]
            self._offsets[name] = self._offsets.get(name, 0) + len(whole)
            for text in whole.decode("utf-8", "replace").splitlines():
                if text:
                    self.lines.append(Line(text, path))
        return self.lines

    def mark(self):
        """A position: lines after it are new."""
        return len(self.refresh())

    def find(self, pattern, since=0, log=None):
        return [line for line in self.refresh()[since:]
                if re.search(pattern, line.full)
                and (log is None or os.path.basename(line.log) == log)]

    def wait(self, pattern, since=None, log=None, seconds=10):
        """Allow lines of this pattern and wait for the first one."""
        self.allow(pattern)
        start = self.checked if since is None else since
        try:
            return wait.until(lambda: self.find(pattern, start, log), seconds,
                              f"line /{pattern}/ in {log or 'any log'}")[0]
        except AssertionError as e:
            raise AssertionError(f"{e}; the log has:\n" + "\n".join(
                map(repr, self.lines[start:]))) from None

    def allow(self, *patterns, traceback=False):
        """Expect lines of these patterns (an id, or any regular expression) in this test."""
        self._allowed += [re.compile(p) for p in patterns]
        if traceback:
            self._allowed.append(None)

    def begin(self):
        """A test begins. A line may come a little late: what the test before allowed still holds."""
        self._allowed_before, self._allowed = self._allowed, []

    def unexpected(self):
        """Loud lines since the last call that nobody allowed."""
        rules = self._allowed + self._allowed_before
        patterns = [r for r in rules if r] + _ALWAYS
        traceback = None in rules
        new = self.refresh()[self.checked:]
        self.checked = len(self.lines)
        return [line for line in new
                if line.loud and not any(p.search(line.full) for p in patterns)
                and not (traceback and line.is_traceback)]
