"""Request bodies that are read before a thread is claimed: who sends slowly holds none, the length is true, and
what cannot be read or kept is answered without the application."""

import contextlib
import gzip
import os
import resource
import shutil
import zlib

import pytest

from conftest import Notes, apps_config
from harness import client, procs, server, wait

LIMIT = 100000
MEMORY = 1 << 20  # MW_BODYBUF_MEMORY
MIB = 1 << 20
MAIN = f"""
WSGIDaemonProcess auto threads=1
WSGIDaemonProcess off threads=1 request-buffering=off
WSGIDaemonProcess size threads=1 request-buffering={LIMIT}
WSGIDaemonProcess tiny threads=1 request-buffering=1000
WSGIDaemonProcess two processes=2 threads=1
LogFormat "%>s %U%q" short
CustomLog logs/access.txt short
RequestReadTimeout header=20 body=1,MinRate=100000
"""
EXTRA = """
    WSGIScriptAlias /limited @apps@/counter/wsgi.py
    <Location /limited>
        LimitRequestBody 50000
    </Location>
    WSGIScriptAlias /inflate @apps@/counter/wsgi.py
    <Location /inflate>
        SetInputFilter DEFLATE
    </Location>
"""
GROUPS = ("auto", "off", "size", "tiny", "two")
SIZES = sorted({0, 1, 999, 1000, 1001, LIMIT - 1, LIMIT, LIMIT + 1, 5 * MIB} |
               {n + d for n in (16384, 65536, MEMORY) for d in (-1, 0, 1)})


def one_child():
    return ("StartServers 1\nServerLimit 1\nThreadsPerChild 10\nMaxRequestWorkers 10" if server.MPM != "prefork" else
            "StartServers 10\nServerLimit 10\nMaxRequestWorkers 10\nMinSpareServers 1\nMaxSpareServers 10")


@pytest.fixture(scope="module")
def site(httpd):
    made = httpd.make(main=MAIN, modules=("filter", "deflate", "reqtimeout"), mpm_config=one_child(),
                      vhosts={name: f"WSGIProcessGroup {name}\n" + apps_config() + EXTRA for name in GROUPS})
    made.log.allow("AH00161", "AH00484")
    return made.start()


def body_of(size):
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def post(coded, body):
    """Fields and content of an upload, chunked or with its length."""
    if coded:
        return [("Transfer-Encoding", "chunked")], client.chunked(body, 30000)
    return [("Content-Length", str(len(body)))], body


@contextlib.contextmanager
def half_sent(site, vhost, path, size, coded=False):
    """A connection whose request's body has come but for its last byte; and that byte."""
    with site.conn(vhost) as conn:
        fields, content = post(coded, body_of(size))
        keep = 6 if coded else 1
        conn.send(conn.build("POST", path, fields) + content[:-keep])
        yield conn, content[-keep:]


# -- what the application gets

@pytest.mark.parametrize("vhost", ["auto", "size", "tiny", "off"])
@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
def test_buffering_01_sizes(site, vhost, coded):
    """Whole, whatever its size, on one connection; the application knows the length of what was buffered."""
    known = {"auto": 1 << 40, "size": LIMIT, "tiny": 1000, "off": -1}[vhost]
    with site.conn(vhost) as conn:
        for size in SIZES:
            fields, content = post(coded, body_of(size))
            conn.send(conn.build("POST", "/counter?crc&n=100000", fields) + content)
            answer = conn.response("POST").json()
            assert (answer["count"], answer["crc"]) == (size, zlib.crc32(body_of(size)))
            if not coded:
                assert answer["content_length"] == str(size)
            elif size <= known:
                assert answer["content_length"] == str(size), (size, answer)
            elif size > known + 65536:  # what is read by then is more than the limit
                assert answer["content_length"] is None, (size, answer)


@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("query", ["way=all", "way=readline", "way=iterate", "way=read&n=7000", "way=mixed&n=10",
                                   "way=nothing", "way=end"])
def test_buffering_02_every_way_of_reading(site, query, coded):
    with site.conn("auto") as conn:
        for size in (20000, 2 * MIB):
            fields, content = post(coded, body_of(size))
            conn.send(conn.build("POST", f"/input?{query}", fields) + content)
            answer = conn.response("POST").json()
            assert answer["length"] == (0 if "nothing" in query else size)
            assert answer["content_length"] == str(size) and answer["terminated"] is True


@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
def test_buffering_03_inflated(site, coded):
    """The length is that of the bytes which the application reads."""
    plain = os.urandom(1000) * 300
    fields, content = post(coded, gzip.compress(plain))
    with site.conn("auto") as conn:
        conn.send(conn.build("POST", "/inflate?crc", fields + [("Content-Encoding", "gzip")]) + content)
        answer = conn.response("POST").json()
    assert (answer["count"], answer["crc"]) == (len(plain), zlib.crc32(plain))
    assert answer["content_length"] == str(len(plain))


# -- the thread is free

@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [100, 20000, 3 * MIB])
def test_buffering_04_a_slow_sender_holds_no_thread(site, size, coded):
    with half_sent(site, "auto", "/counter?crc", size, coded) as (conn, rest):
        assert site.fetch("/hello", "auto").status == 200
        conn.send(rest)
        answer = conn.response("POST").json()
        assert (answer["count"], answer["crc"]) == (size, zlib.crc32(body_of(size)))


def test_buffering_05_off_holds_it(site):
    """What the option is for: the application reads while the client sends."""
    with site.conn("off") as conn:
        notes = Notes(site.path("tmp"))
        conn.send(conn.build("POST", f"/partial?key={notes.key}&n=1000&then=rest", [("Content-Length", "100000")]) +
                  b"x" * 1000)
        notes.wait("first")
        conn.send(b"x" * 99000)
        assert conn.response("POST").body == b"100000"


@pytest.mark.parametrize("size,early", [(LIMIT, False), (LIMIT + 1, True)])
def test_buffering_06_size_decides(site, size, early):
    notes = Notes(site.path("tmp"))
    with half_sent(site, "size", f"/partial?key={notes.key}&n=1000&then=rest", size) as (conn, rest):
        if early:
            notes.wait("first")
        else:
            assert site.fetch("/hello", "size").status == 200
            assert not notes.read("started")
        conn.send(rest)
        assert conn.response("POST").body == b"%d" % size


def test_buffering_07_expect_continue(site):
    """Buffered, the body is asked for at once; streamed, when the application reads."""
    for vhost, path in [("auto", "/counter?unread"), ("off", "/counter")]:
        with site.conn(vhost) as conn:
            conn.send(conn.build("POST", path, [("Content-Length", "100000"), ("Expect", "100-continue")]))
            assert conn.line() == b"HTTP/1.1 100 Continue" and conn.line() == b""
            conn.send(body_of(100000))
            assert conn.response("POST").json()["count"] == (0 if "unread" in path else 100000)
    with site.conn("off") as conn:
        conn.send(conn.build("POST", "/counter?unread", [("Content-Length", "100000"), ("Expect", "100-continue")]))
        rsp = conn.response("POST")
        assert rsp.json()["count"] == 0 and not rsp.interim


# -- without the application

@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size,status", [(49999, 200), (50000, 200), (50001, 413), (MIB, 413)])
def test_buffering_08_limit_request_body(site, size, status, coded):
    since = site.log.mark()
    site.log.allow("WSGI0142", r"AH0158\d")
    fields, content = post(coded, body_of(size))
    rsp = client.fetch(site.port("auto"), "/limited", fields, method="POST", body=content)
    assert rsp.status == status
    if status == 413:
        assert site.log.find("WSGI0126.*the application is not called" if coded else "WSGI0142", since)
    assert site.fetch("/hello", "auto").status == 200


@pytest.mark.parametrize("size", [10000, 200000])
def test_buffering_09_too_slow(site, size):
    site.log.allow(r"AH01382")
    with half_sent(site, "auto", "/counter", size) as (conn, _):
        rsp = conn.response("POST")
        assert rsp.status == 408 and rsp.close


@pytest.mark.parametrize("coded", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [10000, 200000, 3 * MIB])
def test_buffering_10_a_client_that_leaves(site, size, coded):
    notes, since = Notes(site.path("tmp")), site.log.mark()
    with half_sent(site, "auto", f"/partial?key={notes.key}&n=1", size, coded):
        pass
    site.log.wait("WSGI0126", since)
    found = wait.until(lambda: [line for line in site.log.find("WSGI0126", since)], 5, "line")
    assert len(found) == 1 and found[0].level == "info"
    assert not notes.read("started")
    assert site.fetch("/hello", "auto").status == 200


def test_buffering_15_a_file_that_is_used_again(site):
    """Its old bytes are nobody's: neither beyond the end nor in between."""
    for size in (MEMORY, 20000, 500000, 16385, MEMORY - 1):
        body = os.urandom(size)
        for fields, content in (post(False, body), post(True, body)):
            answer = client.fetch(site.port("auto"), "/counter?crc", fields, method="POST", body=content).json()
            assert (answer["count"], answer["crc"]) == (size, zlib.crc32(body))


def with_limited_files(httpd, size):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        return httpd.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_buffering_11_the_disk_is_full(own_httpd):
    """A limit of the size of files fails a write as a full disk does."""
    httpd = with_limited_files(own_httpd.make(main="WSGIDaemonProcess g\nWSGIProcessGroup g\n",
                                              vhosts={"a": apps_config()}), 3 * MIB)
    httpd.log.allow("WSGI0712")
    for coded in (False, True):
        since = httpd.log.mark()
        for size, status in [(3 * MIB, 200), (3 * MIB + 1, 507)]:
            fields, content = post(coded, body_of(size))
            rsp = client.fetch(httpd.port(), "/counter", fields, method="POST", body=content)
            assert rsp.status == status and (status == 200 or rsp.close)
        line, = httpd.log.find("WSGI0712", since)
        assert line.level == "error" and "the application is not called" in line.text


def test_buffering_12_no_file_can_be_made(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g\nWSGIProcessGroup g\n", vhosts={"a": apps_config()})
    httpd.env["TMPDIR"] = httpd.path("tmp", "spool")
    os.mkdir(httpd.path("tmp", "spool"))
    os.chmod(httpd.path("tmp", "spool"), 0o777)
    httpd.start()
    httpd.fetch("/hello")
    os.rmdir(httpd.path("tmp", "spool"))
    httpd.log.allow("WSGI0712")
    for size, status in [(MEMORY, 200), (MEMORY + 1, 507)]:
        for coded in (False, True):
            fields, content = post(coded, body_of(size))
            assert client.fetch(httpd.port(), "/counter", fields, method="POST", body=content).status == status


# -- what is left behind, and tried again

def test_buffering_13_descriptors_return(site):
    def open_files():
        pids = [*site.children(), *site.workers()]
        return sorted(t for pid in pids for t in procs.fds(pid).values() if "mod_wsgi" in t or t.startswith("/tmp"))
    # A file in memory is kept for the next body.
    site.fetch("/counter", "auto", method="POST", body=body_of(20000))
    before = open_files()
    for size in (20000, 3 * MIB):
        for query in ("", "?unread"):
            assert site.fetch("/counter" + query, "auto", method="POST", body=body_of(size)).status == 200
        with half_sent(site, "auto", "/counter", size):
            site.log.allow("WSGI0126")
    wait.until(lambda: len(open_files()) <= len(before), 10, "the end of all files")


@pytest.mark.parametrize("method,status", [("PUT", 200), ("POST", 502)])
def test_buffering_14_a_worker_that_dies(own_httpd, method, status):
    """The body is still there for another worker, where the method allows to try again."""
    httpd = own_httpd(main="WSGIDaemonProcess g processes=2 threads=1\nWSGIProcessGroup g\n",
                      vhosts={"a": apps_config()})
    httpd.log.allow("WSGI")
    notes = Notes(httpd.path("tmp"))
    shutil.copy(os.path.join(server.APPS, "counter", "wsgi.py"), httpd.path("apps", "hello", "counter.py"))
    with open(httpd.path("apps", "hello", "wsgi.py"), "w", encoding="utf-8") as f:
        f.write("import os, signal, zlib\n"
                "def application(environ, start_response):\n"
                "    data = environ['wsgi.input'].read()\n"
                f"    once = {notes.path('died')!r}\n"
                "    if not os.path.exists(once):\n"
                "        open(once, 'w').close()\n"
                "        os.kill(os.getpid(), signal.SIGKILL)\n"
                "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
                "    return [b'%d' % zlib.crc32(data)]\n")
    body = body_of(2 * MIB)
    rsp = httpd.fetch("/hello", method=method, body=body)
    assert rsp.status == status
    assert status != 200 or rsp.body == b"%d" % zlib.crc32(body)
