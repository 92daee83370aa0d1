"""Answers hello, or what the query asks for."""

import os
import subprocess
import sys


def uid():
    return "%d %d %s" % (os.getuid(), os.getgid(), os.getgroups())


def child():
    """What a program that the application starts inherits: descriptors and blocked signals."""
    code = ("import os, signal; print(sorted(int(n) for n in os.listdir('/proc/self/fd')), "
            "signal.pthread_sigmask(signal.SIG_BLOCK, []), os.environ.get('MW_WORKER'))")
    python = "/usr/bin/python3"
    return subprocess.run([python, "-I", "-c", code], stdout=subprocess.PIPE, close_fds=False,
                          check=True).stdout.decode().strip()


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    if query == "raise":
        raise KeyError("what the application says")
    if query == "stderr":
        print("a line", file=environ["wsgi.errors"])
        sys.stderr.write("another line\n")
    body = {"uid": uid, "child": child}.get(query, lambda: "hello")()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
