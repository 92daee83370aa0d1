"""Radicale, with its collections in data/ and one user."""

import os

from radicale import Application, config

HERE = os.path.dirname(os.path.abspath(__file__))

settings = config.load()
settings.update({
    "auth": {"type": "htpasswd", "htpasswd_filename": os.path.join(HERE, "users"),
             "htpasswd_encryption": "plain", "delay": "0", "realm": "calendars"},
    "rights": {"type": "owner_only"},
    "storage": {"filesystem_folder": os.path.join(HERE, "data")},
    "web": {"type": "none"},
    "logging": {"level": "warning"},
}, "the script", privileged=True)

application = Application(settings)
