"""Daemon groups: who serves, as whom, what happens when all are busy, and when one dies."""

import collections
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from conftest import Notes, apps_config
from harness import client, procs, server, wait
from harness.load import Load

root_only = pytest.mark.skipif(not server.ROOT, reason="only root can become somebody else")


def one_group(options="", vhost="", main="", **kw):
    """Arguments of a server with all applications in the group g."""
    return dict(main=f"WSGIDaemonProcess g {options}\nWSGIProcessGroup g\n{main}",
                vhosts={"a": apps_config() + vhost}, **kw)


def ready(httpd, n, seconds=15):
    """Wait until n workers run that have told so; their pids."""
    def look():
        found = httpd.workers()
        return set(found) if len(found) == n and all(is_ready(httpd, pid) for pid in found) else None
    return wait.until(look, seconds, f"{n} ready workers")


def is_ready(httpd, pid):
    return bool(httpd.log.find(rf"WSGI0561.*\(pid {pid}\)"))


class Background:
    """Requests in threads: their responses in the order of their start."""

    def __init__(self):
        self.threads = []
        self.responses = {}

    def start(self, port, path, **kw):
        n = len(self.threads)

        def run():
            try:
                self.responses[n] = client.fetch(port, path, timeout=60, **kw)
            except BaseException as e:  # pylint: disable=broad-except
                self.responses[n] = e
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()
        return n

    def join(self):
        for t in self.threads:
            t.join()
        return [self.responses[n] for n in range(len(self.threads))]


@contextlib.contextmanager
def background(*notes):
    """Background requests; at the end held ones are let go."""
    requests = Background()
    try:
        yield requests
    finally:
        for n in notes:
            n.tell("out")
        requests.join()


class Hold:
    """Requests that each hold a thread of a worker until let go."""

    def __init__(self, httpd, requests):
        self.httpd = httpd
        self.requests = requests
        self.notes = Notes(httpd.path("tmp"))

    def take(self, n=1, method="GET"):
        """n more held threads; the pids of all that are held."""
        had = len(self.pids())
        for _ in range(n):
            self.requests.start(self.httpd.port(), f"/busy?key={self.notes.key}", method=method)
        wait.until(lambda: len(self.pids()) == had + n, 15, "held threads")
        return self.pids()

    def pids(self):
        return [int(line.split()[-1]) for line in self.notes.read("in").splitlines() if line.split()]


@contextlib.contextmanager
def holding(httpd):
    with background() as requests:
        hold = Hold(httpd, requests)
        try:
            yield hold
        finally:
            hold.notes.tell("out")


DESIGN = """
WSGIDaemonProcess django processes=3 threads=10
WSGIDaemonProcess django-admin processes=1 threads=10
"""
DESIGN_SITE = """
WSGIProcessGroup django
WSGIScriptAlias / @apps@/who/wsgi.py
WSGIScriptAlias /busy @apps@/busy/wsgi.py
<Location /admin>
    WSGIProcessGroup django-admin
</Location>
"""


def test_daemon_01_one_site_over_four_processes(own_httpd):
    httpd = own_httpd(main=DESIGN, vhosts={"a": DESIGN_SITE})
    ready(httpd, 4)
    site = httpd.fetch("/x").json()
    admin = httpd.fetch("/admin/x").json()
    assert (site["process_group"], admin["process_group"]) == ("django", "django-admin")
    assert (site["module_group"], admin["module_group"]) == ("django", "django-admin")
    assert site["script_name"] == admin["script_name"] == ""
    pids = {"django": set(), "django-admin": set()}

    def ask(path, n):
        for _ in range(n):
            who = httpd.fetch(path).json()
            pids[who["process_group"]].add(who["pid"])
    askers = [threading.Thread(target=ask, args=(path, 30)) for path in ("/", "/admin", "/a/b", "/admin/y")]
    for t in askers:
        t.start()
    for t in askers:
        t.join()
    assert len(pids["django-admin"]) == 1 and 1 <= len(pids["django"]) <= 3
    assert not pids["django"] & pids["django-admin"]
    assert pids["django"] | pids["django-admin"] <= set(httpd.workers())
    assert {p for p in httpd.workers()} & set(httpd.children()) == set()


def test_daemon_02_workers_are_executed_below_one_supervisor(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    workers = ready(httpd, 2)
    supers = httpd.supervisors()
    assert len(supers) == 1
    assert procs.Proc(supers.pop()).ppid == httpd.pid
    for pid in workers:
        exe = os.readlink(f"/proc/{pid}/exe")
        assert exe == httpd.path("build", "wsgi-worker")
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            maps = f.read()
        assert "mod_wsgi.so" not in maps and "mpm_" not in maps and "wsgi-python-" in maps


def test_daemon_03_the_supervisor_and_the_parent_hold_no_python(own_httpd):
    httpd = own_httpd(**one_group("processes=1"))
    ready(httpd, 1)
    httpd.fetch("/hello")
    for pid in [*httpd.supervisors(), httpd.pid]:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            assert "libpython" not in f.read()


def test_daemon_04_a_worker_holds_no_descriptor_of_httpd(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=2"))
    pid = ready(httpd, 1).pop()
    listeners = {line.split()[9] for line in open("/proc/net/tcp", encoding="ascii").readlines()[1:]
                 if line.split()[1].endswith(f":{httpd.port():04X}") and line.split()[3] == "0A"}
    assert listeners
    for proc in [pid, *httpd.supervisors()]:
        targets = procs.fds(proc).values()
        assert not [t for t in targets if t.startswith("socket:[") and t[8:-1] in listeners]
    assert not [t for t in procs.fds(pid).values() if t.endswith("httpd.conf")]


@root_only
def test_daemon_05_workers_drop_to_httpd_s_user(own_httpd):
    import grp
    import pwd
    httpd = own_httpd(**one_group())
    who = httpd.fetch("/who").json()
    user = pwd.getpwnam(server.USER)
    assert who["uid"] == [user.pw_uid] * 3
    assert who["gid"] == [grp.getgrnam(server.GROUP).gr_gid] * 3
    assert 0 not in who["groups"]


@root_only
def test_daemon_06_workers_drop_to_the_group_s_user(own_httpd):
    import grp
    import pwd
    httpd = own_httpd(**one_group("user=nobody group=nogroup processes=2"))
    httpd.log.allow("WSGI0578")  # that user has no home
    user, gid = pwd.getpwnam("nobody"), grp.getgrnam("nogroup").gr_gid
    for pid in ready(httpd, 2):
        p = procs.Proc(pid)
        assert p.ids("Uid") == [user.pw_uid] * 4
        assert p.ids("Gid") == [gid] * 4
        assert set(p.ids("Groups")) == set(os.getgrouplist("nobody", gid))
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            assert re.search(r"CapEff:\s*0+\n", f.read())
    who = httpd.fetch("/who").json()
    assert who["uid"] == [user.pw_uid] * 3 and who["env"]["HOME"] == user.pw_dir


@root_only
def test_daemon_07_user_by_number(own_httpd):
    import pwd
    user = pwd.getpwnam("nobody")
    httpd = own_httpd(**one_group(f"user=#{user.pw_uid} group=#{user.pw_gid}"))
    httpd.log.allow("WSGI0578")
    assert httpd.fetch("/who").json()["uid"] == [user.pw_uid] * 3


def test_daemon_08_process_options(own_httpd):
    httpd = own_httpd.make(**one_group("umask=0027 home=@tmp@ lang=C.UTF-8 locale=C.UTF-8 "
                                       "python-path=@dir@/lib1:@dir@/lib2 display-name=%{GROUP} threads=2"))
    for name in ("lib1", "lib2"):
        os.mkdir(httpd.path(name))
    httpd.start()
    pid = ready(httpd, 1).pop()
    who = httpd.fetch("/who").json()
    assert who["umask"] == "0027"
    assert who["cwd"] == httpd.path("tmp")
    assert who["path"][:3] == [httpd.path("tmp"), httpd.path("lib1"), httpd.path("lib2")]
    assert (who["env"]["LANG"], who["env"]["LC_ALL"]) == ("C.UTF-8", "C.UTF-8")
    assert procs.cmdline(pid).startswith("(wsgi:g)")


def test_daemon_09_a_literal_display_name(own_httpd):
    httpd = own_httpd(**one_group("display-name=my-name"))
    assert procs.cmdline(ready(httpd, 1).pop()).startswith("my-name")


def test_daemon_10_the_least_busy_process_is_chosen(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    ready(httpd, 2)
    with holding(httpd) as hold:
        first = hold.take(1)[0]
        second = hold.take(1)[1]
        assert first != second
        pids = hold.take(2)
        assert collections.Counter(pids) == {first: 2, second: 2}


def test_daemon_11_a_busy_process_is_passed_over(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=1"))
    ready(httpd, 2)
    with holding(httpd) as hold:
        busy = hold.take(1)[0]
        for _ in range(10):
            assert httpd.fetch("/who").json()["pid"] != busy


def test_daemon_12_requests_wait_when_all_are_busy(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=1"))
    with holding(httpd) as hold:
        hold.take(1)
        with background() as waiting:
            for _ in range(4):
                waiting.start(httpd.port(), "/hello")
            wait.holds(lambda: not waiting.responses, 0.5, "waiting")
            hold.notes.tell("out")
            assert [r.status for r in waiting.join()] == [200] * 4


def test_daemon_13_first_come_first_served(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=1"))
    key = Notes(httpd.path("tmp"))
    with holding(httpd) as hold:
        hold.take(1)
        with background(key) as waiting:
            key.tell("out")
            for tag in "abcdef":
                waiting.start(httpd.port(), f"/busy?key={key.key}&tag={tag}")
                time.sleep(0.05)  # an order of arrival is the subject here
            hold.notes.tell("out")
            waiting.join()
    assert [line.split()[0] for line in key.read("in").splitlines()] == list("abcdef")


def test_daemon_14_a_request_that_waits_too_long_is_503(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=1 queue-timeout=1"))
    with holding(httpd) as hold:
        hold.take(1)
        begin = client.now()
        rsp = httpd.fetch("/hello")
        assert rsp.status == 503 and int(rsp.get("Retry-After")) >= 1
        assert 0.9 <= client.now() - begin < 3
        httpd.log.wait("WSGI0084|WSGI0651", since=0)
    assert httpd.fetch("/hello").status == 200


def test_daemon_15_a_waiting_client_that_goes_away_takes_no_thread(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=1"))
    with holding(httpd) as hold:
        hold.take(1)
        for _ in range(5):
            with httpd.conn() as conn:
                conn.request("GET", "/hello")
        hold.notes.tell("out")
    assert httpd.fetch("/hello").status == 200


def killed(log, *more):
    log.allow("WSGI0563", "WSGI0562", "WSGI0146", "WSGI0147", *more)


def test_daemon_16_a_killed_worker_takes_only_its_own_requests(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=4"))
    ready(httpd, 2)
    killed(httpd.log)
    with holding(httpd) as hold:
        pids = hold.take(6, method="POST")
        victim = pids[0]
        before = collections.Counter(pids)
        procs.kill(victim, signal.SIGKILL)
        since = client.now()
        assert httpd.fetch("/hello").status == 200
        wait.until(lambda: [r for r in hold.requests.responses.values() if r.status == 502], 5, "502")
        wait.until(lambda: len(hold.requests.responses) == before[victim], 5, "end of the lost requests")
        wait.until(lambda: len([p for p in httpd.workers() if is_ready(httpd, p)]) == 2, 5, "whole group")
        took = client.now() - since
        hold.notes.tell("out")
        codes = collections.Counter(r.status for r in hold.requests.join())
    assert codes == {502: before[victim], 200: 6 - before[victim]}
    assert took < 2, f"the group was whole again after {took:.1f} s"
    assert victim not in httpd.workers()
    httpd.assert_zombie_free()
    line = httpd.log.wait("WSGI0563", since=0)
    assert str(victim) in line.text and re.search("signal 9|SIGKILL|Killed", line.text)


def test_daemon_17_the_only_worker_is_killed_idle(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=2"))
    killed(httpd.log)
    for _ in range(3):
        pid = ready(httpd, 1).pop()
        assert httpd.fetch("/hello").status == 200
        procs.kill(pid, signal.SIGKILL)
        assert httpd.fetch("/hello").status == 200
        wait.until(lambda: pid not in httpd.workers(), 5, "new worker")


def lives(httpd, n):
    notes = Notes(httpd.path("tmp"))
    with open(notes.path("lives"), "w", encoding="ascii") as f:
        f.write(str(n))
    os.chmod(notes.path("lives"), 0o666)
    return notes


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_daemon_18_an_idempotent_request_is_tried_on_another_worker(own_httpd, method):
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    ready(httpd, 2)
    killed(httpd.log)
    notes = lives(httpd, 1)
    rsp = httpd.fetch(f"/killonce?key={notes.key}", method=method)
    assert rsp.status == 200 and notes.read("lives") == "-1"


@pytest.mark.parametrize("method,path", [("POST", "/killonce"), ("PATCH", "/killonce")])
def test_daemon_19_another_method_is_not_repeated(own_httpd, method, path):
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    ready(httpd, 2)
    killed(httpd.log)
    notes = lives(httpd, 1)
    assert httpd.fetch(f"{path}?key={notes.key}", method=method, body=b"x=1").status == 502
    assert notes.read("lives") == "0"
    assert httpd.fetch("/hello").status == 200


def test_daemon_20_a_request_that_kills_every_worker_ends(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    ready(httpd, 2)
    killed(httpd.log)
    notes = lives(httpd, 1000)
    assert httpd.fetch(f"/killonce?key={notes.key}", timeout=30).status == 502
    assert int(notes.read("lives")) >= 1000 - 5
    wait.until(lambda: httpd.fetch("/hello", timeout=30).status == 200, 10, "service again")


def test_daemon_21_put_with_a_body_that_was_consumed_is_not_repeated_in_part(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    ready(httpd, 2)
    killed(httpd.log)
    notes = lives(httpd, 1)
    rsp = httpd.fetch(f"/killonce?key={notes.key}&read=1", method="PUT", body=b"x" * 300000)
    assert rsp.status in (200, 502)
    if rsp.status == 200:
        assert notes.read("lives") == "-1"


def rewrite(path, old, new):
    """Change a script at one stroke, as deployment tools do; its time changes in any case."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    stamp = os.stat(path).st_mtime_ns
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))
    os.chmod(path + ".new", 0o644)
    os.utime(path + ".new", ns=(stamp + 2_000_000_000, stamp + 2_000_000_000))
    os.replace(path + ".new", path)


def test_daemon_22_a_touched_script_replaces_the_process_and_no_request_fails(own_httpd):
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    old = ready(httpd, 2)
    path = httpd.path("apps", "reload", "wsgi.py")
    failures, answers, stop = [], [], threading.Event()

    def ask():
        with httpd.conn() as conn:
            while not stop.is_set():
                rsp = conn.get("/reload")
                answers.append(rsp.text.split()[0])
                if rsp.status != 200:
                    failures.append(rsp)
    askers = [threading.Thread(target=ask) for _ in range(3)]
    for t in askers:
        t.start()
    try:
        wait.until(lambda: len(answers) > 20, 10, "answers")
        rewrite(path, '"one"', '"two"')
        wait.until(lambda: "two" in answers, 10, "new code")
        wait.until(lambda: not old & set(httpd.workers()), 20, "end of the old processes")
        more = len(answers) + 20
        wait.until(lambda: len(answers) > more, 10, "answers")
    finally:
        stop.set()
        for t in askers:
            t.join()
    assert not failures, failures[0]
    assert answers.index("two") > 0 and "one" not in answers[-10:]
    assert len(ready(httpd, 2)) == 2
    httpd.assert_zombie_free()


def test_daemon_23_old_code_answers_until_the_new_is_ready_and_never_again(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=2"))
    path = httpd.path("apps", "reload", "wsgi.py")
    names = ["one", "two", "three", "four"]
    for old, new in zip(names, names[1:]):
        assert httpd.fetch("/reload").text.startswith(old)
        rewrite(path, f'"{old}"', f'"{new}"')
        wait.until(lambda: httpd.fetch("/reload").text.startswith(new), 10, f"the code of {new}")
        for _ in range(3):
            assert httpd.fetch("/reload").text.startswith(new)


def test_daemon_24_a_touched_script_in_embedded_mode_is_loaded_anew(own_httpd):
    httpd = own_httpd(vhosts={"a": apps_config()})
    path = httpd.path("apps", "reload", "wsgi.py")
    assert httpd.fetch("/reload").text.startswith("one ")
    pids = set(httpd.children())
    rewrite(path, '"one"', '"two"')
    for _ in range(5):
        text, pid = httpd.fetch("/reload").text.split()
        assert text == "two" and int(pid) in pids


def test_daemon_25_a_post_over_a_touch_keeps_its_body(own_httpd):
    httpd = own_httpd(**one_group("processes=1 threads=2"))
    path = httpd.path("apps", "echo", "wsgi.py")
    body = b"0123456789" * 30000
    assert httpd.fetch("/echo", method="POST", body=body).body == body
    rewrite(path, "8192", "8193")
    assert httpd.fetch("/echo", method="POST", body=body).body == body


def test_daemon_26_a_script_that_broke_is_not_served_until_it_is_mended(own_httpd):
    """The old process goes on with the old code, and the log says so once."""
    httpd = own_httpd(**one_group("processes=1 threads=3"))
    old = ready(httpd, 1)
    path = httpd.path("apps", "reload", "wsgi.py")
    httpd.log.allow("WSGI0740", "WSGI0105", r"\^", traceback=True)
    with Load(httpd, path="/reload", body=None) as load:
        load.more(50)
        rewrite(path, 'VERSION = "one"', 'VERSION = ="one"')
        httpd.log.wait("SyntaxError")
        line = httpd.log.wait("WSGI0740")
        assert path in line.text and "serves on" in line.text and line.level == "error"
        load.more(50)
        assert httpd.fetch("/reload").text.startswith("one") and set(httpd.workers()) >= old
        rewrite(path, 'VERSION = ="one"', 'VERSION = "mended"')
        wait.until(lambda: httpd.fetch("/reload").text.startswith("mended"), 10, "mended script")
        load.more(50)
    assert not load.failures, load.failures[0]


def test_daemon_26_a_script_that_broke_is_500_in_embedded_mode_until_it_is_mended(own_httpd):
    httpd = own_httpd(vhosts={"a": apps_config()})
    path = httpd.path("apps", "reload", "wsgi.py")
    assert httpd.fetch("/reload").status == 200
    httpd.log.allow("WSGI", r"\^", traceback=True)
    rewrite(path, 'VERSION = "one"', 'VERSION = ="one"')
    rsp = httpd.fetch("/reload")
    assert rsp.status in (200, 500)
    httpd.log.wait("SyntaxError")
    rewrite(path, 'VERSION = ="one"', 'VERSION = "mended"')
    wait.until(lambda: httpd.fetch("/reload").text.startswith("mended"), 10, "mended script")


def test_daemon_27_an_unknown_group_is_500_and_the_log_says_where(own_httpd):
    httpd = own_httpd(vhosts={"a": apps_config() + "WSGIProcessGroup nobody-knows\n"})
    assert httpd.fetch("/hello").status == 500
    line = httpd.log.wait("WSGI0151", log="a.log")
    assert "nobody-knows" in line.text
    assert httpd.line_of("WSGIProcessGroup nobody-knows") in line.text


def test_daemon_28_a_group_of_another_virtual_host_is_refused(own_httpd):
    httpd = own_httpd(vhosts={"a": "WSGIDaemonProcess private\n" + apps_config(),
                              "b": apps_config() + "WSGIProcessGroup private\n"})
    assert httpd.fetch("/hello", "a").status == 200
    assert httpd.fetch("/hello", "b").status == 500
    httpd.log.wait("WSGI0152", log="b.log")


HOSTILE = ["g2", "../../etc/passwd", "x" * 5000, "g\\x00", "%{GLOBAL}", "%{ENV:GROUP}", "%{ENV:HTTP_X}", "%{SERVER}",
           "G", "g ", " ", "%s%n%d", "g;id", "\xe9"]


@pytest.mark.parametrize("name", HOSTILE)
def test_daemon_29_hostile_process_group_names(hostile_site, name):
    hostile_site.log.allow("WSGI015", "WSGI0143", "AH0")
    rsp = hostile_site.fetch("/hello", fields=[("X-Group", name)])
    assert rsp.status in (200, 500)
    if rsp.status == 500:
        hostile_site.log.wait("WSGI")
    assert hostile_site.fetch("/hello", fields=[("X-Group", "g")]).body == b"Hello, world!\n"


@pytest.fixture(scope="module")
def hostile_site(httpd):
    return httpd(main='WSGIDaemonProcess g\nWSGIRestrictEmbedded On\nSetEnvIf X-Group "(.*)" GROUP=$1\n'
                      "WSGIProcessGroup %{ENV:GROUP}\n", vhosts={"a": apps_config()})


def test_daemon_30_restrict_embedded(own_httpd):
    httpd = own_httpd(main="WSGIRestrictEmbedded On\nWSGIDaemonProcess g\n",
                      vhosts={"a": apps_config(), "b": apps_config() + "WSGIProcessGroup g\n"})
    assert httpd.fetch("/hello", "a").status == 500
    httpd.log.wait("WSGI0143", log="a.log")
    assert httpd.fetch("/hello", "b").status == 200
    for pid in httpd.children():
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            assert "libpython" not in f.read()


def test_daemon_31_one_application_group_runs_in_the_main_interpreter(own_httpd):
    httpd = own_httpd(main="WSGIDaemonProcess g\nWSGIProcessGroup g\n",
                      vhosts={"a": "WSGIScriptAlias / @apps@/maininterp/wsgi.py"})
    answer = httpd.fetch("/").json()
    assert answer["main"] is True
    assert answer["application_group"] == f"a.test.invalid:{httpd.port()}|"


def test_daemon_32_connections_are_kept(own_httpd):
    """No connect, accept or close per request: the sockets of worker and child stay the same ones."""
    httpd = own_httpd(**one_group("processes=1 threads=2"))
    worker = ready(httpd, 1).pop()

    def sockets():
        found = [worker, *httpd.children(), *httpd.supervisors()]
        return {pid: sorted(t for t in procs.fds(pid).values() if "socket" in t) for pid in found}
    with httpd.conn() as conn:
        for _ in range(20):
            assert conn.get("/hello").status == 200
        before = sockets()
        for _ in range(300):
            assert conn.get("/hello").status == 200
        assert sockets() == before


def traced(pids, work):
    """System call -> count, of these processes while work() runs; None where that cannot be had."""
    if not shutil.which("strace"):
        return None
    args = ["strace", "-f", "-c", "-U", "name,calls"]
    for pid in pids:
        args += ["-p", str(pid)]
    with subprocess.Popen(args, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            wait.until(lambda: all("\nTracerPid:\t0" not in open(f"/proc/{p}/status", encoding="ascii").read()
                                   for p in pids), 5, "attached strace")
        except AssertionError:
            tracer.kill()
            return None
        work()
        tracer.send_signal(signal.SIGINT)
        text = tracer.stderr.read()
    return {m[1]: int(m[2]) for m in re.finditer(r"^\s*(\w+)\s+(\d+)\s*$", text, re.M)}


def test_daemon_33_no_connect_accept_or_close_per_request(own_httpd):
    if server.sanitized():
        pytest.skip("a sanitizer has system calls of its own")
    httpd = own_httpd(**one_group("processes=1 threads=2"))
    worker = ready(httpd, 1).pop()
    with httpd.conn() as conn:
        def work(n=200):
            for _ in range(n):
                assert conn.get("/hello").status == 200
        work(20)
        for pids in ([worker], list(httpd.children())):
            calls = traced(pids, work)
            if calls is None:
                pytest.skip("strace cannot attach here")
            assert calls, "strace saw nothing"
            for name in ("connect", "accept", "accept4", "socketpair", "socket", "close", "openat", "fork", "clone"):
                assert calls.get(name, 0) < 20, calls


def test_daemon_34_workers_of_a_sleeping_site_do_not_wake(own_httpd):
    """An idle group costs nothing: no timer ticks in the supervisor or the workers."""
    httpd = own_httpd(**one_group("processes=2 threads=2"))
    idle = [*ready(httpd, 2), *httpd.supervisors()]
    httpd.fetch("/hello")

    def switches(pid):
        n = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
                n += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", f.read(), re.M)[1])
        return n
    time.sleep(0.5)
    before = {pid: switches(pid) for pid in idle}
    time.sleep(2)
    woken = {pid: switches(pid) - before[pid] for pid in idle}
    assert all(n <= 10 for n in woken.values()), woken


def test_daemon_35_few_system_calls_per_request(own_httpd):
    """A small request is three calls in the worker, and two more in the child than an embedded one. How httpd's
    own threads wake each other and look for the next request depends on the moment and is not counted."""
    if server.sanitized():
        pytest.skip("a sanitizer has system calls of its own")
    httpd = own_httpd(**one_group("processes=1 threads=2", vhost="""
    <Location /embedded>
        WSGIProcessGroup %{GLOBAL}
    </Location>
    WSGIScriptAlias /embedded @apps@/hello/wsgi.py
"""))
    worker = ready(httpd, 1).pop()
    requests = 300

    def per_request(pids, path):
        with httpd.conn() as conn:
            def work():
                for _ in range(requests):
                    assert conn.get(path).status == 200
            work()
            calls = traced(pids, work)
        if calls is None:
            pytest.skip("strace cannot attach here")
        assert calls, "strace saw nothing"
        return {name: round(n / requests, 1) for name, n in calls.items()
                if n > requests / 20 and name not in ("futex", "total")}
    children = list(httpd.children())
    of_worker = per_request([worker], "/hello")
    embedded, daemon = per_request(children, "/embedded"), per_request(children, "/hello")

    def ours(calls):
        return sum(n for name, n in calls.items() if name not in ("epoll_ctl", "epoll_wait", "read"))
    assert sum(of_worker.values()) <= 4, of_worker
    assert ours(daemon) - ours(embedded) <= 3, (embedded, daemon)


# -- what cannot start

def refused(own_httpd, *patterns, prepare=None, vhost=None, **kw):
    """httpd does not start, and what it says matches every pattern."""
    httpd = own_httpd.make(vhosts={"a": apps_config() if vhost is None else vhost}, **kw)
    if prepare:
        prepare(httpd)
    text = httpd.fails_to_start()
    for pattern in patterns:
        assert re.search(pattern, text), f"nothing like {pattern} in:\n{text}"


def test_daemon_40_unknown_option(own_httpd):
    refused(own_httpd, "WSGIDaemonProcess", "prozesses", "httpd.conf", main="WSGIDaemonProcess g prozesses=2\n")


@pytest.mark.parametrize("option", ["processes=0", "processes=-1", "processes=x", "processes=2x", "threads=0x5",
                                    "threads=99999999", "umask=9", "umask=0999", "processes=", "home=relative"])
def test_daemon_41_values_out_of_range(own_httpd, option):
    refused(own_httpd, "WSGIDaemonProcess", option.split("=")[0], main=f"WSGIDaemonProcess g {option}\n")


@root_only
@pytest.mark.parametrize("option,text", [
    ("user=no-such-user-here", "no-such-user-here"), ("group=no-such-group-here", "no-such-group-here"),
    ("user=#0", "root"), ("user=root", "root")])
def test_daemon_42_users_that_cannot_be(own_httpd, option, text):
    refused(own_httpd, text, "WSGIDaemonProcess|daemon|group", main=f"WSGIDaemonProcess g {option}\n")


def test_daemon_43_python_home_that_is_none(own_httpd):
    refused(own_httpd, "Python home", "/nonexistent/venv", "WSGIDaemonProcess g",
            main="WSGIDaemonProcess g python-home=/nonexistent/venv\n")


def test_daemon_44_python_home_without_python(own_httpd):
    refused(own_httpd, "Python home", "/tmp", "WSGIDaemonProcess g", main="WSGIDaemonProcess g python-home=@tmp@\n")


def venv(httpd, version):
    os.makedirs(httpd.path("venv", "bin"))
    with open(httpd.path("venv", "pyvenv.cfg"), "w", encoding="ascii") as f:
        f.write(f"home = /usr/bin\nversion = {version}\n")


def test_daemon_45_no_runtime_for_the_version_of_the_home(own_httpd):
    refused(own_httpd, r"wsgi-python-3\.99\.so", "build|install",
            main="WSGIDaemonProcess g python-home=@dir@/venv\n", prepare=lambda h: venv(h, "3.99.1"))


def without_runtime(httpd):
    for name in os.listdir(httpd.path("build")):
        if name.startswith("wsgi-python-"):
            os.unlink(httpd.path("build", name))


def test_daemon_46_no_runtime_at_all(own_httpd):
    refused(own_httpd, r"wsgi-python-3\.\d+\.so", main="WSGIDaemonProcess g\nWSGIProcessGroup g\n",
            prepare=without_runtime)


def test_daemon_47_no_worker_program(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g\nWSGIProcessGroup g\n", vhosts={"a": apps_config()})
    os.unlink(httpd.path("build", "wsgi-worker"))
    assert "wsgi-worker" in fate(httpd, 3)


def fate(httpd, seconds):
    """What a server says that cannot serve: it refuses to start, or logs; it must not spin."""
    try:
        httpd.start()
    except server.StartFailed:
        text = httpd.said()
        httpd.log.checked = httpd.log.mark()
        httpd.assert_gone()
        return text
    httpd.log.allow("WSGI05", "WSGI06", "WSGI00")
    httpd.log.wait("WSGI0562|WSGI0567", since=0)
    time.sleep(seconds)  # how often it tries in this time is the subject
    tries = len(httpd.log.find("WSGI0562|WSGI0567"))
    assert tries <= 2 + 2 * seconds, f"{tries} starts in {seconds} s"
    begin = client.now()
    httpd.stop()
    assert client.now() - begin < 10
    return httpd.said()


@root_only
def test_daemon_48_a_home_the_user_may_not_enter(own_httpd):
    httpd = own_httpd.make(**one_group("home=@dir@/locked/home"))
    os.makedirs(httpd.path("locked", "home"))
    os.chmod(httpd.path("locked"), 0o700)
    assert "locked" in fate(httpd, 3)


@root_only
def test_daemon_49_a_python_home_the_user_may_not_enter(own_httpd):
    httpd = own_httpd.make(**one_group("python-home=@dir@/locked/venv"))
    venv_dir = httpd.path("locked", "venv")
    os.makedirs(httpd.path("locked"))
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", venv_dir], check=True)
    os.chmod(httpd.path("locked"), 0o700)
    assert "locked" in fate(httpd, 3)


@root_only
def test_daemon_50_a_script_folder_the_user_may_not_enter(own_httpd):
    httpd = own_httpd.make(**one_group("user=nobody group=nogroup",
                                       vhost="WSGIScriptAlias /locked @dir@/locked/wsgi.py\n"))
    os.mkdir(httpd.path("locked"))
    shutil.copy(httpd.path("apps", "hello", "wsgi.py"), httpd.path("locked", "wsgi.py"))
    os.chown(httpd.path("locked"), *owner(server.USER))
    os.chmod(httpd.path("locked"), 0o700)
    httpd.start()
    httpd.log.allow("WSGI", traceback=True)
    assert httpd.fetch("/locked").status == 403
    httpd.log.wait("locked")
    assert httpd.fetch("/hello").status == 200


def owner(name):
    import pwd
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


def test_daemon_51_a_worker_that_dies_at_start_is_not_restarted_in_a_loop(own_httpd):
    """The preloaded script ends the process: back-off, and httpd itself stays fine."""
    httpd = own_httpd.make(main="WSGIDaemonProcess g\n", vhosts={
        "a": "WSGIScriptAlias /x @dir@/dies.py process-group=g application-group=%{GLOBAL}\n" + apps_config()})
    with open(httpd.path("dies.py"), "w", encoding="ascii") as f:
        f.write("import os\nos._exit(7)\n")
    os.chmod(httpd.path("dies.py"), 0o644)
    httpd.start()
    httpd.log.allow("WSGI056", "WSGI0743")
    httpd.log.wait("WSGI0562", since=0)
    assert httpd.fetch("/hello").status == 200
    time.sleep(3)  # how often it tries in this time is the subject
    assert len(httpd.log.find("WSGI0562")) <= 8
    # A client need not wait for what does not come, and hears when to try again.
    httpd.log.wait("next start in 4 s", since=0)
    begin = client.now()
    rsp = httpd.fetch("/x")
    assert rsp.status == 503 and client.now() - begin < 1.5
    assert 1 <= int(rsp.get("Retry-After")) <= 8
    with open(httpd.path("dies.py"), "w", encoding="ascii") as f:
        f.write("def application(e, s):\n    s('200 OK', [])\n    return [b'alive']\n")
    wait.until(lambda: httpd.fetch("/x", timeout=30).text == "alive", 15, "the next start")


def test_daemon_52_preloaded_scripts_are_imported_before_the_first_request(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g processes=2\n", vhosts={
        "a": "WSGIScriptAlias /x @dir@/pre.py process-group=g application-group=%{GLOBAL}\n"})
    with open(httpd.path("pre.py"), "w", encoding="ascii") as f:
        f.write("import os\n"
                f"open('{httpd.path('tmp')}/pre.' + str(os.getpid()), 'w').close()\n"
                "def application(environ, start_response):\n"
                "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
                "    return [str(os.getpid()).encode()]\n")
    os.chmod(httpd.path("pre.py"), 0o644)
    httpd.start()
    for pid in ready(httpd, 2):
        assert os.path.exists(httpd.path("tmp", f"pre.{pid}"))
    assert int(httpd.fetch("/x").body) in httpd.workers()


def test_daemon_53_a_preloaded_script_that_fails_is_logged_and_asked_again(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g\n", vhosts={
        "a": "WSGIScriptAlias /x @apps@/importfails/wsgi.py process-group=g application-group=%{GLOBAL}\n"})
    httpd.log.allow("WSGI", traceback=True)
    httpd.start()
    httpd.log.wait("marker-import", since=0)
    assert httpd.fetch("/x").status == 500


def test_daemon_54_stop_during_a_slow_preload(own_httpd):
    httpd = own_httpd.make(main="WSGIDaemonProcess g processes=2\n", vhosts={
        "a": "WSGIScriptAlias /x @dir@/slow.py process-group=g application-group=%{GLOBAL}\n"})
    with open(httpd.path("slow.py"), "w", encoding="ascii") as f:
        f.write(f"import time\nopen('{httpd.path('tmp')}/slow', 'w').close()\ntime.sleep(60)\n")
    os.chmod(httpd.path("slow.py"), 0o644)
    httpd.start()
    wait.until(lambda: os.path.exists(httpd.path("tmp", "slow")), 10, "import that began")
    httpd.log.allow("WSGI056")
    begin = client.now()
    httpd.stop(signal.SIGTERM)
    assert client.now() - begin < 12


def test_daemon_55_many_groups(own_httpd):
    names = [f"g{n}" for n in range(8)]
    httpd = own_httpd(main="".join(f"WSGIDaemonProcess {n} threads=1\n" for n in names),
                      vhosts={"a": "".join(f"WSGIScriptAlias /{n} @apps@/who/wsgi.py process-group={n}\n"
                                           for n in names)})
    pids = set()
    for n in names:
        who = httpd.fetch(f"/{n}").json()
        assert who["process_group"] == n
        pids.add(who["pid"])
    assert len(pids) == 8


def test_daemon_56_errors_of_the_worker_s_own_go_to_the_log_of_the_group_s_server(own_httpd):
    httpd = own_httpd(vhosts={"a": "WSGIDaemonProcess g threads=1\nWSGIProcessGroup g\n" + apps_config()})
    word = "Nmarkerthread"
    httpd.fetch(f"/stderr?way=thread&word={word}")
    httpd.log.wait(word, log="a.log")
