"""Answers with wsgi.file_wrapper: what is sent as a file, and what must be read."""

import gzip
import io
import os
import socket
import tempfile

DATA = bytes(range(256)) * 40  # 10240 bytes


def answer(file, environ, start_response, *fields):
    start_response("200 OK", list(fields))
    return environ["wsgi.file_wrapper"](file)


def temporary(data=DATA):
    file = tempfile.TemporaryFile()
    file.write(data)
    file.seek(0)
    return file


def path(data=DATA):
    fd, name = tempfile.mkstemp()
    os.write(fd, data)
    os.close(fd)
    return name


def opened(*args, **kw):
    name = path()
    try:
        return open(name, *args, **kw)
    finally:
        os.unlink(name)


# -- sent as a file

def buffered(environ, start_response):
    return answer(opened("rb"), environ, start_response)


def unbuffered(environ, start_response):
    return answer(opened("rb", buffering=0), environ, start_response)


def read_ahead(environ, start_response):
    file = opened("rb")
    file.read(100)  # the descriptor stands far behind this
    return answer(file, environ, start_response)


def written(environ, start_response):
    file = opened("r+b")
    file.seek(0, os.SEEK_END)
    file.write(b"!")  # in the buffer
    file.seek(10000)
    return answer(file, environ, start_response)


def still_written(environ, start_response):
    file = opened("r+b")
    file.seek(10230)
    file.write(b"?")
    return answer(file, environ, start_response)


def named(environ, start_response):
    file = tempfile.NamedTemporaryFile()
    file.write(DATA)
    file.flush()
    file.seek(5)
    return answer(file, environ, start_response)


class Closed(io.FileIO):
    closes = []

    def close(self):
        if not self.closed:
            self.closes.append(self)
        super().close()


def subclass(environ, start_response):
    name = path()
    file = Closed(name)
    os.unlink(name)
    return answer(file, environ, start_response)


def how_often_closed(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % len(Closed.closes)]


def own_length(environ, start_response):
    return answer(opened("rb"), environ, start_response, ("Content-Length", environ["QUERY_STRING"]))


def at_the_end(environ, start_response):
    file = opened("rb")
    file.seek(int(environ["QUERY_STRING"]))
    return answer(file, environ, start_response)


def twice(environ, start_response):
    """Other users of the same open file do not matter."""
    file = opened("rb", buffering=0)
    file.seek(10000)
    keep.append(os.dup(file.fileno()))
    os.lseek(keep[-1], 10000, os.SEEK_SET)
    return answer(file, environ, start_response)


keep = []


def not_started(environ, start_response):
    return environ["wsgi.file_wrapper"](opened("rb"))


# -- read

def pipe(environ, start_response):
    r, w = os.pipe()
    os.write(w, b"from a pipe")
    os.close(w)
    return answer(os.fdopen(r, "rb"), environ, start_response)


def sock(environ, start_response):
    ends = socket.socketpair()
    ends[0].sendall(b"from a socket")
    ends[0].close()
    return answer(ends[1].makefile("rb"), environ, start_response)


def device(environ, start_response):
    return answer(open("/dev/null", "rb"), environ, start_response)


def memory(environ, start_response):
    return answer(io.BytesIO(b"from memory"), environ, start_response)


def compressed(environ, start_response):
    """Its fileno() is that of the compressed file."""
    name = path(gzip.compress(b"inflated"))
    file = gzip.open(name, "rb")
    os.unlink(name)
    return answer(file, environ, start_response)


def buffered_compressed(environ, start_response):
    name = path(gzip.compress(b"inflated"))
    file = io.BufferedReader(gzip.open(name, "rb"))
    os.unlink(name)
    return answer(file, environ, start_response)


class Upper(io.FileIO):
    def read(self, n=-1):
        return super().read(n).upper()


class UpperRaw(io.FileIO):
    def readinto(self, to):
        n = super().readinto(to)
        to[:n] = bytes(to[:n]).upper()
        return n


def own_read(environ, start_response):
    return answer(Upper("/proc/self/comm"), environ, start_response)


def own_raw_read(environ, start_response):
    return answer(io.BufferedReader(UpperRaw("/proc/self/comm")), environ, start_response)


def replaced_read(environ, start_response):
    file = opened("rb", buffering=0)
    blocks = [b"", b"replaced"]
    try:
        file.read = lambda n: blocks.pop()
    except AttributeError:  # no attributes of its own
        return answer(io.BytesIO(b"replaced"), environ, start_response)
    return answer(file, environ, start_response)


def iterated(environ, start_response):
    start_response("200 OK", [])
    return (block for block in environ["wsgi.file_wrapper"](temporary(b"iterated")))


def after_write(environ, start_response):
    write = start_response("200 OK", [])
    write(b"written ")
    return environ["wsgi.file_wrapper"](temporary(b"and read"))


def text(environ, start_response):
    return answer(opened("r", encoding="latin-1"), environ, start_response)


def shut(environ, start_response):
    file = opened("rb")
    file.close()
    return answer(file, environ, start_response)
