"""Print, as shell assignments, what configure must know of the Python that runs this file."""

import os
import shlex
import sys
import sysconfig


def facts():
    var = sysconfig.get_config_var
    version = "%d.%d" % sys.version_info[:2]
    if var("Py_GIL_DISABLED"):
        version += "t"
    libdir, library = var("LIBDIR") or "", var("LDLIBRARY") or ""
    # A distribution may keep the development link of the library in the configuration directory.
    if not os.path.exists(os.path.join(libdir, library)):
        other = var("LIBPL") or ""
        if os.path.exists(os.path.join(other, library)):
            libdir = other
    return {
        "py_version": version,
        "py_full": "%d.%d.%d" % sys.version_info[:3],
        "py_supported": "yes" if sys.version_info >= (3, 10) else "no",
        "py_shared": "yes" if var("Py_ENABLE_SHARED") or ".so" in library else "no",
        "py_executable": getattr(sys, "_base_executable", None) or sys.executable,
        "py_include": sysconfig.get_path("include"),
        "py_platinclude": sysconfig.get_path("platinclude"),
        "py_libdir": libdir,
        "py_library": library,
    }


for name, value in facts().items():
    print("%s=%s" % (name, shlex.quote(value)))
