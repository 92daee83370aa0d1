"""Notes when it starts, reads the first n bytes, answers at once or reads on; notes how reading ended."""

from urllib.parse import parse_qsl


def note(environ, query, name, text):
    with open(f"{environ['MWTEST_TMP']}/{query['key']}.{name}", "a", encoding="utf-8") as f:
        f.write(text)


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    note(environ, query, "started", "started\n")
    got = environ["wsgi.input"].read(int(query["n"]))
    note(environ, query, "first", f"{len(got)}\n")
    if query.get("then") == "rest":
        try:
            got += environ["wsgi.input"].read()
            note(environ, query, "rest", f"got {len(got)}\n")
        except Exception as e:
            note(environ, query, "rest", f"{type(e).__mro__} {e}\n")
            raise
    body = b"%d" % len(got)
    start_response(query.get("status", "200 OK"), [("Content-Type", "text/plain"),
                                                   ("Content-Length", str(len(body)))])
    return [body]
