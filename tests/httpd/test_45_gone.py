"""Clients that go away: what the access log says, and what the error log says once. Log ids on the way."""

import contextlib
import os
import re
import socket

import pytest

from conftest import STREAMED
from harness import client, wait

MAIN = """
LogLevel wsgi:debug
ErrorLogFormat "[%{u}t] [%-m:%l] [pid %P] [id %L] [client\\ %a] %M"
LogFormat "%>s %B %L %U" short
CustomLog logs/access.txt short
"""
VHOST = """
    CustomLog logs/access.txt short
"""
SITE = {"options": STREAMED, "main": MAIN, "vhost": VHOST}

LEFT = "the client went away"


class Access:
    def __init__(self, site):
        self.path = site.path("logs", "access.txt")
        self.at = os.path.getsize(self.path)

    def lines(self):
        with open(self.path, encoding="ascii") as f:
            f.seek(self.at)
            return f.read().splitlines()

    def wait(self, path):
        """status, bytes, log id of the request for this path."""
        found = wait.until(lambda: [line.split() for line in self.lines() if line.endswith(" " + path)], 15,
                           f"access log line for {path}")
        assert len(found) == 1
        return int(found[0][0]), int(found[0][1]), found[0][2]


@pytest.fixture
def access(site):
    return Access(site)


def reset(conn):
    """Close so that the other side notices at once."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    conn.close()


def told_once(log, since):
    wait.until(lambda: log.find(LEFT, since), 10, "a line that the client left")
    found = log.find(LEFT, since)
    assert len(found) == 1 and found[0].level == "debug", found
    assert not [line for line in log.lines[since:] if line.is_traceback and line.loud]


@pytest.mark.parametrize("way", ["iterate", "write"])
@pytest.mark.parametrize("leave", [reset, client.Conn.close])
def test_gone_01_in_the_middle_of_the_answer(app, notes, log, access, way, leave):
    stream, since = app("stream"), log.mark()
    conn = stream.conn()
    conn.request("GET", stream.url(f"?key={notes.key}&n=1000&way={way}"))
    next(conn.pieces(conn.head()))
    leave(conn)
    # One block after the other: the last few bytes of an answer are on their way before anybody can say
    # that nobody is there.
    blocks = iter(range(1, 1000))
    wait.until(lambda: notes.tell(f"go{next(blocks)}") or log.find(LEFT, since), 15, "a line that the client left")
    for n in blocks:
        notes.tell(f"go{n}")
    status, _, _ = access.wait("/stream")
    assert status == 499
    told_once(log, since)


def test_gone_02_endless_answer(app, notes, log, access):
    closing, since = app("closing"), log.mark()
    with closing.conn() as conn:
        conn.request("GET", closing.url(f"?key={notes.key}&way=endless"))
        next(conn.pieces(conn.head()))
    notes.wait("close")
    status, sent, _ = access.wait("/closing")
    assert status == 499 and sent > 0
    told_once(log, since)


@pytest.mark.parametrize("coded", [False, True])
def test_gone_03_in_the_middle_of_the_body(app, log, access, coded):
    """An application that does not catch the error: no traceback of what was nobody's fault."""
    one, since = app("input"), log.mark()
    log.allow(r"AH0[12]\d{3}")
    fields = [("Transfer-Encoding", "chunked")] if coded else [("Content-Length", "1000000")]
    conn = one.conn()
    conn.send(conn.build("POST", one.url("?way=all"), fields) + (b"ffffff\r\n" if coded else b"") + b"x" * 40000)
    conn.close()
    status, sent, _ = access.wait("/input")
    assert (status, sent) == (499, 0)
    told_once(log, since)


def test_gone_04_half_of_a_connection(app, access):
    """Who has said all and listens on is no client that left."""
    one = app("echo")
    with one.conn() as conn:
        conn.request("POST", one.url(), body=b"x" * 50000)
        conn.sock.shutdown(socket.SHUT_WR)
        rsp = conn.response("POST")
        assert rsp.status == 200 and rsp.body == b"x" * 50000
    assert access.wait("/echo")[0] == 200


def test_gone_05_nothing_is_said_to_half_a_client_whose_body_broke(app, log, access):
    one = app("input")
    log.allow(r"AH0[12]\d{3}")
    with one.conn() as conn:
        conn.send(conn.build("POST", one.url("?way=all"), [("Content-Length", "1000000")]) + b"x" * 40000)
        conn.sock.shutdown(socket.SHUT_WR)
        rsp = conn.response("POST")
        assert rsp is None or rsp.status == 400
        conn.at_end()
    assert access.wait("/input")[0] in (499, 400)


def test_gone_06_who_stays_is_in_the_access_log_as_ever(app, access):
    assert app("echo").get("?x").status == 200
    assert access.wait("/echo")[0] == 200


def test_gone_07_the_next_client_is_served(app, notes, access):
    closing = app("closing")
    for _ in range(12):  # more than there are threads
        with contextlib.closing(closing.conn()) as conn:
            conn.request("GET", closing.url(f"?key={notes.key}&way=endless"))
            next(conn.pieces(conn.head()))
            reset(conn)
    assert app("echo").get("?x").body == b"x"
    wait.until(lambda: sum(line.startswith("499 ") for line in access.lines()) == 12, 15, "12 lines with 499")


# -- log ids

def id_of(line):
    return re.search(r"\[id ([^\]]+)\]", line.text)[1]


@pytest.mark.parametrize("way,count", [("errors", 4), ("print", 1), ("stdout", 1), ("stderr", 1), ("partial", 1)])
def test_gone_08_lines_of_an_application_carry_the_request_s_id(app, log, access, nonce, way, count):
    word, since = nonce(), log.mark()
    log.allow(word)
    one = app("stderr")
    assert one.get(f"?word={word}&way={way}").status == 200
    found = wait.until(lambda: len(log.find(word, since)) == count and log.find(word, since))
    ids = {id_of(line) for line in found}
    assert len(ids) == 1 and "-" not in ids
    assert {os.path.basename(line.log) for line in found} == {one.log_name}
    assert all("[client 127.0.0.1:" in line.text for line in found)
    assert access.wait("/stderr")[2] in ids


def test_gone_09_two_requests_have_two_ids(app, log, nonce):
    word, since = nonce(), log.mark()
    log.allow(word)
    with app("stderr").conn() as conn:
        for _ in range(2):
            conn.get(f"/stderr?word={word}&way=print")
    found = wait.until(lambda: len(log.find(word, since)) == 2 and log.find(word, since))
    assert len({id_of(line) for line in found}) == 2


def test_gone_10_a_traceback_has_the_id_in_every_line(app, log, access):
    since = log.mark()
    log.allow("WSGI0174", traceback=True)
    one = app("fail")
    assert one.get("?way=before").status == 500
    found = wait.until(lambda: log.find("WSGI0174", since))
    end = wait.until(lambda: log.find(r"Error: ", since))
    first, last = log.lines.index(found[0]), log.lines.index(end[-1])
    lines = [line for line in log.lines[first:last + 1] if os.path.basename(line.log) == one.log_name]
    assert len(lines) > 3 and {id_of(line) for line in lines} == {access.wait("/fail")[2]}
