"""Clients that know the fate of every request.

Each client is a thread with one connection at a time, which it keeps or not. Every request has an id of its own
and every answer is compared byte by byte with what it must be. What came of each is written down (Fate); whose
fault it was is decided afterwards (account.py).

RFC 9112, 9.3.1: a server may close a kept connection at any time, also just when the next request is on its way;
the client then sends that request again on another connection. So a connection that was used before and ends without
a byte of the answer is `closed`, and the request goes on; whether an application saw it nevertheless, which for a POST
would be a lost request, is asked of the journals. On a fresh connection the same is `nothing`, for which there is
no excuse but the death of the httpd child that had it.
"""

import random
import socket
import threading
import time
import zlib

from application import pattern
from harness import client

RIGHT = "right"  # the answer, whole and correct
STATUS = "status"  # another status than expected, a whole answer
CUT = "cut"  # the answer ended too early, and shows it
CLOSED = "closed"  # not one byte, on a connection that was used before
NOTHING = "nothing"  # not one byte, on a fresh connection
REFUSED = "refused"  # no connection
WRONG = "wrong"  # a whole answer with wrong content, or no HTTP
SILENT = "silent"  # nothing for a long time
LEFT = "left"  # the client did not wait for it

SILENCE = 60  # seconds


class Fate:
    """What came of one attempt to have a request answered."""

    __slots__ = ("id", "kind", "mount", "port", "began", "ended", "what", "status", "detail")

    def __init__(self, ident, kind, mount):
        self.id, self.kind, self.mount = ident, kind, mount
        self.port = self.status = 0
        self.began = time.monotonic()
        self.ended = 0.0
        self.what = self.detail = ""

    def __repr__(self):
        return (f"{self.id} {self.kind} {self.mount} from port {self.port}, {self.began:.3f} to "
                f"{self.ended:.3f}: {self.what} {self.status or ''} {self.detail}")


class Request:
    """One request as a client sends it, and what must come back."""

    method = "GET"
    status = 200

    def __init__(self, ident, mount, rng):
        self.id, self.mount, self.rng = ident, mount, rng
        self.query = f"id={ident}"
        self.fields = []
        self.body = b""
        self.prepare()

    def prepare(self):
        pass

    @property
    def path(self):
        return f"{self.mount}/{self.url}?{self.query}"

    def send(self, conn):
        conn.request(self.method, self.path, self.fields)

    def receive(self, conn, rsp):
        for _ in conn.pieces(rsp):
            pass

    def who(self, *more):
        """What the first line of an answer must be."""
        def check(line):
            words = line.decode("latin-1").split()
            return words[:1] + words[3:] == [self.id, *map(str, more)] and words[1].isdigit()
        return check

    def right(self, rsp):
        return self.who()(rsp.body)


class Small(Request):
    url = "small"


class Head(Request):
    url, method = "small", "HEAD"

    def right(self, rsp):
        return rsp.body == b""


class Working(Request):
    url = "small"

    def prepare(self):
        self.query += f"&ms={self.rng.randrange(1, 300)}"


class Sized(Request):
    url = "sized"

    def prepare(self):
        self.n = self.rng.choice((10000, 70000, 400000, 1500000))
        self.query += f"&n={self.n}"

    def right(self, rsp):
        line, _, rest = rsp.body.partition(b"\n")
        return self.who()(line) and rest == pattern(self.id, self.n)


class SlowReader(Sized):
    def receive(self, conn, rsp):
        for _ in conn.pieces(rsp):
            time.sleep(self.rng.uniform(0, 0.01))


class Stream(Request):
    url = "stream"

    def prepare(self):
        self.blocks, self.size = self.rng.randrange(1, 20), self.rng.choice((100, 8000, 40000))
        self.query += f"&blocks={self.blocks}&size={self.size}&ms={self.rng.randrange(20)}"

    def right(self, rsp):
        line, _, rest = rsp.body.partition(b"\n")
        return self.who()(line) and rest == b"".join(
            pattern(f"{self.id}.{i}", self.size) for i in range(self.blocks)) + b"end\n"


class Upload(Request):
    url, method = "upload", "POST"
    sizes = (0, 500, 20000, 150000)

    def prepare(self):
        self.body = pattern(self.id, self.rng.choice(self.sizes))

    def send(self, conn):
        conn.request(self.method, self.path, self.fields, self.body)

    def right(self, rsp):
        return self.who(len(self.body), zlib.crc32(self.body))(rsp.body)


class Put(Upload):
    method = "PUT"


class Large(Upload):
    sizes = (1500000, 4000000)


class Chunked(Upload):
    def send(self, conn):
        conn.send(conn.build(self.method, self.path, self.fields + [("Transfer-Encoding", "chunked")]))
        conn.send(client.chunked(self.body, 7000))


class SlowUpload(Upload):
    def send(self, conn):
        conn.send(conn.build(self.method, self.path, self.fields + [("Content-Length", str(len(self.body)))]))
        for i in range(0, len(self.body), 1 + len(self.body) // 10):
            time.sleep(self.rng.uniform(0, 0.1))
            conn.send(self.body[i:i + 1 + len(self.body) // 10])


class Expecting(Upload):
    """Sends its body when it is told to go on."""

    def send(self, conn):
        conn.send(conn.build(self.method, self.path, self.fields + [
            ("Content-Length", str(len(self.body))), ("Expect", "100-continue")]))
        if conn.waits() and conn.buf.startswith(b"HTTP/1.1 100 "):
            conn.send(self.body)


class File(Request):
    url = "file"
    content = b""  # set by the site

    def right(self, rsp):
        return rsp.body == self.content


class Failing(Request):
    url, status = "fail", 500

    def right(self, rsp):
        return b"Internal Server Error" in rsp.body


class WebSocket(Small):
    """Asks for another protocol, which nobody here speaks: answered as if it had not."""

    def prepare(self):
        self.fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                       ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


class Leaving(Stream):
    """Reads some of the answer and goes away."""

    def receive(self, conn, rsp):
        enough = self.rng.randrange(1, 5)
        for i, _ in enumerate(conn.pieces(rsp)):
            if i == enough:
                break


# How often each comes, of all.
MIX = ((Small, 40), (Head, 2), (Working, 10), (Sized, 6), (SlowReader, 3), (Stream, 8), (Upload, 8), (Put, 3),
       (Large, 2), (Chunked, 4), (SlowUpload, 3), (Expecting, 3), (File, 4), (Failing, 2), (WebSocket, 1), (Leaving, 2))


class Conn(client.Conn):
    """Knows whether it was used, and whether a byte has come for the present request."""

    used = False

    def waits(self):
        """Wait for a byte; false at the end."""
        return bool(self.buf) or self._fill()


class Client(threading.Thread):
    """One of them; `keep` is how likely a connection is kept after a request."""

    def __init__(self, load, n):
        super().__init__(name=f"client {n}", daemon=True)
        self.load = load
        self.n = n
        self.rng = random.Random(f"{load.seed} client {n}")
        self.keep = self.rng.choice(load.keeps)
        self.count = self.right = 0
        self.conn = None
        self.fates = []

    def run(self):
        try:
            while not self.load.ending.is_set():
                self._request()
                if self.load.pause:
                    time.sleep(self.rng.uniform(0, 2 * self.load.pause))
        finally:
            self._hang_up()

    def _request(self):
        kind = self.rng.choices([k for k, _ in self.load.mix], [w for _, w in self.load.mix])[0]
        mount = self.rng.choice(self.load.mounts)
        ident = f"{self.load.name}{self.n}.{self.count}"
        self.count += 1
        for again in ("", "a", "b", "c"):
            fate = Fate(ident + again, kind.__name__, mount)
            self._attempt(kind(ident + again, mount, self.rng), fate)
            fate.ended = time.monotonic()
            self.right += fate.what == RIGHT
            if fate.what != RIGHT or not self.load.brief:
                self.fates.append(fate)
            if fate.what != RIGHT or self.rng.random() >= self.keep:
                self._hang_up()
            if fate.what != CLOSED:
                return

    def _hang_up(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def _attempt(self, request, fate):
        try:
            if not self.conn:
                self.conn = Conn(self.load.port, timeout=SILENCE)
        except OSError as e:
            fate.what, fate.detail = REFUSED, str(e)
            return
        fate.port = self.conn.sock.getsockname()[1]
        try:
            self._exchange(request, fate)
        except client.Truncated:
            fate.what = CUT
        except client.ProtocolError as e:
            fate.what, fate.detail = WRONG, str(e)
        except AssertionError as e:  # the harness's word for it
            fate.what, fate.detail = SILENT, str(e)
        except socket.timeout:
            fate.what = SILENT
        except OSError as e:
            fate.what, fate.detail = CUT, str(e)

    def _exchange(self, request, fate):
        conn = self.conn
        try:
            request.send(conn)
        except (BrokenPipeError, ConnectionResetError) as e:
            fate.detail = f"sending: {e}"  # there may be an answer nevertheless
        rsp = conn.head(request.method)
        if rsp is None:
            fate.what = CLOSED if conn.used else NOTHING
            return
        conn.used = True
        request.receive(conn, rsp)
        fate.status = rsp.status
        if isinstance(request, Leaving) and rsp.status == 200:
            fate.what = LEFT
        elif not rsp.complete:
            fate.what = CUT
        elif rsp.status != request.status:
            fate.what = STATUS
            fate.detail = rsp.get("Retry-After") or ""
        elif conn.buf:
            fate.what, fate.detail = WRONG, f"bytes behind the end: {conn.buf[:100]!r}"
        elif request.right(rsp):
            fate.what = RIGHT
        else:
            fate.what, fate.detail = WRONG, repr(rsp)
        if rsp.close:
            self._hang_up()


class Load:
    """n clients on some mounts of one port; with it, they run."""

    def __init__(self, port, mounts, seed, n=16, mix=MIX, keeps=(0, 0.5, 0.95, 1), pause=0.0, name="",
                 brief=False):
        self.port, self.mounts, self.seed, self.mix, self.keeps = port, mounts, seed, mix, keeps
        self.pause, self.name = pause, name
        self.brief = brief  # remember only what was not answered right
        self.ending = threading.Event()
        self.clients = [Client(self, i) for i in range(n)]

    def __enter__(self):
        for c in self.clients:
            c.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for c in self.clients:
            c.join(3 * SILENCE)
        assert not [c for c in self.clients if c.is_alive()], "a client does not end"

    @property
    def fates(self):
        return [fate for c in self.clients for fate in list(c.fates)]

    @property
    def right(self):
        return sum(c.right for c in self.clients)
