"""Extension modules of Debian's packages in a daemon group that names no application group: they just
work, because a group with one application runs it in the main interpreter."""

import os
import shutil
from importlib.util import find_spec

import pytest
from harness import client, wait
from rig.browser import Browser
from rig.crowd import at_once
from rig.site import APPS

PACKAGES = ("numpy", "psycopg2", "lxml", "cryptography")
PAGES = PACKAGES + ("callback", "sqlite")


def needs(page):
    if page in PACKAGES:
        pytest.importorskip(page, reason=f"python3-{page} is not installed")


@pytest.fixture(scope="module")
def site(real):
    return real("native", mount="/native", options="processes=1 threads=6",
                embedded="    WSGIApplicationGroup %{GLOBAL}\n")


@pytest.mark.parametrize("page", PAGES)
def test_85_01_extension_works(play, page):
    needs(page)

    def visit(browser):
        for _ in range(2):
            rsp = browser.get("/" + page)
            assert rsp.status == 200 and rsp.json()
    visit.__qualname__ += page
    play(visit)


def test_85_02_it_is_the_main_interpreter_under_its_own_name(site):
    with site.browser("daemon") as browser:
        said = browser.get("/where").json()
    assert said["interpreter"] == 0 and said["process_group"] == "real"
    assert said["application_group"] == f"daemon.test.invalid:{site.port('daemon')}|/native"


def test_85_03_all_extensions_at_once_in_all_threads(site, mode):
    pages = [page for page in PAGES if page not in PACKAGES or find_spec(page)]

    def one(number):
        with Browser(site.port(mode), site.mount) as browser:
            for n in range(len(pages)):
                page = pages[(number + n) % len(pages)]
                rsp = browser.get("/" + page)
                assert rsp.status == 200, page

    at_once(6, one)


def test_85_04_loaded_again_with_a_new_script(site):
    """A changed script makes new processes, and there too it is the main interpreter."""
    script = os.path.join(site.folder("daemon"), "wsgi.py")
    before = set(site.httpd.workers())
    now = os.stat(script).st_mtime
    os.utime(script, (now + 7, now + 7))
    with site.browser("daemon") as browser:
        def replaced():
            assert browser.get("/where").json()["interpreter"] == 0
            return not before & set(site.httpd.workers())
        wait.until(replaced, 10, "new process")
        for page in ("callback", "sqlite"):
            assert browser.get("/" + page).status == 200


@pytest.fixture
def two(own_httpd):
    """A server with one group of two applications."""
    httpd = own_httpd.make(main="WSGIDaemonProcess two processes=1 threads=3\nWSGIProcessGroup two\n",
                           vhosts={"a": "WSGIScriptAlias /one @dir@/tmp/one.py\n"
                                        "WSGIScriptAlias /two @dir@/tmp/two.py\n"})
    for name in ("one.py", "two.py"):
        shutil.copyfile(os.path.join(APPS, "native", "wsgi.py"), httpd.path("tmp", name))
        os.chmod(httpd.path("tmp", name), 0o644)
    return httpd.start()


def test_85_05_second_application_of_a_group_is_in_a_sub_interpreter(two):
    """The first keeps the main interpreter whatever the second does."""
    assert client.fetch(two.port(), "/one/where").json()["interpreter"] == 0
    assert client.fetch(two.port(), "/two/where").json()["interpreter"] != 0
    for page in ("callback", "sqlite"):
        assert client.fetch(two.port(), "/one/" + page).status == 200
    assert client.fetch(two.port(), "/two/sqlite").status == 200


@pytest.mark.parametrize("page", ("numpy", "lxml", "cryptography"))
def test_85_06_extension_that_cannot_be_there_is_explained(two, page):
    """One process loads it once; the second application is told which setting helps, and it does."""
    needs(page)
    two.log.allow("WSGI0174: ImportError", "WSGI0538", traceback=True)
    assert client.fetch(two.port(), "/one/" + page).status == 200
    assert client.fetch(two.port(), "/two/" + page).status == 500
    line = two.log.wait("WSGI0538", since=0, log="a.log")
    assert "|/two'" in line.text and "one such application in each process group" in line.text
    assert client.fetch(two.port(), "/one/" + page).status == 200
    two.main += "WSGIDaemonProcess other\n"
    two.vhosts["a"].text += "<Location /two>\nWSGIProcessGroup other\n</Location>\n"
    two.write_config()
    two.graceful()
    wait.until(lambda: client.fetch(two.port(), "/two/" + page).status == 200, 10, "the advice to help")
