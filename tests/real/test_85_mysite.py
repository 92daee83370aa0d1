"""The example site of this project, as its user would set it up: it must work as it stands."""

import os
import re
import subprocess
import sys

import pytest
from harness import wait
from harness.server import REPO
from test_85_django import SCRUB, token

pytest.importorskip("django", reason="python3-django is not installed")

PASSWORD = "correct horse battery"
ANSWERED = (r'<b class="(process-group|pid|thread)">.*?</b>', r"<b>\1</b>")


def prepare(folder):
    def manage(*args):
        subprocess.run([sys.executable, "-B", "manage.py", *args], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL,
                       env=dict(os.environ, DJANGO_SUPERUSER_PASSWORD=PASSWORD))
    manage("migrate", "--verbosity=0")
    manage("createsuperuser", "--noinput", "--username=root", "--email=root@localhost")


@pytest.fixture(scope="module")
def site(real):
    return real(os.path.join(REPO, "examples", "mysite"), script="django.wsgi", prepare=prepare,
                scrub=SCRUB + [ANSWERED, (r"\d\d:\d\d(:\d\d)?", "TIME")], host="localhost")


def answered(rsp, what):
    return re.search(f'<b class="{what}">(.*?)</b>', rsp.text)[1]


def test_85_01_sign_the_guestbook(play):
    def visit(browser):
        page = browser.get("/")
        assert "Nobody has signed yet" in page.text
        sent = browser.post("/", {"name": "Ada", "message": "Hällo\n<script>",
                                  "csrfmiddlewaretoken": token(page)})
        shown = browser.follow(sent).body.decode()
        assert "Hällo<br>&lt;script&gt;" in shown and "Ada" in shown
        assert "This field is required" in browser.post(
            "/", {"name": "Ada", "csrfmiddlewaretoken": token(page)}).text
    play(visit)


def test_85_02_administration(play):
    def visit(browser):
        login = browser.follow(browser.get("/admin/"))
        done = browser.post("/admin/login/?next=/admin/", {
            "username": "root", "password": PASSWORD, "csrfmiddlewaretoken": token(login)})
        assert done.status == 302
        assert "Site administration" in browser.follow(done).text
        form = browser.get("/admin/guestbook/entry/add/")
        added = browser.post("/admin/guestbook/entry/add/", {
            "name": "Grace", "message": "From the admin", "csrfmiddlewaretoken": token(form)})
        assert "was added successfully" in browser.follow(added).text
        assert "Grace" in browser.get("/admin/guestbook/entry/?q=admin").text
        out = browser.get("/admin/logout/")
        assert out.status == 200
    play(visit)


def test_85_03_not_found(play, log):
    log.allow("Not Found: /nothing/here")

    def visit(browser):
        assert "There is no page /nothing/here" in browser.get("/nothing/here").text
    play(visit)


def test_85_04_pages_tell_who_answered(site, mode):
    with site.browser(mode) as browser:
        about = browser.get("/about/")
        assert about.status == 200 and "mod_wsgi.version" in about.text
        group = answered(about, "process-group")
        assert group == {"embedded": "(embedded in httpd)", "daemon": "real"}[mode]
        serving = site.httpd.workers() if mode == "daemon" else site.httpd.children()
        assert int(answered(about, "pid")) in serving


def test_85_05_touched_script_is_loaded_again(site, mode):
    """What its head says: touch it, and the processes are replaced."""
    script = os.path.join(site.folder(mode), "django.wsgi")
    with site.browser(mode) as browser:
        before = answered(browser.get("/"), "pid")
        now = os.stat(script).st_mtime
        os.utime(script, (now + 5, now + 5))
        after = browser.get("/")
        assert after.status == 200
        if mode == "daemon":
            wait.until(lambda: answered(browser.get("/"), "pid") != before, 10, "new process")
        assert browser.get("/").status == 200
