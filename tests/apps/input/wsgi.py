"""Reads wsgi.input in the way the query string names and tells what it got, as JSON."""

import hashlib
import json
from urllib.parse import parse_qsl


def by_read(source, n):
    out = []
    while True:
        part = source.read(n)
        out.append(part)
        if not part:
            return out


def by_read_one_size(source, n):
    """Reads that must each be full: read(n) waits for n bytes or the end."""
    out = by_read(source, n)
    assert all(len(part) == n for part in out[:-2]), [len(part) for part in out]
    return out


def by_readline(source, n):
    out = []
    while True:
        line = source.readline(n) if n else source.readline()
        out.append(line)
        if not line:
            return out


def by_mixed(source, n):
    return [source.readline(), source.read(n), source.readline(), *source.readlines()]


def after_the_end(source, n):
    out = [source.read()]
    rest = [source.read(), source.read(n), source.readline(), *source.readlines(), *source]
    assert not any(rest), rest
    return out


WAYS = {
    "all": lambda source, n: [source.read()],
    "minus": lambda source, n: [source.read(-1)],
    "none": lambda source, n: [source.read(None)],
    "zero": lambda source, n: [source.read(0), source.readline(0), source.read(0)],
    "read": by_read,
    "full": by_read_one_size,
    "readline": by_readline,
    "readlines": lambda source, n: source.readlines(n) if n else source.readlines(),
    "iterate": lambda source, n: list(source),
    "next": lambda source, n: list(iter(lambda: next(source, b""), b"")),
    "mixed": by_mixed,
    "end": after_the_end,
    "nothing": lambda source, n: [],
}


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    parts = WAYS[query["way"]](environ["wsgi.input"], int(query.get("n", "0")))
    whole = b"".join(parts)
    answer = {"length": len(whole), "sha": hashlib.sha256(whole).hexdigest(),
              "sizes": [len(part) for part in parts][:1000], "types": sorted({type(p).__name__ for p in parts}),
              "content_length": environ.get("CONTENT_LENGTH"),
              "terminated": environ.get("wsgi.input_terminated"),
              "transfer": environ.get("HTTP_TRANSFER_ENCODING")}
    body = json.dumps(answer).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
