"""An httpd of our own: its folder, configuration, start and stop; for ./dev serve and ./dev bench."""

import ctypes
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PR_SET_PDEATHSIG = 1
PRODUCTS = re.compile(r"(mod_wsgi\.so|wsgi-worker|wsgi-python-.*\.so)$")


class Failure(Exception):
    """One line for the user: what is wrong and what to do."""


def build_facts(build):
    """The `NAME := value` lines that configure wrote into the Makefile."""
    facts = {}
    with open(os.path.join(build, "Makefile"), encoding="utf-8") as file:
        for line in file:
            match = re.match(r"(\w+) := (.*)", line)
            if match:
                facts[match.group(1)] = match.group(2).strip()
    return facts


def server_user():
    """(name, group name) that httpd becomes when it starts as root; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("www-data", "apache", "daemon", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        import grp

        return name, grp.getgrgid(entry.pw_gid).gr_name
    raise Failure("root needs a user to become: www-data, apache, daemon or nobody; there is none")


def barrier(path):
    """The first folder on the way to `path`, or path itself, that is closed to other users."""
    whole = os.path.realpath(path)
    parts = whole.split("/")
    for depth in range(1, len(parts) + 1):
        part = "/".join(parts[:depth]) or "/"
        mode = os.stat(part).st_mode
        need = 0o005 if stat.S_ISDIR(mode) and part == whole else 0o001
        if not stat.S_ISDIR(mode):
            need = 0o004
        if mode & need != need:
            return part
    return None


def private_folder(parent):
    """A folder in /var/tmp for a tree that other users cannot enter; kept from run to run, because
    the site's data is in it. Its name is remembered in `parent`."""
    import tempfile

    note = os.path.join(parent, "folder")
    if os.path.exists(note):
        with open(note, encoding="utf-8") as file:
            path = file.read().strip()
        try:
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                return path
        except OSError:
            pass
    path = tempfile.mkdtemp(prefix="mod_wsgi-", dir="/var/tmp")
    os.chmod(path, 0o755)
    os.makedirs(parent, exist_ok=True)
    with open(note, "w", encoding="utf-8") as file:
        file.write(path + "\n")
    return path


def copy_products(build, folder):
    """The built files where the server's user can read them; returns the folder to load from."""
    if not os.path.exists(os.path.join(build, "mod_wsgi.so")):
        raise Failure("there is no %s/mod_wsgi.so; ./dev build" % build)
    if os.geteuid() != 0 or not barrier(os.path.join(build, "mod_wsgi.so")):
        return build
    copy = os.path.join(folder, "build")
    os.makedirs(copy, exist_ok=True)
    os.chmod(copy, 0o755)
    for name in os.listdir(build):
        if PRODUCTS.match(name):
            # A new file, not new bytes in a file that a process may still have mapped.
            shutil.copy(os.path.join(build, name), os.path.join(copy, name + ".new"))
            os.chmod(os.path.join(copy, name + ".new"), 0o755)
            os.replace(os.path.join(copy, name + ".new"), os.path.join(copy, name))
    return copy


def check_port(address, port):
    """A Failure when nobody could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            raise Failure("an ordinary user may not listen on port %d; say --port 8000" % port)
        except OSError:
            raise Failure("port %d is taken by another program; say --port %d" % (port, port + 1))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Httpd:
    """One httpd under `folder`; modules have names like alias, body is its own configuration."""

    def __init__(self, facts, folder, port, modules, body, mpm="event"):
        self.program = facts["HTTPD"]
        self.modules_dir = facts["MODULES_DIR"]
        self.folder, self.port, self.mpm = folder, port, mpm
        self.config = os.path.join(folder, "httpd.conf")
        self.process = None
        if not os.access(self.program, os.X_OK):
            raise Failure("there is no httpd at %s; install apache2-bin" % self.program)
        self.write(modules, body)

    def write(self, modules, body):
        """The configuration: what any httpd needs, then `body`."""
        lines = [
            "# Written by ./dev; changes are lost.",
            "ServerRoot %s" % self.folder,
            "DefaultRuntimeDir run",
            "PidFile run/httpd.pid",
            "Listen 127.0.0.1:%d" % self.port,
            "ServerName 127.0.0.1:%d" % self.port,
            "GracefulShutdownTimeout 2",
        ]
        for name in ["mpm_" + self.mpm, "unixd", "log_config", "authz_core"] + modules:
            path = os.path.join(self.modules_dir, "mod_%s.so" % name)
            if os.path.exists(path):  # or else it is compiled in
                lines.append("LoadModule %s_module %s" % (name, path))
        user = server_user()
        if user:
            lines += ["User %s" % user[0], "Group %s" % user[1]]
        run = os.path.join(self.folder, "run")
        os.makedirs(run, exist_ok=True)
        os.chmod(run, 0o755)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n" + body)

    def start(self, output, env=None):
        """In a session of its own, so that a Ctrl-C reaches us alone; it ends with us."""
        libc = ctypes.CDLL(None)

        def with_us():
            os.setsid()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        self.process = subprocess.Popen(
            [self.program, "-f", self.config, "-DFOREGROUND"], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, preexec_fn=with_us, cwd="/", env=env)

    def wait_ready(self, seconds=30):
        """Until it accepts connections; False if it ended instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def stop(self, gently=10, firmly=10):
        """A graceful stop, if it is given seconds; then TERM; then KILL for all that is left of the session."""
        if not self.process:
            return
        for number, seconds in ((signal.SIGWINCH, gently), (signal.SIGTERM, firmly)):
            if seconds and self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(seconds)
                except (subprocess.TimeoutExpired, KeyboardInterrupt):
                    continue
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
