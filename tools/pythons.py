"""The Pythons of this machine that a runtime can be built for: the system's and pyenv's."""

import glob
import os
import shlex
import subprocess

FACTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_facts.py")


def facts(path):
    """What configure will see of it; None if it does not run as a Python 3."""
    try:
        run = subprocess.run([path, FACTS], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(word.partition("=")[::2] for word in shlex.split(run.stdout)) or None


def wrong(seen):
    """Why no runtime can be built for what has these facts; None if one can."""
    if not seen:
        return "is no Python 3"
    if seen["py_supported"] != "yes":
        return "is older than Python 3.10"
    if seen["py_shared"] != "yes":
        return "has no shared libpython"
    if not os.path.exists(os.path.join(seen["py_include"], "Python.h")):
        return "has no headers"
    return None


def places():
    """Where one may be, the system's first."""
    found = ["/usr/bin/python3"]
    for pattern in ("/usr/bin/python3.[0-9][0-9]", "/usr/local/bin/python3.[0-9][0-9]"):
        found += sorted(glob.glob(pattern))
    for root in (os.environ.get("PYENV_ROOT"), os.path.expanduser("~/.pyenv")):
        if root:
            found += sorted(glob.glob(os.path.join(root, "versions/3.[0-9][0-9]*/bin/python3")))
    return [path for path in found if os.access(path, os.X_OK)]


def find(paths=()):
    """({version: path}, [(path, why not)]): one of each version, of those named or of all there are."""
    good, bad = {}, []
    for path in paths or places():
        seen = facts(path)
        why = wrong(seen)
        if why:
            bad.append((path, why))
        elif seen["py_version"] not in good:
            good[seen["py_version"]] = path
    return good, bad
