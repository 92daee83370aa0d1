"""Answers as large as asked for, in blocks; KEY.close tells when the last one was taken.

n bytes in blocks of `size`; with `fail`, an exception after them. With `echo` what was sent, block by block, as it
comes. The bytes are those of blob(), so that any part can be checked.
"""

import os
from urllib.parse import parse_qsl

PERIOD = 65521  # a prime: no buffer's size divides it


def blob(n, at=0, _line=bytes(i * 7 % 251 for i in range(PERIOD))):
    start = at % PERIOD
    return (_line * ((start + n) // PERIOD + 1))[start:start + n]


class Body:
    def __init__(self, blocks, note):
        self.blocks = blocks
        self.note = note

    def __iter__(self):
        return self.blocks

    def close(self):
        if self.note:
            with open(self.note, "a", encoding="ascii") as f:
                f.write("close\n")


def produced(n, size, fail):
    for at in range(0, n, size):
        yield blob(min(size, n - at), at)
    if fail:
        raise RuntimeError("after all of it")


def echoed(stream, size):
    while block := stream.read(size):
        yield block


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    n, size = int(query.get("n", "0")), int(query.get("size", "65536"))
    headers = [("Content-Type", "application/octet-stream")]
    if "length" in query:
        headers.append(("Content-Length", str(n)))
    start_response("200 OK", headers)
    note = "key" in query and os.path.join(environ["MWTEST_TMP"], query["key"] + ".close")
    if "echo" in query:
        return Body(echoed(environ["wsgi.input"], size), note)
    return Body(produced(n, size, "fail" in query), note)
