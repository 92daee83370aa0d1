"""What applications do with mod_wsgi."""

import threading

import mod_wsgi


def answer(start_response, value):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(value).encode()]


def log(environ, *words):
    print(*words, file=environ["wsgi.errors"])


# -- request_data, active_requests


def data(environ, start_response):
    first = mod_wsgi.request_data()
    first["key"] = environ["QUERY_STRING"]
    return answer(start_response, (mod_wsgi.request_data() is first, mod_wsgi.request_data()))


def data_elsewhere(environ, start_response):
    found = []

    def ask():
        try:
            found.append(mod_wsgi.request_data())
        except RuntimeError as e:
            found.append(str(e))
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answer(start_response, found)


class Last:
    """Looks for its request when it goes with it."""

    def __del__(self):
        print("gone with", sorted(mod_wsgi.request_data()))


def data_that_looks_back(environ, start_response):
    mod_wsgi.request_data()["last"] = Last()
    return answer(start_response, None)


def active(environ, start_response):
    mod_wsgi.request_data()["mark"] = environ["QUERY_STRING"]
    return answer(start_response, dict(mod_wsgi.active_requests))


def active_cleared(environ, start_response):
    mod_wsgi.active_requests.clear()
    return answer(start_response, None)


# -- events

def short(value):
    if isinstance(value, (str, int, type(None))):
        return value
    if isinstance(value, tuple) and len(value) == 3 and isinstance(value[0], type):
        return f"{value[0].__name__} with {'a' if value[2] else 'no'} traceback"
    return type(value).__name__


def names(name, **payload):
    print(name)


def payloads(name, **payload):
    print(name, *(f"{key}={short(payload[key])}" for key in sorted(payload)))


def subscribe(environ, start_response):
    callback = globals()[environ["QUERY_STRING"]]
    same = mod_wsgi.subscribe_events(callback) is callback and callback in mod_wsgi.event_callbacks
    return answer(start_response, same)


def unsubscribe(environ, start_response):
    del mod_wsgi.event_callbacks[:]
    return answer(start_response, None)


def one(environ, start_response):
    environ["wsgi.input"].read()
    start_response("201 Created", [("X-Name", "value")])
    return [b"hello"]


def no_call(environ, start_response):
    return [b"hello"]


def raises(environ, start_response):
    raise KeyError("early")


def raises_late(environ, start_response):
    start_response("200 OK", [])
    yield b"block"
    raise ValueError("late")


class Closing:
    def __iter__(self):
        return iter([b"block"])

    def close(self):
        raise OSError("from close")


def raises_in_close(environ, start_response):
    start_response("200 OK", [])
    return Closing()


def exits(environ, start_response):
    raise SystemExit(3)


def replace(environ, start_response):
    def other(environ, start_response):
        return answer(start_response, ("in its place", environ["added"]))

    def started(name, **payload):
        if name == "request_started":
            payload["request_environ"]["added"] = 1
            return {"application_object": other, "passed_on": "to those after it"}

    def after(name, **payload):
        if name == "request_started":
            print("after:", payload.get("passed_on"), payload["application_object"] is other)
    mod_wsgi.event_callbacks[:] = [started, after]
    return answer(start_response, None)


def failing(environ, start_response):
    def wrong(name, **payload):
        raise LookupError("of the callback")

    def leaves(name, **payload):
        raise SystemExit

    mod_wsgi.event_callbacks[:] = [wrong, leaves, 42, names, lambda name, **payload: {1: 2}, names]
    return answer(start_response, None)


def self_removing(environ, start_response):
    def once(name, **payload):
        mod_wsgi.event_callbacks.remove(once)
        print("once:", name)
    mod_wsgi.event_callbacks[:] = [once]
    return answer(start_response, None)


def data_in_events(environ, start_response):
    seen = []

    def look(name, **payload):
        data = payload["request_data"]
        seen.append(data is mod_wsgi.request_data())
        data["seen"] = data.get("seen", 0) + 1
        print(name, data["seen"], all(seen))
    mod_wsgi.event_callbacks[:] = [look]
    return answer(start_response, None)


def late_print(environ, start_response):
    def look(name, **payload):
        print("unfinished", end="")
    mod_wsgi.event_callbacks[:] = [look]
    return answer(start_response, None)


# -- shutdown, signals


def subscribe_shutdown(environ, start_response):
    group = mod_wsgi.application_group

    def stopping(name, **payload):
        print("group", group, name, sorted(payload.items()))
    mod_wsgi.subscribe_shutdown(stopping)
    return answer(start_response, stopping in mod_wsgi.shutdown_callbacks)


def thread_until_stopped(environ, start_response):
    stop = threading.Event()

    def run():
        stop.wait()
        print("the thread was told")
    threading.Thread(target=run).start()
    mod_wsgi.subscribe_shutdown(lambda name, **payload: stop.set())
    return answer(start_response, None)


def subscribe_signals(environ, start_response):
    group = mod_wsgi.application_group

    def signalled(name, **payload):
        print("group", group, name, sorted(payload.items()))
    mod_wsgi.subscribe_signals(signalled)
    mod_wsgi.subscribe_events(signalled)
    return answer(start_response, signalled in mod_wsgi.signal_callbacks)


# -- LogHandler


def log_handler(environ, start_response):
    import logging
    logger = logging.getLogger("test")
    logger.setLevel(1)
    logger.propagate = False
    handler = mod_wsgi.LogHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    for level in 1, 10, 15, 20, 30, 35, 40, 50, 60:
        logger.log(level, "%d", level)
    logger.error("two\nlines")
    logger.error("na\u00efve \udc80")
    logger.error("%d", "no number")
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("caught")
    logger.removeHandler(handler)
    return answer(start_response, (issubclass(mod_wsgi.LogHandler, logging.Handler), mod_wsgi.LogHandler.__module__,
                                   mod_wsgi.LogHandler is mod_wsgi.LogHandler, "LogHandler" in vars(mod_wsgi)))
