"""Pyramid from Debian's package, below a prefix."""

import hashlib
import os
import random
import re

import pytest

pytest.importorskip("pyramid", reason="python3-pyramid is not installed")

BIG = random.Random(88).randbytes(1_000_003)


def prepare(folder):
    path = os.path.join(folder, "data", "big.bin")
    with open(path, "wb") as f:
        f.write(BIG)
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture(scope="module")
def site(real):
    return real("pyramid", mount="/deep/down", prepare=prepare, vhost="    AllowEncodedSlashes On\n",
                scrub=[(r'value="\w+"', "TOKEN")])


def test_85_01_routes_and_traversal(play):
    def visit(browser):
        said = browser.get("/where/a%2Fb/%C3%BC?q=1&q=2&p=%C3%A9").json()
        assert said["route"].startswith("http://app.example/deep/down/where/")
        assert browser.get("/a/b/c").json()["url"] == "http://app.example/deep/down/a/b/c/"
        assert browser.get("/a/leaf-end/x/y").json()["subpath"] == ["x", "y"]
        assert browser.get("/").json()["app"] == "http://app.example/deep/down"
        browser.get("/a/leaf-end")
        browser.head("/a")
        assert browser.follow(browser.get("/away")).status == 200
    play(visit)


def test_85_02_session_and_flash(play):
    def visit(browser):
        assert [browser.get("/count").json() for _ in range(3)] == [
            {"n": 1, "flash": []}, {"n": 2, "flash": ["twice"]}, {"n": 3, "flash": []}]
    play(visit)


def test_85_03_form_with_token_and_upload(play):
    data = random.Random(7).randbytes(1_200_000)

    def visit(browser):
        token = re.search(r'value="(\w+)"', browser.get("/form").text)[1]
        files = {"data": ("d\u00e4ta.bin", "x/y", data)}
        assert browser.upload("/form", {"title": "x"}, files).status == 400
        said = browser.upload("/form", {"title": "T\u00eftel", "csrf_token": token}, files).json()
        assert said == ["d\u00e4ta.bin", "T\u00eftel", hashlib.sha256(data).hexdigest()]
        assert browser.upload("/form", {"title": "y"}, files, [("X-CSRF-Token", token)]).status == 200
    play(visit)


def test_85_04_bodies_by_length_and_in_chunks(play):
    body = random.Random(8).randbytes(700_000)

    def visit(browser):
        for chunk in (None, 1234):
            assert browser.send("POST", "/body", body, chunk=chunk).json() == {
                "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    play(visit)


def test_85_05_streams_and_files(play):
    def visit(browser):
        assert len(browser.get("/stream").body) == 700_000
        assert browser.get("/file").body == BIG
        assert browser.head("/file").get("Content-Length") == str(len(BIG))
        assert browser.get("/piece").body == BIG[1000:]
        assert browser.get("/piece", [("If-None-Match", '"piece"')]).status == 304
    play(visit)


def test_85_06_errors_are_the_application_s(play):
    def visit(browser):
        assert browser.get("/broken").json() == {"failed": "broken on purpose", "path": "/deep/down/broken"}
        assert browser.get("/forbidden").status == 403
        assert browser.get("/forbidden", [("Accept", "application/json")]).status == 403
        assert browser.request("PROPFIND", "/count").status in (200, 404, 405)
    play(visit)
