"""What the configuration says about the interpreter, and what an application finds of it."""

import json
import os
import re
import subprocess
import sys

import pytest

from conftest import MODES, Notes
from harness import client, pythons, server, wait

GROUP = "group"
root_only = pytest.mark.skipif(not server.ROOT, reason="only root can become somebody else")

# The body of a request for tests/apps/code that tells what a sub-interpreter or the main one has.
STATE = """
import sys, os, signal
result = dict(argv=sys.argv, optimize=sys.flags.optimize, debug=__debug__, prefix=sys.prefix,
              base=sys.base_prefix, write=not sys.dont_write_bytecode, utf8=sys.flags.utf8_mode,
              hash=hash("spam"), warn=sys.warnoptions, interval=sys.getswitchinterval(), path=sys.path,
              eggs=os.environ.get("PYTHON_EGG_CACHE"), version=list(sys.version_info[:2]),
              pid=os.getpid(), encoding=sys.getfilesystemencoding(), executable=sys.executable)
"""


class Code:
    """Runs Python in a server, by tests/apps/code."""

    def __init__(self, httpd):
        self.httpd = httpd

    def __call__(self, source, mode=None, path="/code", status=200):
        rsp = self.httpd.fetch(path, mode, method="POST", body=source.encode())
        assert rsp.status == status, rsp.body + self.httpd.tail().encode()
        return json.loads(rsp.body) if status == 200 else rsp


def with_code(main="", options="", vhost="", **kw):
    """Arguments of a server that runs code in both modes: /code in the application's own interpreter, /main in
    the main one."""
    text = ("WSGIScriptAlias /code @apps@/code/wsgi.py\n"
            "WSGIScriptAlias /main @apps@/code/wsgi.py application-group=%{GLOBAL}\n"
            "WSGIScriptAlias /sub @apps@/code/wsgi.py application-group=sub\n" + vhost)
    return dict(main=f"WSGIDaemonProcess {GROUP} threads=3 {options}\n{main}",
                vhosts={"embedded": text, "daemon": f"WSGIProcessGroup {GROUP}\n{text}"}, **kw)


@pytest.fixture(scope="module")
def plain(httpd):
    return Code(httpd(**with_code()))


@pytest.fixture(scope="module")
def told(httpd):
    """A server whose configuration says something about everything."""
    return Code(httpd(**with_code("""
        WSGIPythonOptimize 2
        WSGIPythonHashSeed 7
        WSGIDontWriteBytecode On
        WSGIPythonWarnings error::UserWarning
        WSGIPythonWarnings "ignore:not this:UserWarning"
        WSGIPythonEggs @tmp@/eggs-embedded
        WSGIRestrictStdin On
        WSGIRestrictStdout On
        WSGISwitchInterval 0.01
        """, "switch-interval=.02 python-eggs=@tmp@/eggs-daemon")))


# -- defaults, and each setting


@pytest.mark.parametrize("path", ["/code", "/main", "/sub"])
def test_interpreter_01_defaults(plain, mode, path):
    state = plain(STATE, mode, path)
    assert state["argv"] == ["mod_wsgi"]
    assert (state["optimize"], state["debug"], state["write"], state["warn"]) == (0, True, True, [])
    assert (state["utf8"], state["encoding"]) == (1, "utf-8")
    assert state["interval"] == pytest.approx(0.005)
    assert state["eggs"] is None
    assert state["version"] == list(pythons.default())


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_interpreter_02_optimize(told, mode, path):
    state = told(STATE, mode, path)
    assert (state["optimize"], state["debug"]) == (2, False)
    assert told('def f():\n "text"\nassert False\nresult = f.__doc__', mode, path) is None


def test_interpreter_03_a_hash_seed_that_is_a_number(told):
    code = "print(hash('spam'))"
    expected = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, check=True,
                              env={"PYTHONHASHSEED": "7"})
    found = {told(STATE, mode, path)["hash"] for mode in MODES for path in ("/main", "/sub")}
    assert found == {int(expected.stdout)}


def test_interpreter_04_hash_seeds_differ_between_processes(plain):
    found = {}
    for mode in MODES:
        for path in ("/main", "/sub"):
            state = plain(STATE, mode, path)
            found.setdefault(state["pid"], set()).add(state["hash"])
    assert all(len(hashes) == 1 for hashes in found.values()), "one process has one seed"
    assert len(found) >= 2 and len(set.union(*found.values())) == len(found)


def test_interpreter_05_random_is_random_even_where_the_environment_says_otherwise(own_httpd):
    code = Code(own_httpd(**with_code("WSGIPythonHashSeed random\nWSGIDaemonProcess other",
                                      vhost="WSGIScriptAlias /other @apps@/code/wsgi.py process-group=other\n",
                                      env={"PYTHONHASHSEED": "5"})))
    found = [code(STATE, "embedded")["hash"], code(STATE, "daemon")["hash"],
             code(STATE, "embedded", "/other")["hash"]]
    assert len(set(found)) == 3, found


def test_interpreter_06_seed_0_and_the_seed_of_the_environment(own_httpd):
    def spam(seed):
        return int(subprocess.run(["/usr/bin/python3", "-c", "print(hash('spam'))"], capture_output=True,
                                  text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout)
    code = Code(own_httpd(**with_code("WSGIPythonHashSeed 0")))
    assert {code(STATE, mode)["hash"] for mode in MODES} == {spam("0")}
    code = Code(own_httpd(**with_code(env={"PYTHONHASHSEED": "5"})))
    assert {code(STATE, mode)["hash"] for mode in MODES} == {spam("5")}


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_interpreter_07_warning_filters_in_their_order(told, mode, path):
    assert told(STATE, mode, path)["warn"] == ["error::UserWarning", "ignore:not this:UserWarning"]
    assert told("""
import warnings
result = []
for text in "this", "not this":
    try:
        warnings.warn(text)
        result.append("ignored")
    except UserWarning:
        result.append("raised")
""", mode, path) == ["raised", "ignored"]


def test_interpreter_08_no_bytecode(told, plain, mode):
    source = """
import sys, os, importlib
name = "mod_%s" % os.getpid()
folder = environ["MWTEST_TMP"] + "/" + name
os.makedirs(folder, exist_ok=True)
with open(folder + "/" + name + ".py", "w") as f:
    f.write("x = 1\\n")
sys.path.insert(0, folder)
importlib.invalidate_caches()
importlib.import_module(name)
sys.path.remove(folder)
result = sorted(os.listdir(folder)) == ["__pycache__", name + ".py"]
"""
    assert told(STATE, mode)["write"] is False
    assert told(source, mode) is False
    assert plain(source, mode) is True


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_interpreter_09_eggs_and_switch_interval_of_each_mode(told, mode, path):
    state = told(STATE, mode, path)
    assert state["eggs"] == told.httpd.path("tmp", f"eggs-{mode}")
    assert state["interval"] == pytest.approx({"embedded": 0.01, "daemon": 0.02}[mode])


# -- standard streams


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_interpreter_10_stdin(plain, told, mode, path):
    assert plain("import sys; result = [sys.stdin.read(), sys.stdin.readline()]", mode, path) == ["", ""]
    assert told("""
import sys
result = []
def tried(f):
    try:
        f()
    except OSError as e:
        result.append(str(e))
tried(lambda: sys.stdin.read())
tried(lambda: sys.stdin.fileno)
tried(lambda: list(sys.stdin))
tried(lambda: setattr(sys.stdin, "x", 1))
tried(lambda: sys.stdin.__enter__())
tried(input)
""", mode, path) == ["sys.stdin is restricted by WSGIRestrictStdin"] * 6


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_interpreter_11_stdout(plain, told, mode, path, nonce):
    word = nonce()
    told.httpd.log.allow(word)
    plain.httpd.log.allow(word)
    assert told(f"""
import sys
try:
    print("{word} out")
    result = "printed"
except OSError as e:
    result = str(e)
print("{word} err", file=sys.stderr)
""", mode, path) == "sys.stdout is restricted by WSGIRestrictStdout"
    told.httpd.log.wait(f"{word} err", log=f"{mode}.log")
    assert not told.httpd.log.find(f"{word} out")
    plain(f'print("{word} out")', mode, path)
    plain.httpd.log.wait(f"{word} out", log=f"{mode}.log")


# -- signals

INSTALL = """
import signal
def handler(*args):
    pass
before = signal.getsignal(signal.SIGUSR2)
def install_it():
    return signal.signal(signal.SIGUSR2, handler)
result = [install_it() is handler, signal.getsignal(signal.SIGUSR2) == before == signal.SIG_DFL,
          signal.signal(signal.SIGTERM, signal.SIG_IGN) == signal.SIG_IGN, int(signal.getsignal(signal.SIGTERM) == 1)]
"""


@pytest.mark.parametrize("path", ["/main", "/sub"])
def test_interpreter_12_signal_handlers_are_not_installed(plain, mode, path):
    log = plain.httpd.log
    since = log.mark()
    assert plain(INSTALL, mode, path) == [True, True, True, 0]
    first = log.wait(r"WSGI0090.*signal 12 ", since, log=f"{mode}.log")
    assert first.level == "info"
    stack = log.wait("in install_it", since, log=f"{mode}.log")
    assert stack.level == "info" and re.search(r'File "body.py", line \d+', stack.text)
    log.wait(r"WSGI0090.*signal 15 ", since, log=f"{mode}.log")


def only_main(own_httpd, main=""):
    """A server with no interpreter but the main one: CPython cannot fork where there is another."""
    text = "WSGIApplicationGroup %{GLOBAL}\nWSGIScriptAlias / @apps@/code/wsgi.py\n"
    return Code(own_httpd(main=f"WSGIDaemonProcess {GROUP}\n{main}",
                          vhosts={"embedded": text, "daemon": f"WSGIProcessGroup {GROUP}\n{text}"}))


def test_interpreter_13_in_a_forked_process_they_are(own_httpd, mode):
    code = only_main(own_httpd)
    assert code("""
import os, signal
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        signal.signal(signal.SIGUSR2, lambda *_: os.write(w, b"caught"))
        os.kill(os.getpid(), signal.SIGUSR2)
    except BaseException as e:
        os.write(w, repr(e).encode())
    finally:
        os._exit(0)
os.close(w)
os.waitpid(pid, 0)
result = os.read(r, 100).decode()
os.close(r)
""", mode, "/") == "caught"
    assert not code.httpd.log.find("WSGI0090")


def test_interpreter_14_popen_works_and_its_signals_are_its_own(plain, mode):
    assert plain("""
import subprocess, sys
p = subprocess.run(["/usr/bin/python3", "-c", "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"],
                   capture_output=True, text=True)
result = p.stdout.strip() + p.stderr
""", mode, "/main") == "True"


IMPORTED = """
import signal
def handler(*args):
    pass
before = signal.signal(signal.SIGUSR2, handler)
installed = signal.getsignal(signal.SIGUSR2) is handler
"""


def test_interpreter_15_with_restrict_signal_off_the_main_thread_may(own_httpd, mode):
    httpd = own_httpd.make(**with_code(
        "WSGIRestrictSignal Off\n"
        "WSGIImportScript @apps@/imported.py process-group=%{GLOBAL} application-group=%{GLOBAL}\n"
        f"WSGIImportScript @apps@/imported.py process-group={GROUP} application-group=%{{GLOBAL}}\n"))
    with open(httpd.path("apps", "imported.py"), "w", encoding="ascii") as f:
        f.write(IMPORTED)
    httpd.start()
    code = Code(httpd)
    assert code("""
import sys
result = [m.installed for n, m in sys.modules.items() if n.startswith("_mod_wsgi_") and hasattr(m, "installed")]
""", mode, "/main") == [True]
    assert "main thread" in code("""
import signal
try:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    result = "installed"
except ValueError as e:
    result = str(e)
""", mode, "/main")
    assert not httpd.log.find("WSGI0090")


# -- the end

AT_EXIT = """
import atexit, os, threading, time
def note(path, text):
    with open(path, "a") as f:
        f.write(text)
def work():
    while not os.path.exists(%(stop)r):
        time.sleep(0.01)
    time.sleep(1.5)
    note(%(thread)r, "thread")
atexit.register(note, %(atexit)r, "atexit")
threading.Thread(target=work, daemon=False).start()
"""


@pytest.mark.parametrize("path", ["/main", "/sub"])
@pytest.mark.parametrize("destroy", ["On", "Off"])
def test_interpreter_16_threads_and_atexit_at_the_end(own_httpd, mode, path, destroy):
    httpd = own_httpd(**with_code(f"WSGIDestroyInterpreter {destroy}"))
    notes = Notes(httpd.path("tmp"))
    names = {name: notes.path(name) for name in ("thread", "atexit", "stop")}
    Code(httpd)(AT_EXIT % names, mode, path)
    notes.tell("stop")
    httpd.stop()
    if destroy == "On":
        assert (notes.read("thread"), notes.read("atexit")) == ("thread", "atexit")
    else:
        assert notes.read("atexit") == ""


def test_interpreter_17_output_without_a_newline_is_not_lost_at_the_end(own_httpd, mode, nonce):
    httpd = own_httpd(**with_code("WSGIDestroyInterpreter Off"))
    word = nonce()
    httpd.log.allow(word)
    Code(httpd)(f"""
import threading, sys, time
def work():
    sys.stderr.write("{word} unfinished")
t = threading.Thread(target=work)
t.start()
t.join()
""", mode, "/main")
    httpd.stop()
    assert httpd.log.find(f"{word} unfinished")


# -- exceptions that end programs


@pytest.mark.parametrize("statement,id", [("raise SystemExit(3)", "WSGI0175"), ("import sys; sys.exit()", "WSGI0175"),
                                          ("raise KeyboardInterrupt", "WSGI0174")])
def test_interpreter_18_they_end_a_request_and_nothing_else(plain, mode, statement, id):
    log = plain.httpd.log
    log.allow(id, traceback=True)
    since = log.mark()
    before = plain("import os; result = os.getpid()", mode)
    assert plain(statement, mode, status=500)
    log.wait(rf"{id}.*(SystemExit|KeyboardInterrupt)", since, log=f"{mode}.log")
    os.kill(before, 0)
    assert plain("result = 1", mode) == 1


# -- extension modules

REFUSED = "ImportError('module _spam does not support loading in subinterpreters')"


def test_interpreter_19_an_extension_that_cannot_live_here_gets_a_line_with_the_fix(plain, mode):
    log = plain.httpd.log
    log.allow("WSGI0174", "WSGI0538", traceback=True)
    since = log.mark()
    plain(f"""
try:
    raise {REFUSED}
except ImportError as e:
    raise RuntimeError("the framework's own words") from e
""", mode, "/sub", 500)
    line = log.wait("WSGI0538", since, log=f"{mode}.log")
    assert "interpreter 'sub'" in line.text and "WSGIApplicationGroup %{GLOBAL}" in line.text
    since = log.mark()
    plain(f"raise {REFUSED}", mode, "/main", 500)
    log.wait("WSGI0174", since)
    assert not log.find("WSGI0538", since), "it is in the main interpreter already"


@pytest.mark.parametrize("module", ["numpy", "lxml.etree", "psycopg2", "cryptography.hazmat.bindings._rust"])
def test_interpreter_20_extensions_of_a_group_with_one_application_need_no_directive(own_httpd, module):
    if subprocess.run(["/usr/bin/python3", "-c", f"import {module}"], capture_output=True).returncode:
        pytest.skip(f"{module} is not installed")
    httpd = own_httpd(main="WSGIDaemonProcess one\nWSGIProcessGroup one",
                      vhosts={"a": "WSGIScriptAlias / @apps@/code/wsgi.py"})
    assert Code(httpd)(f"import {module}, mod_wsgi\nresult = mod_wsgi.application_group", "a", "/") != ""


def test_interpreter_21_per_interpreter_gil(own_httpd, mode):
    httpd = own_httpd.make(**with_code("WSGIPerInterpreterGIL On\nWSGIPythonHome @tmp@/venv"))
    version = next((v for v in pythons.add_extra(httpd) if int(v[2:]) >= 12), None)
    if not version:
        pytest.skip("no Python 3.12 or later with a shared library here")
    python = pythons.installed(version)
    own = pythons.reachable(python, httpd.path("tmp", "python"))
    pythons.venv(httpd.path("tmp", "venv"), own)
    if own != python:  # the runtime links with a library that only root can reach
        httpd.env["LD_LIBRARY_PATH"] = httpd.path("tmp", "python", "lib")
    httpd.start(40)
    code = Code(httpd)
    assert code("""
import threading
result = [0]
t = threading.Thread(target=result.append, args=(1,))
t.start()
t.join()
""", mode, "/sub") == [0, 1]
    if code("import importlib.util\nresult = importlib.util.find_spec('_testsinglephase') is not None", mode, "/main"):
        httpd.log.allow("WSGI0174", "WSGI0538", traceback=True)
        code("import _testsinglephase", mode, "/sub", 500)
        assert "WSGIPerInterpreterGIL Off" in httpd.log.wait("WSGI0538").text


def test_interpreter_22_what_this_python_cannot_do_is_said(own_httpd, mode):
    httpd = own_httpd(**with_code("WSGIPerInterpreterGIL On\nWSGIFreeThreading On"))
    httpd.log.allow("WSGI0200")
    if sys.version_info < (3, 12):
        httpd.log.allow("WSGI0198")
    assert Code(httpd)("result = 1", mode) == 1
    httpd.log.wait("WSGI0200.*no free-threaded build")
    if sys.version_info < (3, 12):
        httpd.log.wait("WSGI0198.*3.12")


# -- where modules come from


def test_interpreter_23_site_directories(own_httpd, mode):
    httpd = own_httpd.make(**with_code("WSGIPythonPath @tmp@/one:@tmp@/two",
                                       "python-path=@tmp@/one:@tmp@/two home=@tmp@"))
    for name in ("one", "two", "linked"):
        os.mkdir(httpd.path("tmp", name))
        with open(httpd.path("tmp", name, f"in_{name}.py"), "w", encoding="ascii") as f:
            f.write(f"where = {name!r}\n")
    with open(httpd.path("tmp", "two", "x.pth"), "w", encoding="ascii") as f:
        f.write(httpd.path("tmp", "linked") + "\nimport sys; sys.ran_pth = True\n")
    httpd.start()
    for path in ("/main", "/sub"):
        found = Code(httpd)("""
import sys, in_one, in_two, in_linked
result = [sys.path, sys.ran_pth]
""", mode, path)
        cwd = [httpd.path("tmp")] if mode == "daemon" else []
        expected = cwd + [httpd.path("tmp", name) for name in ("one", "two", "linked")]
        assert found[0][:len(expected)] == expected and found[1] is True


def test_interpreter_24_a_virtual_environment(own_httpd, mode):
    httpd = own_httpd.make(**with_code("WSGIPythonHome @tmp@/venv"))
    modules = pythons.venv(httpd.path("tmp", "venv"), "/usr/bin/python3")
    with open(os.path.join(modules, "only_here.py"), "w", encoding="ascii") as f:
        f.write("x = 1\n")
    with open(os.path.join(modules, "x.pth"), "w", encoding="ascii") as f:
        f.write(httpd.path("tmp", "linked") + "\n")
    os.mkdir(httpd.path("tmp", "linked"))
    httpd.start()
    for path in ("/main", "/sub"):
        state = Code(httpd)(STATE + "import only_here\n", mode, path)
        assert state["prefix"] == httpd.path("tmp", "venv")
        assert state["base"] == "/usr"
        assert state["executable"] == httpd.path("tmp", "venv", "bin", "python")
        assert modules in state["path"] and httpd.path("tmp", "linked") in state["path"]
        assert not [p for p in state["path"] if "dist-packages" in p]


def test_interpreter_25_two_pythons_in_one_httpd(own_httpd):
    httpd = own_httpd.make()
    versions = pythons.add_extra(httpd)
    if len(versions) < 2:
        pytest.skip(f"no Python but {versions} with a shared library here")
    text = "WSGIPythonOptimize 1\nWSGIPythonWarnings error\nWSGIPythonHashSeed 7\nWSGIRestrictStdin On\n"
    text += "".join(f"WSGIDaemonProcess p{v} python-home=@tmp@/venv{v} threads=2 switch-interval=0.01\n"
                    for v in versions)
    texts = {v: f"WSGIProcessGroup p{v}\nWSGIScriptAlias /sub @apps@/code/wsgi.py application-group=sub\n"
                 "WSGIScriptAlias / @apps@/code/wsgi.py" for v in versions}
    httpd.main = text
    httpd.vhosts = {v: server.Vhost(v, port, texts[v]) for v, port in zip(versions, client.free_ports(len(versions)))}
    for v in versions:
        python = pythons.reachable(pythons.installed(v), httpd.path("tmp", f"python{v}"))
        modules = pythons.venv(httpd.path("tmp", f"venv{v}"), python)
        with open(os.path.join(modules, "which.py"), "w", encoding="ascii") as f:
            f.write(f"version = {v!r}\n")
    httpd.start(60)
    for v in versions:
        for path in ("/", "/sub"):
            state = Code(httpd)(STATE + "import which, ssl, sqlite3\nresult['which'] = which.version\n", v, path)
            assert state["version"] == [3, int(v[2:])] and state["which"] == v
            assert state["prefix"] == httpd.path("tmp", f"venv{v}")
            assert (state["optimize"], state["debug"], state["warn"], state["utf8"]) == (1, False, ["error"], 1)
            assert state["interval"] == pytest.approx(0.01)
            assert Code(httpd)(INSTALL, v, path) == [True, True, True, 0]
            assert Code(httpd)("import sys\ntry:\n    sys.stdin.read()\nexcept OSError as e:\n    result = str(e)",
                               v, path) == "sys.stdin is restricted by WSGIRestrictStdin"
        assert state["hash"] == int(subprocess.run(
            [pythons.installed(v), "-c", "print(hash('spam'))"], capture_output=True, check=True,
            env={"PYTHONHASHSEED": "7"}).stdout)


# -- what `apache2 -t` finds


def configtest(httpd):
    httpd.write_config()
    run = subprocess.run(httpd.command("-t"), capture_output=True, text=True, cwd="/", timeout=60,
                         env=httpd._environ())
    return run.returncode == 0, run.stdout + run.stderr


def venv_server(own_httpd, main="WSGIDaemonProcess g python-home=@tmp@/venv"):
    httpd = own_httpd.make(main=main)
    pythons.venv(httpd.path("tmp", "venv"), "/usr/bin/python3")
    return httpd


def test_interpreter_26_a_good_virtual_environment_passes(own_httpd):
    accepted, text = configtest(venv_server(own_httpd))
    assert accepted, text


def test_interpreter_27_a_virtual_environment_of_another_version(own_httpd):
    httpd = venv_server(own_httpd)
    python = httpd.path("tmp", "venv", "bin", "python3")
    other = httpd.path("tmp", "python3.99")
    with open(other, "w", encoding="ascii"):
        pass
    os.unlink(python)
    os.symlink(other, python)
    accepted, text = configtest(httpd)
    assert not accepted and re.search(r"WSGI0605.*was made with Python 3\.\d+, but its Python, "
                                      rf"'{other}', is now 3\.99", text)
    lib = httpd.path("tmp", "venv", "lib")
    os.rename(os.path.join(lib, os.listdir(lib)[0]), os.path.join(lib, "python3.99"))
    accepted, text = configtest(httpd)
    assert not accepted and re.search(r"WSGI0605.*of Python 3\.\d+, but has no lib/python3\.\d+;", text)


def test_interpreter_28_a_virtual_environment_whose_python_is_gone(own_httpd):
    httpd = venv_server(own_httpd)
    python = httpd.path("tmp", "venv", "bin", "python3")
    os.unlink(python)
    os.symlink("/usr/bin/python3.99", python)
    accepted, text = configtest(httpd)
    assert not accepted and "leads nowhere" in text and "bin/python'" in text


@root_only
@pytest.mark.parametrize("closed", ["venv", "venv/lib", "venv/pyvenv.cfg", "outer"])
def test_interpreter_29_a_virtual_environment_that_the_user_cannot_read(own_httpd, closed):
    httpd = own_httpd.make(main="WSGIDaemonProcess g python-home=@tmp@/outer/link/venv")
    os.makedirs(httpd.path("tmp", "outer"))
    pythons.venv(httpd.path("tmp", "real", "venv"), "/usr/bin/python3")
    os.symlink("../real", httpd.path("tmp", "outer", "link"))
    accepted, text = configtest(httpd)
    assert accepted, text
    path = httpd.path("tmp", closed) if closed == "outer" else httpd.path("tmp", "real", closed)
    os.chmod(path, 0o700 if os.path.isdir(path) else 0o600)
    accepted, text = configtest(httpd)
    assert not accepted and "WSGI0608" in text and f"user '{server.USER}' may not" in text
    named = path if closed == "outer" else httpd.path("tmp", "outer", "link", closed)
    assert f"'{named}'" in text


@root_only
def test_interpreter_30_a_link_into_a_closed_folder(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g python-home=@tmp@/link")
    pythons.venv(httpd.path("tmp", "closed", "venv"), "/usr/bin/python3")
    os.symlink("closed/venv", httpd.path("tmp", "link"))
    os.chmod(httpd.path("tmp", "closed"), 0o700)
    accepted, text = configtest(httpd)
    assert not accepted and f"enter the directory '{httpd.path('tmp', 'closed')}'" in text


@root_only
def test_interpreter_31_the_group_s_groups_count(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g python-home=@tmp@/venv")
    pythons.venv(httpd.path("tmp", "venv"), "/usr/bin/python3")
    os.chmod(httpd.path("tmp", "venv"), 0o750)
    accepted, _ = configtest(httpd)
    assert not accepted
    os.chown(httpd.path("tmp", "venv"), 0, __import__("grp").getgrnam(server.GROUP).gr_gid)
    accepted, text = configtest(httpd)
    assert accepted, text


@root_only
def test_interpreter_32_the_embedded_home_only_warns(own_httpd):
    httpd = own_httpd.make(main="WSGIPythonHome @tmp@/venv")
    pythons.venv(httpd.path("tmp", "venv"), "/usr/bin/python3")
    os.chmod(httpd.path("tmp", "venv"), 0o700)
    accepted, text = configtest(httpd)
    assert accepted and "WSGI0608" in text and "embedded requests" in text
    httpd.main += "\nWSGIRestrictEmbedded On"
    accepted, text = configtest(httpd)
    assert accepted and "WSGI0608" not in text


BAD = {
    "WSGIPythonOptimize x": "'x' must be a whole number from 0 to 9",
    "WSGIPythonOptimize 10": "from 0 to 9",
    "WSGIPythonHashSeed 4294967296": "must be random, or a whole number from 0 to 4294967295",
    "WSGIPythonHashSeed -1": "must be random",
    "WSGIPythonWarnings nonsense": "is no warning filter",
    "WSGIPythonWarnings error::::x": "is no warning filter",
    "WSGIDontWriteBytecode maybe": "WSGIDontWriteBytecode must be one of: Off | On",
    "WSGIRestrictSignal 1": "must be one of: Off | On",
    "WSGISwitchInterval 0": "WSGISwitchInterval must be a positive number of seconds",
    "WSGISwitchInterval x": "WSGISwitchInterval must be a positive number of seconds",
    "WSGIDaemonProcess g switch-interval=0": "from 0.000001 to 3600",
    "WSGIDaemonProcess g python-eggs=eggs": "absolute path",
    "<VirtualHost *:1>\nWSGIPythonOptimize 1\n</VirtualHost>": "cannot occur within <VirtualHost>",
    "<Location />\nWSGIRestrictStdin On\n</Location>": "not allowed in <Location>",
}


@pytest.mark.parametrize("line", BAD)
def test_interpreter_33_mistakes_are_told(own_httpd, line):
    accepted, text = configtest(own_httpd.make(main=line))
    assert not accepted and BAD[line] in text


def test_interpreter_34_workers_wait_for_no_signal_of_the_application(own_httpd):
    """An application that asks for SIGTERM does not get it, and its process still ends by it."""
    httpd = own_httpd(**with_code())
    code = Code(httpd)
    pid = code("import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nresult = os.getpid()", "daemon", "/main")
    os.kill(pid, 15)
    wait.until(lambda: pid not in httpd.workers(), 15, "end of the worker")
    assert code("import os\nresult = os.getpid()", "daemon", "/main") != pid
