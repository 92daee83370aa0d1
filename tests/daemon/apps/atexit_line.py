"""Says when it is imported and when the process ends."""

import atexit
import sys

sys.stderr.write("hello from import\n")
atexit.register(lambda: sys.stderr.write("atexit ran\n"))


def application(environ, start_response):
    start_response("200 OK", [])
    return [b"registered"]
