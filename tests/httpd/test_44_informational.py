"""103 Early Hints: what a client gets of them, and what it never gets."""

import re
import subprocess
from urllib.parse import quote

import pytest

from conftest import STREAMED
from harness import server

HTTP2 = server.MPM != "prefork"  # mod_http2 does not work with it
SITE = {"options": STREAMED, "modules": ("http2",) if HTTP2 else (),
        "vhost": "    Protocols h2c http/1.1\n    H2EarlyHints on\n" if HTTP2 else ""}

LINKS = [("Link", "</a.css>; rel=preload; as=style"), ("Link", "</b.js>; rel=preload; as=script")]


def is_whole(rsp, body=b"answer"):
    assert rsp.status == 200 and rsp.complete and rsp.body == body, rsp
    assert rsp.get("X-Own") == "1" and not rsp.all("Link"), rsp


def is_hint(interim, fields=None):
    """Exactly what the application said, nothing of the server's own."""
    assert (interim.version, interim.status, interim.reason) == ("1.1", 103, "Early Hints")
    assert interim.fields == (LINKS if fields is None else fields)


def test_informational_01_hints_come_before_the_answer(app):
    rsp = app("hints").get("?way=plain")
    assert len(rsp.interim) == 1
    is_hint(rsp.interim[0])
    is_whole(rsp)


def test_informational_02_they_do_not_wait_for_the_answer(app, notes):
    hints = app("hints")
    with hints.conn() as conn:
        conn.request("GET", hints.url(f"?way=wait&key={notes.key}"))
        is_hint(conn._one_head())
        assert conn.quiet(0.2)
        notes.tell("go")
        is_whole(conn.response())


def test_informational_03_http_1_0_gets_none(app):
    rsp = app("hints").get("?way=plain", version="1.0")
    assert rsp.interim == []
    is_whole(rsp)


def test_informational_04_none_at_all(app):
    rsp = app("hints").get("?way=plain&n=0")
    assert rsp.interim == []
    is_whole(rsp)


def test_informational_05_pipelined_requests_keep_their_own(app):
    hints = app("hints")
    with hints.conn() as conn:
        conn.send(b"".join(conn.build("GET", hints.url(f"?way=plain&n={n}")) for n in (2, 0, 1)))
        for n in (2, 0, 1):
            rsp = conn.response()
            assert len(rsp.interim) == n
            is_whole(rsp)


@pytest.mark.parametrize("size", [5, 100000])
def test_informational_06_beside_100_continue(app, size):
    hints = app("hints")
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with hints.conn() as conn:
        conn.send(conn.build("POST", hints.url("?way=read"),
                             [("Expect", "100-continue"), ("Content-Length", str(size))]))
        is_hint(conn._one_head())
        assert conn._one_head().status == 100
        conn.send(body)
        rsp = conn.response("POST")
        assert rsp.interim == []
        is_whole(rsp, body)


def test_informational_07_before_an_answer_without_a_body(app):
    hints = app("hints")
    with hints.conn() as conn:
        for _ in range(2):
            rsp = conn.get(hints.url("?way=plain"), method="HEAD")
            assert rsp.status == 200 and rsp.body == b"" and rsp.get("Content-Length") == "6"
            is_hint(rsp.interim[0])


def test_informational_08_before_an_error(app, log):
    log.allow("WSGI0174", traceback=True)
    rsp = app("hints").get("?way=raise")
    assert rsp.status == 500 and rsp.complete and not rsp.all("Link")
    is_hint(rsp.interim[0])


def test_informational_09_between_two_start_responses(app):
    rsp = app("hints").get("?way=twice")
    assert (rsp.status, rsp.get("Content-Type"), rsp.body) == (404, "text/plain", b"answer")
    assert len(rsp.interim) == 2
    is_hint(rsp.interim[1], [("Link", "</c.png>; rel=preload; as=image")])


def test_informational_10_what_comes_after_the_first_byte_is_dropped(app):
    """The application sends hints before each of six blocks; five of them are too late."""
    rsp = app("hints").get("?way=late&n=0")
    assert len(rsp.interim) == 1
    is_whole(rsp)


@pytest.mark.parametrize("n,status", [(15, 200), (16, 200), (17, 500)])
def test_informational_11_not_more_than_sixteen(app, log, n, status):
    if status == 500:
        log.allow("WSGI0174", traceback=True)
    rsp = app("hints").get(f"?way=plain&n={n}")
    assert rsp.status == status and len(rsp.interim) == min(n, 16)
    for interim in rsp.interim:
        is_hint(interim)


@pytest.mark.parametrize("name,value", [
    ("Link", "a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), ("Link", "a\nX: y"), ("Link", "a\0b"),
    ("Link", "a\rb"), ("Link", "\x7f"), ("Li nk", "a"), ("Link:", "a"), ("", "a"), ("L\xe9nk", "a"),
    ("Content-Length", "0"), ("Content-Length", "6"), ("Transfer-Encoding", "chunked"), ("Connection", "close"),
    ("Upgrade", "h2c"), ("Keep-Alive", "timeout=1"), ("Trailer", "X"), ("TE", "trailers")])
def test_informational_12_nothing_of_a_wrong_one_is_sent(app, log, name, value):
    log.allow("WSGI0174", traceback=True)
    hints = app("hints")
    with hints.conn() as conn:
        rsp = conn.get(hints.url(f"?way=plain&name={quote(name, encoding='latin-1')}"
                                 f"&value={quote(value, encoding='latin-1')}"))
        assert rsp.status == 500 and rsp.complete and rsp.interim == []
        conn.at_end()


@pytest.mark.parametrize("value", ["\xe9\xff", "a\tb", "", "x" * 8000])
def test_informational_13_odd_but_allowed_values(app, value):
    rsp = app("hints").get(f"?way=plain&name=X-Odd&value={quote(value, encoding='latin-1')}")
    is_hint(rsp.interim[0], [("X-Odd", value)])
    is_whole(rsp)


def test_informational_14_a_worker_dies_behind_its_hints(own_httpd, notes):
    """The request is tried once more; its hints come twice, which does no harm."""
    httpd = own_httpd(main="WSGIDaemonProcess g processes=2\nWSGIProcessGroup g\n",
                      vhosts={"daemon": "WSGIScriptAlias /hints @apps@/hints/wsgi.py\n"})
    httpd.log.allow("WSGI0146", "WSGI0563")
    notes.folder = httpd.path("tmp")
    rsp = httpd.fetch(f"/hints?way=kill&key={notes.key}&n=10")
    assert len(rsp.interim) == 16
    for interim in rsp.interim:
        is_hint(interim)
    is_whole(rsp)


# -- HTTP/2, and a proxy in between

def h2(port, path):
    """The header blocks of one stream as lists of (name, value), and the body."""
    out = subprocess.run(["nghttp", "-v", "--no-dep", "--no-push", f"http://127.0.0.1:{port}{path}"],
                         capture_output=True, timeout=30, check=True).stdout.decode("latin-1")
    blocks = []
    for name, value in re.findall(r"\] recv \(stream_id=1\) (:?[^:\n]+): (.*)", out):
        if name == ":status":
            blocks.append([])
        blocks[-1].append((name, value))
    return blocks, "".join(re.findall(r"^(answer)", out, re.MULTILINE))


@pytest.mark.skipif(not HTTP2, reason="no HTTP/2 here")
def test_informational_15_http_2(app):
    hints = app("hints")
    blocks, body = h2(hints.port, hints.url("?way=plain&n=2"))
    assert [block[0] for block in blocks] == [(":status", "103"), (":status", "103"), (":status", "200")]
    assert "</a.css>" in dict(blocks[0])["link"]
    assert not any(name == "link" for name, _ in blocks[2]) and body == "answer"


def test_informational_16_behind_a_proxy(own_httpd, mode, notes):
    httpd = own_httpd(main="WSGIDaemonProcess g\n", modules=("proxy", "proxy_http"), vhosts={
        "front": "ProxyPass / http://127.0.0.1:@port:back@/\n",
        "back": "KeepAlive Off\nWSGIScriptAlias /hints @apps@/hints/wsgi.py\n" + "WSGIProcessGroup g\n" * (mode == "daemon")})
    notes.folder = httpd.path("tmp")
    with httpd.conn("front") as conn:
        conn.request("GET", f"/hints?way=wait&key={notes.key}")
        interim = conn._one_head()
        assert interim.status == 103 and interim.all("Link") == [value for _, value in LINKS]
        notes.tell("go")
        rsp = conn.response()
        assert rsp.status == 200 and rsp.body == b"answer" and not rsp.all("Link")
