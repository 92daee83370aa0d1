"""Writes to wsgi.errors and the standard streams."""

import sys
import threading
from urllib.parse import parse_qsl
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain"), ("Content-Length", "2")]


@validator
def application(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    word, way = query["word"], query["way"]
    errors = environ["wsgi.errors"]
    if way == "errors":
        errors.write(f"{word} one\n{word} two\n")
        errors.writelines([f"{word} three\n", f"{word} four\n"])
    elif way == "print":
        print(word, "printed", file=errors)
    elif way == "stdout":
        print(word, "printed")
    elif way == "stderr":
        print(word, "printed", file=sys.stderr)
    elif way == "partial":
        errors.write(f"{word} ")
        errors.write("in ")
        errors.write("parts")
    elif way == "flush":
        errors.write(f"{word} first")
        errors.flush()
        errors.write(f"{word} second\n")
    elif way == "unicode":
        errors.write(f"{word} caf\xe9 \u2603\n")
    elif way == "control":
        errors.write(f"{word} a\rb\x1b[31mc\0d\n")
    elif way == "long":
        errors.write(f"{word} " + "x" * 50000 + "\n")
    elif way == "many":
        for i in range(500):
            errors.write(f"{word} line {i}\n")
    elif way == "empty":
        errors.write("\n\n")
        errors.write("")
        errors.write(f"{word} after\n")
    elif way == "thread":
        t = threading.Thread(target=print, args=(word, "threaded"), kwargs={"file": sys.stderr})
        t.start()
        t.join()
    start_response("200 OK", TEXT)
    return [b"ok"]
