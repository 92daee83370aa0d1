"""Options of WSGIDaemonProcess that say how much may be between a process and httpd."""

import os
import re

import pytest

from conftest import apps_config
from harness import client

MAIN = """
WSGIDaemonProcess lines threads=2 header-buffer-size=8192
WSGIDaemonProcess default threads=2
WSGIDaemonProcess tiny threads=2 send-buffer-size=512 receive-buffer-size=512 request-buffering=off
WSGIDaemonProcess huge threads=2 send-buffer-size=1G receive-buffer-size=1G header-buffer-size=1G request-buffering=off
"""
GROUPS = ("lines", "default", "tiny", "huge")


@pytest.fixture(scope="module")
def site(httpd):
    return httpd(main=MAIN, vhosts={name: f"WSGIProcessGroup {name}\n{apps_config()}" for name in GROUPS})


@pytest.fixture
def data(site):
    path = os.path.join(site.path("tmp"), "sizes.data")
    content = os.urandom(100)
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, 0o644)
    yield content
    os.unlink(path)


@pytest.mark.parametrize("group,pad,status", [("lines", 8191, 200), ("lines", 8192, 200), ("lines", 8193, 500),
                                              ("default", 8193, 200), ("default", 100000, 200),
                                              ("huge", 100000, 200)])
def test_sizes_01_header_buffer_size(site, data, group, pad, status):
    port = site.port(group)
    rsp = client.fetch(port, f"/file?key=sizes&pad={pad}")
    assert rsp.status == status
    if status == 200:
        assert rsp.body == data and len(rsp.get("X-Pad")) == pad - len("X-Pad: ")
    else:
        assert len(site.log.find(r"WSGI0144: the line 'X-Pad' .* 8192 bytes; 500")) >= 1
        site.log.allow("WSGI0144")
    assert client.fetch(port, "/hello").status == 200


@pytest.mark.parametrize("group", ["tiny", "huge"])
def test_sizes_02_bodies_larger_than_the_buffers(site, group):
    body = os.urandom(3 << 20)
    rsp = client.fetch(site.port(group), "/echo", method="POST", body=body)
    assert rsp.status == 200 and rsp.complete and rsp.body == body


@pytest.mark.parametrize("option,least", [("send-buffer-size", 512), ("receive-buffer-size", 512),
                                          ("header-buffer-size", 8192)])
def test_sizes_03_limits(own_httpd, option, least):
    own_httpd(main=f"WSGIDaemonProcess a {option}=0\nWSGIDaemonProcess b {option}={least}\n")
    for value in (least - 1, 1, -1, (1 << 30) + 1):
        said = own_httpd.make(main=f"WSGIDaemonProcess a {option}={value}\n").fails_to_start()
        assert re.search(rf"{option}.*{value}", said), said


@pytest.mark.parametrize("n", [2731, 16384, 16385, 65536, 100000, 131072, 200001])
@pytest.mark.parametrize("group", ["tiny", "huge"])
def test_sizes_04_a_client_that_waits_for_answers(site, group, n):
    """It sends the next block when it has the last one back: nobody may wait for more of the body before. (A body of
    at most 16 KiB is always read whole.)"""
    blocks = [os.urandom(n) for _ in range(6)]
    with client.Conn(site.port(group)) as conn:
        conn.send(conn.build("POST", f"/pingpong?n={n}", [("Content-Length", str(6 * n))]) + blocks[0])
        rsp = conn.head("POST")
        pieces, got = conn.pieces(rsp), b""
        for i, block in enumerate(blocks):
            while len(got) < n:
                got += next(pieces)
            assert got == block
            got = b""
            if i < 5:
                conn.send(blocks[i + 1])
        assert not b"".join(pieces) and rsp.complete
