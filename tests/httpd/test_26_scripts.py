"""Scripts that vanish, come back, and say themselves when they want to be loaded again."""

import os

import pytest

from harness import wait

SCRIPT = """
import os, uuid
LOADED = uuid.uuid4().hex
def application(environ, start_response):
    body = "{word} {{}} {{}}".format(LOADED, os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
handle_request = application
"""

ASKING = SCRIPT + """
def reload_required(resource):
    return os.path.exists(resource + ".wanted")
"""

VHOST = """
    WSGIScriptAlias /script @tmp@/script.wsgi
    WSGIScriptAlias /asking @tmp@/asking.wsgi
    <Directory @tmp@>
        AddHandler my-handler .thing
        WSGIHandlerScript my-handler @dir@/handler.wsgi
    </Directory>
    Alias /things @tmp@
"""


def write(path, text, mtime=None):
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(path + ".new", 0o644)
    if mtime:
        os.utime(path + ".new", (mtime, mtime))
    os.rename(path + ".new", path)


@pytest.fixture
def httpd(own_httpd, mode):
    """A server whose one virtual host serves scripts of this test, and where they are."""
    vhost = VHOST if mode == "embedded" else "WSGIProcessGroup group\n" + VHOST
    made = own_httpd.make(main="WSGIDaemonProcess group threads=3\n", vhosts={"a": vhost})
    write(made.path("tmp", "script.wsgi"), SCRIPT.format(word="first"), 1000)
    write(made.path("tmp", "asking.wsgi"), ASKING.format(word="asking"))
    write(made.path("handler.wsgi"), ASKING.format(word="handler"))
    write(made.path("tmp", "a.thing"), "a resource")
    return made.start()


def words(httpd, path):
    rsp = httpd.fetch(path)
    assert rsp.status == 200, (rsp, httpd.tail())
    return rsp.text.split()


def test_scripts_01_gone_is_404_and_back_serves(httpd):
    path = httpd.path("tmp", "script.wsgi")
    first = words(httpd, "/script")
    assert first[0] == "first"
    os.rename(path, path + ".away")
    for _ in range(3):
        assert httpd.fetch("/script").status == 404
    httpd.log.wait("WSGI0135")
    os.rename(path + ".away", path)
    assert words(httpd, "/script")[0] == "first"
    os.unlink(path)
    assert httpd.fetch("/script").status == 404
    write(path, SCRIPT.format(word="second"), 900)  # older counts, too
    wait.until(lambda: words(httpd, "/script")[0] == "second", what="new script")


def test_scripts_02_never_there(httpd):
    os.unlink(httpd.path("tmp", "script.wsgi"))
    assert httpd.fetch("/script").status == 404
    httpd.log.wait("WSGI0135")


def test_scripts_03_a_handler_that_is_gone_serves_until_another_takes_its_place(httpd):
    path = httpd.path("handler.wsgi")
    with httpd.conn() as conn:  # the same child of httpd all the time
        first = conn.get("/things/a.thing").text
        os.unlink(path)
        assert conn.get("/things/a.thing").text == first
        write(path, ASKING.format(word="another"), 2000)
        wait.until(lambda: conn.get("/things/a.thing").text.startswith("another"), 10, "the new handler")


@pytest.mark.parametrize("url,resource", [("/asking", "asking.wsgi"), ("/things/a.thing", "a.thing")])
def test_scripts_04_reload_required_is_asked_about_the_resource(httpd, mode, url, resource):
    wanted = httpd.path("tmp", resource + ".wanted")
    with httpd.conn() as conn:
        first = conn.get(url).text.split()
        assert conn.get(url).text.split() == first
        write(wanted, "")
        second = first
        def is_loaded_again():
            nonlocal second
            second = conn.get(url).text.split()
            return second != first
        wait.until(is_loaded_again, 10, "another module")
        os.unlink(wanted)
        # A process that was replaced may have seen the wish too; then it is soon the next one's turn.
        third = conn.get(url).text.split()
    assert first[0] == second[0] == third[0] and second[1] != first[1]
    assert second[1] == third[1]
    if mode == "embedded":
        assert first[2] == second[2], "the script alone is loaded again"
    else:
        assert first[2] != second[2], "the process is replaced"


def test_scripts_05_not_asked_with_reloading_off(own_httpd, mode):
    vhost = VHOST + "WSGIScriptReloading Off\n" + ("WSGIProcessGroup group\n" if mode == "daemon" else "")
    made = own_httpd.make(main="WSGIDaemonProcess group threads=3\n", vhosts={"a": vhost})
    write(made.path("tmp", "asking.wsgi"), ASKING.format(word="asking"))
    write(made.path("tmp", "asking.wsgi.wanted"), "")
    made.start()
    with made.conn() as conn:
        first = conn.get("/asking").text
        write(made.path("tmp", "asking.wsgi"), ASKING.format(word="changed"), 1000)
        assert conn.get("/asking").text == first


def test_scripts_06_a_reload_required_that_fails_is_logged(httpd):
    write(httpd.path("tmp", "asking.wsgi"), SCRIPT.format(word="asking") + """
def reload_required(resource):
    raise LookupError(resource)
""")
    httpd.log.allow("WSGI0540", traceback=True)
    with httpd.conn() as conn:
        first = conn.get("/asking").text
        assert conn.get("/asking").text == first
    httpd.log.wait("WSGI0540: LookupError")
