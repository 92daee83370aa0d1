"""Answers that httpd gives in place of the application's, and HEAD requests that are GET to it."""

import gzip
import json
import os
from urllib.parse import quote

import pytest

from harness import client

PASSWORDS = "user:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"  # password
BASIC = ("Authorization", "Basic dXNlcjpwYXNzd29yZA==")

VHOST = """
    WSGIScriptAlias /over @apps@/answer/wsgi.py
    <Location /over>
        WSGIErrorOverride On
    </Location>
    <Location /over/text>
        ErrorDocument 404 "no such thing here"
        ErrorDocument 401 "who are you"
    </Location>
    <Location /over/script>
        ErrorDocument 404 /environ/error?a=1
        ErrorDocument 503 /environ/error
    </Location>
    <Location /over/again>
        ErrorDocument 404 /over?%7B%22status%22%3A%22404%20Again%22%7D
    </Location>
    <Location /over/off>
        WSGIErrorOverride Off
    </Location>
    Alias /file @dir@/file
    Alias /cgi @dir@/cgi
    <Directory @dir@/file>
        Require all granted
    </Directory>
    <Location /file/secret>
        AuthType Basic
        AuthName x
        AuthUserFile @dir@/conf/passwords
        Require valid-user
    </Location>
    <Location /file/denied>
        Require all denied
    </Location>
    WSGIScriptAlias /head-on @apps@/answer/wsgi.py
    WSGIScriptAlias /head-env @apps@/environ/wsgi.py
    WSGIScriptAlias /head-method @apps@/method/wsgi.py
    <LocationMatch /on$>
        WSGIMapHEADToGET On
    </LocationMatch>
    <LocationMatch /off$>
        WSGIMapHEADToGET Off
    </LocationMatch>
    <LocationMatch ^/head-method/deflate>
        SetOutputFilter DEFLATE
    </LocationMatch>
"""

SITE = {"vhost": VHOST, "modules": ("authn_core", "authn_file", "auth_basic", "authz_user", "filter", "deflate")}


@pytest.fixture(scope="module", autouse=True)
def files(site):
    os.mkdir(site.path("file"))
    os.chmod(site.path("file"), 0o755)
    for name, text in [("plain.txt", "plain text"), ("secret.txt", "a secret"), ("denied.txt", "denied"),
                       ("page.html", "<p>page")]:
        with open(site.path("file", name), "w", encoding="ascii") as f:
            f.write(text)
    for name in ("secret", "denied"):
        os.mkdir(site.path("file", name))
        os.chmod(site.path("file", name), 0o755)
        os.rename(site.path("file", name + ".txt"), site.path("file", name, "x.txt"))
    with open(site.path("conf", "passwords"), "w", encoding="ascii") as f:
        f.write(PASSWORDS)
    os.chmod(site.path("conf", "passwords"), 0o644)


@pytest.fixture
def port(site, mode):
    return site.port(mode)


def plan(path, **kw):
    return path + "?" + quote(json.dumps(kw))


def ask(port, path, fields=(), method="GET", body=None, version="1.1", **kw):
    return client.fetch(port, plan(path, **kw), fields, method, body, version)


# -- WSGIErrorOverride

ERRORS = ["400 Bad", "403 No", "404 Not Here", "410 Gone", "500 Broken", "503 Busy", "599 Odd"]


@pytest.mark.parametrize("way", ["list", "generator", "write"])
@pytest.mark.parametrize("status", ERRORS)
def test_replaced_01_error_override(port, status, way):
    rsp = ask(port, "/over", status=status, way=way, blocks=[10, 70000], headers=[["X-Mine", "1"], ["ETag", '"x"']])
    assert rsp.status == (500 if status == "599 Odd" else int(status[:3])) and rsp.complete
    assert b"0000000\n" not in rsp.body and b"<html>" in rsp.body
    assert not rsp.all("X-Mine") and not rsp.all("ETag")


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "302 Found", "304 Not Modified", "399 Odd", "600 Odd"])
def test_replaced_02_what_is_no_error_is_not_overridden(port, status):
    rsp = ask(port, "/over", status=status, headers=[["X-Mine", "1"]], text="mine")
    assert rsp.status == int(status[:3]) and rsp.get("X-Mine") == "1"
    assert rsp.body == (b"" if status.startswith("304") else b"mine")


def test_replaced_03_off_in_a_section_and_by_default(port):
    for path in ("/over/off", "/answer"):
        rsp = ask(port, path, status="404 Not Here", text="mine")
        assert (rsp.status, rsp.reason, rsp.body) == (404, "Not Here", b"mine")


def test_replaced_04_error_document(port):
    rsp = ask(port, "/over/text", status="404 Not Here", text="mine")
    assert (rsp.status, rsp.body) == (404, b"no such thing here")
    rsp = ask(port, "/over/script", status="404 Not Here", text="mine", headers=[["Set-Cookie", "a=1"]])
    env = {key: value for key, (_, value) in rsp.json().items()}
    assert rsp.status == 200 and rsp.get("Set-Cookie") == "a=1"  # the second application says so
    assert env["REDIRECT_STATUS"] == "404" and env["REDIRECT_URL"] == "/over/script"
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["QUERY_STRING"]) == ("/environ", "/error", "a=1")


def test_replaced_05_an_error_document_that_fails_too_ends(port):
    rsp = ask(port, "/over/again", status="404 Not Here", text="mine")
    assert rsp.status == 404 and rsp.complete and b"<html>" in rsp.body


def test_replaced_06_what_the_client_needs_stays(port):
    rsp = ask(port, "/over/text", status="401 Who", text="mine", headers=[
        ["WWW-Authenticate", 'Basic realm="a"'], ["WWW-Authenticate", 'Digest realm="b"'], ["Set-Cookie", "a=1"],
        ["Set-Cookie", "b=2"], ["X-Other", "1"]])
    assert (rsp.status, rsp.body) == (401, b"who are you")
    assert rsp.all("WWW-Authenticate") == ['Basic realm="a"', 'Digest realm="b"']
    assert rsp.all("Set-Cookie") == ["a=1", "b=2"] and not rsp.all("X-Other")
    rsp = ask(port, "/over", status="503 Busy", headers=[["Retry-After", "7"], ["Allow", "GET"]])
    assert rsp.get("Retry-After") == "7" and rsp.get("Allow") is None


@pytest.mark.parametrize("way", ["list", "generator", "write"])
def test_replaced_07_an_application_that_fails_behind_an_overridden_head(port, log, way):
    log.allow("WSGI0174", traceback=True)
    with client.Conn(port) as conn:
        rsp = conn.get(plan("/over", status="404 Not Here", blocks=[10, 20], fail=1, way=way))
        assert rsp.status == (500 if way == "list" else 404) and rsp.complete and b"<html>" in rsp.body
        assert rsp.close or conn.get("/hello").status == 200


def test_replaced_08_override_with_post_and_a_kept_connection(port):
    with client.Conn(port) as conn:
        for body in (b"x", b"y" * 100000):
            rsp = conn.get(plan("/over", status="404 Not Here", text="mine"), method="POST", body=body)
            assert rsp.status == 404 and b"<html>" in rsp.body
            assert conn.get("/hello").status == 200


# -- 200 with Location

def test_replaced_09_local_redirect_in_a_daemon(port, mode):
    rsp = ask(port, "/answer", headers=[["Location", "/file/plain.txt"], ["Content-Type", "text/html"]],
              text="mine")
    if mode == "embedded":
        assert (rsp.status, rsp.body, rsp.get("Location")) == (200, b"mine", "/file/plain.txt")
    else:
        assert (rsp.status, rsp.body) == (200, b"plain text") and rsp.get("Location") is None


@pytest.mark.parametrize("status,location", [
    ("200 OK", "http://test.invalid/x"), ("200 OK", "file/plain.txt"), ("200 OK", ""), ("201 Created", "/file/plain.txt"),
    ("302 Found", "/file/plain.txt"), ("404 Not Found", "/file/plain.txt"), ("206 Partial Content", "/file/plain.txt")])
def test_replaced_10_other_locations_are_the_client_s(port, status, location):
    rsp = ask(port, "/answer", status=status, headers=[["Location", location]], text="mine")
    assert (rsp.status, rsp.body) == (int(status[:3]), b"mine")


@pytest.fixture
def daemon_port(site):
    return site.port("daemon")


def to(path, *headers):
    return {"headers": [["Location", path], *headers], "text": "mine"}


def test_replaced_11_local_redirect_asks_for_authorisation_again(daemon_port, log):
    log.allow("AH01630")
    rsp = ask(daemon_port, "/answer", **to("/file/denied/x.txt"))
    assert rsp.status == 403 and b"denied" not in rsp.body.replace(b"denied/", b"")
    rsp = ask(daemon_port, "/answer", **to("/file/secret/x.txt"))
    assert rsp.status == 401 and b"a secret" not in rsp.body and rsp.get("WWW-Authenticate")
    rsp = ask(daemon_port, "/answer", [BASIC], **to("/file/secret/x.txt"))
    assert (rsp.status, rsp.body) == (200, b"a secret")


def test_replaced_12_local_redirect_never_changes_the_handler(daemon_port):
    for kind in ("wsgi-script", "application/x-httpd-wsgi", "application/x-httpd-cgi", "cgi-script",
                 "server-status", "text/x-server-parsed-html"):
        rsp = ask(daemon_port, "/answer", **to("/file/plain.txt", ["Content-Type", kind]))
        assert (rsp.status, rsp.body) == (200, b"plain text")


def test_replaced_13_local_redirect_that_goes_in_circles_ends(daemon_port, log):
    log.allow("AH00124")  # internal redirects exceed LimitInternalRecursion
    twice = plan("/answer", **to(plan("/answer", **to("/file/plain.txt"))))
    assert client.fetch(daemon_port, twice).body == b"plain text"
    rsp = client.fetch(daemon_port, "/round")
    assert rsp.status == 500 and rsp.complete and b"round and round" not in rsp.body
    assert log.find("AH00124")
    assert client.fetch(daemon_port, "/echo?x").body == b"x"


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("size", [0, 100, 300000])
@pytest.mark.parametrize("read", [0, -1, 50])
def test_replaced_14_local_redirect_is_a_get_without_a_body(daemon_port, method, size, read):
    with client.Conn(daemon_port) as conn:
        body = b"b" * size if size else None
        rsp = conn.get(plan("/answer", read=read, **to("/environ/x?a=1")), method=method, body=body)
        assert rsp.status == 200 and rsp.complete
        if method != "HEAD":
            env = {key: value for key, (_, value) in rsp.json().items()}
            assert (env["REQUEST_METHOD"], env["PATH_INFO"], env["QUERY_STRING"]) == ("GET", "/x", "a=1")
            assert "CONTENT_LENGTH" not in env and env["REDIRECT_URL"] == "/answer"
        assert conn.get("/echo?x").body == b"x"


def test_replaced_15_local_redirect_of_a_chunked_request(daemon_port):
    with client.Conn(daemon_port) as conn:
        conn.request("POST", plan("/answer", **to("/environ")), [("Transfer-Encoding", "chunked")],
                     client.chunked(b"z" * 50000, 1000))
        env = conn.response().json()
        assert "HTTP_TRANSFER_ENCODING" not in env
        assert conn.get("/echo?x").body == b"x"


def test_replaced_16_local_redirect_keeps_cookies_and_drops_the_rest(daemon_port):
    rsp = ask(daemon_port, "/answer", **to("/file/plain.txt", ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"],
                                           ["X-Mine", "1"], ["Content-Length", "4"]))
    assert rsp.body == b"plain text" and rsp.all("Set-Cookie") == ["a=1", "b=2"]
    assert not rsp.all("X-Mine") and rsp.get("Content-Length") == "10"


@pytest.mark.parametrize("path,status", [("/nothing/here", 404), ("/%zz", 400), ("/a%00b", 404), ("//test.invalid/x", 404),
                                         ("/../../etc/passwd", 400), ("/a b", 404)])
def test_replaced_17_local_redirect_to_nothing_good(daemon_port, log, path, status):
    log.allow("AH00026", "AH02420", "AH10244", "AH00036")
    rsp = ask(daemon_port, "/answer", **to(path))
    assert rsp.status in (status, 400, 403, 404) and b"root:" not in rsp.body


@pytest.mark.parametrize("way", ["generator", "write"])
def test_replaced_18_local_redirect_of_an_application_that_fails(daemon_port, log, way):
    log.allow("WSGI0174", traceback=True)
    rsp = ask(daemon_port, "/answer", way=way, blocks=[5, 5], fail=1, headers=[["Location", "/file/plain.txt"]])
    assert rsp.status == 500 and b"plain text" not in rsp.body


# -- HEAD

METHODS = [("/head-method", "HEAD"), ("/head-method/on", "GET"), ("/head-method/off", "HEAD"),
           ("/head-method/deflate", "GET"), ("/head-method/deflate/on", "GET"), ("/head-method/deflate/off", "HEAD")]


@pytest.mark.parametrize("path,method", METHODS, ids=[row[0] for row in METHODS])
def test_replaced_19_method_of_a_head_request(port, path, method):
    with client.Conn(port) as conn:
        fields = [("Accept-Encoding", "gzip")]
        rsp = conn.get(path, fields, method="HEAD")
        assert rsp.status == 200 and rsp.get("X-Method") == method
        assert conn.get("/echo?x").body == b"x"
        assert conn.get(path, fields).get("X-Method") == "GET"
        assert conn.get(path, fields, method="POST", body=b"x").get("X-Method") == "POST"


def test_replaced_20_head_has_the_header_of_get_through_a_filter(port):
    with client.Conn(port) as conn:
        fields = [("Accept-Encoding", "gzip")]
        get = conn.get("/head-method/deflate", fields)
        assert get.get("Content-Encoding") == "gzip" and b"GET" in gzip.decompress(get.body)
        head = conn.get("/head-method/deflate", fields, method="HEAD")
        assert head.complete and head.body == b""
        names = ("Content-Encoding", "Vary", "Content-Type", "X-Method", "ETag")
        assert [head.all(n) for n in names] == [get.all(n) for n in names]
        assert conn.get("/echo?x").body == b"x"


@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("way", ["list", "generator", "write"])
def test_replaced_21_head_as_get_carries_no_body(port, way, length):
    headers = [["Content-Length", "70010"]] if length else []
    with client.Conn(port) as conn:
        for path in ("/answer", "/answer/on", "/answer/off"):
            rsp = conn.get(plan(path, way=way, blocks=[10, 70000], headers=headers), method="HEAD")
            assert rsp.status == 200 and rsp.complete
            assert rsp.get("Content-Length") in ((("70010",) if length else ("70010", None)))
            assert conn.get("/echo?x").body == b"x"
