"""One application behind checkers of both sides: /validate, /lint, /both and, unchecked, /plain.

wsgiref.validate and paste.lint raise AssertionError when the server or the application breaks the rules,
and write a line when an iterable is not closed. The application keeps to them in every way there is.
"""

import hashlib
import json
import sys
from urllib.parse import parse_qsl
from wsgiref.util import shift_path_info
from wsgiref.validate import validator

from paste import lint

TEXT = [("Content-Type", "text/plain")]
BYTES = [("Content-Type", "application/octet-stream")]


def answer(start_response, body, kind="application/json"):
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


class Closing:
    """An iterable that is no generator, with a close of its own."""
    closed = 0

    def __init__(self, blocks):
        self.blocks = iter(blocks)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks)

    def close(self):
        Closing.closed += 1


def empty(environ, start_response, query):
    start_response("200 OK", TEXT[:])
    return []


def one(environ, start_response, query):
    start_response("200 OK", TEXT[:])
    return [b"one block\n"]


def several(environ, start_response, query):
    start_response("200 OK", TEXT[:])
    return [b"first\n", b"", b"second\n", b"", b"third\n"]


def big(environ, start_response, query):
    start_response("200 OK", BYTES[:])
    return [b"0123456789abcdef" * 4096] * 48


def stream(environ, start_response, query):
    start_response("200 OK", BYTES + [("Content-Length", str(1000 * 999))] * ("length" in query))
    return (b"%09d" % n * 111 for n in range(1000))


def late(environ, start_response, query):
    """start_response is called when the first block is asked for."""
    start_response("200 OK", TEXT[:])
    yield b"late "
    yield b"blocks\n"


def closing(environ, start_response, query):
    start_response("200 OK", TEXT[:])
    return Closing([b"to be ", b"closed\n"])


def closed(environ, start_response, query):
    return answer(start_response, json.dumps(Closing.closed).encode())


def write(environ, start_response, query):
    """The write callable, and an iterable behind it."""
    out = start_response("200 OK", TEXT[:])
    out(b"written\n")
    out(b"and more\n" * 1000)
    return [b"and the rest\n"]


def wrapped(environ, start_response, query):
    start_response("200 OK", BYTES[:])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"), 1000)


def status(environ, start_response, query):
    code = query["code"]
    bare = code in ("204", "304")
    start_response(code + " As Asked", [("X-Asked", code)] + ([] if bare else TEXT))
    return [] if bare else [b"asked for " + code.encode()]


def replaced(environ, start_response, query):
    """An error before anything was sent: the second start_response replaces the first."""
    start_response("200 OK", TEXT[:])
    try:
        raise ValueError("on purpose")
    except ValueError:
        start_response("500 Replaced", TEXT + [("X-Error", "yes")], sys.exc_info())
    return [b"an error instead\n"]


def fields(environ, start_response, query):
    start_response("200 Fine", TEXT + [("X-Same", "1"), ("X-Same", "2"), ("Set-Cookie", "a=1"),
                                       ("Set-Cookie", "b=2"), ("X-Latin", "gr\u00fc\u00df"), ("X-Empty", "")])
    return [b"fields\n"]


def keys(environ, start_response, query):
    """What a checker cannot know: the values."""
    said = {k: environ[k] for k in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING",
                                    "HTTP_HOST", "wsgi.url_scheme", "wsgi.version")}
    said["length"] = environ.get("CONTENT_LENGTH") or ""
    return answer(start_response, json.dumps(said, sort_keys=True).encode())


READERS = {
    "all": lambda source: [source.read(-1)],
    "pieces": lambda source: list(iter(lambda: source.read(5003), b"")),
    "zero": lambda source: [source.read(0), source.read(-1), source.read(10)],
    "line": lambda source: list(iter(lambda: source.readline(), b"")),
    "lines": lambda source: source.readlines(),
    "hint": lambda source: source.readlines(100) + source.readlines(),
    "loop": lambda source: list(source),
    "none": lambda source: [],
}


def body(environ, start_response, query):
    blocks = READERS[query["way"]](environ["wsgi.input"])
    data = b"".join(blocks)
    return answer(start_response, json.dumps({
        "size": len(data), "sha256": hashlib.sha256(data).hexdigest(),
        "length": environ.get("CONTENT_LENGTH") or "", "type": environ.get("CONTENT_TYPE") or "",
        "lines": sum(1 for block in blocks if block.endswith(b"\n"))}).encode())


def echo(environ, start_response, query):
    """Reads while it answers."""
    start_response("200 OK", BYTES[:])
    for block in iter(lambda: environ["wsgi.input"].read(8192), b""):
        yield block


def errors(environ, start_response, query):
    out = environ["wsgi.errors"]
    out.write("checked: one line\n")
    out.writelines(["checked: two ", "halves\n", "checked: last\n"])
    out.flush()
    return answer(start_response, b"{}")


def raises(environ, start_response, query):
    raise RuntimeError("checked: before the head")


def raises_late(environ, start_response, query):
    start_response("200 OK", BYTES[:])
    yield b"x" * 300000
    raise RuntimeError("checked: in the body")


def inner(environ, start_response):
    name = environ["PATH_INFO"].strip("/").replace("-", "_")
    page = globals().get(name)
    if name not in PAGES:
        start_response("404 Not Found", TEXT[:])
        return [b"no such page\n"]
    return page(environ, start_response, dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)))


PAGES = {"empty", "one", "several", "big", "stream", "late", "closing", "closed", "write", "wrapped", "status",
         "replaced", "fields", "keys", "body", "echo", "errors", "raises", "raises_late"}

WRAPPED = {
    "plain": inner,
    "validate": validator(inner),
    "lint": lint.middleware(inner),
    "both": validator(lint.middleware(inner)),
}


def application(environ, start_response):
    return WRAPPED[shift_path_info(environ)](environ, start_response)
