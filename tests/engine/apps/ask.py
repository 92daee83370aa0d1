"""Evaluates the expression in environ['EXPR'] and answers its repr."""

import wsgiref.validate


def application(environ, start_response):
    scope = {"environ": environ, "input": environ["wsgi.input"], "errors": environ["wsgi.errors"],
             "start_response": start_response}
    body = repr(eval(environ["EXPR"], scope)).encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


def lines(environ, start_response):
    """The same through wsgiref.validate, which looks at every object it is given."""
    def inner(env, start):
        body = b"|".join(env["wsgi.input"])
        env["wsgi.errors"].write("validated\n")
        env["wsgi.errors"].flush()
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    return wsgiref.validate.validator(inner)(environ, start_response)
