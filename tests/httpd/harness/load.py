"""Clients that ask without a pause, for tests of what happens meanwhile."""

import threading

from . import wait


class Load:
    """Clients that ask without a pause over kept connections and remember every failure.

    A connection that the server closes between two requests is no failure (RFC 9112 9.3.1: the client
    sends again); a request that got any part of an answer and not all of it is one.
    """

    def __init__(self, httpd, n=3, path="/hello", body=b"Hello, world!\n"):
        self.httpd = httpd
        self.path = path
        self.body = body
        self.done = 0
        self.failures = []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(n)]

    def _run(self):
        conn = None
        while not self.ending.is_set():
            try:
                if conn is None:
                    conn = self.httpd.conn()
                conn.request("GET", self.path)
                rsp = conn.response()
                if rsp is None:  # closed while idle
                    conn.close()
                    conn = None
                    continue
                if rsp.status != 200 or not rsp.complete or self.body is not None and rsp.body != self.body:
                    self.failures.append(rsp)
                self.done += 1
                if rsp.close:
                    conn.close()
                    conn = None
            except (BrokenPipeError, ConnectionResetError):
                conn.close()
                conn = None
            except Exception as e:  # pylint: disable=broad-except
                self.failures.append(e)
                conn = None
        if conn:
            conn.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.more(10)
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join()

    def more(self, n):
        goal = self.done + n
        wait.until(lambda: self.done >= goal or self.failures, 20, "answers under load")
