"""Bottle from Debian's package, at the root of its virtual host."""

import base64
import hashlib
import os
import random

import pytest

pytest.importorskip("bottle", reason="python3-bottle is not installed")

BIG = random.Random(87).randbytes(1_500_000)


def prepare(folder):
    path = os.path.join(folder, "data", "big.bin")
    with open(path, "wb") as f:
        f.write(BIG)
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture(scope="module")
def site(real):
    return real("bottle", prepare=prepare, 
                vhost="    WSGIPassAuthorization On\n    AllowEncodedSlashes On\n")


def test_85_01_routes_and_addresses(play):
    def visit(browser):
        assert browser.get("/").text == "<p>/|/ http://app.example/"
        assert browser.get("/?a=b%20c").text.endswith("?a=b%20c")
        browser.get("/hello/w%C3%B6rld?x=%C3%A9")
        assert browser.get("/nowhere/at/all").text == "nothing at /nowhere/at/all"
        assert browser.request("DELETE", "/hello/x").status == 405
        browser.head("/hello/head")
        assert browser.follow(browser.get("/away")).json()["name"] == "you"
    play(visit)


def test_85_02_signed_cookies(play):
    def visit(browser):
        assert [browser.get("/visits").text for _ in range(3)] == ["1", "2", "3"]
        browser.cookies["visits"] = "!forged?gASVAQ=="
        assert browser.get("/visits").text == "1"
    play(visit)


def test_85_03_basic_authentication_by_the_application(play):
    def visit(browser):
        asked = browser.get("/secret")
        assert asked.status == 401 and asked.get("WWW-Authenticate")
        for password, status in (("l\u00f6velace", 200), ("wrong", 401)):
            word = base64.b64encode(f"ada:{password}".encode()).decode()
            assert browser.get("/secret", [("Authorization", "Basic " + word)]).status == status
    play(visit)


def test_85_04_uploads_and_bodies(play):
    body = random.Random(5).randbytes(2_000_000)

    def visit(browser):
        said = browser.upload("/upload", {"title": "T\u00eftel"},
                              {"data": ("../ev\u00efl name.bin", "x/y", body)}).json()
        assert said["sha256"] == hashlib.sha256(body).hexdigest() and said["title"] == "T\u00eftel"
        for method in ("POST", "PUT", "PATCH"):
            assert browser.send(method, "/body", body).json()["size"] == len(body)
    play(visit)


def test_85_05_chunked_body_that_bottle_decodes_once_more(site, mode):
    """Bottle 0.12 sees Transfer-Encoding and expects chunks that no server gives it. Its 400 must be all
    that happens."""
    with site.browser(mode) as browser:
        for chunk in (999, 100_000):
            rsp = browser.send("POST", "/body", b"ab" * 50_000, chunk=chunk)
            assert rsp.status == 400 and "chunked transfer body" in rsp.text
            assert browser.send("POST", "/body", b"ab" * 50_000).json()["size"] == 100_000


def test_85_06_files(play):
    def visit(browser):
        whole = browser.get("/files/big.bin")
        assert whole.body == BIG and whole.get("Content-Length") == str(len(BIG))
        part = browser.get("/files/big.bin", [("Range", "bytes=5-104")])
        assert part.status == 206 and part.body == BIG[5:105]
        assert browser.get("/files/big.bin", [("If-Modified-Since", whole.get("Last-Modified"))]).status == 304
        assert browser.get("/files/none").status == 404
        assert browser.get("/files/a%2fb").status == 404
        assert browser.head("/files/big.bin").get("Content-Length") == str(len(BIG))
        browser.get("/download")
        assert browser.get("/open").body == BIG
    play(visit)


def test_85_07_streams_and_bytes(play):
    def visit(browser):
        text = browser.get("/stream").text
        assert text.startswith("first 0 1 ") and text.endswith("999 last")
        assert browser.get("/bytes").body == bytes(range(256)) * 100
    play(visit)


def test_85_08_errors(play, log):
    log.allow(traceback=True)

    def visit(browser):
        tea = browser.get("/teapot")
        assert (tea.status, tea.reason, tea.get("X-Tea")) == (418, "I am a teapot", "Earl Grey")
        assert "Not for you" in browser.get("/denied").text
        assert browser.get("/broken").status == 500
    play(visit)
    log.wait("RuntimeError: broken on purpose", seconds=5)
