"""Programs that ask a server: wrk as fast as it answers, bench/client at times that were decided before."""

import os
import re
import subprocess
import tempfile

from instance import Failure

# As a browser behind two proxies sends: 30 header fields, one of them a cookie of 2 KB.
MANY_HEADERS = ["X-Field-%02d: value %02d of a request" % (n, n) for n in range(29)]
MANY_HEADERS.append("Cookie: session=" + "0123456789abcdef" * 128)

POST = """\
wrk.method = "POST"
wrk.body = string.rep("x", %d)
"""


def wrk(url, seconds, connections, headers=(), post=0):
    """(requests answered, requests per second); a failed request is a Failure. `post` is the length of a
    body, 0 for GET."""
    command = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--timeout", "10s"]
    for header in headers:
        command += ["-H", header]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if post:
            script.write(POST % post)
            script.flush()
            command += ["-s", script.name]
        out = subprocess.run(command + [url], capture_output=True, text=True, check=False).stdout
    count = re.search(r"(\d+) requests in", out)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", out)
    bad = re.search(r"Non-2xx.*|Socket errors.*", out)
    if not count or not rate or bad or not int(count[1]):
        raise Failure("requests failed: %s" % (bad[0].strip() if bad else "none was answered"))
    return int(count[1]), float(rate[1])


def scheduled(build, port, schedule, connections, patience=10, headers=()):
    """[(latency in seconds, status)] of requests that are due at times: `schedule` is [(seconds, path)].
    The status is 0 where no answer came within `patience` seconds after the last was due."""
    with tempfile.TemporaryFile("w+") as lines:
        lines.writelines("%d %s\n" % (due * 1e6, path) for due, path in schedule)
        lines.seek(0)
        out = subprocess.run(
            [os.path.join(build, "bench/client"), str(port), str(connections), str(patience), *headers],
            stdin=lines, capture_output=True, text=True, check=False)
    if out.returncode:
        raise Failure("the client failed: %s" % out.stderr.strip())
    found = [(int(latency) / 1e6, int(status))
             for latency, status in (line.split() for line in out.stdout.splitlines())]
    if len(found) != len(schedule):
        raise Failure("the client was ended")
    return found


def latencies(results):
    """Seconds, of answers that are all 200."""
    bad = [status for _, status in results if status != 200]
    if bad:
        raise Failure("%d of %d requests failed, the first %s"
                      % (len(bad), len(results), "with %d" % bad[0] if bad[0] else "without an answer"))
    return [latency for latency, _ in results]
