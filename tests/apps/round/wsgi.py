"""Sends the server back to where it came from."""


def application(environ, start_response):
    start_response("200 OK", [("Location", environ["SCRIPT_NAME"] + "/again")])
    return [b"round and round"]
