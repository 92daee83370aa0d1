"""Django from Debian's package: admin, sessions, forms, uploads, downloads, errors."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys

import pytest
from harness import client
from rig.browser import HOST, Browser
from rig.crowd import at_once

pytest.importorskip("django", reason="python3-django is not installed")

PASSWORD = "correct horse battery"
BIG = random.Random(85).randbytes(3_000_001)

SCRUB = [(r'(name="csrfmiddlewaretoken" value=")\w+', r"\1TOKEN"),
         (r"\d{4}-\d\d-\d\d", "DAY"), (r"\w{3,9}\.? \d{1,2}, \d{4}(, [\d:]+ [ap]\.?m\.?)?", "DAY"),
         (r"\d{1,2}(:\d\d)? [ap]\.m\.", "TIME")]


def manage(folder, *args, **env):
    subprocess.run([sys.executable, "-B", "manage.py", *args], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, env=dict(os.environ, **env))


def prepare(folder):
    manage(folder, "migrate", "--verbosity=0")
    manage(folder, "createsuperuser", "--noinput", "--username=root", "--email=root@app.example",
           DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    with open(os.path.join(folder, "data", "big.bin"), "wb") as f:
        f.write(BIG)


@pytest.fixture(scope="module")
def site(real):
    return real("django", mount="/site", prepare=prepare, scrub=SCRUB)


def token(rsp):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', rsp.text)[1]


def sign_in(browser):
    login = browser.get("/admin/login/?next=/site/admin/")
    return browser.post("/admin/login/?next=/site/admin/", {
        "username": "root", "password": PASSWORD, "csrfmiddlewaretoken": token(login)})


def test_85_01_pages_and_links_are_below_the_prefix(play):
    def visit(browser):
        home = browser.get("/")
        assert home.status == 200 and "/site/items/" in home.text
        where = browser.get("/where/?a=1&b=%20x", [("X-Odd-Name", "odd"), ("User-Agent", "test")]).json()
        assert where["script"] == "/site" and where["path_info"] == "/where/"
        assert where["absolute"] == f"http://{HOST}/site/where/?a=1&b=%20x"
        slash = browser.get("/where?a=1")
        assert slash.status == 301 and browser.follow(slash).status == 200
        browser.head("/")
        browser.get("/named/a%20b%2Bc+d/%C3%A9%E2%82%AC?q=%C3%BC&q=2")
    play(visit)


def test_85_02_admin_login_session_and_logout(play):
    def visit(browser):
        refused = browser.get("/admin/")
        assert refused.status == 302
        login = browser.follow(refused)
        wrong = browser.post("/admin/login/?next=/site/admin/", {
            "username": "root", "password": "wrong", "csrfmiddlewaretoken": token(login)})
        assert "Please enter the correct username" in wrong.text
        done = sign_in(browser)
        assert done.status == 302 and "sessionid" in browser.cookies
        assert "Site administration" in browser.follow(done).text
        form = browser.get("/admin/shop/item/add/")
        added = browser.post("/admin/shop/item/add/", {
            "name": "Käse", "price": "1.25", "csrfmiddlewaretoken": token(form)})
        listing = browser.follow(added)
        assert "was added successfully" in listing.text and "Käse" in listing.body.decode()
        item = re.search(r"/admin/shop/item/(\d+)/change/", listing.text)[1]
        page = browser.get(f"/admin/shop/item/{item}/delete/")
        gone = browser.post(f"/admin/shop/item/{item}/delete/",
                            {"post": "yes", "csrfmiddlewaretoken": token(page)})
        assert "was deleted successfully" in browser.follow(gone).text
        browser.get("/admin/logout/")
        assert browser.get("/admin/").status == 302
    play(visit)


def test_85_03_form_needs_its_csrf_token(play, log):
    log.allow("Forbidden ")

    def visit(browser):
        page = browser.get("/items/")
        browser.request("POST", "/items/", [("Content-Type", "application/x-www-form-urlencoded")],
                        b"name=a&price=1")
        form = {"name": "Zwei & drei <b>", "price": "2.50", "csrfmiddlewaretoken": token(page)}
        sent = browser.post("/items/", form)
        assert sent.status == 302
        shown = browser.follow(sent)
        assert "Added Zwei &amp; drei" in shown.text
        assert "Added" not in browser.get("/items/").text
        bad = browser.post("/items/", dict(form, price="much"))
        assert bad.status == 200 and "Enter a number" in bad.text
        browser.cookies.clear()
        assert browser.post("/items/", form).status == 403
    play(visit)


def test_85_04_large_upload_arrives_whole(play, log):
    log.allow("Bad Request: ")
    large = random.Random(1).randbytes(12_000_003)
    small = b"small\r\n--not a boundary\r\n"

    def visit(browser):
        form = {"title": "Größe", "csrfmiddlewaretoken": token(browser.get("/upload/"))}
        rsp = browser.upload("/upload/", form, {
            "first": ("large.bin", "application/octet-stream", large),
            "second": ("klein.txt", "text/plain", small)})
        first, second = rsp.json()["files"]
        assert first["kept"] == "TemporaryUploadedFile" and first["size"] == len(large)
        assert first["sha256"] == hashlib.sha256(large).hexdigest()
        assert second["sha256"] == hashlib.sha256(small).hexdigest()
        rsp = browser.upload("/upload/", form, {"first": ("klein.txt", "text/plain", small)})
        assert rsp.json()["files"][0]["kept"] == "InMemoryUploadedFile"
        assert browser.upload("/upload/", form, {}).status == 400
    play(visit)


def test_85_05_upload_without_token_is_refused_and_the_connection_serves_on(play, log):
    log.allow("Forbidden ")

    def visit(browser):
        assert browser.upload("/upload/", {"title": "x"},
                              {"first": ("f", "text/plain", b"f" * 300000)}).status == 403
        assert browser.get("/upload/").status == 200
    play(visit)


def test_85_06_raw_body(play):
    body = random.Random(2).randbytes(1_500_000)

    def visit(browser):
        for method in ("POST", "PUT", "PATCH"):
            said = browser.send(method, "/raw/", body, "application/x-odd").json()
            assert said["size"] == len(body) and said["sha256"] == hashlib.sha256(body).hexdigest()
        assert browser.send("POST", "/raw/", b"").json()["size"] == 0
    play(visit)


def test_85_07_chunked_body_that_django_does_not_read(site, mode):
    """Django takes no body without a length, which one has that httpd has read for a daemon. The connection must
    come to the next request all the same."""
    with site.browser(mode) as browser:
        expected = 100000 if mode == "daemon" else 0
        for _ in range(3):
            assert browser.send("POST", "/raw/", b"ab" * 50000, chunk=999).json()["size"] == expected
            assert browser.get("/where/").status == 200


def test_85_08_streamed_download(play):
    def visit(browser):
        rsp = browser.get("/stream/200/")
        assert rsp.body == b"".join(b"%08d" % n * 1000 for n in range(200))
        assert browser.get("/stream/0/").body == b""
        browser.head("/stream/3/")
    play(visit)


def test_85_09_file_response(play):
    def visit(browser):
        rsp = browser.get("/file/")
        assert rsp.body == BIG and rsp.get("Content-Length") == str(len(BIG))
        assert "gro%C3%9F.bin" in rsp.get("Content-Disposition")
        assert browser.head("/file/").get("Content-Length") == str(len(BIG))
        made = browser.get("/made/")
        assert made.body == b"made in memory\n" * 1000
    play(visit)


def test_85_10_sessions_last_and_end(play):
    def visit(browser):
        assert [browser.get("/count/").text for _ in range(4)] == ["1", "2", "3", "4"]
        browser.drop()
        assert browser.get("/count/").text == "5"
        browser.get("/count/?forget=1")
        assert "sessionid" not in browser.cookies
        assert browser.get("/count/").text == "1"
    play(visit)


def test_85_11_every_cookie_is_a_field_of_its_own(play):
    def visit(browser):
        rsp = browser.get("/cookies/")
        assert len(rsp.all("Set-Cookie")) == 4
        browser.cookies["strange"] = '"a\\073b"'
        assert browser.get("/where/").json()["cookies"]["one"] == "1"
    play(visit)


def test_85_12_conditional_get_and_packed_answers(play):
    def visit(browser):
        first = browser.get("/packed/")
        again = browser.get("/packed/", [("If-None-Match", first.get("ETag"))])
        assert again.status == 304 and again.body == b""
        browser.get("/packed/", [("Accept-Encoding", "gzip")])
    play(visit)


def test_85_13_methods_and_status_codes(play, log):
    # A 4xx or 5xx that a view returns is a warning or an error of Django's request logger.
    log.allow("Bad Request: ", r"I'm a teapot: ", r"Service Unavailable: ", r"Gone: ", r"Bad Gateway")

    def visit(browser):
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
            body = None if method in ("GET", "OPTIONS") else b'{"a": [1, "\\u00e9"]}'
            browser.request(method, "/json/", [("Content-Type", "application/json")] * bool(body), body)
        for code in (200, 201, 202, 203, 204, 205, 299, 300, 304, 410, 418, 503):
            rsp = browser.get(f"/status/{code}/")
            assert rsp.status == code
        assert browser.get("/status/299/").reason == "Quite Fine"
    play(visit)


def test_85_14_not_found_and_a_broken_view(play, log):
    log.allow("Not Found: ", "Internal Server Error: ", traceback=True)

    def visit(browser):
        assert "Not here" in browser.get("/nothing/").text
        broken = browser.get("/broken/")
        assert broken.status == 500 and "own page" in broken.text
        assert browser.get("/").status == 200
    play(visit)
    log.wait("RuntimeError: broken on purpose", seconds=5)


def test_85_15_a_stream_that_breaks_does_not_look_complete(site, mode, log):
    log.allow("about to break", "WSGI0174: RuntimeError raised by the response", traceback=True)
    with site.browser(mode) as browser:
        rsp = client.fetch(browser.port, "/site/broken-stream/", [("Host", HOST)])
        assert rsp.status == 200 and not rsp.complete
        assert browser.get("/").status == 200
    log.wait("RuntimeError: broken in the middle", seconds=5)


def test_85_16_many_browsers_at_once(site, mode):
    def one(number):
        body = random.Random(number).randbytes(400_000 + number)
        with Browser(site.port(mode), site.mount) as browser:
            for _ in range(3):
                page = browser.get("/upload/")
                said = browser.upload(
                    "/upload/", {"title": str(number), "csrfmiddlewaretoken": token(page)},
                    {"first": ("f", "x/y", body)}).json()
                assert said["title"] == str(number)
                assert said["files"][0]["sha256"] == hashlib.sha256(body).hexdigest()
                assert browser.get("/file/").body == BIG
                assert len(browser.get("/stream/50/").body) == 400_000

    at_once(8, one)


def test_85_17_the_test_client_says_the_same(site, mode):
    """Django's own client calls the application with no server at all."""
    program = ("import json, os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'\n"
               "import django\ndjango.setup()\nfrom django.test import Client\n"
               f"c = Client(HTTP_HOST='{HOST}')\n"
               "r = [c.get(p) for p in ('/packed/', '/json/', '/named/x%20y/')]\n"
               "print(json.dumps([[x.status_code, x.content.decode(), sorted(x.items())] for x in r]))")
    out = subprocess.run([sys.executable, "-B", "-c", program], cwd=site.folder("reference"), check=True,
                         capture_output=True, text=True)
    with site.browser(mode) as browser:
        for (status, body, fields), path in zip(json.loads(out.stdout),
                                                ("/packed/", "/json/", "/named/x%20y/")):
            rsp = browser.get(path)
            assert (rsp.status, rsp.body.decode()) == (status, body)
            assert set(map(tuple, fields)) <= {(n, v) for n, v in rsp.fields} | {
                ("Content-Length", str(len(rsp.body)))}
