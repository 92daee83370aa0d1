"""One application set up three times, each with files of its own: embedded, in a daemon group, and under
the reference server."""

import os
import shutil
import subprocess
import sys
import tempfile

from harness import server, wait

from .browser import HOST, Browser

HERE = os.path.dirname(os.path.abspath(__file__))
APPS = os.path.join(os.path.dirname(HERE), "apps")
MODES = ("embedded", "daemon")
PLACES = MODES + ("reference",)


class Site:
    """`source` is the application's folder and `script` the WSGI script in it; @here@ in configuration
    texts is the copy of the folder that the mode uses. prepare(folder) is called once, before the
    copies are made; what is in the copies' folder `data` belongs to the server's user."""

    def __init__(self, servers, source, script="wsgi.py", mount="", options="processes=2 threads=4",
                 main="", vhost="", embedded="", daemon="", prepare=None, modules=(),
                 scrub=(), tags=(), host=HOST):
        self.mount = mount
        self.host = host
        self.script = script
        self.scrub = scrub
        self.tags = tags
        self._played = {}
        self._reference = None
        own = {"embedded": embedded, "daemon": "    WSGIProcessGroup real\n" + daemon}
        texts = {mode: (f"    WSGIScriptAlias {mount or '/'} @here@/{script}\n" + vhost +
                        own[mode]).replace("@here@", f"@dir@/real/{mode}") for mode in MODES}
        main = f"WSGIDaemonProcess real {options}\n".replace("@here@", "@dir@/real/daemon") + main
        self.httpd = servers.make(main=main, vhosts=texts, modules=modules)
        self.log = self.httpd.log
        self._copies(source, prepare)
        self.httpd.start()

    def folder(self, place):
        return self.httpd.path("real", place)

    def data(self, place, *names):
        return os.path.join(self.folder(place), "data", *names)

    def port(self, mode):
        return self.httpd.port(mode)

    def _copies(self, source, prepare):
        """A copy for each place, readable by whoever the server becomes."""
        os.mkdir(self.httpd.path("real"), 0o755)
        with tempfile.TemporaryDirectory(prefix="mwreal-") as scratch:
            first = os.path.join(scratch, "app")
            shutil.copytree(source, first, ignore=shutil.ignore_patterns("__pycache__", "data"))
            os.mkdir(os.path.join(first, "data"))
            if prepare:
                prepare(first)
            for place in PLACES:
                shutil.copytree(first, self.folder(place), symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", self.httpd.path("real")], check=True)
        if server.ROOT:
            owner = f"{server.USER}:{server.GROUP}"
            subprocess.run(["chown", "-R", owner] + [self.data(mode) for mode in MODES], check=True)

    # -- the three ways to ask

    def browser(self, place):
        port = self.reference_port() if place == "reference" else self.port(place)
        return Browser(port, self.mount, place != "reference", self.scrub, self.host,
                       self.tags)

    def reference_port(self):
        if self._reference is None:
            with open(self.httpd.path("tmp", "reference.txt"), "ab") as errors:
                self._reference = subprocess.Popen(
                    [sys.executable, os.path.join(HERE, "reference.py"),
                     os.path.join(self.folder("reference"), self.script), self.mount],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
            self._port = self._reference.stdout.readline().decode().strip()
        assert self._port, "the reference server did not start:\n" + self.reference_said()
        return int(self._port)

    def reference_said(self):
        with open(self.httpd.path("tmp", "reference.txt"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop_reference(self):
        if self._reference is not None:
            self._reference.terminate()
            wait.until(lambda: self._reference.poll() is not None, 10, "end of the reference server")
            self._reference.stdout.close()
            self._reference = None

    def play(self, mode, scenario):
        """Run scenario(browser) here and under the reference, and compare every answer. In each place a
        scenario of one name runs once, so that all three come by the same state."""
        name = scenario.__qualname__
        if name not in self._played:
            with self.browser("reference") as browser:
                scenario(browser)
            self._played[name] = browser.seen
        wanted = self._played[name]
        with self.browser(mode) as browser:
            scenario(browser)
        assert [s.what for s in browser.seen] == [s.what for s in wanted]
        wrong = [text for is_, was in zip(browser.seen, wanted) for text in is_.differences(was)]
        assert not wrong, "other than under the reference server:\n" + "\n".join(wrong)
        return browser
