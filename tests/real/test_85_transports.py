"""The Flask application where TLS, HTTP/2, a proxy and compression stand between it and its clients."""

import gzip
import hashlib
import json
import os
import random
import re
import shutil
import subprocess

import pytest
from harness import client, server
from rig.site import APPS, MODES

pytest.importorskip("flask", reason="python3-flask is not installed")

CURL = shutil.which("curl")
HOST = [("Host", "app.example")]
BIG = random.Random(90).randbytes(2_500_000)

VHOSTS = {
    "": "",
    "-tls": "    SSLEngine on\n    SSLCertificateFile @tmp@/cert.pem\n    SSLCertificateKeyFile @tmp@/key.pem\n"
            "    Protocols h2 http/1.1\n",
    "-packed": "    SetOutputFilter DEFLATE\n    SetInputFilter DEFLATE\n",
    "-trusting": "    WSGITrustedProxies 127.0.0.1\n"
                 "    WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host\n",
}
FRONT = ("    ProxyPass / http://127.0.0.1:@port:{mode}-trusting@/ flushpackets=on\n"
         "    ProxyPassReverse / http://127.0.0.1:@port:{mode}-trusting@/\n"
         "    RequestHeader set X-Forwarded-Proto https\n")


@pytest.fixture(scope="module")
def site(httpd):
    vhosts = {}
    for mode in MODES:
        group = "    WSGIProcessGroup real\n" if mode == "daemon" else ""
        for suffix, text in VHOSTS.items():
            vhosts[mode + suffix] = f"    WSGIScriptAlias /prefix @dir@/real/wsgi.py\n{group}{text}"
        vhosts[mode + "-front"] = FRONT.format(mode=mode)
    h2 = ("http2",) if server.MPM != "prefork" else ()
    made = httpd.make(main="WSGIDaemonProcess real processes=2 threads=6 request-buffering=off\n", vhosts=vhosts,
                      modules=("ssl", "socache_shmcb", "deflate", "filter", "headers", "proxy",
                               "proxy_http") + h2)
    shutil.copytree(os.path.join(APPS, "flask"), made.path("real"))
    os.mkdir(made.path("real", "data"))
    with open(made.path("real", "data", "big.bin"), "wb") as f:
        f.write(BIG)
    subprocess.run(["chmod", "-R", "a+rX", made.path("real")], check=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=app.example", "-addext",
                    "basicConstraints=CA:FALSE", "-keyout", made.path("tmp", "key.pem"), "-out",
                    made.path("tmp", "cert.pem")], check=True, capture_output=True)
    # Said by mod_ssl at start about the certificate's name, its session cache and Debian's OpenSSL.
    made.log.allow("AH01909", "AH01882", "AH01873")
    return made.start()


@pytest.fixture(params=("http1.1", "http2"))
def curl(request, site, mode):
    """curl(path, *options): the body, over TLS."""
    if request.param == "http2" and server.MPM == "prefork":
        pytest.skip("mod_http2 does not work with prefork")
    port = site.port(mode + "-tls")

    def run(path, *options, data=None):
        done = subprocess.run(
            [CURL, "-sSk", "--" + request.param, "--resolve", f"app.example:{port}:127.0.0.1",
             "--max-time", "60", "-w", "%{stderr}%{http_code} %{http_version}\n", *options,
             f"https://app.example:{port}/prefix{path}"], input=data, capture_output=True)
        said = re.findall(r"^.*?(\d{3}) ([\d.]+)$", done.stderr.decode(), re.M)
        assert done.returncode == 0 and {version for _, version in said} == {request.param[4:]}, done.stderr
        return int(said[0][0]), done.stdout
    return run


def test_85_01_addresses_are_https(curl):
    code, body = curl("/notes/x?a=1")
    said = json.loads(body)
    assert code == 200 and said["url"].startswith("https://app.example") and said["args"] == {"a": ["1"]}


def test_85_02_downloads(curl):
    assert curl("/file") == (200, BIG)
    code, body = curl("/stream/3000?word=w")
    assert code == 200 and body.count(b"\n") == 3000
    assert curl("/file", "-r", "100-199") == (206, BIG[100:200])
    assert curl("/status/204") == (204, b"")
    code, body = curl("/headers", "-D", "-")
    assert body.lower().count(b"x-twice: ") == 2


def test_85_03_uploads(curl, tmp_path):
    path = tmp_path / "big.bin"
    path.write_bytes(BIG)
    digest = hashlib.sha256(BIG).hexdigest()
    code, body = curl("/upload", "-F", "title=x", "-F", f"f=@{path};type=x/y")
    assert json.loads(body)["files"] == [["f", "big.bin", "x/y", len(BIG), digest]]
    # -T - has no length: chunked in HTTP/1.1, and just no length in HTTP/2.
    code, body = curl("/raw", "-X", "PUT", "-T", "-", data=BIG)
    assert json.loads(body) == {"size": len(BIG), "sha256": digest}
    assert curl("/echo", "-H", "Content-Type: x/y", "--data-binary", f"@{path}") == (200, BIG)
    assert curl("/raw", "-X", "POST", "-d", "")[0] == 200


def test_85_04_many_streams_of_one_connection(site, mode, curl, tmp_path):
    paths = ["file", "stream/500", "notes/a", "memory", "headers", "file"] * 4
    port = site.port(mode + "-tls")
    more = []
    for n, path in enumerate(paths):
        more += ["-o", str(tmp_path / str(n)), f"https://app.example:{port}/prefix/{path}"]
    curl("/notes/last", "-f", "--parallel", "--parallel-max", "12", *more, "-o", str(tmp_path / "last"))
    for n, path in enumerate(paths):
        got = (tmp_path / str(n)).read_bytes()
        assert got == BIG if path == "file" else got
        assert path != "stream/500" or got.count(b"\n") == 500


def test_85_05_behind_a_proxy_that_is_trusted(site, mode):
    port = site.port(mode + "-front")
    said = client.fetch(port, "/prefix/notes/x", HOST).json()
    assert said["url"] == "https://app.example/prefix/notes/x"
    with client.Conn(port) as conn:
        assert conn.get("/prefix/file", HOST).body == BIG
        for chunk in (None, 4096):
            fields = HOST + [("Transfer-Encoding", "chunked")] * bool(chunk)
            body = client.chunked(BIG, chunk) if chunk else BIG
            assert conn.get("/prefix/echo", fields, "POST", body).body == BIG
        sent = conn.get("/prefix/login", HOST + [("Content-Type", "application/x-www-form-urlencoded")], "POST",
                        b"user=ada")
        assert sent.status == 302 and sent.get("Location") == "/prefix/me"


def test_85_06_untrusted_forwarded_fields_change_nothing(site, mode):
    forged = HOST + [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")]
    said = client.fetch(site.port(mode), "/prefix/notes/x", forged).json()
    assert said["url"] == "http://app.example/prefix/notes/x"


def test_85_07_compressed_both_ways(site, mode):
    words = random.Random(12).choices([b"one", b"two", b"three", b"four", b"five\n"], k=300_000)
    text = b" ".join(words)
    with client.Conn(site.port(mode + "-packed")) as conn:
        for path in ("/prefix/stream/2000", "/prefix/memory", "/prefix/notes/x"):
            plain = conn.get(path, HOST)
            packed = conn.get(path, HOST + [("Accept-Encoding", "gzip")])
            assert packed.get("Content-Encoding") == "gzip" and gzip.decompress(packed.body) == plain.body
        fields = HOST + [("Content-Encoding", "gzip"), ("Content-Type", "text/plain")]
        for coded in (False, True):
            body = gzip.compress(text)
            more = [("Transfer-Encoding", "chunked")] * coded
            rsp = conn.get("/prefix/raw", fields + more, "PUT", client.chunked(body, 999) if coded else body)
            assert rsp.json() == {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}


def test_85_08_body_that_the_filter_refuses(site, mode):
    """mod_deflate inflates no more than 200 to 1; the application is told of that, not of some other error."""
    site.log.allow("AH02649", "ERROR in app: Exception on /raw", traceback=True)
    since = site.log.mark()
    with client.Conn(site.port(mode + "-packed")) as conn:
        fields = HOST + [("Content-Encoding", "gzip"), ("Content-Type", "text/plain")]
        rsp = conn.get("/prefix/raw", fields, "PUT", gzip.compress(b"the same words\n" * 100_000))
        assert rsp.status == 500 and rsp.json() == {"failed": "OSError"}
    line = site.log.wait("OSError: mod_wsgi request data read error", since, f"{mode}-packed.log")
    assert line.text.split("read error: ")[1] in ("Invalid argument",
                                                  "the body is malformed or could not be decoded")
