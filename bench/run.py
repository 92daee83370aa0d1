"""./dev bench: every figure beside its target, all measured in one run on one machine.

What is measured, and how, is in docs/performance.md; bench/README.md says which module does what.
"""

import argparse
import json
import os
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "bench"), os.path.join(TOP, "tools")]
sys.dont_write_bytecode = True

import machine  # noqa: E402
import procs  # noqa: E402
import report  # noqa: E402
from instance import Failure  # noqa: E402
from rows import calls, costs, curve, growth, slowclients, startup, waiting  # noqa: E402
from servers import Lab  # noqa: E402

PAGE = os.path.join(TOP, "docs/performance.md")
PLOT = os.path.join(TOP, "docs/performance.svg")
OTHERS = 0.05  # share of the machine from which on a section says that it was disturbed
# By the names that --only takes; in the order of the page.
ROWS = {
    "small": costs.small,
    "file": costs.file,
    "file-off": costs.file_off,
    "stream": costs.stream,
    "upload": costs.upload,
    "start": startup.first_answer,
    "idle": startup.idle,
    "growth": growth.measure,
    "calls": calls.measure,
    "slow": slowclients.measure,
    "spread": waiting.spread,
    "queue": waiting.queued,
    "curve": curve.measure,
}


def options():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(ROWS),
                        help="some of: " + " ".join(ROWS), metavar="ROW,ROW")
    parser.add_argument("--quick", action="store_true", help="some two minutes instead of ten; less exact, and less beside us")
    parser.add_argument("--seconds", type=int, help="of load for each measurement (1)")
    parser.add_argument("--rounds", type=int, help="of which the median is taken (7; quick: 1)")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    parser.add_argument("--write", action="store_true", help="the tables and the plot into docs/performance.*, too")
    parser.add_argument("--build", default=os.path.join(TOP, "build"), metavar="DIR")
    given = parser.parse_args()
    unknown = [name for name in given.only if name not in ROWS]
    if unknown:
        parser.error("there is no row %r; the rows are %s" % (unknown[0], " ".join(ROWS)))
    if given.write and (given.quick or len(given.only) < len(ROWS)):
        parser.error("--write wants all rows, and no --quick")
    given.seconds = 1 if given.seconds is None else given.seconds
    given.rounds = (1 if given.quick else 7) if given.rounds is None else given.rounds
    if given.seconds < 1 or given.rounds < 1:
        parser.error("--seconds and --rounds take numbers from 1")
    return given


def measure(lab, names):
    """Sections, each as soon as it is there; what fails is a row that says so."""
    for name in names:
        begin, busy, own = time.monotonic(), procs.busy(), procs.own()
        try:
            section = ROWS[name](lab)
        except Failure as failure:
            lab.say(str(failure))
            failed = report.Figure(name, failed=str(failure).splitlines()[0])
            section = report.Section(name, name, (), [failed])
        seconds = time.monotonic() - begin
        others = (procs.busy() - busy - (procs.own() - own)) / seconds / os.cpu_count()
        if others > OTHERS:
            section.notes.append("Disturbed: other programs used %.0f %% of the machine meanwhile." % (others * 100))
        lab.say("%s: %.0f s" % (name, seconds))
        yield section


def summary(sections):
    verdicts = [figure.verdict() for section in sections for figure in section.figures
                if figure.target is not None]
    return "%d targets reached, %d missed, %d failed" % tuple(
        verdicts.count(verdict) for verdict in ("reached", "missed", "failed"))


def write(sections, facts):
    lines = ["- %s: %s" % fact for fact in facts] + ["- all in all: " + summary(sections)]
    tables = [report.markdown(section) for section in sections]
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    page = report.replaced(page, "\n".join(lines) + "\n\n" + "\n".join(tables))
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)
    for section in sections:
        if section.plot:
            with open(PLOT, "w", encoding="utf-8") as file:
                file.write(section.plot)


def main():
    given = options()
    try:
        lab = Lab(os.path.abspath(given.build), given.seconds, given.rounds, given.quick)
        if machine.busy():
            lab.say("dev: " + machine.busy())
        facts = machine.describe(lab.facts) + [
            ("measured by", "`%s`, %d rounds of %d s" % (machine.command_line(), given.rounds, given.seconds))]
        sections = []
        for section in measure(lab, given.only):
            sections.append(section)
            if not given.json:
                print(report.text(section), flush=True)
        for name in lab.absent:
            lab.say("not measured: %s is not installed" % name)
        if given.json:
            print(json.dumps({"machine": dict(facts), "sections": list(map(report.as_dict, sections))}, indent=1))
        else:
            print(summary(sections))
        if given.write:
            write(sections, facts)
    except Failure as failure:
        print("dev: %s" % failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
