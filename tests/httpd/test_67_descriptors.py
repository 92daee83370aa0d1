"""Processes that have as many descriptors as they may: what they cannot do, and what they do all the same."""

import contextlib
import os

import pytest

from harness import client, procs, server
from test_50_daemon import ready
from test_51_overload import one_group


def counted(httpd, method, n, header=0):
    fields = [("X-Large", "x" * header)] if header else []
    return httpd.fetch("/counter?crc", method=method, body=b"b" * n, fields=fields)


def single(own_httpd):
    """One worker, with a connection that is kept."""
    config = one_group("threads=1")
    config["main"] += "LimitRequestFieldSize 100000\n"
    httpd = own_httpd(**config)
    worker, = ready(httpd, 1)
    assert counted(httpd, "POST", 10).json()["count"] == 10
    return httpd, worker


# -- of a worker

@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_descriptors_01_an_upload(own_httpd, method):
    """In memory, on a disk: the worker cannot be given the file, and gets the bytes. Nothing is lost of it, and no
    application is called twice."""
    httpd, worker = single(own_httpd)
    sizes = [16385, 65536, 300001, 3 << 20]
    expected = {n: counted(httpd, method, n).json() for n in sizes}
    assert not httpd.log.find("WSGI0714")
    with procs.no_more_files(worker):
        httpd.log.allow("WSGI0714")
        for n in sizes:
            assert counted(httpd, method, n).json() == expected[n] and expected[n]["count"] == n
        assert counted(httpd, method, 16384).json()["count"] == 16384  # rides along with its request
        found = httpd.log.find("WSGI0714")
        assert len(found) == len(sizes) and found[0].level == "warn"
        assert "worker 0 of group 'g'" in found[0].text and "ulimit -n" in found[0].text
    for n in sizes:
        assert counted(httpd, method, n).json() == expected[n]
    assert len(httpd.log.find("WSGI0714")) == len(sizes)


def test_descriptors_02_an_upload_that_nobody_reads(own_httpd):
    """The connection is as good as before."""
    httpd, worker = single(own_httpd)
    with procs.no_more_files(worker):
        httpd.log.allow("WSGI0714")
        for _ in range(5):
            rsp = httpd.fetch("/counter?unread", method="POST", body=b"x" * 300000)
            assert rsp.status == 200 and rsp.json()["count"] == 0
            assert counted(httpd, "POST", 10).json()["count"] == 10
    assert set(httpd.workers()) == {worker}


@pytest.mark.parametrize("header", [30000, 40000, 90000])
def test_descriptors_03_an_upload_with_a_large_header(own_httpd, header):
    """A request that is too large for one write with the file never gets one."""
    httpd, worker = single(own_httpd)
    assert counted(httpd, "POST", 300000, header).json()["count"] == 300000
    with procs.no_more_files(worker):
        httpd.log.allow("WSGI0714")
        assert counted(httpd, "POST", 300000, header).json()["count"] == 300000
    assert len(httpd.log.find("WSGI0714")) == (header < 32000)


# -- of an httpd child

@contextlib.contextmanager
def starved(httpd):
    """A client's connection to the one child, which can get no descriptor more."""
    child, = httpd.children()
    with client.Conn(httpd.port()) as c:
        c.request("GET", "/counter")
        assert c.response().status == 200
        with procs.no_more_files(child):
            yield c


def write(httpd, name, data):
    with open(httpd.path("tmp", name), "wb") as f:
        f.write(data)
    os.chmod(httpd.path("tmp", name), 0o644)


one_child_only = pytest.mark.skipif(server.MPM == "prefork", reason="one child for all connections")


@one_child_only
def test_descriptors_10_an_answer_that_is_a_file(own_httpd):
    """The child blames itself, and the client may come again."""
    httpd, worker = single(own_httpd)
    write(httpd, "k.data", b"f" * 100000)
    assert httpd.fetch("/file?key=k").body == b"f" * 100000
    httpd.log.allow("WSGI0715")
    with starved(httpd) as c:
        c.request("GET", "/file?key=k")
        rsp = c.response()
    assert rsp.status == 503 and int(rsp.get("Retry-After")) >= 1 and rsp.complete and rsp.get("Content-Type") != \
        "application/octet-stream"
    line, = httpd.log.find("WSGI0715")
    assert line.level == "error" and "Too many open files" in line.text and "ulimit -n of httpd" in line.text
    assert line.text.rstrip().endswith("httpd)") and "; 503 (" in line.text
    assert httpd.fetch("/file?key=k").body == b"f" * 100000
    assert set(httpd.workers()) == {worker}


@one_child_only
def test_descriptors_11_a_file_after_data(own_httpd):
    """What has begun is cut."""
    config = one_group("threads=1")
    config["vhosts"]["a"] += "WSGIScriptAlias /badfile @apps@/badfile/wsgi.py application-group=%{GLOBAL}\n"
    httpd = own_httpd(**config)
    ready(httpd, 1)
    assert httpd.fetch("/counter").status == 200
    httpd.log.allow("WSGI0715", "WSGI056")
    with starved(httpd) as c:
        c.request("GET", "/badfile?way=file-after-data")
        rsp = c.head()
        body = c.pieces(rsp)
        assert rsp.status == 200 and next(body) == b"d"
        write(httpd, "on", b"")
        assert list(body) == [] and not rsp.complete
    line, = httpd.log.find("WSGI0715")
    assert "the answer is cut" in line.text


@one_child_only
def test_descriptors_12_an_upload_into_a_kept_file(own_httpd):
    """The child has a file of an earlier body, and no second descriptor of it to send."""
    httpd, _ = single(own_httpd)
    expected = counted(httpd, "POST", 300001).json()
    with starved(httpd) as c:
        for _ in range(2):
            c.request("POST", "/counter?crc", body=b"b" * 300001)
            rsp = c.response()
            assert rsp.status == 200 and rsp.json() == expected
