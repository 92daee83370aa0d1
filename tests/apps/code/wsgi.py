"""Runs the Python of the request's body and answers with what it left in `result`, as JSON."""

import json


def application(environ, start_response):
    names = {"environ": environ, "__name__": __name__}
    run(compile(environ["wsgi.input"].read(), "body.py", "exec"), names)
    body = json.dumps(names.get("result")).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def run(code, names):
    exec(code, names)  # pylint: disable=exec-used
