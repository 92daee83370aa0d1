"""Gives the body back, as it comes."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    while True:
        block = environ["wsgi.input"].read(10000)
        if not block:
            return
        yield block
