#!/usr/bin/python3
"""Faults under load: nothing that restarts loses a request. ./dev test faults calls it.

    run.py [--seed N]... [--seconds S] [--plan]    a schedule of faults for each seed
    run.py --figures [NAME...] [--seconds S]       the figures of docs/reliability.md, a minute for each
    run.py --soak SECONDS [--default-malloc]       mixed traffic, and what it leaves behind

A seed decides who httpd runs as, its MPM, and every fault with its moment; --plan prints that. The scheduling of
the machine it does not decide: where a seed failed once, run it some more times.
"""

import argparse
import collections
import os
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "httpd")]
sys.dont_write_bytecode = True

import account  # noqa: E402
import faults  # noqa: E402
import figures  # noqa: E402
import load  # noqa: E402
import rest  # noqa: E402
import soak  # noqa: E402
import subject  # noqa: E402
from harness import procs, server  # noqa: E402

SEEDS = (1, 2, 3)
SECONDS = 20
FIGURE_SECONDS = 60
CLIENTS = 12
SHOWN = 12  # lost requests and log lines that are printed

# Said for reasons that every schedule has: applications that fail on purpose, httpd under many restarts.
USUAL = ("WSGI0174: RuntimeError", "fails, as it is told to", "WSGI0084", "AH00288", "AH00485", "AH00484", "AH00161", "AH00488", "AH03490")


class Failed(Exception):
    """Something is not as it must be; the text says what."""


def setting(seed):
    """(MPM, user) of a seed."""
    mpm = "prefork" if seed % 5 == 0 else "worker" if seed % 3 == 0 else "event"
    return os.environ.get("MPM", mpm), server.USER if server.ROOT and seed % 2 == 0 else None


def crowd(site, seed):
    """Makes loads that come and go beside the main one."""
    made = []

    def make(n, mounts):
        made.append(load.Load(site.port, mounts, seed, n=n, mix=((load.Working, 1),), keeps=(0, 1),
                              name=f"crowd{len(made)}."))
        return made[-1]
    return made, make


def check_log(site, names):
    """Only lines that the faults of this schedule may cause."""
    log = site.httpd.log
    log.allow(*USUAL, traceback=True)
    for name in names:
        log.allow(*faults.FAULTS[name][1])
    bad = log.unexpected()
    if bad:
        counts = collections.Counter(line.id or "without an id" for line in bad)
        raise Failed(f"unexpected log lines: {dict(counts)}\n" + "\n".join(map(repr, bad[:SHOWN])))


def check_account(site, fates, events):
    judged = account.Account(fates, events, account.journals(site.path("journal")), site.httpd.log.refresh())
    print(f"   {len(fates)} requests: {judged.summary()}", flush=True)
    if judged.lost:
        raise Failed("requests that nobody is to blame for:\n" + "\n".join(
            f"{fate!r}\n    {why}" for fate, why in judged.lost[:SHOWN]))


def run_faults(site, seed, plan):
    load.File.content = site.content
    rested = rest.Rest(site)
    site.settle()
    before = rested.take()
    crowds, make = crowd(site, seed)
    doing = faults.Faults(site, make)
    mounts = [m for m in site.mounts if m != "/narrow"] * 3 + ["/narrow"]
    with load.Load(site.port, mounts, seed, n=CLIENTS) as main:
        doing.run(plan)
    doing.note("end")
    site.configure(subject.base())
    after = rested.take()
    fates = main.fates + [fate for each in crowds for fate in each.fates]
    check_account(site, fates, doing.events)
    changed = rest.differences(before, after)
    if changed:
        raise Failed("not as before the faults:\n" + "\n".join(changed))
    return doing.events


def one_seed(seed, seconds, only):
    mpm, user = setting(seed)
    plan = faults.schedule(seed, seconds, only=only)
    names = {name for _, name, _ in plan}
    counts = collections.Counter(name for _, name, _ in plan)
    print(f"== seed {seed}: {mpm}, {'as ' + user if user else 'as started'}, {seconds} s, " +
          ", ".join(f"{n} {name}" for name, n in sorted(counts.items())), flush=True)
    site = subject.Site(mpm, user)
    try:
        site.httpd.start(60)
        run_faults(site, seed, plan)
        check_log(site, names)
        site.httpd.stop(signal.SIGWINCH, 60)
    except (Failed, AssertionError, server.StartFailed) as e:
        print(f"{e}\nseed {seed} FAILED; replay it with: ./dev test faults --seed {seed} --seconds {seconds:g}" + (f" --only {','.join(only)}" if only else ""))
        if os.environ.get("MW_KEEP"):
            print("kept:", site.httpd.dir)
        return False
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        return False
    finally:
        site.destroy()
    return True


def print_plan(seed, seconds, only):
    print(f"seed {seed}: {setting(seed)}")
    for at, name, own in faults.schedule(seed, seconds, only=only):
        print(f"{at:8.2f} {name} {own}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, action="append", help="run this one; may be given many times")
    parser.add_argument("--seconds", type=float, help=f"how long each lasts ({SECONDS}; figures {FIGURE_SECONDS})")
    parser.add_argument("--only", help="only these faults, a,b,c")
    parser.add_argument("--plan", action="store_true", help="only print the schedule")
    parser.add_argument("--figures", nargs="*", metavar="NAME", help=" ".join(figures.LINES))
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="mixed traffic without faults")
    parser.add_argument("--default-malloc", action="store_true", help="soak: leave glibc's thresholds as they are")
    options = parser.parse_args()
    if options.soak:
        return 0 if soak.run(options.soak, options.default_malloc) else 1
    if options.figures is not None:
        return 0 if figures.run(options.figures, options.seconds or FIGURE_SECONDS) else 1
    seconds = options.seconds or SECONDS
    only = options.only and options.only.split(",")
    ok = True
    for seed in options.seed or SEEDS:
        begin = time.monotonic()
        if options.plan:
            print_plan(seed, seconds, only)
            continue
        good = one_seed(seed, seconds, only)
        print(f"   seed {seed}: {'passed' if good else 'FAILED'} ({time.monotonic() - begin:.0f} s)", flush=True)
        ok = ok and good
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
