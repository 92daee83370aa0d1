"""Kills its process before any answer, as often as KEY.lives says; then answers."""

import fcntl
import os
import signal
from urllib.parse import parse_qsl


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    with open(f"{environ['MWTEST_TMP']}/{query['key']}.lives", "r+", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        left = int(f.read())
        f.seek(0)
        f.truncate()
        f.write(str(left - 1))
    if query.get("read"):
        environ["wsgi.input"].read()
    if left > 0:
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"alive"]
