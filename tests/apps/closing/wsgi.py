"""An iterable with close() that counts its calls in the file KEY.close."""

import os
import time
from urllib.parse import parse_qsl


class Body:
    def __init__(self, path, way):
        self.path = path
        self.way = way
        self.n = 0

    def note(self, text):
        with open(self.path, "a", encoding="ascii") as f:
            f.write(text + "\n")

    def __iter__(self):
        if self.way == "raise-iter":
            raise RuntimeError("no iterator")
        return self

    def __next__(self):
        self.n += 1
        if self.way == "raise-first" or self.way == "raise-second" and self.n == 2:
            raise RuntimeError("no block")
        if self.way == "str":
            return "text"
        if self.way == "endless":
            time.sleep(0.001)
            return b"x" * 10000
        if self.way == "wait" and self.n == 2:
            end = time.monotonic() + 30
            while not os.path.exists(self.path.replace(".close", ".go")) and time.monotonic() < end:
                time.sleep(0.005)
        if self.n > 3:
            raise StopIteration
        return b"block\n"

    def close(self):
        self.note("close")
        if self.way == "raise-close":
            raise RuntimeError("no close")


class Sized(Body):
    """A body that also has a length, as a list has."""

    def __len__(self):
        return 3


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    path = f"{environ['MWTEST_TMP']}/{query['key']}.close"
    if query["way"] != "no-start":
        start_response("200 OK", [("Content-Type", "text/plain")])
    if query["way"] == "sized":
        return Sized(path, "sized")
    return Body(path, query["way"])
