"""The environment variables and the encoding of the process around an application."""

import json
import os
import pwd
import re
import shutil
import subprocess

import pytest

from harness import procs, server, wait

root_only = pytest.mark.skipif(not server.ROOT, reason="only root can become somebody else")

STATE = """
import locale, os, sys
result = dict(env=dict(os.environ), utf8=sys.flags.utf8_mode, fs=sys.getfilesystemencoding(),
              open=open("/dev/null").encoding, pid=os.getpid(), preferred=locale.getpreferredencoding(False))
"""
SECRET = "hunter2-Xyzzy"


def group(options="", main="", **kw):
    """Arguments of a server with a group g that runs code, and one without options beside it."""
    return dict(main=f"WSGIDaemonProcess g {options}\nWSGIDaemonProcess other\n{main}",
                vhosts={"a": "WSGIScriptAlias /other @apps@/code/wsgi.py process-group=other\n"
                             "WSGIScriptAlias /embedded @apps@/code/wsgi.py process-group=%{GLOBAL}\n"
                             "WSGIScriptAlias / @apps@/code/wsgi.py process-group=g"}, **kw)


def run(httpd, source=STATE, path="/"):
    rsp = httpd.fetch(path, method="POST", body=source.encode())
    assert rsp.status == 200, rsp.body + httpd.tail().encode()
    return json.loads(rsp.body)


def write(path, text, mode=0o600):
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)


def configtest(httpd):
    httpd.write_config()
    tried = subprocess.run(httpd.command("-t"), capture_output=True, text=True, cwd="/", timeout=60,
                           env=httpd._environ())
    return tried.returncode == 0, tried.stdout + tried.stderr


def assert_untold(httpd, text=SECRET):
    """Nothing that anybody logs, and nothing that ps shows, has the secret."""
    for name in os.listdir(httpd.path("logs")):
        with open(httpd.path("logs", name), "rb") as f:
            assert text.encode() not in f.read(), name
    for pid in httpd.processes():
        assert text not in procs.cmdline(pid)


# -- who the process is


@root_only
def test_environment_01_a_worker_s_user(own_httpd):
    httpd = own_httpd(**group("user=daemon", env={"USER": "root", "USERNAME": "root", "LOGNAME": "root",
                                                  "HOME": "/root"}))
    daemon = pwd.getpwnam("daemon")
    env = run(httpd)["env"]
    assert [env.get(k) for k in ("HOME", "USER", "LOGNAME", "USERNAME")] == [daemon.pw_dir] + ["daemon"] * 3
    env = run(httpd, path="/other")["env"]
    assert (env["HOME"], env["USER"]) == (pwd.getpwnam(server.USER).pw_dir, server.USER)
    env = run(httpd, path="/embedded")["env"]
    assert (env["HOME"], env["USER"]) == ("/root", "root"), "httpd's own environment stays as it is"


def test_environment_02_home_is_set_where_it_was_not(own_httpd):
    httpd = own_httpd.make(**group())
    real = httpd._environ
    httpd._environ = lambda: {k: v for k, v in real().items() if k not in ("HOME", "USER", "USERNAME", "LOGNAME")}
    httpd.start()
    env = run(httpd)["env"]
    user = pwd.getpwnam(server.USER) if server.ROOT else pwd.getpwuid(os.geteuid())
    assert env["HOME"] == user.pw_dir
    assert "USERNAME" not in env
    assert "MW_WORKER" not in env


# -- env= and env-file=


def test_environment_03_variables_of_a_group(own_httpd):
    httpd = own_httpd(**group("env=PLAIN=1 env='QUOTED=two words' env=INNER=\"more 'words' here\" env=EMPTY= "
                              "env=EQUALS=a=b=c env=HOME=/over env=TWICE=1 env=TWICE=2 env=EXPAND=$PATH "
                              "env=PYTHON_EGG_CACHE=/over threads=1 python-eggs=/eggs",
                              env={"INHERITED": "yes"}))
    env = run(httpd)["env"]
    expected = {"PLAIN": "1", "QUOTED": "two words", "INNER": "more 'words' here", "EMPTY": "",
                "EQUALS": "a=b=c", "HOME": "/over", "TWICE": "2", "EXPAND": "$PATH", "INHERITED": "yes",
                "PYTHON_EGG_CACHE": "/over"}
    assert {k: env.get(k) for k in expected} == expected
    for path in ("/other", "/embedded"):
        others = run(httpd, path=path)["env"]
        assert "PLAIN" not in others and others["INHERITED"] == "yes"
    assert run(httpd, "import subprocess\nresult = subprocess.run(['sh', '-c', 'echo $QUOTED'],"
                      "capture_output=True, text=True).stdout") == "two words\n"


FILE = b"""# a comment
PLAIN=1

  SPACED  =  a b
QUOTED="  kept  "
SINGLE='#1'
RAW=$HOME `id` \\n "x"
BYTES=caf\xc3\xa9
CR=windows\r
TWICE=file
LAST=no newline"""


def test_environment_04_a_file_of_variables(own_httpd):
    httpd = own_httpd.make(**group("env-file=@dir@/secret.env env=TWICE=option"))
    write(httpd.path("secret.env"), FILE)
    httpd.start()
    env = run(httpd)["env"]
    expected = {"PLAIN": "1", "SPACED": "a b", "QUOTED": "  kept  ", "SINGLE": "#1", "RAW": '$HOME `id` \\n "x"',
                "BYTES": "café", "CR": "windows", "TWICE": "option", "LAST": "no newline"}
    assert {k: env.get(k) for k in expected} == expected
    assert "PLAIN" not in run(httpd, path="/other")["env"]
    if server.ROOT:
        assert run(httpd, f"""
try:
    open({httpd.path("secret.env")!r})
    result = "read"
except PermissionError:
    result = "no"
""") == "no", "it is read before the worker gives up its rights"


def test_environment_05_a_new_process_reads_the_file_again(own_httpd):
    httpd = own_httpd.make(**group("env-file=@dir@/x.env"))
    write(httpd.path("x.env"), "A=1\n", 0o644)
    httpd.start()
    first = run(httpd)
    write(httpd.path("x.env"), "A=2\n", 0o644)
    os.kill(first["pid"], 15)
    wait.until(lambda: first["pid"] not in httpd.workers(), 15, "end of the worker")
    assert (first["env"]["A"], run(httpd)["env"]["A"]) == ("1", "2")


WRONG = {
    "no-equals": (f"A=1\n{SECRET}\n", r"line 2 of '[^']*x\.env' has no '='"),
    "no-name": (f"\n# x\n={SECRET}\n", r"line 3 of '[^']*x\.env' does not begin with a name"),
    "export": (f"export A={SECRET}\n", r"line 1 of .* does not begin with a name"),
    "quote": (f"A=\"{SECRET}\n", r"line 1 of .* begins with a quote and does not end with it"),
    "nul": (f"A=1\nB={SECRET}\0\n", r"line 2 of .* NUL byte"),
    "large": (f"A={SECRET}\n" + "#" * 65536, r"'[^']*x\.env' has more than 65536 bytes"),
    "missing": (None, r"'[^']*x\.env' cannot be read: No such file or directory"),
}


@pytest.mark.parametrize("case", WRONG)
def test_environment_06_a_wrong_file_keeps_its_group_from_starting(own_httpd, case):
    text, message = WRONG[case]
    httpd = own_httpd.make(**group("env-file=@dir@/x.env queue-timeout=1"))
    if text is not None:
        write(httpd.path("x.env"), text, 0o644)
    httpd.start()
    httpd.log.allow("WSGI05", "WSGI0651", "WSGI0084", "WSGI0743")
    line = httpd.log.wait("env-file=")
    assert re.search(message, line.text) and "set the environment" in line.text
    assert httpd.fetch("/", method="POST", body=b"").status == 503
    assert "A" not in run(httpd, path="/other")["env"]
    assert_untold(httpd)
    accepted, said = configtest(httpd)
    assert re.search("WSGI0609.*" + message, said) and SECRET not in said
    assert accepted != server.ROOT, "who is not root may only not be able to read it"
    httpd.stop()


def test_environment_07_no_message_holds_a_value(own_httpd):
    httpd = own_httpd.make(**group(f"env=A={SECRET} env-file=@dir@/x.env", "LogLevel trace8"))
    write(httpd.path("x.env"), f"B={SECRET}\n", 0o644)
    httpd.start()
    env = run(httpd)["env"]
    assert (env["A"], env["B"]) == (SECRET, SECRET)
    httpd.graceful()
    run(httpd)
    httpd.stop()
    assert_untold(httpd)


MISTAKES = {
    f"env={SECRET}": "number 1 of its env= options has no '='",
    f"env=A=1 env=B-C={SECRET}": "number 2 of its env= options does not begin with a name",
    f"env=A=\"{SECRET}": "begins with a quote",
    f"env=A=two {SECRET}": "a value with blanks in it must be in quotes",
    "env=": "Invalid env",
    "env-file=x.env": "must be an absolute path",
    "env-file=": "Invalid env-file",
}


@pytest.mark.parametrize("option", MISTAKES)
def test_environment_08_mistakes_are_told_without_the_value(own_httpd, option):
    accepted, text = configtest(own_httpd.make(main=f"WSGIDaemonProcess g {option}"))
    assert not accepted and MISTAKES[option] in text and "(group 'g')" in text
    assert SECRET not in text


# -- encoding


@pytest.mark.parametrize("path", ["/", "/embedded"])
def test_environment_09_utf_8_whatever_the_locale(own_httpd, path):
    httpd = own_httpd(**group(env={"LC_ALL": "C", "LANG": "C"}))
    state = run(httpd, path=path)
    assert (state["utf8"], state["fs"], state["open"].lower()) == (1, "utf-8", "utf-8")


def test_environment_10_unless_the_configuration_says_otherwise(own_httpd):
    httpd = own_httpd(**group("env=PYTHONUTF8=0"))
    assert [run(httpd, path=path)["utf8"] for path in ("/", "/other", "/embedded")] == [0, 1, 1]
    httpd = own_httpd(**group(env={"PYTHONUTF8": "0"}))
    assert [run(httpd, path=path)["utf8"] for path in ("/", "/embedded")] == [0, 0]


def test_environment_11_a_locale_of_another_encoding(own_httpd):
    httpd = own_httpd.make(**group("locale=mw_XX", "WSGIDaemonProcess lang lang=mw_XX\n"
                                   "WSGIDaemonProcess utf8 locale=C.UTF-8\nWSGIDaemonProcess plain locale=C"))
    for name in ("lang", "utf8", "plain"):
        httpd.vhosts["a"].text = (f"WSGIScriptAlias /{name} @apps@/code/wsgi.py process-group={name}\n" +
                                  httpd.vhosts["a"].text)
    os.mkdir(httpd.path("locales"), 0o755)
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", httpd.path("locales", "mw_XX")], capture_output=True)
    if not made or made.returncode:
        pytest.skip("localedef cannot make a locale here; its sources are in Debian's package locales")
    httpd.env["LOCPATH"] = httpd.path("locales")
    httpd.start()
    for path in ("/", "/lang"):
        state = run(httpd, path=path)
        assert (state["utf8"], state["fs"]) == (0, "iso8859-1"), path
        assert state["preferred"].lower().replace("-", "") in ("iso88591", "iso8859_1"), path
    for path in ("/utf8", "/plain", "/other", "/embedded"):
        assert run(httpd, path=path)["utf8"] == 1, path
    assert run(httpd)["env"]["LC_ALL"] == "mw_XX" and run(httpd, path="/lang")["env"]["LANG"] == "mw_XX"


def test_environment_12_a_locale_that_is_not_installed_is_told(own_httpd):
    httpd = own_httpd(**group("locale=xx_XX.ISO-8859-1"))
    httpd.log.allow("WSGI0079")
    assert run(httpd)["utf8"] == 1
    httpd.log.wait("WSGI0079.*xx_XX.ISO-8859-1")


def test_environment_13_setenv_is_not_the_environment(own_httpd):
    httpd = own_httpd(**group(main="SetEnv FROM_SETENV 1"))
    for path in ("/", "/embedded"):
        assert run(httpd, "import os\nresult = [environ['FROM_SETENV'], os.environ.get('FROM_SETENV')]", path) \
            == ["1", None]
