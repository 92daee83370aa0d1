"""The server starts, both modes answer, and it goes again."""

import signal



def test_alive_01_hello(app):
    rsp = app("hello").get()
    assert (rsp.status, rsp.reason, rsp.body, rsp.complete) == (200, "OK", b"Hello, world!\n", True)
    assert rsp.get("Content-Type") == "text/plain"
    assert rsp.get("Content-Length") == "14"


def test_alive_02_hello_over_a_kept_connection(app):
    hello = app("hello")
    with hello.conn() as conn:
        for _ in range(50):
            rsp = conn.get(hello.url())
            assert rsp.body == b"Hello, world!\n" and not rsp.close


def test_alive_03_http_1_0(app):
    rsp = app("hello").get(version="1.0")
    assert (rsp.status, rsp.body, rsp.complete) == (200, b"Hello, world!\n", True)


def test_alive_04_module_is_known_by_both_names(own_httpd):
    httpd = own_httpd(vhosts={"a": "<IfModule wsgi_module>\nSetEnv A 1\n</IfModule>\n"
                                   "<IfModule !wsgi_module>\nNotADirective\n</IfModule>\n"
                                   "<IfModule !mod_wsgi.c>\nNotADirective\n</IfModule>\n"
                                   "WSGIScriptAlias / @apps@/hello/wsgi.py"})
    assert httpd.fetch("/").status == 200


def test_alive_05_module_without_any_directive_does_nothing(own_httpd):
    httpd = own_httpd()
    assert httpd.fetch("/nothing").status in (403, 404)
    assert not httpd.workers()
    httpd.stop()


def test_alive_06_plain_stop(own_httpd):
    httpd = own_httpd(main="WSGIDaemonProcess g processes=2 threads=2\nWSGIProcessGroup g",
                      vhosts={"a": "WSGIScriptAlias / @apps@/hello/wsgi.py"})
    assert httpd.fetch("/").status == 200
    httpd.stop(signal.SIGTERM)
    assert not httpd.processes()
