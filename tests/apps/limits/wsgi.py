"""Meets limits: tells of those it has, and does what the query says to run into one of them."""

import json
import os
import resource
import time
from urllib.parse import parse_qsl
from wsgiref.validate import validator

LIMITS = {"cpu": resource.RLIMIT_CPU, "data": resource.RLIMIT_DATA, "as": resource.RLIMIT_AS}


def allocate(amount):
    try:
        return len(bytearray(amount))
    except MemoryError:
        return "MemoryError"


def burn(seconds):
    """CPU time, in pieces that let others have the GIL."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))
    return time.process_time()


ACTS = {"allocate": lambda v: allocate(int(v)), "burn": lambda v: burn(float(v))}


@validator
def application(environ, start_response):
    import mod_wsgi
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    body = json.dumps({
        "pid": os.getpid(), "limits": {k: resource.getrlimit(v) for k, v in LIMITS.items()},
        "priority": os.getpriority(os.PRIO_PROCESS, 0), "groups": sorted(os.getgroups()), "gid": os.getgid(),
        "run_once": environ["wsgi.run_once"], "processes": mod_wsgi.maximum_processes,
        "threads": mod_wsgi.threads_per_process,
        "did": {k: ACTS[k](v) for k, v in query.items() if k in ACTS},
    }).encode("ascii")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
