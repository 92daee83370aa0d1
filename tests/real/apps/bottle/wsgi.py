"""A Bottle application."""

import hashlib
import os

from bottle import (Bottle, HTTPResponse, abort, auth_basic, redirect, request, response, static_file,
                    template)

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")

app = application = Bottle()


@app.get("/")
def index():
    return template("<p>{{script}}|{{path}} {{url}}", script=request.script_name, path=request.path,
                    url=request.url)


@app.get("/hello/<name>")
def hello(name):
    return {"name": name, "query": dict(request.query.decode())}


@app.get("/visits")
def visits():
    n = int(request.get_cookie("visits", default=0, secret="only for tests")) + 1
    response.set_cookie("visits", str(n), secret="only for tests")
    response.set_cookie("plain", "cookie")
    return str(n)


@app.get("/secret")
@auth_basic(lambda user, password: (user, password) == ("ada", "l\u00f6velace"))
def secret():
    return "for %s only" % request.auth[0]


@app.post("/upload")
def upload():
    data = request.files.data
    block = data.file.read()
    return {"name": data.filename, "raw": data.raw_filename, "size": len(block),
            "title": request.forms["title"], "sha256": hashlib.sha256(block).hexdigest()}


@app.route("/body", method=["POST", "PUT", "PATCH"])
def body():
    block = request.body.read()
    return {"method": request.method, "size": len(block), "sha256": hashlib.sha256(block).hexdigest(),
            "chunked": request.chunked}


@app.get("/files/<name:path>")
def files(name):
    return static_file(name, root=DATA, mimetype="application/octet-stream")


@app.get("/download")
def download():
    return static_file("big.bin", root=DATA, download="saved.bin")


@app.get("/stream")
def stream():
    yield "first "
    for n in range(1000):
        yield "%d " % n
    yield "last"


@app.get("/bytes")
def raw_bytes():
    response.content_type = "application/octet-stream"
    return bytes(range(256)) * 100


@app.get("/open")
def open_file():
    """A bare file: Bottle hands it to wsgi.file_wrapper."""
    return open(os.path.join(DATA, "big.bin"), "rb")


@app.get("/teapot")
def teapot():
    return HTTPResponse("short and stout", status="418 I am a teapot", X_Tea="Earl Grey")


@app.get("/away")
def away():
    redirect("hello/you")


@app.get("/denied")
def denied():
    abort(403, "Not for you: \u00fc")


@app.get("/broken")
def broken():
    raise RuntimeError("broken on purpose")


@app.error(404)
def missing(error):
    return "nothing at %s" % request.path
