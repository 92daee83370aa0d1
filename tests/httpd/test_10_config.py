"""What the configuration may say: accepted, refused with a message that helps, and taken as said."""

import grp
import os
import pwd
import re
import subprocess

import pytest

from harness import server

USER = pwd.getpwuid(os.geteuid()).pw_name
OTHER = "daemon" if USER != "daemon" else "nobody"

needs_root = pytest.mark.skipif(not server.ROOT, reason="needs root")
needs_no_root = pytest.mark.skipif(server.ROOT, reason="needs not to be root")


class Configtest:
    """`apache2 -t` over one folder."""

    def __init__(self, httpd):
        self.httpd = httpd

    def __call__(self, main="", **vhosts):
        """(accepted, what httpd said); main and each of the virtual hosts are configuration text."""
        self.httpd.main = main
        for name, vhost in self.httpd.vhosts.items():
            vhost.text = vhosts.get(name, "")
        self.httpd.write_config()
        run = subprocess.run(self.httpd.command("-t"), capture_output=True, text=True, cwd="/",
                             env=self.httpd._environ(), timeout=60)
        return run.returncode == 0, run.stdout + run.stderr

    def refused(self, main="", **vhosts):
        accepted, text = self(main, **vhosts)
        assert not accepted, text
        return text

    def accepted(self, main="", **vhosts):
        accepted, text = self(main, **vhosts)
        assert accepted, text
        return text


@pytest.fixture(scope="module")
def configtest(httpd):
    return Configtest(httpd.make(vhosts={"one": "", "two": ""}))


# Every directive, every option that has a value of its own.
ACCEPTED = {
    "nothing": "",
    "daemon": "WSGIDaemonProcess g",
    "options": "WSGIDaemonProcess g processes=3 threads=10 umask=0027 home=@dir@ lang=en_US.UTF-8 "
               "locale=C.UTF-8 python-path=/a:/b display-name=%{GROUP} stack-size=1048576 "
               "queue-timeout=5 socket-timeout=60 startup-timeout=30 graceful-timeout=10 "
               "shutdown-timeout=3",
    "quotes": "WSGIDaemonProcess g python-path=\"/with blank:/b\" display-name='a name'",
    "last-wins": "WSGIDaemonProcess g threads=1 threads=2",
    "name-with-blank": "WSGIDaemonProcess 'a b'",
    "own-user": f"WSGIDaemonProcess g user={USER if not server.ROOT else server.USER}",
    "alias": "WSGIScriptAlias /a @apps@/hello/wsgi.py",
    "alias-options": "WSGIScriptAlias /a @apps@/hello/wsgi.py process-group=%{GLOBAL} "
                     "application-group=x callable-object=app pass-authorization=auto",
    "alias-unknown-group": "WSGIScriptAlias /a @apps@/hello/wsgi.py process-group=later",
    "alias-token": "WSGIScriptAlias /a @apps@/hello/wsgi.py process-group=%{ENV:X} application-group=a",
    "alias-match": "WSGIScriptAliasMatch ^/([a-z]+) @apps@/$1/wsgi.py",
    "alias-match-later-group": "WSGIScriptAliasMatch ^/([a-z]+) @apps@/$1/wsgi.py process-group=later "
                               "application-group=%{GLOBAL}",
    "alias-preload": "WSGIDaemonProcess g\nWSGIScriptAlias /a @apps@/hello/wsgi.py process-group=g "
                     "application-group=%{GLOBAL}",
    "import": "WSGIDaemonProcess g\nWSGIImportScript @apps@/hello/wsgi.py process-group=g "
              "application-group=%{GLOBAL}",
    "import-embedded": "WSGIImportScript @apps@/hello/wsgi.py process-group=%{GLOBAL} application-group=a",
    "server": "WSGIPythonHome /usr\nWSGIPythonPath /a:/b\nWSGIRestrictEmbedded On",
    "sections": "<Location /x>\nWSGIProcessGroup g\nWSGIApplicationGroup %{GLOBAL}\n"
                "WSGICallableObject app\nWSGIPassAuthorization On\nWSGIScriptReloading off\n"
                "WSGIChunkedRequest OFF\n</Location>",
    "top": "WSGIProcessGroup g\nWSGIApplicationGroup %{SERVER}\nWSGICallableObject %{ENV:X}\n"
           "WSGIPassAuthorization Off\nWSGIScriptReloading On\nWSGIChunkedRequest On",
    "no-effect": "WSGISocketPrefix run/x\nWSGISocketRotation Off\nWSGIAcceptMutex pthread\n"
                 "WSGIVerboseDebugging On",
}


@pytest.mark.parametrize("main", ACCEPTED.values(), ids=list(ACCEPTED))
def test_config_01_accepted(configtest, main):
    assert "Syntax OK" in configtest.accepted(main)


# Text, and what the message must have in it.
REFUSED = {
    "no-name": ("WSGIDaemonProcess", ["Name of WSGI daemon process not supplied"]),
    "empty-name": ("WSGIDaemonProcess ''", ["Name of WSGI daemon process not supplied"]),
    "token-name": ("WSGIDaemonProcess %{GLOBAL}", ["Invalid name", "must not begin with '%'"]),
    "duplicate": ("WSGIDaemonProcess g\nWSGIDaemonProcess g",
                  ["Name duplicates previous WSGI daemon definition", "'g'", r"httpd\.conf:\d+"]),
    "unknown-option": ("WSGIDaemonProcess g bogus=1",
                       ["Invalid option to WSGI daemon process definition", "'bogus'", "group 'g'",
                        "processes, threads, umask"]),
    "option-case": ("WSGIDaemonProcess g Threads=1", ["'Threads'", "allowed options are"]),
    "no-value": ("WSGIDaemonProcess g threads", ["'threads' is not of the form name=value"]),
    "blank-before": ("WSGIDaemonProcess g threads =1", ["'threads' is not of the form name=value"]),
    "blank-behind": ("WSGIDaemonProcess g threads= 1", ["Invalid threads", "whole number from 0 to"]),
    "only-equals": ("WSGIDaemonProcess g =1", ["is not of the form name=value"]),
    "threads-0": ("WSGIDaemonProcess g threads=0",
                  ["WSGI0766", "WSGIDaemonProcess g", "threads=0", "WSGIImportScript"]),
    "threads-1025": ("WSGIDaemonProcess g threads=1025", ["Invalid threads", "from 0 to 1024"]),
    "threads-word": ("WSGIDaemonProcess g threads=abc", ["Invalid threads", "'abc'"]),
    "threads-unit": ("WSGIDaemonProcess g threads=10s", ["Invalid threads", "'10s'"]),
    "threads-negative": ("WSGIDaemonProcess g threads=-1", ["Invalid threads", "'-1'"]),
    "processes-0": ("WSGIDaemonProcess g processes=0", ["Invalid processes", "from 1 to"]),
    "umask-decimal": ("WSGIDaemonProcess g umask=089", ["Invalid umask", "octal"]),
    "home-relative": ("WSGIDaemonProcess g home=sub", ["Invalid home", "absolute path"]),
    "home-missing": ("WSGIDaemonProcess g home=/nonexistent",
                     ["WSGI0604", "WSGIDaemonProcess g", r"httpd\.conf:\d+", "home=/nonexistent"]),
    "user-empty": ("WSGIDaemonProcess g user=", ["Invalid user", "must not be empty"]),
    "user-unknown": ("WSGIDaemonProcess g user=nosuchuser",
                     ["Invalid user for WSGI daemon process", "'nosuchuser'", "group 'g'"]),
    "user-number": ("WSGIDaemonProcess g user=#3999999",
                    ["Couldn't determine user name from uid", "3999999"]),
    "user-junk": ("WSGIDaemonProcess g user=#1x", ["'#1x' is not '#' followed by a user number"]),
    "user-nobody": ("WSGIDaemonProcess g user=#4294967295", ["is not '#' followed by a user number"]),
    "user-root": ("WSGIDaemonProcess g user=root", ["WSGI process blocked from running as root"]),
    "user-0": ("WSGIDaemonProcess g user=#0", ["WSGI process blocked from running as root"]),
    "group-unknown": ("WSGIDaemonProcess g group=nosuchgroup",
                      ["Invalid group for WSGI daemon process", "'nosuchgroup'"]),
    "groups-unknown": ("WSGIDaemonProcess g supplementary-groups=daemon,nosuchgroup",
                       ["Invalid supplementary-groups for WSGI daemon process", "'nosuchgroup'"]),
    "groups-none": ("WSGIDaemonProcess g supplementary-groups=,", ["',' names no group"]),
    "priority-20": ("WSGIDaemonProcess g cpu-priority=20", ["Invalid cpu-priority", "from -20 to 19"]),
    "memory-unit": ("WSGIDaemonProcess g memory-limit=1X", ["Invalid memory-limit", "'1X'"]),
    "python-home-missing": ("WSGIDaemonProcess g python-home=/nonexistent",
                            ["WSGI0605", "WSGIDaemonProcess g", "'/nonexistent' is not a directory"]),
    "python-home-empty": ("WSGIDaemonProcess g python-home=@tmp@",
                          ["WSGI0605", "is no Python home", "pyvenv.cfg"]),
    "alias-one-argument": ("WSGIScriptAlias /a", ["requires at least two arguments"]),
    "alias-relative-url": ("WSGIScriptAlias a /x", ["'a' must begin with '/'"]),
    "alias-empty-url": ("WSGIScriptAlias '' /x", ["requires at least two arguments"]),
    "alias-option": ("WSGIScriptAlias /a /x threads=1",
                     ["Invalid option to WSGI script alias definition", "'threads'",
                      "process-group, application-group, callable-object, pass-authorization"]),
    "alias-empty-group": ("WSGIScriptAlias /a /x process-group=", ["process-group", "must not be empty"]),
    "alias-flag": ("WSGIScriptAlias /a /x pass-authorization=yes",
                   ["Invalid value for authorization flag", "'yes'", "Off | On | Auto"]),
    "alias-not-yet": ("WSGIScriptAlias /a /x process-group=g application-group=a\nWSGIDaemonProcess g",
                      ["WSGI process group not yet configured", "'g'"]),
    "match-regexp": ("WSGIScriptAliasMatch ( /x", ["Regular expression could not be compiled"]),
    "import-nothing": ("WSGIImportScript", ["Location of import script not supplied"]),
    "import-no-group": ("WSGIImportScript /x application-group=a",
                        ["Name of WSGI process group required", "process-group="]),
    "import-no-application": ("WSGIImportScript /x process-group=%{GLOBAL}",
                              ["Name of WSGI application group required", "application-group="]),
    "import-option": ("WSGIImportScript /x callable-object=a",
                      ["Invalid option to WSGI import script definition"]),
    "import-not-yet": ("WSGIImportScript /x process-group=g application-group=a",
                       ["WSGI process group not yet configured"]),
    "flag": ("WSGIScriptReloading maybe", ["WSGIScriptReloading must be one of: Off | On", "'maybe'"]),
    "restrict": ("WSGIRestrictEmbedded 1", ["WSGIRestrictEmbedded must be one of: Off | On"]),
    "home": ("WSGIPythonHome /nonexistent", ["WSGI0605", "WSGIPythonHome", "/nonexistent"]),
    "mutex": ("WSGIAcceptMutex bogus", ["Accept mutex lock mechanism 'bogus' is invalid", "pthread"]),
    "unknown-directive": ("WSGINoSuchThing On", ["Invalid command 'WSGINoSuchThing'"]),
}


@pytest.mark.parametrize("main,wanted", REFUSED.values(), ids=list(REFUSED))
def test_config_02_refused(configtest, main, wanted):
    text = configtest.refused(main)
    for pattern in wanted:
        pattern = pattern if "\\" in pattern else re.escape(pattern)
        assert re.search(pattern, text), f"no {pattern} in {text}"


CONTEXTS = {
    "alias-location": "<Location /x>\nWSGIScriptAlias /a /x\n</Location>",
    "daemon-directory": "<Directory />\nWSGIDaemonProcess g\n</Directory>",
    "home-location": "<Location /x>\nWSGIPythonHome /usr\n</Location>",
}


@pytest.mark.parametrize("main", CONTEXTS.values(), ids=list(CONTEXTS))
def test_config_03_not_in_a_section(configtest, main):
    assert "not allowed" in configtest.refused(main)


@pytest.mark.parametrize("line", ["WSGIPythonHome /usr", "WSGIPythonPath /a", "WSGIRestrictEmbedded On",
                                  "WSGISocketPrefix run/x", "WSGIAcceptMutex default"])
def test_config_04_not_in_a_virtual_host(configtest, line):
    assert "<VirtualHost>" in configtest.refused(one=line)


def test_config_05_message_names_the_line(configtest):
    text = configtest.refused("WSGIDaemonProcess fine\nWSGIDaemonProcess broken threads=many")
    place = configtest.httpd.line_of("WSGIDaemonProcess broken")
    path, _, line = place.rpartition(":")
    assert f"line {line} of {path}" in text and "WSGIDaemonProcess: " in text


def test_config_06_several_faults_are_told_at_once(configtest):
    text = configtest.refused("WSGIDaemonProcess a home=/nonexistent/a\n"
                              "WSGIDaemonProcess b home=/nonexistent/b")
    assert "/nonexistent/a" in text and "/nonexistent/b" in text


def test_config_07_nothing_is_made_for_what_has_no_effect(configtest):
    text = configtest.accepted("WSGISocketPrefix run/mysocket")
    assert re.search(r"WSGI0600: WSGISocketPrefix \(.*httpd\.conf:\d+\).*no socket file", text)


# Which virtual host may have its script preloaded in a group of another.

PRELOAD = "WSGIScriptAlias /a @apps@/hello/wsgi.py process-group=g application-group=a"


def test_config_08_preload_in_a_group_of_the_main_server(configtest):
    configtest.accepted("WSGIDaemonProcess g", one=PRELOAD, two=PRELOAD)


def test_config_09_preload_in_a_group_of_another_host(configtest):
    text = configtest.refused(one="WSGIDaemonProcess g", two=PRELOAD)
    assert "WSGI process group not accessible" in text and "'g'" in text


def test_config_10_preload_in_a_group_of_a_host_with_the_same_name(configtest):
    configtest.accepted(one="ServerName shared.invalid\nWSGIDaemonProcess g",
                        two=PRELOAD + "\nServerName shared.invalid")


# Users.

@needs_root
def test_config_11_user_by_number(configtest):
    entry = pwd.getpwnam(server.USER)
    configtest.accepted(f"WSGIDaemonProcess g user=#{entry.pw_uid} group=#12345")


@needs_root
def test_config_12_chroot_must_be_there(configtest):
    text = configtest.refused("WSGIDaemonProcess g chroot=/nonexistent")
    assert "WSGI0604" in text and "chroot=/nonexistent" in text


@needs_no_root
def test_config_13_a_negative_priority_needs_root(configtest):
    assert "Cannot raise the priority" in configtest.refused("WSGIDaemonProcess g cpu-priority=-1")


@needs_no_root
def test_config_13_chroot_needs_root(configtest):
    assert "Cannot chroot WSGI daemon process when not root" in configtest.refused(
        "WSGIDaemonProcess g chroot=/")


@needs_no_root
def test_config_14_another_user_needs_root(configtest, own_httpd):
    text = configtest.accepted(f"WSGIDaemonProcess g user={OTHER}")
    assert "WSGI0603" in text and "not started as root" in text
    httpd = own_httpd.make(main=f"WSGIDaemonProcess g user={OTHER}")
    assert "WSGI0603" in httpd.fails_to_start()
    httpd.log.allow("WSGI0603|AH00014")


@needs_root
@pytest.mark.parametrize("options,uid,gid", [
    ("", server.USER, server.GROUP),
    (f"user={OTHER}", OTHER, server.GROUP),
    ("group=nogroup", server.USER, "nogroup"),
    (f"user={OTHER} group=#12345", OTHER, 12345)])
def test_config_15_identity_of_workers(own_httpd, options, uid, gid):
    httpd = own_httpd(main=f"WSGIDaemonProcess g {options}\nWSGIProcessGroup g",
                      vhosts={"a": "WSGIScriptAlias / @apps@/who/wsgi.py"})
    who = httpd.fetch("/").json()
    assert who["uid"] == [pwd.getpwnam(uid).pw_uid] * 3
    assert who["gid"] == [gid if isinstance(gid, int) else grp.getgrnam(gid).gr_gid] * 3
    assert who["env"]["HOME"] == pwd.getpwnam(uid).pw_dir


# Python homes.

def venv(folder, text):
    os.makedirs(os.path.join(folder, "lib"), exist_ok=True)
    with open(os.path.join(folder, "pyvenv.cfg"), "w", encoding="ascii") as f:
        f.write(text)
    return folder


@pytest.mark.parametrize("line", ["version = 3.2.1", "version=3.2", "VERSION = 3.2.0",
                                  "version_info = 3.2.7.final.0"])
def test_config_16_version_of_a_virtual_environment(configtest, line):
    home = venv(configtest.httpd.path("tmp", "venv"), f"home = /usr/bin\n{line}\n")
    text = configtest.refused(f"WSGIDaemonProcess g python-home={home}")
    assert "runtime for Python 3.2, " in text and "wsgi-python-3.2.so" in text
    assert "./dev build --python" in text and "--with-python=" in text


def test_config_17_free_threaded_environment_is_told_by_its_lib(configtest):
    home = venv(configtest.httpd.path("tmp", "venv-t"), "home = /usr/bin\nversion = 3.2.1\n")
    os.makedirs(os.path.join(home, "lib", "python3.2t"), exist_ok=True)
    assert "wsgi-python-3.2t.so" in configtest.refused(f"WSGIDaemonProcess g python-home={home}")


def test_config_18_environment_whose_python_is_gone(configtest):
    home = venv(configtest.httpd.path("tmp", "venv-gone"), "home = /nonexistent/bin\nversion = 3.11.2\n")
    text = configtest.refused(f"WSGIDaemonProcess g python-home={home}")
    assert "WSGI0605" in text and "/nonexistent/bin" in text and "no longer there" in text


def test_config_19_version_of_a_prefix(configtest):
    home = configtest.httpd.path("tmp", "prefix")
    os.makedirs(os.path.join(home, "lib", "python3.2"), exist_ok=True)
    assert "wsgi-python-3.2.so" in configtest.refused(f"WSGIPythonHome {home}")


def test_config_20_home_of_the_server_counts_for_groups(configtest):
    home = venv(configtest.httpd.path("tmp", "venv-server"), "home = /usr/bin\nversion = 3.2.1\n")
    text = configtest.refused(f"WSGIPythonHome {home}\nWSGIDaemonProcess g")
    assert "WSGIPythonHome (" in text and "wsgi-python-3.2.so" in text
    text = configtest.refused(f"WSGIDaemonProcess g\nWSGIDaemonProcess h python-home={home}")
    assert "WSGIDaemonProcess h" in text and "WSGIDaemonProcess g" not in text


def test_config_21_a_start_is_refused_as_the_test_is(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g python-home=/nonexistent")
    assert "WSGI0605" in httpd.fails_to_start()
    httpd.log.allow("WSGI0605|AH00014")


# Which process group a request gets.

ROUTES = """
    WSGIScriptAlias /host @apps@/who/wsgi.py
    WSGIScriptAlias /option @apps@/who/wsgi.py process-group=second
    WSGIScriptAlias /embedded @apps@/who/wsgi.py process-group=%{GLOBAL}
    WSGIScriptAlias /env @apps@/who/wsgi.py process-group=%{ENV:GROUP}
    WSGIScriptAlias /twice @apps@/who/wsgi.py process-group=%{ENV:TOKEN} application-group=%{ENV:TOKEN}
    WSGIScriptAlias /unset @apps@/who/wsgi.py process-group=%{ENV:NOT_SET}
    WSGIScriptAlias /literal @apps@/who/wsgi.py application-group=x-%{SERVER}
    WSGIScriptAlias /hostname @apps@/who/wsgi.py application-group=%{HOST}
    WSGIScriptAlias /order @apps@/who/wsgi.py application-group=first
    WSGIScriptAlias /order/deeper @apps@/who/wsgi.py application-group=second
    WSGIScriptAliasMatch ^/both @apps@/who/wsgi.py application-group=regexp
    WSGIScriptAlias /both @apps@/who/wsgi.py application-group=prefix
    WSGIScriptAliasMatch /mid @apps@/who/wsgi.py
    WSGIScriptAlias /unknown @apps@/who/wsgi.py
    WSGIScriptAlias /other @apps@/who/wsgi.py process-group=private
    SetEnv GROUP second
    SetEnv TOKEN %{GLOBAL}
    WSGIProcessGroup first
    <Location /host/section>
        WSGIProcessGroup second
    </Location>
    <Location /unknown>
        WSGIProcessGroup nosuchgroup
    </Location>
    Alias /plain @apps@/hello
"""


@pytest.fixture(scope="module")
def routes(httpd):
    main = ("WSGIDaemonProcess first\nWSGIDaemonProcess second\n"
            "WSGIScriptAlias /main @apps@/who/wsgi.py\nWSGIScriptAlias /host/a @apps@/hello/wsgi.py\n"
            "SetEnvIf Request_URI ^/option GROUP=second\n")
    return httpd(main=main, vhosts={"a": ROUTES, "b": "WSGIDaemonProcess private\n"
                                                      "WSGIScriptAlias / @apps@/who/wsgi.py"})


def group(routes, path, **kw):
    rsp = routes.fetch(path, "a", **kw)
    assert rsp.status == 200, rsp
    return rsp.json()["process_group"]


def application_group(routes, path, **kw):
    return routes.fetch(path, "a", **kw).json()["application_group"]


def test_config_22_process_group(routes):
    assert group(routes, "/host") == "first"
    assert group(routes, "/host/section") == "second"
    assert group(routes, "/option") == "second"
    assert group(routes, "/embedded") == ""
    assert group(routes, "/env") == "second"
    assert routes.fetch("/", "b").json()["process_group"] == ""


def test_config_23_tokens(routes):
    assert (group(routes, "/twice"), application_group(routes, "/twice")) == ("", "")
    assert application_group(routes, "/literal") == "x-%{SERVER}"
    port = routes.port("a")
    assert application_group(routes, "/hostname", fields=[("Host", "WWW.Example.org")]) == \
        f"www.example.org:{port}"


def test_config_24_first_alias_wins_and_the_hosts_come_first(routes):
    assert application_group(routes, "/order/deeper") == "first"
    assert application_group(routes, "/both") == "regexp"
    assert group(routes, "/host/a") == "first"
    assert group(routes, "/main") == "first"


def test_config_25_match_is_not_anchored(routes):
    who = routes.fetch("/any/where/mid/rest", "a").json()
    assert who["script_name"] == "/any/where/mid"
    routes.log.allow("WSGI0135")
    assert routes.fetch("/any/where/middle", "a").status == 404


def test_config_26_unknown_group(routes):
    routes.log.allow("WSGI0151")
    assert routes.fetch("/unknown", "a").status == 500
    line = routes.log.wait("WSGI0151").text
    assert "'nosuchgroup'" in line and routes.line_of("WSGIProcessGroup nosuchgroup") in line
    assert routes.fetch("/unset", "a").status == 500
    line = routes.log.wait(re.escape("'%{ENV:NOT_SET}'")).text
    assert routes.line_of("WSGIScriptAlias /unset") in line


def test_config_27_group_of_another_host(routes):
    routes.log.allow("WSGI0152")
    assert routes.fetch("/other", "a").status == 500
    assert "'private'" in routes.log.wait("WSGI0152").text


def test_config_28_alias_of_httpd_wins(routes):
    assert routes.fetch("/plain/wsgi.py", "a").body.startswith(b'"""')


@pytest.fixture(scope="module")
def restricted(httpd):
    return httpd(main="WSGIRestrictEmbedded On\nWSGIDaemonProcess g\n", vhosts={"a": """
        WSGIScriptAlias /daemon @apps@/hello/wsgi.py process-group=g
        WSGIScriptAlias /embedded @apps@/hello/wsgi.py process-group=%{GLOBAL} application-group=%{GLOBAL}
        """})


def test_config_29_restrict_embedded(restricted):
    assert restricted.fetch("/daemon").status == 200
    restricted.log.allow("WSGI0143")
    assert restricted.fetch("/embedded").status == 500
    assert "WSGIRestrictEmbedded" in restricted.log.wait("WSGI0143").text


# Admission.

ADMISSION = """
    WSGIScriptAlias /folder @apps@
    WSGIScriptAlias /missing @apps@/missing.py
    WSGIScriptAlias /fifo @tmp@/fifo
    WSGIScriptAlias /nopath @apps@/hello/wsgi.py
    WSGIScriptAlias /length @apps@/hello/wsgi.py
    <Location /nopath>
        AcceptPathInfo Off
    </Location>
    <Location /length>
        WSGIChunkedRequest Off
        LimitRequestBody 10
    </Location>
    DocumentRoot @apps@
    AddHandler wsgi-script .py
"""


@pytest.fixture(scope="module")
def admission(httpd):
    made = httpd.make(vhosts={"a": ADMISSION})
    os.mkfifo(made.path("tmp", "fifo"))
    os.chmod(made.path("tmp", "fifo"), 0o644)
    made.start()
    yield made
    os.unlink(made.path("tmp", "fifo"))


@pytest.mark.parametrize("path,status,code", [
    ("/hello/wsgi.py", 403, "WSGI0134"), ("/missing", 404, "WSGI0135"),
    ("/folder/missing.py", 404, "WSGI0135"), ("/folder", 403, "WSGI0136"), ("/fifo", 403, "WSGI0136"),
    ("/nopath/x", 404, "WSGI0137")])
def test_config_30_not_admitted(admission, path, status, code):
    admission.log.allow(code)
    assert admission.fetch(path).status == status
    admission.log.wait(code)


@pytest.mark.parametrize("fields,body,status", [
    ([("Transfer-Encoding", "chunked")], b"0\r\n\r\n", 411),
    ([("Transfer-Encoding", "gzip, chunked")], b"0\r\n\r\n", 501),
    ([("Content-Length", "11")], b"01234567890", 413),
    ([("Content-Length", "10")], b"0123456789", 200),
    ([("Content-Length", "1x")], b"0", 400),
    ([("Content-Length", "-1")], b"", 400),
    ([("Content-Length", "99999999999999999999")], b"", 400)])
def test_config_31_length_of_the_body(admission, fields, body, status):
    admission.log.allow("WSGI0138|WSGI0139|WSGI0141|WSGI0142")
    with admission.conn() as conn:
        conn.request("POST", "/length", fields, body)
        assert conn.response("POST").status == status


# .htaccess

HTACCESS = {
    "WSGIProcessGroup first": 500, "WSGIApplicationGroup x": 500, "WSGIScriptAlias / /x": 500,
    "WSGIDaemonProcess x": 500, "WSGIRestrictEmbedded Off": 500, "WSGIPythonHome /usr": 500,
    "WSGIImportScript /x": 500, "WSGICallableObject application": 200, "WSGIScriptReloading Off": 200,
    "WSGIPassAuthorization On": 200, "WSGIChunkedRequest Off": 200,
}


@pytest.fixture(scope="module")
def htaccess(httpd):
    return httpd(main="<Directory @apps@>\nAllowOverride FileInfo\n</Directory>\n",
                 vhosts={"a": "WSGIScriptAlias / @apps@/hello/wsgi.py"})


@pytest.mark.parametrize("line,status", HTACCESS.items(), ids=list(HTACCESS))
def test_config_32_htaccess(htaccess, line, status):
    path = htaccess.path("apps", "hello", ".htaccess")
    with open(path, "w", encoding="ascii") as f:
        f.write(line + "\n")
    os.chmod(path, 0o644)
    if status == 500:
        htaccess.log.allow("not allowed here")
    try:
        assert htaccess.fetch("/").status == status
    finally:
        os.unlink(path)
