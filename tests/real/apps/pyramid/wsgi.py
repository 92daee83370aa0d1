"""A Pyramid application: routes, traversal, sessions, files, views of exceptions."""

import hashlib
import os

from pyramid.config import Configurator
from pyramid.csrf import get_csrf_token
from pyramid.httpexceptions import HTTPForbidden, HTTPSeeOther
from pyramid.response import FileIter, FileResponse, Response
from pyramid.session import SignedCookieSessionFactory

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


class Node(dict):
    """A tree of resources: every name leads to a node below."""

    def __init__(self, name="", parent=None):
        self.__name__, self.__parent__ = name, parent

    def __getitem__(self, name):
        if name == "leaf-end":
            raise KeyError(name)
        return Node(name, self)


def tree(context, request):
    return {"context": context.__name__, "subpath": list(request.subpath), "view": request.view_name,
            "url": request.resource_url(context), "app": request.application_url}


def where(request):
    again = request.route_url("where", name=request.matchdict["name"], _query={"a": "\u00e9"})
    return {"url": request.url, "route": again,
            "match": request.matchdict, "params": sorted(request.params.mixed().items())}


def count(request):
    request.session["n"] = request.session.get("n", 0) + 1
    if request.session["n"] == 2:
        request.session.flash("twice")
    return {"n": request.session["n"], "flash": request.session.pop_flash()}


def form(request):
    """GET shows a token, POST demands it."""
    if request.method == "GET":
        return Response('<input name="csrf_token" value="%s">' % get_csrf_token(request))
    upload = request.POST["data"]
    digest = hashlib.sha256(upload.file.read()).hexdigest()
    request.session.flash("sent")
    return Response(json_body=[upload.filename, request.POST["title"], digest])


def body(request):
    data = request.body_file.read()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def stream(request):
    return Response(app_iter=(b"%06d\n" % n * 100 for n in range(1000)), content_type="text/plain")


def file(request):
    return FileResponse(os.path.join(DATA, "big.bin"), request=request,
                        content_type="application/octet-stream")


def piece(request):
    source = open(os.path.join(DATA, "big.bin"), "rb")
    source.seek(1000)
    return Response(app_iter=FileIter(source), content_type="application/octet-stream",
                    conditional_response=True, etag="piece")


def away(request):
    raise HTTPSeeOther(location=request.route_path("where", name="x"))


def forbidden(request):
    raise HTTPForbidden("not you")


def broken(request):
    raise RuntimeError("broken on purpose")


def failed(error, request):
    request.response.status = 500
    return {"failed": str(error), "path": request.path}


def missing(request):
    request.response.status = 404
    return {"missing": request.path}


def make():
    sessions = SignedCookieSessionFactory("only for tests", reissue_time=1000)
    with Configurator(root_factory=lambda request: Node(),
                      session_factory=sessions) as config:
        config.add_route("where", "/where/{name:.*}")
        config.add_view(where, route_name="where", renderer="json")
        for view, renderer in ((count, "json"), (body, "json"), (stream, None), (file, None),
                               (piece, None), (away, None), (forbidden, None), (broken, None)):
            config.add_route(view.__name__, "/" + view.__name__)
            config.add_view(view, route_name=view.__name__, renderer=renderer)
        config.add_route("form", "/form")
        config.add_view(form, route_name="form", require_csrf=True)
        config.add_view(tree, context=Node, renderer="json")
        config.add_view(tree, context=Node, name="leaf-end", renderer="json")
        config.add_exception_view(failed, context=RuntimeError, renderer="json")
        config.add_notfound_view(missing, renderer="json")
        return config.make_wsgi_app()


application = make()
