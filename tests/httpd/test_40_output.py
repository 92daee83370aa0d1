"""Responses: every shape of a correct one, and what becomes of incorrect ones."""

import contextlib
import os

import pytest

from conftest import STREAMED
from harness import client, server

LONG = b"0123456789abcdef" * 65536

ABC = ["one", "several", "with_length", "generator", "late_start", "empty_blocks", "write", "write_only",
       "getitem", "headers", "no_reason"]


@pytest.mark.parametrize("way", ABC)
def test_output_01_shapes_of_a_body(app, way):
    rsp = app("output").get("?way=" + way)
    assert (rsp.status, rsp.body, rsp.complete) == (200, b"abc", True)


@pytest.mark.parametrize("way", ABC)
def test_output_02_shapes_of_a_body_on_one_connection(app, way):
    out = app("output")
    with out.conn() as conn:
        for _ in range(3):
            rsp = conn.get(out.url("?way=" + way))
            assert (rsp.body, rsp.complete, rsp.close) == (b"abc", True, False)


@pytest.mark.parametrize("way", ABC)
def test_output_03_shapes_of_a_body_for_http_1_0(app, way):
    rsp = app("output").get("?way=" + way, version="1.0")
    assert (rsp.status, rsp.body) == (200, b"abc")
    assert not rsp.all("Transfer-Encoding")


@pytest.mark.parametrize("way", ["empty", "empty_generator", "empty_with_length"])
def test_output_04_empty_body(app, way):
    out = app("output")
    with out.conn() as conn:
        for _ in range(3):
            rsp = conn.get(out.url("?way=" + way))
            assert (rsp.status, rsp.body, rsp.complete, rsp.close) == (200, b"", True, False)


@pytest.mark.parametrize("way", ["long", "long_with_length", "long_blocks"])
def test_output_05_long_body(app, way):
    rsp = app("output").get("?way=" + way)
    assert rsp.complete and rsp.body == LONG


def test_output_06_content_length_is_kept(app):
    assert app("output").get("?way=with_length").get("Content-Length") == "3"
    assert app("output").get("?way=long_with_length").get("Content-Length") == str(len(LONG))


def test_output_07_headers_go_out_as_given(app):
    rsp = app("output").get("?way=headers")
    assert rsp.reason == "Fine Indeed"
    assert rsp.all("Set-Cookie") == ["a=1", "b=2; Path=/"]
    assert ", ".join(rsp.all("X-Twice")) == "1, 2"
    assert rsp.get("X-Latin") == "caf\xe9"
    assert rsp.get("X-Empty") == ""
    assert rsp.get("ETag") == '"x"'
    assert rsp.get("Last-Modified") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert rsp.get("Cache-Control") == "no-cache"
    assert rsp.get("Date") and "Apache" in rsp.get("Server")


@pytest.mark.parametrize("way,status,reason,body", [
    ("created", 201, "Created", b"abc"), ("not_found", 404, "Gone Fishing", b"abc"),
    ("server_error", 503, "Closed", b"abc"), ("odd", 599, "Odd", b"abc")])
def test_output_08_any_status(app, way, status, reason, body):
    rsp = app("output").get("?way=" + way)
    assert (rsp.status, rsp.reason, rsp.body, rsp.complete) == (status, reason, body, True)


@pytest.mark.parametrize("way,status", [("no_content", 204), ("not_modified", 304)])
def test_output_09_status_without_a_body(app, way, status):
    out = app("output")
    with out.conn() as conn:
        for _ in range(3):
            rsp = conn.get(out.url("?way=" + way))
            assert (rsp.status, rsp.body, rsp.close) == (status, b"", False)


def test_output_10_start_response_again_with_exc_info_replaces(app):
    rsp = app("output").get("?way=twice")
    assert (rsp.status, rsp.reason, rsp.body) == (404, "Not Here", b"abc")
    assert rsp.get("X-Second") == "2" and rsp.get("X-First") is None
    assert rsp.get("Content-Type") == "text/plain"


@pytest.mark.parametrize("way", ABC + ["empty", "long", "long_with_length", "no_content", "created"])
def test_output_11_head(app, way):
    out = app("output")
    with out.conn() as conn:
        got = conn.get(out.url("?way=" + way))
        head = conn.get(out.url("?way=" + way), method="HEAD")
        assert (head.status, head.reason, head.body) == (got.status, got.reason, b"")
        if "with_length" in way:
            assert head.get("Content-Length") == got.get("Content-Length")
        if head.get("Content-Length") not in (None, got.get("Content-Length")):
            assert int(head.get("Content-Length")) == len(got.body)
        assert conn.get(out.url("?way=one")).body == b"abc"


@pytest.mark.parametrize("way", ["iterate", "write"])
@pytest.mark.parametrize("length", ["", "&length=24"])
def test_output_12_blocks_are_flushed_one_by_one(app, notes, way, length):
    stream = app("stream")
    with stream.conn() as conn:
        conn.request("GET", stream.url(f"?key={notes.key}&n=3&way={way}{length}"))
        rsp = conn.head()
        pieces = conn.pieces(rsp)
        for n in range(3):
            got = b""
            while len(got) < 8:
                got += next(pieces)
            assert got == b"block %d\n" % n
            notes.tell(f"go{n + 1}")
        assert list(pieces) == [] and rsp.complete
        assert conn.get(app("hello").url()).status == 200


def test_output_13_head_of_a_stream_does_not_wait_for_the_second_block(app, notes):
    stream = app("stream")
    with stream.conn() as conn:
        conn.request("GET", stream.url(f"?key={notes.key}&n=2"))
        assert conn.head().status == 200
        notes.tell("go1")


CLOSING = {"normal": 200, "sized": 200, "raise-first": 500, "raise-iter": 500, "str": 500, "no-start": 500,
           "raise-close": 200, "raise-second": 200}


def cut_or_500(rsp):
    """A response that failed in the middle: cut if any of it is out, else an error."""
    assert rsp is not None and (rsp.status == 500 and rsp.complete or rsp.status == 200 and not rsp.complete)


@pytest.mark.parametrize("way", CLOSING)
def test_output_14_close_is_called_once(app, notes, log, way):
    if way not in ("normal", "sized"):
        log.allow("WSGI", traceback=True)
    with app("closing").conn() as conn:
        conn.request("GET", app("closing").url(f"?key={notes.key}&way={way}"))
        rsp = conn.response()
        if way == "raise-second":
            cut_or_500(rsp)
        else:
            assert rsp.status == CLOSING[way]
        if way in ("normal", "sized"):
            assert rsp.complete and rsp.body == b"block\n" * 3
    notes.wait("close")
    app("hello").get()
    assert notes.read("close") == "close\n"


def test_output_15_close_is_called_once_for_head(app, notes):
    app("closing").get(f"?key={notes.key}&way=normal", method="HEAD")
    notes.wait("close")
    app("hello").get()
    assert notes.read("close") == "close\n"


def test_output_16_close_is_called_when_the_client_goes(app, notes, log):
    closing = app("closing")
    with closing.conn() as conn:
        conn.request("GET", closing.url(f"?key={notes.key}&way=endless"))
        rsp = conn.head()
        next(conn.pieces(rsp))
    notes.wait("close", seconds=15)
    for _ in range(3):
        app("hello").get()
    assert notes.read("close") == "close\n"


def test_output_17_a_stream_whose_client_has_gone_ends(app, notes):
    closing = app("closing")
    with closing.conn() as conn:
        conn.request("GET", closing.url(f"?key={notes.key}&way=wait"))
        next(conn.pieces(conn.head()))
    notes.tell("go")
    notes.wait("close", seconds=15)
    app("hello").get()
    assert notes.read("close") == "close\n"


@pytest.fixture
def datafile(notes, site):
    def make(size):
        data = os.urandom(size)
        path = os.path.join(site.path("tmp"), f"{notes.key}.data")
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, 0o644)
        return data
    return make


@pytest.mark.parametrize("way", ["file", "size", "memory", "plain", "iterated"])
@pytest.mark.parametrize("size", [0, 1, 8192, 100001, 3 << 20])
def test_output_18_file_wrapper(app, notes, datafile, way, size):
    data = datafile(size)
    rsp = app("filewrap").get(f"?key={notes.key}&way={way}")
    assert (rsp.status, rsp.complete) == (200, True) and rsp.body == data


@pytest.mark.parametrize("way", ["file", "size", "memory"])
def test_output_19_file_wrapper_closes_its_file_once(app, notes, datafile, way):
    datafile(5000)
    app("filewrap").get(f"?key={notes.key}&way={way}")
    notes.wait("close")
    app("hello").get()
    assert notes.read("close") == "close\n"


def test_output_20_file_wrapper_starts_where_the_file_stands(app, notes, datafile):
    data = datafile(50000)
    rsp = app("filewrap").get(f"?key={notes.key}&way=offset&at=12345")
    assert rsp.body == data[12345:]


def test_output_21_file_wrapper_after_write(app, notes, datafile):
    data = datafile(5000)
    assert app("filewrap").get(f"?key={notes.key}&way=written").body == b"first " + data


def test_output_22_file_wrapper_over_a_pipe(app, notes, datafile):
    datafile(1)
    assert app("filewrap").get(f"?key={notes.key}&way=pipe").body == b"from a pipe"


@pytest.mark.parametrize("length,complete", [(5000, True), (100, True), (6000, False)])
def test_output_23_file_wrapper_and_content_length(app, notes, log, datafile, length, complete):
    data = datafile(5000)
    log.allow("WSGI", traceback=True)
    rsp = app("filewrap").get(f"?key={notes.key}&way=file&length={length}")
    if complete:
        assert rsp.complete and rsp.body == data[:length]
    else: # cut, or an error page where nothing had left yet
        assert rsp.status == 500 or (not rsp.complete and rsp.body == data[:length])


BEFORE = {"before": "marker-before", "after_start": "marker-after-start", "first_block": "marker-first-block",
          "empty_block": "marker-empty-block", "chained": "marker-outer", "base": "marker-base",
          "hostile": "Hostile", "interrupt": "KeyboardInterrupt", "syntax": "marker-syntax",
          "recursion": "RecursionError", "no_start": "start_response", "no_start_empty": "start_response",
          "none": "TypeError|NoneType|iter", "number": "TypeError|int|iter", "text": "TypeError|bytes|str",
          "bare_text": "TypeError|bytes|str", "write_text": "TypeError|bytes|str",
          "write_before_any": "start_response", "bad_exc_info": "TypeError|exc_info"}


@pytest.mark.parametrize("way", BEFORE)
def test_output_24_failure_before_the_head_is_500(app, log, way):
    fail = app("fail")
    with fail.conn() as conn:
        rsp = conn.get(fail.url("?way=" + way))
        assert (rsp.status, rsp.complete) == (500, True)
        assert b"abc" not in rsp.body and b"marker" not in rsp.body and b"Traceback" not in rsp.body
        if not rsp.close:
            assert conn.get(app("hello").url()).status == 200
    log.allow("WSGI", traceback=True)
    log.wait(BEFORE[way], log=fail.log_name)


def test_output_25_traceback_has_frames_and_goes_to_the_virtual_host(app, log):
    app("fail").get("?way=before")
    log.allow("WSGI0174", traceback=True)
    for pattern in ("WSGI0174.*fail/wsgi.py", r"Traceback \(most recent call last\)",
                    r'File ".*fail/wsgi.py", line \d+, in before', "KeyError: 'marker-before'"):
        line = log.wait(pattern, log=app("fail").log_name)
        assert line.level == "error"
    assert not log.find("marker-before", log="main.log", since=log.checked)


def test_output_26_chained_exceptions_are_shown_whole(app, log):
    app("fail").get("?way=chained")
    log.allow("WSGI0174", traceback=True)
    for pattern in ("KeyError: 'marker-inner'", "direct cause", "ValueError: marker-outer"):
        log.wait(pattern, log=app("fail").log_name)


def test_output_27_sys_exit_does_not_end_the_process(app, log):
    pid = app("who").get().json()["pid"]
    log.allow("WSGI0175", "marker-exit", traceback=True)
    assert app("fail").get("?way=sysexit").status == 500
    log.wait("WSGI0175")
    if app("who").mode == "daemon":
        assert app("who").get().json()["pid"] == pid


@pytest.mark.parametrize("way", ["second_block", "after_write", "exc_info_late", "text_later"])
def test_output_28_failure_after_the_head_truncates(app, log, way):
    rsp = app("fail").get("?way=" + way)
    log.allow("WSGI", traceback=True)
    cut_or_500(rsp)
    assert rsp.status == 500 or b"part" == rsp.body or b"abc" == rsp.body
    log.wait("WSGI0174", log=app("fail").log_name)


def test_output_29_bytes_like_is_not_bytes(app, log):
    """PEP 3333: bytestrings. What is close to one is either sent right or refused."""
    log.allow("WSGI0174", traceback=True)
    rsp = app("fail").get("?way=bytearray_")
    assert (rsp.status, rsp.body) == (200, b"abc") or rsp.status == 500


STATUS = ["int", "none", "bytes", "empty", "two", "four", "letters", "glued", "crlf", "lf", "cr", "nul",
          "unicode", "low", "lead", "minus", "wide", "split"]
HEADERS = ["none", "dict", "tuple", "string", "item-str", "item-list", "item-short", "item-long", "item-int",
           "item-bytes", "item-none", "name-empty", "name-blank", "name-colon", "name-lf", "name-crlf",
           "name-nul", "name-unicode", "name-latin", "value-lf", "value-cr", "value-crlf", "value-split",
           "value-fold", "value-nul", "value-bell", "value-del", "value-unicode", "value-crend",
           "value-lfend", "location-crlf", "cookie-crlf", "type-crlf"]


@pytest.mark.parametrize("what", [f"status&what={w}" for w in STATUS] + [f"headers&what={w}" for w in HEADERS])
def test_output_30_nothing_is_injected_by_status_and_headers(app, log, what):
    fail = app("fail")
    with fail.conn() as conn:
        rsp = conn.get(fail.url("?way=" + what))
        assert (rsp.status, rsp.complete) == (500, True)
        assert not rsp.all("X-Injected") and b"EVIL" not in rsp.body and b"abc" not in rsp.body
        if not rsp.close:
            assert conn.get(app("hello").url()).body == b"Hello, world!\n"
    log.allow("WSGI0174", traceback=True)
    log.wait("WSGI0174", log=fail.log_name)


@pytest.mark.parametrize("way", ["exit_now", "killed", "segv"])
def test_output_31_a_process_that_dies_before_the_head(own_httpd, way):
    if way == "segv" and server.sanitized():
        pytest.skip("a sanitizer takes that signal for itself")
    httpd = own_httpd(main="WSGIDaemonProcess g\nWSGIProcessGroup g\n",
                      vhosts={"a": "WSGIScriptAlias /fail @apps@/fail/wsgi.py\n"
                                   "WSGIScriptAlias /hello @apps@/hello/wsgi.py\n"})
    httpd.log.allow("WSGI0563", "WSGI0146")
    if way == "segv":
        httpd.log.allow(r'Fatal Python error|Thread 0x|Current thread|File "|<no Python frame>|Extension modules')
    with httpd.conn() as conn:
        rsp = conn.get("/fail?way=" + way, method="POST", body=b"")
        assert rsp.status == 502 and rsp.complete
    assert httpd.fetch("/hello").status == 200
    line = httpd.log.wait("WSGI0563", since=0)
    worker = int(line.text.split("(pid ")[1].split(")")[0])
    assert {"exit_now": "3", "killed": "9|KILL", "segv": "11|SEGV"}[way].split("|")[0] in line.text or \
        {"exit_now": "status 3", "killed": "Killed", "segv": "Segmentation"}[way] in line.text
    assert {"exit_now": "the application", "killed": "memory-soft=", "segv": "stack-size="}[way] in line.text
    assert httpd.log.find(rf"WSGI0146: request 'POST /fail': worker 0 of group 'g' \(pid {worker}\) died .*; 502")
    if way == "segv":
        httpd.log.wait("in segv", since=0)


ERRORS = {
    "errors": ["one", "two", "three", "four"], "print": ["printed"], "stdout": ["printed"],
    "stderr": ["printed"], "partial": ["in parts"], "flush": ["first", "second"],
    "unicode": ["caf\xe9 \u2603|caf\\\\xc3\\\\xa9"], "empty": ["after"],
}


@pytest.mark.parametrize("way", ERRORS)
def test_output_32_errors_go_to_the_log_of_the_virtual_host(app, log, nonce, way):
    word = nonce()
    assert app("stderr").get(f"?way={way}&word={word}").status == 200
    log.allow(word, r"\] *$")
    for text in ERRORS[way]:
        line = log.wait(f"{word} {text}" if way != "empty" else f"{word} after", log=app("stderr").log_name)
        assert line.level == "error" and line.module == "wsgi"
    other = "daemon.log" if app("stderr").mode == "embedded" else "embedded.log"
    assert not log.find(word, log=other) and not log.find(word, log="main.log")


def test_output_33_errors_name_the_client(app, log, nonce):
    word = nonce()
    app("stderr").get(f"?way=errors&word={word}")
    log.allow(word)
    assert "[client 127.0.0.1:" in log.wait(word + " one").full


def test_output_34_control_bytes_cannot_forge_a_log_line(app, log, nonce):
    word = nonce()
    app("stderr").get(f"?way=control&word={word}")
    line = log.wait(word)
    assert not any(ord(c) < 32 for c in line.full)


def test_output_35_long_lines_are_logged_in_pieces_or_cut(app, log, nonce):
    word = nonce()
    assert app("stderr").get(f"?way=long&word={word}").status == 200
    log.allow(r"x{100}")
    line = log.wait(word)
    assert "x" * 1000 in line.full
    assert app("hello").get().status == 200


def test_output_36_no_line_is_lost_and_order_is_kept(app, log, nonce):
    word = nonce()
    app("stderr").get(f"?way=many&word={word}")
    log.allow(word)
    log.wait(f"{word} line 499", log=app("stderr").log_name)
    seen = [int(line.full.rsplit(" ", 1)[1]) for line in log.find(f"{word} line")]
    assert seen == list(range(500))


def test_output_37_lines_of_threads_are_logged_somewhere(app, log, nonce):
    word = nonce()
    app("stderr").get(f"?way=thread&word={word}")
    log.wait(word + " threaded")


SCRIPTS = {"nocallable": (500, "application"), "notcallable": (500, "callable|TypeError"),
           "importfails": (500, "marker-import"), "syntaxerror": (500, "SyntaxError"),
           "importexits": (500, "WSGI0107|SystemExit")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_output_38_scripts_that_cannot_serve(app, log, name):
    status, text = SCRIPTS[name]
    log.allow("WSGI", r"^.*\^", "importexits", traceback=True)
    for _ in range(2):
        since = log.mark()
        rsp = app(name).get()
        assert rsp.status == status and b"marker" not in rsp.body
        line = log.wait(text, log=app(name).log_name, since=since)
        assert line.level == "error"
    assert app("hello").get().status == 200


def test_output_39_missing_callable_is_named(app, log):
    app("nocallable").get()
    line = log.wait("WSGI0089", log=app("nocallable").log_name)
    assert "application" in line.text and "nocallable/wsgi.py" in line.text


def test_output_40_missing_script_is_404(app, log, site):
    with contextlib.suppress(FileExistsError):
        os.mkdir(site.path("apps", "empty"))
    rsp = client.fetch(app("hello").port, "/folder/empty/wsgi.py")
    assert rsp.status == 404
    assert "empty/wsgi.py" in log.wait("WSGI0135").text


def test_output_41_unreadable_script_is_403(app, log, site):
    if not server.ROOT:
        pytest.skip("needs another user than the one who owns the file")
    folder = site.path("apps", "secret")
    os.makedirs(folder, exist_ok=True)
    script = os.path.join(folder, "wsgi.py")
    with open(script, "w", encoding="ascii") as f:
        f.write("application = None\n")
    os.chmod(script, 0)
    log.allow("WSGI", "AH00132|AH00035")
    assert client.fetch(app("hello").port, "/folder/secret/wsgi.py").status == 403
    assert log.find("secret/wsgi.py", since=log.checked)


def test_output_42_directory_instead_of_a_script_is_403(app, log):
    assert client.fetch(app("hello").port, "/folder/hello").status == 403
    log.wait("WSGI0136")


SITE = {"options": STREAMED, "vhost": "    WSGIScriptAlias /folder @apps@\n"}


@pytest.mark.parametrize("way", ["iterate", "write", "log"])
@pytest.mark.parametrize("coded", [False, True])
def test_output_43_a_dialogue(app, log, way, coded):
    """A block does not wait in the server while the application waits for what the client says to it."""
    log.allow("turn [0-9]+$")
    turns, n = app("turns"), 50
    said = [b"answer %d %s\n" % (i, b"." * 400) for i in range(n)]
    framing = [("Transfer-Encoding", "chunked")] if coded else [("Content-Length", str(len(b"".join(said))))]
    with turns.conn() as conn:
        conn.request("POST", turns.url(f"?way={way}&n={n}"), framing)
        rsp = conn.head("POST")
        source = conn.pieces(rsp)
        want = b""
        for i, line in enumerate(said):
            want += b"line %d\n" % i
            while len(rsp.body) < len(want):
                next(source)
            conn.send(b"%x\r\n%s\r\n" % (len(line), line) if coded else line)
            want += line
        if coded:
            conn.send(b"0\r\n\r\n")
        for _ in source:
            pass
        assert rsp.complete and rsp.body == want
