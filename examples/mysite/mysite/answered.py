"""Which process group, process and thread answers a request, for the foot of every page."""

import os
import threading


def answered_by(request):
    environ = request.META
    if "mod_wsgi.process_group" in environ:
        group = environ["mod_wsgi.process_group"] or "(embedded in httpd)"
    else:
        group = "(not under mod_wsgi)"
    return {
        "answered_by": {
            "process_group": group,
            "application_group": environ.get("mod_wsgi.application_group", ""),
            "pid": os.getpid(),
            "thread": threading.get_ident(),
            "native_thread": threading.get_native_id(),
        }
    }
