"""Correct answers of every shape; all of them give the body 'abc' repeated."""

from urllib.parse import parse_qsl
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
LONG = b"0123456789abcdef" * 65536  # 1 MiB


def one(start_response):
    start_response("200 OK", TEXT)
    return [b"abc"]


def several(start_response):
    start_response("200 OK", TEXT)
    return [b"a", b"b", b"c"]


def with_length(start_response):
    start_response("200 OK", TEXT + [("Content-Length", "3")])
    return [b"a", b"bc"]


def generator(start_response):
    start_response("200 OK", TEXT)
    yield b"a"
    yield b"bc"


def late_start(start_response):
    """start_response is called when the first block is asked for."""
    start_response("200 OK", TEXT)
    yield b"abc"


def empty_blocks(start_response):
    start_response("200 OK", TEXT)
    yield b""
    yield b"ab"
    yield b""
    yield b"c"
    yield b""


def empty(start_response):
    start_response("200 OK", TEXT)
    return []


def empty_generator(start_response):
    start_response("200 OK", TEXT)
    yield from ()


def empty_with_length(start_response):
    start_response("200 OK", TEXT + [("Content-Length", "0")])
    return [b""]


def write(start_response):
    send = start_response("200 OK", TEXT)
    send(b"a")
    send(b"b")
    return [b"c"]


def write_only(start_response):
    send = start_response("200 OK", TEXT)
    send(b"abc")
    return []


def twice(start_response):
    """A second start_response with exc_info before anything was sent replaces the first."""
    start_response("200 OK", [("Content-Type", "text/html"), ("X-First", "1")])
    try:
        raise KeyError("x")
    except KeyError:
        import sys
        start_response("404 Not Here", TEXT + [("X-Second", "2")], sys.exc_info())
    return [b"abc"]


class Sequence:
    """Old style iteration: __getitem__ until IndexError."""

    def __getitem__(self, n):
        return (b"a", b"b", b"c")[n]


def getitem(start_response):
    start_response("200 OK", TEXT)
    return iter(Sequence())


def long(start_response):
    start_response("200 OK", TEXT)
    return [LONG]


def long_with_length(start_response):
    start_response("200 OK", TEXT + [("Content-Length", str(len(LONG)))])
    return [LONG]


def long_blocks(start_response):
    start_response("200 OK", TEXT)
    for i in range(0, len(LONG), 10007):
        yield LONG[i:i + 10007]


def headers(start_response):
    start_response("200 Fine Indeed", TEXT + [
        ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"), ("X-Twice", "1"), ("X-Twice", "2"),
        ("X-Latin", "caf\xe9"), ("X-Empty", ""), ("ETag", '"x"'),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Cache-Control", "no-cache")])
    return [b"abc"]


def not_modified(start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def no_content(start_response):
    start_response("204 No Content", [])
    return []


def created(start_response):
    start_response("201 Created", TEXT + [("Location", "http://test.invalid/new")])
    return [b"abc"]


def not_found(start_response):
    start_response("404 Gone Fishing", TEXT)
    return [b"abc"]


def server_error(start_response):
    start_response("503 Closed", TEXT + [("Retry-After", "7")])
    return [b"abc"]


def odd(start_response):
    start_response("599 Odd", TEXT)
    return [b"abc"]


def no_reason(start_response):
    """PEP 3333 wants a reason; RFC 9112 lets it be empty."""
    start_response("200 ", TEXT)
    return [b"abc"]


@validator
def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    return globals()[query["way"]](start_response)
