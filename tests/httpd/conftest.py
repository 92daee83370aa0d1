"""Fixtures of the tests against a real httpd. See harness/ for what they are made of.

    MW_BUILD=DIR   build to test (default: build/ of the tree)    MPM=event|worker|prefork
    MW_PYTHON_HOME=DIR  virtual environment of the Python to test, where it is not the build's default
    MW_SLOW=N      stretch every deadline                         MW_KEEP=1  keep the servers' folders
    --repeat N     run each test N times
"""

import contextlib
import os
import secrets
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.dont_write_bytecode = True

from harness import client, server, wait  # noqa: E402

MODES = ("embedded", "daemon")
TEST_SECONDS = 120

# Every directory of tests/apps is mounted under its name, in both modes, each with a virtual host.
GROUP = "WSGIDaemonProcess group processes=1 threads=5"
DEFAULT_MAIN = GROUP + "\n"
STREAMED = "request-buffering=off"  # an option: the application gets the body as it comes
DEFAULT_VHOST = {"embedded": "", "daemon": "WSGIProcessGroup group\n"}


def pytest_addoption(parser):
    parser.addoption("--repeat", type=int, default=1, help="run each test this many times")


def pytest_generate_tests(metafunc):
    repeat = metafunc.config.getoption("repeat")
    if repeat > 1:
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(repeat))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that hangs fails."""
    def late(*_):
        raise AssertionError(f"test ran longer than {TEST_SECONDS * wait.SLOW:g} s")
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(TEST_SECONDS * wait.SLOW))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


class Servers:
    """Makes servers and holds each of them against the rules when it goes."""

    def __init__(self):
        self.live = []

    def make(self, *args, **kw):
        made = server.Httpd(*args, **kw)
        self.live.append(made)
        return made

    def __call__(self, *args, **kw):
        return self.make(*args, **kw).start()

    def begin(self):
        for httpd in self.live:
            httpd.log.begin()

    def check(self):
        for httpd in self.live:
            httpd.assert_clean()

    def end(self, only=None):
        """Stop and check; every server is removed, the first complaint is raised."""
        with contextlib.ExitStack() as stack:
            for httpd in list(self.live):
                if only is None or httpd is only:
                    self.live.remove(httpd)
                    stack.callback(httpd.destroy)
                    stack.callback(httpd.assert_clean)
                    stack.callback(httpd.stop)


_all_servers = []


@pytest.fixture(scope="module")
def httpd():
    """Factory of servers that live as long as the module."""
    servers = Servers()
    _all_servers.append(servers)
    yield servers
    _all_servers.remove(servers)
    servers.end()


@pytest.fixture
def own_httpd():
    """Factory of servers that live as long as the test; .make() does not start them."""
    servers = Servers()
    _all_servers.append(servers)
    yield servers
    _all_servers.remove(servers)
    servers.end()


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


def apps_config():
    """An alias for every directory of tests/apps."""
    names = sorted(os.listdir(server.APPS), key=lambda n: (-len(n), n))
    return "\n".join(f"    WSGIScriptAlias /{name} @apps@/{name}/wsgi.py" for name in names) + "\n"


def both_modes(main="", vhost="", modules=(), options="", **kw):
    """Arguments of a server that has every application in both modes; options are the daemon group's."""
    return dict(main=f"{GROUP} {options}\n{main}", modules=modules,
                vhosts={mode: DEFAULT_VHOST[mode] + apps_config() + vhost for mode in MODES}, **kw)


@pytest.fixture(scope="module")
def site(request, httpd):
    """The module's server with all applications in both modes; SITE in the module adds to its arguments."""
    return httpd(**both_modes(**getattr(request.module, "SITE", {})))


@pytest.fixture
def log(site):
    """The error logs of the site; log.allow() what the test provokes."""
    return site.log


class App:
    """One application of tests/apps in one mode."""

    def __init__(self, site, mode, name):
        self.site = site
        self.mode = mode
        self.name = name
        self.port = site.port(mode)
        self.log_name = f"{mode}.log"

    def url(self, path=""):
        return f"/{self.name}{path}"

    def get(self, path="", **kw):
        return client.fetch(self.port, self.url(path), **kw)

    def conn(self, **kw):
        return client.Conn(self.port, **kw)

    @property
    def script(self):
        return self.site.path("apps", self.name, "wsgi.py")


@pytest.fixture
def app(site, mode):
    """app(name): the application of that directory, in each mode."""
    return lambda name: App(site, mode, name)


@pytest.fixture(autouse=True)
def clean_after():
    """Around every test: what it did not expect in a log is an error."""
    for servers in _all_servers:
        servers.begin()
    yield
    for servers in _all_servers:
        servers.check()


class Notes:
    """Files by which a test and its application tell each other things, wherever the application runs."""

    def __init__(self, folder):
        self.folder = folder
        self.key = secrets.token_hex(6)

    def path(self, name):
        return os.path.join(self.folder, f"{self.key}.{name}")

    def tell(self, name):
        with open(self.path(name), "w", encoding="ascii"):
            pass

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait(self, name, text="", seconds=10):
        """Wait until the application has made the file and put the text into it."""
        return wait.until(lambda: os.path.exists(self.path(name)) and text in self.read(name) and
                          (self.read(name) or True), seconds, f"note {name} {text!r}")


@pytest.fixture
def notes(site):
    return Notes(site.path("tmp"))


@pytest.fixture
def nonce():
    return lambda: "N" + secrets.token_hex(16) + "N"
