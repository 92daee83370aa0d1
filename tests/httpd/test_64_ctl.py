"""mod_wsgi-ctl and its control socket over a real httpd."""

import contextlib
import json
import os
import signal
import socket
import stat
import threading

import pytest

from conftest import apps_config
from harness import server, wait
from test_50_daemon import background, holding, one_group, ready, root_only
from test_60_lifecycle import Load

SOCKET = "run/wsgi.ctl.sock"


def group_of(httpd, name="g"):
    return {g["name"]: g for g in httpd.ctl_json("ps")["groups"]}[name]


def workers_of(httpd, name="g"):
    return group_of(httpd, name)["workers"]


def serving(httpd, n, name="g"):
    """Wait until n workers of the group are ready; their records."""
    def look():
        found = workers_of(httpd, name)
        return found if [w["state"] for w in found] == ["ready"] * n else None
    return wait.until(look, 15, f"{n} ready workers")


# -- ps


def test_ctl_01_ps_lists_groups_and_processes(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=3", main="WSGIDaemonProcess other threads=7\n"))
    pids = ready(httpd, 3)
    said = httpd.ctl_json("ps")
    assert {said["supervisor"]["pid"]} == httpd.supervisors()
    groups = {g["name"]: g for g in said["groups"]}
    assert {n: (g["processes"], g["threads"], g["waiting"], g["drained"], len(g["workers"]))
            for n, g in groups.items()} == {"g": (2, 3, 0, False, 2), "other": (1, 7, 0, False, 1)}
    assert {w["pid"] for g in said["groups"] for w in g["workers"]} == pids
    for _ in range(3):
        assert httpd.fetch("/hello").status == 200
    found = wait.until(lambda: sum(w["served"] for w in workers_of(httpd)) == 3 and workers_of(httpd), 5,
                       "three served requests")
    for w in found:
        assert w["state"] == "ready" and w["problem"] is None and w["requests"] == [] and w["busy"] == 0
        assert 0 <= w["age"] < 60 and 1 << 20 < w["memory"] < 1 << 30


def test_ctl_02_ps_shows_requests(own_httpd):
    httpd = own_httpd(**one_group("threads=5"))
    with holding(httpd) as hold:
        hold.take(2)
        worker, = wait.until(lambda: len(workers_of(httpd)[0]["requests"]) == 2 and workers_of(httpd), 5, "two requests")
        assert worker["busy"] == 2
        for request in worker["requests"]:
            assert request["method"] == "GET" and request["client"] == "127.0.0.1"
            assert request["url"].startswith("/busy?") and request["host"] == f"127.0.0.1:{httpd.port()}"
            assert request["script"] == httpd.path("apps/busy/wsgi.py") and 0 <= request["age"] < 30
            assert os.path.isdir(f"/proc/{worker['pid']}/task/{request['thread']}")
        text = httpd.ctl("ps").stdout
        assert text.count("GET http://127.0.0.1:") == 2 and text.count("from 127.0.0.1") == 2
        assert "group g: 1 process of 5 threads, 0 requests waiting" in text
    wait.until(lambda: workers_of(httpd)[0]["requests"] == [], 5, "end of the requests")


def test_ctl_03_requests_that_wait_are_counted(own_httpd):
    httpd = own_httpd(**one_group("threads=1"))
    with holding(httpd) as hold:
        hold.take(1)
        for _ in range(2):
            hold.requests.start(httpd.port(), f"/busy?key={hold.notes.key}")
        wait.until(lambda: group_of(httpd)["waiting"] == 2, 10, "two waiting requests")


def test_ctl_04_any_url_is_shown_in_both_forms(own_httpd):
    httpd = own_httpd(**one_group("threads=1"))
    with holding(httpd) as hold, httpd.conn() as conn:
        conn.sock.sendall(b'GET /busy?key=%s&n="\\\xe9\xff\xc3\xa9%s HTTP/1.1\r\nHost: x\r\n\r\n'
                          % (hold.notes.key.encode(), b"y" * 2000))
        request, = wait.until(lambda: workers_of(httpd)[0]["requests"], 5, "a request")
        begin = f'/busy?key={hold.notes.key}&n="\\\xe9\xff\xe9yyy'
        assert request["url"].startswith(begin) and len(request["url"].encode("latin-1", "replace")) <= 512
        assert f"/busy?key={hold.notes.key}&n=" in httpd.ctl("ps").stdout
        hold.notes.tell("out")
        assert conn.response().status == 200


def test_ctl_05_a_stopped_process_is_said_to_be(own_httpd):
    httpd = own_httpd(**one_group("processes=2"))
    first, second = serving(httpd, 2)
    os.kill(first["pid"], signal.SIGSTOP)
    try:
        one, two = {w["pid"]: w for w in httpd.ctl_json("--timeout", "1", "ps")["groups"][0]["workers"]}.values()
        assert one["problem"] == "does not answer" and one["served"] is None and one["memory"] is None
        assert two["problem"] is None and two["pid"] == second["pid"]
        assert "it does not answer" in httpd.ctl("--timeout", "1", "ps").stdout
    finally:
        os.kill(first["pid"], signal.SIGCONT)
    serving(httpd, 2)


# -- stack


def line_of(path, text):
    with open(path, encoding="utf-8") as f:
        return [text in line for line in f].index(True) + 1


def test_ctl_06_stack_shows_where_each_request_is(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=3"))
    script = httpd.path("apps/busy/wsgi.py")
    frame = f'File "{script}", line {line_of(script, "time.sleep")} in application'
    for _ in range(10):
        assert httpd.fetch("/hello").status == 200  # which gets the main interpreter of one, or of both
    with holding(httpd) as hold:
        pid, = hold.take(1)
        text = wait.until(lambda: frame in httpd.ctl("stack").stdout and httpd.ctl("stack").stdout, 5, "the frame")
        assert text.count(frame) == 1 and text.count("GET http://127.0.0.1:") == 1
        assert text.count("worker ") == 2
        slot = next(w["slot"] for w in workers_of(httpd) if w["pid"] == pid)
        for target in (f"g/{slot}", str(pid)):
            found, = httpd.ctl_json("stack", target)["workers"]
            assert (found["pid"], found["slot"], found["group"], found["problem"]) == (pid, slot, "g", None)
            assert frame in found["stack"]
            request, = found["requests"]
            assert request["url"].startswith("/busy?") and f"0x{request['python_thread']:016x}" in found["stack"]
        assert len(httpd.ctl_json("stack", "g")["workers"]) == 2
    done = httpd.ctl("stack", "g/9")
    assert done.returncode == 1 and "'g/9'" in done.stderr


def test_ctl_07_stacks_of_processes_that_compute_do_no_harm(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=3"))
    pids = ready(httpd, 2)
    with Load(httpd, n=4, path="/who", body=None) as load:
        for _ in range(25):
            done = httpd.ctl("stack")
            assert done.returncode == 0 and done.stdout.count("worker ") == 2, done.stderr
        load.more(20)
    assert not load.failures
    assert set(httpd.workers()) == pids


def test_ctl_08_stack_of_a_process_whose_gil_is_kept(own_httpd):
    httpd = own_httpd(**one_group("threads=3"))
    assert httpd.fetch("/keepgil").status == 200  # in the main interpreter, which every Python can show
    with background() as requests:
        requests.start(httpd.port(), "/keepgil?seconds=4")
        worker, = wait.until(lambda: workers_of(httpd)[0]["requests"] and workers_of(httpd), 5, "the request")
        done = wait.until(lambda: "keeps it" in (d := httpd.ctl("stack", "g")).stdout and d, 10, "a kept GIL")
        assert done.returncode == 0 and "in application" in done.stdout and "/keepgil?seconds=4" in done.stdout
        again = httpd.ctl("stack", str(worker["pid"]))
        assert "keeps it" in again.stdout
        assert requests.join()[0].status == 200
    assert "keeps it" not in wait.until(lambda: httpd.ctl("stack", "g").stdout, 5, "a stack")
    assert workers_of(httpd)[0]["pid"] == worker["pid"]


def test_ctl_09_stack_of_a_process_that_hangs_in_its_start(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g shutdown-timeout=1\n"
                                "WSGIImportScript @apps@/hello/wsgi.py process-group=g application-group=%{GLOBAL}\n",
                           vhosts={"a": ""})
    script = httpd.path("apps/hello/wsgi.py")
    with open(script, encoding="utf-8") as f:
        text = f.read()
    with open(script, "w", encoding="utf-8") as f:
        f.write("import os, time\nwhile not os.path.exists('" + httpd.path("tmp/go") + "'):\n    time.sleep(.01)\n" + text)
    httpd.start()
    worker, = wait.until(lambda: [w for w in workers_of(httpd) if w["problem"] is None], 10, "an answer")
    assert worker["state"] == "starting" and worker["served"] == 0 and worker["requests"] == []
    done = wait.until(lambda: f'File "{script}", line 3 in <module>' in (d := httpd.ctl("stack", "g")).stdout and d, 10,
                      "the stack")
    assert done.returncode == 0 and "starting" in done.stdout
    with open(httpd.path("tmp/go"), "w", encoding="ascii"):
        pass
    serving(httpd, 1)
    assert httpd.ctl("stack", "g").returncode == 0


# -- the socket


def test_ctl_10_the_socket_is_private_and_goes(own_httpd):
    httpd = own_httpd(**one_group())
    found = os.lstat(httpd.path(SOCKET))
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
    assert os.listdir(httpd.path("run")).count("wsgi.ctl.sock") == 1 and len(os.listdir(httpd.path("run"))) == 2
    assert httpd.ctl("ps").returncode == 0
    httpd.stop()
    assert not os.path.exists(httpd.path(SOCKET))
    done = httpd.ctl("ps")
    assert done.returncode == 3 and "is httpd running" in done.stderr and done.stdout == ""


@root_only
def test_ctl_11_other_users_are_refused(own_httpd):
    httpd = own_httpd(**one_group())
    done = httpd.ctl("ps", user=server.USER)
    assert done.returncode == 3 and "only root" in done.stderr
    os.chmod(httpd.path(SOCKET), 0o666)
    httpd.log.allow("WSGI0781")
    done = httpd.ctl("ps", user=server.USER)
    assert done.returncode == 3 and "does not listen to this user" in done.stderr


@root_only
def test_ctl_12_an_unprivileged_httpd_has_its_own(own_httpd):
    httpd = own_httpd.make(**one_group())
    httpd.become(server.USER)
    httpd.start()
    assert os.lstat(httpd.path(SOCKET)).st_uid == os.stat(httpd.path("run")).st_uid != 0
    assert httpd.ctl("ps", user=server.USER).returncode == 0
    assert httpd.ctl("ps", user="nobody").returncode == 3


@pytest.mark.parametrize("how", ["graceful", "restart"])
def test_ctl_13_the_newest_generation_answers(own_httpd, how):
    httpd = own_httpd(**one_group("processes=2"))
    before = httpd.ctl_json("ps")["supervisor"]["pid"]
    pids = {w["pid"] for w in serving(httpd, 2)}
    getattr(httpd, how)()
    after = httpd.ctl_json("ps")
    assert after["supervisor"]["pid"] != before
    assert not pids & {w["pid"] for w in serving(httpd, 2)}


def test_ctl_14_the_path_answers_all_the_time(own_httpd):
    """Over graceful restarts under load, with requests that hold the old generation."""
    httpd = own_httpd(**one_group("processes=1 threads=5"))
    httpd.log.allow("AH00288")
    with Load(httpd, n=1) as load:
        for _ in range(3):
            since = httpd.log.mark()
            httpd.send_signal(signal.SIGUSR1)
            wait.until(lambda: httpd.log.find(server.READY, since), 15, "restart")
            done = httpd.ctl("ps")
            assert done.returncode == 0, done.stderr
            load.more(5)
    assert not load.failures


def test_ctl_15_a_supervisor_that_died_is_followed_by_one_that_answers(own_httpd):
    httpd = own_httpd(**one_group("graceful-timeout=1"))
    httpd.log.allow("WSGI0655", "WSGI0572")
    first = httpd.ctl_json("ps")["supervisor"]["pid"]
    os.kill(first, signal.SIGKILL)
    wait.until(lambda: httpd.ctl("ps").returncode == 0 and httpd.ctl_json("ps")["supervisor"]["pid"] != first, 10,
               "another supervisor that answers")
    serving(httpd, 1)


def test_ctl_16_a_stale_socket_is_replaced(own_httpd):
    httpd = own_httpd.make(**one_group())
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(httpd.path(SOCKET))
    httpd.start()
    assert httpd.ctl("ps").returncode == 0


@contextlib.contextmanager
def in_the_way(path, what):
    """Something at the path that is no stale socket; in the end it is still there, and goes."""
    if what == "file":
        with open(path, "w", encoding="ascii") as f:
            f.write("mine")
    elif what == "folder":
        os.mkdir(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if what == "used":
        listener.bind(path)
        listener.listen(1)
    before = os.lstat(path)
    yield
    listener.close()
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    (os.rmdir if what == "folder" else os.unlink)(path)


WHY = {"file": "which is no socket", "folder": "which is no socket", "used": "another httpd listens there"}


@pytest.mark.parametrize("what", WHY)
def test_ctl_17_the_default_path_is_not_worth_the_server(own_httpd, what):
    httpd = own_httpd.make(**one_group())
    with in_the_way(httpd.path(SOCKET), what):
        httpd.start()
        assert WHY[what] in httpd.log.wait("WSGI0783", since=httpd.started).text
        assert httpd.fetch("/hello").status == 200
        httpd.send_signal(signal.SIGTERM)
        httpd.process.wait(15)


@pytest.mark.parametrize("what", WHY)
def test_ctl_18_a_configured_path_must_be_usable(own_httpd, what):
    httpd = own_httpd.make(**one_group(main="WSGIControlSocket own.sock\n"))
    with in_the_way(httpd.path("run/own.sock"), what):
        httpd.launch()
        assert httpd.process.wait(15) != 0
        line = httpd.log.wait("WSGI0782", since=httpd.started).text
        assert WHY[what] in line and httpd.line_of("WSGIControlSocket") in line
        httpd.log.allow("AH000", "AH00016")


@pytest.mark.parametrize("value,why", [("@dir@/" + "x" * 120, "too long"), ("@dir@/nowhere/a.sock", "No such file")])
def test_ctl_19_paths_that_cannot_be(own_httpd, value, why):
    httpd = own_httpd.make(**one_group(main=f"WSGIControlSocket {value}\n"))
    said = httpd.fails_to_start()
    assert "WSGI0782" in said and why in said


def test_ctl_20_off_and_elsewhere(own_httpd):
    httpd = own_httpd(**one_group(main="WSGIControlSocket Off\n"))
    assert os.listdir(httpd.path("run")) == ["httpd.pid"]
    assert httpd.ctl("ps").returncode == 3
    httpd.main = httpd.main.replace("Off", "@tmp@/a.sock")
    httpd.write_config()
    httpd.graceful()
    assert httpd.ctl("ps", socket="tmp/a.sock").returncode == 0
    httpd.main = httpd.main.replace("a.sock", "b.sock")
    httpd.write_config()
    httpd.graceful()
    assert httpd.ctl("ps", socket="tmp/b.sock").returncode == 0
    assert not os.path.exists(httpd.path("tmp/a.sock"))
    httpd.main = httpd.main.replace("WSGIDaemonProcess", "#").replace("WSGIProcessGroup", "#")
    httpd.write_config()
    httpd.graceful()
    assert not os.path.exists(httpd.path("tmp/b.sock"))


@root_only
def test_ctl_21_a_folder_that_may_not_be_written_to(own_httpd):
    httpd = own_httpd.make(**one_group())
    httpd.become(server.USER)
    os.mkdir(httpd.path("ro"))
    httpd.main += "DefaultRuntimeDir @dir@/ro\n"
    httpd.start()
    assert "Permission denied" in httpd.log.wait("WSGI0783", since=httpd.started).text
    assert httpd.fetch("/hello").status == 200


def test_ctl_22_without_groups_there_is_none(own_httpd):
    httpd = own_httpd(vhosts={"a": apps_config()})
    assert httpd.fetch("/hello").status == 200
    assert os.listdir(httpd.path("run")) == ["httpd.pid"]


def test_ctl_23_a_supervisor_that_stands_still_does_not_stop_a_restart(own_httpd):
    """Its socket's queue is full; the path was configured."""
    httpd = own_httpd(**one_group("graceful-timeout=1 shutdown-timeout=1", main="WSGIControlSocket wsgi.ctl.sock\n"))
    old = httpd.ctl_json("ps")["supervisor"]["pid"]
    os.kill(old, signal.SIGSTOP)
    waiting = []
    with contextlib.ExitStack() as stack:
        stack.callback(os.kill, old, signal.SIGCONT)
        with contextlib.suppress(BlockingIOError):
            for _ in range(200):
                waiting.append(stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)))
                waiting[-1].setblocking(False)
                waiting[-1].connect(httpd.path(SOCKET))
        assert 10 < len(waiting) < 200
        httpd.graceful()
        assert httpd.ctl_json("ps")["supervisor"]["pid"] != old
    wait.until(lambda: httpd.supervisors() == {httpd.ctl_json("ps")["supervisor"]["pid"]}, 15, "one supervisor")


# -- reload, recycle


def code_of(httpd):
    return httpd.path("apps/code/wsgi.py")


def write_code(httpd, text):
    with open(code_of(httpd), "w", encoding="utf-8") as f:
        f.write(text)


def app_that_says(word):
    return (f"def application(environ, start_response):\n    start_response('200 OK', [])\n"
            f"    return [b'{word}']\n")


def old_and_new(httpd, path="/code", n=20):
    return {httpd.fetch(path).text for _ in range(n)}


def test_ctl_40_reload_brings_new_code_and_loses_nothing(own_httpd):
    httpd = own_httpd.make(**one_group("processes=3 threads=2", vhost="WSGIScriptReloading Off\n"))
    write_code(httpd, app_that_says("old"))
    httpd.start()
    pids = {w["pid"] for w in serving(httpd, 3)}
    with Load(httpd, n=4, path="/code", body=None) as load:
        assert old_and_new(httpd) == {"old"}
        write_code(httpd, app_that_says("new"))
        assert "old" in old_and_new(httpd)
        done = httpd.ctl("reload", "g")
        assert done.returncode == 0 and "group g: 3 processes replaced" in done.stdout and done.stderr == ""
        assert old_and_new(httpd) == {"new"}
        load.more(20)
    assert not load.failures
    assert not pids & {w["pid"] for w in serving(httpd, 3)}
    assert httpd.log.find("WSGI0780.*group 'g', in place of 3")


def test_ctl_41_reload_of_code_that_cannot_be_imported(own_httpd):
    """Whichever process had served it: none gets the new code, the old serves, the tool says why."""
    httpd = own_httpd.make(**one_group("processes=2 threads=2", vhost="WSGIScriptReloading Off\n"))
    httpd.log.allow("WSGI0109", "WSGI0740", traceback=True)
    write_code(httpd, app_that_says("old"))
    httpd.start()
    pids = {w["pid"] for w in serving(httpd, 2)}
    assert httpd.fetch("/code").text == "old"  # one of them has loaded it
    write_code(httpd, "import nosuchmodule\n")
    done = httpd.ctl("reload", "g")
    assert done.returncode == 1 and done.stdout == ""
    assert "group g: not replaced, the old processes serve on" in done.stderr and code_of(httpd) in done.stderr
    assert old_and_new(httpd) == {"old"}
    assert {w["pid"] for w in workers_of(httpd) if w["pid"]} >= pids
    assert any(code_of(httpd) in w["why"] for w in workers_of(httpd))
    failed = httpd.ctl("--json", "reload", "g")
    group, = json.loads(failed.stdout)["groups"]
    assert failed.returncode == 1 and group["done"] is False and code_of(httpd) in group["problem"]
    write_code(httpd, app_that_says("new"))
    assert httpd.ctl("reload", "g").returncode == 0
    assert old_and_new(httpd) == {"new"}
    wait.until(lambda: not pids & set(httpd.workers()), 10, "end of the old processes")


def test_ctl_42_a_script_that_is_gone_holds_nothing_up(own_httpd):
    httpd = own_httpd(**one_group("processes=1"))
    httpd.log.allow("WSGI0135")
    assert httpd.fetch("/code").status == httpd.fetch("/hello").status == 200
    os.unlink(code_of(httpd))
    assert httpd.ctl("reload", "g").returncode == 0
    assert httpd.fetch("/hello").status == 200 and httpd.fetch("/code").status == 404


def test_ctl_43_reload_of_all_groups(own_httpd):
    httpd = own_httpd(**one_group("processes=1", main="WSGIDaemonProcess other processes=2\n"))
    before = {w["pid"] for name, n in (("g", 1), ("other", 2)) for w in serving(httpd, n, name)}
    done = httpd.ctl("reload", "--all")
    assert done.returncode == 0
    said = [line.split(";")[0] for line in done.stdout.splitlines()]  # an old one may still be leaving
    assert said == ["group g: 1 process replaced", "group other: 2 processes replaced"]
    assert not before & {w["pid"] for name, n in (("g", 1), ("other", 2)) for w in serving(httpd, n, name)}


def test_ctl_44_reload_does_not_wait_for_requests_of_the_old(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=3 graceful-timeout=60"))
    with holding(httpd) as hold:
        pid, = hold.take(1)
        done = httpd.ctl("reload", "g")
        assert done.returncode == 0 and "1 process replaced; 1 of them still finishes requests" in done.stdout
        states = {w["pid"]: w["state"] for w in workers_of(httpd)}
        assert states.pop(pid) == "draining" and list(states.values()) == ["ready"]
        assert [len(w["requests"]) for w in workers_of(httpd) if w["pid"] == pid] == [1]
        hold.notes.tell("out")
        assert [r.text for r in hold.requests.join()] == [str(pid)]


def test_ctl_45_recycle_one_process(own_httpd):
    httpd = own_httpd(**one_group("processes=3"))
    first, second, third = serving(httpd, 3)
    assert httpd.ctl("recycle", f"g/{first['slot']}").stdout.startswith("group g: 1 process replaced")
    kept = {w["pid"] for w in serving(httpd, 3)}
    assert first["pid"] not in kept and {second["pid"], third["pid"]} < kept
    assert httpd.ctl("recycle", str(second["pid"])).returncode == 0
    kept = {w["pid"] for w in serving(httpd, 3)}
    assert second["pid"] not in kept and third["pid"] in kept
    done = httpd.ctl("recycle", str(second["pid"]))
    assert done.returncode == 1 and f"'{second['pid']}'" in done.stderr


def test_ctl_46_reload_of_a_group_that_cannot_start(own_httpd):
    """It is started at once, not when its back-off is over."""
    httpd = own_httpd.make(main="WSGIDaemonProcess g home=@tmp@/home\n", vhosts={"a": ""})
    httpd.log.allow("WSGI0562")
    os.mkdir(httpd.path("tmp/home"))
    httpd.start()
    serving(httpd, 1)
    os.rmdir(httpd.path("tmp/home"))
    os.kill(serving(httpd, 1)[0]["pid"], signal.SIGKILL)
    httpd.log.allow("WSGI0563")
    waiting = wait.until(lambda: [w for w in workers_of(httpd) if w["state"] == "waiting" and w["failures"] > 5], 20, "a back-off")
    assert "home=" in waiting[0]["why"] and 0 < waiting[0]["due"] <= 60 and waiting[0]["pid"] == 0
    done = httpd.ctl("reload", "g")
    assert done.returncode == 1 and "a new process could not start: " in done.stderr and "home=" in done.stderr
    assert "next start in" in httpd.ctl("ps").stdout
    os.mkdir(httpd.path("tmp/home"))
    assert httpd.ctl("reload", "g").returncode == 0
    serving(httpd, 1)


def test_ctl_47_not_done_in_time(own_httpd):
    httpd = own_httpd.make(**one_group("processes=1"))
    httpd.start()
    serving(httpd, 1)
    with open(httpd.path("apps/hello/wsgi.py"), encoding="utf-8") as f:
        text = f.read()
    assert httpd.fetch("/hello").status == 200
    with open(httpd.path("apps/hello/wsgi.py"), "w", encoding="utf-8") as f:
        f.write("import time\ntime.sleep(3)\n" + text)
    done = httpd.ctl("--timeout", "1", "reload", "g")
    assert done.returncode == 1 and "group g: not done in time; it goes on" in done.stderr
    wait.until(lambda: [w["state"] for w in workers_of(httpd)] == ["ready"], 20, "the end of the replacement")


@pytest.mark.parametrize("command", ["reload", "drain", "resume"])
def test_ctl_48_orders_for_groups_take_no_process(own_httpd, command):
    httpd = own_httpd(**one_group())
    worker, = serving(httpd, 1)
    for target in ("g/0", str(worker["pid"]), "other"):
        done = httpd.ctl(command, target)
        assert done.returncode == 1 and f"there is no group '{target}'" in done.stderr
    assert [w["pid"] for w in workers_of(httpd)] == [worker["pid"]] and not group_of(httpd)["drained"]


# -- drain, resume


def test_ctl_50_drain_finishes_requests_and_refuses_others(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2 graceful-timeout=60"))
    with holding(httpd) as hold:
        pid, = hold.take(1)
        with background() as requests:
            draining = threading.Thread(target=lambda: setattr(hold, "done", httpd.ctl("drain", "g")))
            draining.start()
            wait.until(lambda: group_of(httpd)["drained"], 10, "drained group")
            rsp = httpd.fetch("/hello")
            assert rsp.status == 503 and rsp.get("Retry-After")
            assert {line.level for line in httpd.log.find("WSGI0786.*'g'")} == {"info"}
            assert not hasattr(hold, "done")
            hold.notes.tell("out")
            draining.join()
            assert not requests.threads
        assert hold.done.returncode == 0 and hold.done.stdout == "group g: drained\n"
        assert [r.text for r in hold.requests.join()] == [str(pid)]
    assert workers_of(httpd) == [] and not httpd.workers()
    assert httpd.ctl("drain", "g").returncode == 0  # it is already
    assert httpd.fetch("/hello").status == 503
    refused = httpd.ctl("reload", "g")
    assert refused.returncode == 1 and "the group is drained" in refused.stderr
    assert httpd.ctl("resume", "g").stdout == "group g: resumed\n"
    assert httpd.fetch("/hello").status == 200
    serving(httpd, 2)
    assert httpd.ctl("resume", "g").returncode == 0
    serving(httpd, 2)
    assert httpd.log.find("WSGI0784.*'g'") and httpd.log.find("WSGI0785.*'g'")


def test_ctl_51_another_group_is_not_drained(own_httpd):
    httpd = own_httpd(main="WSGIDaemonProcess a\nWSGIDaemonProcess b\n"
                           "WSGIScriptAlias /a @apps@/hello/wsgi.py process-group=a\n"
                           "WSGIScriptAlias /b @apps@/hello/wsgi.py process-group=b\n", vhosts={"v": ""})
    assert httpd.ctl("drain", "a").returncode == 0
    assert [httpd.fetch(p).status for p in ("/a", "/b")] == [503, 200]
    assert httpd.ctl("resume", "--all").returncode == 0
    assert [httpd.fetch(p).status for p in ("/a", "/b")] == [200, 200]


def test_ctl_52_a_drained_group_stops_with_httpd(own_httpd):
    httpd = own_httpd(**one_group())
    assert httpd.ctl("drain", "g").returncode == 0
    httpd.graceful()
    assert httpd.fetch("/hello").status == 200  # a new generation begins anew
    assert httpd.ctl("drain", "g").returncode == 0
    httpd.stop()


def test_ctl_53_drain_while_it_starts_and_while_it_rolls(own_httpd):
    httpd = own_httpd(**one_group("processes=2"))
    for _ in range(3):
        serving(httpd, 2)
        rolling = threading.Thread(target=lambda: httpd.ctl("--timeout", "2", "reload", "g"))
        rolling.start()
        wait.until(lambda: any(w["state"] in ("rolling", "asked") for w in workers_of(httpd)) or
                   not rolling.is_alive(), 10, "a replacement")
        assert httpd.ctl("drain", "g").returncode == 0
        assert workers_of(httpd) == [] and not httpd.workers()
        rolling.join()
        assert httpd.ctl("resume", "g").returncode == 0


# -- usage


@pytest.mark.parametrize("args", [(), ("nothing",), ("ps", "g"), ("--no", "ps"), ("--timeout", "0", "ps"),
                                  ("--timeout", "x", "ps"), ("stack", "a", "b"), ("reload",), ("reload", "g", "--all"),
                                  ("drain",), ("resume",), ("recycle",)])
def test_ctl_30_wrong_usage(site, args):
    done = site.ctl(*args)
    assert done.returncode == 2 and "mod_wsgi-ctl" in done.stderr and done.stdout == ""


def test_ctl_31_help_and_version(site):
    done = site.ctl("--help")
    assert done.returncode == 0 and "--socket PATH" in done.stdout and done.stderr == ""
    assert site.ctl("--version").stdout.startswith("mod_wsgi-ctl ")
