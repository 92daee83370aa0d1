"""Answers of several kinds, for bench/memory.py; the path names the kind, /pid the process."""

import os
import sys

HEADERS = [("Content-Type", "text/plain")]
BIG = b"x" * (1 << 20)
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kinds.data")


def small(environ):
    return [b"Hello, world!\n"]


def post(environ):
    return [b"%d" % len(environ["wsgi.input"].read())]


def generator(environ):
    for number in range(5):
        yield b"block %d\n" % number


def exception(environ):
    local = {"environ": environ}
    raise LookupError("of many, %d" % len(local))


def wrapper(environ):
    return environ["wsgi.file_wrapper"](open(FILE, "rb"))


def big(environ):
    return [BIG]


def pid(environ):
    return [b"%d" % os.getpid()]


KINDS = {"/" + kind.__name__: kind for kind in (small, post, generator, exception, wrapper, big, pid)}


def application(environ, start_response):
    blocks = KINDS[environ["PATH_INFO"]](environ)
    start_response("200 OK", HEADERS)
    return blocks


if __name__ == "__main__":
    with open(sys.argv[1] if len(sys.argv) > 1 else FILE, "wb") as data:
        data.write(b"0123456789abcdef" * 6400)
