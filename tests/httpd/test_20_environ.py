"""What an application finds in its environ."""

import os
import re

import pytest

from harness import client, server

PASSWORDS = "user:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"  # password

VHOST = r"""
    Alias /byext @apps@
    <Directory @apps@>
        AddHandler wsgi-script .py
        Options ExecCGI
    </Directory>
    WSGIScriptAlias /deep/er/mount @apps@/environ/wsgi.py
    WSGIScriptAlias /slash/ @apps@/environ/wsgi.py/
    WSGIScriptAliasMatch ^/match/([a-z]+) @apps@/$1/wsgi.py
    WSGIScriptAlias /folder @apps@
    <Location /environ>
        SetEnv MY_VARIABLE "some value"
        SetEnv MY.DOTTED dotted
        SetEnv wsgi.version hijacked
        SetEnv wsgi.input hijacked
        SetEnv wsgi.url_scheme gopher
        SetEnv wsgi.multithread hijacked
        SetEnv mod_wsgi.process_group hijacked
        SetEnv CAFE "caf%s"
        SetEnvIf X-Set (.+) FROM_HEADER=$1
    </Location>
    <Location /https>
        SetEnv HTTPS on
    </Location>
    WSGIScriptAlias /https @apps@/environ/wsgi.py
    WSGIScriptAlias /auth-on @apps@/environ/wsgi.py
    <Location /auth-on>
        WSGIPassAuthorization On
    </Location>
    WSGIScriptAlias /auth-off @apps@/environ/wsgi.py
    <Location /auth-off>
        WSGIPassAuthorization Off
    </Location>
    WSGIScriptAlias /auth-httpd @apps@/environ/wsgi.py
    <Location /auth-httpd>
        AuthType Basic
        AuthName x
        AuthUserFile @apps@/../conf/passwords
        Require valid-user
    </Location>
    WSGIScriptAlias /auth-both @apps@/environ/wsgi.py
    <Location /auth-both>
        WSGIPassAuthorization On
        AuthType Basic
        AuthName x
        AuthUserFile @apps@/../conf/passwords
        Require valid-user
    </Location>
    WSGIScriptAlias /auth-alias @apps@/environ/wsgi.py pass-authorization=Off
    WSGIScriptAlias /callable @apps@/named/wsgi.py
    <Location /callable>
        WSGICallableObject other
    </Location>
    WSGIScriptAlias /callable-option @apps@/named/wsgi.py callable-object=other
    WSGIScriptAlias /group-global @apps@/environ/wsgi.py application-group=%%{GLOBAL}
    WSGIScriptAlias /group-named @apps@/environ/wsgi.py
    <Location /group-named>
        WSGIApplicationGroup named
    </Location>
    WSGIScriptAlias /group-env @apps@/environ/wsgi.py
    <Location /group-env>
        SetEnv APPGROUP from-env
        WSGIApplicationGroup %%{ENV:APPGROUP}
    </Location>
    WSGIScriptAlias /group-server @apps@/environ/wsgi.py
    <Location /group-server>
        WSGIApplicationGroup %%{SERVER}
    </Location>
""" % "\xe9"

SITE = {"vhost": VHOST, "modules": ("authn_core", "authn_file", "auth_basic", "authz_user")}

BASIC = "Basic dXNlcjpwYXNzd29yZA=="


@pytest.fixture(scope="module", autouse=True)
def passwords(site):
    with open(site.path("conf", "passwords"), "w", encoding="ascii") as f:
        f.write(PASSWORDS)
    os.chmod(site.path("conf", "passwords"), 0o644)


class Environ:
    def __init__(self, rsp):
        assert rsp.status == 200, rsp
        self.all = rsp.json()

    def __getitem__(self, key):
        return self.all[key][1]

    def __contains__(self, key):
        return key in self.all

    def type(self, key):
        return self.all[key][0]


@pytest.fixture
def environ(app):
    """environ(path, fields, method, ...) -> what the environ application saw."""
    port = app("environ").port
    return lambda path="/environ", **kw: Environ(client.fetch(port, path, **kw))


def test_environ_01_required_keys_and_types(environ):
    env = environ("/environ/path?a=1&b=%20")
    assert env.type("environ") == "dict"
    for key in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT",
                "SERVER_PROTOCOL", "REQUEST_URI", "SERVER_ADDR", "REMOTE_ADDR", "REMOTE_PORT",
                "SERVER_SOFTWARE", "DOCUMENT_ROOT", "CONTEXT_PREFIX", "CONTEXT_DOCUMENT_ROOT",
                "REQUEST_SCHEME", "SCRIPT_FILENAME", "HTTP_HOST"):
        assert env.type(key) == "str", key
    assert env["REQUEST_METHOD"] == "GET"
    assert env["QUERY_STRING"] == "a=1&b=%20"
    assert env["REQUEST_URI"] == "/environ/path?a=1&b=%20"
    assert env["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert env["REQUEST_SCHEME"] == "http"
    assert env["REMOTE_ADDR"] == env["SERVER_ADDR"] == "127.0.0.1"
    assert "Apache" in env["SERVER_SOFTWARE"]


def test_environ_02_wsgi_keys(environ):
    env = environ()
    assert (env.type("wsgi.version"), env["wsgi.version"]) == ("tuple", [1, 0])
    assert env["wsgi.url_scheme"] == "http"
    assert env["wsgi.run_once"] is False
    assert env["wsgi.input_terminated"] is True
    for key in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper"):
        assert key in env
    assert env.type("wsgi.multithread") == env.type("wsgi.multiprocess") == "bool"


def test_environ_03_module_keys(environ, mode, site):
    env = environ()
    assert env.type("mod_wsgi.version") == "tuple" and len(env["mod_wsgi.version"]) == 3
    assert env.type("apache.version") == "tuple" and env["apache.version"][:2] == [2, 4]
    assert env["mod_wsgi.process_group"] == ("group" if mode == "daemon" else "")
    assert env["mod_wsgi.callable_object"] == "application"
    assert env["mod_wsgi.request_handler"] == "wsgi-script"
    assert env["mod_wsgi.handler_script"] == ""
    assert env["mod_wsgi.script_name"] == env["SCRIPT_NAME"]
    assert env["mod_wsgi.path_info"] == env["PATH_INFO"]
    assert env["mod_wsgi.listener_host"] == "127.0.0.1"
    assert env["mod_wsgi.listener_port"] == str(site.port(mode))
    assert int(env["mod_wsgi.server_pid"]) in site.children()
    assert env.type("mod_wsgi.request_start") == "float"
    assert env.type("mod_wsgi.queue_start") == env.type("mod_wsgi.daemon_start") == "float"
    assert env["mod_wsgi.request_start"] <= env["mod_wsgi.application_start"]
    if mode == "daemon":
        assert env["mod_wsgi.request_start"] <= env["mod_wsgi.queue_start"] <= env["mod_wsgi.daemon_start"]
    else:
        assert env["mod_wsgi.queue_start"] == env["mod_wsgi.daemon_start"] == 0.0
    assert env.type("mod_wsgi.thread_id") == "int" and env["mod_wsgi.thread_id"] >= 1


def test_environ_04_no_private_key_leaks(environ):
    env = environ()
    assert not [key for key in env.all if key.startswith("mod_wsgi.x-")]
    for key in ("PATH_TRANSLATED", "GATEWAY_INTERFACE", "SERVER_SIGNATURE", "REMOTE_HOST", "REMOTE_IDENT",
                "PATH", "LD_LIBRARY_PATH", "HTTPS", "LD_PRELOAD"):
        assert key not in env, key


# path, SCRIPT_NAME, PATH_INFO
PATHS = [
    ("/environ", "/environ", ""),
    ("/environ/", "/environ", "/"),
    ("/environ/a/b", "/environ", "/a/b"),
    ("/environ//a///b", "/environ", "/a/b"),
    ("//environ/a", "/environ", "/a"),
    ("/environ/a%20b", "/environ", "/a b"),
    ("/environ/a%3Fb", "/environ", "/a?b"),
    ("/environ/caf%C3%A9", "/environ", "/caf\xc3\xa9"),
    ("/environ/%FF%FE", "/environ", "/\xff\xfe"),
    ("/environ/a/../b", "/environ", "/b"),
    ("/environ/a/./b/", "/environ", "/a/b/"),
    ("/environ/a;b=c", "/environ", "/a;b=c"),
    ("/environ/a%25b", "/environ", "/a%b"),
    ("/deep/er/mount", "/deep/er/mount", ""),
    ("/deep/er/mount/x", "/deep/er/mount", "/x"),
    ("/deep//er/mount/x", "/deep/er/mount", "/x"),
    ("/slash/x/y", "/slash", "/x/y"),
    ("/match/environ", "/match/environ", ""),
    ("/match/environ/x/y", "/match/environ", "/x/y"),
    ("/folder/environ/wsgi.py", "/folder/environ/wsgi.py", ""),
    ("/folder/environ/wsgi.py/x/y", "/folder/environ/wsgi.py", "/x/y"),
    ("/byext/environ/wsgi.py", "/byext/environ/wsgi.py", ""),
    ("/byext/environ/wsgi.py/x/y", "/byext/environ/wsgi.py", "/x/y"),
]


@pytest.mark.parametrize("path,script,info", PATHS, ids=[p for p, _, _ in PATHS])
def test_environ_05_script_name_and_path_info(environ, path, script, info):
    env = environ(path)
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == (script, info)
    assert env["REQUEST_URI"] == path


def test_environ_06_prefix_ends_at_a_segment(app):
    port = app("environ").port
    assert client.fetch(port, "/environmental").status == 404
    assert client.fetch(port, "/deep/er/mountain").status == 404


def test_environ_07_script_filename(environ, site):
    assert environ("/environ/x")["SCRIPT_FILENAME"] == site.path("apps", "environ", "wsgi.py")


@pytest.fixture(scope="module")
def root_site(httpd):
    alias = "WSGIScriptAlias / @apps@/environ/wsgi.py\n"
    return httpd(main="WSGIDaemonProcess group\n",
                 vhosts={"embedded": alias, "daemon": alias + "WSGIProcessGroup group\n"})


@pytest.mark.parametrize("path,info", [("/", "/"), ("/x", "/x"), ("/x/", "/x/"), ("//x//y", "/x/y"),
                                       ("/environ", "/environ")])
def test_environ_08_alias_at_the_root(root_site, mode, path, info):
    env = Environ(root_site.fetch(path, mode))
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("", info)


def test_environ_09_server_name_and_port(environ, site, mode):
    env = environ()
    assert env["SERVER_NAME"] in (f"{mode}.test.invalid", "127.0.0.1")
    assert env["SERVER_PORT"] == str(site.port(mode))
    assert env["HTTP_HOST"] == f"127.0.0.1:{site.port(mode)}"


def test_environ_10_headers_become_http_keys(environ):
    env = environ(fields=[("X-One", "1"), ("x-two", "2"), ("X-Many-Dashes-Here", "3"), ("Cookie", "a=b; c=d"),
                          ("User-Agent", "me")])
    assert env["HTTP_X_ONE"] == "1"
    assert env["HTTP_X_TWO"] == "2"
    assert env["HTTP_X_MANY_DASHES_HERE"] == "3"
    assert env["HTTP_COOKIE"] == "a=b; c=d"
    assert env["HTTP_USER_AGENT"] == "me"


def test_environ_11_repeated_headers_are_merged(environ):
    assert environ(fields=[("X-Twice", "1"), ("X-Twice", "2")])["HTTP_X_TWICE"] == "1, 2"


def test_environ_12_headers_with_odd_names_are_dropped(environ):
    env = environ(fields=[("X_Under", "1"), ("X-Under_Score", "1"), ("X.Dot", "1"), ("X!Bang", "1"),
                          ("X-Fine", "1"), ("Remote_Addr", "1"), ("Content_Length", "77")])
    assert "HTTP_X_FINE" in env
    odd = [k for k in env.all if k.startswith(("HTTP_X_U", "HTTP_X_D", "HTTP_X_B", "HTTP_X.", "HTTP_X!",
                                               "HTTP_REMOTE", "HTTP_CONTENT"))]
    assert odd == []


def test_environ_13_a_header_with_underscore_does_not_stand_for_its_twin(environ):
    assert environ(fields=[("X-User", "true"), ("X_User", "forged")])["HTTP_X_USER"] == "true"


def test_environ_14_proxy_header_is_never_passed(environ):
    env = environ(fields=[("Proxy", "http://evil.invalid/")])
    assert "HTTP_PROXY" not in env
    assert "HTTP_PROXY" not in env["os.environ"]


def test_environ_15_content_keys(environ):
    env = environ(method="POST", body=b"hello", fields=[("Content-Type", "text/x; charset=y")])
    assert (env["CONTENT_TYPE"], env["CONTENT_LENGTH"]) == ("text/x; charset=y", "5")
    assert "HTTP_CONTENT_TYPE" not in env and "HTTP_CONTENT_LENGTH" not in env
    assert env["REQUEST_METHOD"] == "POST"


def test_environ_16_header_bytes_are_latin_1(environ):
    env = environ(fields=[("X-Latin", "caf\xe9 \xff")])
    assert env["HTTP_X_LATIN"] == "caf\xe9 \xff"


def test_environ_17_empty_header(environ):
    assert environ(fields=[("X-Empty", "")])["HTTP_X_EMPTY"] == ""


def test_environ_18_long_header_and_query(environ):
    long = "x" * 8000
    env = environ("/environ?" + long[:7000], fields=[("X-Long", long)])
    assert env["HTTP_X_LONG"] == long
    assert env["QUERY_STRING"] == long[:7000]


def test_environ_19_setenv_is_seen_by_the_request_only(environ):
    env = environ(fields=[("X-Set", "value")])
    assert env["MY_VARIABLE"] == "some value"
    assert env["MY.DOTTED"] == "dotted"
    assert env["FROM_HEADER"] == "value"
    assert "MY_VARIABLE" not in env["os.environ"]


def test_environ_20_setenv_bytes_are_latin_1(environ):
    assert environ()["CAFE"] == "caf\xe9".encode("utf-8").decode("latin-1")


def test_environ_21_setenv_cannot_replace_wsgi_keys(environ, mode):
    env = environ()
    assert env["wsgi.version"] == [1, 0]
    assert env.type("wsgi.input") != "str"
    assert env["wsgi.url_scheme"] == "http"
    assert env.type("wsgi.multithread") == "bool"
    assert env["mod_wsgi.process_group"] == ("group" if mode == "daemon" else "")


def test_environ_22_https_variable_sets_the_scheme(environ):
    env = environ("/https")
    assert env["wsgi.url_scheme"] == "https"
    assert "HTTPS" not in env


AUTH = [
    ("/environ", True),       # auto: httpd does not authenticate here
    ("/auth-on", True),
    ("/auth-off", False),
    ("/auth-alias", False),
]


@pytest.mark.parametrize("path,passed", AUTH, ids=[p for p, _ in AUTH])
def test_environ_23_authorization(environ, path, passed):
    env = environ(path, fields=[("Authorization", BASIC), ("Proxy-Authorization", BASIC)])
    assert ("HTTP_AUTHORIZATION" in env) == passed
    if passed:
        assert env["HTTP_AUTHORIZATION"] == BASIC
    assert "HTTP_PROXY_AUTHORIZATION" not in env


def test_environ_24_authorization_stays_where_httpd_authenticates(environ):
    env = environ("/auth-httpd", fields=[("Authorization", BASIC)])
    assert "HTTP_AUTHORIZATION" not in env
    assert env["REMOTE_USER"] == "user"
    assert env["AUTH_TYPE"] == "Basic"
    env = environ("/auth-both", fields=[("Authorization", BASIC)])
    assert env["HTTP_AUTHORIZATION"] == BASIC
    assert env["REMOTE_USER"] == "user"


def test_environ_25_remote_user_cannot_be_sent(environ):
    env = environ(fields=[("Remote-User", "root"), ("Remote_User", "root"), ("REMOTE_USER", "root")])
    assert "REMOTE_USER" not in env


def test_environ_26_callable_object(app):
    port = app("named").port
    assert client.fetch(port, "/named").body == b"default application"
    assert client.fetch(port, "/callable").body == b"other other"
    assert client.fetch(port, "/callable-option").body == b"other other"


def test_environ_27_application_group(environ, site, mode):
    server_name = f"{mode}.test.invalid:{site.port(mode)}"
    assert environ("/environ")["mod_wsgi.application_group"] == f"{server_name}|/environ"
    assert environ("/environ/x")["mod_wsgi.application_group"] == f"{server_name}|/environ"
    assert environ("/group-global")["mod_wsgi.application_group"] == ""
    assert environ("/group-named")["mod_wsgi.application_group"] == "named"
    assert environ("/group-env")["mod_wsgi.application_group"] == "from-env"
    assert environ("/group-server")["mod_wsgi.application_group"] == server_name


def test_environ_28_multithread_and_multiprocess_embedded(site):
    env = Environ(site.fetch("/environ", "embedded"))
    assert env["wsgi.multithread"] is (server.MPM != "prefork")
    assert env["wsgi.multiprocess"] is True


@pytest.mark.parametrize("options,thread,process", [
    ("", True, False), ("threads=1", False, False), ("processes=1", True, True),
    ("processes=2 threads=1", False, True), ("processes=2 threads=2", True, True)])
def test_environ_29_multithread_and_multiprocess_daemon(own_httpd, options, thread, process):
    httpd = own_httpd(main=f"WSGIDaemonProcess g {options}\nWSGIProcessGroup g\n",
                      vhosts={"a": "WSGIScriptAlias / @apps@/environ/wsgi.py"})
    env = Environ(httpd.fetch("/"))
    assert (env["wsgi.multithread"], env["wsgi.multiprocess"]) == (thread, process)


def test_environ_30_single_process_embedded(own_httpd):
    if server.MPM == "prefork":
        config, thread = "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1", False
    else:
        config = "StartServers 1\nServerLimit 1\nThreadsPerChild 5\nMaxRequestWorkers 5\nMinSpareThreads 1"
        thread = True
    httpd = own_httpd(mpm_config=config, vhosts={"a": "WSGIScriptAlias / @apps@/environ/wsgi.py"})
    httpd.log.allow("AH00513|AH00318|AH00159|AH00161")
    env = Environ(httpd.fetch("/"))
    assert (env["wsgi.multithread"], env["wsgi.multiprocess"]) == (thread, False)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_environ_31_method_as_sent(environ, log, method):
    log.allow("WSGIWarning", "warnings.warn")  # wsgiref.validate knows only the common ones
    assert environ(method=method)["REQUEST_METHOD"] == method


def test_environ_32_protocol_of_old_clients(environ):
    env = environ(version="1.0", fields=[("Host", "x.invalid")])
    assert env["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert env["HTTP_HOST"] == "x.invalid"


def test_environ_33_script_name_does_not_depend_on_encoding(environ):
    env = environ("/%65nviron/%78")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/environ", "/x")


def test_environ_34_each_request_has_its_own_dict(environ):
    first, second = environ(fields=[("X-One", "1")]), environ()
    assert "HTTP_X_ONE" in first and "HTTP_X_ONE" not in second


def test_environ_35_handler_needs_execcgi(own_httpd):
    httpd = own_httpd(vhosts={"a": "DocumentRoot @apps@\nAddHandler wsgi-script .py"})
    assert httpd.fetch("/hello/wsgi.py").status == 403
    assert re.search("wsgi.py", httpd.log.wait("WSGI0134").text)


def test_environ_36_mime_type_selects_the_handler(own_httpd):
    httpd = own_httpd(vhosts={"a": "DocumentRoot @apps@\nAddType application/x-httpd-wsgi .py\n"
                                   "<Directory @apps@>\nOptions ExecCGI\n</Directory>"})
    assert httpd.fetch("/hello/wsgi.py").body == b"Hello, world!\n"
