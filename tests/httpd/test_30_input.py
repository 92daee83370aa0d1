"""Request bodies: wsgi.input in all its ways, and bodies that are not what they promise."""

import hashlib
import os
import threading

import pytest

from harness import client, wait

SIZES = [0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 1 << 20, 5 << 20]


def lines(size):
    """size bytes in lines of 0 to 99 bytes; the last one may have no end."""
    out, n = bytearray(), 0
    while len(out) < size:
        out += bytes([97 + n % 26]) * (n % 100) + b"\n"
        n += 7
    return bytes(out[:size])


def ask(app, query, body, coded=None, **kw):
    """Send the body, plain or chunked, to the input application; its answer."""
    fields = [("Content-Type", "application/octet-stream")]
    if coded:
        fields.append(("Transfer-Encoding", "chunked"))
        body = client.chunked(body, coded)
    rsp = app("input").get("?" + query, method="POST", body=body, fields=fields, **kw)
    assert rsp.status == 200, rsp
    return rsp.json()


def same(answer, body):
    assert answer["length"] == len(body)
    assert answer["sha"] == hashlib.sha256(body).hexdigest()
    assert answer["types"] in (["bytes"], [])


@pytest.mark.parametrize("size", SIZES)
def test_input_01_read_all(app, size):
    body = lines(size)
    answer = ask(app, "way=all", body)
    same(answer, body)
    assert answer["content_length"] == str(size)
    assert answer["terminated"] is True


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [1000, 16384, 65536, 1 << 24])
def test_input_02_read_in_pieces(app, size, n):
    body = lines(size)
    same(ask(app, f"way=full&n={n}", body), body)


@pytest.mark.parametrize("size", [0, 1, 100, 20000])
def test_input_03_read_byte_by_byte(app, size):
    body = lines(size)
    same(ask(app, "way=full&n=1", body), body)


@pytest.mark.parametrize("way", ["minus", "none"])
def test_input_04_read_without_a_size(app, way):
    body = lines(70000)
    same(ask(app, f"way={way}", body), body)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["readline", "readlines", "iterate", "next"])
def test_input_05_lines(app, size, way):
    body = lines(size)
    answer = ask(app, f"way={way}", body)
    same(answer, body)
    wanted = [len(line) for line in body.splitlines(True)] + ([0] if way == "readline" else [])
    assert answer["sizes"] == wanted[:1000]


def test_input_06_readline_stops_at_its_limit(app):
    body = b"abcdefgh\nij\n\nklm"
    answer = ask(app, "way=readline&n=4", body)
    same(answer, body)
    assert answer["sizes"] == [4, 4, 1, 3, 1, 3, 0]


def test_input_07_readlines_with_a_hint(app):
    body = b"1234567\n" * 100
    answer = ask(app, "way=readlines&n=20", body)
    assert 20 <= answer["length"] <= len(body) and set(answer["sizes"]) == {8}


def test_input_08_a_line_longer_than_every_buffer(app):
    body = b"x" * 300000 + b"\n" + b"y" * 100000
    answer = ask(app, "way=readline", body)
    same(answer, body)
    assert answer["sizes"] == [300001, 100000, 0]


def test_input_09_all_methods_in_turn(app):
    body = lines(200000)
    same(ask(app, "way=mixed&n=12345", body), body)


@pytest.mark.parametrize("size", [0, 5, 20000])
def test_input_10_reading_past_the_end_gives_nothing(app, size):
    body = lines(size)
    same(ask(app, "way=end&n=10", body), body)


def test_input_11_read_of_zero_bytes(app):
    assert ask(app, "way=zero", b"hello")["length"] == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [None, 1000, 16384])
def test_input_12_chunked(app, size, piece):
    body = lines(size)
    answer = ask(app, "way=full&n=5000", body, coded=piece or max(1, size))
    same(answer, body)
    assert answer["terminated"] is True


def test_input_13_chunked_byte_by_byte_on_the_wire(app):
    one = app("input")
    body = lines(300)
    with one.conn() as conn:
        conn.send(conn.build("POST", one.url("?way=all"), [("Transfer-Encoding", "chunked")]))
        for i in range(0, len(body), 1):
            conn.send(b"1\r\n" + body[i:i + 1] + b"\r\n")
        conn.send(b"0\r\n\r\n")
        same(conn.response().json(), body)
        assert conn.get(app("hello").url()).status == 200


def test_input_14_get_without_a_body(app):
    one = app("input")
    answer = one.get("?way=end&n=5").json()
    assert answer["length"] == 0 and answer["content_length"] is None


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 200000, 1 << 20])
@pytest.mark.parametrize("coded", [False, True])
def test_input_15_a_body_nobody_reads_does_not_harm_the_connection(app, size, coded):
    one, body = app("input"), lines(size)
    fields = [("Transfer-Encoding", "chunked")] if coded else []
    with one.conn() as conn:
        for _ in range(3):
            rsp = conn.get(one.url("?way=nothing"), fields, "POST",
                           client.chunked(body, 5000) if coded else body)
            assert rsp.json()["length"] == 0
            if rsp.close:
                conn.at_end()
                return
        assert conn.get(app("hello").url()).body == b"Hello, world!\n"


@pytest.mark.parametrize("coded", [False, True])
def test_input_16_a_half_read_body_does_not_harm_the_connection(app, notes, coded):
    one, body = app("partial"), lines(100000)
    fields = [("Transfer-Encoding", "chunked")] if coded else []
    with one.conn() as conn:
        rsp = conn.get(one.url(f"?key={notes.key}&n=20000"), fields, "POST",
                       client.chunked(body, 5000) if coded else body)
        assert (rsp.status, rsp.body) == (200, b"20000")
        if rsp.close:
            conn.at_end()
            return
        assert conn.get(app("hello").url()).body == b"Hello, world!\n"


def test_input_17_expect_continue(app, notes):
    one, body = app("partial"), lines(50000)
    with one.conn() as conn:
        conn.send(conn.build("POST", one.url(f"?key={notes.key}&n=50000"),
                             [("Expect", "100-continue"), ("Content-Length", str(len(body)))]))
        line = conn.line()
        assert line.startswith(b"HTTP/1.1 100 "), line
        while conn.line():
            pass
        conn.send(body)
        rsp = conn.response()
        assert (rsp.status, rsp.body, rsp.interim) == (200, b"50000", [])
        assert conn.get(app("hello").url()).status == 200


def test_input_18_expect_continue_of_one_who_does_not_wait(app):
    one, body = app("input"), lines(50000)
    with one.conn() as conn:
        rsp = conn.get(one.url("?way=all"), [("Expect", "100-continue")], "POST", body)
        same(rsp.json(), body)
        assert conn.get(app("hello").url()).status == 200


def test_input_19_early_answer_to_expect_continue_saves_the_upload(app, mode):
    """Where the body is streamed; test_33_buffering.py asks it of daemons too."""
    if mode == "daemon":
        pytest.skip("the body is read first")
    one = app("input")
    with one.conn() as conn:
        conn.send(conn.build("POST", one.url("?way=nothing"),
                             [("Expect", "100-continue"), ("Content-Length", "1000000")]))
        rsp = conn.response()
        assert rsp.json()["length"] == 0
        assert rsp.interim == [], "the body was asked for although nobody read it"
        if rsp.close:
            conn.at_end()


def test_input_20_slow_body_arrives_whole(app, notes):
    one = app("partial")
    with one.conn() as conn:
        conn.send(conn.build("POST", one.url(f"?key={notes.key}&n=10&then=rest"),
                             [("Content-Length", "30000")]) + b"a" * 10)
        conn.send(b"b" * 10000)
        assert conn.quiet(0.2)
        conn.send(b"c" * 19990)
        rsp = conn.response()
        assert (rsp.status, rsp.body) == (200, b"30000")


def threads_are_free(app):
    """The application's thread is free again: more requests than threads are served."""
    for _ in range(12):
        assert app("hello").get().status == 200


@pytest.mark.parametrize("coded", [False, True])
def test_input_21_client_that_vanishes_in_mid_body(app, notes, log, coded):
    one = app("partial")
    log.allow("WSGI", r"AH0[01]\d{3}", traceback=True)
    fields = [("Transfer-Encoding", "chunked")] if coded else [("Content-Length", "1000000")]
    for i in range(8):
        with one.conn() as conn:
            conn.send(conn.build("POST", one.url(f"?key={notes.key}&n=30000&then=rest"), fields) +
                      (b"ffffff\r\n" if coded else b"") + b"x" * 40000)
            if i % 2 == 0:
                wait.until(lambda: notes.read("first") or True, 1)
    threads_are_free(app)
    # An application that did start was told so by an OSError, never by a short body.
    for line in notes.read("rest").splitlines():
        assert "OSError" in line, line


def test_input_22_a_chunked_body_that_breaks(app, notes, log):
    one = app("partial")
    log.allow("WSGI", r"AH0\d{4}", traceback=True)
    with one.conn() as conn:
        conn.send(conn.build("POST", one.url(f"?key={notes.key}&n=100000&then=rest"),
                             [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\nXX\r\n")
        rsp = conn.response()
        assert rsp is None or rsp.status in (400, 500)
        conn.at_end()
    assert "got" not in notes.read("rest")
    threads_are_free(app)


@pytest.mark.parametrize("value", ["-1", "x", "1x", "1, 1", "99999999999999999999", "0x10", ""])
def test_input_23_bad_content_length(app, log, value):
    one = app("input")
    log.allow("WSGI0141", "AH0")
    with one.conn() as conn:
        conn.send(conn.build("POST", one.url("?way=all"), [("Content-Length", value)]) + b"hello")
        rsp = conn.response()
        assert rsp is None or rsp.status in (400, 413)
        conn.at_end()


def test_input_24_length_and_coding_together_are_not_ambiguous(app, nonce, log):
    """RFC 9112 6.3: chunked wins, or 400; in no case is the rest a second request of the client's."""
    one, evil = app("echo"), nonce()
    log.allow("AH0")
    with one.conn() as conn:
        inner = f"GET {one.url('?' + evil)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        conn.send(conn.build("POST", one.url("?first"), [("Content-Length", str(5 + len(inner))),
                                                         ("Transfer-Encoding", "chunked")]) +
                  b"0\r\n\r\n" + inner)
        first = conn.response()
        assert first.status == 400 or first.close


def test_input_25_limit_request_body(own_httpd, mode):
    httpd = own_httpd(main="WSGIDaemonProcess group\nLimitRequestBody 50000\n",
                      vhosts={"a": "WSGIScriptAlias /input @apps@/input/wsgi.py\n" +
                                   ("WSGIProcessGroup group" if mode == "daemon" else "")})
    httpd.log.allow("AH", "WSGI", traceback=True)
    rsp = httpd.fetch("/input?way=all", method="POST", body=b"x" * 50000)
    assert rsp.json()["length"] == 50000
    rsp = httpd.fetch("/input?way=all", method="POST", body=b"x" * 50001)
    assert rsp.status == 413
    rsp = httpd.fetch("/input?way=all", method="POST", body=client.chunked(b"x" * 60000, 1000),
                      fields=[("Transfer-Encoding", "chunked")])
    assert rsp.status in (413, 500)


def test_input_26_many_uploads_at_once(app):
    body, failures = lines(1 << 20), []

    def upload():
        try:
            same(ask(app, "way=full&n=10000", body), body)
        except BaseException as e:  # pylint: disable=broad-except
            failures.append(e)
    threads = [threading.Thread(target=upload) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_input_27_answer_larger_than_buffers_before_the_body_is_read(app, site):
    """Both directions full at once: neither side may wait for the other for ever."""
    path = os.path.join(site.path("apps"), "crossing")
    os.makedirs(path, exist_ok=True)
    script = os.path.join(path, "wsgi.py")
    with open(script, "w", encoding="ascii") as f:
        f.write("def application(environ, start_response):\n"
                "    write = start_response('200 OK', [('Content-Type', 'text/plain')])\n"
                "    for _ in range(200):\n"
                "        write(b'x' * 65536)\n"
                "    return [b'%d' % len(environ['wsgi.input'].read())]\n")
    body = b"y" * (8 << 20)
    with app("crossing").conn(timeout=60) as conn:
        sender = threading.Thread(target=conn.request, args=("POST", "/folder/crossing/wsgi.py", (), body))
        sender.start()
        rsp = conn.response()
        sender.join()
        assert rsp.complete and rsp.body[200 * 65536:] == b"%d" % len(body)


SITE = {"vhost": "    WSGIScriptAlias /folder @apps@\n"}
