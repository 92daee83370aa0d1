"""Asks whether its client is still there. Notes: KEY.asking once it asks, KEY.heard when it was told that the
client has gone, KEY.closed by close(); KEY.stop ends the asking."""

import hashlib
import os
import threading
import time
from urllib.parse import parse_qsl

SECONDS = 30


class Request:
    def __init__(self, environ):
        self.query = dict(parse_qsl(environ["QUERY_STRING"]))
        self.path = f"{environ['MWTEST_TMP']}/{self.query['key']}"
        self.gone = environ["wsgi.client_disconnected"]

    def note(self, name, text=""):
        with open(f"{self.path}.{name}", "a", encoding="ascii") as f:
            f.write(text)

    def heard(self):
        """Ask until the answer is yes, or the test says stop."""
        end = time.monotonic() + SECONDS
        asked = 0
        while time.monotonic() < end:
            gone = self.gone()
            assert isinstance(gone, bool)
            asked += 1
            if asked == 3:
                self.note("asking")
            if gone:
                self.note("heard", f"after {asked}")
                return True
            if os.path.exists(f"{self.path}.stop"):
                return False
            time.sleep(0.005)
        return False


class Body:
    def __init__(self, request):
        self.request = request
        self.blocks = iter([b"first\n", b"second\n", b"third\n"])

    def __iter__(self):
        return self

    def __next__(self):
        block = next(self.blocks)
        if block == b"second\n":
            self.request.heard()
        return block

    def close(self):
        self.request.note("closed")


def in_thread(request):
    """A thread asks while the one that serves is at work."""
    said = []
    thread = threading.Thread(target=lambda: said.append(request.heard()))
    thread.start()
    thread.join()
    return said == [True]


def application(environ, start_response):
    request = Request(environ)
    way = request.query["way"]
    text = [("Content-Type", "text/plain")]
    if way == "stream":
        start_response("200 OK", text)
        return Body(request)
    if way == "read":
        counts = [request.gone() for _ in range(3)]
        source, digest = environ["wsgi.input"], hashlib.sha256()
        while True:
            piece = source.read(5000)
            digest.update(piece)
            counts.append(request.gone())
            if not piece:
                break
        start_response("200 OK", text)
        return [f"{digest.hexdigest()} {any(counts)}".encode("ascii")]
    heard = in_thread(request) if way == "thread" else request.heard()
    if heard and way == "nothing":
        return []
    if heard and way == "raise":
        raise ConnectionError("the client has gone")
    write = start_response("200 OK", text)
    if way == "write":
        write(b"gone" if heard else b"there")
        return []
    return [b"gone" if heard else b"there"]
