"""Pythons other than the default one, and virtual environments, where the user of a group can enter them."""

import glob
import os
import re
import shutil
import subprocess
import sys

from . import server

SKIPPED = ("test", "idlelib", "tkinter", "turtledemo", "site-packages", "ensurepip", "lib2to3", "__pycache__")


def runtimes():
    """Versions ("3.12") that the build has a runtime for."""
    names = (re.fullmatch(r"wsgi-python-(3\.\d+)\.so", name) for name in os.listdir(server.BUILD))
    return sorted((m[1] for m in names if m), key=lambda v: int(v[2:]))


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
