"""Files of the test's folder through wsgi.file_wrapper: ?key=K&way=W&at=N&length=N&type=T&status=S&etag=E&ranges=R&pad=N"""

import gzip
import io
from urllib.parse import parse_qsl


class Noted(io.FileIO):
    """A file that notes its close."""

    def __init__(self, name, note):
        super().__init__(name)
        self.note = note

    def close(self):
        if not self.closed:
            with open(self.note, "a", encoding="ascii") as f:
                f.write("close\n")
        super().close()


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    way = query.get("way", "plain")
    name = f"{environ['MWTEST_TMP']}/{query['key']}.data"
    headers = [("Content-Type", query.get("type", "application/octet-stream"))]
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    if "etag" in query:
        headers.append(("ETag", f'"{query["etag"]}"'))
    if way == "noted":
        file = Noted(name, f"{environ['MWTEST_TMP']}/{query['key']}.close")
    elif way == "gzip":
        file = gzip.open(name, "rb")
    else:
        file = open(name, "rb", buffering=0 if way == "raw" else -1)
    if "ranges" in query:
        headers.append(("Accept-Ranges", query["ranges"]))
    if "pad" in query:
        headers.append(("X-Pad", "p" * (int(query["pad"]) - len("X-Pad: "))))
    file.read(int(query.get("at", "0")))
    start_response(query.get("status", "200 OK"), headers)
    return environ["wsgi.file_wrapper"](file)
