"""wsgi.file_wrapper around regular files: httpd sends them, whatever lies between it and the client."""

import gzip
import os
import re
import shutil
import socket
import ssl
import subprocess
import zlib

import pytest

from conftest import DEFAULT_MAIN, DEFAULT_VHOST, MODES, apps_config
from harness import client, procs, server, wait

HTTP2 = server.MPM != "prefork" and shutil.which("nghttp")  # mod_http2 does not work with prefork
SIZE = 300001
BIG = 32 << 20  # more than the sockets between httpd and a client hold

VARIANTS = {
    "read": "WSGIEnableSendfile Off\nEnableSendfile On\n",
    "sendfile": "WSGIEnableSendfile On\nEnableSendfile Off\n",
    "core": "EnableSendfile On\n",
    "deflate": "WSGIEnableSendfile On\nSetOutputFilter DEFLATE\n",
    "tls": "WSGIEnableSendfile On\nSSLEngine on\nSSLCertificateFile @dir@/conf/cert.pem\n"
           "SSLCertificateKeyFile @dir@/conf/key.pem\n",
}
MAIN = DEFAULT_MAIN + "LogLevel ssl:error\nSSLSessionCache none\n"


@pytest.fixture(scope="module")
def site(httpd):
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    vhosts = {f"{mode}-{name}": DEFAULT_VHOST[mode] + apps_config() + text
              for mode in MODES for name, text in VARIANTS.items()}
    modules = ("ssl", "filter", "deflate") + (("http2",) if HTTP2 else ())
    made = httpd.make(main=MAIN + ("Protocols h2 h2c http/1.1\n" if HTTP2 else ""), vhosts=vhosts, modules=modules)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=test.invalid", "-keyout", made.path("conf", "key.pem"), "-out",
                    made.path("conf", "cert.pem")], check=True, capture_output=True)
    return made.start()


@pytest.fixture(params=["read", "sendfile", "core", "tls"])
def variant(request):
    return request.param


@pytest.fixture
def data(notes):
    """make(size): a file of that many bytes, which are returned."""
    path = notes.path("data")

    def make(size=SIZE, content=None):
        content = os.urandom(size) if content is None else content
        with open(path, "wb") as f:
            f.write(content)
        os.chmod(path, 0o644)
        return content
    yield make
    if os.path.exists(path):
        os.unlink(path)


@pytest.fixture
def connect(site, mode):
    """connect(variant): a connection to the server in this mode."""
    conns = []

    def make(variant):
        port = site.port(f"{mode}-{variant}")
        sock = None
        if variant == "tls":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 15))
        conns.append(client.Conn(port, sock=sock))
        return conns[-1]
    yield make
    for conn in conns:
        conn.close()


@pytest.fixture
def get(connect, notes):
    """get(variant, query, fields): the answer to a request on a connection of its own."""
    def ask(variant, query="", fields=(), method="GET"):
        conn = connect(variant)
        return conn.get(f"/file?key={notes.key}&{query}", [*fields, ("Connection", "close")], method)
    return ask


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 65536, 65537, SIZE, 5 << 20])
def test_file_01_whole(get, data, variant, size):
    content = data(size)
    rsp = get(variant)
    assert (rsp.status, rsp.complete) == (200, True) and rsp.body == content
    assert rsp.get("Content-Length") == str(size) and rsp.framing == "length"


@pytest.mark.parametrize("way", ["plain", "raw"])
@pytest.mark.parametrize("at", [1, 100, 8192, SIZE - 1, SIZE, SIZE + 1])
def test_file_02_from_where_it_stands(get, data, variant, way, at):
    content = data()
    rsp = get(variant, f"way={way}&at={at}")
    assert rsp.complete and rsp.body == content[at:]
    assert rsp.get("Content-Length") == str(len(content[at:]))


@pytest.mark.parametrize("length", [0, 1, SIZE - 101, SIZE - 100])
def test_file_03_content_length_of_the_application(get, data, variant, length):
    content = data()
    rsp = get(variant, f"at=100&length={length}")
    assert rsp.complete and rsp.body == content[100:100 + length]
    assert rsp.get("Content-Length") == str(length)


def test_file_04_content_length_too_large(get, data, variant, log):
    data()
    log.allow("WSGI0536")
    rsp = get(variant, f"length={SIZE + 1}")
    assert rsp.status == 500 or not rsp.complete


def test_file_05_head(get, data, variant):
    data()
    rsp = get(variant, method="HEAD")
    assert (rsp.status, rsp.body) == (200, b"") and rsp.get("Content-Length") == str(SIZE)


def test_file_06_connection_is_kept(connect, data, notes, variant):
    content = data()
    conn = connect(variant)
    for at in (0, 5, SIZE - 1):
        rsp = conn.get(f"/file?key={notes.key}&at={at}")
        assert rsp.complete and rsp.body == content[at:]
    assert conn.get("/hello").status == 200


# -- ranges

def parts(rsp):
    """The (range, content) pairs of a multipart answer."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", rsp.get("Content-Type"))[1].encode()
    pieces = rsp.body.split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        found.append((re.search(rb"Content-range: bytes (\S+)", head, re.I)[1].decode(), body))
    return found


@pytest.mark.parametrize("asked,start,end", [("0-0", 0, 1), ("0-99", 0, 100), ("100-", 100, SIZE),
                                             ("-1", SIZE - 1, SIZE), ("-1000", SIZE - 1000, SIZE),
                                             ("299999-999999", 299999, SIZE), ("0-300000", 0, SIZE)])
def test_file_07_range(get, data, variant, asked, start, end):
    content = data()
    rsp = get(variant, fields=[("Range", f"bytes={asked}")])
    assert rsp.complete and rsp.body == content[start:end]
    if end - start < SIZE:
        assert rsp.status == 206 and rsp.get("Content-Range") == f"bytes {start}-{end - 1}/{SIZE}"


def test_file_08_range_of_what_is_left(get, data, variant):
    """The answer's bytes are counted, not the file's."""
    content = data()
    rsp = get(variant, "at=1000", [("Range", "bytes=10-19")])
    assert (rsp.status, rsp.body) == (206, content[1010:1020])
    assert rsp.get("Content-Range") == f"bytes 10-19/{SIZE - 1000}"


def test_file_09_several_ranges(get, data, variant):
    content = data()
    rsp = get(variant, fields=[("Range", "bytes=0-9,1000-1099,-5")])
    assert rsp.status == 206 and rsp.complete
    assert parts(rsp) == [(f"0-9/{SIZE}", content[:10]), (f"1000-1099/{SIZE}", content[1000:1100]),
                          (f"{SIZE - 5}-{SIZE - 1}/{SIZE}", content[-5:])]


def test_file_10_range_that_is_not_there(get, data, variant):
    data()
    rsp = get(variant, fields=[("Range", f"bytes={SIZE}-")])
    assert rsp.status == 416


@pytest.mark.parametrize("tag,status", [('"one"', 206), ('"two"', 200)])
def test_file_11_if_range(get, data, variant, tag, status):
    content = data()
    rsp = get(variant, "etag=one", [("Range", "bytes=5-9"), ("If-Range", tag)])
    assert rsp.status == status and rsp.body == (content[5:10] if status == 206 else content)


def test_file_12_no_range_of_other_answers(get, data, variant):
    content = data()
    rsp = get(variant, "status=203%20Else", [("Range", "bytes=5-9")])
    assert (rsp.status, rsp.body) == (203, content) and rsp.get("Accept-Ranges") is None
    assert get(variant).get("Accept-Ranges") == "bytes"
    assert get(variant, "ranges=none").get("Accept-Ranges") == "none"


# -- filters and protocols

def test_file_13_compressed_on_the_way(get, data):
    content = data(content=b"the same again, " * 50000)
    rsp = get("deflate", "type=text/plain", [("Accept-Encoding", "gzip")])
    assert rsp.complete and rsp.get("Content-Encoding") == "gzip"
    assert zlib.decompress(rsp.body, 31) == content and len(rsp.body) < len(content) / 10
    assert get("deflate", "type=text/plain").body == content


@pytest.mark.parametrize("options,start,end", [((), 0, 5 << 20), (("-H", "range: bytes=100-199"), 100, 200)])
@pytest.mark.parametrize("variant", ["read", "sendfile", "tls"])
def test_file_14_http2(site, mode, data, notes, variant, options, start, end):
    if not HTTP2:
        pytest.skip("no HTTP/2 here")
    content = data(5 << 20)
    scheme = "https" if variant == "tls" else "http"
    done = subprocess.run(["nghttp", "--no-verify-peer", *options,
                           f"{scheme}://127.0.0.1:{site.port(f'{mode}-{variant}')}/file?key={notes.key}"],
                          capture_output=True, timeout=60 * wait.SLOW, check=True)
    assert done.stdout == content[start:end]


# -- what is no plain file

def test_file_15_a_file_that_inflates(get, data, variant):
    """Its fileno() is that of the deflated one."""
    content = os.urandom(5000)
    data(content=gzip.compress(content))
    rsp = get(variant, "way=gzip")
    assert rsp.complete and rsp.body == content


@pytest.mark.parametrize("way,expected", [("memory", None), ("plain", None), ("pipe", b"from a pipe")])
def test_file_16_others_are_read(site, mode, data, notes, variant, connect, way, expected):
    content = data()
    rsp = connect(variant).get(f"/filewrap?key={notes.key}&way={way}", [("Connection", "close")])
    assert rsp.complete and rsp.body == (content if expected is None else expected)


def test_file_17_closed_once(get, data, notes, variant):
    content = data()
    for n in (1, 2, 3):
        assert get(variant, "way=noted").body == content
        wait.until(lambda: notes.read("close") == "close\n" * n, 10, "close of the file")
    os.unlink(notes.path("close"))


# -- files that change, clients that are slow or leave

def begin(connect, notes, variant):
    """The head of an answer that is too large for the sockets."""
    conn = connect(variant)
    conn.request("GET", f"/file?key={notes.key}")
    rsp = conn.head()
    assert rsp.status == 200 and rsp.get("Content-Length") == str(BIG)
    return conn


def make_big(data, notes):
    content = data(1 << 20)
    with open(notes.path("data"), "r+b") as f:
        f.truncate(BIG)
    return content


def read_on(conn):
    """How many bytes of the answer come."""
    size, room = len(conn.buf), bytearray(1 << 20)
    while size < BIG:
        try:
            n = conn.sock.recv_into(room)
        except (ConnectionResetError, ssl.SSLError):
            n = 0
        if n == 0:
            break
        size += n
    conn.buf = b""
    return size


@pytest.mark.parametrize("to", [0, BIG // 2, BIG - 1])
def test_file_18_a_file_that_shrinks_is_cut(connect, data, notes, log, variant, to):
    log.allow("AH", "WSGI")
    make_big(data, notes)
    conn = begin(connect, notes, variant)
    os.truncate(notes.path("data"), to)
    assert read_on(conn) < BIG
    assert connect(variant).get("/hello").status == 200


def test_file_19_a_file_that_grows(connect, data, notes, variant):
    make_big(data, notes)
    conn = begin(connect, notes, variant)
    with open(notes.path("data"), "ab") as f:
        f.write(b"more")
    assert read_on(conn) == BIG
    assert conn.get("/hello").status == 200


def test_file_20_a_file_that_is_removed(connect, data, notes, variant):
    make_big(data, notes)
    conn = begin(connect, notes, variant)
    os.rename(notes.path("data"), notes.path("gone"))
    os.unlink(notes.path("gone"))
    data(1)
    assert read_on(conn) == BIG


def test_file_21_slow_clients_hold_no_python_thread(connect, data, notes, site, mode):
    """More of them than there are threads; each gets all of it in the end."""
    make_big(data, notes)
    waiting = [begin(connect, notes, "sendfile") for _ in range(7)]
    assert connect("sendfile").get("/hello").status == 200
    for conn in waiting[:2]:
        assert read_on(conn) == BIG


def test_file_25_larger_than_a_bucket(connect, data, notes, variant):
    """httpd has it in pieces of 1 GiB, and sets them aside for a client that does not take them."""
    first = BIG // 2  # bytes of the answer in front of the second piece
    data(1)
    os.truncate(notes.path("data"), (1 << 30) + BIG)
    conn = connect(variant)
    conn.request("GET", f"/file?key={notes.key}", [("Range", f"bytes={(1 << 30) - first}-{(1 << 30) + first - 1}")])
    rsp = conn.head()
    assert rsp.status == 206 and rsp.get("Content-Length") == str(BIG)
    assert read_on(conn) == BIG
    assert conn.get("/hello").status == 200


def open_data(site):
    """Descriptors of any process of the server that lead to data of the tests."""
    found = 0
    for pid in site.processes():
        found += sum(".data" in target for target in procs.fds(pid).values())
    return found


def test_file_22_no_descriptor_is_left(get, connect, data, notes, site, variant):
    make_big(data, notes)
    for query in ("", "at=5", "length=5", "length=0"):
        get(variant, query, method="HEAD")
    get(variant, fields=[("Range", "bytes=0-9")])
    get(variant, fields=[("Range", "bytes=0-9,20-29")])
    get(variant, fields=[("Range", f"bytes={BIG}-")])
    for _ in range(3):  # clients that leave in the middle
        begin(connect, notes, variant).close()
    wait.until(lambda: open_data(site) == 0, 20, "all descriptors closed")


# -- a worker that is not what it should be

@pytest.fixture(scope="module")
def bad(httpd):
    """One thread, so that the request is the only one in its process."""
    alias = "WSGIScriptAlias /{0} @apps@/badfile/wsgi.py process-group={0} application-group=%{{GLOBAL}}\n"
    return httpd(main="".join(f"WSGIDaemonProcess {name} processes=1 threads=1\n" for name in ("bad", "good", "many")),
                 vhosts={"main": "".join(alias.format(name) for name in ("bad", "good", "many")) +
                                 "WSGIScriptAlias /hello @apps@/hello/wsgi.py\n"})


def test_file_23_frames_of_this_test(bad):
    """Those that are right are understood."""
    bad.log.allow("WSGI0")
    rsp = bad.fetch("/good?way=good")
    assert rsp.status == 200 and rsp.complete and rsp.body == b"f" * 100
    rsp = bad.fetch("/many?way=many")
    assert rsp.status == 200 and rsp.complete and rsp.body == b"f" * 30000


def child_fds(httpd):
    """Descriptors of httpd's children, but connections."""
    return sum(not target.startswith(("socket:", "anon_inode:")) for pid, p in httpd.processes().items()
               if not p.is_worker for target in procs.fds(pid).values())


@pytest.mark.parametrize("way", ["before-head", "after-end", "without", "two", "one-for-two", "unclaimed", "pipe",
                                 "socket", "device", "directory", "write-only", "path-only", "short", "beyond",
                                 "negative-offset", "negative-length", "no-length", "overflow", "flood"])
def test_file_24_hostile_worker(bad, way):
    bad.log.allow("WSGI0")
    assert bad.fetch("/hello").status == 200
    before = child_fds(bad)
    rsp = bad.fetch(f"/bad?way={way}")
    assert rsp is None or rsp.status == 502 or not rsp.complete, rsp
    assert bad.fetch("/hello").status == 200
    wait.until(lambda: child_fds(bad) <= before, 10, "descriptors closed")
    bad.log.wait("WSGI014[68]: .*worker 0 of group 'bad'")
