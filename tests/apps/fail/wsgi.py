"""Goes wrong in the way the query string names."""

import os
import signal
import time
import sys
from urllib.parse import parse_qsl

TEXT = [("Content-Type", "text/plain")]


class Odd(BaseException):
    """Not an Exception."""


class Hostile(Exception):
    def __str__(self):
        raise ValueError("no text")


def before(start_response):
    raise KeyError("marker-before")


def after_start(start_response):
    start_response("200 OK", TEXT)
    raise KeyError("marker-after-start")


def first_block(start_response):
    start_response("200 OK", TEXT)
    raise KeyError("marker-first-block")
    yield b""


def empty_block(start_response):
    start_response("200 OK", TEXT)
    yield b""
    raise KeyError("marker-empty-block")


def second_block(start_response):
    start_response("200 OK", TEXT)
    yield b"part"
    raise KeyError("marker-second-block")


def after_write(start_response):
    write = start_response("200 OK", TEXT)
    write(b"part")
    raise KeyError("marker-after-write")


def chained(start_response):
    try:
        raise KeyError("marker-inner")
    except KeyError as e:
        raise ValueError("marker-outer") from e


def sysexit(start_response):
    sys.exit("marker-exit")


def base(start_response):
    raise Odd("marker-base")


def hostile(start_response):
    raise Hostile


def interrupt(start_response):
    raise KeyboardInterrupt


def syntax(start_response):
    compile("a b c", "marker-syntax", "exec")


def recursion(start_response):
    return recursion(start_response)


def no_start(start_response):
    return [b"abc"]


def no_start_empty(start_response):
    return []


def none(start_response):
    start_response("200 OK", TEXT)


def number(start_response):
    start_response("200 OK", TEXT)
    return 7


def text(start_response):
    start_response("200 OK", TEXT)
    return ["abc"]


def text_later(start_response):
    start_response("200 OK", TEXT)
    return [b"abc", "abc"]


def bare_text(start_response):
    start_response("200 OK", TEXT)
    return "abc"


def bytearray_(start_response):
    start_response("200 OK", TEXT)
    return [bytearray(b"abc")]


def write_text(start_response):
    start_response("200 OK", TEXT)("abc")
    return []


def write_before_any(start_response):
    """A second start_response without exc_info."""
    start_response("200 OK", TEXT)
    start_response("404 Not Found", TEXT)
    return [b"abc"]


def exc_info_late(start_response):
    """exc_info after the head went out: start_response raises it again."""
    start_response("200 OK", TEXT)
    yield b"part"
    try:
        raise KeyError("marker-late")
    except KeyError:
        start_response("500 Oops", TEXT, sys.exc_info())
    yield b"never"


def bad_exc_info(start_response):
    start_response("200 OK", TEXT, "exc")
    return [b"abc"]


def exit_now(start_response):
    os._exit(3)


def killed(start_response):
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def segv(start_response):
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60) # another thread may take the signal


def bad_status(start_response, value):
    start_response(value, TEXT)
    return [b"abc"]


STATUS = {
    "int": 200, "none": None, "bytes": b"200 OK", "empty": "", "two": "20 x", "four": "2000 x",
    "letters": "abc OK", "glued": "200OK", "crlf": "200 OK\r\nX-Injected: 1", "lf": "200 OK\nX-Injected: 1",
    "cr": "200 OK\rX-Injected: 1", "nul": "200 O\0K", "unicode": "200 \u2603", "low": "099 Low",
    "lead": " 200 OK", "minus": "-20 OK", "wide": "\u0662\u0660\u0660 OK", "split": "200 OK\r\n\r\nEVIL BODY",
}

HEADERS = {
    "none": None, "dict": {"Content-Type": "text/plain"}, "tuple": (("Content-Type", "text/plain"),),
    "string": "Content-Type: text/plain", "item-str": ["Content-Type: text/plain"],
    "item-list": [["Content-Type", "text/plain"]], "item-short": [("Content-Type",)],
    "item-long": [("a", "b", "c")], "item-int": [("X-Int", 1)], "item-bytes": [(b"X-Bytes", b"1")],
    "item-none": [("X-None", None)], "name-empty": [("", "x")], "name-blank": [("X Y", "z")],
    "name-colon": [("X:Y", "z")], "name-lf": [("X\nInjected", "z")], "name-crlf": [("X: a\r\nX-Injected", "z")],
    "name-nul": [("X\0Y", "z")], "name-unicode": [("X-\u2603", "z")], "name-latin": [("X-\xe9", "z")],
    "value-lf": [("X-A", "b\nX-Injected: 1")], "value-cr": [("X-A", "b\rX-Injected: 1")],
    "value-crlf": [("X-A", "b\r\nX-Injected: 1")], "value-split": [("X-A", "b\r\n\r\nEVIL BODY")],
    "value-fold": [("X-A", "b\r\n X-Injected: 1")], "value-nul": [("X-A", "b\0c")], "value-bell": [("X-A", "b\ac")],
    "value-del": [("X-A", "b\x7fc")], "value-unicode": [("X-A", "\u2603")], "value-crend": [("X-A", "b\r")],
    "value-lfend": [("X-A", "b\n")], "location-crlf": [("Location", "/x\r\nX-Injected: 1")],
    "cookie-crlf": [("Set-Cookie", "a=b\r\nX-Injected: 1")], "type-crlf": [("Content-Type", "a/b\r\nX-Injected: 1")],
}


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    way = query["way"]
    if way == "status":
        start_response(STATUS[query["what"]], TEXT)
        return [b"abc"]
    if way == "headers":
        start_response("200 OK", HEADERS[query["what"]])
        return [b"abc"]
    return globals()[way](start_response)
