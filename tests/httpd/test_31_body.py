"""Request bodies that httpd limits, changes or loses on the way, and those that are very long."""

import gzip
import json
import os
import zlib

import pytest

from conftest import STREAMED
from harness import client

VHOST = """
    WSGIScriptAlias /limit @apps@/counter/wsgi.py
    <Location /limit>
        LimitRequestBody 50000
    </Location>
    WSGIScriptAlias /inflate @apps@/counter/wsgi.py
    <Location /inflate>
        SetInputFilter DEFLATE
    </Location>
    WSGIScriptAlias /huge @apps@/counter/wsgi.py
    <Location /huge>
        LimitRequestBody 0
    </Location>
    RequestReadTimeout header=20 body=1,MinRate=100000
"""
SITE = {"options": STREAMED, "vhost": VHOST, "modules": ("filter", "deflate", "reqtimeout")}

HUGE = (4 << 30) + (100 << 20) + 7


@pytest.fixture
def port(site, mode):
    return site.port(mode)


@pytest.mark.parametrize("size,status", [(0, 200), (49999, 200), (50000, 200), (50001, 413), (5 << 20, 413)])
def test_body_01_limit_and_a_length(port, log, size, status):
    log.allow("WSGI0142" if status == 413 else "nothing")
    rsp = client.fetch(port, "/limit", method="POST", body=b"x" * size)
    assert rsp.status == status and rsp.complete
    if status == 200:
        assert rsp.json()["count"] == size


@pytest.mark.parametrize("piece", [1000, 50000])
@pytest.mark.parametrize("size,whole", [(49999, True), (50000, True), (50001, False), (200000, False)])
def test_body_02_limit_and_chunks(port, log, size, whole, piece):
    log.allow("AH01587", "WSGI0174", traceback=True)
    coded, data = [("Transfer-Encoding", "chunked")], client.chunked(b"x" * size, piece)
    rsp = client.fetch(port, "/limit?catch=0", method="POST", body=data, fields=coded)
    assert rsp.status == (200 if whole else 413) and rsp.complete
    rsp = client.fetch(port, "/limit", method="POST", body=data, fields=coded)
    assert rsp.status == (200 if whole else 413) and rsp.complete  # httpd has said so, whoever catches what


def test_body_03_what_is_over_the_limit_is_no_request(port, log, nonce):
    evil = nonce()
    log.allow("AH01587")
    request = f"GET /echo?{evil} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with client.Conn(port) as conn:
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [b"x" * 50000] + [request] * 100)
        conn.send(conn.build("POST", "/limit", [("Transfer-Encoding", "chunked")]) + body + b"0\r\n\r\n")
        rsp = conn.response("POST")
        assert rsp.status == 413 and rsp.close
        assert conn.response() is None and evil.encode() not in conn.buf


def test_body_04_broken_chunks_are_no_request(port, log, nonce):
    evil = nonce()
    log.allow("AH01589", "AH01590", "AH10122")
    request = f"GET /echo?{evil} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with client.Conn(port) as conn:
        conn.send(conn.build("POST", "/counter", [("Transfer-Encoding", "chunked")]) +
                  b"5\r\nhello\r\nzz\r\n" + request * 10)
        rsp = conn.response("POST")
        assert rsp.close and (rsp.status != 200 or rsp.json()["error"])
        assert conn.response() is None and evil.encode() not in conn.buf


def test_body_05_inflated(port):
    plain = os.urandom(1000) * 300
    fields = [("Content-Encoding", "gzip")]
    packed = gzip.compress(plain)
    assert len(packed) * 10 < len(plain)
    for coded in (False, True):
        extra, data = ([("Transfer-Encoding", "chunked")], client.chunked(packed, 100)) if coded else ([], packed)
        rsp = client.fetch(port, "/inflate?crc", method="POST", body=data, fields=fields + extra)
        answer = rsp.json()
        assert (answer["count"], answer["crc"]) == (len(plain), zlib.crc32(plain))
        assert answer["content_length"] is None  # it was that of other bytes


def test_body_06_inflated_by_nobody(port):
    """The filter is there and has nothing to do; and without it nothing is done."""
    plain = b"abc" * 30000
    answer = client.fetch(port, "/inflate", method="POST", body=plain).json()
    assert (answer["count"], answer["content_length"]) == (90000, "90000")
    packed = gzip.compress(plain)
    rsp = client.fetch(port, "/counter?crc", method="POST", body=packed, fields=[("Content-Encoding", "gzip")])
    answer = rsp.json()
    assert (answer["count"], answer["crc"]) == (len(packed), zlib.crc32(packed))
    assert answer["content_length"] == str(len(packed)) and answer["encoding"] == "gzip"


def test_body_07_inflated_small(port):
    plain = b"a" * 9000
    rsp = client.fetch(port, "/inflate?crc", method="POST", body=gzip.compress(plain),
                       fields=[("Content-Encoding", "gzip")])
    assert rsp.json()["count"] == 9000


def test_body_08_inflated_broken(port, log):
    log.allow("AH01", "WSGI0174", traceback=True)
    packed = gzip.compress(os.urandom(100000))
    with client.Conn(port) as conn:
        conn.request("POST", "/inflate?catch=0", [("Content-Encoding", "gzip")], packed[:200] + b"\0" * 20000)
        rsp = conn.response("POST")
        assert rsp.status in (400, 500)


@pytest.mark.parametrize("size", [100, 100000])
def test_body_09_a_body_that_stops_is_408(port, log, size):
    log.allow("AH01382", "WSGI0174", "WSGI0126", traceback=True)
    for catch in (0, 1):
        with client.Conn(port) as conn:
            conn.send(conn.build("POST", f"/counter?catch={catch}", [("Content-Length", str(size))]) + b"x" * (size // 2))
            rsp = conn.response("POST")
            assert rsp.close
            if rsp.status != 408:
                assert catch and "timed out" in rsp.json()["error"] or "timeout" in rsp.json()["error"]
            assert conn.response() is None


@pytest.mark.parametrize("first", ["", "&first=1"])
def test_body_10_expect_and_chunks(port, first):
    """100 Continue when the application reads; none where its answer has begun before."""
    with client.Conn(port) as conn:
        conn.send(conn.build("POST", "/counter?n=100" + first, [("Transfer-Encoding", "chunked"),
                                                                ("Expect", "100-continue")]))
        if first:
            rsp = conn.head("POST")
            assert rsp.status == 200 and not rsp.interim
        else:
            assert conn.line() == b"HTTP/1.1 100 Continue" and conn.line() == b""
        conn.send(client.chunked(b"x" * 300, 7))
        rsp = rsp if first else conn.head("POST")
        for _ in conn.pieces(rsp):
            pass
        assert json.loads(rsp.body)["count"] == 300 and not rsp.interim


def test_body_11_expect_and_a_small_body_left_unread(port):
    with client.Conn(port) as conn:
        conn.send(conn.build("POST", "/counter?unread", [("Content-Length", "100"), ("Expect", "100-continue")]))
        rsp = conn.response("POST")
        assert rsp.status == 200 and not rsp.interim
        conn.at_end() if rsp.close else conn.send(b"x" * 100)
        assert rsp.close or conn.get("/echo?x").body == b"x"


def test_body_12_length_beyond_32_bits(port):
    """Announced, and neither sent nor read."""
    for size in (1 << 31, 1 << 32, HUGE, (1 << 63) - 1):
        with client.Conn(port) as conn:
            conn.send(conn.build("POST", "/huge?unread", [("Content-Length", str(size)), ("Expect", "100-continue")]))
            rsp = conn.response("POST")
            assert rsp.status == 200 and rsp.json()["content_length"] == str(size)


@pytest.mark.skipif(not os.environ.get("MW_LONG"), reason="takes half a minute; MW_LONG=1 runs it")
def test_body_13_more_than_4_gb(port, site):
    path = site.path("sparse")
    with open(path, "wb") as f:
        f.truncate(HUGE)
    with client.Conn(port, timeout=110) as conn, open(path, "rb") as f:
        conn.send(conn.build("POST", "/huge", [("Content-Length", str(HUGE))]))
        conn.sock.sendfile(f)
        rsp = conn.response("POST")
        assert rsp.status == 200 and rsp.json()["count"] == HUGE and rsp.json()["error"] is None
        assert conn.get("/echo?x").body == b"x"
