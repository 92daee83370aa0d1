"""Flask from Debian's package, below a prefix."""

import hashlib
import os
import random

import pytest
from harness import client
from rig.browser import HOST, Browser
from rig.crowd import at_once

pytest.importorskip("flask", reason="python3-flask is not installed")

BIG = random.Random(86).randbytes(2_000_003)


def prepare(folder):
    path = os.path.join(folder, "data", "big.bin")
    with open(path, "wb") as f:
        f.write(BIG)
    os.utime(path, (1_700_000_000, 1_700_000_000))  # goes into the entity tag


@pytest.fixture(scope="module")
def site(real):
    # Werkzeug's entity tag holds a checksum of the file's path, which differs from place to place.
    return real("flask", mount="/prefix", prepare=prepare, tags=[(r"-\d+\"$", '-PATH"')],
                options="processes=2 threads=4 request-buffering=off")


def test_85_01_urls_of_the_application_and_a_blueprint_know_the_prefix(play):
    def visit(browser):
        page = browser.get("/").text
        assert "/prefix/notes/%C3%A9%20b" in page and f"http://{HOST}/prefix/" in page
        rsp = browser.get("/notes/a%20b/%C3%BC?x=1&x=2&y=%C3%A9").json()
        assert rsp["name"] == "a b/ü" and rsp["args"] == {"x": ["1", "2"], "y": ["é"]}
        browser.send("PUT", "/notes/put", "naïve\r\n".encode(), "text/plain; charset=utf-8")
        browser.request("DELETE", "/notes/gone")
        assert browser.request("OPTIONS", "/notes/x").get("Allow")
        assert browser.request("POST", "/notes/x", body=b"").status == 405
        browser.head("/notes/head")
        assert browser.get("/notes").status == 404
    play(visit)


def test_85_02_signed_session_and_flash(play):
    def visit(browser):
        assert browser.get("/me").status == 401
        sent = browser.post("/login", {"user": "Ada"})
        assert sent.status == 302
        first = browser.follow(sent).json()
        assert first == {"user": "Ada", "visits": 1, "flashed": ["Welcome, Ada"]}
        assert browser.get("/me").json() == {"user": "Ada", "visits": 2, "flashed": []}
        assert browser.post("/logout", {}).status == 303
        assert browser.get("/me").status == 401
        browser.cookies["session"] = "eyJ1c2VyIjoiRXZlIn0.bad.signature"
        assert browser.get("/me").status == 401
    play(visit)


@pytest.mark.parametrize("chunk", (None, 4096))
def test_85_03_upload_by_length_and_in_chunks(site, mode, chunk):
    play = upload if chunk is None else upload_in_chunks
    site.play(mode, play)


def upload(browser, chunk=None):
    one, two = random.Random(3).randbytes(5_000_000), b"\r\n--x\r\n" * 1000
    said = browser.upload("/upload", {"title": "Größe", "empty": ""}, {
        "one": ("one.bin", "application/octet-stream", one),
        "two": ("zwei.txt", "text/plain", two)}, chunk=chunk).json()
    assert said["form"] == {"title": ["Größe"], "empty": [""]}
    assert [f[3:] for f in said["files"]] == [[len(d), hashlib.sha256(d).hexdigest()] for d in (one, two)]


def upload_in_chunks(browser):
    upload(browser, 4096)


def test_85_04_raw_body_by_length_and_in_chunks(play):
    body = random.Random(4).randbytes(1_000_000)

    def visit(browser):
        for chunk in (None, 1, 777, len(body)):
            part = body[:3000] if chunk == 1 else body
            said = browser.send("PUT", "/raw", part, chunk=chunk).json()
            assert said == {"size": len(part), "sha256": hashlib.sha256(part).hexdigest()}
        assert browser.send("POST", "/raw", b"").json()["size"] == 0
        assert browser.send("POST", "/raw", b"", chunk=1).json()["size"] == 0
    play(visit)


def test_85_05_lines_of_the_input(site, mode):
    """wsgi.input ends where the body does, by itself."""
    with site.browser(mode) as browser:
        for chunk in (None, 7):
            assert browser.send("POST", "/lines", "eins\nzwei\r\n\ndr\u00e9i".encode(), "text/x",
                                chunk=chunk).json() == ["eins\n", "zwei\r\n", "\n", "dr\u00e9i"]


def test_85_06_too_large_a_body_is_refused(site, mode):
    with site.browser(mode) as browser:
        rsp = browser.upload("/upload", {}, {"f": ("f", "x/y", b"f" * 17_000_000)})
        assert rsp.status == 413
        assert browser.get("/").status == 200


def test_85_07_stream_with_the_request_s_context(play):
    def visit(browser):
        rsp = browser.get("/stream/2000?word=w%C3%B6rd")
        lines = rsp.body.decode().splitlines()
        assert len(lines) == 2000 and lines[1999].startswith("wörd 1999 ")
        assert browser.get("/stream/0").body == b""
        browser.head("/stream/5")
    play(visit)


def test_85_08_response_goes_out_while_the_body_comes_in(site, mode):
    """Block by block to and fro; each comes back before the next is sent."""
    with client.Conn(site.port(mode)) as conn:
        conn.send(f"POST /prefix/echo HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        rsp, got = None, b""
        for n in range(5):
            block = bytes([65 + n]) * 32768
            conn.send(b"8000\r\n" + block + b"\r\n")
            if rsp is None:
                rsp = conn.head()
                pieces = conn.pieces(rsp)
            while len(got) < (n + 1) * 32768:
                got += next(pieces)
            assert got.endswith(block)
        conn.send(b"0\r\n\r\n")
        assert list(pieces) == [] and rsp.complete
        assert conn.get("/prefix/stream/1", [("Host", HOST)]).status == 200


def test_85_09_files_ranges_and_conditions(play):
    def visit(browser):
        whole = browser.get("/file")
        assert whole.body == BIG
        tag, date = whole.get("ETag"), whole.get("Last-Modified")
        assert browser.get("/file", [("If-None-Match", tag)]).status == 304
        assert browser.get("/file", [("If-Modified-Since", date)]).status == 304
        part = browser.get("/file", [("Range", "bytes=1000-1999")])
        assert part.status == 206 and part.body == BIG[1000:2000]
        end = browser.get("/file", [("Range", "bytes=-7")])
        assert end.status == 206 and end.body == BIG[-7:]
        assert browser.get("/file", [("Range", "bytes=9000000-")]).status == 416
        assert browser.head("/file").get("Content-Length") == str(len(BIG))
        assert browser.get("/memory").body == b"0123456789" * 2000
    play(visit)


def test_85_10_fields_in_both_directions(play):
    def visit(browser):
        rsp = browser.get("/headers", [("X-One", "1"), ("X-Latin", "gr\u00fc\u00df"), ("Accept", "text/*"),
                                       ("Accept-Language", "de, en;q=0.5")])
        assert rsp.all("X-Twice") == ["first", "second"] and len(rsp.all("Set-Cookie")) == 2
        assert rsp.get("X-Latin") == "gr\u00fc\u00df"
    play(visit)


def test_85_11_status_codes(play):
    def visit(browser):
        for code in (200, 201, 204, 205, 302, 304, 400, 403, 404, 409, 410, 415, 418, 429, 451, 501, 503):
            assert browser.get(f"/status/{code}").status == code
        assert browser.get("/nowhere").text == "No /nowhere here"
    play(visit)


def test_85_12_broken_view_is_logged_and_answered_by_the_application(play, log):
    log.allow("Exception on /broken", traceback=True)

    def visit(browser):
        assert browser.get("/broken").json() == {"failed": "RuntimeError"}
        assert browser.get("/").status == 200
    play(visit)
    log.wait("RuntimeError: broken on purpose", seconds=5)


def test_85_13_many_clients_at_once(site, mode):
    def one(number):
        body = random.Random(number).randbytes(300_000 + number)
        with Browser(site.port(mode), site.mount) as browser:
            assert browser.follow(browser.post("/login", {"user": str(number)})).status == 200
            for n in range(4):
                rsp = browser.send("POST", "/echo", body, chunk=[None, 5000][n % 2])
                assert rsp.body == body
                assert browser.get("/file").body == BIG
                assert browser.get("/me").json() == {"user": str(number), "visits": n + 2, "flashed": []}

    at_once(8, one)
