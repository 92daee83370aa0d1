"""Applications that run out of time, each in a way of its own. QUERY_STRING is how long the racing
ones work, in microseconds."""

import sys
import time

import mod_wsgi

sys.setswitchinterval(0.0001)  # many chances to be stopped in a short time
caught = 0


def answer(start_response, text):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode("ascii")]


def spin(seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def spins(environ, start_response):
    spin()
    return answer(start_response, "late")


def spins_after_start(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    spin()
    return [b"late"]


def spins_in_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    spin()
    yield b"late"


class Closing:
    """A body whose close() tells whether it was called."""
    closed = 0

    def __init__(self, spins_in_close):
        self.spins_in_close = spins_in_close
        self.items = iter([b"first"])

    def __iter__(self):
        return self

    def __next__(self):
        for item in self.items:
            return item
        if not self.spins_in_close:
            spin()
        raise StopIteration

    def close(self):
        Closing.closed += 1
        if self.spins_in_close:
            spin()


def closes(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closing(False)


def spins_in_close(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closing(True)


def closed(environ, start_response):
    return answer(start_response, str(Closing.closed))


def cleans_up(environ, start_response):
    """finally: runs to its end, although it takes longer than the limit once more."""
    global caught
    caught = 0
    try:
        spin()
    finally:
        spin(0.1)
        caught += 1


def catches(environ, start_response):
    try:
        spin()
    except mod_wsgi.RequestTimeout as e:
        spin(0.1)  # it comes once
        return answer(start_response, f"caught {type(e).__mro__[1].__name__}")


def spins_in_callback(environ, start_response):
    """What the callback is stopped by must not be lost to the request."""
    def slow(name, **event):
        mod_wsgi.event_callbacks.remove(slow)
        spin()

    mod_wsgi.subscribe_events(slow)
    start_response("200 OK", [("Content-Type", "text/plain")])
    spin()
    return [b"late"]


def catches_exceptions(environ, start_response):
    try:
        spin()
    except Exception:
        return answer(start_response, "must not be caught")


def cleaned(environ, start_response):
    return answer(start_response, str(caught))


def races(environ, start_response):
    spin(int(environ["QUERY_STRING"]) / 1e6)
    return answer(start_response, "in time")


def races_in_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"in "
    spin(int(environ["QUERY_STRING"]) / 1e6)
    yield b"time"


def races_in_c(environ, start_response):
    """No byte code runs between the last blocks: a mark that is set there is not taken up by this one."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    spin(int(environ["QUERY_STRING"]) / 1e6)
    return iter([b"in time"] + [b"."] * 200)


def races_and_raises(environ, start_response):
    spin(int(environ["QUERY_STRING"]) / 1e6)
    raise ValueError("of its own")


def innocent(environ, start_response):
    """Enough byte code that a mark left on the thread would be taken up."""
    n = 0
    for i in range(300):
        n += len(str(i))
    return answer(start_response, str(n))
