"""Processes that run Python do not grow with the requests they have served; bench/memory.py is the long form."""

import os
import shutil
import subprocess
import sys

import pytest

from harness import server
from test_90_load import Wrk, memory

pytestmark = [pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed"),
              pytest.mark.skipif(server.sanitized(), reason="what a sanitizer keeps is no leak")]

BENCH = os.path.join(server.REPO, "bench", "kinds.py")
REQUESTS = 1000  # at least; before the first look, and again before the second
LIMIT_KIB = 1024


@pytest.fixture(scope="module")
def kinds(httpd):
    """One process for each mode, whatever the MPM."""
    text = "LogLevel wsgi:crit\nWSGIScriptAlias /kinds @dir@/kinds.py\n"
    single = ("StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\nMinSpareServers 1\nMaxSpareServers 1\n"
              if server.MPM == "prefork" else
              "StartServers 1\nServerLimit 1\nThreadsPerChild 10\nMaxRequestWorkers 10\n")
    made = httpd.make(main="WSGIDaemonProcess group threads=4\n", mpm_config=single,
                      vhosts={"embedded": text, "daemon": "WSGIProcessGroup group\n" + text})
    shutil.copy(BENCH, made.path("kinds.py"))
    os.chmod(made.path("kinds.py"), 0o644)
    subprocess.run([sys.executable, BENCH, made.path("kinds.data")], check=True)
    made.log.allow("AH00161", "AH00484")
    return made.start()


def serve(httpd, mode, kind):
    done = 0
    while done < REQUESTS:
        requests, bad, errors = Wrk(httpd.port(mode), f"/kinds/{kind}",
                                    1 if server.MPM == "prefork" else 4, 1).result()
        assert errors == 0 and bad == (requests if kind == "exception" else 0)
        done += requests


@pytest.mark.parametrize("kind", ["small", "generator", "exception", "wrapper", "big"])
def test_memory_01_after_more_requests_it_is_what_it_was(kinds, mode, kind):
    pid = int(kinds.fetch("/kinds/pid", mode).body)
    serve(kinds, mode, kind)
    before = memory(pid)
    serve(kinds, mode, kind)
    assert memory(pid) - before <= LIMIT_KIB
    assert int(kinds.fetch("/kinds/pid", mode).body) == pid
