"""Answers that lie about their length, or end in the middle. Each body is the nonce and a filler."""

import os
import signal
from urllib.parse import parse_qsl

FAKE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nEVIL"


def body_of(query):
    nonce = query["nonce"].encode("ascii")
    size = int(query.get("size", "100"))
    return (nonce + b"." * size)[:max(size, len(nonce))]


def in_blocks(data, block):
    for i in range(0, len(data), block):
        yield data[i:i + block]


def until(data, n, stop, block=5000):
    """n bytes of data, then stop."""
    yield from in_blocks(data[:n], block)
    stop()
    yield b"not reached"


def fall():
    raise RuntimeError("marker-framing")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    kind = query["kind"]
    body = body_of(query)
    n = int(query.get("n", "0"))
    text = [("Content-Type", "text/plain")]
    length = [("Content-Length", str(len(body)))]
    if kind == "good":
        start_response("200 OK", text + length)
        return [body]
    if kind == "short":
        start_response("200 OK", text + length)
        return in_blocks(body[:n], 5000)
    if kind == "short-list":
        start_response("200 OK", text + length)
        return [body[:n]]
    if kind == "long":
        start_response("200 OK", text + length)
        return [body + FAKE]
    if kind == "long-later":
        start_response("200 OK", text + length)
        return iter([body, FAKE, FAKE])
    if kind == "long-written":
        write = start_response("200 OK", text + length)
        write(body)
        write(FAKE)
        return [FAKE]
    if kind in ("raise", "raise-length"):
        start_response("200 OK", text + (length if kind == "raise-length" else []))
        return until(body, n, fall)
    if kind in ("kill", "kill-length"):
        start_response("200 OK", text + (length if kind == "kill-length" else []))
        return until(body, n, die)
    if kind == "coding":
        start_response("200 OK", text + [(query.get("name", "Transfer-Encoding"), query["value"])])
        return [b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), FAKE]
    if kind == "coding-length":
        start_response("200 OK", text + [("Transfer-Encoding", "chunked")] + length)
        return [body]
    if kind == "lengths":
        start_response("200 OK", text + [("Content-Length", v) for v in query["values"].split("|")])
        return [body, FAKE]
    if kind == "hop":
        start_response("200 OK", text + [(query["name"], query["value"])] + length)
        return [body]
    if kind == "status":
        start_response(query["status"], text + (length if "length" in query else []))
        return [body, FAKE]
    if kind == "unread":
        start_response("200 OK", text + length)
        return [body]
    raise KeyError(kind)
