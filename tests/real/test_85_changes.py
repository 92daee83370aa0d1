"""A Django site that is restarted, changed and killed while it is used: nobody is refused."""

import hashlib
import os
import random
import threading
import time

import pytest
from harness import client, procs, wait
from rig.browser import HOST
from test_85_django import prepare

pytest.importorskip("django", reason="python3-django is not installed")

BODY = random.Random(13).randbytes(150_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def site(real):
    return real("django", mount="/site", prepare=prepare, options="processes=2 threads=4")


class Refused(Exception):
    """The answer was not a whole 200; the text is the status."""


class Users:
    """Threads that use the site until they are told to stop, each request on a connection of its own."""

    def __init__(self, port, count=4):
        self.port = port
        self.done, self.wrong = [], []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.use, args=(n,)) for n in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def use(self, number):
        requests = [self.raw, self.stream, self.page, self.file]
        while not self.over.is_set():
            for request in requests[number % 4:] + requests[:number % 4]:
                began = time.strftime("%H:%M:%S")
                try:
                    request()
                    self.done.append(request.__name__)
                except Exception as e:  # told in the main thread
                    self.wrong.append(f"{request.__name__} of {began}: {e!r}")

    def fetch(self, path, *fields, **kw):
        rsp = client.fetch(self.port, "/site" + path, [("Host", HOST), *fields], timeout=30, **kw)
        if rsp.status != 200 or not rsp.complete:
            raise Refused(f"{rsp.status}{'' if rsp.complete else ' truncated'}")
        return rsp

    def raw(self):
        assert self.fetch("/raw/", method="POST", body=BODY).json()["sha256"] == DIGEST

    def stream(self):
        assert len(self.fetch("/stream/20/").body) == 160_000

    def page(self):
        assert "items" in self.fetch("/").text

    def file(self):
        assert len(self.fetch("/file/").body) == 3_000_001

    def wait_wrong(self, more):
        target = len(self.wrong) + more
        wait.until(lambda: len(self.wrong) >= target, 60, f"{more} more failures")

    def wait(self, more):
        """Until so many more requests are through."""
        target = len(self.done) + more
        wait.until(lambda: len(self.done) >= target, 60, f"{more} more requests")


def test_85_01_graceful_restarts(site, mode):
    with Users(site.port(mode)) as users:
        for _ in range(3):
            users.wait(20)
            site.httpd.graceful()
        users.wait(20)
    assert not users.wrong, "\n".join(users.wrong[:10])


def test_85_02_changed_script(site, mode):
    script = os.path.join(site.folder(mode), "wsgi.py")
    with Users(site.port(mode)) as users:
        for n in range(3):
            users.wait(20)
            when = time.time() + 10 + n
            os.utime(script, (when, when))
        users.wait(30)
    assert not users.wrong, "\n".join(users.wrong[:10])


def test_85_03_script_that_is_broken_and_repaired(site, mode, log):
    log.allow("WSGI[0-9]{4}", traceback=True)
    script = os.path.join(site.folder(mode), "wsgi.py")
    with open(script, encoding="utf-8") as f:
        good = f.read()

    def write(text):
        with open(script + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(script + ".new", script)

    with Users(site.port(mode), 2) as users:
        users.wait(10)
        write(good + "\nthis is no Python\n")
        if mode == "daemon":  # the old code goes on
            log.wait("SyntaxError: invalid syntax", seconds=30)
            users.wait(10)
        else:
            users.wait_wrong(5)
        write(good)
        users.wait(20)
        before = len(users.wrong)
        users.wait(30)
        assert len(users.wrong) == before
    assert {text.split(": ")[1] for text in users.wrong} == (set() if mode == "daemon" else {"Refused('500')"})
    log.wait("SyntaxError: invalid syntax", seconds=5)


def test_85_04_killed_worker_costs_what_it_was_doing(site, log):
    """What a process was at when it was killed fails; nothing else does."""
    log.allow("WSGI[0-9]{4}")
    with Users(site.port("daemon")) as users:
        for _ in range(3):
            users.wait(20)
            procs.kill(sorted(site.httpd.workers())[0])
        users.wait(40)
    said = [text.split(": ")[1] for text in users.wrong]
    assert len(said) <= 3 * 4 and set(said) <= {"Refused('502')", "Refused('200 truncated')"}, said
    wait.until(lambda: len(site.httpd.workers()) == 2, 15, "two workers again")
