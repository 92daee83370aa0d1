"""Answers with a file through wsgi.file_wrapper."""

import io
import os
from urllib.parse import parse_qsl


class Noted(io.BytesIO):
    """A file-like object without a descriptor, which notes its close."""

    def __init__(self, data, path):
        super().__init__(data)
        self.path = path

    def close(self):
        with open(self.path, "a", encoding="ascii") as f:
            f.write("close\n")
        super().close()


class NotedFile(io.FileIO):
    def __init__(self, name, path):
        super().__init__(name)
        self.path = path

    def close(self):
        if not self.closed:
            with open(self.path, "a", encoding="ascii") as f:
                f.write("close\n")
        super().close()


class OnlyRead:
    """No close, no fileno."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    wrapper = environ["wsgi.file_wrapper"]
    name = f"{environ['MWTEST_TMP']}/{query['key']}.data"
    note = f"{environ['MWTEST_TMP']}/{query['key']}.close"
    headers = [("Content-Type", "application/octet-stream")]
    way = query["way"]
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    write = start_response("200 OK", headers)
    if way == "file":
        return wrapper(NotedFile(name, note))
    if way == "size":
        return wrapper(NotedFile(name, note), 1000)
    if way == "offset":
        file = NotedFile(name, note)
        file.seek(int(query["at"]))
        return wrapper(file)
    if way == "memory":
        with open(name, "rb") as f:
            return wrapper(Noted(f.read(), note), 4096)
    if way == "plain":
        with open(name, "rb") as f:
            return wrapper(OnlyRead(f.read()))
    if way == "iterated":
        return [block for block in wrapper(NotedFile(name, note), 4096)]
    if way == "written":
        write(b"first ")
        return wrapper(NotedFile(name, note))
    if way == "pipe":
        r, w = os.pipe()
        os.write(w, b"from a pipe")
        os.close(w)
        return wrapper(os.fdopen(r, "rb"))
    raise KeyError(way)
