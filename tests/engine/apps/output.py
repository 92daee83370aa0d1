"""A callable per way of answering. Each logs what its test asks about to wsgi.errors."""

import sys

TEXT = [("Content-Type", "text/plain")]


def one(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]


def one_tuple(environ, start_response):
    start_response("200 OK", TEXT)
    return (b"hello",)


def several(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"a", b"", b"bc", b"def"]


def nothing(environ, start_response):
    start_response("200 OK", TEXT)
    return []


def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"x"')])
    return [b"dropped"]


def own_length(environ, start_response):
    start_response("200 OK", [("content-length", "5")])
    return [b"hello"]


def long_body(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"hello"]


def short_body(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    return [b"hello"]


def large(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"x" * 70000, b"", b"y" * 70000]


def many(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"x" * 1000] * 600


def edge(environ, start_response):
    """A body at the limit up to which it is copied, and one byte beyond: QUERY_STRING bytes."""
    start_response("200 OK", TEXT)
    return [b"e" * int(environ["QUERY_STRING"])]


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    log = environ["wsgi.errors"]
    for block in (b"a", b"", b"bc"):
        log.write("before %r\n" % block)
        yield block
    log.write("done\n")


def late_start(environ, start_response):
    """start_response inside of the first next()."""
    yield b""
    start_response("200 OK", TEXT)
    yield b"late"


class Closing:
    def __init__(self, environ, blocks, fail=None, close_fails=False):
        self.log, self.blocks = environ["wsgi.errors"], iter(blocks)
        self.fail, self.close_fails = fail, close_fails

    def __iter__(self):
        return self

    def __next__(self):
        block = next(self.blocks, None)
        if block is not None:
            return block
        if self.fail:
            raise self.fail
        raise StopIteration

    def close(self):
        self.log.write("closed\n")
        if self.close_fails:
            raise RuntimeError("close went wrong")


def closing(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing(environ, [b"a", b"b"])


def closing_empty(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing(environ, [])


def closing_fails(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing(environ, [b"a", b"b"], close_fails=True)


def closing_raises_first(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing(environ, [], fail=KeyError("first"))


def closing_raises_later(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing(environ, [b"a"], fail=KeyError("later"))


def closing_bad_item(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing(environ, [b"a", "text"])


class ListWithClose(list):
    def close(self):
        self.log.write("closed\n")


def list_with_close(environ, start_response):
    start_response("200 OK", TEXT)
    result = ListWithClose([b"a", b"b"])
    result.log = environ["wsgi.errors"]
    return result


def str_in_list(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"a", "b"]


def str_result(environ, start_response):
    start_response("200 OK", TEXT)
    return "text"


def none_result(environ, start_response):
    start_response("200 OK", TEXT)


def never_started(environ, start_response):
    return [b"a"]


def never_started_iterable(environ, start_response):
    yield b"a"


def never_started_empty(environ, start_response):
    return iter(())


def write(environ, start_response):
    send = start_response("200 OK", TEXT)
    send(b"one,")
    send(b"")
    send(b"two,")
    return [b"three"]


def write_only(environ, start_response):
    start_response("200 OK", TEXT)(b"written")
    return []


def write_str(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


def write_goes_on(environ, start_response):
    """Catches what write raises when the client is gone."""
    send = start_response("200 OK", TEXT)
    for block in (b"a", b"b", b"c"):
        try:
            send(block)
        except OSError as e:
            environ["wsgi.errors"].write("%s\n" % e)
    return []


def raises(environ, start_response):
    raise KeyError("before the headers")


def raises_after_start(environ, start_response):
    start_response("200 OK", TEXT)
    raise KeyError("after start_response")


def raises_after_write(environ, start_response):
    start_response("200 OK", TEXT)(b"some")
    raise KeyError("after the first bytes")


def exits(environ, start_response):
    sys.exit(3)


def interrupted(environ, start_response):
    raise KeyboardInterrupt


class BadError(Exception):
    def __str__(self):
        raise ValueError("no text")


def raises_badly(environ, start_response):
    raise BadError


def raises_unprintable(environ, start_response):
    raise ValueError("lone \udc80 surrogate")


def replaced(environ, start_response):
    start_response("200 OK", [("X-First", "1"), ("Content-Length", "1")])
    try:
        raise KeyError("x")
    except KeyError:
        start_response("500 Oops", [("X-Second", "2")], sys.exc_info())
    return [b"sorry"]


def replaced_by_name(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise KeyError("x")
    except KeyError:
        start_response("500 Oops", TEXT, exc_info=sys.exc_info())
    return [b"sorry"]


def replaced_late(environ, start_response):
    start_response("200 OK", TEXT)(b"sent")
    try:
        raise KeyError("the original")
    except KeyError:
        start_response("500 Oops", [], sys.exc_info())
    return [b"never"]


def started_twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("201 Created", TEXT)
    return [b"x"]


def started_after_failure(environ, start_response):
    """A refused call does not count as one."""
    try:
        start_response("200", "no list")
    except TypeError:
        start_response("201 Created", TEXT)
    return [b"x"]


def hop_by_hop(environ, start_response):
    start_response("200 OK", [("Transfer-Encoding", "chunked"), ("connection", "close"),
                              ("X-Kept", "yes"), ("Keep-Alive", "1"), ("Upgrade", "h2c")])
    return [b"plain"]


def repeated(environ, start_response):
    start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b"x"]


def latin1(environ, start_response):
    start_response("200 D\xe9j\xe0", [("X-Name", "caf\xe9")])
    return [b"x"]


def file_wrapper(environ, start_response):
    import io
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"0123456789"), 4)


class Unclosable:
    def __init__(self, *blocks):
        self.blocks = list(blocks)

    def read(self, n):
        return self.blocks.pop(0) if self.blocks else b""


def file_wrapper_no_close(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](Unclosable(b"a", b"b"))


class ClosableFile(Unclosable):
    def __init__(self, log, *blocks):
        super().__init__(*blocks)
        self.log = log

    def close(self):
        self.log.write("file closed\n")


def file_wrapper_close(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](ClosableFile(environ["wsgi.errors"], b"a"))


def file_wrapper_read_fails(environ, start_response):
    class Failing:
        def read(self, n):
            raise OSError("disk gone")
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](Failing())


class CallableObject:
    def __call__(self, environ, start_response):
        start_response("200 OK", TEXT)
        return [b"object"]


callable_object = CallableObject()
not_callable = 42


def streams(environ, start_response):
    """Where each of the three text streams goes, in which order, with and without newlines."""
    log = environ["wsgi.errors"]
    log.write("a")
    log.write("b\nc")
    print("printed")
    print("to stderr", file=sys.stderr)
    log.writelines(["x\n", "y\n"])
    log.buffer.write(b"bytes\n")
    log.write("t\xe9xt \u20ac\n")
    log.write("sur\udc80rogate\n")
    log.write("crlf\r\n")
    log.write("partial")
    log.flush()
    log.write("L" * 20000 + "\n")
    log.write("unfinished")
    start_response("200 OK", TEXT)
    return []


KEPT = {}


def keeper(environ, start_response):
    """Keeps what belongs to this request for `late_user`."""
    KEPT.update(write=start_response("200 OK", TEXT), start_response=start_response,
                input=environ["wsgi.input"], errors=environ["wsgi.errors"])
    return [b"kept"]


def late_user(environ, start_response):
    """Uses the objects of the request before, which is over."""
    KEPT["errors"].write("late line\n")
    print("own line")
    found = []
    for name, use in (("write", lambda: KEPT["write"](b"x")),
                      ("start_response", lambda: KEPT["start_response"]("200 OK", [])),
                      ("read", lambda: KEPT["input"].read()),
                      ("readline", lambda: KEPT["input"].readline()),
                      ("readlines", lambda: KEPT["input"].readlines()),
                      ("next", lambda: next(KEPT["input"]))):
        try:
            use()
            found.append("%s worked" % name)
        except RuntimeError as e:
            found.append(type(e).__name__)
    KEPT.clear()
    start_response("200 OK", TEXT)
    return [" ".join(found).encode()]
