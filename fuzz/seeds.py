#!/usr/bin/python3
"""Writes the seed corpora, fuzz/corpus/NAME/*; ./dev test and ./dev fuzz call it.

The formats are written down here once more, independent of the C code, as docs/protocol.md says them.
"""

import os
import re
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
FRAMES = dict(HELLO=1, REQUEST=2, WANT=3, BODY=4, BODY_END=5, BODY_FILE=6, ABORT=7, HEAD=8, DATA=9, FILE=10, INFORM=11,
              LOG=12, END=13, ASK=14, ALIVE=15)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(value)) + value + b"\0"


def frame(kind, payload=b"", flags=0):
    return struct.pack("<IBBH", len(payload), FRAMES.get(kind, kind), flags, 0) + payload


def hello(version=1, data_max=65536, magic=b"MSWI"):
    return magic + struct.pack("<IIII", version, 4711, 3, data_max)


def request(pairs=(), flags=0x22, length=5, script="/srv/app.wsgi", count=None):
    head = struct.pack("<IIqQQIQ", flags, len(pairs) if count is None else count, length,
                       1700000000000001, 1700000000000777, 30000, 4711)
    strings = (script, "application", "www.example.com|", "blog", "ZAbc/1")
    return head + b"".join(map(text, strings)) + b"".join(text(s) for pair in pairs for s in pair)


def file_part(offset, length):
    return struct.pack("<qq", offset, length)


def head(status=200, reason="OK", fields=(), count=None):
    start = struct.pack("<HHI", status, 0, len(fields) if count is None else count)
    return start + text(reason) + b"".join(text(s) for field in fields for s in field)


def control(kind, message="", group=1, slot=2, incarnation=3):
    return struct.pack("<BBHHHI", kind, 0, group, slot, 0, incarnation) + text(message)


def admin_list(workers=1):
    group = text("blog") + struct.pack("<IIIBI", 2, 15, 0, 0, workers)
    worker = (struct.pack("<HIIB", 1, 9, 4711, 2) + text("ready") +
              struct.pack("<QQQQIII", 3, 0, 10, 2**64 - 1, 2, 1, 0) + text("script changed"))
    return b"MWLS" + struct.pack("<IIQQBI", 1, 7, 8, 3, 0, 1) + group + worker * workers


def admin_report(requests=1, method="GET"):
    request_ = struct.pack("<IQQB", 4712, 140494342870720, 13, 0) + b"".join(
        map(text, (method, "localhost", "/blog/?page=2", "127.0.0.1", "/srv/blog.wsgi")))
    return b"MWRP" + struct.pack("<IIIQQI", 1, 4711, 9, 1 << 25, 100, requests) + request_ * requests


def specification(preload=(), threads=15, name="blog"):
    """The rows are read from the source, so that a new option needs no change here."""
    kinds = []
    for source in ("wire/spec.c", "base/pyopts.c"):
        with open(os.path.join(HERE, "../src", source), encoding="ascii") as f:
            kinds += re.findall(r'^    \{"[\w-]+", MW_OPT_(\w+), AT\(([\w.]+)\)', f.read(), re.MULTILINE)
    numbers = dict(threads=threads, umask=-1, uid=33, gid=33, startup_timeout_ms=60000,
                   connect_timeout_ms=15000)
    strings = dict(runtime="/usr/lib/wsgi-python-3.11.so", home="/srv", user_name="www-data")
    body = b"MWSP" + struct.pack("<I", len(kinds))
    for kind, field in kinds:
        if kind in ("STR", "DIR", "LINES"):
            body += text(strings.get(field, ""))
        else:
            body += struct.pack("<q", numbers.get(field, 0))
    body += text(name) + struct.pack("<I", len(preload))
    for script, group, explicit in preload:
        body += text(script) + text(group) + text("") + bytes([explicit])
    return body


ENVIRON = (("REQUEST_METHOD", "POST"), ("PATH_INFO", b"/caf\xc3\xa9"), ("QUERY_STRING", ""))
FIELDS = (("Content-Type", "text/plain"), ("Set-Cookie", "a=b"), ("Content-Length", "17"))
EXCHANGE_TO_WORKER = (frame("HELLO", hello()) + frame("REQUEST", request(ENVIRON)) +
                      frame("BODY", b"hello") + frame("BODY_END", b"\0") + frame("ALIVE"))
EXCHANGE_TO_CHILD = (frame("HELLO", hello()) + frame("LOG", b"\3\7\0\0\0" + text("/srv/a.py") + b"a line") +
                     frame("WANT", struct.pack("<QQB", 5, 4096, 1)) + frame("ASK") +
                     frame("INFORM", head(103, "", (("Link", "</a.css>; rel=preload"),))) +
                     frame("HEAD", head(fields=FIELDS)) + frame("DATA", b"x" * 17) +
                     frame("END", b"\0"))
FILE_TO_CHILD = (frame("HELLO", hello()) + frame("HEAD", head(fields=FIELDS)) +
                 frame("FILE", file_part(0, 17)) + frame("END", b"\0"))

SEEDS = {
    "frame": {
        "to-worker": b"\1" + EXCHANGE_TO_WORKER,
        "to-child": b"\2" + EXCHANGE_TO_CHILD,
        "abort": b"\3" + frame("ABORT") * 3,
        "unknown-type": b"\4" + frame("ABORT") + frame(16),
        "file": b"\4" + frame("FILE", file_part(4096, 6000000)) + frame("BODY_FILE", struct.pack("<q", 1)),
        "flags": b"\5" + frame("ABORT", flags=1),
        "over-limit": b"\6" + struct.pack("<IBBH", 65537, 9, 0, 0),
        "cut": b"\7" + EXCHANGE_TO_CHILD[:-3],
    },
    "req": {
        "pairs": request(ENVIRON),
        "no-pairs": request(length=0, flags=0),
        "chunked": request(ENVIRON, length=-1),
        "relative-script": request(ENVIRON, script="app.wsgi"),
        "wrong-count": request(ENVIRON, count=4),
        "many-pairs": request(tuple(("K%d" % i, "v" * i) for i in range(60))),
    },
    "rsp": {
        "fields": head(fields=FIELDS),
        "bare": head(204, ""),
        "early-hints": head(103, "Early Hints", (("Link", "</a.css>; rel=preload"), ("X-Id", "7"))),
        "early-length": head(103, "", (("Content-Length", "0"),)),
        "early-connection": head(103, "", (("Connection", "close"),)),
        "two-lengths": head(fields=FIELDS + (("content-length", "17"),)),
        "injection": head(fields=(("X", "a\r\nSet-Cookie: b=c"),)),
        "bad-name": head(fields=(("X Y", ""),)),
        "latin-1": head(200, b"\xc9t\xe9", fields=(("X", b"\xe9\t "),)),
        "wrong-count": head(fields=FIELDS, count=2),
    },
    "ctl": {
        "connect": control(1),
        "serve": control(2),
        "ready": control(4),
        "failed": control(5, "drop privileges: no such user"),
        "script": control(10) + text("/srv/app.wsgi") + text("") + text("") + b"\0",
        "recycle": control(6, "script changed: /srv/app.wsgi") + text("/srv/app.wsgi") + text("blog") +
                   text("application") + b"\1",
        "recycle-nothing": control(6, "it got SIGUSR1") + text("") + text("") + text("") + b"\0",
        "leaving": control(9, "it was told to end by a signal"),
        "text-in-ready": control(4, "1 of 2 scripts failed"),
        "text-in-drain": control(3, "x"),
        "longest": control(5, "x" * 480),
    },
    "admin": {
        "list": b"\0" + struct.pack("<BBHI", 1, 1, 0xffff, 0) + text(""),
        "reload": b"\0" + struct.pack("<BBHI", 1, 4, 0xffff, 0) + text("blog"),
        "no-group": b"\0" + struct.pack("<BBHI", 1, 4, 0xffff, 0) + text(""),
        "answer": b"\1" + struct.pack("<BBB", 1, 4, 11) + text("there is no such group"),
        "a-list": b"\2" + admin_list(2),
        "cut-list": b"\2" + admin_list(2)[:-4],
        "report": b"\3" + admin_report(2),
        "long-method": b"\3" + admin_report(1, "x" * 600),
    },
    "spec": {
        "plain": specification(),
        "preload": specification((("/srv/a.wsgi", "", 1), ("/srv/b.wsgi", "other", 0))),
        "bad-threads": specification(threads=-1),
        "no-name": specification(name=""),
    },
    "hello": {
        "hello": b"\1" + hello(),
        "version-2": b"\1" + hello(version=2),
        "data-max-0": b"\1" + hello(data_max=0),
        "want": b"\3" + struct.pack("<QQB", 1, (1 << 20) + 1, 0),
        "want-nothing": b"\3" + struct.pack("<QQB", 5, 5, 1),
        "body-file": b"\6" + struct.pack("<q", 1),
        "file": b"\x0a" + file_part(0, (1 << 63) - 1),
        "file-over": b"\x0a" + file_part(1, (1 << 63) - 1),
        "body-end": b"\5\4",
        "log": b"\x0c\3\7\0\0\0" + text("/srv/a.py") + b"a line\n",
        "end": b"\x0d\6",
    },
    "link": {  # the first byte: whether a descriptor comes along
        "to-worker": b"\0" + EXCHANGE_TO_WORKER,
        "to-child": b"\0" + EXCHANGE_TO_CHILD,
        "no-hello": b"\0" + EXCHANGE_TO_CHILD[28:],
        "two-hellos": b"\0" + frame("HELLO", hello()) * 2,
        "cut": b"\0" + EXCHANGE_TO_WORKER[:-5],
        "http": b"\0GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "file": b"\1" + FILE_TO_CHILD,
        "file-alone": b"\0" + FILE_TO_CHILD,
        "fd-alone": b"\1" + EXCHANGE_TO_CHILD,
        "body-file": b"\1" + frame("HELLO", hello()) + frame("REQUEST", request(ENVIRON)) +
                     frame("BODY_FILE", struct.pack("<q", 5)),
    },
}


def main():
    for name, seeds in SEEDS.items():
        folder = os.path.join(HERE, "corpus", name)
        os.makedirs(folder, exist_ok=True)
        for seed, content in seeds.items():
            write(os.path.join(folder, seed), content)


def write(path, content):
    """Only if it is not there already: somebody else's copy of the sources may be read-only."""
    try:
        with open(path, "rb") as f:
            if f.read() == content:
                return
    except FileNotFoundError:
        pass
    with open(path, "wb") as f:
        f.write(content)


if __name__ == "__main__":
    main()
