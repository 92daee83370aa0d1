"""Ways to an application other than an alias, and what stands in the way: handlers, restricted groups."""

import hashlib
import os
import re

import pytest

from harness import client

VHOST = r"""
    <Location /handled>
        SetHandler my-handler
        WSGIHandlerScript my-handler @apps@/handler/wsgi.py
    </Location>
    <Location /handled/inner>
        WSGIHandlerScript other @apps@/nothere.wsgi
    </Location>
    <Location /handled/none>
        WSGIHandlerScript my-handler @apps@/nothere.wsgi
    </Location>
    <Location /handled/passed>
        WSGIHandlerScript my-handler @apps@/handler/wsgi.py pass-authorization=Off
    </Location>
    <Location /handled/named>
        WSGIHandlerScript my-handler @apps@/handler/wsgi.py process-group=%{GLOBAL} application-group=mine
        WSGICallableObject application
    </Location>
    Alias /files @dir@/files
    <Directory @dir@/files>
        AddHandler my-handler .thing
        WSGIHandlerScript my-handler @dir@/nothing
        WSGIHandlerScript my-handler @apps@/handler/wsgi.py
    </Directory>
    WSGIScriptAlias /only @apps@/who/wsgi.py
    <Location /only/group>
        WSGIRestrictProcess GROUP
    </Location>
    <Location /only/embedded>
        WSGIRestrictProcess %{GLOBAL}
    </Location>
    <Location /only/both>
        WSGIRestrictProcess group
        WSGIRestrictProcess %{GLOBAL}
    </Location>
    <Location /only/both/none>
        WSGIRestrictProcess another
    </Location>
"""

SITE = {"vhost": VHOST}


@pytest.fixture
def port(site, mode):
    return site.port(mode)


@pytest.fixture(scope="module", autouse=True)
def files(site):
    os.mkdir(site.path("files"))
    os.chmod(site.path("files"), 0o755)
    with open(site.path("files", "a.thing"), "w", encoding="ascii") as f:
        f.write("a thing")


def seen(rsp):
    assert rsp.status == 200, rsp
    return rsp.json()


def test_mapping_01_handler_script_answers_for_what_is_not_there(port, site, mode):
    env = seen(client.fetch(port, "/handled/a//b?c=1"))
    script = site.path("apps", "handler", "wsgi.py")
    assert env["mod_wsgi.handler_script"] == script
    assert env["mod_wsgi.request_handler"] == "my-handler"
    assert env["mod_wsgi.callable_object"] == "handle_request"
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["QUERY_STRING"]) == ("/handled", "/a/b", "c=1")
    assert env["SCRIPT_FILENAME"].endswith("/handled") and env["SCRIPT_FILENAME"] != script
    assert env["mod_wsgi.process_group"] == ("group" if mode == "daemon" else "")


def test_mapping_02_handler_script_answers_for_a_file(port, site):
    env = seen(client.fetch(port, "/files/a.thing/rest"))
    assert env["SCRIPT_FILENAME"] == site.path("files", "a.thing")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/files/a.thing", "/rest")
    assert env["mod_wsgi.handler_script"] == site.path("apps", "handler", "wsgi.py")


def test_mapping_03_handler_scripts_merge_by_name(port, log):
    assert seen(client.fetch(port, "/handled/inner"))["mod_wsgi.request_handler"] == "my-handler"
    log.allow("WSGI0135", "WSGI0109", traceback=True)
    assert client.fetch(port, "/handled/none").status == 404


def test_mapping_04_handler_script_options(port, mode):
    env = seen(client.fetch(port, "/handled/named", [("Authorization", "Basic eDp5")]))
    assert (env["mod_wsgi.process_group"], env["mod_wsgi.application_group"]) == ("", "mine")
    assert env["HTTP_AUTHORIZATION"] == "Basic eDp5"
    env = seen(client.fetch(port, "/handled/passed", [("Authorization", "Basic eDp5")]))
    assert "HTTP_AUTHORIZATION" not in env


def test_mapping_05_clients_cannot_make_interpreters_of_a_handler(port, site):
    names = {seen(client.fetch(port, f"/handled/{n}"))["mod_wsgi.application_group"] for n in range(3)}
    names |= {seen(client.fetch(port, "/files/a.thing"))["mod_wsgi.application_group"]}
    assert len(names) == 1 and names.pop().endswith("|" + site.path("apps", "handler", "wsgi.py"))


def test_mapping_06_a_script_has_no_handler_script(app):
    env = {key: value for key, (_, value) in app("environ").get().json().items()}
    assert env["mod_wsgi.handler_script"] == "" and env["mod_wsgi.request_handler"] == "wsgi-script"


RESTRICTED = [
    ("/only", True, True),
    ("/only/group", False, True),
    ("/only/embedded", True, False),
    ("/only/both", True, True),
    ("/only/both/none", False, False),
]


@pytest.mark.parametrize("path,embedded,daemon", RESTRICTED, ids=[row[0] for row in RESTRICTED])
def test_mapping_07_restricted_process_groups(port, mode, log, path, embedded, daemon):
    allowed = daemon if mode == "daemon" else embedded
    if not allowed:
        log.allow("WSGI0149")
    since = log.mark()
    assert client.fetch(port, path).status == (200 if allowed else 500)
    assert bool(log.find("WSGI0149.*'(group|%{GLOBAL})'", since)) == (not allowed)


def test_mapping_08_case_of_a_resource(own_httpd):
    config = "WSGIScriptAliasMatch (?i)^/app @apps@/environ/wsgi.py\n"
    httpd = own_httpd(main="WSGICaseSensitivity Off\n", vhosts={"main": config})
    groups = {httpd.fetch(path).json()["mod_wsgi.application_group"][1] for path in ("/App", "/APP", "/app/X")}
    assert len(groups) == 1 and groups.pop().endswith("|/app")
    names = [httpd.fetch(path).json()["SCRIPT_NAME"][1] for path in ("/App", "/APP")]
    assert names == ["/App", "/APP"]


def test_mapping_09_case_of_a_resource_counts_by_default(own_httpd):
    config = "WSGIScriptAliasMatch (?i)^/app @apps@/environ/wsgi.py\n"
    httpd = own_httpd(vhosts={"main": config})
    groups = [httpd.fetch(path).json()["mod_wsgi.application_group"][1] for path in ("/App", "/APP")]
    assert [name.partition("|")[2] for name in groups] == ["/App", "/APP"]


REFUSED = [
    ("WSGIHandlerScript", "Name for handler script not supplied."),
    ("WSGIHandlerScript my-handler", "Location of handler script not supplied."),
    ("WSGIHandlerScript my-handler /x.wsgi callable-object=x", "Invalid option to WSGI handler script definition."),
    ("WSGIHandlerScript my-handler /x.wsgi process-group=", "Invalid process-group for WSGI handler script"),
    ("WSGIHandlerScript my-handler /x.wsgi pass-authorization=maybe", "Invalid value for authorization flag."),
    ("WSGIMapHEADToGET Maybe", "WSGIMapHEADToGET must be one of: Off | On | Auto"),
    ("WSGIErrorOverride Maybe", "WSGIErrorOverride must be one of: Off | On"),
    ("WSGIRestrictProcess", "WSGIRestrictProcess requires at least one argument"),
    ("WSGICaseSensitivity 1", "WSGICaseSensitivity must be one of: Off | On"),
    ("<VirtualHost *:1>\nWSGICaseSensitivity On\n</VirtualHost>", "WSGICaseSensitivity .*not allowed|cannot occur"),
    ("WSGIPassApacheRequest x", "WSGIPassApacheRequest must be one of: Off | On"),
    ("WSGIEnableSendfile x", "WSGIEnableSendfile must be one of: Off | On"),
    ("WSGIIgnoreActivity x", "WSGIIgnoreActivity must be one of: Off | On"),
]


@pytest.mark.parametrize("line,wanted", REFUSED, ids=[row[0][:40].replace("\n", " ") for row in REFUSED])
def test_mapping_10_refused(own_httpd, line, wanted):
    said = own_httpd.make(main=line + "\n").fails_to_start()
    assert re.search(wanted, said), said


@pytest.mark.parametrize("line", ["WSGIHandlerScript x /x", "WSGIRestrictProcess x", "WSGIPassApacheRequest On"])
def test_mapping_12_not_in_htaccess(own_httpd, line):
    httpd = own_httpd(vhosts={"main": "WSGIScriptAlias /x @apps@/hello/wsgi.py\n"
                                      "<Directory @apps@/hello>\nAllowOverride All\n</Directory>\n"})
    with open(httpd.path("apps", "hello", ".htaccess"), "w", encoding="ascii") as f:
        f.write(line + "\n")
    httpd.log.allow("not allowed here")
    assert httpd.fetch("/x").status == 500


@pytest.mark.parametrize("sensitive", ["On", "Off"])
def test_mapping_13_case_of_a_script(own_httpd, mode, sensitive):
    """Hard links stand for a file system that does not tell the two spellings apart."""
    made = own_httpd.make(main=f"WSGICaseSensitivity {sensitive}\nWSGIDaemonProcess group\n", vhosts={
        "embedded": "WSGIScriptAlias /files @tmp@/scripts\nWSGIApplicationGroup one\n",
        "daemon": "WSGIProcessGroup group\nWSGIScriptAlias /files @tmp@/scripts\nWSGIApplicationGroup one\n"})
    os.mkdir(made.path("tmp", "scripts"))
    with open(made.path("tmp", "scripts", "App.wsgi"), "w", encoding="ascii") as f:
        f.write("def application(environ, start_response):\n"
                "    start_response('200 OK', [])\n"
                "    return [__name__.encode()]\n")
    os.link(made.path("tmp", "scripts", "App.wsgi"), made.path("tmp", "scripts", "app.wsgi"))
    httpd = made.start()
    names = [httpd.fetch(f"/files/{name}.wsgi", mode).body.decode() for name in ("App", "app")]
    lower = "_mod_wsgi_" + hashlib.md5(made.path("tmp", "scripts", "app.wsgi").lower().encode()).hexdigest()
    assert (names[0] == names[1] == lower) == (sensitive == "Off")
    assert (names[0] != names[1]) == (sensitive == "On")
