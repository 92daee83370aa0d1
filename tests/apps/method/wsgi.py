"""Says by which method it was asked, in a field of the header and in a body that is worth compressing."""


def application(environ, start_response):
    method = environ["REQUEST_METHOD"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Method", method), ("ETag", '"method"')])
    return [] if method == "HEAD" else [(method + " ").encode("ascii") * 1000]
