"""Groups that come, go and change size with `graceful`, under load: old children finish with the workers of
their own generation, new ones have the new, and in the end nothing of the old is left."""

import os
import signal

import pytest

from conftest import apps_config
from harness import procs, wait
from harness.load import Load
from test_50_daemon import holding

SITE = """
    WSGIScriptAlias /who-g @apps@/who/wsgi.py process-group=g
    WSGIScriptAlias /who-h @apps@/who/wsgi.py process-group={h}
"""


def groups(g="processes=2 threads=2", **more):
    """A group g, which has all applications, and others."""
    names = {"g": g, **more}
    main = "".join(f"WSGIDaemonProcess {name} {options}\n" for name, options in names.items())
    return main + "WSGIProcessGroup g\n"


def site(main, h="%{GLOBAL}"):
    return dict(main=main, vhosts={"a": SITE.format(h=h) + apps_config()})


def change(httpd, main, h="%{GLOBAL}"):
    httpd.main = main
    httpd.vhosts["a"].text = SITE.format(h=h) + apps_config()
    httpd.write_config()
    httpd.graceful()


def one_generation(httpd, workers, seconds=20):
    wait.until(lambda: len(httpd.supervisors()) == 1 and len(httpd.workers()) == workers, seconds,
               f"one supervisor, {workers} workers")
    httpd.assert_zombie_free()


CONFIGURATIONS = [
    (dict(g="processes=1 threads=2"), "%{GLOBAL}", 1),
    (dict(g="processes=4 threads=1", h="processes=1 threads=1"), "h", 5),
    (dict(h="processes=2 threads=2", g="processes=2 threads=3"), "h", 4),  # in another order
    (dict(g="processes=1 threads=4", i="processes=1 threads=1", j="processes=1 threads=1"), "i", 3),
    (dict(g="processes=2 threads=2"), "%{GLOBAL}", 2),
]


def test_generations_01_groups_change_under_load_and_no_request_fails(own_httpd):
    httpd = own_httpd(**site(groups()))
    httpd.log.allow("AH00288")
    with Load(httpd, n=3) as load:
        for names, h, _ in CONFIGURATIONS:
            change(httpd, groups(**names), h)
            load.more(60)
            assert httpd.fetch("/who-g").json()["process_group"] == "g"
            assert httpd.fetch("/who-h").json()["process_group"] == ("" if h == "%{GLOBAL}" else h)
    assert not load.failures, load.failures[0]
    one_generation(httpd, CONFIGURATIONS[-1][2])


@pytest.mark.parametrize("names,h,workers", CONFIGURATIONS[:4])
def test_generations_02_each_configuration_has_its_processes_and_no_others(own_httpd, names, h, workers):
    httpd = own_httpd(**site(groups()))
    before = set(httpd.workers())
    change(httpd, groups(**names), h)
    one_generation(httpd, workers)
    wait.until(lambda: not before & set(httpd.workers()), 15, "end of the old workers")
    seen = httpd.fetch("/who-g").json()
    assert seen["process_group"] == "g" and seen["pid"] in httpd.workers()


def test_generations_03_a_request_finishes_in_a_group_that_is_gone(own_httpd):
    httpd = own_httpd(**site(groups(h="processes=1 threads=2"), "h"))
    httpd.vhosts["a"].text += "<Location /busy>\nWSGIProcessGroup h\n</Location>\n"
    httpd.write_config()
    httpd.graceful()
    one_generation(httpd, 3)
    with holding(httpd) as hold:
        old = set(hold.take(1))
        change(httpd, groups())
        assert httpd.fetch("/who-h").json()["process_group"] == ""
        assert old <= set(httpd.workers()) and len(httpd.supervisors()) == 2
        hold.notes.tell("out")
        assert [r.status for r in hold.requests.join()] == [200]
    one_generation(httpd, 2)
    assert not any(procs.alive(p) for p in old)


def test_generations_04_an_old_generation_replaces_what_dies_in_it(own_httpd):
    """While an old child has requests, their workers are still looked after."""
    httpd = own_httpd(**site(groups("processes=2 threads=1")))
    httpd.log.allow("WSGI0563")
    with holding(httpd) as hold:
        held = set(hold.take(1))
        old = set(httpd.workers())
        change(httpd, groups("processes=1 threads=1"))
        idle = (old - held).pop()
        procs.kill(idle)
        wait.until(lambda: not procs.alive(idle), 5, "its death")
        # two of the old generation, as it was configured, and one of the new
        wait.until(lambda: len(httpd.workers()) == 3, 15, "a worker in its place")
        hold.notes.tell("out")
        assert [r.status for r in hold.requests.join()] == [200]
    one_generation(httpd, 1)


STOPS = {"stop": signal.SIGTERM, "graceful-stop": signal.SIGWINCH}


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize("busy", [False, True])
def test_generations_05_a_stop_takes_all_generations(own_httpd, how, busy):
    httpd = own_httpd(**site(groups("processes=2 threads=2 shutdown-timeout=1 graceful-timeout=2")))
    httpd.log.allow("AH00045", "AH00046", "AH00047", "WSGI")
    with holding(httpd) as hold:
        if busy:
            hold.take(2)
        for names, h, _ in CONFIGURATIONS[1:3]:
            change(httpd, groups(**names), h)
            if busy:
                hold.take(1)
        if how == "graceful-stop":
            hold.notes.tell("out")
        httpd.stop(STOPS[how], seconds=40)
        hold.notes.tell("out")
    httpd.assert_gone()


def test_generations_06_a_supervisor_of_an_old_generation_is_killed(own_httpd):
    httpd = own_httpd(**site(groups()))
    httpd.log.allow("WSGI0655", "WSGI0572", "WSGI0146", "AH0")
    old = httpd.supervisors().pop()
    with holding(httpd) as hold:
        hold.take(2)
        change(httpd, groups("processes=1 threads=2"))
        procs.kill(old)
        wait.holds(lambda: not hold.requests.responses, 1, "requests in flight")
        hold.notes.tell("out")
        assert [r.status for r in hold.requests.join()] == [200, 200]
    one_generation(httpd, 1, 30)


def test_generations_07_new_code_comes_with_a_graceful_restart_even_unwatched(own_httpd):
    """With WSGIScriptReloading Off a graceful restart is how code is deployed; old children have the old."""
    args = site(groups("processes=1 threads=3"))
    args["vhosts"]["a"] += "WSGIScriptReloading Off\n"
    httpd = own_httpd(**args)
    path = httpd.path("apps", "reload", "wsgi.py")
    assert httpd.fetch("/reload").text.startswith("one")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text.replace('"one"', '"two"'))
    os.chmod(path + ".new", 0o644)
    os.replace(path + ".new", path)
    assert httpd.fetch("/reload").text.startswith("one")
    with Load(httpd) as load:
        httpd.graceful()
        load.more(20)
        wait.until(lambda: httpd.fetch("/reload").text.startswith("two"), 10, "the new code")
    assert not load.failures, load.failures[0]
