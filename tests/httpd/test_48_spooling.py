"""Answers to clients that read slowly: the application's thread is free as soon as it has answered, and what
streams still arrives block by block."""

import concurrent.futures
import importlib.util
import os
import resource
import select
import shutil
import socket
import ssl
import struct
import subprocess

import pytest

from conftest import Notes, apps_config
from harness import client, procs, server, wait

HTTP2 = server.MPM != "prefork" and shutil.which("nghttp") and shutil.which("curl")
CHILDREN = {  # one httpd child, whose memory and descriptors can be looked at
    "event": "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nAsyncRequestWorkerFactor 8",
    "worker": "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8",
    "prefork": "StartServers 8\nServerLimit 8\nMaxRequestWorkers 8\nMinSpareServers 8\nMaxSpareServers 8",
}
# Little room in sockets, so that little suffices for a client to be slow.
MAIN = """
WSGIDaemonProcess plain threads=1
WSGIDaemonProcess small threads=1 response-buffer-size=65536 response-spool-size=0
WSGIDaemonProcess limit threads=1 response-buffer-size=1M response-spool-size=1M
WSGIDaemonProcess hasty threads=1 response-socket-timeout=1
SendBufferSize 65536
SSLSessionCache none
LogLevel ssl:error
LogFormat "%>s %B %U%q" short
CustomLog logs/access.txt short
"""
TLS = """
    SSLEngine on
    SSLCertificateFile @dir@/conf/cert.pem
    SSLCertificateKeyFile @dir@/conf/key.pem
"""
GROUPS = ("plain", "small", "limit", "hasty")
MIB = 1 << 20
LARGE = 6 * MIB  # more than all sockets and memory limits together

_spec = importlib.util.spec_from_file_location("bulk", os.path.join(server.APPS, "bulk", "wsgi.py"))
bulk = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bulk)


@pytest.fixture(scope="module")
def site(httpd):
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    vhosts = {name: f"WSGIProcessGroup {name}\n" + apps_config() for name in GROUPS}
    vhosts["tls"] = "WSGIProcessGroup plain\n" + apps_config() + TLS
    made = httpd.make(main=("Protocols h2 h2c http/1.1\n" if HTTP2 else "") + MAIN, vhosts=vhosts,
                      modules=("ssl",) + (("http2",) if HTTP2 else ()), mpm_config=CHILDREN[server.MPM])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=test.invalid", "-keyout", made.path("conf", "key.pem"), "-out",
                    made.path("conf", "cert.pem")], check=True, capture_output=True)
    made.log.allow("AH00161", "AH00484", "AH03269")  # all threads are in use, on purpose
    return made.start()


class Slow(client.Conn):
    """A client whose socket holds next to nothing, and which reads when it is told to."""

    def __init__(self, port, tls=False):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(15 * wait.SLOW)
        sock.connect(("127.0.0.1", port))
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        super().__init__(port, sock=sock)


def whole(rsp, n):
    return rsp.status == 200 and rsp.complete and len(rsp.body) == n and rsp.body == bulk.blob(n)


def ask(conn, notes, n, more=""):
    conn.request("GET", f"/bulk?key={notes.key}&n={n}{more}")


def closed(notes, times=1, seconds=15):
    """Wait until the application has been asked for its last block."""
    notes.wait("close", "close\n" * times, seconds)


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


# -- the thread is free

@pytest.mark.parametrize("more", ["", "&length", "&size=1000000", "&size=3000"])
@pytest.mark.parametrize("vhost", ["plain", "tls"])
def test_spool_01_a_slow_reader_holds_no_thread(site, notes, vhost, more):
    with Slow(site.port(vhost), vhost == "tls") as conn:
        ask(conn, notes, LARGE, more)
        closed(notes)
        assert site.fetch("/hello", "plain").status == 200
        assert whole(conn.response(), LARGE)
        if "length" in more:
            assert conn.get("/echo?x").body == b"x"


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "h2"])
def test_spool_02_nor_does_a_slow_stream_of_http2(site, notes, tls):
    if not HTTP2:
        pytest.skip("no HTTP/2 here")
    url = f"{'https' if tls else 'http'}://127.0.0.1:{site.port('tls' if tls else 'plain')}"
    with subprocess.Popen(["nghttp", "--no-verify-peer", "-w14", "-W14", f"{url}/bulk?key={notes.key}&n={LARGE}"],
                          stdout=subprocess.PIPE) as child:
        try:
            closed(notes)  # nobody has read what nghttp prints, so it reads no more
            assert site.fetch("/hello", "plain").status == 200
            assert child.stdout.read() == bulk.blob(LARGE)
        finally:
            child.kill()


def test_spool_03_httpd_s_threads_are_free_too(site, notes):
    """The event MPM finishes the answers; twice as many slow clients as there are threads. They come one after
    the other: httpd complains when all its threads are busy, for however short a time."""
    if server.MPM != "event":
        pytest.skip("one thread for each connection")
    conns = [Slow(site.port("plain")) for _ in range(16)]
    for i, conn in enumerate(conns):
        ask(conn, notes, LARGE, "&length")
        closed(notes, i + 1, 30)
    assert site.fetch("/hello", "plain").status == 200
    with concurrent.futures.ThreadPoolExecutor(len(conns)) as pool:  # none waits longer than httpd does for it
        assert all(pool.map(lambda conn: whole(conn.response(), LARGE), conns))
    for conn in conns:
        conn.close()


def test_spool_04_memory_is_bounded(site, notes):
    n = 200 * MIB
    child, = site.children() if server.MPM != "prefork" else [None]
    before = child and rss(child)
    with Slow(site.port("plain")) as conn:
        ask(conn, notes, n, "&size=1000000")
        closed(notes, seconds=40)
        assert not child or rss(child) - before < 12 * 1024
        head, at = conn.head(), 0
        for piece in conn.pieces(head):
            assert piece == bulk.blob(len(piece), at)
            at += len(piece)
            head.body = b""  # 200 MiB are no use here
            if at > 20 * MIB:
                break


# -- limits

def test_spool_05_no_room_and_the_application_waits(site, notes):
    since = site.log.mark()
    with Slow(site.port("small")) as conn:
        ask(conn, notes, LARGE)
        line = site.log.wait("WSGI0711", since)
        assert line.level == "info" and "bytes ahead of the client" in line.text
        wait.holds(lambda: not notes.read("close"), 0.3, "the application waits")
        assert whole(conn.response(), LARGE)
        closed(notes)
    assert len(site.log.find("WSGI0711", since)) == 1


def test_spool_06_memory_and_file_are_full(site, notes):
    since = site.log.mark()
    with Slow(site.port("limit")) as conn:
        ask(conn, notes, LARGE)
        line = site.log.wait("WSGI0711", since)
        ahead = int(line.text.split(" bytes ahead")[0].split()[-1])
        assert 1.9 * MIB < ahead < 2.1 * MIB
        assert whole(conn.response(), LARGE)
    with Slow(site.port("limit")) as conn:
        ask(conn, notes, 2 * MIB - 100000)
        closed(notes, 2)
        assert whole(conn.response(), 2 * MIB - 100000)
    assert len(site.log.find("WSGI0711", since)) == 1


def test_spool_07_no_file_can_be_made(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g threads=1\nWSGIProcessGroup g\nSendBufferSize 65536\n",
                           vhosts={"a": apps_config()})
    httpd.env["TMPDIR"] = httpd.path("tmp", "spool")
    os.mkdir(httpd.path("tmp", "spool"))
    os.chmod(httpd.path("tmp", "spool"), 0o777)
    httpd.start()
    httpd.fetch("/hello")
    os.rmdir(httpd.path("tmp", "spool"))
    notes = Notes(httpd.path("tmp"))
    with Slow(httpd.port()) as conn:
        ask(conn, notes, LARGE)
        line = httpd.log.wait("WSGI0710")
        assert line.level == "warn" and "No such file" in line.text and httpd.path("tmp", "spool") in line.text
        assert whole(conn.response(), LARGE)
    assert len(httpd.log.find("WSGI0710")) == 1


def test_spool_08_the_disk_is_full(own_httpd):
    """A limit of the size of files fails a write as a full disk does."""
    httpd = own_httpd.make(main="WSGIDaemonProcess g threads=1\nWSGIProcessGroup g\nSendBufferSize 65536\n",
                           vhosts={"a": apps_config()})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, old[1]))
    try:
        httpd.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    notes = Notes(httpd.path("tmp"))
    with Slow(httpd.port()) as conn:
        ask(conn, notes, LARGE)
        httpd.log.wait("WSGI0710")
        assert whole(conn.response(), LARGE)
    assert len(httpd.log.find("WSGI0710")) == 1


# -- streams

def arrives(read, notes, n=20):
    """Each block of /stream comes before the next one is allowed to be made."""
    got = b""
    for i in range(n):
        while not got.endswith(b"block %d\n" % i):
            piece = read()
            assert piece, f"end instead of block {i}"
            got += piece
        notes.tell(f"go{i + 1}")


@pytest.mark.parametrize("way", ["iterate", "write"])
@pytest.mark.parametrize("vhost", ["plain", "tls"])
def test_spool_09_blocks_arrive_at_once(site, notes, vhost, way):
    with Slow(site.port(vhost), vhost == "tls") as conn:
        conn.request("GET", f"/stream?key={notes.key}&n=20&way={way}")
        pieces = conn.pieces(conn.head())
        arrives(lambda: next(pieces), notes)


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "h2"])
def test_spool_10_blocks_arrive_at_once_over_http2(site, notes, tls):
    if not HTTP2:
        pytest.skip("no HTTP/2 here")
    url = f"{'https' if tls else 'http'}://127.0.0.1:{site.port('tls' if tls else 'plain')}"
    command = ["curl", "-skN", "--http2-prior-knowledge", f"{url}/stream?key={notes.key}&n=20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        def read():
            assert select.select([child.stdout], [], [], 15 * wait.SLOW)[0], "nothing came"
            return os.read(child.stdout.fileno(), 100)
        try:
            arrives(read, notes)
        finally:
            child.kill()


def chunk_sizes(conn):
    rsp = conn.head()
    assert rsp.framing == "chunked"
    sizes = []
    while not sizes or sizes[-1]:
        sizes.append(int(conn.line(100), 16))
        for _ in conn._take(sizes[-1]):  # pylint: disable=protected-access
            pass
        conn.line()
    return sizes


def test_spool_11_small_blocks_are_sent_together(site):
    with site.conn("plain") as conn:
        conn.request("GET", "/bulk?n=1000000&size=50")
        sizes = chunk_sizes(conn)
    assert sum(sizes) == 1000000 and len(sizes) < 20000 / 10


def test_spool_12_both_ways_at_once(site):
    """A client that reads nothing before it has sent everything, and an application that answers as it reads."""
    body = bulk.blob(LARGE)
    with Slow(site.port("plain")) as conn:
        conn.request("POST", "/bulk?echo", [("Transfer-Encoding", "chunked")])
        conn.send(client.chunked(body, 100000))
        assert whole(conn.response("POST"), LARGE)


# -- clients that never read, or leave

@pytest.mark.parametrize("n", [LARGE, 40 * MIB])
def test_spool_13_response_socket_timeout(site, notes, n):
    """After a second the answer is cut, while it is made as well as when it is waiting to be taken."""
    since = site.log.mark()
    with Slow(site.port("hasty")) as conn:
        ask(conn, notes, n)
        line = site.log.wait("WSGI0120", since)
        assert line.level == "info" and "1000 ms" in line.text
        closed(notes)
        rsp = conn.response()
        assert not rsp.complete and rsp.body == bulk.blob(len(rsp.body))
    assert site.fetch("/hello", "hasty").status == 200


def test_spool_14_a_slow_but_steady_reader_is_not_cut(site, notes):
    """It takes longer than the timeout in all, and never as long for one piece."""
    start = client.now()
    with Slow(site.port("hasty")) as conn:
        ask(conn, notes, 2 * MIB)
        rsp, paces = conn.head(), 0
        for _ in conn.pieces(rsp):
            if len(rsp.body) >= paces * 100000 and client.now() - start < 2.5:
                paces += 1
                wait.holds(lambda: True, 0.15)
        assert whole(rsp, 2 * MIB) and client.now() - start > 2


def test_spool_15_descriptors_return(site, notes):
    def open_files():
        return sorted(t for pid in site.children() for t in procs.fds(pid).values() if "mod_wsgi" in t or "/tmp" in t)
    before = open_files()
    for i, linger in enumerate([False, True] * 3):
        conn = Slow(site.port("plain"))
        ask(conn, notes, LARGE)
        closed(notes, i + 1)
        if linger:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            assert whole(conn.response(), LARGE)
        conn.close()
    wait.until(lambda: open_files() == before, 10, "the end of all files")


def test_spool_16_a_client_that_leaves_ends_the_application(site, notes):
    """As soon as httpd notices: the answer has no end."""
    conn = Slow(site.port("small"))
    ask(conn, notes, 1 << 40)
    conn.head()
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()
    closed(notes)
    with open(site.path("logs", "access.txt"), encoding="ascii") as f:
        wait.until(lambda: [line for line in f if notes.key in line and line.startswith("499")], 5, "499")


@pytest.mark.parametrize("vhost", ["plain", "tls"])
@pytest.mark.parametrize("n", [100000, LARGE])
def test_spool_17_what_is_cut_does_not_look_whole(site, notes, vhost, n):
    site.log.allow("WSGI0174", traceback=True)
    with Slow(site.port(vhost), vhost == "tls") as conn:
        ask(conn, notes, n, "&fail")
        closed(notes)
        rsp = conn.response()
        assert rsp.status == 200 and not rsp.complete and rsp.body == bulk.blob(len(rsp.body))
