"""Tells whether it runs in the main interpreter."""

import json
from wsgiref.validate import validator

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters


def number(interpreter):
    """3.13 answers with a tuple that begins with the id."""
    return interpreter[0] if isinstance(interpreter, tuple) else int(interpreter)


@validator
def application(environ, start_response):
    body = json.dumps({
        "main": number(interpreters.get_current()) == number(interpreters.get_main()),
        "application_group": environ["mod_wsgi.application_group"],
    }).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
