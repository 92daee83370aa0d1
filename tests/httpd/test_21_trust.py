"""Whom the headers of proxies are believed: trusted and untrusted peers, every header, every spelling."""

import os
import socket

import pytest

from harness import client

# A client on 127.0.0.2 is a proxy that /list trusts; one on 127.0.0.1 is not. /open names no proxies.
HEADERS = ("X-Forwarded-For X-Client-IP X-Real-IP X-Forwarded-Host X-Host X-Forwarded-Server X-Forwarded-Port "
           "X-Script-Name X-Forwarded-Script-Name X-Forwarded-Proto X-Forwarded-Scheme X-Scheme "
           "X-Forwarded-HTTPS X-Forwarded-SSL")
PROXY, STRANGER = "127.0.0.2", "127.0.0.1"

VHOST = f"""
    WSGIScriptAlias /list @apps@/environ/wsgi.py
    <Location /list>
        WSGITrustedProxyHeaders {HEADERS}
        WSGITrustedProxies {PROXY} 10.0.0.0/8
    </Location>
    WSGIScriptAlias /open @apps@/environ/wsgi.py
    <Location /open>
        WSGITrustedProxyHeaders {HEADERS}
    </Location>
    <Location /list/few>
        WSGITrustedProxyHeaders X-Real-IP
        WSGITrustedProxyHeaders X-Forwarded-For
    </Location>
    <Location /list/child>
        WSGITrustedProxies 127.0.0.3
        WSGITrustedProxies 127.0.0.4
    </Location>
    <Location /list/denied>
        Require ip 9.9.9.9
    </Location>
    <Location /list/https>
        SetEnv HTTPS on
    </Location>
    <Location /list/made>
        SetEnvIf X-Secret (.+) HTTP_X_FORWARDED_FOR=$1
        SetEnv HTTP_X_REAL_IP 7.7.7.7
    </Location>
    <Location /list/env>
        SetEnv wsgi.url_scheme gopher
        SetEnv wsgi.input hijacked
        SetEnv wsgi.made hijacked
        SetEnv mod_wsgi.mount_point hijacked
        SetEnv mod_wsgi.made hijacked
        SetEnv apache.version hijacked
        SetEnv REMOTE_ADDR hijacked
        SetEnv REQUEST_METHOD hijacked
        SetEnv SCRIPT_NAME hijacked
        SetEnv PATH_INFO hijacked
        SetEnv SERVER_NAME hijacked
        SetEnv SERVER_PORT 1
        SetEnv SERVER_PROTOCOL hijacked
        SetEnv QUERY_STRING hijacked
        SetEnv CONTENT_LENGTH 7
        SetEnv CONTENT_TYPE hijacked
        SetEnv HTTP_PROXY hijacked
        SetEnv HTTP_HOST hijacked
        SetEnv HTTPS On
    </Location>
    <Directory @apps@/environ>
        AllowOverride FileInfo
    </Directory>
"""

SITE = {"vhost": VHOST, "modules": ("authz_host",)}


def ask(port, path, fields=(), peer=STRANGER, **kw):
    sock = socket.create_connection(("127.0.0.1", port), 15, (peer, 0))
    with client.Conn(port, sock=sock) as conn:
        rsp = conn.get(path, [*fields, ("Connection", "close")], **kw)
    assert rsp.status == 200, rsp
    return {key: value for key, (_, value) in rsp.json().items()}


@pytest.fixture
def environ(app):
    port = app("environ").port
    return lambda path, fields=(), peer=STRANGER, **kw: ask(port, path, fields, peer, **kw)


KEYS = ("REMOTE_ADDR", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "wsgi.url_scheme",
        "mod_wsgi.mount_point")

# header -> value, what it changes for a trusted peer
TABLE = [
    ("X-Forwarded-For", "1.2.3.4", "REMOTE_ADDR", "1.2.3.4"),
    ("X-Client-IP", "1.2.3.4", "REMOTE_ADDR", "1.2.3.4"),
    ("X-Real-IP", "2001:DB8::1", "REMOTE_ADDR", "2001:DB8::1"),
    ("X-Forwarded-Host", "a.test", "HTTP_HOST", "a.test"),
    ("X-Host", "a.test:81", "HTTP_HOST", "a.test:81"),
    ("X-Forwarded-Server", "s.test", "SERVER_NAME", "s.test"),
    ("X-Forwarded-Port", "8443", "SERVER_PORT", "8443"),
    ("X-Script-Name", "/mnt", "SCRIPT_NAME", "/mnt"),
    ("X-Forwarded-Script-Name", "//mnt//b/", "SCRIPT_NAME", "/mnt/b"),
    ("X-Forwarded-Proto", "https", "wsgi.url_scheme", "https"),
    ("X-Forwarded-Scheme", "HTTPS", "wsgi.url_scheme", "https"),
    ("X-Scheme", "https", "wsgi.url_scheme", "https"),
    ("X-Forwarded-HTTPS", "On", "wsgi.url_scheme", "https"),
    ("X-Forwarded-SSL", "1", "wsgi.url_scheme", "https"),
]
SPELLINGS = [str, str.lower, str.upper]


def key_of(name):
    return "HTTP_" + name.upper().replace("-", "_")


def changed(env, plain):
    return {key: env.get(key) for key in KEYS if env.get(key) != plain.get(key)}


@pytest.mark.parametrize("where", ["/list", "/open"])
@pytest.mark.parametrize("name,value,key,wanted", TABLE, ids=[row[0] for row in TABLE])
def test_trust_01_a_trusted_peer_is_believed(environ, where, name, value, key, wanted):
    plain = environ(where, peer=PROXY)
    for spell in SPELLINGS:
        env = environ(where, [(spell(name), value)], peer=PROXY)
        assert env[key] == wanted
        mount = {"mod_wsgi.mount_point": wanted} if key == "SCRIPT_NAME" else {}
        assert changed(env, plain) == {key: wanted, **mount}
        assert env[key_of(name)] == value


@pytest.mark.parametrize("name,value,key,wanted", TABLE, ids=[row[0] for row in TABLE])
def test_trust_02_an_untrusted_peer_changes_nothing(environ, name, value, key, wanted):
    plain = environ("/list")
    for spell in SPELLINGS:
        env = environ("/list", [(spell(name), value)])
        assert changed(env, plain) == {}
        assert key_of(name) not in env


@pytest.mark.parametrize("name,value,key,wanted", TABLE, ids=[row[0] for row in TABLE])
def test_trust_03_without_the_directive_headers_are_only_headers(environ, name, value, key, wanted):
    plain = environ("/environ", peer=PROXY)
    env = environ("/environ", [(name, value)], peer=PROXY)
    assert changed(env, plain) == {}
    assert env[key_of(name)] == value


@pytest.mark.parametrize("name,value,key,wanted", TABLE, ids=[row[0] for row in TABLE])
def test_trust_04_a_twin_with_underscores_is_nobody(environ, name, value, key, wanted):
    twin = name.replace("-", "_")
    for where in ("/list", "/open", "/environ"):
        plain = environ(where, peer=PROXY)
        env = environ(where, [(twin, value)], peer=PROXY)
        assert changed(env, plain) == {}
        assert key_of(name) not in env


CHAINS = [
    ("1.2.3.4, ,5.6.7.8, 10.1.1.1", "5.6.7.8", "5.6.7.8, 10.1.1.1"),
    ("6.6.6.6, 1.2.3.4", "1.2.3.4", "1.2.3.4"),
    ("10.0.0.1,,10.0.0.2", "10.0.0.1", "10.0.0.1, 10.0.0.2"),
    ("127.0.0.1, 10.0.0.2", "127.0.0.1", "127.0.0.1, 10.0.0.2"),
    (",, 1.2.3.4 ,", "1.2.3.4", "1.2.3.4"),
    ("", PROXY, None),
    (" , ", PROXY, None),
]


@pytest.mark.parametrize("value,client_address,rest", CHAINS)
def test_trust_05_chain_of_proxies(environ, value, client_address, rest):
    env = environ("/list", [("X-Forwarded-For", value)], peer=PROXY)
    assert env["REMOTE_ADDR"] == client_address
    assert env.get("HTTP_X_FORWARDED_FOR") == rest


def test_trust_06_without_a_list_the_first_address_counts(environ):
    env = environ("/open", [("X-Forwarded-For", ", 1.2.3.4, 5.6.7.8")])
    assert env["REMOTE_ADDR"] == "1.2.3.4"
    assert env["HTTP_X_FORWARDED_FOR"] == ", 1.2.3.4, 5.6.7.8"


def test_trust_07_header_lines_of_one_name_are_one_list(environ):
    lines = [("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4"), ("X-Forwarded-For", "10.0.0.9")]
    env = environ("/list", lines, peer=PROXY)
    assert (env["REMOTE_ADDR"], env["HTTP_X_FORWARDED_FOR"]) == ("1.2.3.4", "1.2.3.4, 10.0.0.9")
    env = environ("/list", [("X-Real-IP", "6.6.6.6"), ("X-Real-IP", "1.2.3.4")], peer=PROXY)
    assert env["REMOTE_ADDR"] == PROXY and "HTTP_X_REAL_IP" not in env
    env = environ("/list", [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")], peer=PROXY)
    assert env["wsgi.url_scheme"] == "http" and "HTTP_X_FORWARDED_PROTO" not in env


def test_trust_08_the_last_listed_of_synonyms_counts(environ):
    fields = [("X-Forwarded-For", "1.1.1.1"), ("X-Client-IP", "2.2.2.2"), ("X-Real-IP", "3.3.3.3")]
    env = environ("/list", fields, peer=PROXY)
    assert env["REMOTE_ADDR"] == env["HTTP_X_REAL_IP"] == "3.3.3.3"
    assert "HTTP_X_FORWARDED_FOR" not in env and "HTTP_X_CLIENT_IP" not in env
    env = environ("/list/few", fields, peer=PROXY)
    assert env["REMOTE_ADDR"] == env["HTTP_X_FORWARDED_FOR"] == "1.1.1.1"
    assert "HTTP_X_REAL_IP" not in env and "HTTP_X_CLIENT_IP" not in env


def test_trust_09_a_synonym_that_is_not_listed_vanishes_too(environ):
    for peer in (PROXY, STRANGER):
        env = environ("/list/few", [("X-Client-IP", "2.2.2.2"), ("X-Forwarded-Host", "a.test")], peer=peer)
        assert env["REMOTE_ADDR"] == peer and "HTTP_X_CLIENT_IP" not in env
        assert env["HTTP_X_FORWARDED_HOST"] == "a.test" and env["HTTP_HOST"] != "a.test"


def test_trust_10_lists_of_one_scope_grow_and_those_of_a_child_replace(environ):
    fields = [("X-Real-IP", "3.3.3.3")]
    for peer, believed in [(PROXY, False), (STRANGER, False), ("127.0.0.3", True), ("127.0.0.4", True)]:
        env = environ("/list/child", fields, peer=peer)
        assert env["REMOTE_ADDR"] == ("3.3.3.3" if believed else peer)


def test_trust_11_scheme_header_beats_the_variable(environ):
    assert environ("/list/https", peer=PROXY)["wsgi.url_scheme"] == "https"
    for value, scheme in [("http", "http"), ("https", "https"), ("ftp", "https"), ("", "https")]:
        env = environ("/list/https", [("X-Forwarded-Proto", value)], peer=PROXY)
        assert env["wsgi.url_scheme"] == scheme
    env = environ("/list/https", [("X-Forwarded-Proto", "http")])
    assert env["wsgi.url_scheme"] == "https"


def test_trust_12_only_the_environ_changes(environ, app, log):
    env = environ("/list", [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "a.test"),
                            ("X-Script-Name", "/mnt")], peer=PROXY)
    assert env["REQUEST_SCHEME"] == "http" and env["SERVER_NAME"] != "a.test"
    assert env["mod_wsgi.script_name"] == "/list"
    assert env["mod_wsgi.path_info"] == env["PATH_INFO"]
    log.allow("AH01630")  # client denied by server configuration
    port = app("environ").port
    with client.Conn(port, sock=socket.create_connection(("127.0.0.1", port), 15, (PROXY, 0))) as conn:
        assert conn.get("/list/denied", [("X-Forwarded-For", "9.9.9.9")]).status == 403


def test_trust_13_a_value_of_the_configuration_is_judged_alike(environ):
    env = environ("/list/made", [("X-Secret", "1.2.3.4")], peer=PROXY)
    assert env["REMOTE_ADDR"] == "7.7.7.7" and "HTTP_X_FORWARDED_FOR" not in env
    env = environ("/list/made", [("X-Secret", "1.2.3.4")])
    assert env["REMOTE_ADDR"] == STRANGER
    assert "HTTP_X_REAL_IP" not in env and "HTTP_X_FORWARDED_FOR" not in env


@pytest.mark.parametrize("peer", [PROXY, STRANGER])
def test_trust_14_nothing_creates_or_replaces_our_keys_by_setenv(environ, mode, peer):
    env = environ("/list/env/x?a=1", peer=peer)
    hijacked = {key: value for key, value in env.items() if value == "hijacked"}
    assert not hijacked.keys() - {"os.environ"}
    assert env["wsgi.url_scheme"] == "https"  # HTTPS is the one that may
    assert "HTTPS" not in env and "HTTP_PROXY" not in env
    assert "mod_wsgi.mount_point" not in env and "wsgi.made" not in env and "mod_wsgi.made" not in env
    assert env["apache.version"][:2] == [2, 4]
    assert (env["REMOTE_ADDR"], env["QUERY_STRING"], env["REQUEST_METHOD"]) == (peer, "a=1", "GET")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/list", "/env/x")
    assert "CONTENT_LENGTH" not in env and "CONTENT_TYPE" not in env
    assert env["HTTP_HOST"].startswith("127.0.0.1")


NAMES = ["Proxy", "Wsgi.Input", "wsgi.url-scheme", "mod-wsgi.process-group", "Script-Name", "Remote-Addr",
         "Remote-User", "Path-Info", "Auth-Type", "Https", "Server-Name", "Request-Method"]


@pytest.mark.parametrize("name", NAMES)
def test_trust_15_no_header_creates_a_key_of_another_kind(environ, name):
    plain = environ("/list")
    env = environ("/list", [(name, "hijacked")])
    new = {key for key, value in env.items() if value == "hijacked"}
    assert new <= {key_of(name)} and (name != "Proxy" or not new)
    for key in plain.keys() | env.keys():
        own = key.startswith(("HTTP_", "mod_wsgi.", "REMOTE_PORT")) or str(env.get(key)).startswith("<")
        if not own:  # of the request, or an object
            assert env.get(key) == plain.get(key), key


def test_trust_16_htaccess_may_say_whom_to_believe(environ, site):
    path = site.path("apps", "environ", ".htaccess")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"WSGITrustedProxyHeaders X-Real-IP X-Unknown\nWSGITrustedProxies {PROXY}\n")
    try:
        env = environ("/environ", [("X-Real-IP", "3.3.3.3")], peer=PROXY)
        assert env["REMOTE_ADDR"] == "3.3.3.3"
        assert environ("/environ", [("X-Real-IP", "3.3.3.3")])["REMOTE_ADDR"] == STRANGER
    finally:
        os.unlink(path)


@pytest.mark.parametrize("value", ["localhost", "10.0.0.0/33", "::1/129", "1.2.3.4.5", "[::1]"])
def test_trust_17_an_address_that_is_none_is_refused(own_httpd, value):
    said = own_httpd.make(main=f"WSGITrustedProxies 10.0.0.1 {value}\n").fails_to_start()
    assert f'Unable to parse trusted proxy IP address/subnet of "{value}"' in said


def test_trust_18_a_header_without_meaning_is_told(own_httpd):
    httpd = own_httpd(main="WSGITrustedProxyHeaders X-Forwarded-For Forwarded\n")
    assert httpd.log.find(r"WSGI0600.*WSGITrustedProxyHeaders.*'Forwarded' has no meaning")
    assert not httpd.log.find("'X-Forwarded-For' has no meaning")
