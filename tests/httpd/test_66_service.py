"""Groups with threads=0: their scripts are the program."""

import os
import signal

import pytest

from conftest import apps_config
from harness import procs, wait


def service(kind, options="", vhost=""):
    return dict(main=f"WSGIDaemonProcess s threads=0 env=SERVICE={kind} env=SERVICE_FOLDER=@tmp@ {options}\n"
                     "WSGIImportScript @apps@/service/wsgi.py process-group=s application-group=%{GLOBAL}\n",
                vhosts={"a": apps_config() + vhost})


def said(httpd):
    """pid -> what that process wrote, for all of them, the oldest first."""
    folder = httpd.path("tmp")
    found = sorted((n for n in os.listdir(folder) if n.startswith("service.")),
                   key=lambda n: os.stat(os.path.join(folder, n)).st_mtime_ns)
    texts = {}
    for name in found:
        with open(os.path.join(folder, name), encoding="ascii") as f:
            texts[int(name.split(".")[1])] = f.read().split("\n")[:-1]
    return texts


def running(httpd):
    return wait.until(lambda: next((pid for pid, lines in said(httpd).items() if lines), 0), 15,
                      "a service that has begun")


def test_service_01_runs_on_the_main_thread_and_handles_signals(own_httpd):
    httpd = own_httpd(**service("stays"))
    pid = running(httpd)
    assert said(httpd)[pid] == ["begins s 0"]
    os.kill(pid, signal.SIGUSR2)
    wait.until(lambda: f"signal {int(signal.SIGUSR2)}" in said(httpd)[pid], 10, "its signal")
    assert procs.alive(pid)
    assert httpd.fetch("/hello").status == 200  # embedded, as before


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_service_02_a_signal_raises_systemexit_and_it_starts_again(own_httpd, sig):
    httpd = own_httpd(**service("stays"))
    pid = running(httpd)
    os.kill(pid, sig)
    wait.until(lambda: said(httpd)[pid] == ["begins s 0", "told to leave", "ends"], 10, "its end")
    wait.until(lambda: len(said(httpd)) == 2, 15, "the next one")
    wait.until(lambda: httpd.log.find(rf"wsgi:info.*WSGI0768.*\(pid {pid}\).*have ended"), 5, "a line, at info")


@pytest.mark.parametrize("kind", ["returns", "exits"])
def test_service_03_one_that_ends_is_started_again_but_not_without_a_pause(own_httpd, kind):
    httpd = own_httpd(**service(kind))
    wait.until(lambda: httpd.log.find("WSGI0768.*next start in [2-9] s"), 20, "longer and longer pauses")
    assert 3 <= len(said(httpd)) <= 15


def test_service_04_one_that_fails_is_logged(own_httpd):
    httpd = own_httpd.make(**service("raises"))
    httpd.log.allow("WSGI0109.*the service ends", "WSGI0563", traceback=True)
    httpd.start()
    wait.until(lambda: httpd.log.find("WSGI0563.*exited with status 1; next start in"), 20, "a pause")


def test_service_05_gets_no_requests(own_httpd):
    httpd = own_httpd(**service("stays", vhost="<Location /hello>\nWSGIProcessGroup s\n</Location>\n"))
    running(httpd)
    httpd.log.allow("WSGI0767")
    assert httpd.fetch("/hello").status == 500
    assert httpd.log.find("WSGI0767: group 's' .*threads=0.*500")


def test_service_06_stop_and_graceful_end_it(own_httpd):
    httpd = own_httpd(**service("stays"))
    pid = running(httpd)
    httpd.graceful()
    wait.until(lambda: said(httpd)[pid][-1:] == ["ends"], 20, "the end of the old one")
    new = wait.until(lambda: [p for p in said(httpd) if p != pid], 15, "the new one")[0]
    httpd.stop()
    assert said(httpd)[new] == ["begins s 0", "told to leave", "ends"]


def test_service_07_a_supervisor_that_dies_ends_it(own_httpd):
    httpd = own_httpd(**service("stays"))
    pid = running(httpd)
    httpd.log.allow("WSGI0655", "WSGI0572")
    procs.kill(httpd.supervisors().pop())
    wait.until(lambda: said(httpd)[pid][-1:] == ["ends"], 20, "its end")
    wait.until(lambda: len(said(httpd)) == 2, 20, "the next one")
