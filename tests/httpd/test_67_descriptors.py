"""Processes that have as many descriptors as they may: what they cannot do, and what they do all the same."""

import pytest

from conftest import Notes
from harness import client, procs
from test_50_daemon import ready
from test_51_overload import one_group



def counted(httpd, method, n, header=0):
    fields = [("X-Large", "x" * header)] if header else []
    return httpd.fetch("/counter?crc", method=method, body=b"b" * n, fields=fields)


def single(own_httpd, options, **kw):
    """One child, one worker that knows a connection of that child's, and what they say."""
    config = one_group(options, **kw)
    config["main"] += "LimitRequestFieldSize 100000\n"
    httpd = own_httpd(**config)
    worker, = ready(httpd, 1)
    child, = httpd.children()
    assert counted(httpd, "POST", 10).json()["count"] == 10
    return httpd, child, worker


# -- of a worker

@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_descriptors_01_an_upload(own_httpd, method):
    """In memory, on a disk: the worker cannot be given the file, and gets the bytes. Nothing is lost of it, and no
    application is called twice."""
    httpd, _, worker = single(own_httpd, "threads=1")
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
    httpd, _, worker = single(own_httpd, "threads=1")
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
    httpd, _, worker = single(own_httpd, "threads=1")
    assert counted(httpd, "POST", 300000, header).json()["count"] == 300000
    with procs.no_more_files(worker):
        httpd.log.allow("WSGI0714")
        assert counted(httpd, "POST", 300000, header).json()["count"] == 300000
    assert len(httpd.log.find("WSGI0714")) == (header < 32000)
