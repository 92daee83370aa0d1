"""Answers with the request's body, or with the query string if there is none."""

from wsgiref.validate import validator


@validator
def application(environ, start_response):
    parts = []
    while True:
        part = environ["wsgi.input"].read(8192)
        if not part:
            break
        parts.append(part)
    body = b"".join(parts) or environ["QUERY_STRING"].encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
