"""One httpd of the tests: its folder, its configuration, its life, and what must be true after it.

    folder/  build/  the build products (so that whoever the server becomes can read them)
             apps/   a copy of tests/apps, free to be changed by a test
             conf/   httpd.conf
             logs/   main.log and one per virtual host
             run/    pid file and whatever httpd puts into its runtime folder
             tmp/    writable by everyone: how applications and tests tell each other things
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import tempfile

from . import client, procs, wait
from .errorlog import ErrorLog

REPO = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
APPS = os.path.join(REPO, "tests", "apps")
BUILD = os.path.abspath(os.environ.get("MW_BUILD") or os.path.join(REPO, "build"))
APACHE = os.environ.get("MW_APACHE", "/usr/sbin/apache2")
MODULES = os.environ.get("MW_MODULES", "/usr/lib/apache2/modules")
MPM = os.environ.get("MPM", "event")
HOME = os.environ.get("MW_PYTHON_HOME")  # virtual environment of the Python to test, not the build's default
ROOT = os.geteuid() == 0
USER, GROUP = "www-data", "www-data"

BASE_MODULES = ("authz_core", "alias", "mime", "env", "setenvif", "dir")

MPM_CONFIG = {
    "event": "StartServers 1\nServerLimit 4\nThreadsPerChild 10\nMaxRequestWorkers 40\n"
             "MinSpareThreads 1\nMaxSpareThreads 40",
    "worker": "StartServers 1\nServerLimit 4\nThreadsPerChild 10\nMaxRequestWorkers 40\n"
              "MinSpareThreads 1\nMaxSpareThreads 40",
    "prefork": "StartServers 2\nServerLimit 24\nMaxRequestWorkers 24\n"
               "MinSpareServers 1\nMaxSpareServers 24",
}

READY = r"AH(00489|00292|00163).*resuming normal operations"


def home_says(key):
    """A line of HOME's pyvenv.cfg."""
    with open(os.path.join(HOME, "pyvenv.cfg"), encoding="utf-8") as f:
        return dict(re.split(r"\s*=\s*", line.strip(), maxsplit=1) for line in f)[key]


def sanitized(build=BUILD):
    """True if the module was built with AddressSanitizer."""
    try:
        with open(os.path.join(build, "mod_wsgi.so"), "rb") as f:
            return b"__asan_init" in f.read()
    except OSError:
        return False


def _libasan():
    out = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                         check=True)
    return os.path.realpath(out.stdout.strip())


class StartFailed(Exception):
    """httpd ended before it served; the text is all that it said."""

    def __init__(self, code, text):
        super().__init__(f"httpd ended with {code}:\n{text}")
        self.code = code
        self.text = text


class Vhost:
    def __init__(self, name, port, text):
        self.name = name
        self.port = port
        self.text = text
        self.log = f"{name}.log"


class Httpd:
    """A server. main goes to the main server's configuration, each of vhosts (name -> text) into a virtual
    host with a port and an error log of its own. In texts, @apps@, @dir@, @tmp@ are folders, @port:NAME@ is
    a port."""

    def __init__(self, main="", vhosts=None, modules=(), mpm=MPM, mpm_config=None, wsgi=True, env=None):
        self.dir = tempfile.mkdtemp(prefix="mwtest-")
        os.chmod(self.dir, 0o755)
        self.main = main
        self.modules = BASE_MODULES + tuple(modules)
        self.mpm = mpm
        self.mpm_config = mpm_config or MPM_CONFIG[mpm]
        self.wsgi = wsgi
        self.env = env or {}
        self.process = None
        self.started = 0
        self.user = None
        self.limits = {}
        self.parent_fds = None
        self.seen = set()
        self.vhosts = {}
        for sub in ("conf", "logs", "run", "tmp"):
            os.mkdir(self.path(sub))
            os.chmod(self.path(sub), 0o755)
        os.chmod(self.path("tmp"), 0o1777)
        if os.path.isdir(APPS):
            shutil.copytree(APPS, self.path("apps"), ignore=shutil.ignore_patterns("__pycache__"))
            _readable(self.path("apps"))
        if wsgi:
            self._copy_build()
        self.log = ErrorLog(self.path("logs"))
        names = vhosts or {"main": ""}
        for name, port in zip(names, client.free_ports(len(names))):
            self.vhosts[name] = Vhost(name, port, names[name])

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def port(self, name=None):
        return self.vhosts[name or next(iter(self.vhosts))].port

    def fetch(self, path, vhost=None, **kw):
        return client.fetch(self.port(vhost), path, **kw)

    def conn(self, vhost=None, **kw):
        return client.Conn(self.port(vhost), **kw)

    def _copy_build(self):
        os.mkdir(self.path("build"))
        os.chmod(self.path("build"), 0o755)
        for name in os.listdir(BUILD):
            if name in ("mod_wsgi.so", "wsgi-worker", "mod_wsgi-ctl") or name.startswith("wsgi-python-"):
                shutil.copy(os.path.join(BUILD, name), self.path("build", name))
                os.chmod(self.path("build", name), 0o755)

    # -- configuration

    def expand(self, text):
        for key in ("apps", "dir", "tmp"):
            text = text.replace(f"@{key}@", self.dir if key == "dir" else self.path(key))
        for name, vhost in self.vhosts.items():
            text = text.replace(f"@port:{name}@", str(vhost.port))
        return text

    def config(self):
        lines = [f"LoadModule mpm_{self.mpm}_module {MODULES}/mod_mpm_{self.mpm}.so"]
        lines += [f"LoadModule {m}_module {MODULES}/mod_{m}.so" for m in self.modules]
        if self.wsgi:
            lines.append("LoadModule wsgi_module @dir@/build/mod_wsgi.so")
            if HOME and "WSGIPythonHome" not in self.main:
                lines.append(f"WSGIPythonHome {HOME}")
        if ROOT and not self.user:
            lines += [f"User {USER}", f"Group {GROUP}"]
        lines += [
            # The compiled-in DocumentRoot need not exist, and where it ends decides what is path info.
            "ServerRoot @dir@", "DocumentRoot @dir@", "ServerName test.invalid", "DefaultRuntimeDir run", "PidFile run/httpd.pid",
            "ErrorLog logs/main.log", "LogLevel " + " ".join(["warn", f"mpm_{self.mpm}:notice", "core:notice"] +
                                   ["wsgi:info"] * self.wsgi),
            "Timeout 30", "KeepAliveTimeout 15", "MaxKeepAliveRequests 0", "TypesConfig /dev/null",
            "GracefulShutdownTimeout 20", "DirectorySlash Off", self.mpm_config,
            "<Directory />", "    AllowOverride None", "    Require all granted", "</Directory>",
            "SetEnv MWTEST_TMP @tmp@", self.main]
        for vhost in self.vhosts.values():
            lines += [f"Listen 127.0.0.1:{vhost.port}", f"<VirtualHost 127.0.0.1:{vhost.port}>",
                      f"    ServerName {vhost.name}.test.invalid:{vhost.port}",
                      f"    ErrorLog logs/{vhost.log}", vhost.text, "</VirtualHost>"]
        return self.expand("\n".join(lines)) + "\n"

    def write_config(self):
        with open(self.path("conf", "httpd.conf"), "w", encoding="utf-8") as f:
            f.write(self.config())

    def line_of(self, text):
        """'file:line' of the first configuration line with this text, as messages name it."""
        path = self.path("conf", "httpd.conf")
        with open(path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                if text in line:
                    return f"{path}:{n}"
        raise AssertionError(f"{text} is not in the configuration")

    def _environ(self):
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "HOME", "TZ")}
        env["MW_TEST_SERVER"] = self.dir
        if HOME:  # a copy: the runtime names a library that only root may be able to reach
            env["LD_LIBRARY_PATH"] = os.path.join(os.path.dirname(home_says("home")), "lib")
        if self.wsgi and sanitized():
            env["LD_PRELOAD"] = _libasan()
            env["PYTHONMALLOC"] = "malloc"
            env["ASAN_OPTIONS"] = f"detect_leaks=0:log_path={self.path('tmp')}/asan"
            env["UBSAN_OPTIONS"] = f"print_stacktrace=1:log_path={self.path('tmp')}/ubsan"
        env.update(self.env)
        return env

    def become(self, user):
        """Start as this user instead of root."""
        self.user = user
        for sub in ("logs", "run"):
            shutil.chown(self.path(sub), user)

    # -- life

    def command(self, *more):
        return [APACHE, "-d", self.dir, "-f", self.path("conf", "httpd.conf"), *more]

    def launch(self):
        """Start, and do not wait."""
        self.write_config()
        self.started = self.log.mark()
        with open(self.path("logs", "start.txt"), "ab") as out:
            self.process = subprocess.Popen(self.command("-DFOREGROUND"), stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, env=self._environ(),
                                            start_new_session=True, cwd="/", user=self.user,
                                            group=self.user and GROUP,
                                            extra_groups=[] if self.user else None,
                                            preexec_fn=self._limit if self.limits else None)
        return self

    def _limit(self):
        for what, value in self.limits.items():
            resource.setrlimit(what, value)

    def start(self, seconds=20):
        self.launch()
        wait.until(lambda: self.process.poll() is not None or
                   (self.log.find(READY, self.started) and client.can_connect(self.port())),
                   seconds, "ready server")
        if self.process.poll() is not None:
            raise StartFailed(self.process.returncode, self.said())
        self.note_processes()
        self.parent_fds = self._parent_fds()
        return self

    def _parent_fds(self):
        """What the parent has open, without the numbers of sockets and pipes."""
        return sorted(target.split("[")[0] for target in procs.fds(self.pid).values())

    def said(self):
        """Everything that a failed start printed or logged."""
        with open(self.path("logs", "start.txt"), encoding="utf-8", errors="replace") as f:
            text = f.read()
        return text + "\n".join(line.full for line in self.log.refresh())

    def fails_to_start(self, seconds=20):
        """Start, expect httpd to refuse, return what it said. Nothing may be left."""
        with contextlib.suppress(StartFailed):
            self.start(seconds)
            raise AssertionError("httpd started although it should not")
        self.log.checked = self.log.mark()
        self.assert_gone()
        assert self.process.returncode != 0
        return self.said()

    def send_signal(self, sig):
        if sig in (signal.SIGUSR1, signal.SIGHUP):
            self.parent_fds = None  # another configuration, other descriptors
        self.process.send_signal(sig)

    def graceful(self, seconds=20):
        """Reload the configuration gracefully and wait until httpd says that it has."""
        self._reload(signal.SIGUSR1, seconds)

    def restart(self, seconds=20):
        self._reload(signal.SIGHUP, seconds)

    def _reload(self, sig, seconds):
        self.note_processes()
        since = self.log.mark()
        self.send_signal(sig)
        wait.until(lambda: self.log.find(READY, since), seconds, "restarted server")
        self.note_processes()

    def stop(self, sig=signal.SIGWINCH, seconds=15):
        """End the server; nothing of it may be left."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.note_processes()
            now = self._parent_fds()
            self.send_signal(sig)
            assert self.parent_fds in (None, now), f"descriptors of httpd: {self.parent_fds} -> {now}"
            wait.until(lambda: self.process.poll() is not None, seconds, "end of httpd")
        self.assert_gone()

    def destroy(self):
        """Whatever happened: no process and no file stays behind."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.processes():
            procs.kill(pid)
        if os.environ.get("MW_KEEP"):
            print("kept:", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def ctl(self, *args, socket="run/wsgi.ctl.sock", user=None):
        """Run mod_wsgi-ctl."""
        return subprocess.run([self.path("build", "mod_wsgi-ctl"), "--socket", self.path(socket), *args],
                              capture_output=True, text=True, timeout=60 * wait.SLOW, check=False, cwd="/",
                              user=user, group=user and GROUP, extra_groups=[] if user else None)

    def ctl_json(self, *args):
        done = self.ctl("--json", *args)
        assert done.stderr == "", done.stderr
        return json.loads(done.stdout)

    # -- processes

    def processes(self):
        return procs.scan(f"MW_TEST_SERVER={self.dir}\0", self.dir + "/")

    def note_processes(self):
        found = self.processes()
        self.seen |= set(found)
        return found

    @property
    def pid(self):
        return self.process.pid

    def workers(self):
        """Worker processes that run now: pid -> Proc."""
        return {pid: p for pid, p in self.processes().items() if p.is_worker and p.state not in "ZX"}

    def supervisors(self):
        """Processes other than ours that are the parent of a worker."""
        found = self.processes()
        return {p.ppid for p in found.values() if p.is_worker and p.ppid in found
                and not found[p.ppid].is_worker and p.ppid != self.pid}

    def children(self):
        """httpd children that serve: children of the parent, but not a supervisor."""
        supers = self.supervisors()
        return {pid: p for pid, p in self.processes().items()
                if p.ppid == self.pid and not p.is_worker and pid not in supers and p.state not in "ZX"}

    # -- what must be true

    def assert_gone(self, seconds=10):
        try:
            wait.until(lambda: not self.processes(), seconds, "end of all processes")
        except AssertionError:
            left = list(self.processes().values())
            for p in left:
                procs.kill(p.pid)
            raise AssertionError(f"processes left: {left}\n" + self.tail()) from None
        self.assert_no_ipc()

    def assert_no_ipc(self):
        left = []
        for folder, _, names in os.walk(self.dir):
            for name in names:
                mode = os.lstat(os.path.join(folder, name)).st_mode
                if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                    left.append(os.path.join(folder, name))
        left += [self.path("run", name) for name in os.listdir(self.path("run"))]
        assert not left, f"files left: {left}"
        shm = [name for name in os.listdir("/dev/shm") if "wsgi" in name or name.startswith("mw")]
        assert not shm, f"shared memory left: {shm}"
        with open("/proc/sysvipc/shm", encoding="ascii") as f:
            segments = [line for line in f.readlines()[1:] if int(line.split()[4]) in self.seen]
        assert not segments, f"shared memory left: {segments}"

    def assert_zombie_free(self):
        """httpd looks once a second for children that have ended; nobody may stay longer."""
        wait.until(lambda: not [p for p in self.processes().values() if p.state == "Z"], 4,
                   "end of all zombies")

    def assert_clean(self):
        """No log line that nobody expected, no sanitizer report."""
        reports = []
        for name in sorted(os.listdir(self.path("tmp"))):
            if name.startswith(("asan.", "ubsan.")):
                with open(self.path("tmp", name), encoding="utf-8", errors="replace") as f:
                    reports.append(f.read())
        assert not reports, "sanitizer:\n" + "\n".join(reports)
        bad = self.log.unexpected()
        assert not bad, "unexpected log lines:\n" + "\n".join(map(repr, bad))

    def tail(self, n=40):
        return "\n".join(repr(line) for line in self.log.refresh()[-n:])


def _readable(folder):
    for where, _, names in os.walk(folder):
        os.chmod(where, 0o755)
        for name in names:
            os.chmod(os.path.join(where, name), 0o644)
