"""Sends block after block, each only when the test has said so by a file: KEY.go1, KEY.go2, ... With stay=1 the
end waits for one too."""

import os
import time
from urllib.parse import parse_qsl
from wsgiref.validate import validator


def wait_for(path):
    end = time.monotonic() + 30
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.005)


def blocks(query, folder):
    yield b"block 0\n"
    count = int(query.get("n", "3"))
    for n in range(1, count):
        wait_for(f"{folder}/{query['key']}.go{n}")
        yield b"block %d\n" % n
    if "stay" in query:
        wait_for(f"{folder}/{query['key']}.go{count}")


def written(query, folder, write):
    for block in blocks(query, folder):
        write(block)
    return []


@validator
def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    folder = environ["MWTEST_TMP"]
    headers = [("Content-Type", "text/plain")]
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    write = start_response("200 OK", headers)
    if query.get("way") == "write":
        return written(query, folder, write)
    return blocks(query, folder)
