"""A client that trusts nothing: raw sockets and a strict HTTP/1 response parser.

What RFC 9112 leaves to a lenient recipient is an error here: bare LF, folded lines, two lengths, a length
beside a transfer coding, bytes behind the end of a message, a body on 204. A message that ends too early
is no error but a fact (Response.complete is False), since the tests are about telling the two apart.
"""

import re
import socket
import time

from . import wait

_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9][0-9]) ([\t -~\x80-\xff]*)\Z")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*\Z")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\Z")
_HEAD_MAX = 300000


class ProtocolError(AssertionError):
    """The server said something that is no HTTP."""


class Truncated(Exception):
    """The connection ended inside a message."""


class Response:
    """A response; body holds what has come so far."""

    def __init__(self, version, status, reason, fields):
        self.version = version
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = b""
        self.interim = []
        self.complete = False
        self.framing = "none"
        self.close = False

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name):
        """The value of a field that must not come twice; None if it is not there."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode("latin-1")

    def json(self):
        import json
        assert self.complete, f"truncated: {self.body!r}"
        return json.loads(self.body)

    def __repr__(self):
        return (f"<{self.status} {self.reason} {self.fields} {self.framing} "
                f"{'complete' if self.complete else 'TRUNCATED'} {self.body[:200]!r}>")


class Conn:
    """One connection. Every wait has the same deadline, `timeout` seconds."""

    def __init__(self, port, host="127.0.0.1", timeout=15, sock=None):
        self.timeout = timeout * wait.SLOW
        self.host = f"{host}:{port}"
        self.buf = b""
        self.eof = False
        self.sock = sock or socket.create_connection((host, port), self.timeout)
        self.sock.settimeout(self.timeout)
        if sock is None:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def close(self):
        self.sock.close()

    # -- out

    def send(self, data):
        self.sock.sendall(data)

    def build(self, method, path, fields=(), body=None, version="1.1"):
        """The bytes of a request. A body gets Content-Length unless fields frame it otherwise."""
        lines = [f"{method} {path} HTTP/{version}"]
        names = {n.lower() for n, _ in fields}
        if "host" not in names:
            lines.append(f"Host: {self.host}")
        lines += [f"{n}: {v}" for n, v in fields]
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")

    def request(self, method, path, fields=(), body=None, version="1.1"):
        self.send(self.build(method, path, fields, body, version))

    # -- in

    def _fill(self):
        """More bytes into the buffer; False at the end. A reset is an end."""
        if self.eof:
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        except socket.timeout:
            raise AssertionError(f"server silent for {self.timeout:g} s; so far {self.buf[-200:]!r}") \
                from None
        if not data:
            self.eof = True
            return False
        self.buf += data
        return True

    def line(self, limit=_HEAD_MAX):
        while b"\n" not in self.buf:
            if len(self.buf) > limit:
                raise ProtocolError("line too long")
            if not self._fill():
                raise Truncated
        line, _, rest = self.buf.partition(b"\n")
        if not line.endswith(b"\r"):
            raise ProtocolError(f"bare LF after {line!r}")
        if b"\r" in line[:-1]:
            raise ProtocolError(f"bare CR in {line!r}")
        self.buf = rest
        return line[:-1]

    def _take(self, n):
        """Pieces of exactly n bytes in all."""
        while n:
            if not self.buf and not self._fill():
                raise Truncated
            piece, self.buf = self.buf[:n], self.buf[n:]
            n -= len(piece)
            yield piece

    def _one_head(self):
        line = self.line()
        m = _STATUS.match(line)
        if not m:
            raise ProtocolError(f"no status line: {line[:200]!r}")
        fields = []
        while True:
            line = self.line()
            if not line:
                break
            f = _FIELD.match(line)
            if not f:
                raise ProtocolError(f"no header field: {line[:200]!r}")
            fields.append((f[1].decode("latin-1"), f[2].decode("latin-1")))
        return Response(m[1].decode(), int(m[2]), m[3].decode("latin-1"), fields)

    def head(self, method="GET"):
        """The next final response with its body still to come; None if the connection ended instead."""
        if not self.buf and not self._fill():
            return None
        interim = []
        while True:
            rsp = self._one_head()
            if rsp.status >= 200:
                break
            if rsp.status == 101:
                raise ProtocolError("101 without Upgrade")
            interim.append(rsp)
        rsp.interim = interim
        self._frame(rsp, method)
        return rsp

    def _frame(self, rsp, method):
        codings = rsp.all("Transfer-Encoding")
        lengths = rsp.all("Content-Length")
        connection = [w.strip().lower() for v in rsp.all("Connection") for w in v.split(",")]
        rsp.close = "close" in connection or (rsp.version == "1.0" and "keep-alive" not in connection)
        if len(lengths) > 1 or any(not re.fullmatch("[0-9]+", v) for v in lengths):
            raise ProtocolError(f"Content-Length {lengths}")
        if codings and (codings != ["chunked"] or lengths):
            raise ProtocolError(f"Transfer-Encoding {codings}, Content-Length {lengths}")
        if rsp.status == 204 and (codings or lengths not in ([], ["0"])):
            raise ProtocolError("204 announces a body")
        if method == "HEAD" or rsp.status in (204, 304):
            rsp.framing = "none"
        elif codings:
            rsp.framing = "chunked"
        elif lengths:
            rsp.framing = "length"
        else:
            rsp.framing = "close"
            rsp.close = True

    def pieces(self, rsp):
        """The body as it arrives; sets rsp.body, and rsp.complete at the end if there is one."""
        source = {"none": lambda: iter(()), "chunked": self._chunks, "close": self._to_close,
                  "length": lambda: self._take(int(rsp.get("Content-Length")))}[rsp.framing]
        try:
            for piece in source():
                rsp.body += piece
                yield piece
            rsp.complete = True
        except Truncated:
            pass

    def _chunks(self):
        while True:
            m = _CHUNK.match(self.line(100))
            if not m:
                raise ProtocolError("no chunk size")
            size = int(m[1], 16)
            if size == 0:
                break
            yield from self._take(size)
            if self.line(100):
                raise ProtocolError("chunk longer than its size")
        if self.line():
            raise ProtocolError("trailer field")

    def _to_close(self):
        while True:
            if self.buf:
                piece, self.buf = self.buf, b""
                yield piece
            elif not self._fill():
                return

    def response(self, method="GET"):
        """The next whole response (or what came of it); None if the connection ended instead."""
        try:
            rsp = self.head(method)
        except Truncated:
            return None
        if rsp is not None:
            for _ in self.pieces(rsp):
                pass
        return rsp

    def get(self, path, fields=(), method="GET", body=None, version="1.1"):
        self.request(method, path, fields, body, version)
        rsp = self.response(method)
        assert rsp is not None, f"{method} {path}: connection closed without an answer"
        return rsp

    def at_end(self):
        """Fail unless the server closes now without one more byte."""
        while self._fill():
            pass
        assert not self.buf, f"bytes behind the end: {self.buf[:300]!r}"

    def quiet(self, seconds):
        """True if nothing comes, neither bytes nor the end, for this long."""
        if self.buf:
            return False
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
            self.buf += data
            self.eof = not data
            return False
        except socket.timeout:
            return True
        finally:
            self.sock.settimeout(self.timeout)


def chunked(data, size=None):
    """Data in the chunked coding."""
    size = size or max(1, len(data))
    out = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + size]), data[i:i + size])
                   for i in range(0, len(data), size))
    return out + b"0\r\n\r\n"


def fetch(port, path, fields=(), method="GET", body=None, version="1.1", timeout=15):
    """One request on its own connection."""
    with Conn(port, timeout=timeout) as conn:
        fields = list(fields)
        if not any(n.lower() == "connection" for n, _ in fields):
            fields.append(("Connection", "close"))
        return conn.get(path, fields, method, body, version)


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def free_ports(n):
    """Ports that nobody listened on a moment ago."""
    socks = [socket.socket() for _ in range(n)]
    try:
        for s in socks:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in socks]
    finally:
        for s in socks:
            s.close()


def now():
    return time.monotonic()
