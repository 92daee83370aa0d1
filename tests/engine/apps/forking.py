"""Forks in a request; the child tries to use it, tells what happened, and returns."""

import os
import signal
import threading
import time


def application(environ, start_response):
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        found = []
        for use in (lambda: start_response("200 OK", []),
                    lambda: environ["wsgi.input"].read(),
                    lambda: environ["wsgi.input"].readline()):
            try:
                use()
                found.append("worked")
            except Exception as e:
                found.append(type(e).__name__)
        environ["wsgi.errors"].write("from the child\n")
        os.write(write_end, " ".join(found).encode())
        return [b"from the child"]
    os.close(write_end)
    found = os.read(read_end, 1000)
    os.close(read_end)
    status = os.waitpid(pid, 0)[1]
    start_response("200 OK", [])
    return [found + b", status %d" % status]


def reads_meanwhile(environ, start_response):
    """Another thread waits for the body when the process forks. QUERY_STRING: descriptors of the test."""
    began, go_on = map(int, environ["QUERY_STRING"].split())
    reader = threading.Thread(target=environ["wsgi.input"].read)
    reader.start()
    os.read(began, 1)
    pid = os.fork()
    if pid == 0:
        return [b"from the child"]
    until = time.monotonic() + 10
    ended = status = 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.write(go_on, b"x")
    reader.join()
    start_response("200 OK", [])
    return [b"status %d" % status if ended else b"it hangs"]
