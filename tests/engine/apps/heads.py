"""Calls start_response with the arguments that environ['EXPR'] evaluates to; answers what it raised."""


class Text(str):
    pass


class List(list):
    pass


def application(environ, start_response):
    arguments = eval(environ["EXPR"])
    try:
        start_response(*arguments)
        answer = b"accepted"
    except Exception as e:
        start_response("200 OK", [])
        answer = ("%s: %s" % (type(e).__name__, e)).encode("utf-8", "backslashreplace")
    return [answer]
