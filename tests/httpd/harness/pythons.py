"""Pythons other than the default one, and virtual environments, where the user of a group can enter them."""

import atexit
import functools
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from . import server

SKIPPED = ("test", "idlelib", "tkinter", "turtledemo", "site-packages", "ensurepip", "lib2to3", "__pycache__")

EXTRA = ("3.13", "3.14", "3.12", "3.11", "3.10")


def runtimes(folder=None):
    """Versions ("3.12") that the build, or a folder, has a runtime for."""
    names = (re.fullmatch(r"wsgi-python-(3\.\d+)\.so", name) for name in os.listdir(folder or server.BUILD))
    return sorted((m[1] for m in names if m), key=lambda v: int(v[2:]))


def default():
    """(major, minor) of the Python that the servers have when their configuration names none."""
    version = server.home_says("version") if server.HOME else None
    return tuple(map(int, version.split(".")[:2])) if version else sys.version_info[:2]


@functools.lru_cache(maxsize=None)
def extra():
    """A folder with a runtime that the build does not have, of a newer Python if there is one here; else None.
    Built at most once in a test run."""
    configure = os.path.join(server.REPO, "configure")
    versions = [v for v in EXTRA if v not in runtimes() and installed(v)]
    if not versions or not os.access(configure, os.X_OK) or not shutil.which("make"):
        return None
    folder = tempfile.mkdtemp(prefix="mw-python-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for version in versions:
        command = [configure, "-q", f"--with-python={installed(version)}", "CFLAGS=-O1"]
        if subprocess.run(command, cwd=folder, capture_output=True).returncode == 0:
            make = subprocess.run(["make", "-s", f"wsgi-python-{version}.so"], cwd=folder, capture_output=True, text=True)
            assert make.returncode == 0, make.stderr
            return folder
    return None


def add_extra(httpd):
    """Put the extra runtime beside those of a server; the versions that it has then."""
    folder = extra() if len(runtimes()) < 2 else None
    for version in runtimes(folder) if folder else []:
        shutil.copy(os.path.join(folder, f"wsgi-python-{version}.so"), httpd.path("build"))
    return [v for v in runtimes(httpd.path("build")) if installed(v)]


def installed(version):
    """The interpreter of that version, of pyenv's or of the system; None if there is none."""
    roots = [os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv"), "/root/.pyenv"]
    places = [place for root in roots if root
              for place in sorted(glob.glob(f"{root}/versions/{version}.*/bin/python{version}"))]
    for python in [f"/usr/bin/python{version}", *places]:
        if os.access(python, os.X_OK):
            return python
    return None


def venv(folder, python=sys.executable, *options):
    """Make a virtual environment without pip; its folder of modules."""
    subprocess.run([python, "-m", "venv", "--without-pip", *options, folder], check=True,
                   stdout=subprocess.DEVNULL)
    return glob.glob(os.path.join(folder, "lib", "python3*", "site-packages"))[0]


def reachable(python, folder):
    """The interpreter itself, or, where only its owner can enter its folder, a copy of what it needs."""
    prefix = os.path.dirname(os.path.dirname(python))
    if not server.ROOT or subprocess.run(["setpriv", f"--reuid={server.USER}", "--clear-groups", python, "-c", ""],
                                         capture_output=True).returncode == 0:
        return python
    name = os.path.basename(python)
    os.makedirs(os.path.join(folder, "bin"))
    shutil.copytree(os.path.join(prefix, "lib", name), os.path.join(folder, "lib", name), symlinks=True,
                    ignore=lambda where, names: [n for n in names if n in SKIPPED or n.startswith("config-")])
    for library in glob.glob(os.path.join(prefix, "lib", "libpython*.so*")):
        shutil.copy2(library, os.path.join(folder, "lib"), follow_symlinks=False)
    shutil.copy2(python, os.path.join(folder, "bin", name))
    return os.path.join(folder, "bin", name)
