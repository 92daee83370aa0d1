"""What an application does with its client's connection beside answering; one callable per way."""

import contextlib
import threading

TEXT = [("Content-Type", "text/plain")]
LINK = ("Link", "</a.css>; rel=preload; as=style")


def say(environ, text):
    print(text, file=environ["wsgi.errors"])


def answer(start_response, text):
    start_response("200 OK", TEXT)
    return [text.encode("ascii")]


def hints(environ, start_response):
    early_hints = environ["wsgi.early_hints"]
    assert early_hints([LINK, ("Link", "</b.js>; rel=preload")]) is None
    early_hints((LINK,))
    start_response("200 OK", TEXT)
    early_hints([("X-Last", "\xe9")])
    return [b"hinted"]


def no_hints(environ, start_response):
    environ["wsgi.early_hints"]([])
    environ["wsgi.early_hints"](())
    return answer(start_response, "none")


def late_hints(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"begun ")
    environ["wsgi.early_hints"]([LINK])
    with contextlib.suppress(TypeError):
        environ["wsgi.early_hints"]("Link")
        say(environ, "bad hints passed")
    return [b"late"]


WRONG = (
    (None, "TypeError: wsgi.early_hints: headers must be a list, not NoneType"),
    ("Link", "TypeError: wsgi.early_hints: headers must be a list, not str"),
    ({"Link": "</a>"}, "TypeError: wsgi.early_hints: headers must be a list, not dict"),
    (["Link"], "TypeError: wsgi.early_hints: headers must be a list of (name, value) tuples, not of 'Link'"),
    ([["Link", "</a>"]], "TypeError: wsgi.early_hints: headers must be a list of (name, value) tuples, "
                         "not of ['Link', '</a>']"),
    ([("Link", "</a>", 1)], "TypeError: "),
    ([(b"Link", "</a>")], "TypeError: wsgi.early_hints: header name must be str, not bytes"),
    ([("Link", 1)], "TypeError: wsgi.early_hints: header value must be str, not int"),
    ([("Link", "\u20ac")], "ValueError: wsgi.early_hints: header value has characters outside of Latin-1"),
    ([LINK, ("Link", "a\r\n\r\nHTTP/1.1 200 OK")], "ValueError: wsgi.early_hints: header value must not"),
    ([("Li nk", "a")], "ValueError: wsgi.early_hints: header name must"),
    ([("", "a")], "ValueError: wsgi.early_hints: header name must"),
    ([("Content-Length", "5")], "ValueError: wsgi.early_hints: an informational response must not"),
    ([("transfer-encoding", "chunked")], "ValueError: wsgi.early_hints: an informational response must not"),
    ([("Connection", "close")], "ValueError: wsgi.early_hints: an informational response must not"),
    ([("Link", "x" * 8192)], "ValueError: wsgi.early_hints: the headers are too large"),
    ([LINK] * 1000, "ValueError: wsgi.early_hints: the headers are too large"),
)


def wrong_hints(environ, start_response):
    for headers, want in WRONG:
        try:
            environ["wsgi.early_hints"](headers)
            say(environ, f"{headers!r} was taken")
        except (TypeError, ValueError) as e:
            got = f"{type(e).__name__}: {e}"
            if not got.startswith(want):
                say(environ, f"{headers!r}: {got}")
    return answer(start_response, "checked")


def too_many_hints(environ, start_response):
    for _ in range(16):
        environ["wsgi.early_hints"]([LINK])
    try:
        environ["wsgi.early_hints"]([LINK])
    except RuntimeError as e:
        return answer(start_response, str(e))


def raising_hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "\n")])


class Shrinking(list):
    """Its items' texts empty the list that is being sent."""

    def __init__(self):
        class Item(tuple):
            def __repr__(_):
                self.clear()
                return "item"
        super().__init__([LINK, Item((1, 2)), LINK])


def shrinking_hints(environ, start_response):
    try:
        environ["wsgi.early_hints"](Shrinking())
    except TypeError:
        return answer(start_response, "survived")


kept = {}


def keep(environ, start_response):
    kept.update(environ)
    return answer(start_response, "kept")


def use_kept(environ, start_response):
    try:
        kept["wsgi.early_hints"]([LINK])
    except RuntimeError as e:
        return answer(start_response, f"{e}; {kept['wsgi.client_disconnected']()}")


def ask(environ, start_response):
    gone = environ["wsgi.client_disconnected"]
    return answer(start_response, f"{gone()} {gone()}")


def ask_in_thread(environ, start_response):
    said = []
    thread = threading.Thread(target=lambda: said.append(environ["wsgi.client_disconnected"]()))
    thread.start()
    thread.join()
    return answer(start_response, str(said))


def ask_then(environ, start_response):
    """Gives up when it hears that the client has gone: in the way that the query string says."""
    way = environ["QUERY_STRING"]
    assert not environ["wsgi.client_disconnected"]()
    assert environ["wsgi.client_disconnected"]() is True
    assert environ["wsgi.client_disconnected"]() is True
    if way == "nothing":
        return []
    if way == "answer":
        return answer(start_response, "too late")
    if way == "empty":
        start_response("200 OK", [])
        return []
    if way == "raise":
        raise ConnectionAbortedError("nobody is there")
    if way == "fail":
        raise KeyError("marker-fault")
    if way == "write":
        write = start_response("200 OK", TEXT)
        try:
            write(b"block")
        except OSError:
            say(environ, "write failed")
            raise
    if way == "hints":
        environ["wsgi.early_hints"]([LINK])
        say(environ, "not raised")
        return []
    raise AssertionError(way)


class Blocks:
    """Asks before each block; close says what it has heard."""

    def __init__(self, environ):
        self.environ = environ
        self.n = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.n += 1
        if self.environ["wsgi.client_disconnected"]():
            say(self.environ, f"heard at {self.n}")
        if self.n == 10:
            raise StopIteration
        return b"block"

    def close(self):
        say(self.environ, f"closed after {self.n}")


def blocks(environ, start_response):
    start_response("200 OK", TEXT)
    return Blocks(environ)
