"""wsgiref.validate and paste.lint between the server and an application, over every path."""

import random

import pytest
from harness import client
from rig.browser import HOST

pytest.importorskip("paste.lint", reason="python3-paste is not installed")

CHECKS = ("plain", "validate", "lint", "both")
PAGES = ("empty", "one", "several", "big", "stream", "stream?length", "late", "closing", "write", "wrapped",
         "replaced", "fields", "nowhere", "keys?a=b%20c&d")
BODY = b"".join(bytes([33 + n % 90]) * (n % 199) + b"\n" for n in range(3000)) + b"no end of line"
WAYS = ("all", "pieces", "zero", "line", "lines", "hint", "loop", "none")


@pytest.fixture(scope="module")
def site(real):
    return real("checked", mount="/mount")


@pytest.fixture(params=CHECKS)
def check(request):
    return "/" + request.param


def once(check, scenario):
    """The name under which the reference's answers are kept."""
    scenario.__qualname__ += check
    return scenario


@pytest.mark.parametrize("method", ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"))
def test_85_01_every_page_by_every_method(play, check, method):
    def visit(browser):
        for page in PAGES:
            fields, body = [], None
            if method in ("POST", "PUT"):
                fields, body = [("Content-Type", "text/plain")], b"a body that nobody reads"
            browser.request(method, f"{check}/{page}", fields, body)
    play(once(check + method, visit))


def test_85_02_status_codes(play, check):
    def visit(browser):
        for code in (200, 201, 202, 204, 206, 299, 301, 304, 307, 400, 401, 404, 410, 418, 500, 503, 599):
            rsp = browser.get(f"{check}/status?code={code}")
            assert (rsp.status, rsp.reason) == (code, "As Asked")
            assert browser.head(f"{check}/status?code={code}").status == code
    play(once(check, visit))


@pytest.mark.parametrize("way", WAYS)
def test_85_03_bodies_read_in_every_way(site, mode, check, way):
    """By length, in chunks of several sizes, empty and missing, big and small."""
    def visit(browser):
        for method in ("POST", "PUT"):
            for data in (BODY, b"x", b"\n", b""):
                rsp = browser.send(method, f"{check}/body?way={way}", data, "text/x-odd").json()
                assert rsp["size"] == (0 if way == "none" else len(data))

    site.play(mode, once(check + way, visit))
    with site.browser(mode) as browser:
        visit(browser)
        for data, chunk in ((BODY, 1000), (BODY, len(BODY)), (b"x\n" * 50, 1), (b"", 1)):
            rsp = browser.send("POST", f"{check}/body?way={way}", data, "text/x-odd", chunk=chunk).json()
            assert rsp["size"] == (0 if way == "none" else len(data))
            # A body that httpd has read as a whole for a daemon has a length, however it came.
            assert rsp["length"] == (str(len(data)) if mode == "daemon" else "")
            assert way not in ("line", "lines", "hint", "loop") or rsp["lines"] == data.count(b"\n")
        assert browser.get(f"{check}/body?way={way}").json()["size"] == 0


def test_85_04_big_body_echoed_while_it_comes(site, mode, check):
    data = random.Random(9).randbytes(3_000_000)
    with site.browser(mode) as browser:
        for chunk in (None, 60_000):
            rsp = browser.send("POST", f"{check}/echo", data, chunk=chunk)
            assert rsp.body == data and rsp.framing == "chunked"


def test_85_05_body_is_asked_for_by_reading_it(site, mode, check):
    with site.browser(mode) as browser:
        rsp = browser.send("POST", f"{check}/body?way=all", b"y" * 1000, fields=[("Expect", "100-continue")])
        assert rsp.json()["size"] == 1000 and [i.status for i in rsp.interim] == [100]


def test_85_06_http_1_0_and_pipelined(site, mode, check):
    with client.Conn(site.port(mode)) as conn:
        paths = [f"/mount{check}/{page}" for page in ("one", "stream", "keys", "late")]
        conn.send(b"".join(conn.build("GET", path, [("Host", HOST)]) for path in paths))
        together = [conn.response().body for _ in paths]
    alone = []
    for path in paths:
        rsp = client.fetch(site.port(mode), path, [("Host", HOST)], version="1.0")
        assert rsp.status == 200 and rsp.framing in ("length", "close")
        alone.append(rsp.body)
    assert together == alone


def test_85_07_iterables_are_closed_once_each(site, mode, check):
    """In a place of its own, since other tests close too; the daemon's processes count apart."""
    def closed(browser):
        return max(browser.get("/plain/closed").json() for _ in range(8))

    with site.browser(mode) as browser:
        before = closed(browser)
        for method in ("GET", "HEAD", "POST") * 3:
            browser.request(method, f"{check}/closing", body=b"unread" if method == "POST" else None)
        assert 0 < closed(browser) - before <= 9


def test_85_08_errors_reach_the_log_line_by_line(site, mode, check, log):
    log.allow("checked: ")
    since = log.mark()
    with site.browser(mode) as browser:
        assert browser.get(f"{check}/errors").status == 200
    name = f"{mode}.log"
    log.wait("checked: last", since, name)
    assert [line.text[line.text.index("checked"):] for line in log.find("checked: ", since, name)] == [
        "checked: one line", "checked: two halves", "checked: last"]


def test_85_09_application_that_raises(site, mode, check, log):
    log.allow("WSGI0174: RuntimeError raised by", traceback=True)
    since = log.mark()
    with site.browser(mode) as browser:
        rsp = browser.get(f"{check}/raises")
        assert rsp.status == 500 and b"checked" not in rsp.body
        rsp = client.fetch(site.port(mode), f"/mount{check}/raises-late", [("Host", HOST)])
        assert rsp.status == 200 and not rsp.complete
        assert browser.get(f"{check}/one").status == 200
    for text in ("before the head", "in the body"):
        log.wait(f"RuntimeError: checked: {text}", since, f"{mode}.log")


def test_85_10_client_that_leaves_in_the_middle(site, mode, check, log):
    """The iterable is closed all the same; the checkers would write a line if it were not."""
    with client.Conn(site.port(mode)) as conn:
        conn.request("GET", f"/mount{check}/stream", [("Host", HOST)])
        rsp = conn.head()
        next(conn.pieces(rsp))
    with site.browser(mode) as browser:
        assert browser.get(f"{check}/one").status == 200
