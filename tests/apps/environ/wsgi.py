"""Shows its environ as JSON: key -> [type, value or repr]."""

import json
import os
from wsgiref.validate import validator


def show(value):
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, tuple):
        return list(value)
    return repr(value)


@validator
def application(environ, start_response):
    seen = {key: [type(value).__name__, show(value)] for key, value in environ.items()}
    seen["os.environ"] = ["dict", dict(os.environ)]
    seen["environ"] = [type(environ).__name__, ""]
    body = json.dumps(seen).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
