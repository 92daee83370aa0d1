"""Notes that its process ended in good order."""

import atexit
import os
from urllib.parse import parse_qsl


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    atexit.register(leave, f"{environ['MWTEST_TMP']}/{query['key']}.left")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]


def leave(path):
    with open(path, "a", encoding="ascii") as f:
        f.write(f"{os.getpid()}\n")
