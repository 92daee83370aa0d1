"""./dev serve: an application, or the example site, under an httpd in the foreground."""

import argparse
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading

import instance
from instance import Failure, TOP

# What is copied at most of an application that the server's user may not read.
COPY_FILES, COPY_BYTES = 2000, 64 << 20

CONFIG = """\
LoadModule wsgi_module {build}/mod_wsgi.so

ErrorLog /proc/self/fd/2
ErrorLogFormat "[%{{cu}}t] [%-m:%l] [pid %P] %M"
LogFormat "%h \\"%r\\" %>s %b" short
CustomLog /proc/self/fd/2 short
LogLevel warn wsgi:info

<Directory />
    AllowOverride None
    Require all granted
</Directory>

{site}
"""

MYSITE = """\
TypesConfig /dev/null
AddType text/css .css
AddType text/javascript .js
AddType image/svg+xml .svg
Alias /static/admin {static}

WSGIDaemonProcess django processes={processes} threads={threads}
WSGIDaemonProcess django-admin processes=1 threads={threads}
WSGIProcessGroup django
WSGIScriptAlias / {script}
<Location /admin>
    WSGIProcessGroup django-admin
</Location>
"""

APPLICATION = """\
WSGIDaemonProcess serve processes={processes} threads={threads}{options}
WSGIProcessGroup serve
WSGIScriptAlias / {script}
"""


def say(line):
    print("dev: " + line, file=sys.stderr, flush=True)


def refuse(message):
    raise Failure(message)


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="./dev serve", description="Serve a WSGI application.")
    parser.error = refuse
    parser.add_argument("app", nargs="?", help="a WSGI file, or package.module:callable")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=10)
    options = parser.parse_args(arguments)
    for name, most in (("port", 65535), ("processes", 256), ("threads", 1024)):
        if not 1 <= getattr(options, name) <= most:
            raise Failure("--%s takes a number from 1 to %d" % (name, most))
    return options


def compile_check(path):
    """The first syntax error, in one line, before a server is started for it."""
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Failure("%s, line %s: %s" % (path, error.lineno, error.msg))
    except ValueError as error:
        raise Failure("%s: %s" % (path, error))
    except OSError as error:
        raise Failure("%s: %s" % (path, error.strerror))


def module_file(name, folder):
    """The file of a module below `folder`; None if it is not there (it may be installed)."""
    base = os.path.join(folder, *name.split("."))
    for path in (base + ".py", os.path.join(base, "__init__.py")):
        if os.path.isfile(path):
            return path
    return None


class Place:
    """Where the server lives: build/serve, or in /var/tmp where root's tree is closed to others."""

    def __init__(self, build):
        self.folder = os.path.join(build, "serve")
        os.makedirs(self.folder, exist_ok=True)
        self.user = instance.server_user()
        self.closed = bool(self.user and instance.barrier(self.folder))
        if self.closed:
            self.folder = instance.private_folder(self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def readable(self, source, probe, name):
        """`source`, or a fresh copy if the server's user may not read the file `probe` in it."""
        if not self.user or not (instance.barrier(source) or instance.barrier(probe)):
            return source
        files = tree(source)
        if len(files) > COPY_FILES or sum(os.path.getsize(p) for p in files) > COPY_BYTES:
            raise Failure("user %s may not read %s, and it is too large to copy; move it elsewhere"
                          % (self.user[0], source))
        copy = self.path(name)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy, ignore=lambda folder, names: {
            n for n in names if skipped(n) or not usable(os.path.join(folder, n))})
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        say("user %s may not read %s; this serves a copy of it, made now" % (self.user[0], source))
        return copy

    def as_user(self):
        """Arguments for subprocess to run something as the server's user."""
        if not self.user:
            return {}
        return {"user": self.user[0], "group": self.user[1], "extra_groups": []}


def skipped(name):
    return name in (".git", "__pycache__", "node_modules") or name.startswith("build")


def usable(path):
    return os.path.isdir(path) or os.path.isfile(path)


def tree(source):
    """Every file below a folder that would be copied, as far as one too many."""
    files = []
    for root, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not skipped(name)]
        files += [p for p in (os.path.join(root, n) for n in names) if os.path.isfile(p)]
        if len(files) > COPY_FILES:
            break
    return files


def python_prints(python, code, what, **options):
    """The output of a few lines of Python; a Failure with its last line if it fails."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, **options)
    if done.returncode:
        raise Failure("%s: %s" % (what, (done.stderr.strip().split("\n") or ["?"])[-1]))
    return done.stdout.strip()


def mysite(place, facts, options):
    """The Django site: its database and administrator are made on the first start."""
    python = facts["PYTHON"]
    static = python_prints(
        python, "import os, django.contrib.admin as a; print(os.path.dirname(a.__file__))",
        "%s cannot import Django (apt-get install python3-django)" % python)
    source = os.path.join(TOP, "examples/mysite")
    source = place.readable(source, os.path.join(source, "mysite/settings.py"), "mysite")
    data = place.path("data")
    os.makedirs(data, mode=0o700, exist_ok=True)
    if place.user:
        shutil.chown(data, *place.user)
    script = place.path("django.wsgi")
    with open(script, "w", encoding="utf-8") as file:
        file.write('"""Written by ./dev serve: the site\'s script, told where its data is."""\n\n'
                   "import os\nimport sys\n\n"
                   "sys.path.insert(0, %r)\n"
                   'os.environ["MYSITE_DATA"] = %r\n'
                   'os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"\n\n'
                   "from django.core.wsgi import get_wsgi_application\n\n"
                   "application = get_wsgi_application()\n" % (source, data))
    password = prepare(place, python, source, data)
    site = MYSITE.format(static=os.path.join(static, "static/admin"), script=script,
                         processes=options.processes, threads=options.threads)
    return site, ["the Django site of examples/mysite",
                  "administration: http://127.0.0.1:%d/admin/ (user admin, password %s)"
                  % (options.port, password)]


PREPARE = """\
import os
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0, interactive=False)
from django.contrib.auth.models import User
if not User.objects.filter(username="admin").exists():
    User.objects.create_superuser("admin", "", os.environ["MYSITE_PASSWORD"])
"""


def prepare(place, python, source, data):
    """Migrate, and make the administrator if there is none; returns the password."""
    note = place.path("admin-password")
    if not os.path.exists(note):
        with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(9) + "\n")
    with open(note, encoding="utf-8") as file:
        password = file.read().strip()
    env = dict(os.environ, MYSITE_DATA=data, DJANGO_SETTINGS_MODULE="mysite.settings",
               MYSITE_PASSWORD=password, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=source)
    env.pop("PYTHONHOME", None)
    python_prints(python, PREPARE, "the example site's database could not be made", env=env,
                  cwd=source, **place.as_user())
    return password


def application(place, options):
    """A WSGI file, or package.module:callable, which gets a script that imports it."""
    name = options.app
    if re.match(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", name) and not os.path.exists(name):
        folder = os.getcwd()
        module, callable_name = name.split(":")
        path = module_file(module, folder)
        if path:
            compile_check(path)
            folder = place.readable(folder, path, "application")
        elif not module_installed(module):
            raise Failure("there is no module %s in %s" % (module, folder))
        script = place.path("application.wsgi")
        with open(script, "w", encoding="utf-8") as file:
            file.write("import sys\n\nsys.path.insert(0, %r)\n\nimport %s as module\n\n"
                       "application = module.%s\n" % (folder, module, callable_name))
    else:
        if not os.path.exists(name):
            raise Failure("there is no file %s" % name)
        if not os.path.isfile(name):
            raise Failure("%s is not a file" % name)
        script = os.path.abspath(name)
        compile_check(script)
        folder = place.readable(os.path.dirname(script), script, "application")
        script = os.path.join(folder, os.path.basename(script))
    extra = " home=%s" % quoted(folder)
    home = os.environ.get("VIRTUAL_ENV")
    if home and os.path.exists(os.path.join(home, "pyvenv.cfg")):
        extra += " python-home=%s" % quoted(home)
    return APPLICATION.format(script=quoted(script), processes=options.processes,
                              threads=options.threads, options=extra), [name]


def quoted(path):
    return '"%s"' % path if re.search(r"\s", path) else path


def module_installed(name):
    import importlib.machinery

    return importlib.machinery.PathFinder.find_spec(name.split(".")[0]) is not None


def relay(pipe, to):
    """httpd's output to the terminal, as it comes."""
    with open(pipe, "rb", buffering=0) as lines:
        while True:
            chunk = lines.read(65536)
            if not chunk:
                return
            to.write(chunk)
            to.flush()


def serve(options):
    build = os.path.abspath(os.environ.get("MW_BUILD") or os.path.join(TOP, "build"))
    facts = instance.build_facts(build)
    instance.check_port("127.0.0.1", options.port)
    place = Place(build)
    site, about = application(place, options) if options.app else mysite(place, facts, options)
    body = CONFIG.format(build=instance.copy_products(build, place.folder), site=site)
    modules = ["alias"] if options.app else ["alias", "mime"]
    httpd = instance.Httpd(facts, place.folder, options.port, modules, body,
                           os.environ.get("MPM", "event"))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())

    from_httpd, to_us = os.pipe()
    httpd.start(to_us)
    os.close(to_us)
    reader = threading.Thread(target=relay, args=(from_httpd, sys.stderr.buffer), daemon=True)
    reader.start()
    try:
        if not httpd.wait_ready():
            raise Failure("httpd did not start; its messages are above")
        say("%s on http://127.0.0.1:%d/ (Ctrl-C stops)" % (about[0], options.port))
        for line in about[1:]:
            say(line)
        while not stopped.wait(0.2):
            if httpd.process.poll() is not None:
                raise Failure("httpd ended; its messages are above")
        say("stopping")
    finally:
        httpd.stop()
        reader.join(5)
    say("stopped")


def main():
    try:
        serve(options_of(sys.argv[1:]))
    except Failure as failure:
        say(str(failure))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
