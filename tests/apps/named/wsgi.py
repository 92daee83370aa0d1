"""Callables under other names."""

from wsgiref.validate import validator


def answering(text):
    @validator
    def app(environ, start_response):
        body = f"{text} {environ['mod_wsgi.callable_object']}".encode("ascii")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    return app


application = answering("default")
other = answering("other")
