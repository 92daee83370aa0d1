"""What the figures were measured on, in words."""

import datetime
import os
import platform
import re
import subprocess
import sys


def first_line(path, pattern):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def package(name):
    found = said("dpkg-query", "-W", "-f", "${Version}", name)
    return "%s %s" % (name, found) if re.match(r"\d", found) else ""


def describe(facts):
    """[(what, value)]"""
    processor = first_line("/proc/cpuinfo", r"^model name\s*:(.*)") or platform.machine()
    virtual = " in a virtual machine" if re.search(r"\bhypervisor\b", first_line("/proc/cpuinfo", r"^flags\s*:(.*)")) else ""
    memory = int(first_line("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0) / 2**20
    server = re.search(r"Apache/[\d.]+", said(facts["HTTPD"], "-v"))
    versions = [server[0] if server else "", "Python " + platform.python_version(),
                package("libapache2-mod-wsgi-py3"), package("uwsgi-core"), package("wrk")]
    return [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("processor", "%s, %d cores%s, %.0f GB" % (processor, os.cpu_count(), virtual, memory)),
        ("kernel", "%s %s" % (platform.system(), platform.release())),
        ("system", first_line("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)')),
        ("versions", ", ".join(filter(None, versions))),
        ("source", said("git", "-C", os.path.dirname(__file__), "rev-parse", "--short", "HEAD")),
        ("load before", "%.2f" % os.getloadavg()[0]),
    ]


def busy():
    """A warning when others use the machine; empty if not."""
    load = os.getloadavg()[0]
    if load < 0.5:
        return ""
    return "the machine is busy (load %.1f): ratios will be less exact, delays longer" % load


def command_line():
    return " ".join(["./dev bench"] + sys.argv[1:])
