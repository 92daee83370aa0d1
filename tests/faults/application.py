"""What runs under faults. Each request has an id, which its answer repeats; each process keeps a journal of
the requests that it has begun and ended, which outlives it: so who was in a process that died is known."""

import os
import threading
import time
import zlib
from urllib.parse import parse_qsl

PIECE = 65536


class Journal:
    """A file per process; a line is one write, so that a kill leaves none cut."""

    def __init__(self):
        self.file = None
        self.lock = threading.Lock()

    def write(self, environ, what, ident):
        if environ["FAULTS_JOURNAL"] == "off":
            return
        with self.lock:
            # A file object: closed with this module when the script is loaded again.
            self.file = self.file or open(f"{environ['FAULTS_FOLDER']}/journal/{os.getpid()}", "ab", buffering=0)
        self.file.write(f"{what} {ident} {time.monotonic():.4f}\n".encode())


journal = Journal()


class Request:
    """The iterable of an answer: the request ends when the server closes it."""

    def __init__(self, environ):
        self.environ = environ
        self.query = dict(parse_qsl(environ["QUERY_STRING"]))
        self.id = self.query["id"]
        journal.write(environ, "begin", self.id)
        self.blocks = iter(())

    def number(self, name, default=0):
        return int(self.query.get(name, default))

    def who(self, *more):
        return " ".join(map(str, (self.id, os.getpid(), self.environ["mod_wsgi.process_group"] or "-", *more))).encode() + b"\n"

    def __iter__(self):
        return self.blocks

    def close(self):
        journal.write(self.environ, "end", self.id)


def pattern(ident, n):
    """n bytes that nobody else's answer has."""
    line = f"{ident}\n".encode()
    return (line * (n // len(line) + 1))[:n]


def small(request):
    time.sleep(request.number("ms") / 1000)
    body = request.who()
    return [body], len(body)


def sized(request):
    head = request.who()
    n = request.number("n")
    body = pattern(request.id, n)
    return [head] + [body[i:i + PIECE] for i in range(0, n, PIECE)], len(head) + n


def stream(request):
    def blocks():
        yield request.who()
        for i in range(request.number("blocks")):
            time.sleep(request.number("ms") / 1000)
            yield pattern(f"{request.id}.{i}", request.number("size"))
        yield b"end\n"
    return blocks(), None


def upload(request):
    length = crc = 0
    while True:
        data = request.environ["wsgi.input"].read(PIECE)
        if not data:
            break
        length += len(data)
        crc = zlib.crc32(data, crc)
    body = request.who(length, crc)
    return [body], len(body)


def file(request):
    path = f"{request.environ['FAULTS_FOLDER']}/file"
    return request.environ["wsgi.file_wrapper"](open(path, "rb"), PIECE), os.path.getsize(path)


def hold(request):
    """Until the test lets go: how many threads there are is how many of these there can be at once. A byte now and
    then, as no timeout is meant to end it."""
    def blocks():
        path = f"{request.environ['FAULTS_FOLDER']}/{request.query['until']}"
        end = time.monotonic() + 60
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.1)
            yield b"."
    return blocks(), None


def fail(request):
    raise RuntimeError(f"request {request.id} fails, as it is told to")


KINDS = {f.__name__: f for f in (small, sized, stream, upload, file, hold, fail)}


def application(environ, start_response):
    request = Request(environ)
    try:
        blocks, length = KINDS[environ["PATH_INFO"].strip("/")](request)
    except BaseException:
        request.close()
        raise
    request.blocks = iter(blocks)
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Pid", str(os.getpid()))] +
                   ([("Content-Length", str(length))] if length is not None else []))
    if environ["PATH_INFO"] == "/file":
        request.close()
        return blocks  # the wrapper itself: the server may send the file on its own
    return request
