"""The harness itself: a parser that would let everything pass would prove nothing."""

import contextlib
import os
import socket
import threading

import pytest

from harness import client, procs, server
from harness.errorlog import ErrorLog


def feed(data, method="GET"):
    """Parse what a fake server says, byte by byte."""
    ours, theirs = socket.socketpair()

    def say():
        with theirs, contextlib.suppress(BrokenPipeError):
            for i in range(len(data)):
                theirs.send(data[i:i + 1])
    talker = threading.Thread(target=say)
    talker.start()
    try:
        with client.Conn(0, sock=ours) as conn:
            rsp = conn.response(method)
            return rsp, conn.buf
    finally:
        talker.join()


GOOD = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", b"hi", "length"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "GET", b"hi", "chunked"),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi", "GET", b"hi", "close"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD", b"", "none"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"", "none"),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", b"", "none"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", b"", "length"),
    (b"HTTP/1.1 299 \r\nX-Y:\t \r\nContent-Length: 0\r\n\r\n", "GET", b"", "length"),
]


@pytest.mark.parametrize("data,method,body,framing", GOOD)
def test_harness_01_parser_takes_what_is_right(data, method, body, framing):
    rsp, rest = feed(data, method)
    assert (rsp.body, rsp.framing, rsp.complete, rest) == (body, framing, True, b"")


BAD = [
    b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhix\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"hello\r\n",
]


@pytest.mark.parametrize("data", BAD)
def test_harness_02_parser_refuses_what_is_wrong(data):
    with pytest.raises(client.ProtocolError):
        feed(data)


CUT = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi",
]


@pytest.mark.parametrize("data", CUT)
def test_harness_03_parser_sees_truncation(data):
    rsp, _ = feed(data)
    assert not rsp.complete and rsp.body == b"hi"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nA: b\r\n"])
def test_harness_04_no_head_is_no_response(data):
    assert feed(data)[0] is None


def test_harness_05_bytes_behind_the_end_are_noticed():
    ours, theirs = socket.socketpair()
    theirs.send(b"HTTP/1.1 204 No Content\r\n\r\nhello")
    theirs.close()
    with client.Conn(0, sock=ours) as conn:
        assert conn.response().complete
        with pytest.raises(AssertionError, match="hello"):
            conn.at_end()


def test_harness_06_log_complains_about_what_was_not_allowed(tmp_path):
    log = ErrorLog(str(tmp_path))
    stamp = "[Sun Nov 23 00:45:00.123456 2026] "
    (tmp_path / "x.log").write_text(
        stamp + "[core:notice] [pid 1:tid 2] AH00094: fine\n" +
        stamp + "[wsgi:error] [pid 1:tid 2] [client 1.2.3.4:5] WSGI0174: bad\n" +
        stamp + "[wsgi:error] [pid 1:tid 2] [client 1.2.3.4:5] Traceback (most recent call last):\n" +
        stamp + "[wsgi:error] [pid 1:tid 2] [client 1.2.3.4:5] KeyError: 'x'\n" +
        "Fatal Python error: raw\n" + stamp + "[wsgi:warn] [pid 1] unfinished")
    log.allow("WSGI0174", traceback=True)
    assert [line.full for line in log.unexpected()] == ["Fatal Python error: raw"]
    assert log.unexpected() == []
    with (tmp_path / "x.log").open("a") as f:
        f.write(" line\n")
    assert len(log.unexpected()) == 1


def test_harness_07_a_plain_httpd_starts_serves_and_leaves_nothing(own_httpd):
    httpd = own_httpd(wsgi=False, vhosts={"a": "DocumentRoot @tmp@", "b": "DocumentRoot @apps@"})
    with open(httpd.path("tmp", "x.txt"), "w", encoding="ascii") as f:
        f.write("hello")
    os.chmod(httpd.path("tmp", "x.txt"), 0o644)
    rsp = httpd.fetch("/x.txt", "a")
    assert (rsp.status, rsp.body, rsp.complete) == (200, b"hello", True)
    assert httpd.fetch("/x.txt", "b").status == 404
    assert httpd.pid in httpd.processes() and httpd.children()
    httpd.graceful()
    assert httpd.fetch("/x.txt", "a").status == 200
    httpd.stop()
    assert not httpd.processes()


def test_harness_08_a_bad_configuration_is_reported(own_httpd):
    text = own_httpd.make(wsgi=False, main="NoSuchDirective On").fails_to_start()
    assert "NoSuchDirective" in text


def test_harness_09_processes_are_found_whoever_their_parent_is(tmp_path):
    import subprocess
    marker = f"MW_TEST_SERVER={tmp_path}"
    with subprocess.Popen(["sh", "-c", "setsid sleep 60 & echo $!"], stdout=subprocess.PIPE, text=True,
                          env={"MW_TEST_SERVER": str(tmp_path), "PATH": os.environ["PATH"]}) as sh:
        pid = int(sh.stdout.readline())
        sh.wait()
        try:
            assert pid in procs.scan(marker + "\0", str(tmp_path) + "/")
        finally:
            procs.kill(pid)


def test_harness_10_every_application_directory_has_a_script():
    assert [n for n in os.listdir(server.APPS)
            if not os.path.exists(os.path.join(server.APPS, n, "wsgi.py"))] == []
