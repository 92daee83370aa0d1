"""What applications and configurations rely on and no other test shows: rows of docs/compatibility.md."""

import glob
import json
import os
import re
import shutil
from urllib.parse import quote

import pytest

from harness import client, server

VHOST = """
    Alias /index @dir@/index
    <Directory @dir@/index>
        DirectoryIndex index.wsgi
        Options ExecCGI
        AddHandler wsgi-script .wsgi
    </Directory>
    ErrorDocument 404 /environ/error?of=404
    WSGIScriptAlias /current @apps@/environ/wsgi.py
    <Location /current>
        CGIVar REQUEST_URI current-uri
    </Location>
    WSGIScriptAlias /proxyauth @apps@/environ/wsgi.py
    <Location /proxyauth>
        CGIPassAuth On
    </Location>
    RewriteEngine On
    RewriteRule ^/rewritten/(.*)$ /environ/to/$1 [PT,E=BY_RULE:yes]
    AllowEncodedSlashes NoDecode
    WSGIScriptAlias /path @apps@/modules/wsgi.py
    WSGIScriptAlias /nopath @apps@/environ/wsgi.py
    <Location /nopath>
        AcceptPathInfo Off
    </Location>
"""
SITE = {"vhost": VHOST, "modules": ("rewrite",)}


@pytest.fixture(scope="module", autouse=True)
def index(site):
    os.mkdir(site.path("index"))
    os.chmod(site.path("index"), 0o755)
    shutil.copy(site.path("apps", "environ", "wsgi.py"), site.path("index", "index.wsgi"))
    os.chmod(site.path("index", "index.wsgi"), 0o644)


@pytest.fixture
def port(site, mode):
    return site.port(mode)


def environ(port, path, fields=(), **kw):
    rsp = client.fetch(port, path, fields, **kw)
    return {key: value for key, (_, value) in rsp.json().items()}


def answer(port, fields=(), **plan):
    return client.fetch(port, "/answer?" + quote(json.dumps(plan)), fields)


def test_compatibility_01_directory_index(port, site):
    env = environ(port, "/index/?a=1")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/index/index.wsgi", "")
    assert env["SCRIPT_FILENAME"] == site.path("index", "index.wsgi")
    assert (env["REQUEST_URI"], env["QUERY_STRING"]) == ("/index/?a=1", "a=1")


def test_compatibility_02_error_document(port):
    """REDIRECT_* after an internal redirect; the second request is a GET of its own."""
    env = environ(port, "/not/there?x=y", method="POST", body=b"")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["QUERY_STRING"]) == ("/environ", "/error", "of=404")
    assert env["REDIRECT_URL"] == "/not/there" and env["REDIRECT_QUERY_STRING"] == "x=y"
    assert env["REDIRECT_STATUS"] == "404" and env["REQUEST_METHOD"] == "GET"
    assert env["REQUEST_URI"] == "/not/there?x=y"


def test_compatibility_03_rewritten(port):
    env = environ(port, "/rewritten/a%20b?c=1")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["QUERY_STRING"]) == ("/environ", "/to/a b", "c=1")
    assert env["REQUEST_URI"] == "/rewritten/a%20b?c=1" and env["BY_RULE"] == "yes"


def test_compatibility_04_encoded_slashes(port):
    assert environ(port, "/environ/a%2Fb")["PATH_INFO"] == "/a%2Fb"


def test_compatibility_05_encoded_slashes_are_404_by_default(own_httpd):
    httpd = own_httpd(vhosts={"main": "WSGIScriptAlias /environ @apps@/environ/wsgi.py\n"})
    httpd.log.allow("AH00026")
    assert httpd.fetch("/environ/a%2Fb").status == 404


def test_compatibility_06_current_uri(port):
    assert environ(port, "/current/a%20b?c=1")["REQUEST_URI"] == "/current/a b"


def test_compatibility_07_cgi_pass_auth_passes_both(port):
    fields = [("Authorization", "Basic eDp5"), ("Proxy-Authorization", "Basic eTp6")]
    env = environ(port, "/proxyauth", fields)
    assert env["HTTP_AUTHORIZATION"] == "Basic eDp5" and env["HTTP_PROXY_AUTHORIZATION"] == "Basic eTp6"
    assert "HTTP_PROXY_AUTHORIZATION" not in environ(port, "/environ", fields)


def test_compatibility_08_listener_and_child(port, site):
    env = environ(port, "/environ")
    assert (env["mod_wsgi.listener_host"], env["mod_wsgi.listener_port"]) == ("127.0.0.1", str(port))
    assert int(env["mod_wsgi.server_pid"]) in site.children()
    assert env["mod_wsgi.thread_id"] >= 1


def test_compatibility_09_what_cgi_has_and_wsgi_does_not(port):
    env = environ(port, "/environ/x")
    assert not {"PATH_TRANSLATED", "GATEWAY_INTERFACE", "SERVER_SIGNATURE", "REMOTE_HOST", "REMOTE_IDENT", "PATH",
                "LD_LIBRARY_PATH", "HTTPS"} & env.keys()


def test_compatibility_10_log_ids_are_there_only_if_httpd_made_them(port):
    env = environ(port, "/environ")
    assert "mod_wsgi.request_id" not in env and "mod_wsgi.connection_id" not in env


def test_compatibility_11_a_status_may_lack_its_reason(port):
    rsp = answer(port, status="200", text="x")
    assert (rsp.status, rsp.reason, rsp.body) == (200, "OK", b"x")


def test_compatibility_12_no_status_text_is_special(port):
    rsp = answer(port, status="200 Error", text="x")
    assert (rsp.status, rsp.reason, rsp.body) == (200, "Error", b"x")
    assert answer(port, status="200 Continue", text="x").body == b"x"


def test_compatibility_13_fields_of_the_answer(port):
    rsp = answer(port, text="x", headers=[
        ["Content-Type", "Text/HTML; Charset=UTF-8"], ["Last-Modified", "Fri, 06 Nov 2099 08:49:37 GMT"],
        ["Vary", "a"], ["Vary", "b"], ["X-Twice", "1"], ["X-Twice", "2"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"],
        ["WWW-Authenticate", "Basic"], ["WWW-Authenticate", "Digest"], ["Date", "mine"], ["Server", "mine"]])
    assert rsp.get("Content-Type") == "Text/HTML; Charset=UTF-8"
    assert rsp.get("Last-Modified") == "Fri, 06 Nov 2099 08:49:37 GMT"
    assert rsp.get("Vary").replace(" ", "") == "a,b"
    assert rsp.all("X-Twice") == ["1", "2"] and rsp.all("Set-Cookie") == ["a=1", "b=2"]
    assert rsp.all("WWW-Authenticate") == ["Basic", "Digest"]
    assert rsp.get("Date") != "mine" and rsp.get("Server") != "mine"


def test_compatibility_14_ranges_and_validators_of_httpd(port):
    """The whole answer is there, so httpd may cut it and compare it."""
    fields = [["ETag", '"x"'], ["Content-Type", "text/plain"]]
    rsp = answer(port, [("Range", "bytes=2-4")], text="0123456789", headers=fields)
    assert (rsp.status, rsp.body) == (206, b"234") and rsp.get("Content-Range") == "bytes 2-4/10"
    rsp = answer(port, [("If-None-Match", '"x"')], text="0123456789", headers=fields)
    assert rsp.status in (200, 304)


def test_compatibility_15_path_info_can_be_refused(port, log):
    log.allow("WSGI0137")
    assert client.fetch(port, "/nopath").status == 200
    assert environ(port, "/nopath/x")["REDIRECT_STATUS"] == "404"


def test_compatibility_16_modules_of_python(port, mode):
    seen = client.fetch(port, "/path").json()
    assert seen["mod_wsgi"]["version"] == [6, 0, 5] and seen["mod_wsgi"]["process_group"] == \
        ("group" if mode == "daemon" else "")
    assert seen["mod_wsgi"]["application_group"].endswith("|/path")
    assert seen["mod_wsgi"]["threads_per_process"] >= 1 and seen["mod_wsgi"]["maximum_processes"] >= 1
    assert seen["apache"]["version"][:2] == [2, 4] and "Apache" in seen["apache"]["description"]
    assert seen["argv"] == ["mod_wsgi"]
    assert seen["name"].startswith("_mod_wsgi_") and len(seen["name"]) == len("_mod_wsgi_") + 32
    assert seen["file"].endswith("/apps/modules/wsgi.py")


def test_compatibility_17_wsgi_input_and_errors(port):
    seen = client.fetch(port, "/path").json()
    assert {"read", "readline", "readlines", "close"} <= set(seen["input"])
    assert not {"readinto", "read1", "fileno", "seek"} & set(seen["input"])
    assert seen["errors"] == {"isatty": False, "encoding": "utf-8", "buffer": 0, "fileno": "UnsupportedOperation"}
    assert seen["closed"] == "still open"


def test_compatibility_18_the_table_names_tests_that_exist():
    with open(os.path.join(server.REPO, "docs", "compatibility.md"), encoding="utf-8") as f:
        named = set(re.findall(r"([\w/]*test_\w+\.(?:py|c)|tests/\w+)::(test_\w+?_\d+)\b", f.read()))
    assert len(named) > 100
    for place, test in sorted(named):
        path = os.path.join(server.REPO, place if "/" in place else os.path.join("tests", "httpd", place))
        files = glob.glob(os.path.join(path, "test_*")) if os.path.isdir(path) else [path]
        text = ""
        for name in files:
            with open(name, encoding="utf-8") as f:
                text += f.read()
        assert re.search(rf"\b{test}_", text), f"{place} has no {test}"
