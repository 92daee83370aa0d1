"""Answers made at random, and every byte there is: what a client sees is either right or recognisably not.

Each run has a seed, which a failure shows. MW_SEED=N repeats a run, MW_RANDOM=N makes N answers per mode.
"""

import json
import os
import random
import re
import socket
from urllib.parse import quote

import pytest

from harness import client

SITE = {"main": "LimitRequestLine 500000\n"}  # the plan of an answer is in the URL
COUNT = int(os.environ.get("MW_RANDOM", "250"))
SEED = int(os.environ.get("MW_SEED") or random.SystemRandom().randrange(1 << 32))

GOOD_STATUS = ["200 OK", "200 ", "200 A much longer reason, with; punctuation?", "201 Created", "206 Partial Content",
               "299 Odd", "204 No Content", "304 Not Modified", "300 Choose", "302 Found", "404 Not Here",
               "418 Teapot", "500 Mine", "503 Closed", "599 Odd", "999 Foo", "200 caf\xe9"]
BAD_STATUS = ["", "20 OK", "2000 OK", "200OK", "abc", "100 Continue", "101 Switch", "199 X", "000 Zero", "-20 OK",
              "200 A\nB", "200 A\rB", "200 A\0B", "200 \x7f", " 200 OK", "+200 OK"]
BAD_FIELDS = [("", "x"), ("A B", "x"), ("A:B", "x"), ("A\n", "x"), ("X-Ok", "a\nb"), ("X-Ok", "a\r\nX-Evil: 1"),
              ("X-Ok", "a\0b"), ("X\xe9", "x"), ("X-Ok", "\x1b")]
LENGTH = "Content-Length"
HOP = ["Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "TE", "Trailer", "Proxy-Connection"]
WORDS = ["close", "keep-alive", "chunked", "gzip", "x", "trailers", "timeout=5", ""]


def pattern(size):
    return b"".join(b"%07x\n" % n for n in range(size // 8 + 1))[:size]


def random_value(rng):
    chars = [c for c in map(chr, range(0x20, 0x100)) if c != "\x7f"] + ["\t"]
    return "".join(rng.choice(chars) for _ in range(rng.choice([0, 1, 5, 30, 300])))


class Plan:
    """One request and the answer that the application is to give, with what must come of it."""

    def __init__(self, rng):
        self.method = rng.choice(["GET", "GET", "GET", "POST", "PUT", "HEAD"])
        self.version = rng.choice(["1.1", "1.1", "1.1", "1.0"])
        self.keep = rng.random() < 0.8
        self.body = None if self.method in ("GET", "HEAD") else bytes(rng.choice([0, 1, 100, 20000, 70000]))
        self.coded = self.body is not None and self.version == "1.1" and rng.random() < 0.4
        self.good_head = True
        self.status = rng.choice(GOOD_STATUS)
        self.blocks = [rng.choice([0, 1, 7, 100, 8000, 16384, 70000, 200000]) for _ in range(rng.choice([0, 1, 1, 2, 5]))]
        self.total = sum(self.blocks)
        self.way = rng.choice(["list", "generator", "write", "mixed"])
        self.fail = rng.randrange(-1, len(self.blocks) + 1) if rng.random() < 0.2 else None
        self.read = rng.choice([0, 0, -1, 1, 5000])
        self.length = None
        self.headers = self.make_headers(rng)
        if rng.random() < 0.1:
            self.good_head = False
            if rng.random() < 0.5:
                self.status = rng.choice(BAD_STATUS)
            else:
                self.headers.insert(rng.randrange(len(self.headers) + 1), rng.choice(BAD_FIELDS))

    def make_headers(self, rng):
        headers = [(f"X-Field-{n}", random_value(rng)) for n in range(rng.choice([0, 1, 3, 20]))]
        if rng.random() < 0.5:
            headers.append(("Content-Type", "text/plain"))
        if rng.random() < 0.2:
            headers.append((rng.choice(HOP), rng.choice(WORDS)))
        if rng.random() < 0.6:
            self.length = max(0, self.total + rng.choice([0, 0, 0, 0, -1, 1, -100, 100, 100000]))
            headers.append((LENGTH, str(self.length)))
            if rng.random() < 0.05:
                headers.append((LENGTH, rng.choice([str(self.length), "5", "x"])))
                self.good_head = False
        rng.shuffle(headers)
        return headers

    def query(self):
        plan = {"status": self.status, "headers": self.headers, "blocks": self.blocks, "way": self.way,
                "read": self.read, "fail": self.fail}
        return quote(json.dumps({k: v for k, v in plan.items() if v is not None}))

    @property
    def code(self):
        return int(self.status[:3])

    @property
    def bodiless(self):
        return self.method == "HEAD" or self.code in (204, 304)

    @property
    def before_head(self):
        """Nothing of the answer can have gone out when it failed."""
        if not self.good_head or self.fail == -1:
            return True
        if self.fail is None:
            return False
        return self.way == "list" or not sum(self.blocks[:self.fail])

    @property
    def whole(self):
        return self.fail is None and (self.bodiless or self.length is None or self.length <= self.total)

    @property
    def all_sent(self):
        """It failed, but behind the last byte that it had announced."""
        return self.fail is not None and self.length is not None and sum(self.blocks[:self.fail]) >= self.length

    def body_of_answer(self):
        if self.bodiless:
            return b""
        return pattern(self.total if self.length is None else min(self.length, self.total))

    def __repr__(self):
        return repr({**vars(self), "body": self.body and len(self.body), "headers": f"{self.headers!r:.600}"})

    # -- on the wire

    def send(self, conn, url):
        fields = [] if self.keep and self.version == "1.1" else \
            [("Connection", "keep-alive" if self.keep else "close")]
        body = self.body
        if self.coded:
            fields.append(("Transfer-Encoding", "chunked"))
            body = client.chunked(body, 5000)
        return conn.build(self.method, f"{url}?{self.query()}", fields, body, self.version)

    def check(self, rsp):
        assert rsp is not None
        if self.before_head:
            assert rsp.status == 500 and rsp.complete and not rsp.all("X-Evil")
            assert not any(n.startswith("X-Field") for n, _ in rsp.fields) and b"0000000\n" not in rsp.body
            return
        if not self.whole and rsp.status in (500, 502) and (b"<html>" in rsp.body or self.method == "HEAD"):
            assert rsp.complete and b"0000000\n" not in rsp.body  # nothing had gone out yet
            return
        assert rsp.status == self.code
        assert self.body_of_answer().startswith(rsp.body)
        self.check_head(rsp)
        if self.whole:
            assert rsp.complete and rsp.body == self.body_of_answer()
        elif not self.bodiless and not self.all_sent:
            assert not rsp.complete or rsp.framing == "close"

    def check_head(self, rsp):
        reason = self.status[4:].strip()
        assert not reason or rsp.reason == reason
        for name, value in self.headers:
            if name.startswith("X-"):
                assert rsp.get(name) == value.strip(" \t"), name
        for name in HOP:
            assert name in ("Connection", "Keep-Alive", "Transfer-Encoding") or not rsp.all(name), name
        assert rsp.all("Transfer-Encoding") in ([], ["chunked"])


def test_random_01_answers(app, log):
    """Each request is sent with the next one right behind it: where one answer ends is never in doubt."""
    log.allow("WSGI0174", "WSGI0535", "WSGI0536", traceback=True)
    rng = random.Random(SEED)
    one = app("answer")
    for n in range(COUNT):
        plan = Plan(rng)
        word = f"next-{n}-{rng.randrange(1 << 60)}"
        try:
            with one.conn() as conn:
                conn.send(plan.send(conn, one.url()) + conn.build("GET", f"/echo?{word}", [("Connection", "close")]))
                rsp = conn.response(plan.method)
                plan.check(rsp)
                assert word.encode() not in rsp.body
                if rsp.complete and not rsp.close:
                    second = conn.response()
                    assert second is None or (second.status, second.body) == (200, word.encode())
                    assert second is not None or rsp.status >= 400 or not plan.whole
                conn.at_end()
        except (AssertionError, OSError) as e:
            raise AssertionError(f"MW_SEED={SEED}, answer {n}: {e}\n{plan!r}") from e


# -- every byte

TCHAR = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def is_text(c):
    return c == "\t" or (c >= " " and c != "\x7f")


def status_with(c, at):
    return {"status": "200 " + ["%sMARK", "MA%sRK", "MARK%s"][at] % c}


def name_with(c, at):
    return {"headers": [[["%sX-MARK", "X-MA%sRK", "X-MARK%s"][at] % c, "v"]]}


def value_with(c, at):
    return {"headers": [["X-Value", ["%sMARK", "MA%sRK", "MARK%s"][at] % c]]}


def talk(port, data):
    """All bytes of the answers to these requests."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(data)
        out = b""
        while part := sock.recv(65536):
            out += part
    return out


PLACES = [("status", status_with, is_text), ("name", name_with, lambda c: c in TCHAR), ("value", value_with, is_text)]


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("place,plan,allowed", PLACES, ids=[p[0] for p in PLACES])
def test_random_02_every_byte(app, log, place, plan, allowed, at):
    """It passes as RFC 9110 has it, or: 500, a line in the log, nothing of it on the wire."""
    log.allow("WSGI0174", traceback=True)
    one, refused, since = app("answer"), 0, log.mark()
    for byte in range(256):
        c = chr(byte)
        query = quote(json.dumps(dict(plan(c, at), text="body")))
        out = talk(one.port, f"GET {one.url('?' + query)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = out.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        what = f"{place} {byte:#x}: {out[:300]!r}"
        if lines[0].startswith(b"HTTP/1.1 500 "):
            refused += 1
            assert not allowed(c) and b"MA" not in head and b"MARK" not in out, what
            continue
        assert allowed(c) and body == b"body", what
        given = plan(c, at)
        if place == "status":
            assert lines[0].rstrip() == b"HTTP/1.1 " + given["status"].encode("latin-1").rstrip(), what
        else:
            (name, value), = given["headers"]
            found = [line for line in lines if re.match(re.escape(name.encode("latin-1")) + b":", line)]
            assert len(found) == 1, what
            assert found[0].partition(b":")[2].strip(b" \t") == value.encode("latin-1").strip(b" \t"), what
    assert refused == sum(not allowed(chr(byte)) for byte in range(256))
    assert len(log.find("WSGI0174", since)) == refused
