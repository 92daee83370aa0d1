"""Counts the bytes of its request's body and says how reading ended, in JSON.

    n=N        size of each read            first=1  answer begins before the body is read
    unread=1   nothing is read              catch=0  an OSError is not caught
"""

import json
import zlib
from urllib.parse import parse_qsl


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    source, size = environ["wsgi.input"], int(query.get("n", str(1 << 20)))
    answer = {"count": 0, "crc": 0, "error": None, "content_length": environ.get("CONTENT_LENGTH"),
              "encoding": environ.get("HTTP_CONTENT_ENCODING")}
    write = None
    if "first" in query:
        write = start_response("200 OK", [("Content-Type", "application/json")])
        write(b" " * 70000)
    try:
        while "unread" not in query:
            part = source.read(size)
            if not part:
                break
            answer["count"] += len(part)
            if "crc" in query:
                answer["crc"] = zlib.crc32(part, answer["crc"])
    except OSError as e:
        if query.get("catch") == "0":
            raise
        answer["error"] = str(e)
        try:  # and it stays so
            source.read(1)
            answer["error"] += " once only"
        except OSError:
            pass
    body = json.dumps(answer).encode("ascii")
    if write is None:
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
