"""The same answers over HTTP/2, TLS, behind mod_proxy and over HTTP/1.0: none that is cut looks complete."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from urllib.parse import quote

import pytest

from conftest import DEFAULT_MAIN, DEFAULT_VHOST, MODES, apps_config
from harness import client, server, wait

SIZE = 100000
HTTP2 = server.MPM != "prefork"  # mod_http2 does not work with it

TLS = """
    SSLEngine on
    SSLCertificateFile @dir@/conf/cert.pem
    SSLCertificateKeyFile @dir@/conf/key.pem
    <Location /environ>
        SSLOptions +StdEnvVars
    </Location>
    WSGIScriptAlias /plain @apps@/environ/wsgi.py
    WSGIScriptAlias /trusting @apps@/environ/wsgi.py
    <Location /trusting>
        WSGITrustedProxyHeaders X-Forwarded-Proto
    </Location>
"""
PROXY = """
    ProxyPass / http://127.0.0.1:@port:{0}@/
    ProxyPassReverse / http://127.0.0.1:@port:{0}@/
"""
MAIN = DEFAULT_MAIN + "Protocols h2 h2c http/1.1\nLogLevel ssl:error\nSSLSessionCache none\nProxyTimeout 20\n"


@pytest.fixture(scope="module")
def site(httpd):
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    vhosts = {}
    for mode in MODES:
        vhosts[mode] = DEFAULT_VHOST[mode] + apps_config()
        vhosts[mode + "-tls"] = DEFAULT_VHOST[mode] + apps_config() + TLS
        vhosts[mode + "-proxy"] = PROXY.format(mode)
    modules = ("ssl", "proxy", "proxy_http") + (("http2",) if HTTP2 else ())
    made = httpd.make(main=MAIN if HTTP2 else MAIN.replace("Protocols h2 h2c http/1.1\n", ""), vhosts=vhosts,
                      modules=modules)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=test.invalid", "-keyout", made.path("conf", "key.pem"), "-out",
                    made.path("conf", "cert.pem")], check=True, capture_output=True)
    return made.start()


# -- HTTP/2

class Answer:
    """What nghttp -v saw of one request."""

    def __init__(self, text):
        self.text = text
        found = re.search(r":status: (\d+)", text)
        self.status = int(found[1]) if found else None
        self.size = sum(int(n) for n in re.findall(r"recv DATA frame <length=(\d+)", text))
        self.reset = re.search(r"recv RST_STREAM frame .*\n\s+\(error_code=(\w+)", text)
        self.ended = bool(re.search(r"recv (DATA|HEADERS) frame <[^>]*>\n\s+; END_STREAM", text))
        self.names = {n.lower() for n in re.findall(r"recv \(stream_id=\d+[^)]*\) ([\w-]+): ", text)}

    @property
    def complete(self):
        return self.ended and not self.reset


def nghttp(port, path, *options, tls=False, body=None, folder=None):
    if not HTTP2 or not shutil.which("nghttp"):
        pytest.skip("no HTTP/2 here")
    command = ["nghttp", "--no-verify-peer", *options]
    if body is not None:
        name = os.path.join(folder, "upload")
        with open(name, "wb") as f:
            f.write(body)
        command += ["-d", name]
    command.append(f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}")
    return subprocess.run(command, capture_output=True, timeout=60 * wait.SLOW, check=False)


def h2(port, path, *options, **kw):
    return Answer(nghttp(port, path, "-nv", *options, **kw).stdout.decode("latin-1"))


@pytest.fixture(params=[False, True], ids=["h2c", "h2"])
def tls(request):
    return request.param


@pytest.fixture
def port2(site, mode, tls):
    return site.port(mode + "-tls" if tls else mode)


def framing(query, nonce="N"):
    return f"/framing?nonce={nonce}&size={SIZE}&{query}"


def test_transport_01_http2(port2, tls):
    out = nghttp(port2, framing("kind=good"), tls=tls).stdout
    assert out == (b"N" + b"." * SIZE)[:SIZE]
    answer = h2(port2, framing("kind=good"), tls=tls)
    assert (answer.status, answer.size, answer.complete) == (200, SIZE, True)


@pytest.mark.parametrize("n", [0, 1, 4999, 70000])
@pytest.mark.parametrize("kind", ["short", "raise", "raise-length"])
def test_transport_02_http2_resets_a_stream_that_is_cut(port2, tls, site, kind, n):
    site.log.allow("WSGI0174", "WSGI0536", traceback=True)
    answer = h2(port2, framing(f"kind={kind}&n={n}"), tls=tls)
    if answer.status == 500:
        assert answer.complete
    else:  # the head may not have gone out yet
        assert answer.status in (200, None) and not answer.complete and answer.reset, answer.text
        assert answer.size <= n
    assert h2(port2, "/hello", tls=tls).complete


def test_transport_03_http2_and_a_worker_that_dies(site, tls, own_httpd):
    if not HTTP2:
        pytest.skip("no HTTP/2 here")
    httpd = own_httpd(main=MAIN.replace("LogLevel ssl:error\nSSLSessionCache none\n", "").replace("ProxyTimeout 20\n", ""),
                      modules=("http2",), vhosts={"main": DEFAULT_VHOST["daemon"] + apps_config()})
    httpd.log.allow("WSGI", traceback=True)
    answer = h2(httpd.port(), framing("kind=kill&n=70000"))
    assert answer.status == 502 or not answer.complete
    wait.until(lambda: h2(httpd.port(), "/hello").status == 200, 15)


def test_transport_04_http2_longer_than_announced(port2, tls, site):
    site.log.allow("WSGI0535")
    for kind in ("long", "long-later", "long-written"):
        answer = h2(port2, framing(f"kind={kind}"), tls=tls)
        assert (answer.status, answer.size, answer.complete) == (200, SIZE, True)


@pytest.mark.parametrize("status", ["204%20No%20Content", "304%20Not%20Modified"])
def test_transport_05_http2_without_a_body(port2, tls, status):
    answer = h2(port2, framing(f"kind=status&status={status}"), tls=tls)
    assert (answer.status, answer.size, answer.complete) == (int(status[:3]), 0, True)


def test_transport_06_http2_head(port2, tls):
    for path in (framing("kind=good"), "/output?way=generator", "/output?way=long"):
        answer = h2(port2, path, "-H:method: HEAD", tls=tls)
        assert (answer.status, answer.size, answer.complete) == (200, 0, True)


@pytest.mark.parametrize("name,value", [("Connection", "close"), ("Keep-Alive", "x"), ("Upgrade", "x"),
                                        ("Transfer-Encoding", "chunked"), ("TE", "trailers")])
def test_transport_07_http2_has_no_hop_by_hop_fields(port2, tls, site, name, value):
    answer = h2(port2, framing(f"kind=hop&name={name}&value={value}"), tls=tls)
    assert answer.status in (200, 500) and name.lower() not in answer.names
    if answer.status == 200:
        assert answer.complete and answer.size == SIZE
    else:
        site.log.allow("WSGI0174", traceback=True)


@pytest.mark.parametrize("size", [0, 1, 16385, 1 << 20])
@pytest.mark.parametrize("announced", [True, False])
def test_transport_08_http2_upload(port2, tls, notes, size, announced):
    body = os.urandom(size)
    options = [] if announced else ["--no-content-length"]
    done = nghttp(port2, "/echo?empty", *options, tls=tls, body=body, folder=notes.folder)
    assert done.stdout == (body or b"empty")


def test_transport_09_http2_environ(port2, tls, mode):
    out = nghttp(port2, "/environ/a%20b?c=1", tls=tls).stdout
    env = {key: value for key, (_, value) in json.loads(out).items()}
    assert env["SERVER_PROTOCOL"] == "HTTP/2.0" and env["REQUEST_METHOD"] == "GET"
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["QUERY_STRING"]) == ("/environ", "/a b", "c=1")
    assert env["HTTP_HOST"] == f"127.0.0.1:{port2}" and env["REQUEST_URI"] == "/environ/a%20b?c=1"
    assert env["wsgi.url_scheme"] == ("https" if tls else "http") and not any(":" in key for key in env)
    assert env["mod_wsgi.process_group"] == ("group" if mode == "daemon" else "")


def test_transport_10_http2_many_streams(port2, tls):
    if not HTTP2 or not shutil.which("h2load"):
        pytest.skip("no HTTP/2 here")
    done = subprocess.run(["h2load", "-n", "300", "-c", "3", "-m", "20",
                           f"{'https' if tls else 'http'}://127.0.0.1:{port2}{framing('kind=good')}"],
                          capture_output=True, text=True, timeout=60 * wait.SLOW, check=True)
    assert "300 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    assert "2xx, 0 3xx, 0 4xx, 0 5xx" in done.stdout


def test_transport_11_http2_client_that_leaves(port2, tls, site, notes):
    """In the middle of an endless answer; the application's thread is free again."""
    if not HTTP2 or not shutil.which("nghttp"):
        pytest.skip("no HTTP/2 here")
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port2}/closing?key={notes.key}&way=endless"
    for _ in range(6):
        with subprocess.Popen(["nghttp", "--no-verify-peer", url], stdout=subprocess.PIPE) as child:
            assert child.stdout.read(100000)
            child.kill()
    wait.until(lambda: notes.read("close").count("close") == 6, 20, "six closed answers")
    assert h2(port2, "/hello", tls=tls).status == 200


# -- TLS

def tls_conn(port):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return client.Conn(port, sock=context.wrap_socket(socket.create_connection(("127.0.0.1", port), 15)))


def environ_of(rsp):
    return {key: value for key, (_, value) in rsp.json().items()}


def test_transport_12_tls_environ(site, mode):
    with tls_conn(site.port(mode + "-tls")) as conn:
        env = environ_of(conn.get("/environ"))
        assert env["wsgi.url_scheme"] == "https" and env["REQUEST_SCHEME"] == "https" and "HTTPS" not in env
        assert env["SSL_PROTOCOL"].startswith("TLSv1.") and env["SSL_CIPHER"]
        assert env["SSL_SERVER_S_DN_CN"] == "test.invalid"
        env = environ_of(conn.get("/plain"))
        assert env["wsgi.url_scheme"] == "https" and "SSL_PROTOCOL" not in env and "HTTPS" not in env


def test_transport_13_trusted_scheme_beats_tls(site, mode):
    with tls_conn(site.port(mode + "-tls")) as conn:
        for value, scheme in [("http", "http"), ("https", "https"), ("gopher", "https")]:
            env = environ_of(conn.get("/trusting", [("X-Forwarded-Proto", value)]))
            assert env["wsgi.url_scheme"] == scheme and env["REQUEST_SCHEME"] == "https"
        assert environ_of(conn.get("/plain", [("X-Forwarded-Proto", "http")]))["wsgi.url_scheme"] == "https"


KINDS = ["kind=good", "kind=long", "kind=short&n=0", "kind=short&n=4999", "kind=short&n=70000", "kind=raise&n=0",
         "kind=raise&n=4999", "kind=raise&n=70000", "kind=raise-length&n=70000"]


def check(conn, query, nonce, version="1.1"):
    """Two requests at once: the first answer is whole, or can be seen to be cut; the second is its own."""
    ours, theirs = nonce(), nonce()
    keep = [("Connection", "keep-alive")] if version == "1.0" else []
    conn.send(conn.build("GET", framing(query, ours), keep, version=version) +
              conn.build("GET", f"/framing?nonce={theirs}&kind=good", [("Connection", "close")], version=version))
    first = conn.response()
    assert first is not None and theirs.encode() not in first.body and b"EVIL" not in first.body
    if first.status == 200:
        assert (ours + "." * SIZE)[:SIZE].encode().startswith(first.body)
        good = query in ("kind=good", "kind=long")
        assert good == (first.complete and len(first.body) == SIZE)
        assert good or not first.complete or first.framing == "close"
    else:
        assert first.status in (500, 502) and ours.encode() not in first.body
    if first.complete and not first.close:
        second = conn.response()
        if second is not None:
            assert second.status == 200 and theirs.encode() in second.body and ours.encode() not in second.body
    conn.at_end()


@pytest.mark.parametrize("query", KINDS)
def test_transport_14_tls_framing(site, mode, nonce, query):
    site.log.allow("WSGI0174", "WSGI0535", "WSGI0536", traceback=True)
    with tls_conn(site.port(mode + "-tls")) as conn:
        check(conn, query, nonce)


# -- mod_proxy

@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("query", KINDS)
def test_transport_15_proxy_framing(site, mode, nonce, query, version):
    site.log.allow("WSGI0174", "WSGI0535", "WSGI0536", "AH01", "AH10", traceback=True)
    with client.Conn(site.port(mode + "-proxy")) as conn:
        check(conn, query, nonce, version)


@pytest.mark.parametrize("size", [0, 1, 16385, 1 << 20])
@pytest.mark.parametrize("coded", [False, True])
def test_transport_16_proxy_upload(site, mode, size, coded):
    body = os.urandom(size)
    with client.Conn(site.port(mode + "-proxy")) as conn:
        for _ in range(2):
            if coded:
                conn.request("POST", "/echo?empty", [("Transfer-Encoding", "chunked")], client.chunked(body, 10000))
                rsp = conn.response("POST")
            else:
                rsp = conn.get("/echo?empty", method="POST", body=body)
            assert rsp.status == 200 and rsp.body == (body or b"empty")


def test_transport_17_proxy_and_who_is_believed(site, mode):
    """mod_proxy adds X-Forwarded-*; where nobody asked for it that changes nothing."""
    env = environ_of(client.fetch(site.port(mode + "-proxy"), "/environ"))
    assert env["HTTP_X_FORWARDED_FOR"] == "127.0.0.1" and env["REMOTE_ADDR"] == "127.0.0.1"
    assert env["HTTP_HOST"] == f"127.0.0.1:{site.port(mode)}"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "404 Not Here", "503 Closed"])
def test_transport_18_proxy_and_any_status(site, mode, status):
    with client.Conn(site.port(mode + "-proxy")) as conn:
        rsp = conn.get("/answer?" + quote(json.dumps({"status": status, "text": "mine"})))
        assert rsp.status == int(status[:3])
        assert rsp.body == (b"" if status[:3] in ("204", "304") else b"mine")
        assert rsp.close or conn.get("/echo?x").body == b"x"


# -- HTTP/1.0

def test_transport_19_http_1_0_knows_the_length_of_what_it_gets(site, mode, nonce):
    """A list's length is known; a generator's end is the connection's."""
    with client.Conn(site.port(mode)) as conn:
        rsp = conn.get("/answer?" + quote('{"text": "abc"}'), [("Connection", "keep-alive")], version="1.0")
        assert rsp.framing == "length" and not rsp.close and rsp.body == b"abc"
        rsp = conn.get("/output?way=generator", [("Connection", "keep-alive")], version="1.0")
        assert rsp.body == b"abc" and rsp.complete and (rsp.framing == "close" or rsp.get("Content-Length") == "3")


def test_transport_20_no_chunks_for_http_1_0(site, mode):
    for way in ("generator", "long_blocks", "write", "empty_generator"):
        rsp = client.fetch(site.port(mode), f"/output?way={way}", version="1.0")
        assert rsp.status == 200 and rsp.framing in ("close", "length") and rsp.complete
