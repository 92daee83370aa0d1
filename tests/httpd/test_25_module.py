"""What applications get from `import mod_wsgi` and `import apache`, and what they are told of requests and of
their process. The engine's own tests of the module are in tests/engine/test_module.c."""

import os
import re
import signal
import subprocess

import pytest

from harness import procs, server, wait
from test_22_interpreter import Code, with_code

# Log ids are made when a line with %L is logged; httpd's own lines about authorization come before the application.
LOG_IDS = """
    LogLevel authz_core:debug
    ErrorLogFormat "[%{u}t] [%-m:%l] [pid %P] [id %L] %M"
"""


@pytest.fixture(scope="module")
def code(httpd):
    return Code(httpd(**with_code("", "processes=3", vhost=LOG_IDS)))


@pytest.fixture
def one(own_httpd):
    """A group of one process and one child of httpd that only this test uses."""
    only = "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\nMinSpareServers 1\nMaxSpareServers 1\n"
    httpd = own_httpd(**with_code(mpm_config=only if server.MPM == "prefork" else None))
    httpd.log.allow("AH00161")  # "server reached MaxRequestWorkers"
    return Code(httpd)


def built():
    """What httpd says of itself: (date, version)."""
    out = subprocess.run([server.APACHE, "-v"], capture_output=True, text=True, check=True).stdout
    return re.search(r"built:\s*(.*)", out)[1], re.search(r"Apache/([0-9.]+)", out)[1]


# -- attributes


@pytest.mark.parametrize("path", ["/code", "/main", "/sub"])
def test_module_01_process_and_interpreter(code, mode, path):
    found = code("""
import mod_wsgi
result = dict(version=mod_wsgi.version, process=mod_wsgi.process_group, application=mod_wsgi.application_group,
              same=[environ["mod_wsgi.version"], environ["mod_wsgi.process_group"],
                    environ["mod_wsgi.application_group"]],
              processes=mod_wsgi.maximum_processes, threads=mod_wsgi.threads_per_process)
""", mode, path)
    assert found["same"][:2] == [found["version"], found["process"]] == [
        [6, 0, 5], "group" if mode == "daemon" else ""]
    if mode == "embedded" or path != "/main":  # in a daemon process /code shares the main interpreter, by its name
        assert found["same"][2] == found["application"]
    assert found["same"][2] == {"/main": "", "/sub": "sub"}.get(path, found["application"])
    assert found["application"] != "" or path == "/main"
    mpm = {"prefork": (24, 1)}.get(server.MPM, (4, 10))
    assert (found["processes"], found["threads"]) == ((3, 3) if mode == "daemon" else mpm)


def test_module_02_apache_tells_of_httpd_in_both_modes(code, mode):
    found = code("""
import apache
result = dict(version=apache.version, description=apache.description, built=apache.build_date, mpm=apache.mpm_name,
              processes=apache.maximum_processes, threads=apache.threads_per_process,
              same=[environ["apache.version"], environ["SERVER_SOFTWARE"]])
""", mode)
    date, version = built()
    assert found["same"] == [found["version"], found["description"]]
    assert found["version"] == [int(n) for n in version.split(".")]
    assert found["built"] == date
    assert found["mpm"] == server.MPM
    assert (found["processes"], found["threads"]) == {"prefork": (24, 1)}.get(server.MPM, (4, 10))


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_module_03_types_and_functions(code, mode, path):
    found = code("""
import logging, mod_wsgi
result = [issubclass(mod_wsgi.RequestTimeout, BaseException), issubclass(mod_wsgi.RequestTimeout, Exception),
          issubclass(mod_wsgi.LogHandler, logging.Handler), mod_wsgi.FileWrapper is environ["wsgi.file_wrapper"],
          mod_wsgi.event_callbacks, mod_wsgi.shutdown_callbacks, mod_wsgi.signal_callbacks]
""", mode, path)
    assert found == [True, False, True, True, [], [], []]


def test_module_04_request_data_and_active_requests(code, mode):
    found = code("""
import mod_wsgi
mod_wsgi.request_data()["mark"] = 7
id = environ["mod_wsgi.request_id"]
result = [mod_wsgi.request_data(), mod_wsgi.active_requests[id] is mod_wsgi.request_data(),
          list(mod_wsgi.active_requests) == [id]]
""", mode)
    assert found == [{"mark": 7}, True, True]
    for _ in range(6):
        left = code("""
import mod_wsgi
result = [len(mod_wsgi.active_requests), mod_wsgi.request_data()]
""", mode)
        assert left == [1, {}]


# -- a package of that name


@pytest.fixture(scope="module")
def packaged(httpd):
    made = httpd.make(**with_code("WSGIPythonPath @dir@/site", "python-path=@dir@/site"))
    os.makedirs(made.path("site", "mod_wsgi", "express"))
    for name, text in (("__init__.py", "raise ImportError('the package itself must not run')\n"),
                       ("tool.py", "value = 'of the package'\n"), ("express/__init__.py", "import mod_wsgi.tool\n")):
        with open(made.path("site", "mod_wsgi", name), "w", encoding="ascii") as f:
            f.write(text)
    return Code(made.start())


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_module_05_only_the_path_of_a_package_is_adopted(packaged, mode, path):
    found = packaged("""
import mod_wsgi, mod_wsgi.express
from mod_wsgi import tool
result = [mod_wsgi.version, tool.value, mod_wsgi.__path__, hasattr(mod_wsgi, "__file__")]
""", mode, path)
    assert found == [[6, 0, 5], "of the package", [packaged.httpd.path("site", "mod_wsgi")], False]


def test_module_06_without_a_package(code, mode):
    found = code("""
import mod_wsgi
try:
    import mod_wsgi.express
except ModuleNotFoundError as e:
    result = [str(e), hasattr(mod_wsgi, "__path__")]
""", mode)
    assert found == ["No module named 'mod_wsgi.express'; 'mod_wsgi' is not a package", False]


# -- events

SUBSCRIBE = """
import mod_wsgi
def told(name, **payload):
    print({word!r}, name, *(f"{{key}}={{payload[key]}}" for key in sorted(payload)
                            if type(payload[key]) in (str, int)))
mod_wsgi.subscribe_{what}(told)
"""


def test_module_07_events_of_requests_in_the_right_log(one, mode, nonce):
    word, log = nonce(), one.httpd.log
    log.allow(word)
    one(SUBSCRIBE.format(word=word, what="events"), mode)
    log.wait(f"{word} request_finished", log=f"{mode}.log")
    since = log.mark()
    one("result = environ['wsgi.input'].read().decode()", mode)
    finished = log.wait(f"{word} request_finished", since, f"{mode}.log").full
    lines = [line.text.partition(word)[2] for line in log.find(word, since, f"{mode}.log")]
    assert [line.split()[0] for line in lines] == ["request_started", "response_started", "request_finished"]
    assert "callable_object=application" in lines[0]
    assert "response_status=200 OK" in lines[1]
    pids = one.httpd.children()
    assert int(re.search(r"server_pid=(\d+)", lines[0])[1]) in pids
    assert re.search(r"input_length=46 output_length=2 .*status=200 thread_id=\d", finished), finished


def test_module_08_an_exception_is_told_and_the_answer_is_500(one, mode, nonce):
    word, log = nonce(), one.httpd.log
    log.allow(word, "WSGI0174", traceback=True)
    one(SUBSCRIBE.format(word=word, what="events"), mode)
    one("1 / 0", mode, status=500)
    log.wait(f"{word} request_exception", log=f"{mode}.log")
    log.wait(f"{word} request_finished.* status=0", log=f"{mode}.log")


def test_module_09_a_replaced_application(one, mode):
    one("""
import mod_wsgi
def other(environ, start_response):
    start_response("200 OK", [])
    return [b'"' + environ["added"].encode() + b'"']
def started(name, **payload):
    if name == "request_started":
        payload["request_environ"]["added"] = "by a callback"
        return {"application_object": other}
mod_wsgi.subscribe_events(started)
""", mode)
    assert one("result = 1", mode) == "by a callback"


# -- the end of the process, and signals


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_module_10_told_that_the_server_stops(one, mode, path, nonce):
    word, log = nonce(), one.httpd.log
    log.allow(word)
    one(SUBSCRIBE.format(word=word, what="shutdown") + f"""
import atexit
atexit.register(print, {word!r}, "atexit")
""", mode, path)
    one.httpd.stop()
    lines = [line.text.partition(word)[2].strip() for line in log.find(word)]
    reason = "shutdown_signal" if mode == "daemon" else ""
    assert lines == [f"process_stopping shutdown_reason={reason}", "atexit"]


def worker_of(code):
    return code("import os\nresult = os.getpid()", "daemon")


@pytest.mark.parametrize("way,reason", [("USR1", "graceful_signal"), ("TERM", "shutdown_signal"),
                                        ("reload", "script_reload")])
def test_module_11_told_why_a_worker_stops(one, nonce, way, reason):
    word, log = nonce(), one.httpd.log
    log.allow(word)
    pid = worker_of(one)
    one(SUBSCRIBE.format(word=word, what="shutdown"), "daemon")
    if way == "reload":
        os.utime(one.httpd.path("apps", "code", "wsgi.py"), (1, 1))
    else:
        procs.kill(pid, getattr(signal, f"SIG{way}"))
    wait.until(lambda: not procs.alive(pid) or worker_of(one) != pid, what="another worker")
    log.wait(f"{word} process_stopping shutdown_reason={reason}")


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_module_12_signals_for_applications(one, nonce, path):
    word, log = nonce(), one.httpd.log
    log.allow(word)
    pid = worker_of(one)
    procs.kill(pid, signal.SIGHUP)  # nobody listens: nothing happens
    one(SUBSCRIBE.format(word=word, what="signals"), "daemon", path)
    procs.kill(pid, signal.SIGHUP)
    log.wait(f"{word} process_signal signame=SIGHUP signum=1", log="main.log")
    procs.kill(pid, signal.SIGUSR2)
    log.wait(f"{word} process_signal signame=SIGUSR2 signum=12", log="main.log")
    assert worker_of(one) == pid


def test_module_13_signals_are_not_for_embedded_mode(one):
    log = one.httpd.log
    assert one("""
import mod_wsgi
mod_wsgi.subscribe_signals(print)
result = mod_wsgi.signal_callbacks
""", "embedded") == []
    line = log.wait("WSGI0206", log="embedded.log")
    assert line.level == "info"
    log.wait(r"mod_wsgi\.subscribe_signals\(print\)|body.py", log="embedded.log")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_module_14_signals_of_forked_processes_are_theirs(one, number):
    pid = worker_of(one)
    status = one(f"""
import os, time
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
time.sleep(.1)
os.kill(child, {int(number)})
result = os.waitpid(child, 0)[1]
""", "daemon")
    assert os.WTERMSIG(status) == number
    assert worker_of(one) == pid and procs.alive(pid)


# -- LogHandler


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_module_15_log_handler_keeps_levels(own_httpd, mode, path, nonce):
    code = Code(own_httpd(**with_code("LogLevel wsgi:debug")))
    word, log = nonce(), code.httpd.log
    log.allow(word)
    code(f"""
import logging, mod_wsgi
logger = logging.getLogger("test")
logger.setLevel("DEBUG")
logger.addHandler(mod_wsgi.LogHandler())
logger.propagate = False
for level in "debug", "info", "warning", "error", "critical":
    getattr(logger, level)("%s %s", {word!r}, level)
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("%s caught", {word!r})
""", mode, path)
    log.wait("^.*ZeroDivisionError", log=f"{mode}.log")
    log.allow("WSGI", traceback=True)
    found = [(line.level, line.text.partition(word)[2].strip()) for line in log.find(word, log=f"{mode}.log")]
    assert found == [("debug", "debug"), ("info", "info"), ("warn", "warning"), ("error", "error"),
                     ("crit", "critical"), ("error", "caught")]


def test_module_20_log_handler_tells_file_and_line(own_httpd, mode, nonce):
    code = Code(own_httpd(**with_code(vhost='ErrorLogFormat "[%-m:%l] %F: %M"\n')))
    word, log = nonce(), code.httpd.log
    log.allow(word)
    code(f"""
import logging, mod_wsgi
logger = logging.getLogger("test")
logger.addHandler(mod_wsgi.LogHandler())
logger.propagate = False
logger.error({word!r})
""", mode)
    log.wait(word, log=f"{mode}.log")
    with open(code.httpd.path("logs", f"{mode}.log"), encoding="ascii") as f:
        lines = [line for line in f if word in line]
    assert lines == [f"[wsgi:error] body.py(6): {word}\n"]


# -- a module apache of one's own


def with_apache(httpd, text):
    made = httpd.make(**with_code("WSGIPythonPath @dir@/site", "python-path=@dir@/site"))
    os.mkdir(made.path("site"))
    with open(made.path("site", "apache.py"), "w", encoding="ascii") as f:
        f.write(text)
    return made


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_module_16_a_module_apache_is_imported_in_embedded_mode_only(own_httpd, mode, path):
    httpd = with_apache(own_httpd, "own = __name__\nversion = 'its own'\n").start()
    found = Code(httpd)("""
import apache
result = [getattr(apache, "own", None), list(apache.version) == list(environ["apache.version"])]
""", mode, path)
    assert found == ["apache" if mode == "embedded" else None, True]


def test_module_17_a_module_apache_that_fails_is_said_and_not_used(own_httpd, mode):
    httpd = with_apache(own_httpd, "own = 1\nraise RuntimeError('not today')\n")
    httpd.log.allow("WSGI0800|not today|Traceback|apache.py|raise RuntimeError|frozen importlib")
    httpd.start()
    found = Code(httpd)("""
import apache
result = [hasattr(apache, "own"), hasattr(apache, "mpm_name")]
""", mode)
    assert found == [False, True]
    httpd.fetch("/sub", "embedded", method="POST", body=b"")
    assert httpd.log.find("WSGI0800: RuntimeError.*module 'apache'")


# -- WSGIPassApacheRequest


CAPSULE = """
import ctypes
pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
"""


def test_module_18_the_record_of_the_request(own_httpd, mode):
    httpd = own_httpd(**with_code(vhost="<Location /main>\nWSGIPassApacheRequest On\n</Location>\n"))
    run = Code(httpd)
    assert run("result = 'apache.request_rec' in environ", mode, "/sub") is False
    found = run(CAPSULE + """
kept = environ.get("apache.request_rec")
import mod_wsgi
mod_wsgi.kept = kept
result = kept is not None and bool(pointer(kept, None))
""", mode, "/main")
    assert found == (mode == "embedded")


def test_module_19_a_record_that_was_kept_is_invalid(own_httpd):
    only = "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\nMinSpareServers 1\nMaxSpareServers 1\n"
    httpd = own_httpd(**with_code(vhost="WSGIPassApacheRequest On\n",
                                  mpm_config=only if server.MPM == "prefork" else None))
    httpd.log.allow("AH00161")
    run = Code(httpd)
    run("import mod_wsgi\nmod_wsgi.kept = environ['apache.request_rec']", "embedded", "/main")
    said = ""
    for _ in range(200):  # another child may answer
        said = run(CAPSULE + """
import mod_wsgi
try:
    result = bool(pointer(mod_wsgi.kept, None)) if hasattr(mod_wsgi, "kept") else ""
except ValueError as e:
    result = str(e)
""", "embedded", "/main")
        if said != "":
            break
    assert "incorrect name" in str(said)
