"""Output filters that refuse an answer: what is missing of it is seen to be missing, and what httpd answers in its
place comes to the client."""

import pytest

from harness import wait

TOO_LONG = "AH01328"  # mod_substitute refuses a block
BAD_FIELD = "AH02430"  # httpd refuses the head
SITE = {"modules": ("filter", "substitute", "headers"), "vhost": """
    <Location /stream>
        SetOutputFilter SUBSTITUTE
        Substitute "s/block 1/a line that is too long/n"
        SubstituteMaxLineLength 12b
    </Location>
    <Location /stream/first>
        Substitute "s/block 0/a line that is too long/n"
    </Location>
    <LocationMatch ^/(stream|hello)/head>
        Header set X-Bad "expr=%{unescape:%01}"
    </LocationMatch>
"""}


@pytest.fixture
def stream(app, notes, log):
    """stream(path, n): a connection with a request for n blocks and an end that waits."""
    conns = []
    log.allow(TOO_LONG, BAD_FIELD)

    def begin(path, n, way="iter"):
        one = app("stream")
        conns.append(one.conn())
        conns[-1].request("GET", one.url(f"{path}?key={notes.key}&n={n}&way={way}&stay=1"))
        return conns[-1]
    yield begin
    for conn in conns:
        conn.close()


@pytest.mark.parametrize("way", ["iter", "write"])
def test_filters_01_refused_block(stream, notes, log, way):
    since = log.mark()
    conn = stream("/block", 2, way)
    rsp = conn.head()
    pieces = conn.pieces(rsp)
    assert next(pieces) == b"block 0\n"
    notes.tell("go1")
    wait.until(lambda: log.find(TOO_LONG, since))
    notes.tell("go2")
    assert list(pieces) == [] and not rsp.complete, rsp


@pytest.mark.parametrize("path,code", [("/first", TOO_LONG), ("/head", BAD_FIELD)])
def test_filters_02_refused_beginning(stream, notes, log, path, code):
    since = log.mark()
    conn = stream(path, 1)
    wait.until(lambda: log.find(code, since))
    notes.tell("go1")
    rsp = conn.response()
    assert rsp and (rsp.status, rsp.complete) == (500, True), rsp
    assert b"block" not in rsp.body


def test_filters_03_refused_at_the_end(app, log):
    """Head, data and end come to the filters together, and httpd does not end its own answer twice."""
    log.allow(BAD_FIELD)
    with app("hello").conn() as conn:
        rsp = conn.get("/hello/head")
        assert rsp.status == 500 and b"Hello" not in rsp.body
        conn.at_end()
