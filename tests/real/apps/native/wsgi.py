"""Extension modules written in C, C++, Cython and Rust; each page uses one of them in earnest."""

import ctypes
import json
import sys
import threading

def interpreter():
    """Which interpreter this is: 0 is the main one."""
    if sys.version_info >= (3, 13):
        import _interpreters
        return int(_interpreters.get_current()[0])
    import _xxsubinterpreters
    return int(_xxsubinterpreters.get_current())


def numpy(environ):
    import numpy as np
    a = np.arange(250_000, dtype=float).reshape(500, 500)
    made = np.random.default_rng(7).standard_normal(1000)
    return {"trace": float(np.trace(a @ a.T)), "solve": np.linalg.solve(np.eye(3) * 2, [2, 4, 6]).tolist(),
            "fft": float(abs(np.fft.fft(made)[1])), "str": np.array2string(np.eye(2)),
            "vectorized": np.vectorize(lambda x: x + 1)([1, 2]).tolist()}


def psycopg2(environ):
    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras
    try:
        psycopg2.connect(host="127.0.0.1", port=1, connect_timeout=2)
        refused = ""
    except psycopg2.OperationalError as e:
        refused = type(e).__name__
    return {"refused": refused, "libpq": psycopg2.__libpq_version__ > 0,
            "adapted": psycopg2.extensions.adapt([1, None, True]).getquoted().decode(),
            "binary": psycopg2.Binary(b"\0\1").getquoted().decode(),
            "range": str(psycopg2.extras.NumericRange(1, 5)),
            "parsed": psycopg2.extensions.parse_dsn("host=h dbname='a b'")}


def lxml(environ):
    from lxml import etree, html
    style = etree.XSLT(etree.XML(
        '<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform">'
        '<x:template match="/"><out><x:value-of select="count(//b)"/></out></x:template></x:stylesheet>'))
    tree = etree.fromstring(b"<a><b>\xc3\xa9</b><b/></a>")
    found = etree.FunctionNamespace(None)
    found["twice"] = lambda context, text: text * 2
    try:
        etree.fromstring(b"<a>")
        error = ""
    except etree.XMLSyntaxError as e:
        error = type(e).__name__
    return {"xslt": str(style(tree)), "xpath": tree.xpath("twice(string(b))"), "error": error,
            "html": html.fromstring("<p>x<br>y").text_content()}


def cryptography(environ):
    from cryptography import x509
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
    box = Fernet(Fernet.generate_key())
    key = rsa.generate_private_key(65537, 2048)
    signed = key.sign(b"text", padding.PKCS1v15(), hashes.SHA256())
    key.public_key().verify(signed, b"text", padding.PKCS1v15(), hashes.SHA256())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(
        x509.NameOID.COMMON_NAME, "app.example")])).sign(ec.generate_private_key(ec.SECP256R1()),
                                                         hashes.SHA256())
    pem = x509.load_pem_x509_csr(request.public_bytes(serialization.Encoding.PEM))
    return {"fernet": box.decrypt(box.encrypt(b"secret")).decode(), "csr": pem.subject.rfc4514_string(),
            "derived": PBKDF2HMAC(hashes.SHA256(), 16, b"salt", 1000).derive(b"password").hex()}


def callback(environ):
    """C code that calls back into Python from a thread of its own asks for the GIL of the main interpreter."""
    libc = ctypes.CDLL(None)
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 5)(5, 3, 4, 1, 2)
    libc.qsort(numbers, 5, ctypes.sizeof(ctypes.c_int), kind(lambda a, b: a[0] - b[0]))
    done = []
    body = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: done.append(len(done)))
    ids = [ctypes.c_ulong() for _ in range(3)]
    for one in ids:
        assert libc.pthread_create(ctypes.byref(one), None, body, None) == 0
    for one in ids:
        libc.pthread_join(one, None)
    return {"sorted": list(numbers), "threads": done}


def sqlite(environ):
    import sqlite3
    db = sqlite3.connect(":memory:")
    db.create_function("twice", 1, lambda x: x * 2)
    return {"sum": db.execute("select sum(twice(x)) from (select 1 x union select 20)").fetchone()}


PAGES = {page.__name__: page for page in (numpy, psycopg2, lxml, cryptography, callback, sqlite)}


def where(environ):
    import mod_wsgi
    return {"interpreter": interpreter(), "process_group": mod_wsgi.process_group,
            "application_group": environ["mod_wsgi.application_group"],
            "main_thread": threading.current_thread() is threading.main_thread()}


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    body = json.dumps((where if name == "where" else PAGES[name])(environ), sort_keys=True).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
