"""Mercurial's web interface over the repositories in data/."""

import os

os.environ["HGENCODING"] = "utf-8"

from mercurial import ui  # noqa: E402
from mercurial.hgweb import hgweb  # noqa: E402

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")

settings = ui.ui.load()
settings.setconfig(b"web", b"push_ssl", b"no", b"wsgi")
settings.setconfig(b"web", b"allow-archive", b"gz zip", b"wsgi")

application = hgweb({b"/": os.path.join(DATA, "*").encode()}, baseui=settings)
