"""Requests within requests, stopped processes, children that outlive their place: nobody is left waiting."""

import os
import signal
import time

from harness import procs, wait
from test_50_daemon import background, holding, one_group, ready

PAGE = '''
def application(environ, start_response):
    body = b'<p><!--#include virtual="/hello" --></p>'
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]
'''
INCLUDES = """
    WSGIScriptAlias /page @apps@/page/wsgi.py
    <Location /page>
        Options +Includes
        SetOutputFilter INCLUDES
    </Location>
"""


def test_survival_01_an_answer_that_includes_another(own_httpd):
    """The thread of httpd that passes the one on asks for the other."""
    httpd = own_httpd.make(**one_group("processes=1 threads=2", vhost=INCLUDES), modules=("include", "filter"))
    os.mkdir(httpd.path("apps", "page"))
    with open(httpd.path("apps", "page", "wsgi.py"), "w", encoding="utf-8") as f:
        f.write(PAGE)
    httpd.start()
    ready(httpd, 1)
    for _ in range(3):
        assert httpd.fetch("/page").body == b"<p>Hello, world!\n</p>"


def test_survival_02_a_stopped_worker_does_not_outlive_the_server(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2 shutdown-timeout=1"))
    pids = ready(httpd, 2)
    os.kill(min(pids), signal.SIGSTOP)
    httpd.log.allow("WSGI0565", "WSGI0563")
    httpd.stop(signal.SIGTERM)


def test_survival_03_stop_does_not_wait_for_requests_in_the_queue(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=1 shutdown-timeout=1 queue-timeout=60"))
    httpd.log.allow("AH00045", "AH00046", "AH00047", "WSGI")
    ready(httpd, 1)
    with holding(httpd) as hold:
        hold.take(1)
        with background() as waiting:
            waiting.start(httpd.port(), "/hello")
            time.sleep(0.5)
            since = time.monotonic()
            httpd.stop(signal.SIGTERM)
            took = time.monotonic() - since
    assert took < 5, took
