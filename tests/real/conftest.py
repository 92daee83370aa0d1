"""Fixtures of the tests of real applications, on top of those in tests/httpd.

An application that is a package of Debian is set up three times, embedded, in a daemon group, and under
wsgiref's server; a scenario is played with each, and every answer must be the reference's.
"""

import glob
import importlib.util
import os
import sys

import pytest

HTTPD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "httpd")
sys.path[:0] = [HTTPD, os.path.dirname(os.path.abspath(__file__))]
sys.dont_write_bytecode = True


def _load(path):
    spec = importlib.util.spec_from_file_location("httpd_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_httpd = _load(os.path.join(HTTPD, "conftest.py"))

# Fixtures and hooks are found by their name here.
httpd = _httpd.httpd
own_httpd = _httpd.own_httpd
mode = _httpd.mode
clean_after = _httpd.clean_after
nonce = _httpd.nonce
pytest_runtest_call = _httpd.pytest_runtest_call

from harness import server  # noqa: E402
from rig.site import APPS, Site  # noqa: E402


def pytest_configure(config):
    """The packages are those of the Python that runs the tests."""
    name = "wsgi-python-%d.%d*.so" % sys.version_info[:2]
    found = [os.path.basename(p) for p in glob.glob(os.path.join(server.BUILD, "wsgi-python-*.so"))]
    if found and not glob.glob(os.path.join(server.BUILD, name)):
        pytest.exit(f"the build has {' '.join(found)}, but the packages are Python "
                    f"{sys.version.split()[0]}'s", returncode=5)


@pytest.fixture(scope="module")
def real(httpd):
    """Factory: real(folder of tests/real/apps, ...) sets the application up; see rig.site.Site."""
    made = []

    def make(app, **kw):
        source = app if os.path.isabs(app) else os.path.join(APPS, app)
        made.append(Site(httpd, source, **kw))
        return made[-1]
    yield make
    for site in made:
        site.stop_reference()


@pytest.fixture
def play(site, mode):
    """play(scenario): the module's site in each mode, compared with the reference."""
    return lambda scenario: site.play(mode, scenario)


@pytest.fixture
def log(site):
    return site.log
