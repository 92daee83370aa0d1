"""Shows what an application finds in the modules mod_wsgi and apache, and of its streams."""

import json
import sys

import apache
import mod_wsgi


def plain(module):
    return {name: value for name, value in vars(module).items()
            if not name.startswith("_") and isinstance(value, (str, int, tuple))}


def of_errors(errors):
    try:
        fileno = str(errors.fileno())
    except OSError as e:
        fileno = type(e).__name__
    return {"isatty": errors.isatty(), "encoding": errors.encoding.lower(), "buffer": errors.buffer.write(b""),
            "fileno": fileno}


def application(environ, start_response):
    source = environ["wsgi.input"]
    seen = {"mod_wsgi": plain(mod_wsgi), "apache": plain(apache), "argv": sys.argv, "name": __name__,
            "file": __file__, "input": [name for name in dir(source) if not name.startswith("_")],
            "errors": of_errors(environ["wsgi.errors"])}
    source.close()
    source.read()
    seen["closed"] = "still open"
    body = json.dumps(seen).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
