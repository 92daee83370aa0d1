"""A browser with cookies that writes down what it saw, so that two servers can be compared.

What two runs of one application may differ in (dates, random tokens, how a server frames a message) is
replaced by a fixed word before it is written down; everything else must be equal, to the byte.
"""

import hashlib
import re
import secrets
import urllib.parse

from harness import client

HOST = "app.example"

# Of the server and the connection, not of the application.
_HOP = {"date", "server", "connection", "keep-alive", "transfer-encoding", "content-length",
        "accept-ranges"}  # httpd answers for parts of files
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT")
_COOKIE = re.compile(r'^([^=;]+)=(?!"")([^;]+)')
_TEXT = re.compile(r"^(text/|application/(json|xml|.*\+xml))|charset=")


class Seen:
    """One exchange, normalised."""

    def __init__(self, what, rsp, scrub, tags):
        self.what = what
        self.status = f"{rsp.status} {rsp.reason}"
        # wsgiref counts what it sent, which is wrong for HEAD, and counts where there is nothing.
        bodiless = rsp.status in (204, 304)
        guessed = what.startswith("HEAD ") and rsp.get("Content-Length") == "0"
        self.body = body_text(rsp, scrub)
        scrubbed = self.body != body_text(rsp, ())
        self.length = None if bodiless or guessed else rsp.get("Content-Length")
        if scrubbed and self.length:
            self.length = "given"
        self.fields = sorted(
            ((n.lower(), _value(n.lower(), v, scrubbed, tags)) for n, v in rsp.fields
             if n.lower() not in _HOP and not (bodiless and n.lower() == "content-type")),
            key=lambda field: field[0])

    def differences(self, wanted):
        """In which way this is not what the reference gave; the length only counts if that gave one."""
        for name in ("what", "status", "fields", "body"):
            if getattr(self, name) != getattr(wanted, name):
                yield f"{self.what}: {name}\n  is     {getattr(self, name)!r}\n" \
                      f"  wanted {getattr(wanted, name)!r}"
        if wanted.length is not None and self.length != wanted.length:
            yield f"{self.what}: Content-Length is {self.length}, wanted {wanted.length}"


def _value(name, value, scrubbed, tags):
    """A field's value; the tag of a body that holds a token is as random as the token."""
    value = _DATE.sub("DATE", value)
    if name == "allow":
        return ", ".join(sorted(value.split(", ")))
    if name == "etag":
        for pattern, word in tags:
            value = re.sub(pattern, word, value)
        return "TAG" if scrubbed else value
    return _COOKIE.sub(r"\1=VALUE", value) if name == "set-cookie" else value


def body_text(rsp, scrub):
    kind = rsp.get("Content-Type") or ""
    if not rsp.body:
        return ""
    if not _TEXT.search(kind) or rsp.get("Content-Encoding"):
        return f"{len(rsp.body)} bytes {hashlib.sha256(rsp.body).hexdigest()}"
    text = _DATE.sub("DATE", rsp.body.decode("utf-8", "backslashreplace"))
    for pattern, word in scrub:
        text = re.sub(pattern, word, text)
    return text


def multipart(fields, files):
    """Content type and body of a form with files: name -> (file name, type, bytes)."""
    boundary = "----" + secrets.token_hex(16)
    parts = []
    for name, value in fields.items():
        parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value.encode())
    for name, (filename, kind, data) in files.items():
        parts.append(f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
                     f"Content-Type: {kind}\r\n\r\n".encode() + data)
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return f"multipart/form-data; boundary={boundary}", body


class Browser:
    """Keeps its cookies and, where the server does, its connection. Paths are below the mount point."""

    def __init__(self, port, mount="", can_chunk=True, scrub=(), host=HOST, tags=()):
        self.port = port
        self.mount = mount
        self.can_chunk = can_chunk
        self.scrub = scrub
        self.tags = tags
        self.host = host
        self.cookies = {}
        self.seen = []
        self._conn = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def drop(self):
        if self._conn:
            self._conn.close()
        self._conn = None

    def request(self, method, path, fields=(), body=None, chunk=None):
        """One exchange. With chunk, the body goes in chunks of that size to a server that knows them."""
        head = [("Host", self.host)] + list(fields)
        if self.cookies:
            head.append(("Cookie", "; ".join(f"{n}={v}" for n, v in self.cookies.items())))
        if chunk and self.can_chunk:
            head.append(("Transfer-Encoding", "chunked"))
            body = client.chunked(body, chunk)
        if self._conn is None:
            self._conn = client.Conn(self.port, timeout=40)
        url = path if path.startswith("http://") else self.mount + path
        rsp = self._conn.get(url, head, method, body)
        assert rsp.complete, f"{method} {url}: truncated after {len(rsp.body)} bytes"
        if rsp.close:
            self.drop()
        for cookie in rsp.all("Set-Cookie"):
            self._keep(cookie)
        self.seen.append(Seen(f"{method} {path}", rsp, self.scrub, self.tags))
        return rsp

    def _keep(self, cookie):
        name, _, rest = cookie.partition("=")
        value = rest.split(";")[0]
        if value in ("", '""') or "max-age=0" in cookie.lower():
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    def get(self, path, fields=()):
        return self.request("GET", path, fields)

    def head(self, path, fields=()):
        return self.request("HEAD", path, fields)

    def send(self, method, path, body, kind="application/octet-stream", fields=(), chunk=None):
        return self.request(method, path, [("Content-Type", kind)] + list(fields), body, chunk)

    def post(self, path, form, fields=()):
        return self.send("POST", path, urllib.parse.urlencode(form).encode(),
                         "application/x-www-form-urlencoded", fields)

    def upload(self, path, form, files, fields=(), chunk=None):
        kind, body = multipart(form, files)
        return self.send("POST", path, body, kind, fields, chunk)

    def follow(self, rsp):
        """Where a redirect points to, which must be below the mount point."""
        where = urllib.parse.urlsplit(rsp.get("Location"))
        assert where.netloc in ("", self.host), f"redirected to {where.geturl()}"
        assert where.path.startswith(self.mount + "/"), f"redirected to {where.path}"
        return self.get(where.path[len(self.mount):] + ("?" + where.query if where.query else ""))
