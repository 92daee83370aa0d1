"""Forks in a request; the child tries to use it, tells what happened, and returns."""

import os


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
