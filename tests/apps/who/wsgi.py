"""Tells who answered."""

import json
import os
import threading
import time
from wsgiref.validate import validator

START = time.time()


@validator
def application(environ, start_response):
    import mod_wsgi
    body = json.dumps({
        "pid": os.getpid(), "ppid": os.getppid(), "thread": threading.get_ident(), "start": START,
        "process_group": environ["mod_wsgi.process_group"], "script_name": environ["SCRIPT_NAME"],
        "application_group": environ["mod_wsgi.application_group"], "module_group": mod_wsgi.process_group,
        "multithread": environ["wsgi.multithread"], "multiprocess": environ["wsgi.multiprocess"],
        "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(), "cwd": os.getcwd(),
        "umask": umask(), "path": __import__("sys").path, "prefix": __import__("sys").prefix,
        "version": list(__import__("sys").version_info[:2]), "env": dict(os.environ),
        "file": __file__,
    }).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def umask():
    with open("/proc/self/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("Umask:"):
                return line.split()[1]
    return ""
