"""Rewritten by tests."""

from wsgiref.validate import validator

VERSION = "one"


@validator
def application(environ, start_response):
    import os
    body = f"{VERSION} {os.getpid()}".encode("ascii")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
