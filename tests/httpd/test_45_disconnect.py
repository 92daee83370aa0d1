"""environ['wsgi.client_disconnected']: told in time, told to nobody else, and no byte is taken for it."""

import contextlib
import hashlib
import socket
import ssl
import subprocess

import pytest

from conftest import STREAMED
from harness import client, server, wait

HTTP2 = server.MPM != "prefork"  # mod_http2 does not work with it
SITE = {"options": STREAMED, "modules": ("http2",) if HTTP2 else (),
        "main": 'LogLevel wsgi:debug\nLogFormat "%>s %U%q" short\nCustomLog logs/access.txt short\n',
        "vhost": "    CustomLog logs/access.txt short\n" + "    Protocols h2c http/1.1\n" * HTTP2}

LEFT = "the client went away"


def reset(conn):
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    conn.close()


def half(conn):
    conn.sock.shutdown(socket.SHUT_WR)


@pytest.fixture
def gone(app, notes):
    """The application, and the URL of a request that asks in this way."""
    one = app("gone")
    one.ask = lambda way: one.url(f"?key={notes.key}&way={way}")
    return one


def is_logged(site, notes, status):
    def line():
        with open(site.path("logs", "access.txt"), encoding="ascii") as f:
            return [text for text in f if notes.key in text]
    assert wait.until(line)[0].startswith(f"{status} ")


def told_once(log, since):
    found = wait.until(lambda: log.find(LEFT, since))
    assert len(found) == 1 and found[0].level == "debug"
    assert not [line for line in log.lines[since:] if line.is_traceback and line.loud]


@pytest.mark.parametrize("leave", [client.Conn.close, reset])
@pytest.mark.parametrize("way", ["nothing", "answer", "write", "raise", "thread"])
def test_disconnect_01_before_the_answer(site, gone, notes, log, way, leave):
    since = log.mark()
    conn = gone.conn()
    conn.request("GET", gone.ask(way))
    notes.wait("asking")
    assert not notes.read("heard")
    leave(conn)
    notes.wait("heard")
    is_logged(site, notes, 499)
    told_once(log, since)


@pytest.mark.parametrize("leave", [client.Conn.close, reset])
def test_disconnect_02_in_the_middle_of_the_answer(site, gone, notes, log, leave):
    since = log.mark()
    conn = gone.conn()
    conn.request("GET", gone.ask("stream"))
    assert next(conn.pieces(conn.head())) == b"first\n"
    notes.wait("asking")
    leave(conn)
    notes.wait("heard")
    notes.wait("closed")
    is_logged(site, notes, 499)
    told_once(log, since)


@pytest.mark.parametrize("way", ["nothing", "thread", "stream"])
def test_disconnect_03_a_client_that_stays(site, gone, notes, way):
    with gone.conn() as conn:
        conn.request("GET", gone.ask(way))
        notes.wait("asking")
        notes.tell("stop")
        rsp = conn.response()
        assert rsp.status == 200 and rsp.complete
        assert rsp.body == (b"first\nsecond\nthird\n" if way == "stream" else b"there")
        assert conn.get("/hello").status == 200
    assert not notes.read("heard")
    is_logged(site, notes, 200)


def test_disconnect_04_requests_that_wait_are_not_touched(gone, notes):
    """Pipelined: what the client has sent already is no sign that it left, and is still there."""
    with gone.conn() as conn:
        conn.send(conn.build("GET", gone.ask("answer")) + conn.build("POST", "/echo", body=b"second") +
                  conn.build("POST", "/echo", body=b"third"))
        notes.wait("asking")
        notes.tell("stop")
        assert [conn.response("POST").body for _ in range(3)] == [b"there", b"second", b"third"]


def test_disconnect_05_requests_that_wait_do_not_hide_the_end(gone, notes, log):
    since = log.mark()
    conn = gone.conn()
    conn.send(conn.build("GET", gone.ask("nothing")) + conn.build("GET", "/hello"))
    notes.wait("asking")
    conn.close()
    notes.wait("heard")
    told_once(log, since)


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("size", [1, 5000, 16384, 16385, 65536, 300000])
def test_disconnect_06_no_byte_of_a_body_is_lost(gone, size, coded):
    body = bytes(i * 31 % 251 for i in range(size))
    with gone.conn() as conn:
        if coded:
            conn.send(conn.build("POST", gone.ask("read"), [("Transfer-Encoding", "chunked")]) +
                      client.chunked(body, 7001))
        else:
            conn.request("POST", gone.ask("read"), body=body)
        rsp = conn.response("POST")
        assert rsp.status == 200 and rsp.text == f"{hashlib.sha256(body).hexdigest()} False"
        assert conn.get("/hello").status == 200


@pytest.mark.parametrize("sent", [0, 5, 40000, 100000])
def test_disconnect_07_a_body_that_nobody_reads(site, gone, notes, log, sent):
    """Whole or in part, it does not hide that its sender has gone."""
    since = log.mark()
    conn = gone.conn()
    conn.send(conn.build("POST", gone.ask("nothing"), [("Content-Length", "100000")]) + b"x" * sent)
    notes.wait("asking")
    conn.close()
    notes.wait("heard")
    is_logged(site, notes, 499)
    told_once(log, since)


def test_disconnect_08_half_of_a_connection_counts_as_none(site, gone, notes, log):
    """Only asking makes a difference: who has closed its sending side cannot be told from who has left."""
    with gone.conn() as conn:
        conn.request("GET", gone.ask("nothing"))
        half(conn)
        notes.wait("heard")
        conn.at_end()
    is_logged(site, notes, 499)


def test_disconnect_09_no_thread_stays_behind(gone, notes, log):
    for _ in range(12):  # more than there are threads
        with contextlib.closing(gone.conn()) as conn:
            conn.request("GET", gone.ask("nothing"))
    wait.until(lambda: notes.read("heard").count("after") == 12, 20, "12 requests that heard it")
    assert client.fetch(gone.port, "/hello").status == 200


# -- other kinds of connections

@pytest.mark.skipif(not HTTP2, reason="no HTTP/2 here")
@pytest.mark.parametrize("stays", [False, True])
def test_disconnect_10_http_2(gone, notes, stays):
    nghttp = subprocess.Popen(["nghttp", "--no-dep", f"http://127.0.0.1:{gone.port}{gone.ask('answer')}"],
                              stdout=subprocess.PIPE)
    with nghttp:
        notes.wait("asking")
        if stays:
            notes.tell("stop")
            assert nghttp.communicate(timeout=15)[0] == b"there"
            assert not notes.read("heard")
        else:
            nghttp.kill()
            notes.wait("heard")


def certificate(folder):
    """A self-signed one: the options that name it."""
    names = [f"{folder}/cert.pem", f"{folder}/key.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=test.invalid", "-out", names[0], "-keyout", names[1]], check=True, capture_output=True)
    return "SSLEngine on\nSSLCertificateFile {}\nSSLCertificateKeyFile {}\n".format(*names)


@pytest.fixture
def tls(own_httpd, mode, notes):
    """A function that opens a connection of TLS."""
    httpd = own_httpd.make(main="WSGIDaemonProcess g threads=2\nLogLevel ssl:error\nSSLSessionCache none\n",
                           modules=("ssl",),
                           vhosts={"tls": "WSGIScriptAlias / @apps@/gone/wsgi.py\n" +
                                          "WSGIProcessGroup g\n" * (mode == "daemon")})
    httpd.vhosts["tls"].text += certificate(httpd.path("conf"))
    httpd.start()
    notes.folder = httpd.path("tmp")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def connect():
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", httpd.port("tls"))))
        return client.Conn(httpd.port("tls"), sock=sock)
    return connect


@pytest.mark.parametrize("politely", [False, True])
def test_disconnect_11_tls(tls, notes, politely):
    conn = tls()
    conn.request("GET", f"/?key={notes.key}&way=answer")
    notes.wait("asking")
    if politely:  # with close_notify, whose answer nobody waits for
        conn.sock.settimeout(0.1)
        with contextlib.suppress(OSError):
            conn.sock.unwrap()
    conn.close()
    notes.wait("heard")


def test_disconnect_12_tls_with_more_to_read(tls, notes):
    with tls() as conn:
        conn.send(b"".join(conn.build("GET", f"/?key={notes.key}&way=answer") for _ in range(2)))
        notes.wait("asking")
        notes.tell("stop")
        assert [conn.response().body for _ in range(2)] == [b"there", b"there"]
    assert not notes.read("heard")
