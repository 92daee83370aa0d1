"""Takes longer to import than a request may."""

import time

_END = time.monotonic() + 20
while time.monotonic() < _END:
    pass


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"imported"]
