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


def spin(seconds):
    """Wall-clock time in byte code."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return seconds


def stay(path):
    """In one call into C after the other, so that an exception comes soon."""
    end = time.monotonic() + 30
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)
    return "stayed"


def stick(path):
    """In a call into C that no exception can end, until somebody opens the pipe for writing."""
    with open(path, "rb") as f:
        return f.read().decode("ascii")


def hold_gil(seconds):
    """In C code that has Python's lock and does not give it away."""
    import ctypes
    return ctypes.PyDLL(None).usleep(int(seconds * 1e6))


ACTS = {"allocate": lambda v: allocate(int(v)), "burn": lambda v: burn(float(v)),
        "spin": lambda v: spin(float(v)), "stay": stay, "stick": stick,
        "hold_gil": lambda v: hold_gil(float(v))}


FOLDERS = set()


def tell_of_end(name, **payload):
    """What applications are told of the end of their process."""
    for folder in FOLDERS:
        with open(os.path.join(folder, f"ended.{os.getpid()}"), "w", encoding="ascii") as f:
            f.write(payload["shutdown_reason"])


def subscribe():
    import mod_wsgi
    mod_wsgi.subscribe_shutdown(tell_of_end)


subscribe()


def streams(query):
    yield b"begun\n"
    stay(query["streams"])
    yield b"not to be seen\n"


@validator
def application(environ, start_response):
    import mod_wsgi
    FOLDERS.add(environ["MWTEST_TMP"])
    if "streams" in environ["QUERY_STRING"]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return streams(dict(parse_qsl(environ["QUERY_STRING"])))
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
