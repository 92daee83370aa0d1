"""What applications print: every line once, whole, in the right log, whatever is in it and whoever writes it."""

import os
import re
import threading

import pytest

from harness import wait
from test_22_interpreter import Code, with_code
from test_25_module import one  # noqa: F401  pylint: disable=unused-import

LINE_MAX = 8192  # httpd cuts its lines there
PATHS = ["/main", "/sub"]


@pytest.fixture(scope="module")
def code(httpd):
    return Code(httpd(**with_code()))


@pytest.fixture
def log(code):
    return code.httpd.log


def plain(text):
    """A message as it was before httpd escaped it, bytes as Latin-1."""
    text = text.encode("utf-8", "surrogateescape").decode("latin-1")
    known = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}
    return re.sub(r"\\(x([0-9a-f]{2})|.)", lambda m: chr(int(m[2], 16)) if m[2] else known[m[1]], text)


def texts(log, word, since=0, name=None):
    """What follows the word in each line that has it."""
    return [line.full.partition(word)[2] for line in log.find(word, since, name)]


class Said:
    """Runs code and finds what it logged: in its lines `say` is a word that no other test has."""

    def __init__(self, code, log, word):
        self.code, self.log, self.word = code, log, word
        self.since = log.mark()
        log.allow(word)

    def run(self, source, mode, path="/code"):
        return self.code(f"say = {self.word!r}\nimport sys, threading\nerrors = environ['wsgi.errors']\n{source}",
                         mode, path)

    def lines(self, mode, n):
        """The n lines in the log of the virtual host, and no other anywhere."""
        name = mode if mode.endswith(".log") else f"{mode}.log"
        wait.until(lambda: len(texts(self.log, self.word, self.since)) >= n, 10, f"{n} lines")
        found = texts(self.log, self.word, self.since, name)
        assert texts(self.log, self.word, self.since) == found and len(found) == n, self.log.find(self.word)
        return found


@pytest.fixture
def said(code, log, nonce):
    return Said(code, log, nonce())


# -- lines


STREAMS = ["errors", "sys.stderr", "sys.stdout"]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("path", PATHS)
def test_logging_01_a_line_waits_for_its_end(said, mode, path, stream):
    said.run(f"""
stream = {stream}
stream.write(say + " a")
stream.write("b\\n" + say + " c\\n" + say)
stream.write(" d")
stream.flush()
stream.flush()
stream.write(say + " e")
stream.close()
stream.writelines([say, " f\\n", say + " g\\r\\n", "", say])
print("", "h", file=stream, end="")
""", mode, path)
    assert said.lines(mode, 7) == [" ab", " c", " d", " e", " f", " g", " h"]


def test_logging_02_streams_do_not_mix(said, mode):
    said.run("""
print(say, "out", end="")
print(say, "err", end="", file=sys.stderr)
print(say, "wsgi", end="", file=errors)
print(" more", end="")
print(" more", end="", file=sys.stderr)
print(" more", end="", file=errors)
""", mode)
    assert sorted(said.lines(mode, 3)) == [" err more", " out more", " wsgi more"]


def test_logging_03_what_is_unfinished_belongs_to_its_request(code, said, mode):
    said.run("print(say, 'first', end='')\nsys.stderr.write(say + ' first')", mode)
    said.run("print(say, 'second')", mode)
    assert sorted(said.lines(mode, 3)) == [" first", " first", " second"]


def test_logging_04_bytes(said, mode):
    said.run("""
sys.stderr.buffer.write(say.encode() + b" bytes\\n")
errors.buffer.write(bytearray(say.encode() + b" array"))
errors.buffer.write(memoryview(b" and view"))
errors.buffer.flush()
""", mode)
    assert said.lines(mode, 2) == [" bytes", " array and view"]


@pytest.mark.parametrize("text", [
    "\0", "a\0b\0", "\x01\x02\x1b[31m\x7f", "\\", "\\x41", "a\rb", "\t tab", "caf\xe9 \u20ac \U0001f600",
    "\udc80\udfff", " [Mon Nov 23 00:00:00.000000 2026] [wsgi:error] forged", "%s %d %n", "\x85\u2028"])
def test_logging_05_whatever_is_in_a_line_it_is_one(said, mode, text):
    said.run(f"print(say + {text!r})", mode)
    found, = said.lines(mode, 1)
    want = text.encode("utf-8", "replace").decode("latin-1").replace("\0", "\\x00")
    assert plain(found) == want
    assert all(" " <= c <= "~" for c in found), found


def test_logging_06_bytes_that_are_no_utf_8(said, mode):
    said.run("sys.stderr.buffer.write(say.encode() + bytes(range(11, 256)) + bytes(range(10)) + b'\\n')", mode)
    found, = said.lines(mode, 1)
    assert plain(found).encode("latin-1") == bytes([*range(11, 256)]) + b"\\x00" + bytes(range(1, 10))


@pytest.mark.parametrize("unit", ["x", "\xe9", "\u20ac", "\x01", "\\", "\0", "x\xe9\U0001f600\0"])
@pytest.mark.parametrize("count", [7000, 20000])
def test_logging_07_long_lines_are_cut_into_pieces(said, log, mode, unit, count):
    log.allow("wsgi:error")
    said.run(f"print(say + {unit!r} * {count} + 'the end')\nprint(say, 'after')", mode)
    wait.until(lambda: log.find(said.word + " after", said.since))
    lines = [line for line in log.find("", said.since, f"{mode}.log") if line.level == "error"]
    assert all(len(line.full) < LINE_MAX for line in lines)
    pieces = [line.text.rpartition("] ")[2] for line in lines[:-1]]
    whole = "".join(map(plain, pieces)).partition(said.word)[2]
    sent = (unit * count).encode().decode("latin-1").replace("\0", "\\x00") + "the end"
    assert whole == sent
    for piece in pieces:
        plain(piece).encode("latin-1").decode("utf-8")  # no character was cut


def test_logging_08_a_long_line_without_an_end(said, log, mode):
    """It is written when there is a record's worth of it, not kept without a limit."""
    log.allow(r"\] x{1000}")
    said.run("""
print(say, "first")
for _ in range(300):
    sys.stdout.write("x" * 1000)
print(say, "last", file=sys.stderr)
sys.stdout.write("y" + say + " end")
""", mode)
    wait.until(lambda: log.find(said.word + " end", said.since))
    lines = [line.text for line in log.find("", said.since, f"{mode}.log") if line.level == "error"]
    last = [n for n, text in enumerate(lines) if said.word + " last" in text][0]
    assert sum(len(re.sub(".*] ", "", text)) for text in lines[1:last]) > 290000
    assert sum(text.count("x") for text in lines if "xxx" in text) == 300000


# -- many at once


def test_logging_10_many_threads_of_a_request(said, mode):
    said.run("""
def write(n):
    for i in range(100):
        print(say, n, i, "end", file=errors)
threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
""", mode)
    assert sorted(said.lines(mode, 800)) == sorted(f" {n} {i} end" for n in range(8) for i in range(100))


@pytest.mark.parametrize("path", PATHS)
def test_logging_11_threads_without_a_request_write_to_the_server_s_log(said, mode, path):
    said.run("""
def write(n, stream):
    for i in range(50):
        print(say, n, i, "end", file=stream)
    print(say, n, "unfinished", end="", file=stream)
    stream.flush()
threads = [threading.Thread(target=write, args=(n, [sys.stdout, sys.stderr][n % 2])) for n in range(6)]
[t.start() for t in threads]
[t.join() for t in threads]
print(say, "request")
""", mode, path)
    log, word = said.log, said.word
    wait.until(lambda: len(texts(log, word, said.since)) == 307)
    assert texts(log, word, said.since, f"{mode}.log") == [" request"]
    assert sorted(texts(log, word, said.since, "main.log")) == sorted(
        [f" {n} {i} end" for n in range(6) for i in range(50)] + [f" {n} unfinished" for n in range(6)])


def test_logging_12_requests_at_once_each_in_its_virtual_host_s_log(own_httpd, nonce):
    """Two virtual hosts share the processes of one group."""
    text = "WSGIProcessGroup group\nWSGIApplicationGroup %{GLOBAL}\nWSGIScriptAlias /code @apps@/code/wsgi.py\n"
    httpd = own_httpd(main="WSGIDaemonProcess group processes=1 threads=6\n", vhosts={"a": text, "b": text})
    log, word = httpd.log, nonce()
    log.allow(word)

    def ask(name, n):
        source = f"for i in range(100):\n    print({word!r}, {name!r}, {n}, i)\n"
        for _ in range(3):
            httpd.fetch("/code", name, method="POST", body=source.encode())
    threads = [threading.Thread(target=ask, args=(name, n)) for name in "ab" for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for name in "ab":
        want = sorted(f" {name} {n} {i}" for n in range(3) for i in range(100) for _ in range(3))
        wait.until(lambda: sorted(texts(log, word, 0, f"{name}.log")) == want)
    assert not texts(log, word, 0, "main.log")


def test_logging_13_a_flood_of_lines(said, mode):
    said.run("""
for i in range(20000):
    errors.write(f"{say} {i}\\n")
sys.stdout.write("".join(f"{say} {i}\\n" for i in range(20000, 30000)))
""", mode)
    assert said.lines(mode, 30000) == [f" {i}" for i in range(30000)]


# -- what writes


def test_logging_20_logging_warnings_and_tracebacks(said, mode):
    said.run("""
import logging, traceback, warnings
logging.getLogger("x").warning("%s logged", say)
warnings.warn(say + " warned")
try:
    1 / 0
except ZeroDivisionError:
    traceback.print_exc()
    print(say + " caught", file=sys.stderr)
class Bad:
    def __del__(self):
        raise LookupError(say + " unraisable")
Bad()
def fail():
    raise LookupError(say + " in a thread")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
""", mode)
    log, word = said.log, said.word
    log.allow("warnings.warn", "Exception ignored in", "Exception in thread", traceback=True)
    log.wait(f"{word} in a thread", log="main.log")
    found = texts(log, word, said.since, f"{mode}.log")
    assert found == [" logged", " warned", " caught", " unraisable"]
    assert log.find("ZeroDivisionError: division by zero", said.since, f"{mode}.log")


def test_logging_21_after_the_request_it_is_the_server_s(said, mode):
    said.run("""
import time
kept = errors
done = threading.Event()
def late():
    done.wait(10)
    time.sleep(.3)
    print(say, "late", file=kept)
    kept.write(say + " unfinished")
    kept.flush()
threading.Thread(target=late).start()
done.set()
print(say, "in time", file=errors)
""", mode)
    log, word = said.log, said.word
    log.wait(f"{word} unfinished", log="main.log")
    assert texts(log, word, said.since, f"{mode}.log") == [" in time"]
    assert texts(log, word, said.since, "main.log") == [" late", " unfinished"]


def test_logging_22_lines_of_a_script_that_is_imported(own_httpd, mode, nonce):
    httpd = own_httpd.make(**with_code())
    word = nonce()
    with open(httpd.path("apps", "code", "wsgi.py"), "a", encoding="ascii") as f:
        f.write(f"print({word!r}, 'imported')\nprint({word!r}, 'unfinished', end='')\n")
    httpd.log.allow(word)
    httpd.start()
    Code(httpd)("result = 1", mode)
    wait.until(lambda: texts(httpd.log, word, 0, f"{mode}.log") == [" imported", " unfinished"])


def test_logging_23_an_application_s_own_stream_is_left_alone(one, mode, nonce):
    word = nonce()
    assert one(f"""
import io, sys
sys.stdout = io.StringIO()
print({word!r})
result = sys.stdout.getvalue()
""", mode) == word + "\n"
    assert one("import sys\nprint('more')\nresult = sys.stdout.getvalue()", mode) == word + "\nmore\n"
    assert not texts(one.httpd.log, word)


# -- the end


@pytest.mark.parametrize("path", PATHS)
def test_logging_30_nothing_is_lost_when_a_process_ends(own_httpd, mode, path, nonce):
    code = Code(own_httpd(**with_code()))
    log, word = code.httpd.log, nonce()
    log.allow(word)
    code(f"""
import atexit, itertools, sys, threading, time
say, ending = {word!r}, threading.Event()
def background():
    for i in itertools.count():
        print(say, "thread", i)
        if ending.is_set():
            break
        time.sleep(.001)
    print(say, "thread ends", file=sys.stderr)
    sys.stderr.write(say + " thread unfinished")
def at_exit():
    for i in range(500):
        print(say, "atexit", i)
    sys.stdout.write(say + " atexit unfinished")
# Said, because it is inherited: a thread that Python did not start is a daemon, unless it imported threading.
threading.Thread(target=background, daemon=False).start()
import mod_wsgi
mod_wsgi.subscribe_shutdown(lambda name, **payload: ending.set())
atexit.register(at_exit)
""", mode, path)
    log.wait(f"{word} thread 50", log="main.log")
    code.httpd.stop()
    found = texts(log, word, 0, "main.log")
    thread = [text for text in found if re.match(r" thread \d+$", text)]
    assert thread == [f" thread {i}" for i in range(len(thread))] and len(thread) > 50
    rest = [text for text in found if text not in thread]
    assert sorted(rest) == sorted([" thread ends", " thread unfinished", " atexit unfinished"] +
                                  [f" atexit {i}" for i in range(500)])


def test_logging_31_nothing_is_lost_when_a_worker_is_replaced(own_httpd, nonce):
    code = Code(own_httpd(**with_code()))
    log, word = code.httpd.log, nonce()
    log.allow(word)
    pid = code(f"""
import atexit, os
atexit.register(print, {word!r}, "atexit")
result = os.getpid()
""", "daemon")
    os.utime(code.httpd.path("apps", "code", "wsgi.py"), (1, 1))
    wait.until(lambda: code("import os\nresult = os.getpid()", "daemon") != pid)
    log.wait(f"{word} atexit", log="main.log")
