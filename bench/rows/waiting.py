"""The queue of a group: how close it comes to a perfect one, and whether it loses a request when it is long."""

from instance import Failure
from load import latencies, scheduled
from queueing import arrivals, service_times, single_queue
from report import Figure, Section
from servers import DEBIAN, OURS, UWSGI
from stats import percentile

PROCESSES, THREADS, LOAD = 4, 4, 0.7
LOW, HIGH = 0.001, 0.1  # seconds that the application sleeps
WITHIN = 10  # percent of the simulated p99
SEED = 1

REQUESTS, QUEUE_SECONDS, LATE = 10000, 10, 2.0
SERVICE_MS = 10
CHILDREN, CHILD_THREADS = 10, 1024


def spread(lab):
    """Delays at 70 % load, against a simulation"""
    rate = LOAD * PROCESSES * THREADS / ((LOW + HIGH) / 2)
    times = arrivals(rate, 5 if lab.quick else 20, SEED)
    services = service_times(len(times), LOW, HIGH, SEED)
    perfect = single_queue(times, services, PROCESSES * THREADS)
    figures = [Figure("simulated, one queue", quantiles(perfect))]
    options = "processes=%d threads=%d" % (PROCESSES, THREADS)
    with lab.servers("work.py", {"four": options}, threads=128, workers=(PROCESSES, THREADS)) as servers:
        for name, mode, row in ((OURS, "four", "daemon 4x4"), (DEBIAN, "four", "Debian daemon 4x4"),
                                (UWSGI, "uwsgi", "uWSGI 4x4")):
            if name in servers:
                lab.say("spread: %s" % row)
                target = WITHIN if name == OURS else None
                figures.append(against(lab, servers[name], mode, row, (times, services, perfect), target))
    return Section("spread", "Delays at 70 %% load, 16 threads, 1 to 100 ms each, %d requests" % len(times),
                   (("p50, ms", "%.1f"), ("p99, ms", "%.1f")), figures)


def quantiles(latencies_):
    return {"p50, ms": percentile(latencies_, 0.5) * 1000, "p99, ms": percentile(latencies_, 0.99) * 1000}


def against(lab, server, mode, row, simulated, target):
    times, services, perfect = simulated
    path = "/%s/sleep?" % mode
    warm = [(n / 200, path + "1") for n in range(200)]  # all processes have started and imported
    schedule = [(due, "%s%d" % (path, round(service * 1000))) for due, service in zip(times, services)]
    try:
        server.fetch(path + "1")
        scheduled(lab.build, server.httpd.port, warm, 64)
        found = latencies(scheduled(lab.build, server.httpd.port, schedule, 256))
    except Failure as failure:
        return Figure(row, failed=str(failure).splitlines()[0])
    more = percentile(found, 0.99) / percentile(perfect, 0.99) - 1
    return Figure(row, quantiles(found), more * 100, target, "% more at p99", form="%.1f")


def queued(lab):
    """10,000 requests that wait"""
    lab.say("queue")
    section = Section("queue", "%d requests at once, queue-timeout=%d, 5 threads of %d ms"
                      % (REQUESTS, QUEUE_SECONDS, SERVICE_MS), (("requests", "%d"),))
    groups = {"one": "processes=1 threads=5 queue-timeout=%d" % QUEUE_SECONDS}
    path = "/one/sleep?%d" % SERVICE_MS
    # A thread of httpd waits for each of them: no other server is asked.
    with lab.servers("work.py", groups, [OURS], children=CHILDREN, threads=CHILD_THREADS, level="crit",
                     more="ThreadStackSize 131072\nTimeout 120\n") as servers:
        server = servers[OURS]
        server.fetch(path)
        before = int(server.fetch("/one/count"))
        schedule = [(n / REQUESTS, path) for n in range(REQUESTS)]
        results = scheduled(lab.build, server.httpd.port, schedule, REQUESTS, QUEUE_SECONDS + 20)
        ran = int(server.fetch("/one/count")) - before
    section.figures = verdicts(results, ran)
    return section


def verdicts(results, ran):
    """Counts of what became of them; each of the targets is an exact one."""
    answered = [latency for latency, status in results if status == 200]
    refused = [latency for latency, status in results if status == 503]
    others = len(results) - len(answered) - len(refused)
    early = sum(latency < QUEUE_SECONDS - 0.1 for latency in refused)
    late = sum(latency > QUEUE_SECONDS + LATE for latency in refused + answered)
    rows = [Figure("answered", {"requests": len(answered)}), Figure("503 at its time", {"requests": len(refused) - early}),
            Figure("neither, or no answer", {"requests": others}, others, 0, form="%d"),
            Figure("503 before its time", {"requests": early}, early, 0, form="%d"),
            Figure("more than %g s after its time" % LATE, {"requests": late}, late, 0, form="%d"),
            Figure("served, but not answered so", {"requests": ran - len(answered)}, ran - len(answered), 0, form="%d")]
    if len(answered) < 100 or len(refused) < 100:
        rows[0].failed = "the queue was not long: %d answered, %d refused" % (len(answered), len(refused))
    return rows
