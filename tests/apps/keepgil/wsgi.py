"""Keeps the GIL for ?seconds=N in a C function that does not give it up."""

import ctypes
from urllib.parse import parse_qs
from wsgiref.validate import validator


@validator
def application(environ, start_response):
    seconds = float(parse_qs(environ["QUERY_STRING"]).get("seconds", ["0"])[0])
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"done"]
