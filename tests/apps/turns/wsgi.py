"""A dialogue: sends a line, then waits for one of the client's, as often as the query string says. With way=log
it says something to the log in between; with way=write it sends through write()."""

from urllib.parse import parse_qsl


def turns(environ, n, way):
    for i in range(n):
        yield b"line %d\n" % i
        if way == "log":
            print(f"turn {i}", file=environ["wsgi.errors"])
        yield environ["wsgi.input"].readline()


def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    lines = turns(environ, int(query["n"]), query["way"])
    if query["way"] == "write":
        for line in lines:
            write(line)
        return []
    return lines
