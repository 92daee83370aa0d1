"""Holds its thread: makes KEY.in (with its pid), waits for KEY.out, then answers with its pid."""

import os
import time
from urllib.parse import parse_qsl
from wsgiref.validate import validator


@validator
def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    base = f"{environ['MWTEST_TMP']}/{query['key']}"
    with open(f"{base}.in", "a", encoding="ascii") as f:
        f.write(f"{query.get('tag', '')} {os.getpid()}\n")
    end = time.monotonic() + 30
    while not os.path.exists(f"{base}.out") and time.monotonic() < end:
        time.sleep(0.005)
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
