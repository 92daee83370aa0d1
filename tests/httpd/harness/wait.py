"""Waiting for a condition with a deadline; the only place where the harness sleeps."""

import os
import time

# Sanitizer builds and slow machines: MW_SLOW=3 makes every deadline three times as long.
SLOW = float(os.environ.get("MW_SLOW", "1"))


def until(condition, seconds=10, what="condition", step=0.01):
    """Return the first true value of condition(); fail when the deadline passes."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"no {what} within {seconds * SLOW:g} s")
        time.sleep(step)


def holds(condition, seconds, what="condition", step=0.02):
    """Fail if condition() becomes false at any moment of the next seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"{what} did not hold"
        time.sleep(step)
