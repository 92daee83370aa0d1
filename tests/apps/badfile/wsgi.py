"""A process that speaks to httpd past the server: ?way=W says what it sends on its connections."""

import array
import os
import socket
import stat
import struct
import time
from urllib.parse import parse_qsl

HEAD, DATA, FILE, LOG, END = 8, 9, 10, 12, 13


def frame(kind, payload):
    return struct.pack("<IBBH", len(payload), kind, 0, 0) + payload


def text(value):
    return struct.pack("<I", len(value)) + value + b"\0"


def part(offset=0, length=100):
    return frame(FILE, struct.pack("<qq", offset, length))


ANSWER = frame(HEAD, struct.pack("<HHI", 200, 0, 0) + text(b"OK"))
LINE = frame(LOG, struct.pack("<BI", 7, 0) + text(b"") + b"a line")
WHOLE = frame(END, b"\0")


def connections():
    """Those to httpd."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
        except OSError:
            continue
        sock = socket.socket(fileno=os.dup(fd))
        if (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_STREAM):
            yield sock
        else:
            sock.close()


def say(data, *fds):
    for sock in connections():
        with sock:
            try:
                sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [],
                             socket.MSG_NOSIGNAL)
            except OSError:
                pass  # httpd has heard enough


def regular(tmp, flags=os.O_RDONLY, size=100):
    name = f"{tmp}/bad.data"
    with open(name, "wb") as f:
        f.write(b"f" * size)
    fd = os.open(name, flags)
    os.unlink(name)
    return fd


def pipe():
    r, w = os.pipe()
    os.write(w, b"p" * 100)
    os.close(w)
    return r


def until(path):
    while not os.path.exists(path):
        time.sleep(0.01)


WAYS = {
    "good": lambda tmp: say(ANSWER + part() + WHOLE, regular(tmp)),
    "before-head": lambda tmp: say(part(), regular(tmp)),
    "after-end": lambda tmp: say(ANSWER + WHOLE + part(), regular(tmp)),
    "without": lambda tmp: say(ANSWER + part()),
    "two": lambda tmp: say(ANSWER + part(), regular(tmp), regular(tmp)),
    "one-for-two": lambda tmp: say(ANSWER + part() + part(), regular(tmp)),
    "unclaimed": lambda tmp: say(ANSWER + frame(DATA, b"d") + WHOLE, regular(tmp)),
    "pipe": lambda tmp: say(ANSWER + part(), pipe()),
    "socket": lambda tmp: say(ANSWER + part(), socket.socket().detach()),
    "device": lambda tmp: say(ANSWER + part(), os.open("/dev/zero", os.O_RDONLY)),
    "directory": lambda tmp: say(ANSWER + part(), os.open(tmp, os.O_RDONLY)),
    "write-only": lambda tmp: say(ANSWER + part(), regular(tmp, os.O_WRONLY)),
    "path-only": lambda tmp: say(ANSWER + part(), regular(tmp, os.O_PATH)),
    "short": lambda tmp: say(ANSWER + part(), regular(tmp, size=99)),
    "beyond": lambda tmp: say(ANSWER + part(1), regular(tmp)),
    "negative-offset": lambda tmp: say(ANSWER + part(-1), regular(tmp)),
    "negative-length": lambda tmp: say(ANSWER + part(0, -1), regular(tmp)),
    "no-length": lambda tmp: say(ANSWER + part(0, 0), regular(tmp)),
    "overflow": lambda tmp: say(ANSWER + part((1 << 63) - 1, (1 << 63) - 1), regular(tmp)),
    "flood": lambda tmp: [say(LINE, regular(tmp)) for _ in range(300)],
    "file-after-data": lambda tmp: (say(ANSWER + frame(DATA, b"d")), until(f"{tmp}/on"), say(part() + WHOLE, regular(tmp))),
    "many": lambda tmp: [say(ANSWER)] + [say(part(), regular(tmp)) for _ in range(300)] + [say(WHOLE)],
}


def application(environ, start_response):
    way = dict(parse_qsl(environ["QUERY_STRING"]))["way"]
    WAYS[way](environ["MWTEST_TMP"])
    if way in ("good", "many", "file-after-data"):
        os._exit(0)  # httpd has its answer; this process would give it another one
    start_response("200 OK", [])
    return [b"nobody hears this"]
