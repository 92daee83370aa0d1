"""Answers while it reads: each block of ?n=N bytes of the body is sent back before the next is read."""

from urllib.parse import parse_qsl


def application(environ, start_response):
    n = int(dict(parse_qsl(environ["QUERY_STRING"]))["n"])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    while block := environ["wsgi.input"].read(n):
        yield block
