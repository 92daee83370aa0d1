"""Applications whose way of reading needs more than an expression."""

import threading

TEXT = [("Content-Type", "text/plain")]


def twice(environ, start_response):
    found = []
    for read in (environ["wsgi.input"].read, environ["wsgi.input"].readline,
                 environ["wsgi.input"].read):
        try:
            read()
        except OSError as e:
            found.append(type(e).__name__)
    start_response("200 OK", TEXT)
    return [" ".join(found).encode()]


def digest(environ, start_response):
    data = environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [b"%d %d %d" % (len(data), data.count(b"a"), data.count(b"z"))]


def digest_lines(environ, start_response):
    """One line of 40 MB, byte by byte at its beginning."""
    data = environ["wsgi.input"].read(1) + environ["wsgi.input"].readline()
    start_response("200 OK", TEXT)
    return [b"%d %d %d" % (len(data), data.count(b"a"), data.count(b"z"))]


def shared(environ, start_response):
    source, total = environ["wsgi.input"], []

    def read(size):
        n = 0
        while True:
            block = source.read(size) if size else source.readline(1000)
            if not block:
                break
            n += len(block)
        total.append(n)

    threads = [threading.Thread(target=read, args=(size,)) for size in (100, 20000, 0, 7)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    start_response("200 OK", TEXT)
    return [b"%d" % sum(total)]


LEFT = []


def left_reading(environ, start_response):
    """Returns while a thread of it is inside of read()."""
    source, started = environ["wsgi.input"], threading.Event()

    def read():
        started.set()
        LEFT.append(source.read())

    LEFT.append(threading.Thread(target=read))
    LEFT[0].start()
    started.wait()
    environ["wsgi.errors"].flush()
    import time
    time.sleep(0.05)
    start_response("200 OK", TEXT)
    return [b"left"]


def left_result(environ, start_response):
    LEFT.pop(0).join()
    start_response("200 OK", TEXT)
    return [repr(LEFT).encode()]
