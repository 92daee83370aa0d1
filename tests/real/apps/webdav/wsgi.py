"""A WebDAV application of class 1 and 2, enough of RFC 4918 for everything that litmus asks.

Debian has no WSGI application for WebDAV. Bodies are files below data/; properties and locks are kept in
memory, so it wants one process. One lock makes each request atomic.
"""

import hashlib
import os
import re
import shutil
import threading
import uuid
import xml.etree.ElementTree as ElementTree
from email.utils import formatdate
from urllib.parse import quote, unquote, urlsplit

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
XML = [("Content-Type", "application/xml; charset=utf-8")]
REASONS = {200: "OK", 201: "Created", 204: "No Content", 207: "Multi-Status", 400: "Bad Request",
           403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
           412: "Precondition Failed", 415: "Unsupported Media Type", 423: "Locked", 501: "Not Implemented"}

props = {}
locks = {}
one_at_a_time = threading.Lock()

ElementTree.register_namespace("D", "DAV:")


class Failure(Exception):
    def __init__(self, status):
        self.status = status


class Lock:
    def __init__(self, path, depth, scope, owner):
        self.token = "opaquelocktoken:" + str(uuid.uuid4())
        self.path, self.depth, self.scope, self.owner = path, depth, scope, owner

    def covers(self, path):
        return path == self.path or self.depth == "infinity" and below(path, self.path)


def below(path, top):
    return path.startswith(top.rstrip("/") + "/")


def parent(path):
    return os.path.dirname(path.rstrip("/")) or "/"


def local(path):
    return os.path.join(DATA, path.strip("/").encode("utf-8", "surrogateescape").decode())


def exists(path):
    return os.path.exists(local(path))


def is_folder(path):
    return os.path.isdir(local(path))


def tag_of(path):
    info = os.stat(local(path))
    return '"%s"' % hashlib.sha1(b"%d %d %d" % (info.st_ino, info.st_mtime_ns, info.st_size)).hexdigest()


def covering(path):
    return [lock for lock in locks.values() if lock.covers(path)]


class Request:
    """The request's path, fields and body."""

    def __init__(self, environ):
        self.environ = environ
        self.mount = environ["SCRIPT_NAME"]
        self.path = self.clean(environ["PATH_INFO"].encode("latin-1").decode())
        self.depth = self.field("DEPTH", "infinity").lower()
        self.tokens = set()

    @staticmethod
    def clean(path):
        return "/" + "/".join(word for word in path.split("/") if word)

    def field(self, name, default=""):
        return self.environ.get("HTTP_" + name, default)

    def below_mount(self, url):
        path = unquote(urlsplit(url).path)
        if not path.startswith(self.mount + "/"):
            raise Failure(403)
        return self.clean(path[len(self.mount):])

    def url(self, path):
        return self.mount + quote(path) + ("/" if is_folder(path) and path != "/" else "")

    def xml(self):
        data = self.environ["wsgi.input"].read(-1)
        if not data:
            return None
        try:
            return ElementTree.fromstring(data)
        except ElementTree.ParseError:
            raise Failure(400) from None

    def check_if(self):
        """The If field: one of its lists must hold; all tokens in it count as given."""
        lists = re.findall(r"(?:<([^>]*)>\s*)?((?:\([^)]*\)\s*)+)", self.field("IF"))
        if self.field("IF") and not any([self.list_holds(tag, text) for tag, several in lists
                                         for text in re.findall(r"\(([^)]*)\)", several)]):
            raise Failure(412)

    def list_holds(self, tag, text):
        path = self.below_mount(tag) if tag else self.path
        holds = True
        for negated, token, etag in re.findall(r"(Not\s*)?(?:<([^>]*)>|\[([^\]]*)\])", text):
            if token:
                found = any(lock.token == token for lock in covering(path))
                if not negated:
                    self.tokens.add(token)
            else:
                found = exists(path) and tag_of(path) == etag
            holds = holds and found != bool(negated)
        return holds

    def may_change(self, path, member=False, tree=False):
        """423 unless the locks on the path (with member, on its parent; with tree, below it) are given."""
        found = covering(path)
        if member:
            found += covering(parent(path))
        if tree:
            found += [lock for lock in locks.values() if below(lock.path, path)]
        for lock in found:
            same = {other.token for other in found if other.path == lock.path}
            if not same & self.tokens:
                raise Failure(423)


def forget(path):
    """Nothing is known any more about a path and what is below it."""
    for known in [p for p in props if p == path or below(p, path)]:
        del props[known]
    for token in [t for t, lock in locks.items() if lock.path == path or below(lock.path, path)]:
        del locks[token]


def remove(path):
    shutil.rmtree(local(path)) if is_folder(path) else os.remove(local(path))
    forget(path)


# -- methods: each returns status, fields, blocks


def options(req):
    return 200, [("DAV", "1, 2"), ("Allow", ", ".join(sorted(METHODS)))], []


def get(req):
    if not exists(req.path):
        raise Failure(404)
    if is_folder(req.path):
        return 200, [("Content-Type", "text/plain")], ["\n".join(os.listdir(local(req.path))).encode()]
    fields = [("Content-Type", "application/octet-stream"), ("ETag", tag_of(req.path)),
              ("Content-Length", str(os.path.getsize(local(req.path))))]
    return 200, fields, req.environ["wsgi.file_wrapper"](open(local(req.path), "rb"))


def put(req):
    if is_folder(req.path):
        raise Failure(405)
    if not is_folder(parent(req.path)):
        raise Failure(409)
    new = not exists(req.path)
    req.may_change(req.path, member=new)
    with open(local(req.path) + ".new", "wb") as f:
        shutil.copyfileobj(req.environ["wsgi.input"], f)
    os.replace(f.name, local(req.path))
    return 201 if new else 204, [("ETag", tag_of(req.path))], []


def delete(req):
    if not exists(req.path):
        raise Failure(404)
    req.may_change(req.path, member=True, tree=True)
    remove(req.path)
    return 204, [], []


def mkcol(req):
    if req.environ["wsgi.input"].read(1):
        raise Failure(415)
    if exists(req.path):
        raise Failure(405)
    if not is_folder(parent(req.path)):
        raise Failure(409)
    req.may_change(req.path, member=True)
    os.mkdir(local(req.path))
    return 201, [], []


def copy_or_move(req):
    to = req.below_mount(req.field("DESTINATION"))
    moving = req.environ["REQUEST_METHOD"] == "MOVE"
    if not exists(req.path):
        raise Failure(404)
    if to == req.path or below(to, req.path):
        raise Failure(403)
    if not is_folder(parent(to)):
        raise Failure(409)
    there = exists(to)
    if there and req.field("OVERWRITE") == "F":
        raise Failure(412)
    req.may_change(to, member=not there, tree=True)
    if moving:
        req.may_change(req.path, member=True, tree=True)
    if there:
        kept = {k: v for k, v in locks.items() if v.path == to}
        remove(to)
        locks.update(kept)
    known = {to + p[len(req.path):]: dict(v) for p, v in props.items() if p == req.path or below(p, req.path)}
    if moving:
        os.rename(local(req.path), local(to))
        forget(req.path)
    elif not is_folder(req.path):
        shutil.copyfile(local(req.path), local(to))
    elif req.depth == "0":
        os.mkdir(local(to))
    else:
        shutil.copytree(local(req.path), local(to))
    props.update(known)
    return 204 if there else 201, [], []


def live(path):
    """Live properties, as elements' contents."""
    info = os.stat(local(path))
    kind = ElementTree.Element("{DAV:}resourcetype")
    if is_folder(path):
        ElementTree.SubElement(kind, "{DAV:}collection")
    found = {"{DAV:}resourcetype": kind}
    for name, text in (("getcontentlength", str(info.st_size)), ("getetag", tag_of(path)),
                       ("getlastmodified", formatdate(info.st_mtime, usegmt=True)),
                       ("creationdate", "2026-01-01T00:00:00Z")):
        found["{DAV:}" + name] = element = ElementTree.Element("{DAV:}" + name)
        element.text = text
    scopes = ElementTree.Element("{DAV:}supportedlock")
    for scope in ("exclusive", "shared"):
        entry = ElementTree.SubElement(scopes, "{DAV:}lockentry")
        ElementTree.SubElement(ElementTree.SubElement(entry, "{DAV:}lockscope"), "{DAV:}" + scope)
        ElementTree.SubElement(ElementTree.SubElement(entry, "{DAV:}locktype"), "{DAV:}write")
    found[scopes.tag] = scopes
    return found


def discovery(req, found):
    top = ElementTree.Element("{DAV:}lockdiscovery")
    for lock in found:
        active = ElementTree.SubElement(top, "{DAV:}activelock")
        ElementTree.SubElement(ElementTree.SubElement(active, "{DAV:}lockscope"), "{DAV:}" + lock.scope)
        ElementTree.SubElement(ElementTree.SubElement(active, "{DAV:}locktype"), "{DAV:}write")
        ElementTree.SubElement(active, "{DAV:}depth").text = lock.depth
        if lock.owner is not None:
            active.append(lock.owner)
        ElementTree.SubElement(active, "{DAV:}timeout").text = "Second-3600"
        for name, text in (("locktoken", lock.token), ("lockroot", req.url(lock.path))):
            ElementTree.SubElement(ElementTree.SubElement(active, "{DAV:}" + name), "{DAV:}href").text = text
    return top


def status_line(status):
    return "HTTP/1.1 %d %s" % (status, REASONS[status])


def multistatus(req, answers):
    """answers: path -> {status: [property element]}."""
    top = ElementTree.Element("{DAV:}multistatus")
    for path, stats in answers.items():
        rsp = ElementTree.SubElement(top, "{DAV:}response")
        ElementTree.SubElement(rsp, "{DAV:}href").text = req.url(path)
        for status, elements in stats.items():
            stat = ElementTree.SubElement(rsp, "{DAV:}propstat")
            ElementTree.SubElement(stat, "{DAV:}prop").extend(elements)
            ElementTree.SubElement(stat, "{DAV:}status").text = status_line(status)
    return 207, XML[:], [ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)]


def propfind(req):
    asked = req.xml()
    if not exists(req.path):
        raise Failure(404)
    if asked is not None and asked.tag != "{DAV:}propfind":
        raise Failure(400)
    paths = [req.path]
    if req.depth != "0" and is_folder(req.path):
        paths += [req.path.rstrip("/") + "/" + name for name in sorted(os.listdir(local(req.path)))]
    wanted = None if asked is None else asked.find("{DAV:}prop")
    only_names = asked is not None and asked.find("{DAV:}propname") is not None
    answers = {}
    for path in paths:
        known = {**live(path), "{DAV:}lockdiscovery": discovery(req, covering(path)), **props.get(path, {})}
        if only_names:
            answers[path] = {200: [ElementTree.Element(name) for name in known]}
            continue
        names = list(known) if wanted is None else [element.tag for element in wanted]
        stats = {200: [known[name] for name in names if name in known],
                 404: [ElementTree.Element(name) for name in names if name not in known]}
        answers[path] = {status: elements for status, elements in stats.items() if elements}
    return multistatus(req, answers)


def proppatch(req):
    asked = req.xml()
    if not exists(req.path):
        raise Failure(404)
    if asked is None or asked.tag != "{DAV:}propertyupdate":
        raise Failure(400)
    req.may_change(req.path)
    mine, done = props.setdefault(req.path, {}), {}
    for action in asked:
        for element in action.findall("{DAV:}prop/*"):
            if action.tag == "{DAV:}set":
                mine[element.tag] = element
            else:
                mine.pop(element.tag, None)
            done[element.tag] = ElementTree.Element(element.tag)
    return multistatus(req, {req.path: {200: list(done.values())}})


def lock_answer(req, lock, status=200):
    top = ElementTree.Element("{DAV:}prop")
    top.append(discovery(req, [lock]))
    return status, XML + [("Lock-Token", "<%s>" % lock.token)], [
        ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)]


def make_lock(req):
    asked = req.xml()
    if asked is None:
        found = [lock for lock in covering(req.path) if lock.token in req.tokens]
        if not found:
            raise Failure(412)
        return lock_answer(req, found[0])
    if req.depth not in ("0", "infinity"):
        raise Failure(400)
    scope = "shared" if asked.find("{DAV:}lockscope/{DAV:}shared") is not None else "exclusive"
    others = covering(req.path)
    if req.depth == "infinity":
        others += [lock for lock in locks.values() if below(lock.path, req.path)]
    if any("exclusive" in (scope, other.scope) for other in others):
        raise Failure(423)
    new = not exists(req.path)
    if new:
        if not is_folder(parent(req.path)):
            raise Failure(409)
        req.may_change(req.path, member=True)
        open(local(req.path), "wb").close()
    lock = Lock(req.path, req.depth, scope, asked.find("{DAV:}owner"))
    locks[lock.token] = lock
    return lock_answer(req, lock, 201 if new else 200)


def unlock(req):
    lock = locks.get(req.field("LOCK_TOKEN").strip("<> "))
    if lock is None or not lock.covers(req.path):
        raise Failure(409)
    del locks[lock.token]
    return 204, [], []


METHODS = {"OPTIONS": options, "GET": get, "HEAD": get, "PUT": put, "DELETE": delete, "MKCOL": mkcol,
           "COPY": copy_or_move, "MOVE": copy_or_move, "PROPFIND": propfind, "PROPPATCH": proppatch,
           "LOCK": make_lock, "UNLOCK": unlock}


def application(environ, start_response):
    try:
        method = METHODS.get(environ["REQUEST_METHOD"])
        if method is None:
            raise Failure(501)
        with one_at_a_time:
            req = Request(environ)
            req.check_if()
            status, fields, blocks = method(req)
    except Failure as failure:
        status, fields, blocks = failure.status, [("Content-Type", "text/plain")], [b"refused\n"]
    start_response("%d %s" % (status, REASONS[status]), fields)
    return blocks
