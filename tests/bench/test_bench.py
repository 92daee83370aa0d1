"""What ./dev bench calculates, writes and asks with."""

import http.server
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ["MW_BUILD"]
sys.path[:0] = [os.path.join(TOP, "bench"), os.path.join(TOP, "tools")]

import load  # noqa: E402
import plot  # noqa: E402
import procs  # noqa: E402
import queueing  # noqa: E402
import report  # noqa: E402
import stats  # noqa: E402
from instance import Failure  # noqa: E402
from rows import costs, curve, waiting  # noqa: E402
from report import Figure, Section  # noqa: E402


# ---- statistics


@pytest.mark.parametrize("count, share, want", [
    (1, 0.5, 1), (1, 0.99, 1), (2, 0.5, 1), (3, 0.5, 2), (100, 0.5, 50), (100, 0.99, 99), (101, 0.99, 100),
    (100, 1.0, 100), (100, 0.0, 1)])
def test_stats_01_percentiles(count, share, want):
    assert stats.percentile(range(count, 0, -1), share) == want


def test_stats_02_a_ratio_is_the_median_of_rounds():
    assert stats.ratio([2, 30, 6], [1, 10, 4]) == 2
    with pytest.raises(ValueError):
        stats.ratio([1, 2], [1])


def test_stats_03_spread_is_half_of_the_quartiles_distance():
    assert stats.spread([10]) == 0
    assert stats.spread([5, 5, 5, 5]) == 0
    assert stats.spread([8, 9, 10, 11, 12]) == pytest.approx(0.1)


# ---- the simulated queue


def test_queue_01_with_servers_to_spare_nobody_waits():
    assert queueing.single_queue([0, 0, 1], [5, 6, 7], 3) == [5, 6, 7]


def test_queue_02_who_comes_first_is_served_first():
    # One server: the second waits 2, the third 2 + 3; with two, the third takes the first that is free.
    assert queueing.single_queue([0, 1, 2], [3, 3, 1], 1) == [3, 5, 5]
    assert queueing.single_queue([0, 0, 0], [3, 1, 1], 2) == [3, 1, 2]


def test_queue_03_it_agrees_with_theory():
    """M/M/1 at 70 % load: the mean time in the system is service / (1 - load)."""
    times = queueing.arrivals(70, 2000, 1)
    chance = queueing.random.Random(2)
    services = [chance.expovariate(100) for _ in times]
    assert statistics.mean(queueing.single_queue(times, services, 1)) == pytest.approx(0.01 / 0.3, rel=0.05)


def test_queue_04_arrivals_are_random_at_the_rate_and_repeatable():
    times = queueing.arrivals(100, 100, 3)
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert times == queueing.arrivals(100, 100, 3) != queueing.arrivals(100, 100, 4)
    assert times == sorted(times) and 0 < times[0] and times[-1] < 100
    assert len(times) == pytest.approx(10000, rel=0.03)
    assert statistics.pstdev(gaps) == pytest.approx(0.01, rel=0.05)  # as large as the mean: exponential


def test_queue_05_service_times_fill_their_range():
    times = queueing.service_times(5000, 0.001, 0.1, 1)
    assert min(times) == 0.001 and max(times) == 0.1
    assert statistics.mean(times) == pytest.approx(0.0505, rel=0.03)
    assert all(round(time_ * 1000, 9) % 1 == 0 for time_ in times)


# ---- figures, tables, the page


@pytest.mark.parametrize("reached, target, least, failed, want", [
    (1.0, 1.5, False, "", "reached"), (1.5, 1.5, False, "", "reached"), (1.51, 1.5, False, "", "missed"),
    (1.5, 1.4, True, "", "reached"), (1.39, 1.4, True, "", "missed"), (1.0, None, False, "", ""),
    (None, 1.5, False, "", ""), (1.0, 1.5, False, "requests failed", "failed")])
def test_report_01_verdicts(reached, target, least, failed, want):
    assert Figure("row", reached=reached, target=target, least=least, failed=failed).verdict() == want


def sample():
    return Section("key", "Some title", (("requests/s", "%.0f"), ("unused", "%d")), [
        Figure("base", {"requests/s": 1000.4}),
        Figure("daemon", {"requests/s": 500.6}, 2.004, 1.5, "x base"),
        Figure("broken", {"requests/s": 1.0}, 1.0, 1.5, "x base", failed="3 requests failed")],
        ["A note."])


def test_report_02_text():
    lines = report.text(sample()).splitlines()
    assert lines[0] == "Some title"
    assert lines[2].split() == ["requests/s", "compared", "target"]
    assert re.fullmatch(r"base +1000", lines[3])
    assert re.fullmatch(r"daemon +501 +2\.00 x base +<= 1\.5 +missed", lines[4])
    assert re.fullmatch(r"broken +1 +3 requests failed +<= 1\.5 +failed", lines[5])
    assert lines[6] == "A note."


def test_report_03_markdown():
    assert report.markdown(sample()) == """\
### Some title

|  | requests/s | compared | target |  |
| --- | ---: | ---: | ---: | ---: |
| base | 1000 |  |  |  |
| daemon | 501 | 2.00 × base | ≤ 1.5 | **missed** |
| broken | 1 | 3 requests failed | ≤ 1.5 | failed |

A note.
"""


def test_report_04_json_holds_all():
    found = json.loads(json.dumps(report.as_dict(sample())))
    assert [figure["verdict"] for figure in found["figures"]] == ["", "missed", "failed"]
    assert found["figures"][1]["reached"] == 2.004


def test_report_05_only_what_is_between_the_markers_is_replaced():
    page = "before\n%s\nold\n%s\nafter\n" % (report.BEGIN, report.END)
    want = "before\n%s\n\nnew\n\n%s\nafter\n" % (report.BEGIN, report.END)
    assert report.replaced(page, "new\n") == want
    assert report.replaced(want, "new") == want
    for broken in ("no markers", report.BEGIN, report.END, report.END + report.BEGIN):
        with pytest.raises(ValueError):
            report.replaced(broken, "new")


def test_report_06_the_page_has_its_markers():
    with open(os.path.join(TOP, "docs/performance.md"), encoding="utf-8") as file:
        report.replaced(file.read(), "figures")


def case(name, cpu, *against, failed=""):
    return costs.Case(name, "server", "/", against, cpu=cpu, rate=[1 / value for value in cpu], failed=failed)


def test_report_07_comparisons_of_costs():
    base = costs.Against("base", 1.5)
    known = {"base": case("base", [1.0, 2.0]), "row": case("row", [1.2, 2.8], base, costs.Against("base", 0.8, rate=True))}
    row, rate = costs.figures_of(known["row"], known)
    assert (row.reached, row.verdict(), row.cells["CPU us/request"]) == (pytest.approx(1.3), "reached", 2e6)
    assert (rate.reached, rate.verdict()) == (pytest.approx((1 / 1.2 + 2 / 2.8) / 2), "missed")
    assert [figure.verdict() for figure in costs.figures_of(known["base"], known)] == [""]
    assert costs.figures_of(known["row"], {})[0].reached is None  # not installed


def test_report_08_no_ratio_of_a_row_that_failed():
    base = costs.Against("base", 1.5)
    for bad in ("base", "row"):
        known = {"base": case("base", [1.0, 2.0]), "row": case("row", [1.2, 2.8], base, base)}
        known[bad].failed = "requests failed"
        assert [(figure.verdict(), figure.reached) for figure in costs.figures_of(known["row"], known)] == [
            ("failed", None)] * 2


def test_report_09_every_queued_request_is_counted():
    good = [(0.5, 200)] * 200 + [(waiting.QUEUE_SECONDS + 0.01, 503)] * 200

    def missed(results, ran):
        return [figure.name for figure in waiting.verdicts(results, ran) if figure.verdict() in ("missed", "failed")]

    assert missed(good, 200) == []
    assert missed(good + [(20.0, 0)], 200) == ["neither, or no answer"]
    assert missed(good + [(1.0, 503)], 200) == ["503 before its time"]
    assert missed(good + [(waiting.QUEUE_SECONDS + waiting.LATE + 1, 503)], 200) == ["more than 2 s after its time"]
    assert missed(good, 201) == ["served, but not answered so"]
    assert missed([(0.5, 200)] * 400, 400) == ["answered"]  # nobody waited


# ---- the plot


def test_plot_01_points_are_where_they_belong():
    axis = plot.Axis("x", 1, 100, 0, 200)
    assert [axis.place(value) for value in (1, 10, 100)] == [0, pytest.approx(100), 200]
    assert axis.ticks() == [1, 2, 5, 10, 20, 50, 100]
    assert plot.around([0.3, 40]) == (0.2, 50)
    assert plot.around([5, 5]) == (5, 50)


def test_plot_02_it_is_svg_with_axes_units_and_a_legend():
    lines = {"one & two": {500: {"p50": 0.2, "p99": 1.0}, 1000: {"p50": 0.3, "p99": 9.0}},
             "three": {500: {"p50": 0.1, "p99": 0.5}}, "never up": {}}
    root = ElementTree.fromstring(curve.draw(lines))
    tag = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(tag + "text")]
    assert {"one & two", "three", "latency, milliseconds", "p50 of the latency", "500", "1000"} <= set(texts)
    assert len(list(root.iter(tag + "polyline"))) == 4
    width, height = float(root.get("width")), float(root.get("height"))
    for line in root.iter(tag + "polyline"):
        for x, y in (point.split(",") for point in line.get("points").split()):
            assert 0 <= float(x) <= width and 0 <= float(y) <= height


# ---- /proc and strace


def test_procs_01_a_family_is_who_descends():
    found = {1: ["S", "0"], 10: ["S", "1"], 11: ["S", "10"], 12: ["S", "11"], 20: ["S", "1"]}
    assert sorted(procs.family({10}, found)) == [10, 11, 12]


def test_procs_02_the_table_of_strace():
    assert procs.counts("""\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.000100           1       100         2 futex
 50.00    0.000100           1        50           sendmsg
------ ----------- ----------- --------- --------- ----------------
100.00    0.000200           1       150         2 total
""") == {"futex": 100, "sendmsg": 50}


def test_procs_03_memory_and_cpu_of_a_process():
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        held = procs.memory(file.read())
    assert held["RSS"] >= held["private"] > 1
    before, own, busy = procs.cpu({os.getpid()}), procs.own(), procs.busy()
    deadline = time.monotonic() + 10
    while procs.cpu({os.getpid()}) < before + 0.1:
        assert time.monotonic() < deadline
    assert procs.own() >= own + 0.08
    assert procs.busy() >= busy + 0.08


def test_procs_04_the_counts_of_perf():
    assert procs.swift_counts("""\
1250,,raw_syscalls:sys_enter,98000,100.00,,
1000,,syscalls:sys_enter_futex,98000,100.00,,
0,,syscalls:sys_enter_poll,98000,100.00,,
<not counted>,,syscalls:sys_enter_write,0,100.00,,
50,,syscalls:sys_enter_sendmsg,98000,100.00,,
""") == {"futex": 1000, "sendmsg": 50, "other": 200}


def test_procs_05_perf_counts_the_calls_of_a_process():
    if not procs.SwiftCalls.is_there():
        pytest.skip("no perf, or no right to its tracepoints")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        calls = procs.SwiftCalls(cat.pid)
        for _ in range(100):
            cat.stdin.write(b"x\n")
            cat.stdin.flush()
            cat.stdout.readline()
        found = calls.stop()
        cat.stdin.close()
    assert 99 <= found["read"] <= 101 and found["write"] == 100


# ---- the clients


class Handler(http.server.BaseHTTPRequestHandler):
    """/ok; /fail; /slow, after 50 ms; /never; /once, which closes the connection without saying so;
    /half, which breaks off; /end, without a length; /upload; /big."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind = self.path.strip("/")
        with self.server.lock:
            self.server.asked += 1
        if kind == "never":
            self.server.over.wait(20)
        if kind == "slow":
            time.sleep(0.05)
        body = b"x" * (100000 if kind == "big" else 5)
        self.send_response(500 if kind == "fail" else 200)
        if kind != "end":
            self.send_header("Content-Length", str(len(body) * (2 if kind == "half" else 1)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection |= kind in ("once", "half", "end", "never")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.over, server.lock, server.asked = threading.Event(), threading.Lock(), 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def port(server):
    return server.server_address[1]


def test_client_01_each_request_has_its_answer(port):
    found = load.scheduled(BUILD, port, [(n / 1000, "/" + kind) for n, kind in enumerate(
        ["ok", "fail", "big", "end", "half", "once"] * 10)], 1)
    assert [status for _, status in found] == [200, 500, 200, 200, 0, 200] * 10
    assert load.latencies(found[:1]) == [found[0][0]]
    with pytest.raises(Failure, match="1 of 2 requests failed, the first with 500"):
        load.latencies(found[:2])


def test_client_02_latency_counts_from_when_a_request_was_due(port):
    found = load.scheduled(BUILD, port, [(0.2, "/slow")] * 3, 1)
    for number, (latency, status) in enumerate(found, 1):
        assert status == 200 and 0.05 * number <= latency < 5


def test_client_03_it_does_not_wait_for_answers(port):
    found = load.scheduled(BUILD, port, [(0, "/slow"), (0.001, "/never"), (0.002, "/slow")], 3, patience=1)
    assert [status for _, status in found] == [200, 0, 200]


def test_client_04_nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert [status for _, status in load.scheduled(
            BUILD, probe.getsockname()[1], [(0, "/"), (0.01, "/")], 2)] == [0, 0]


def slow(server, kind, path, rate):
    """(what four slow clients with 100,000 bytes each said, seconds): they end when so many have begun anew."""
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, os.path.join(TOP, "bench/slow.py"), kind, str(server.server_address[1]), path,
         "4", "100000", str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        while server.asked < 9:
            assert time.monotonic() < begin + 30 and process.poll() is None
            time.sleep(0.01)
        return json.loads(process.communicate(timeout=20)[0]), time.monotonic() - begin
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind, path", [("upload", "/ok"), ("download", "/big")])
def test_slow_01_clients_come_to_their_end_at_their_pace_and_begin_anew(server, kind, path):
    said, seconds = slow(server, kind, path, 100000)
    assert said["problems"] == [] and said["done"] >= 4
    assert said["done"] <= 4 * (seconds + 1)  # a second for each; the first was shorter


def test_slow_02_bad_answers_are_told(server):
    problems = slow(server, "download", "/half", 1000000)[0]["problems"]
    assert problems and all("ended after" in problem for problem in problems)
