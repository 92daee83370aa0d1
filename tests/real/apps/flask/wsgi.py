"""A Flask application: a blueprint, sessions, streams, uploads, files, errors."""

import hashlib
import io
import os

from flask import (Blueprint, Flask, Response, abort, flash, get_flashed_messages, jsonify, redirect,
                   render_template_string, request, send_file, session, stream_with_context, url_for)

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data")

app = application = Flask(__name__)
app.secret_key = "only for tests"
app.config["MAX_CONTENT_LENGTH"] = 16 << 20


@app.route("/")
def index():
    return render_template_string(
        "<p>{{ url_for('index') }} {{ url_for('notes.show', name='\u00e9 b') }} "
        "{{ url_for('index', _external=True) }} {{ request.script_root }}|{{ request.path }}")


notes = Blueprint("notes", __name__, url_prefix="/notes")


@notes.route("/<path:name>", methods=["GET", "PUT", "DELETE"])
def show(name):
    return jsonify(name=name, method=request.method, args=request.args.to_dict(flat=False),
                   text=request.get_data(as_text=True), url=request.url, base=request.base_url)


app.register_blueprint(notes)


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "POST":
        session["user"] = request.form["user"]
        session["visits"] = 0
        flash("Welcome, %s" % request.form["user"])
        return redirect(url_for("me"))
    return '<form method="post"><input name="user"></form>'


@app.route("/me")
def me():
    if "user" not in session:
        abort(401)
    session["visits"] += 1
    return jsonify(user=session["user"], visits=session["visits"], flashed=get_flashed_messages())


@app.route("/logout", methods=["POST"])
def logout():
    session.clear()
    return redirect(url_for("index"), 303)


@app.route("/upload", methods=["POST"])
def upload():
    return jsonify(form=request.form.to_dict(flat=False), files=[
        [key, f.filename, f.mimetype, len(data), hashlib.sha256(data).hexdigest()]
        for key, f in request.files.items(multi=True) for data in [f.read()]])


@app.route("/raw", methods=["POST", "PUT"])
def raw():
    """The body as it comes, without a word about its length."""
    digest, size = hashlib.sha256(), 0
    for block in iter(lambda: request.stream.read(10007), b""):
        digest.update(block)
        size += len(block)
    return jsonify(size=size, sha256=digest.hexdigest())


@app.route("/lines", methods=["POST"])
def lines():
    return jsonify([line.decode() for line in request.environ["wsgi.input"]][:5])


@app.route("/stream/<int:n>")
def stream(n):
    @stream_with_context
    def generate():
        for i in range(n):
            yield "%s %d %s\n" % (request.args.get("word", "-"), i, "." * 50)
    return Response(generate(), mimetype="text/plain")


@app.route("/echo", methods=["POST"])
def echo():
    """Every block goes back as it comes in, while the rest is still to come."""
    source = request.stream

    def generate():
        for block in iter(lambda: source.read(32768), b""):
            yield block
    return Response(generate(), mimetype="application/octet-stream")


@app.route("/file")
def file():
    return send_file(os.path.join(DATA, "big.bin"), mimetype="application/octet-stream",
                     as_attachment=True, download_name="b\u00efg.bin")


@app.route("/memory")
def memory():
    return send_file(io.BytesIO(b"0123456789" * 2000), mimetype="text/plain", etag=False)


@app.route("/headers")
def headers():
    rsp = jsonify({k: v for k, v in request.headers.items() if k.startswith(("X-", "Accept"))})
    rsp.headers.add("X-Twice", "first")
    rsp.headers.add("X-Twice", "second")
    rsp.headers["X-Latin"] = "gr\u00fc\u00df"
    rsp.set_cookie("a", "1", httponly=True)
    rsp.set_cookie("b", "zw\u00f6lf", samesite="Strict")
    return rsp


@app.route("/status/<int:code>")
def status(code):
    abort(code) if code >= 400 else None
    return "", code


@app.route("/broken")
def broken():
    raise RuntimeError("broken on purpose")


@app.errorhandler(404)
def missing(error):
    return "No %s here" % request.path, 404


@app.errorhandler(500)
def failed(error):
    return {"failed": type(error.original_exception).__name__}, 500
