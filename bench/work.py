"""The application behind all rows but the small answer; the last part of the path names what to do, the query
string says how much."""

import os
import threading
import time

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static", "file.data")
PIECE = b"0123456789abcdef" * 4096  # 64 KiB
ANSWER = b"x" * (1 << 20)

served = 0
lock = threading.Lock()


def hello(environ, amount):
    return 14, [b"Hello, world!\n"]


def file(environ, amount):
    return os.path.getsize(FILE), environ["wsgi.file_wrapper"](open(FILE, "rb"), 65536)


def stream(environ, amount):
    return amount * len(PIECE), (PIECE for _ in range(amount))


def upload(environ, amount):
    """In pieces as frameworks read them."""
    read, total = environ["wsgi.input"].read, 0
    while piece := read(65536):
        total += len(piece)
    body = b"%d" % total
    return len(body), [body]


def download(environ, amount):
    return len(ANSWER), [ANSWER]


def sleep(environ, amount):
    """So many milliseconds."""
    global served
    time.sleep(amount / 1000)
    with lock:
        served += 1
    return 1, [b"."]


def count(environ, amount):
    body = b"%d" % served
    return len(body), [body]


def pid(environ, amount):
    body = b"%d" % os.getpid()
    return len(body), [body]


KINDS = {kind.__name__: kind for kind in (hello, file, stream, upload, download, sleep, count, pid)}


def application(environ, start_response):
    kind = KINDS[environ["PATH_INFO"].rpartition("/")[2]]
    length, body = kind(environ, int(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(length))])
    return body
