"""Sends early hints in the way that the query string names, then answers."""

import os
import signal
import time
from urllib.parse import parse_qsl

LINKS = [("Link", "</a.css>; rel=preload; as=style"), ("Link", "</b.js>; rel=preload; as=script")]


def wait_for(path):
    end = time.monotonic() + 30
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.005)


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"], encoding="latin-1", keep_blank_values=True))
    early_hints = environ["wsgi.early_hints"]
    folder = environ["MWTEST_TMP"]
    way = query["way"]
    body = b"answer"
    for _ in range(int(query.get("n", "1"))):
        early_hints([(query["name"], query["value"])] if "name" in query else LINKS)
    if way == "wait":
        wait_for(f"{folder}/{query['key']}.go")
    elif way == "read":
        body = environ["wsgi.input"].read()
    elif way == "raise":
        raise RuntimeError("marker-hints")
    elif way == "kill":
        lives = f"{folder}/{query['key']}.killed"
        if not os.path.exists(lives):
            with open(lives, "w", encoding="ascii"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
    elif way == "twice":
        start_response("200 OK", [("Content-Type", "text/html")])
        early_hints([("Link", "</c.png>; rel=preload; as=image")])
        try:
            raise ValueError
        except ValueError as e:
            start_response("404 Not Found", [("Content-Type", "text/plain")], (ValueError, e, None))
        return [body]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("X-Own", "1")])
    if way == "late":
        return late(environ, body)
    return [body]


def late(environ, body):
    for i in range(len(body)):
        environ["wsgi.early_hints"](LINKS)
        yield body[i:i + 1]
