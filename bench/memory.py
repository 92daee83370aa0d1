"""Whether processes grow: the resident size of the process that runs Python after some requests of a kind,
and after many more of them. Prints a table; its exit status says whether every row stays within the limit.

usage: memory.py [--first 10000] [--all 100000] [--only KIND,KIND] [--build DIR]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "bench"), os.path.join(TOP, "tools")]
sys.dont_write_bytecode = True

from instance import Failure  # noqa: E402
from servers import OURS, Lab  # noqa: E402

MODES = ("embedded", "one")
KINDS = ("small", "post", "generator", "exception", "wrapper", "big")
LIMIT_MB = 1.0
CONNECTIONS = 8
GROUPS = {"one": "processes=1 threads=8"}
# What is logged of exceptions goes nowhere: it would fill the disk.
NO_LOG = "ErrorLog /dev/null\n"
POST = """\
wrk.method = "POST"
wrk.body = string.rep("a body of some length ", 200)
"""


def load(server, mode, kind):
    """Requests of that kind for a second; how many they were."""
    command = ["wrk", "-t1", "-c%d" % CONNECTIONS, "-d1s"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if kind == "post":
            script.write(POST)
            script.flush()
            command += ["-s", script.name]
        out = subprocess.run(command + [server.url("/%s/%s" % (mode, kind))], capture_output=True, text=True,
                             check=True).stdout
    count = int(re.search(r"(\d+) requests in", out)[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if (int(bad[1]) if bad else 0) != (count if kind == "exception" else 0) or "Socket errors" in out:
        raise Failure("%s, %s: requests failed\n%s" % (mode, kind, out))
    return count


def resident(pid):
    """Megabytes."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s*(\d+)", file.read())[1]) / 1024


def measure(server, mode, kind, first, total):
    """(requests, megabytes after the first ones, megabytes after all)."""
    pid, done, before = server.pid(mode), 0, 0.0
    while done < total:
        done += load(server, mode, kind)
        if not before and done >= first:
            before = resident(pid)
    if server.pid(mode) != pid:
        raise Failure("%s, %s: the process was replaced" % (mode, kind))
    return done, before, resident(pid)


def main():
    parser = argparse.ArgumentParser(prog="memory.py", description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=10000)
    parser.add_argument("--all", type=int, default=100000)
    parser.add_argument("--only", type=lambda text: text.split(","), default=KINDS)
    parser.add_argument("--build", default=os.path.join(TOP, "build"))
    options = parser.parse_args()
    try:
        lab = Lab(os.path.abspath(options.build), 1, 1, False)
        with lab.servers("kinds.py", GROUPS, [OURS], threads=16, more=NO_LOG) as servers:
            subprocess.run([sys.executable, os.path.join(TOP, "bench/kinds.py"),
                            os.path.join(servers[OURS].folder, "kinds.data")], check=True)
            failed = table(servers[OURS], options)
    except Failure as failure:
        print("memory.py: %s" % failure, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 1 if failed else 0


def table(server, options):
    """How many rows missed."""
    failed = 0
    print("%-10s %-10s %10s %9s %9s %7s" % ("", "kind", "requests", "MB first", "MB all", "more"))
    for mode in MODES:
        for kind in options.only:
            done, before, after = measure(server, mode, kind, options.first, options.all)
            bad = after - before > LIMIT_MB
            failed += bad
            print("%-10s %-10s %10d %9.2f %9.2f %7.2f%s"
                  % (mode, kind, done, before, after, after - before,
                     "  more than %.1f" % LIMIT_MB if bad else ""), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
