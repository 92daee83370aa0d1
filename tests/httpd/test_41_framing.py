"""No answer can be taken for another one, whatever the application does.

Two requests are sent at once on one connection, the first for an answer that is bad in some way, the second
for a good one, each with a nonce. A strict parser must see each nonce in its own body, or a closed connection.
"""

import gzip
from urllib.parse import quote

import pytest

from conftest import App
from harness import client

VERSIONS = ["1.1", "1.0"]
COUNTS = [0, 1, 4999, 70000]
SIZE = 100000


def pipelined(app, nonce, query, method="GET", version="1.1", body=None, second="GET"):
    """Send both; return (first response or None, its nonce). Checks everything about the second."""
    framing = app("framing")
    ours, theirs = nonce(), nonce()
    keep = [("Connection", "keep-alive")] if version == "1.0" else []
    with framing.conn() as conn:
        conn.send(conn.build(method, framing.url(f"?nonce={ours}&{query}"), keep, body, version) +
                  conn.build(second, framing.url(f"?nonce={theirs}&kind=good"), keep, None, version))
        first = conn.response(method)
        if first is None:
            conn.at_end()
            return None, ours.encode()
        assert theirs.encode() not in first.body and b"EVIL" not in first.body, first
        assert b"HTTP/1." not in first.body, first
        if first.complete and not first.close:
            answer = conn.response(second)
            if answer is None:
                conn.at_end()
                return first, ours.encode()
            assert answer.status == 200 and answer.complete, answer
            assert theirs.encode() in answer.body and ours.encode() not in answer.body, answer
            assert b"EVIL" not in answer.body
        else:
            conn.at_end()
        # And nothing follows.
        if not conn.eof:
            conn.sock.shutdown(1)
            conn.at_end()
        return first, ours.encode()


def whole(first, ours, size):
    assert first.status == 200 and first.complete, first
    assert first.body == (ours + b"." * size)[:max(size, len(ours))]


def cut(first, ours, n):
    """The body did not come whole, and one can see it; or nothing had gone out, and there is an error."""
    assert first is not None
    if first.status in (500, 502):
        assert first.complete and ours not in first.body
        return
    assert first.status == 200, first
    assert not first.complete or first.framing == "close", first
    assert (ours + b"." * SIZE).startswith(first.body)
    assert len(first.body) <= n


@pytest.mark.parametrize("version", VERSIONS)
def test_framing_01_two_good_answers(app, nonce, version):
    first, ours = pipelined(app, nonce, "kind=good", version=version)
    whole(first, ours, 100)
    assert not first.close


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["short", "short-list"])
@pytest.mark.parametrize("n", COUNTS)
def test_framing_02_shorter_than_content_length(app, nonce, log, kind, n, version):
    log.allow("WSGI", traceback=True)
    first, ours = pipelined(app, nonce, f"kind={kind}&size={SIZE}&n={n}", version=version)
    cut(first, ours, n)
    assert first.status == 500 or first.framing == "length"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["long", "long-later", "long-written"])
@pytest.mark.parametrize("size", [34, 100, 20000])
def test_framing_03_longer_than_content_length(app, nonce, log, kind, size, version):
    log.allow("WSGI", traceback=True)
    first, ours = pipelined(app, nonce, f"kind={kind}&size={size}", version=version)
    assert first.status == 200
    assert first.body == (ours + b"." * size)[:size]
    log.wait("WSGI", log=app("framing").log_name)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["raise", "raise-length"])
@pytest.mark.parametrize("n", COUNTS)
def test_framing_04_raising_at_byte_n(app, nonce, log, kind, n, version):
    log.allow("WSGI", traceback=True)
    first, ours = pipelined(app, nonce, f"kind={kind}&size={SIZE}&n={n}", version=version)
    log.wait("WSGI0174", log=app("framing").log_name)
    if n == 0:
        assert first.status == 500
    else:
        cut(first, ours, n)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["kill", "kill-length"])
@pytest.mark.parametrize("n", COUNTS)
def test_framing_05_killed_at_byte_n(own_httpd, nonce, kind, n, version):
    httpd = own_httpd(main="WSGIDaemonProcess g processes=2\nWSGIProcessGroup g\n",
                      vhosts={"daemon": "WSGIScriptAlias /framing @apps@/framing/wsgi.py\n"})
    httpd.log.allow("WSGI0146", "WSGI0563")
    first, ours = pipelined(lambda name: App(httpd, "daemon", name), nonce, f"kind={kind}&size={SIZE}&n={n}", "POST", version, body=b"")
    if n == 0:
        assert first.status == 502
    else:
        cut(first, ours, n)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("value", ["chunked", "Chunked", "identity", "gzip", "gzip, chunked", "chunked, chunked",
                                   "x", "chunked\t", ""])
def test_framing_06_transfer_encoding_of_the_application(app, nonce, log, value, version):
    log.allow("WSGI", traceback=True)
    first, ours = framing_of_garbage(app, nonce, f"kind=coding&value={quote(value)}", version)
    if first.status == 200:
        # The application's chunks are content: what it encoded is not decoded.
        assert first.body.startswith(b"64\r\n" + ours)


def framing_of_garbage(app, nonce, query, version):
    """As pipelined, for a body that contains a fake response itself: it must all stay in one body."""
    framing = app("framing")
    ours, theirs = nonce(), nonce()
    keep = [("Connection", "keep-alive")] if version == "1.0" else []
    with framing.conn() as conn:
        conn.send(conn.build("GET", framing.url(f"?nonce={ours}&{query}"), keep, None, version) +
                  conn.build("GET", framing.url(f"?nonce={theirs}&kind=good"), keep, None, version))
        first = conn.response()
        assert first is not None and theirs.encode() not in first.body
        if first.complete and not first.close:
            answer = conn.response()
            assert answer.status == 200 and answer.complete, answer
            assert theirs.encode() in answer.body and b"EVIL" not in answer.body
        else:
            conn.at_end()
        return first, ours.encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_framing_07_transfer_encoding_beside_content_length(app, nonce, log, version):
    log.allow("WSGI", traceback=True)
    first, ours = pipelined(app, nonce, "kind=coding-length&size=500", version=version)
    assert first.status == 500 or first.body == (ours + b"." * 500)[:500]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", ["100|5", "5|100", "100|100", "100, 5", "100,100", "-1", "+100", "0x64", "1e2",
                                    "", "100 ", "99999999999999999999", "18446744073709551715", "abc"])
def test_framing_08_content_length_doubled_or_no_number(app, nonce, log, values, version):
    log.allow("WSGI", traceback=True)
    first, ours = pipelined(app, nonce, f"kind=lengths&values={quote(values)}", version=version)
    if values.strip() == "100" and first.status == 200:
        assert first.body == (ours + b"." * 100)[:100]
    else:
        assert first.status == 500


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("length", ["", "&length=1"])
def test_framing_09_body_where_none_may_be(app, nonce, log, status, length, version):
    log.allow("WSGI", traceback=True)
    first, _ = pipelined(app, nonce, f"kind=status&status={status.replace(' ', '+')}{length}", version=version)
    assert first.status == int(status[:3]) and first.body == b""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["good", "long", "short&n=5", "raise&n=50", "coding&value=chunked",
                                  "status&status=200+OK&length=1", "status&status=200+OK"])
def test_framing_10_body_on_head(app, nonce, log, kind, version):
    log.allow("WSGI", traceback=True)
    first, _ = pipelined(app, nonce, f"kind={kind}", method="HEAD", version=version)
    assert first is None or first.body == b""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", ["100 Continue", "101 Switching Protocols", "102 Processing",
                                    "103 Early Hints", "199 Odd"])
@pytest.mark.parametrize("length", ["", "&length=1"])
def test_framing_11_interim_status_is_refused(app, nonce, log, status, length, version):
    log.allow("WSGI0174", traceback=True)
    first, _ = pipelined(app, nonce, f"kind=status&status={status.replace(' ', '+')}{length}", version=version)
    assert first.status == 500 and first.interim == []


@pytest.mark.parametrize("name,value", [("Connection", "upgrade"), ("Connection", "keep-alive, x-drop"),
                                        ("Connection", "close"), ("Keep-Alive", "timeout=1000"),
                                        ("Upgrade", "websocket"), ("Trailer", "X-Trailer"), ("TE", "trailers"),
                                        ("Proxy-Connection", "close")])
def test_framing_12_hop_by_hop_fields_are_not_the_application_s(app, nonce, log, name, value):
    log.allow("WSGI", traceback=True)
    first, ours = pipelined(app, nonce, f"kind=hop&name={name}&value={value.replace(' ', '+')}")
    whole(first, ours, 100)
    assert value not in first.all(name)
    assert not first.close


def test_framing_17_tab_in_a_value_is_none_of_this(app, nonce):
    first, ours = pipelined(app, nonce, "kind=hop&name=X-Tab&value=a%09b")
    whole(first, ours, 100)
    assert first.get("X-Tab") == "a\tb"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [10, 16384, 16385, 100000])
def test_framing_13_an_unread_request_body_is_no_request(app, nonce, log, size, version):
    framing = app("framing")
    evil = nonce()
    inner = f"GET {framing.url('?kind=good&nonce=' + evil)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    body = (inner * (size // len(inner) + 1))[:max(size, len(inner))]
    first, ours = pipelined(app, nonce, "kind=unread", "POST", version, body)
    whole(first, ours, 100)
    assert evil.encode() not in first.body


@pytest.mark.parametrize("coded", [False, True])
def test_framing_14_an_unread_body_that_is_never_sent(app, nonce, coded):
    """The answer comes; the connection is not used for another request as long as the body is missing."""
    framing = app("framing")
    ours, evil = nonce(), nonce()
    with framing.conn() as conn:
        fields = [("Transfer-Encoding", "chunked")] if coded else [("Content-Length", "60000")]
        conn.send(conn.build("POST", framing.url(f"?kind=unread&nonce={ours}"), fields))
        inner = conn.build("GET", framing.url(f"?kind=good&nonce={evil}"))
        conn.send(b"%x\r\n%s" % (60000, inner) if coded else inner)
        conn.sock.shutdown(1)
        first = conn.response()
        assert first is None or first.status in (200, 400, 408, 500), first
        conn.at_end()


@pytest.mark.parametrize("query", ["raise&n=4999", "short&n=4999", "raise-length&n=4999"])
def test_framing_15_a_cut_answer_is_cut_through_filters_too(own_httpd, nonce, mode, query):
    """With DEFLATE in the chain a response changes its length, and still must not look complete."""
    httpd = own_httpd(main="WSGIDaemonProcess group\n", modules=("filter", "deflate"),
                      vhosts={"a": "WSGIScriptAlias /framing @apps@/framing/wsgi.py\n"
                                   "AddOutputFilterByType DEFLATE text/plain\n" +
                                   ("WSGIProcessGroup group" if mode == "daemon" else "")})
    httpd.log.allow("WSGI", traceback=True)
    with httpd.conn() as conn:
        rsp = conn.get(f"/framing?kind={query}&size={SIZE}&nonce={nonce()}", [("Accept-Encoding", "gzip")])
        assert rsp.status == 500 or rsp.get("Content-Encoding") == "gzip" and not rsp.complete
        conn.at_end()


def test_framing_18_an_answer_can_be_compressed(own_httpd, nonce, mode):
    httpd = own_httpd(main="WSGIDaemonProcess group\n", modules=("filter", "deflate"),
                      vhosts={"a": "WSGIScriptAlias /framing @apps@/framing/wsgi.py\n"
                                   "AddOutputFilterByType DEFLATE text/plain\n" +
                                   ("WSGIProcessGroup group" if mode == "daemon" else "")})
    ours = nonce()
    with httpd.conn() as conn:
        for _ in range(2):
            rsp = conn.get(f"/framing?kind=good&size=5000&nonce={ours}", [("Accept-Encoding", "gzip")])
            assert rsp.get("Content-Encoding") == "gzip" and rsp.complete
            assert gzip.decompress(rsp.body) == ours.encode() + b"." * (5000 - len(ours))


def test_framing_16_the_client_side_helper_is_not_blind(app):
    """The check above fails where it should: a response that promises more than comes is seen."""
    with app("framing").conn() as conn:
        conn.request("GET", app("framing").url("?kind=good&nonce=N1N"))
        rsp = conn.head()
        conn.sock.shutdown(0)
        conn.buf = conn.buf[:50]
        for _ in conn.pieces(rsp):
            pass
        assert not rsp.complete and isinstance(rsp, client.Response)
