"""A handler script (WSGIHandlerScript): shows its environ as the environ application does."""

import json


def handle_request(environ, start_response):
    seen = {key: value if isinstance(value, (str, bool, int, float)) else repr(value)
            for key, value in environ.items()}
    body = json.dumps(seen).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"not the handler"]
